"""Form for the builder's texts: column names, task prompt, content prompt."""

from __future__ import annotations

import html
from itertools import zip_longest

from ipywidgets import HTML, Checkbox, Text, Textarea

from visualcloze_nb.data.prompts import layout_prompt
from visualcloze_nb.widgets.controls import FULL_LABEL, Fold, row
from visualcloze_nb.widgets.draft import MAX_SIDE
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.state import BuilderState


class PromptForm:
    """Controls for the texts of a grid.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.

    Attributes:
        names_row: the names of the columns.
        box: the other texts.
    """

    def __init__(self, state: BuilderState, errors: ErrorOutput):
        self.state, self.errors = state, errors
        wide = {"width": "auto", "flex": "1 1 240px"}
        common = {"style": FULL_LABEL, "continuous_update": False, "layout": wide}
        self._fields = [self._name_field(col) for col in range(MAX_SIDE)]  # shown and hidden, not made anew
        self.from_names = Checkbox(True, description="Written from the names", indent=False, layout={"width": "190px"})
        self.task = Textarea(description="Task", **common)
        self.with_content = Checkbox(False, description="Describe the target", indent=False, layout={"width": "190px"})
        self.content = Text(description="Content", **common)
        errors.connect("from names", self.from_names, "value", self._from_names)
        errors.connect("task", self.task, "value", state.write_task)
        errors.connect("with content", self.with_content, "value", self._with_content)
        errors.connect("content", self.content, "value", state.write_content)
        self.names_row = row(*self._fields)
        self.layout_prompt = HTML()
        self.layout_prompt.add_class("vcnb-facts")
        texts = (row(self.from_names, self.task), row(self.with_content, self.content), self.layout_prompt)
        self.box = Fold("Texts", *texts)

    @property
    def names(self) -> list[Text]:
        """The fields of the columns that there are."""
        return self._fields[: self.state.n_cols]

    def refresh(self) -> None:
        """Show the current state."""
        draft = self.state.draft
        for field, name in zip_longest(self._fields, draft.names):
            field.layout.display = "none" if name is None else None
            field.value = name or ""
        self.layout_prompt.value = f"Layout prompt: {html.escape(layout_prompt(self.state.n_rows, self.state.n_cols))}"
        self.from_names.value = draft.task is None
        self.task.value, self.task.disabled = draft.task_text, draft.task is None
        self.with_content.value = draft.content is not None
        self.content.disabled = draft.content is None
        if draft.content is not None:
            self.content.value = draft.content

    def _name_field(self, col: int) -> Text:
        field = Text(description=f"Column {col + 1} is", placeholder="a depth map", style=FULL_LABEL)
        field.continuous_update, field.layout.width = False, "220px"
        self.errors.connect(f"name column {col + 1}", field, "value", lambda _: self._name_columns())
        return field

    def _name_columns(self) -> None:
        self.state.name_columns(field.value for field in self.names)

    def _from_names(self, on: bool) -> None:
        self.state.write_task(None if on else self.state.draft.task_text)

    def _with_content(self, on: bool) -> None:
        self.state.write_content(self.content.value if on else None)
