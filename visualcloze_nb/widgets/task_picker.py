"""Picker of example tasks: a card for each, by family, with the kinds of its columns as thumbnails."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from visualcloze_nb import tasks
from visualcloze_nb.widgets import gallery, photo_gallery
from visualcloze_nb.widgets.cards import HERE, Cards
from visualcloze_nb.widgets.controls import Fold, number, row
from visualcloze_nb.widgets.draft import MAX_SIDE
from visualcloze_nb.widgets.error_output import ErrorOutput
from visualcloze_nb.widgets.state import BuilderState

TOY_SHEET = HERE / "task_cards_toy.jpg"  # made by: python -m tools.task_cards


class TaskPicker:
    """Opens example tasks in a builder.

    Args:
        state: of the builder.
        errors: shows what the handlers raise.
        photographs: whether to offer tasks on photographs, in place of toy tasks.
        opened: called after a task was opened.
        plain: without cards, for front ends that block scripts.

    Attributes:
        tasks: what can be opened, in the order of the cards.
        box: the widget.
    """

    def __init__(
        self,
        state: BuilderState,
        errors: ErrorOutput,
        photographs: bool,
        opened: Callable[[], object],
        plain: bool = False,
    ):
        self.state, self.errors, self._opened = state, errors, opened
        self._source: Any = photo_gallery if photographs else gallery
        self.scene = self._source.scene_control()
        self.examples = number("Examples", 2, 0, MAX_SIDE - 1)
        self.tasks = [task for _, task in self._source.choices()]
        sheet = b"" if plain else photo_gallery.thumbnails() if photographs else TOY_SHEET.read_bytes()
        self.cards = Cards(errors, "Example task", self.open, plain, sheet)
        self.cards.show([self._card(task) for task in self.tasks])
        self.box = Fold("Start from an example task", self.cards.box, row(self.scene, self.examples))

    def open(self, which: int) -> None:
        """Open a task by its number, and select its first target."""
        task = self.tasks[which]
        self.errors.show_text("Making the images … (the first time it takes some seconds)")
        draft = self._source.open_task(task, self.scene.value, self.examples.value)
        self.state.open(draft)
        self.state.select(self.state.n_rows - 1, min(self.state.draft.targets))
        self.box.fold()
        self._opened()
        self.errors.show_text(self._source.about(task))

    def _card(self, task: Any) -> dict[str, Any]:
        if isinstance(task, gallery.GalleryTask):
            kinds, columns, says = toy_kinds(), columns_of(task.task), "reversed" if task.targets else ""
            return {"title": task.title, "group": task.family, "says": says, "tiles": [kinds.index(k) for k in columns]}
        kinds = list(tasks.KINDS)
        return {"title": task.name, "group": task.group.name, "tiles": [kinds.index(k) for k in task.columns]}


def columns_of(path: str) -> list[str]:
    """The kinds of a toy task's columns: `a + b > c` has three."""
    return re.split(r"\s*[+>]\s*", path)


def toy_kinds() -> list[str]:
    """The kinds of all toy tasks, in the order of the sheet of thumbnails."""
    return list(dict.fromkeys(kind for task in gallery.GALLERY for kind in columns_of(task.task)))
