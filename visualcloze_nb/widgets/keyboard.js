// JupyterLab takes arrow keys and letters for the notebook, even where a list or a slider has the focus: an
// arrow would go to another cell, D D would delete one. Inside our forms plain keys belong to the form; those
// with Ctrl or Cmd (save, run) stay Jupyter's. This handler runs first: the window gets a key before the document.

function render({ el }) {
  el.style.display = "none";
  el.dataset.keyboard = "ready";
  const heard = (event) => {
    if (!el.closest(".vcnb")?.contains(event.target) || event.target.closest(".vcnb-drop")) return;
    // The mark counts only on the focused element itself: JupyterLab's shortcuts ask for `:focus`.
    event.target.toggleAttribute("data-lm-suppress-shortcuts", !(event.ctrlKey || event.metaKey));
  };
  // ipywidgets leaves the handle of a slider without a name.
  const name = (event) => {
    const handle = event.target.closest?.(".vcnb .noUi-handle");
    const label = handle?.closest(".widget-slider, .jupyter-widget-slider")?.querySelector("label");
    if (label) handle.setAttribute("aria-label", label.textContent);
  };
  window.addEventListener("keydown", heard, true);
  window.addEventListener("focusin", name, true);
  return () => {
    window.removeEventListener("keydown", heard, true);
    window.removeEventListener("focusin", name, true);
  };
}

export default { render };
