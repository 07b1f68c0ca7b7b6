// Cards: thumbnails with a title under the name of their group; one is chosen. One tab stop, arrow keys move inside.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const SIDE = 36; // pixels of a thumbnail
const SHEET = 8; // thumbnails in a line of the sheet, as in cards.py
const STEP = { ArrowLeft: -1, ArrowUp: -1, ArrowRight: 1, ArrowDown: 1 };

function render({ model, el }) {
  const root = element("div", { class: "vcnb-cards", role: "group" });
  el.append(root);
  let buttons = [];
  let current = 0;
  let address = null;

  function go(number, focused = true) {
    current = Math.max(0, Math.min(number, buttons.length - 1));
    buttons.forEach((button, index) => (button.tabIndex = index === current ? 0 : -1));
    if (focused) buttons[current]?.focus();
  }

  function thumb(number) {
    const image = element("span", { class: "vcnb-thumb" });
    const [row, col] = [Math.floor(number / SHEET), number % SHEET];
    image.style.backgroundImage = `url(${address})`;
    image.style.backgroundPosition = `${-col * SIDE}px ${-row * SIDE}px`;
    image.style.backgroundSize = `${SHEET * SIDE}px auto`;
    return image;
  }

  function card({ title, says, tiles, src }, number) {
    const label = says ? `${title}, ${says}` : title;
    const button = element("button", { type: "button", "aria-label": label, "data-lm-suppress-shortcuts": "true" });
    const images = src ? [element("img", { src, alt: "" })] : address ? (tiles || []).map(thumb) : [];
    button.append(element("span", { class: "vcnb-thumbs" }, ...images));
    button.append(element("span", { class: "vcnb-title" }, title), element("span", { class: "vcnb-says" }, says || ""));
    button.addEventListener("click", () => {
      go(number, false);
      model.send({ kind: "choose", number });
    });
    button.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      if (STEP[event.key]) go(number + STEP[event.key]);
      else if (event.key === "Home") go(0);
      else if (event.key === "End") go(buttons.length - 1);
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    buttons.push(button);
    return button;
  }

  function draw() {
    const focused = root.contains(document.activeElement);
    if (address) URL.revokeObjectURL(address);
    const sheet = model.get("sheet");
    address = sheet?.byteLength ? URL.createObjectURL(new Blob([sheet], { type: "image/jpeg" })) : null;
    buttons = [];
    root.setAttribute("aria-label", model.get("label"));
    const groups = new Map();
    model.get("cards").forEach((one, number) => {
      if (!groups.has(one.group)) {
        const row = element("div", { class: "vcnb-card-row" });
        groups.set(one.group, row);
        root.append(element("div", { class: "vcnb-card-group" }, element("div", { class: "vcnb-family" }, one.group), row));
      }
      groups.get(one.group).append(card(one, number));
    });
    root.replaceChildren(...[...groups.values()].map((row) => row.parentElement));
    go(current, focused);
  }

  model.on("change:cards", draw);
  draw();
  return () => {
    model.off("change:cards", draw);
    if (address) URL.revokeObjectURL(address);
  };
}

export default { render };
