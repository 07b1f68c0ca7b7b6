// Grid view: the cells, by mouse, keyboard and touch. The state arrives as traits, actions leave as messages. An image
// is named by a key, and fetched from the kernel once. Files from outside are read in drop_zone.js.

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// JupyterLab would otherwise take the focused element's keys, Ctrl+Z too, for the notebook (see form.js).
const OURS = { "data-lm-suppress-shortcuts": "true" };

const SUMMARY =
  "Arrow keys: go to a cell. Enter: choose a file for it. Space: mark or unmark a target in the query row. " +
  "Shift and an arrow key: swap with the neighbour. Delete: empty the cell. Ctrl+V: paste an image. Ctrl+Z: undo. " +
  "Or drag: files onto the grid, a cell onto another (on a touch screen, hold it first).";
const KEPT = 100; // images in the browser, so that undo asks for none again
const HOLD = 350; // milliseconds until a finger lifts a cell

function render({ model, el }) {
  let dragged = null; // the cell that is being dragged
  let cells = []; // elements, by row and column
  const addresses = new Map(); // object URLs by key, the oldest first
  const wanted = new Set(); // keys that were asked for

  const table = element("div", { role: "grid", "aria-label": "Grid of images: examples above, query in the last row" });
  const choose = element("button", { type: "button", class: "vcnb-choose", ...OURS });
  const help = element("details", {}, element("summary", OURS, "Keys"), element("p", {}, SUMMARY));
  const root = element("div", { class: "vcnb-grid" }, table, element("div", { class: "vcnb-below" }, choose, help));
  el.append(root);

  const at = () => model.get("selected");
  const place = (row, col) => `row ${row + 1}, column ${col + 1}`;
  const send = (kind, row, col, more = {}) => model.send({ kind, row, col, ...more });
  const pick = () => root.dispatchEvent(new CustomEvent("vcnb-choose", { bubbles: true, detail: [...at()] }));
  const focus = () => cells[at()[0]]?.[at()[1]]?.box.focus();

  function go(row, col, focused = true) {
    row = Math.max(0, Math.min(row, cells.length - 1));
    col = Math.max(0, Math.min(col, cells[0].length - 1));
    const [r, c] = at();
    if (r !== row || c !== col) {
      model.set("selected", [row, col]);
      model.save_changes();
    }
    if (focused) cells[row][col].box.focus();
  }

  const STEP = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function key(event, row, col) {
    const undo = event.key.toLowerCase() === "z"; // a capital with Shift
    if (event.altKey || (event.metaKey && !undo)) return;
    const step = STEP[event.key];
    if (step && event.shiftKey) {
      const [r, c] = [row + step[0], col + step[1]];
      if (cells[r]?.[c]) send("swap", row, col, { to_row: r, to_col: c });
    } else if (step) go(row + step[0], col + step[1]);
    else if (event.key === "Home") go(event.ctrlKey ? 0 : row, 0);
    else if (event.key === "End") go(event.ctrlKey ? cells.length - 1 : row, cells[0].length - 1);
    else if (event.key === "Enter" && !event.ctrlKey && !event.shiftKey) pick();
    else if (event.key === " ") send("mark", row, col);
    else if (event.key === "Delete" || event.key === "Backspace") send("clear", row, col);
    else if (undo && (event.ctrlKey || event.metaKey)) send(event.shiftKey ? "redo" : "undo", row, col);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  const under = (touch) => document.elementFromPoint(touch.clientX, touch.clientY)?.closest('[role="gridcell"]');
  const dropped = (row, col) => {
    if (dragged) send("swap", ...dragged, { to_row: row, to_col: col });
    dragged = null;
  };

  function draggable(box, row, col) {
    let held;
    const light = (cell) => {
      root.querySelector(".vcnb-over")?.classList.remove("vcnb-over");
      cell?.classList.add("vcnb-over");
    };
    box.addEventListener("dragstart", (event) => {
      dragged = [row, col];
      event.dataTransfer.setData("application/x-vcnb-cell", place(row, col));
      event.dataTransfer.effectAllowed = "move";
    });
    box.addEventListener("dragend", () => (dragged = light(null) ?? null));
    box.addEventListener("dragover", (event) => {
      if (!dragged) return;
      event.preventDefault();
      light(box);
    });
    box.addEventListener("dragleave", () => light(null));
    box.addEventListener("drop", (event) => {
      if (!dragged) return;
      event.preventDefault();
      event.stopPropagation();
      light(null);
      dropped(row, col);
    });
    box.addEventListener("touchstart", () => (held = setTimeout(() => light(box, (dragged = [row, col])), HOLD)), {
      passive: true,
    });
    box.addEventListener("touchmove", (event) => {
      if (!dragged) return clearTimeout(held); // the page is being scrolled
      event.preventDefault();
      light(under(event.touches[0]));
    });
    box.addEventListener("touchend", (event) => {
      clearTimeout(held);
      const cell = dragged && under(event.changedTouches[0]);
      light(null);
      if (cell && cell !== box) {
        event.preventDefault();
        dropped(Number(cell.dataset.row), Number(cell.dataset.col));
      }
      dragged = null;
    });
  }

  function cell(row, col) {
    const image = element("img", { alt: "", draggable: "false", hidden: "" });
    const words = element("span", { class: "vcnb-words" });
    const problem = element("span", { class: "vcnb-problem" });
    const attributes = { role: "gridcell", class: "vcnb-cell", draggable: "true", "data-row": row, "data-col": col };
    const box = element("div", { ...attributes, ...OURS }, image, words, problem);
    box.addEventListener("keydown", (event) => key(event, row, col));
    box.addEventListener("focus", () => go(row, col, false));
    box.addEventListener("click", () => go(row, col));
    box.addEventListener("dblclick", pick);
    draggable(box, row, col);
    return { box, image, words, problem };
  }

  function build(rows, cols) {
    const heads = [...Array(cols)].map(() => element("div", { role: "columnheader" }));
    table.replaceChildren(element("div", { role: "row" }, element("div", { role: "columnheader" }), ...heads));
    cells = [...Array(rows).keys()].map((row) => {
      const line = [...Array(cols).keys()].map((col) => cell(row, col));
      const name = row === rows - 1 ? "query" : `example ${row + 1}`;
      const boxes = line.map((one) => one.box);
      table.append(element("div", { role: "row" }, element("div", { role: "rowheader" }, name), ...boxes));
      return line;
    });
    table.firstChild.firstChild.textContent = "row";
    table.style.setProperty("--cols", cols);
  }

  function mark() {
    const [row, col] = at();
    const inside = table.contains(document.activeElement) || document.activeElement === document.body;
    const focused = table.contains(document.activeElement);
    cells.forEach((line, r) =>
      line.forEach(({ box }, c) => {
        const chosen = r === row && c === col;
        box.tabIndex = chosen ? 0 : -1;
        box.setAttribute("aria-selected", chosen);
      }),
    );
    choose.textContent = `Choose a file for ${place(row, col)} …`;
    if (inside && focused && document.activeElement !== cells[row]?.[col]?.box) focus();
  }

  function show(image, address) {
    image.hidden = !address;
    if (!address) image.removeAttribute("src");
    else if (image.src !== address) image.src = address;
  }

  function draw() {
    const { cells: sent, headings } = model.get("view");
    if (!sent) return;
    if (sent.length !== cells.length || sent[0].length !== cells[0].length) {
      const focused = table.contains(document.activeElement);
      build(sent.length, sent[0].length);
      if (focused) queueMicrotask(focus);
    }
    headings.forEach((name, col) => (table.firstChild.children[col + 1].textContent = name));
    const shown = sent.flat().map((now) => now.image);
    const missing = [...new Set(shown)].filter((one) => one && !addresses.has(one) && !wanted.has(one));
    sent.forEach((line, row) =>
      line.forEach((now, col) => {
        const { box, image, words, problem } = cells[row][col];
        box.dataset.kind = now.kind;
        words.textContent = now.text;
        problem.textContent = now.problem ? `⚠ ${now.problem}` : "";
        box.setAttribute("aria-label", `${place(row, col)}: ${now.text}${now.problem ? `. ${now.problem}` : ""}`);
        show(image, addresses.get(now.image));
      }),
    );
    if (missing.length) {
      missing.forEach((one) => wanted.add(one));
      model.send({ kind: "want", keys: missing });
    }
    for (const [one, address] of addresses) {
      if (addresses.size <= KEPT) break;
      if (shown.includes(one)) continue;
      URL.revokeObjectURL(address);
      addresses.delete(one);
    }
    mark();
  }

  function keep(one, data, mime) {
    if (addresses.has(one)) URL.revokeObjectURL(addresses.get(one));
    addresses.set(one, URL.createObjectURL(new Blob([data], { type: mime })));
    return addresses.get(one);
  }

  function heard(message, buffers) {
    if (message.kind === "images") {
      message.keys.forEach((one, number) => keep(one, buffers[number], message.mimes[number]));
      message.asked.forEach((one) => wanted.delete(one));
      draw();
    } else if (message.kind === "draw") draw();
    else if (message.kind === "focus") {
      focus();
      document.activeElement.scrollIntoView({ block: "nearest" });
    } else if (message.kind === "preview") {
      const one = cells[message.row]?.[message.col];
      if (!one) return;
      show(one.image, keep(`preview ${message.col}`, buffers[0], message.mime));
      one.words.textContent = "target: preview";
      one.box.setAttribute("aria-label", `${place(message.row, message.col)}: target, forming`);
    }
  }

  choose.addEventListener("click", pick);
  model.on("change:view", draw);
  model.on("change:selected", mark);
  model.on("msg:custom", heard);
  draw();
  return () => {
    addresses.forEach((address) => URL.revokeObjectURL(address));
    model.off("msg:custom", heard);
    model.off("change:view", draw);
    model.off("change:selected", mark);
  };
}

export default { render };
