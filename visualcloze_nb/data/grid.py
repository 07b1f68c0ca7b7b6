"""A grid: complete examples above, a query with empty cells below.

Every row does the same task and every column holds the same kind of image. The empty cells of the last row are the
targets, which the model fills. A grid is immutable; its methods return new ones.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any, cast

from PIL import Image

from visualcloze_nb.data import prompts
from visualcloze_nb.data.checks import as_list, checked_rows, column, size, type_of
from visualcloze_nb.data.images import ImageSource, fit_size, resize_and_crop
from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import GridError, TextWarning, shorten
from visualcloze_nb.settings import PATCH, RECOMMENDABLE, VAE_SCALE


@dataclass(frozen=True, eq=False, repr=False, init=False)
class Grid:
    """Examples, a query with empty cells, and the texts that go with them.

    Args:
        rows: the rows, top to bottom, each a list of cells of the same length. A cell is anything that `to_rgb`
            reads (path, bytes, PIL image, array), or None for a target. Only the last row may have None.
        task: what a row does; `prompts.task_prompt` writes it in the authors' form.
        content: what the target shows. None leaves it out; "" keeps an empty "… depicts:", as diffusers does.
        recommended: arguments of `fill` that suit the task: steps, upsampling_steps, strength, guidance, size. `fill`
            takes them unless the call says otherwise. They are no part of what makes two grids equal.

    Raises:
        GridError: if the grid is empty or ragged, an example has an empty cell, no image gives the query's size,
            a text is not a string, or `recommended` has another key.
        ImageError: if a cell is not a usable image.
    """

    rows: tuple[tuple[Image.Image | None, ...], ...]
    task: str
    content: str | None
    recommended: Mapping[str, Any]

    def __init__(
        self,
        rows: Sequence[Sequence[ImageSource | None]],
        task: str = "",
        content: str | None = None,
        *,
        recommended: Mapping[str, Any] | None = None,
    ):
        if not isinstance(task, str):
            raise GridError(f'task is {type_of(task)}, not a text: use "" for none')
        if not (content is None or isinstance(content, str)):
            raise GridError(f"content is {type_of(content)}, not a text: use None for none")
        for name, text in (("task", task), ("content", content or "")):
            prompts.check_text(name, text)
        values = {"rows": checked_rows(rows), "task": task, "content": content, "recommended": _settings(recommended)}
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the dataclass is frozen
        note = prompts.misfit(task, self.n_rows, self.n_cols, self.targets)
        if note:
            warnings.warn(note, TextWarning, stacklevel=2)

    @property
    def n_rows(self) -> int:
        """Rows, the query included."""
        return len(self.rows)

    @property
    def n_cols(self) -> int:
        """Columns."""
        return len(self.rows[0])

    @property
    def examples(self) -> tuple[tuple[Image.Image, ...], ...]:
        """The complete rows, all but the last."""
        return cast("tuple[tuple[Image.Image, ...], ...]", self.rows[:-1])  # checked_rows allows no None there

    @property
    def query(self) -> tuple[Image.Image | None, ...]:
        """The last row; None marks a target."""
        return self.rows[-1]

    @property
    def targets(self) -> tuple[int, ...]:
        """0-based columns of the empty cells of the last row; () for a complete grid."""
        return tuple(col for col, cell in enumerate(self.query) if cell is None)

    @property
    def layout_prompt(self) -> str:
        """The sentence that describes the arrangement of the images."""
        return prompts.layout_prompt(self.n_rows, self.n_cols)

    @property
    def prompt(self) -> str:
        """The layout, task and content texts joined: what the text encoders read in stage 1."""
        return prompts.full_prompt(self.n_rows, self.n_cols, self.task, self.content)

    def require_targets(self) -> Grid:
        """Return this grid if it has a target.

        Raises:
            GridError: if no cell of the last row is empty.
        """
        if not self.targets:
            raise GridError(
                f"row {self.n_rows} has no empty cell to fill: put None in the cell that the model is to fill"
            )
        return self

    def layout(self, resolution: int, vae_scale_factor: int = VAE_SCALE) -> Layout:
        """Compute the sizes of the cells and their arrangement as tokens.

        Each row has its own cell size: about `resolution` x `resolution` pixels at the aspect ratio of its first image.
        The other images are scaled to cover that size and cropped equally on both sides. A query without any image
        takes the size of the last example. Several targets change nothing: they lie in one row (diffusers 0.42.1
        resizes once more, with width and height swapped).

        Args:
            resolution: `pipe.resolution`: 384 or 512, or 64 for the tiny model.
            vae_scale_factor: pixels along one side of a latent.

        Returns:
            Sizes, token counts and position ids.
        """
        resolution = size("resolution", resolution)
        multiple = PATCH * size("vae_scale_factor", vae_scale_factor)
        sizes: list[tuple[int, int]] = []
        for row in self.rows:
            first = next((cell for cell in row if cell is not None), None)
            sizes.append(sizes[-1] if first is None else fit_size(*first.size, resolution, multiple))
        return Layout(tuple(sizes), self.n_cols, self.targets, multiple)

    def fitted(self, resolution: int, vae_scale_factor: int = VAE_SCALE) -> list[list[Image.Image | None]]:
        """Return the cells scaled and cropped to the sizes of `layout`, targets still None."""
        sizes = self.layout(resolution, vae_scale_factor).sizes
        return [
            [None if cell is None else resize_and_crop(cell, *size) for cell in row]
            for row, size in zip(self.rows, sizes, strict=True)
        ]

    def completed(self, images: Sequence[ImageSource]) -> Grid:
        """Return a complete grid, with images in the empty cells from left to right.

        Args:
            images: one for each target, each anything that `to_rgb` reads.

        Raises:
            GridError: if the number of images is not the number of targets.
        """
        images = as_list("images", images)
        if len(images) != len(self.targets):
            raise GridError(f"{len(images)} images for {len(self.targets)} empty cells: give one for each")
        new = dict(zip(self.targets, images, strict=True))
        return self.replace(rows=[*self.examples, [new.get(c, cell) for c, cell in enumerate(self.query)]])

    def with_blanks(self, *columns: int, query: Sequence[ImageSource | None] | None = None) -> Grid:
        """Return a grid with the same examples and other targets: this is how a task is run in reverse.

        The task text stays; where it describes the forward task, replace it: `.replace(task=…)`.

        Args:
            columns: 0-based columns that become targets; at least one.
            query: a row of images to take the conditions from; by default this grid's own last row.

        Returns:
            A grid whose targets are exactly `columns`.

        Raises:
            GridError: if a column does not exist, or a cell that is no longer a target has no image.
        """
        row = list(self.query) if query is None else as_list("query", query)
        if len(row) != self.n_cols:
            raise GridError(f"query has {len(row)} cells and the grid {self.n_cols} columns: give a full row")
        if not columns:
            raise GridError("with_blanks needs at least one column: name the column to be filled, from 0")
        columns = tuple(column(col, self.n_cols) for col in columns)
        for col, cell in enumerate(row):
            if cell is None and col not in columns:
                raise GridError(
                    f"row {self.n_rows}, column {col + 1} is empty and would have to be a condition: "
                    "pass query=[…] with an image for it"
                )
        blanked = [None if col in columns else cell for col, cell in enumerate(row)]
        return self.replace(rows=[*self.examples, blanked])

    def with_examples(self, examples: Sequence[Sequence[ImageSource]]) -> Grid:
        """Return a grid with the same query and texts and other examples; [] for none."""
        return self.replace(rows=[*as_list("examples", examples), self.query])

    def replace(self, **changes: Any) -> Grid:
        """Return a grid with other `rows`, `task`, `content` or `recommended` settings; the rest stays."""
        for name in changes.keys() - {"rows", "task", "content", "recommended"}:
            raise GridError(f"a grid has no {shorten(name)}: change rows, task, content or recommended")
        return replace(self, **changes)

    def to_lists(self) -> list[list[Image.Image | None]]:
        """Return the rows as diffusers' `image=` takes them."""
        return [list(row) for row in self.rows]

    def image(
        self, cell: int = 128, titles: Sequence[str] | None = None, outline: Sequence[int] | None = None
    ) -> Image.Image:
        """Draw the grid as one RGB image, empty cells hatched and targets outlined.

        Args:
            cell: a drawn cell has about `cell` x `cell` pixels.
            titles: one text for each column, written above it.
            outline: 0-based columns of the last row to outline; by default the targets.
        """
        from visualcloze_nb.data.grid_image import compose_grid

        return compose_grid(self, cell, titles, self.targets if outline is None else outline)

    @property
    def alt(self) -> str:
        """Alternative text, for readers who do not see the image."""
        query = ", ".join("empty" if cell is None else "an image" for cell in self.query)
        count = len(self.examples)
        return f"Grid of {count} example {'row' if count == 1 else 'rows'} above a query row: {query}."

    def _repr_png_(self) -> bytes:
        from visualcloze_nb.data.grid_image import png_bytes

        return png_bytes(self.image())

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> tuple[dict, dict]:
        from visualcloze_nb.data.notebook_image import image_output

        return image_output(self._repr_png_(), self.alt, repr(self))

    def __repr__(self) -> str:
        columns = ", ".join(str(col + 1) for col in self.targets)
        one = len(self.targets) == 1
        targets = f"target in column {columns}" if one else f"targets in columns {columns}"
        targets = targets if columns else "finished"
        texts = f"task={self.task!r}, content={self.content!r}"
        return f"<Grid {self.n_rows} x {self.n_cols}, {targets}, {texts}>"

    def _key(self) -> tuple:
        cells = [[cell and (cell.size, cell.tobytes()) for cell in row] for row in self.rows]
        return cells, self.task, self.content

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Grid) else NotImplemented

    def __hash__(self) -> int:
        shape = tuple(tuple(cell and cell.size for cell in row) for row in self.rows)
        return hash((shape, self.task, self.content))


def _settings(recommended: Any) -> dict[str, Any]:
    """Copy the recommended settings, or say which is none."""
    if recommended is None:
        return {}
    if not isinstance(recommended, Mapping):
        raise GridError(f"recommended is {type_of(recommended)}: give a dictionary, such as {{'strength': 0.3}}")
    for name in recommended.keys() - set(RECOMMENDABLE):
        raise GridError(f"recommended has no {shorten(name)}: choose from {', '.join(RECOMMENDABLE)}")
    return dict(recommended)


def grey_out(grid: Grid, row: int, column: int, colour: tuple[int, int, int] = (128, 128, 128)) -> Grid:
    """Replace one image of a grid by a plain colour, to see what a model makes of the grid without it.

    Args:
        grid: any grid; it is not changed.
        row, column: the cell, from 0.
        colour: RGB, 0 to 255.

    Raises:
        GridError: if there is no such cell, or it is a target.
    """
    if not (isinstance(row, Integral) and isinstance(column, Integral)):
        raise GridError(f"row is {type_of(row)} and column {type_of(column)}: give whole numbers, from 0")
    place = f"row {shorten(row + 1)}, column {shorten(column + 1)}"
    if not (0 <= row < grid.n_rows and 0 <= column < grid.n_cols):
        raise GridError(f"there is no {place}: the grid is {grid.n_rows} x {grid.n_cols}")
    image = grid.rows[row][column]
    if image is None:
        raise GridError(f"{place} is a target, with nothing to grey out: name a cell that has an image")
    rows = grid.to_lists()
    try:
        rows[row][column] = Image.new("RGB", image.size, colour)
    except (TypeError, ValueError, OverflowError) as error:
        raise GridError(f"colour {shorten(repr(colour))} is none: give red, green and blue, 0 to 255") from error
    return grid.replace(rows=rows)
