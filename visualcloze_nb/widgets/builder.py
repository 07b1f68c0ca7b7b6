"""The grid builder: make a grid with your hands, run it, look at it being filled, and turn it around.

A thin view over `BuilderState`: each control calls one of its methods, and every change is shown from the
state alone. Works wherever ipywidgets do; with anywidget, images and cells can also be dragged.
"""

from __future__ import annotations

import html
from types import SimpleNamespace

import ipywidgets
from ipywidgets import HTML, BoundedIntText, Button, Checkbox, Dropdown, HBox, Text, Textarea, VBox

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import blank, compose_grid
from visualcloze_nb.data.prompts import layout_prompt
from visualcloze_nb.data.result import Result
from visualcloze_nb.errors import GridError, ImageError
from visualcloze_nb.widgets import gallery
from visualcloze_nb.widgets.code_export import code
from visualcloze_nb.widgets.error_output import Guard
from visualcloze_nb.widgets.plain_grid import PlainGrid, complaint, describe
from visualcloze_nb.widgets.run_panel import RunPanel
from visualcloze_nb.widgets.state import DIRECTIONS, MOST, BuilderState, place
from visualcloze_nb.widgets.static_page import Page, StaticImage

FILE_BYTES = 5_000_000  # of the plain form, which sends files as they are; messages of 10 MB are lost
SHOWN_CODE = 20_000  # letters; longer code is not put into the page
STYLE = {"description_width": "initial"}


def line(*widgets) -> HBox:
    """Put widgets side by side, on as many lines as they need."""
    return HBox(widgets, layout={"flex_flow": "row wrap"})


class GridBuilder:
    """A form for grids.

    Args:
        grid: what to begin with; else three empty rows of two cells.
        pipe: a pipeline to run, or a name for `visualcloze_nb.load`; loaded when it is first needed.
        drag_and_drop: whether files and cells can be dragged; needs anywidget. By default if it is there.

    Raises:
        ImportError: if `drag_and_drop` is asked for and anywidget is not installed.
    """

    def __init__(self, grid: Grid | None = None, pipe="tiny", *, drag_and_drop: bool | None = None):
        self.state = BuilderState(grid)
        self.guard = Guard()
        self.cells = self._make_cells(drag_and_drop)
        heard = {"on_guess": self._show_guess, "on_result": self._take_result, "on_end": self.cells.forget_guess}
        self.panel = RunPanel(lambda: self.grid, pipe, guard=self.guard, **heard)
        self._make_controls()
        self._wire()
        self._drawn = self.state.draft
        self.state.watch(self.refresh)
        self.box = VBox(
            [
                self.guard.message,
                line(self.ready, self.scene, self.examples, self.open),
                line(self.more_rows, self.fewer_rows, self.more_cols, self.fewer_cols, self.undo, self.redo),
                self.cells.box,
                self.cell_form,
                self.names_box,
                line(self.by_names, self.task),
                line(self.with_content, self.content),
                self.facts,
                self.panel.box,
                line(self.reverse, self.show_code),
                self.python,
            ]
        )
        self._page = Page(self.box, self._shown)
        self.refresh()

    # What readers use ---------------------------------------------------------------------------------------

    @property
    def grid(self) -> Grid:
        """The grid as built.

        Raises:
            GridError: naming the first cell that is not right.
        """
        return self.state.grid

    @property
    def result(self) -> Result | None:
        """What the last run gave, or None."""
        return self.panel.result

    def code(self, folder=None) -> str:
        """Write the Python that makes the same grid.

        Args:
            folder: where to save images as PNG; by default they are written into the code.

        Raises:
            GridError: if it is not a grid yet.
        """
        return code(self.state, folder)

    def show(self) -> None:
        """Display the builder: the grid as a static image, and the live form."""
        self._page.show()

    _ipython_display_ = show

    # The controls -------------------------------------------------------------------------------------------

    def _make_cells(self, drag_and_drop: bool | None):
        if drag_and_drop is not False:
            try:
                from visualcloze_nb.widgets.grid_view import DropGrid

                return DropGrid(self.state, self.guard)
            except ImportError:
                if drag_and_drop:
                    raise
        return PlainGrid(self.state, self.guard)

    def _make_controls(self) -> None:
        def number(text, value, low, high, width="150px"):
            return BoundedIntText(value, low, high, description=text, style=STYLE, layout={"width": width})

        def button(text, icon="", width="auto"):
            return Button(description=text, icon=icon, layout={"width": width})

        tasks = [(ready.label, ready) for ready in gallery.GALLERY]
        self.ready = Dropdown(options=tasks, description="Ready task", style=STYLE, layout={"width": "440px"})
        self.scene = number("Scene", 0, 0, gallery.MOST_SCENES - 1)
        self.examples = number("Examples", 2, 0, MOST - 1)
        self.open = button("Open task", "folder-open")
        self.more_rows, self.fewer_rows = button("Add row", "plus"), button("Remove row", "minus")
        self.more_cols, self.fewer_cols = button("Add column", "plus"), button("Remove column", "minus")
        self.undo, self.redo = button("Undo", "undo"), button("Redo", "repeat")

        self.heading = HTML()
        self.which = Dropdown(description="Cell", style=STYLE, layout={"width": "220px"})
        self.is_target = Checkbox(False, description="Target: to be filled in", indent=False)
        self.is_target.layout.width = "210px"
        self.clear = button("Empty this cell", "trash")
        self.file = ipywidgets.FileUpload(accept="image/*", description="Image file …", layout={"width": "auto"})
        self.file_note = HTML(f"PNG or JPEG, at most {FILE_BYTES / 1e6:.0f} MB")
        self.kind = Dropdown(options=gallery.KINDS, description="Toy image", style=STYLE, layout={"width": "220px"})
        self.toy_scene = number("Toy scene", 0, 0, 10**6)
        self.put_toy = button("Put toy image", "paint-brush")
        self.moves = {name: button(f"Move {name}", f"arrow-{name}") for name in DIRECTIONS}
        self.other = Dropdown(description="Swap with", style=STYLE, layout={"width": "240px"})
        self.swap = button("Swap", "exchange")
        from_file = [] if self.cells.takes_files else [line(self.file, self.file_note)]
        rows = [
            self.heading,
            line(self.which, self.is_target, self.clear),
            *from_file,
            line(self.kind, self.toy_scene, self.put_toy),
            line(*self.moves.values(), self.other, self.swap),
        ]
        self.cell_form = VBox(rows, layout={"border": "1px solid #767676", "padding": "4px 8px", "margin": "6px 0"})

        wide = {"width": "auto", "flex": "1 1 320px"}
        self.names_box, self.names = line(), []
        self.by_names = Checkbox(True, description="Written from the names", indent=False, layout={"width": "190px"})
        self.task = Textarea(description="Task", style=STYLE, continuous_update=False, layout=wide)
        self.with_content = Checkbox(False, description="Say what it shows", indent=False, layout={"width": "190px"})
        self.content = Text(description="Content", style=STYLE, continuous_update=False, layout=wide)
        self.facts = HTML()
        self.facts.add_class("vcnb-facts")
        self.reverse = button("Run it backwards: swap answers and conditions", "exchange")
        self.show_code = button("Show the Python", "code")
        self.python = HTML()

    def _wire(self) -> None:
        state, wire = self.state, self.guard.wire

        def here(method, *more):
            return lambda *_: method(*state.selected, *more)

        wire("open task", self.open, "click", self._open)
        wire("add row", self.more_rows, "click", lambda: state.resize(state.n_rows + 1, state.n_cols))
        wire("remove row", self.fewer_rows, "click", lambda: state.resize(state.n_rows - 1, state.n_cols))
        wire("add column", self.more_cols, "click", lambda: state.resize(state.n_rows, state.n_cols + 1))
        wire("remove column", self.fewer_cols, "click", lambda: state.resize(state.n_rows, state.n_cols - 1))
        wire("undo", self.undo, "click", self._undo)
        wire("redo", self.redo, "click", self._redo)
        wire("select", self.which, "value", lambda cell: cell and state.select(*cell), clears=False)
        wire("mark target", self.is_target, "value", self._mark)
        wire("empty cell", self.clear, "click", here(state.clear))
        wire("put file", self.file, "value", self._put_file)
        wire("put toy image", self.put_toy, "click", self._put_toy)
        for name, control in self.moves.items():
            wire(f"move {name}", control, "click", here(state.move, name))
        wire("swap", self.swap, "click", self._swap)
        wire("by names", self.by_names, "value", lambda on: state.write_task(None if on else state.draft.task_text))
        wire("task", self.task, "value", state.write_task)
        wire("with content", self.with_content, "value", self._with_content)
        wire("content", self.content, "value", state.write_content)
        wire("reverse", self.reverse, "click", state.reverse)
        wire("show code", self.show_code, "click", self._show_code)

    # What they do -------------------------------------------------------------------------------------------

    def _open(self) -> None:
        ready = self.ready.value
        self.guard.say("Drawing the toy world … (the first time it takes some seconds)")
        self.state.open(gallery.open_ready(ready, self.scene.value, self.examples.value))
        last = self.state.n_rows - 1
        self.state.select(last, min(self.state.draft.targets))
        practised = "has practised" if gallery.practised(ready) else "has not practised"
        self.guard.say(f"{ready.label}. The bundled model {practised} this task.")

    def _undo(self) -> None:
        if not self.state.undo():
            self.guard.say("There is nothing to undo.")

    def _redo(self) -> None:
        if not self.state.redo():
            self.guard.say("There is nothing to do again.")

    def _mark(self, target: bool) -> None:
        row, col = self.state.selected
        if row != self.state.n_rows - 1:
            raise GridError(f"{place(row, col)} is in an example: only the last row has targets")
        self.state.mark(col, target)

    def _swap(self) -> None:
        if self.other.value is None:
            raise GridError(f"{place(*self.state.selected)}: choose the other cell to swap with")
        self.state.swap(self.state.selected, self.other.value)

    def _put_file(self, files) -> None:
        row, col = self.state.selected
        for file in files:
            if file["size"] > FILE_BYTES:
                size = f"{file['size'] / 1e6:.1f} MB, over the limit of {FILE_BYTES / 1e6:.0f} MB"
                why = f"{place(row, col)}: {file['name']} is {size}: save a smaller version"
                self.state.refuse(row, col, why)
                raise ImageError(why)
            try:
                self.state.put(row, col, bytes(file["content"]), file["name"])
            finally:
                with self.guard.quietly():
                    self.file.value = ()

    def _put_toy(self) -> None:
        self.guard.say("Drawing … (the first time it takes some seconds)")
        cell = gallery.toy_cell(self.kind.value, self.toy_scene.value)
        self.state.put(*self.state.selected, cell.image, cell.note, cell.origin)
        self.guard.clear()

    def _with_content(self, on: bool) -> None:
        self.state.write_content(self.content.value if on else None)

    def _show_code(self) -> None:
        text = self.code()
        if len(text) > SHOWN_CODE:
            text = (
                f"# {len(text)} letters, most of them images. Too long to show here.\n"
                "# builder.code() gives them all; builder.code(folder='images') saves the images as files.\n"
            )
        self.python.value = f'<pre tabindex="0" aria-label="Python that makes this grid">{html.escape(text)}</pre>'

    def _show_guess(self, number: int, image) -> None:
        targets = self.panel.asked.targets
        if targets == tuple(sorted(self.state.draft.targets)):
            self.cells.show_guess(targets[number], image)

    def _take_result(self, result: Result) -> None:
        if self.state.problem or self.grid != result.grid:
            self.guard.say("The grid was changed during the run: the result is below, and in builder.result.")
            self.refresh()
            return
        self.state.take_answers(result.images, f"from the model, seed {result.seed}")

    # Showing the state --------------------------------------------------------------------------------------

    def refresh(self) -> None:
        """Show the state as it is now."""
        with self.guard.quietly():
            state, draft = self.state, self.state.draft
            self.cells.refresh()
            self._refresh_cell_form()
            self._refresh_names()
            self.by_names.value = draft.task is None
            self.task.value, self.task.disabled = draft.task_text, draft.task is None
            self.with_content.value = draft.content is not None
            self.content.disabled = draft.content is None
            if draft.content is not None:
                self.content.value = draft.content
            self.more_rows.disabled, self.fewer_rows.disabled = state.n_rows >= MOST, state.n_rows <= 1
            self.more_cols.disabled, self.fewer_cols.disabled = state.n_cols >= MOST, state.n_cols <= 1
            self.undo.disabled, self.redo.disabled = not state.can_undo, not state.can_redo
            self.reverse.disabled = not draft.answers
            layout = html.escape(layout_prompt(state.n_rows, state.n_cols))
            problem = html.escape(state.problem)
            ready = f'<span aria-hidden="true">⚠</span> Not ready: {problem}' if problem else "✓ Ready to run."
            self.facts.value = f"Layout prompt: {layout}<br>{ready}"
            self.panel.refresh()
            if draft is not self._drawn:
                self._drawn = draft
                self.python.value = ""
                self._page.update()

    def _refresh_cell_form(self) -> None:
        state = self.state
        row, col = state.selected
        places = [(place(r, c), (r, c)) for r in range(state.n_rows) for c in range(state.n_cols)]
        for control in (self.which, self.other):
            if tuple(control.options) != tuple(places):
                control.options = places
        self.which.value = row, col
        words = describe(state, row, col)[1]
        wrong = complaint(state, row, col)
        alert = f'<div class="vcnb-error">{html.escape(wrong)}</div>' if wrong else ""
        self.heading.value = f"<h4>Chosen cell: {place(row, col)} ({html.escape(words)})</h4>{alert}"
        self.is_target.disabled = row != state.n_rows - 1
        self.is_target.value = state.is_target(row, col)

    def _refresh_names(self) -> None:
        names = self.state.draft.names
        if len(names) != len(self.names):
            common = {"placeholder": "a depth map", "style": STYLE, "continuous_update": False}
            self.names = [Text(description=f"Column {col + 1} is", **common) for col in range(len(names))]
            for col, text in enumerate(self.names):
                text.layout.width = "230px"
                self.guard.wire(f"name column {col + 1}", text, "value", lambda _: self._name_columns())
            self.names_box.children = self.names
        for text, name in zip(self.names, names, strict=True):
            text.value = name

    def _name_columns(self) -> None:
        self.state.name_columns(text.value for text in self.names)

    def _shown(self) -> StaticImage:
        """The grid as it is, finished or not, as one image."""
        state = self.state
        rows = [[state.shown(r, c).image for c in range(state.n_cols)] for r in range(state.n_rows)]
        for row in rows:
            if not any(row):
                row[:] = [blank(64, 64)] * len(row)  # `compose_grid` takes each row's size from an image
        drawn = SimpleNamespace(rows=rows, n_rows=state.n_rows, n_cols=state.n_cols)
        names = state.draft.names if all(state.draft.names) else None
        image = compose_grid(drawn, titles=names, outline=sorted(state.draft.targets))
        cells = [f"{place(r, c)}: {describe(state, r, c)[1]}" for r in range(state.n_rows) for c in range(state.n_cols)]
        return StaticImage(image, f"Grid builder. {'; '.join(cells)}.")
