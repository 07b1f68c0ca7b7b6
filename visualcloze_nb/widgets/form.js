// What ipywidgets leaves to the page: keys that reach the form, names and roles for assistive technology, copying.

// A region must be there, and be known as live, before its text changes: else a screen reader stays silent.
const ROLES = [
  [".vcnb-message, .vcnb-status", { role: "status", "aria-live": "polite" }],
  [".vcnb-progress .progress", { role: "progressbar", "aria-label": "Progress of the run", "aria-valuemin": 0, "aria-valuemax": 100 }],
];

async function copy(button) {
  const text = button.closest(".vcnb-code").querySelector("pre").textContent;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const field = Object.assign(document.createElement("textarea"), { value: text }); // where a page may not write there
    button.after(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
  button.textContent = "Copied";
}

function render({ el }) {
  el.style.display = "none";
  const root = () => el.closest(".vcnb");

  // A button that is switched off loses the focus, in Firefox to the top of the page. Run, pressed by key, hands it to
  // Cancel, and Cancel gives it back, unless the reader has gone elsewhere.
  let pressed = null;
  function keepFocus() {
    if (!pressed?.disabled || ![pressed, document.body].includes(document.activeElement)) return;
    const other = [pressed.nextElementSibling, pressed.previousElementSibling].find((one) => one?.matches("button"));
    if (!other || other.disabled) return; // it is switched on a moment later
    other.focus({ preventScroll: true });
    pressed = other;
  }

  function name() {
    keepFocus();
    for (const [selector, attributes] of ROLES) {
      for (const found of root()?.querySelectorAll(selector) ?? []) {
        for (const [key, value] of Object.entries(attributes)) {
          if (found.getAttribute(key) !== String(value)) found.setAttribute(key, value);
        }
      }
    }
    for (const bar of root()?.querySelectorAll(".vcnb-progress .progress-bar") ?? []) {
      const percent = String(Math.round(parseFloat(bar.style.width) || 0));
      if (bar.parentElement.getAttribute("aria-valuenow") !== percent) {
        bar.parentElement.setAttribute("aria-valuenow", percent);
      }
    }
    // ipywidgets leaves the handle of a slider without a name, and gives its readable text to nobody.
    for (const handle of root()?.querySelectorAll(".noUi-handle") ?? []) {
      const slider = handle.closest(".widget-slider, .jupyter-widget-slider");
      const label = slider?.querySelector("label")?.textContent;
      const text = slider?.querySelector(".widget-readout")?.textContent;
      if (label && handle.getAttribute("aria-label") !== label) handle.setAttribute("aria-label", label);
      if (text && handle.getAttribute("aria-valuetext") !== text) handle.setAttribute("aria-valuetext", text);
    }
  }

  const ours = (event) => root()?.contains(event.target);
  // JupyterLab takes arrow keys and letters for the notebook, even where a list or a slider has the focus: an arrow
  // would go to another cell, D D would delete one. Inside our forms plain keys belong to the form; those with Ctrl or
  // Cmd (save, run) stay Jupyter's. This handler runs first: the window gets a key before the document.
  const key = (event) => {
    if (!ours(event)) return;
    const command = event.ctrlKey || event.metaKey;
    if (/^(Enter| )$/.test(event.key) && event.target.matches(".mod-primary, .mod-primary + button")) {
      pressed = event.target;
    }
    const own = event.target.closest(".vcnb-grid") && /^(z|v|home|end)$/i.test(event.key); // undo, paste, first, last
    // The mark counts only on the focused element itself: JupyterLab's shortcuts ask for `:focus`.
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !command || Boolean(own));
  };
  const click = (event) => {
    if (ours(event) && event.target.closest(".vcnb-copy")) copy(event.target.closest(".vcnb-copy"));
  };

  const point = () => (pressed = null); // the reader has gone on by mouse

  const watcher = new MutationObserver(name);
  const waiting = setInterval(() => {
    if (!root()) return; // not on the page yet
    clearInterval(waiting);
    const attributeFilter = ["style", "disabled"];
    watcher.observe(root(), { childList: true, subtree: true, characterData: true, attributes: true, attributeFilter });
    name();
    el.dataset.keyboard = "ready";
  }, 30);
  window.addEventListener("keydown", key, true);
  window.addEventListener("click", click, true);
  window.addEventListener("pointerdown", point, true);
  return () => {
    clearInterval(waiting);
    watcher.disconnect();
    window.removeEventListener("keydown", key, true);
    window.removeEventListener("click", click, true);
    window.removeEventListener("pointerdown", point, true);
  };
}

export default { render };
