// Grid view: drag files and cells, or use the keyboard. State arrives as traits, actions are sent as messages; the
// only decision made here is how far a photograph is shrunk before it is sent.

class Refused extends Error {}

const megabytes = (bytes) =>
  bytes < 1e5 ? Math.ceil(bytes / 1e3) + " kB" : (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";

// A file to at most `limits.sent` bytes: as it is where it is small, else redrawn as JPEG on white.
export async function shrink(file, limits) {
  if (file.size > limits.file) {
    throw new Refused(`is ${megabytes(file.size)}, over the limit of ${megabytes(limits.file)}: save a smaller version`);
  }
  if (file.size === 0) throw new Refused("is empty (0 bytes): choose an image file");
  let image;
  try {
    image = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // Python reads formats that browsers do not, and says best what is wrong with the others.
    if (file.size <= limits.sent) return { data: await file.arrayBuffer(), from: null };
    throw new Refused("is not an image that a browser can read: save it as PNG or JPEG");
  }
  const { width, height } = image;
  if (file.size <= limits.sent && Math.max(width, height) <= limits.side) {
    image.close();
    return { data: await file.arrayBuffer(), from: null };
  }
  const canvas = document.createElement("canvas");
  for (let scale = Math.min(1, limits.side / Math.max(width, height)); ; scale *= 0.8) {
    canvas.width = Math.max(1, Math.round(width * scale));
    canvas.height = Math.max(1, Math.round(height * scale));
    const pen = canvas.getContext("2d");
    pen.fillStyle = "white";
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.imageSmoothingQuality = "high";
    pen.drawImage(image, 0, 0, canvas.width, canvas.height);
    const blob = await new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.9));
    if (blob && blob.size <= limits.sent) {
      image.close();
      return { data: await blob.arrayBuffer(), from: [width, height] };
    }
    if (scale < 0.01) throw new Refused("cannot be made small enough to be sent: save a smaller version");
  }
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

// JupyterLab would otherwise take the focused element's keys, Ctrl+Z too, for the notebook (see keyboard.js).
const OURS = { "data-lm-suppress-shortcuts": "true" };

const SUMMARY =
  "Arrow keys: go to a cell. Enter: choose a file for it. Space: mark or unmark a target in the query row. " +
  "Shift and an arrow key: swap with the neighbour. Delete: empty the cell. Ctrl+Z: undo. " +
  "Or drag: a file onto a cell, a cell onto another.";

function render({ model, el }) {
  let dragged = null; // the cell that is being dragged
  let cells = []; // elements, by row and column
  let shape = "";
  let images = []; // object URLs to revoke

  const file = element("input", { type: "file", accept: "image/*", multiple: "", tabindex: "-1", "aria-hidden": "true" });
  file.style.display = "none";
  const table = element("div", { role: "grid", "aria-label": "Grid of images: examples above, query in the last row" });
  const choose = element("button", { type: "button", class: "vcnb-choose", ...OURS });
  const said = element("div", { role: "status", "aria-live": "polite", class: "vcnb-said" });
  const help = element("details", {}, element("summary", OURS, "Keys"), element("p", {}, SUMMARY));
  const root = element("div", { class: "vcnb-drop" }, table, choose, file, said, help);
  el.append(root);

  const at = () => model.get("selected");
  const place = (row, col) => `row ${row + 1}, column ${col + 1}`;
  const send = (kind, row, col, more = {}, buffers = []) => model.send({ kind, row, col, ...more }, undefined, buffers);

  async function take(files, row, col) {
    const [rows, cols] = [cells.length, cells[0].length];
    for (const [number, one] of [...files].entries()) {
      const index = row * cols + col + number; // several files go into the following cells
      if (index >= rows * cols) break;
      const [r, c] = [Math.floor(index / cols), index % cols];
      said.textContent = `Reading ${one.name} for ${place(r, c)}`;
      try {
        const { data, from } = await shrink(one, model.get("limits"));
        send("put", r, c, { name: one.name, from }, [data]);
        said.textContent = from
          ? `${one.name}: ${from[0]} x ${from[1]}, sent smaller (${megabytes(data.byteLength)})`
          : `${one.name}: sent as it is (${megabytes(data.byteLength)})`;
      } catch (error) {
        const why = error instanceof Refused ? error.message : `cannot be used (${error.message})`;
        send("refuse", r, c, { name: one.name, why });
        said.textContent = `${one.name} ${why}`;
      }
    }
  }

  function go(row, col, focus = true) {
    row = Math.max(0, Math.min(row, cells.length - 1));
    col = Math.max(0, Math.min(col, cells[0].length - 1));
    const [r, c] = at();
    if (r !== row || c !== col) {
      model.set("selected", [row, col]);
      model.save_changes();
      mark();
    }
    if (focus) cells[row][col].box.focus();
  }

  function pick() {
    file.value = "";
    file.click();
  }

  const STEP = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] };

  function key(event, row, col) {
    if (event.altKey || (event.metaKey && event.key !== "z")) return;
    const step = STEP[event.key];
    if (step && event.shiftKey) {
      const [r, c] = [row + step[0], col + step[1]];
      if (cells[r]?.[c]) {
        send("swap", row, col, { to_row: r, to_col: c });
        cells[r][c].box.focus();
      }
    } else if (step) go(row + step[0], col + step[1]);
    else if (event.key === "Home") go(row, 0);
    else if (event.key === "End") go(row, cells[0].length - 1);
    else if (event.key === "Enter") pick();
    else if (event.key === " ") send("mark", row, col);
    else if (event.key === "Delete" || event.key === "Backspace") send("clear", row, col);
    else if (event.key === "z" && (event.ctrlKey || event.metaKey)) send(event.shiftKey ? "redo" : "undo", row, col);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  function cell(row, col) {
    const image = element("img", { alt: "", draggable: "false" });
    const words = element("span", { class: "vcnb-words" });
    const problem = element("span", { class: "vcnb-problem" });
    const box = element("div", { role: "gridcell", class: "vcnb-cell", draggable: "true", ...OURS }, image, words, problem);
    box.addEventListener("keydown", (event) => key(event, row, col));
    box.addEventListener("focus", () => go(row, col, false));
    box.addEventListener("click", () => go(row, col));
    box.addEventListener("dblclick", pick);
    box.addEventListener("dragstart", (event) => {
      dragged = [row, col];
      event.dataTransfer.setData("text/plain", place(row, col));
      event.dataTransfer.effectAllowed = "move";
    });
    box.addEventListener("dragend", () => (dragged = null));
    box.addEventListener("dragover", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.add("vcnb-over");
    });
    box.addEventListener("dragleave", () => box.classList.remove("vcnb-over"));
    box.addEventListener("drop", (event) => {
      event.preventDefault();
      event.stopPropagation();
      box.classList.remove("vcnb-over");
      if (event.dataTransfer.files.length) take(event.dataTransfer.files, row, col);
      else if (dragged) send("swap", ...dragged, { to_row: row, to_col: col });
      dragged = null;
    });
    return { box, image, words, problem };
  }

  function build(rows, cols) {
    const heads = [...Array(cols).keys()].map(() => element("div", { role: "columnheader" }));
    table.replaceChildren(element("div", { role: "row" }, element("div", { role: "columnheader" }), ...heads));
    cells = [...Array(rows).keys()].map((row) => {
      const line = [...Array(cols).keys()].map((col) => cell(row, col));
      const name = row === rows - 1 ? "query" : `example ${row + 1}`;
      const boxes = line.map((one) => one.box);
      table.append(element("div", { role: "row" }, element("div", { role: "rowheader" }, name), ...boxes));
      return line;
    });
    table.style.setProperty("--cols", cols);
  }

  function mark() {
    const [row, col] = at();
    cells.forEach((line, r) =>
      line.forEach(({ box }, c) => {
        const chosen = r === row && c === col;
        box.tabIndex = chosen ? 0 : -1;
        box.setAttribute("aria-selected", chosen);
      }),
    );
    choose.textContent = `Choose a file for ${place(row, col)} …`;
  }

  function image(one, data, mime) {
    const address = URL.createObjectURL(new Blob([data], { type: mime }));
    images.push(address);
    one.image.src = address;
    one.image.hidden = false;
  }

  function draw() {
    const sent = model.get("cells");
    if (!sent.length) return;
    const next = `${sent.length} x ${sent[0].length}`;
    if (next !== shape) {
      const inside = table.contains(document.activeElement);
      build(sent.length, sent[0].length);
      shape = next;
      if (inside) queueMicrotask(() => go(...at()));
    }
    images.splice(0).forEach((address) => URL.revokeObjectURL(address));
    model.get("headings").forEach((name, col) => {
      table.firstChild.children[col + 1].textContent = name;
    });
    sent.forEach((line, row) =>
      line.forEach((now, col) => {
        const one = cells[row][col];
        one.box.dataset.kind = now.kind;
        one.words.textContent = now.text;
        one.problem.textContent = now.problem ? `⚠ ${now.problem}` : "";
        if (now.refused) one.problem.setAttribute("role", "alert");
        else one.problem.removeAttribute("role");
        one.box.setAttribute("aria-label", `${place(row, col)}: ${now.text}${now.problem ? `. ${now.problem}` : ""}`);
        if (now.mime) image(one, now.image, now.mime);
        else {
          one.image.hidden = true;
          one.image.removeAttribute("src");
        }
      }),
    );
    mark();
  }

  function heard(message, buffers) {
    if (message.kind === "draw") draw();
    if (message.kind !== "preview") return;
    const one = cells[message.row]?.[message.col];
    if (!one) return;
    image(one, buffers[0], message.mime);
    one.words.textContent = "target: preview";
  }

  choose.addEventListener("click", pick);
  file.addEventListener("change", () => {
    take(file.files, ...at());
    cells[at()[0]][at()[1]].box.focus();
  });
  model.on("change:cells change:headings", draw);
  model.on("change:selected", () => cells.length && mark());
  model.on("msg:custom", heard);
  draw();
  return () => {
    images.forEach((address) => URL.revokeObjectURL(address));
    model.off("msg:custom", heard);
  };
}

export default { render };
