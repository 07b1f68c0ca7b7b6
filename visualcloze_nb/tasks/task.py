"""A task of the catalogue: its columns, its texts, and the settings that the authors run it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from visualcloze_nb.data.checks import as_list, column
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.images import ImageSource
from visualcloze_nb.errors import GridError, UsageError
from visualcloze_nb.settings import PHOTOGRAPH, PHOTOGRAPH_SIDE
from visualcloze_nb.tasks.groups import GROUPS, NOISE, Group
from visualcloze_nb.tasks.stage2 import strength_of
from visualcloze_nb.tasks.wordings import task_sentence

if TYPE_CHECKING:
    from visualcloze_nb.tasks.samples import PhotoRow, Sample

STAGE2_STEPS = 10  # that the authors' demo takes, whatever the strength


@dataclass(frozen=True)
class Task:
    """One path through the kinds of image.

    Attributes:
        columns: the kind of image in each column, conditions first.
        group: what it belongs to, with what its tasks have in common.
    """

    columns: tuple[str, ...]
    group: Group

    @property
    def targets(self) -> tuple[int, ...]:
        """0-based columns that the task fills."""
        return tuple(range(len(self.columns) - self.group.targets, len(self.columns)))

    @property
    def name(self) -> str:
        """Conditions and targets, such as `reference + depth > image`."""
        inputs = len(self.columns) - self.group.targets
        return f"{' + '.join(self.columns[:inputs])} > {' + '.join(self.columns[inputs:])}"

    @property
    def settings(self) -> dict[str, Any]:
        """Arguments of `fill` as in the authors' demo, for results of one megapixel."""
        return self.settings_at(PHOTOGRAPH_SIDE**2)

    def settings_at(self, pixels: int) -> dict[str, Any]:
        """Arguments of `fill` as in the authors' demo: steps, strength, and stage 2's steps and size if it runs.

        Args:
            pixels: of the query's photograph; the strength depends on it, up to one megapixel.
        """
        noise = NOISE.get(self.columns, self.group.noise)
        if not noise:
            return {"steps": self.group.steps, "strength": 0}
        strength = strength_of(noise, min(pixels, PHOTOGRAPH_SIDE**2))
        # `fill` takes the length of the schedule, of which stage 2 runs the last part.
        length = int(STAGE2_STEPS / strength)
        return {"steps": self.group.steps, "strength": strength, "upsampling_steps": length, "size": PHOTOGRAPH}

    def columns_to_fill(self, targets: Sequence[int] | None = None) -> tuple[int, ...]:
        """The columns to be filled, from 0, sorted and checked; the task's own unless given."""
        if targets is None:
            return self.targets
        return tuple(sorted({column(col, len(self.columns)) for col in as_list("targets", targets)}))

    def prompt(
        self, seed: int | None = None, *, targets: Sequence[int] | None = None, instruction: str | None = None
    ) -> str:
        """Write the task prompt.

        Args:
            seed: draws the wordings; None for the usual ones.
            targets: 0-based columns to be filled; the task's own unless given. Others run it in reverse.
            instruction: for the query of an editing task, such as "remove the lamp".

        Raises:
            UsageError: the task takes no instruction.
            GridError: a target is no column, or there is none.
        """
        chosen = self.columns_to_fill(targets)
        if instruction is not None and not self.group.instructed:
            raise UsageError(f"{self.name} takes no instruction: say in content what the target shows")
        parts = [task_sentence(self.columns, chosen, seed)]
        if chosen == self.targets:  # what they say is wrong of a task in reverse
            parts.append(self.group.sentence)
            if instruction is not None:  # the tags are those of the authors' demo
                tags = f"<editing instruction> {instruction} <\\editing instruction>"
                parts.append(f"For the last row the instruction is: {tags}")
        return " ".join(filter(None, parts))

    def grid(
        self,
        rows: Sequence[Sequence[ImageSource | None]],
        *,
        content: str | None = None,
        instruction: str | None = None,
        seed: int | None = None,
    ) -> Grid:
        """Make a grid of this task, with its prompt and the settings that `fill` takes unless told otherwise.

            depth_to_image = tasks.find("depth")
            grid = depth_to_image.grid([[depth_1, photo_1], [depth_2]], content="a red fox in the snow")

        Args:
            rows: examples with an image for each of `columns`; then the query, whose targets are None or left out.
                Other empty cells of the query run the task in reverse.
            content: what the target shows; in some groups what is to be drawn or which light it is.
            instruction: for the query of an editing task.
            seed: draws the wordings of the prompt; None for the usual ones.

        Returns:
            A grid whose `recommended` settings are the task's at the size of the query's first image.

        Raises:
            GridError: a row has the wrong number of images, or the query no empty cell.
            ImageError: a cell is not a usable image.
            UsageError: the task takes no instruction.
        """
        *examples, query = ([as_list("a row", row) for row in as_list("rows", rows)]) or [[]]
        columns = len(self.columns)
        if len(query) == columns - self.group.targets:
            query = [*query, *[None] * self.group.targets]
        for number, row in enumerate((*examples, query), start=1):
            if len(row) != columns:
                listed = ", ".join(self.columns)
                raise GridError(f"row {number} has {len(row)} images: {self.name} needs {columns}, give {listed}")
        targets = tuple(col for col, cell in enumerate(query) if cell is None)
        if not targets:
            missing = " and ".join(self.columns[col] for col in self.targets)
            raise GridError(f"the last row has no empty cell: leave out its {missing}, or put None where it belongs")
        if content is not None and self.group.lead and targets == self.targets:
            content = f"{self.group.lead} {content}"
        grid = Grid([*examples, query], self.prompt(seed, targets=targets, instruction=instruction), content)
        first = next((image for image in grid.query if image is not None), None)
        settings = self.settings_at(first.width * first.height) if first else self.settings
        return grid.replace(recommended=settings)

    def missing(self, given: Sequence[str] = ("image",)) -> dict[str, str]:
        """Return the kinds of this task that cannot be made here, and for each what it is or what helps.

        Args:
            given: kinds that need not be made; a photograph is the `image`.
        """
        from visualcloze_nb.tasks.samples import missing_kinds

        return missing_kinds(self.columns, given)

    def examples(
        self,
        photos: Sequence[PhotoRow],
        *,
        seed: int = 0,
        content: str | None = None,
        instruction: str | None = None,
        targets: Sequence[int] | None = None,
    ) -> Sample:
        """Make a grid from photographs alone, with the images that belong in its empty cells.

            sample = tasks.find("image > canny").examples([photo_1, photo_2, photo_3])
            result = pipe.fill(sample.grid)          # compare with sample.truth

        Args:
            photos: one for each row, the query's last: a photograph, from which `annotate` makes the other columns;
                or a dictionary of a photograph as "image" and the kinds that cannot be made from it, by name.
            seed: of what annotators draw, another in each row, and of the prompt's wordings, which are the usual ones
                for 0.
            content, instruction: as for `grid`.
            targets: 0-based columns to be filled; the task's own unless given.

        Raises:
            UsageError: a kind can neither be made nor is given; the message says what it is.
            ImageError: a photograph cannot be read.
            ModelError: weights of an annotator cannot be had.

        Warns:
            ImageWarning: a condition shows nothing, such as the pose where there is nobody.
        """
        from visualcloze_nb.tasks.samples import make_sample

        return make_sample(
            self, photos, self.columns_to_fill(targets), seed, {"content": content, "instruction": instruction}
        )

    def __repr__(self) -> str:
        return f"<Task {self.name}, {self.group.name}, {self.group.trained_on or 'unseen'}>"


TASKS: Mapping[str, Task] = {
    task.name: task for group in GROUPS.values() for task in (Task(path, group) for path in group.paths)
}
