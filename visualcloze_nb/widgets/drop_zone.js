// Drop zone: takes the images that are dropped, pasted or chosen anywhere on the builder, and sends each to the kernel.
// Which cell an image goes to is decided there; the only decision made here is how far a photograph is shrunk.

class Refused extends Error {}

class NotFetched extends Error {
  constructor(name, host) {
    super(`${name} cannot be fetched from ${host}`);
    Object.assign(this, { name, host });
  }
}

const MOST = 100; // files of one drop: a folder of thousands is a mistake
const IMAGE = /\.(png|jpe?g|gif|webp|bmp|tiff?|avif|heic|heif|jp2|ico|psd|ppm|pgm)$/i;

const megabytes = (bytes) =>
  bytes < 1e5 ? Math.ceil(bytes / 1e3) + " kB" : (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0) + " MB";

// Whether a JPEG or PNG breaks off before its end. Firefox draws the rest white, as if nothing were wrong.
function breaksOff(bytes) {
  let [end, at] = [[], 0];
  if (bytes[0] === 0x89 && bytes[1] === 0x50) end = [0x49, 0x45, 0x4e, 0x44]; // IEND
  if (bytes[0] === 0xff && bytes[1] === 0xd8) {
    end = [0xff, 0xd9]; // EOI, after the headers: the thumbnail in them has one too
    for (at = 2; bytes[at] === 0xff && bytes[at + 1] !== 0xda; ) {
      at += bytes[at + 1] === 0xff ? 1 : 2 + bytes[at + 2] * 256 + bytes[at + 3]; // headers may be filled up with FF
    }
  }
  for (; at < bytes.length; at++) if (end.every((byte, number) => bytes[at + number] === byte)) return false;
  return end.length > 0;
}

// A file to at most `limits.sent` bytes: as it is where it is small, else redrawn as JPEG on white.
async function shrink(file, limits) {
  if (file.size > limits.file) {
    throw new Refused(`is ${megabytes(file.size)}, over the limit of ${megabytes(limits.file)}: save a smaller version`);
  }
  if (file.size === 0) throw new Refused("is empty (0 bytes): choose an image file");
  let image;
  const cut = breaksOff(new Uint8Array(await file.arrayBuffer()));
  try {
    if (cut) throw new Error();
    image = await createImageBitmap(file, { imageOrientation: "from-image" });
  } catch {
    // Python reads formats that browsers do not, and says best what is wrong with the others.
    if (file.size <= limits.sent) return { data: await file.arrayBuffer(), from: null };
    if (cut) throw new Refused("breaks off before its end: copy or download it again");
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

// A folder's files, by name, also those of its folders. Entries must be taken from the event before it ends.
async function filesOf(entry) {
  if (entry.isFile) return [await new Promise((done, failed) => entry.file(done, failed))];
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const some = await new Promise((done, failed) => reader.readEntries(done, failed));
    if (!some.length) break;
    found.push(...some);
  }
  found.sort((one, other) => one.name.localeCompare(other.name, undefined, { numeric: true }));
  const files = [];
  for (const one of found) files.push(...(await filesOf(one)));
  const image = (file) => file.type.startsWith("image/") || IMAGE.test(file.name); // a folder has other files too
  return files.filter((file) => image(file) && !file.name.startsWith(".")); // ._cat.jpg is a Mac's note on cat.jpg
}

// The image behind a dragged or pasted address; most sites do not let another page read theirs.
async function fetched(address) {
  const last = address.startsWith("data:") ? "pasted.png" : new URL(address).pathname.split("/").pop();
  let name = last || "image";
  try {
    name = decodeURIComponent(name);
  } catch {
    // a name with a bare % is shown as it is
  }
  try {
    const answer = await fetch(address);
    if (!answer.ok) throw new Error();
    const blob = await answer.blob();
    return new File([blob], name, { type: blob.type });
  } catch {
    throw new NotFetched(name, address.startsWith("data:") ? "this address" : new URL(address).host);
  }
}

function addressIn(data) {
  const list = data.getData("text/uri-list").split(/\r?\n/).find((line) => line && !line.startsWith("#"));
  const source = new DOMParser().parseFromString(data.getData("text/html"), "text/html").querySelector("img")?.src;
  const text = data.getData("text/plain").trim();
  const address = source || list || text;
  return /^(https?:\/\/|data:image\/|blob:)\S+$/.test(address) ? address : null;
}

function render({ model, el }) {
  const file = document.createElement("input");
  Object.assign(file, { type: "file", multiple: true, accept: "image/*", tabIndex: -1, hidden: true });
  file.setAttribute("aria-label", "Image files");
  const said = document.createElement("div");
  said.className = "vcnb-said";
  said.setAttribute("role", "status");
  el.append(file, said);

  const root = () => el.closest(".vcnb");
  const ours = (event) => root()?.contains(event.target);
  const cellOf = (event) => event.target.closest?.('[role="gridcell"]');
  const place = (cell) => (cell ? [Number(cell.dataset.row), Number(cell.dataset.col)] : null);
  const typing = (event) => event.target.closest?.("input:not([type=file], [type=checkbox]), textarea");

  let before = Promise.resolve(); // one drop after the other: the kernel places the files of one at a time
  const take = (files, at) => (before = before.then(() => sendAll(files, at)));

  async function sendAll(files, at) {
    const batch = `${Date.now()}-${Math.random()}`;
    const send = (kind, number, more, buffers) =>
      model.send({ kind, batch, number, total: files.length, at, ...more }, undefined, buffers);
    for (const [number, one] of files.entries()) {
      said.textContent = `Reading ${one.name} (${number + 1} of ${files.length})`;
      try {
        const { data, from } = await shrink(one, model.get("limits"));
        send("put", number, { name: one.name, from }, [data]);
        const sent = from ? `${from[0]} x ${from[1]}, sent smaller` : "sent as it is";
        said.textContent = `${one.name}: ${sent} (${megabytes(data.byteLength)})`;
      } catch (error) {
        const why = error instanceof Refused ? error.message : `cannot be used (${error.message})`;
        send("refuse", number, { name: one.name, why });
        said.textContent = `${one.name} ${why}`;
      }
    }
    if (!files.length) said.textContent = "There is no image in what came: drop image files, or a folder of them";
  }

  async function takeFrom(data, at) {
    const entries = [...data.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.());
    const plain = [...data.files];
    const address = addressIn(data);
    try {
      const known = entries.filter(Boolean);
      const found = known.some((entry) => entry.isDirectory) ? (await Promise.all(known.map(filesOf))).flat() : plain;
      if (found.length > MOST) throw new Error(`${found.length} files came at once, and a grid takes 24: drop fewer`);
      if (found.length) return await take(found, at);
      if (!address) return await take([], at);
      said.textContent = "Fetching the image …";
      await take([await fetched(address)], at);
    } catch (error) {
      said.textContent = error.message;
      if (error instanceof NotFetched) model.send({ kind: "failed", name: error.name, host: error.host });
    }
  }

  const carries = (data) =>
    !data.types.includes("application/x-vcnb-cell") &&
    (data.types.includes("Files") || data.types.includes("text/uri-list"));

  let over = null;
  const lift = () => {
    over?.classList.remove("vcnb-over");
    over = null;
  };
  const heard = {
    dragover(event) {
      lift();
      if (!ours(event) || !carries(event.dataTransfer)) return;
      event.preventDefault();
      event.stopPropagation();
      event.dataTransfer.dropEffect = "copy";
      over = cellOf(event) || root();
      over.classList.add("vcnb-over");
    },
    dragleave: lift,
    drop(event) {
      lift();
      if (!ours(event) || !carries(event.dataTransfer)) return;
      event.preventDefault();
      event.stopPropagation();
      takeFrom(event.dataTransfer, place(cellOf(event)));
    },
    paste(event) {
      const data = event.clipboardData;
      if (!ours(event) || typing(event) || !(data.files.length || addressIn(data))) return;
      event.preventDefault();
      event.stopPropagation();
      takeFrom(data, place(cellOf(event)));
    },
    // The grid's button and its Enter key open the dialogue, as only what the reader did may.
    "vcnb-choose"(event) {
      if (!ours(event)) return;
      chosenFor = event.detail;
      file.value = "";
      file.click();
    },
  };
  let chosenFor = null;
  file.addEventListener("change", () => take([...file.files], chosenFor));
  for (const [kind, handler] of Object.entries(heard)) window.addEventListener(kind, handler, true);
  return () => {
    for (const [kind, handler] of Object.entries(heard)) window.removeEventListener(kind, handler, true);
  };
}

export default { render };
