"""Lesson 04: the exercises (mean and standard error, a cell in grey, the influence of each cell), and figures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw

from visualcloze_nb.data import grid as grids
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_image import TARGET
from visualcloze_nb.drawing.figures import LINES, new_figure
from visualcloze_nb.lessons.exercise import exercise

# Mean and standard error ------------------------------------------------------------------------------------


@exercise(cases=[([7.0, 9.0, 4.0, 12.0, 8.0, 6.5],), (np.array([0.0, 1.0, 1.0, 0.0]),)])
def mean_and_error(values):
    values = np.asarray(values, dtype=float)
    return values.mean(), values.std(ddof=1) / np.sqrt(len(values))


@mean_and_error.mistake("This is the standard deviation of single values. Divide it by the root of their number.")
def deviation(values):
    return np.mean(values), np.std(values, ddof=1)


@mean_and_error.mistake("You divide by the number of values. Divide by its square root.")
def divided_by_the_number(values):
    return np.mean(values), np.std(values, ddof=1) / len(values)


@mean_and_error.mistake("`std` divides by n here. Give it `ddof=1`: it then divides by n - 1.")
def divided_by_n(values):
    return np.mean(values), np.std(values) / np.sqrt(len(values))


@mean_and_error.mistake("The second number is there, the mean is missing. Return both.")
def error_alone(values):
    return mean_and_error.answer(values)[1]


@mean_and_error.mistake("First the mean, then the standard error.")
def exchanged_results(values):
    return mean_and_error.answer(values)[::-1]


# Influence --------------------------------------------------------------------------------------------------


def rmse(one: Image.Image, other: Image.Image) -> float:
    """Root mean square error of two images of one size, in percent."""
    a, b = (np.asarray(image, dtype=float) / 255 for image in (one, other))
    return 100 * float(np.sqrt(((a - b) ** 2).mean()))


def _all_cells(grid: Grid, one: Callable) -> np.ndarray:
    """`one(row, column)` for every cell of the examples, as an array (examples, columns)."""
    return np.array([[one(row, column) for column in range(grid.n_cols)] for row in range(len(grid.examples))])


def _card(colours: Sequence[str], at: int) -> Image.Image:
    """A small asymmetric image."""
    image = Image.new("RGB", (32, 32), colours[0])
    pen = ImageDraw.Draw(image)
    pen.rectangle((at, 4, at + 12, 20), fill=colours[1])
    pen.line((0, 31 - at, 31, 30), fill=colours[2], width=3)
    return image


def _fill(grid: Grid) -> Image.Image:
    """A stand-in for the model: each cell changes the answer differently, and its effect depends on the others."""
    answer = np.zeros((32, 32, 3))
    for row, cells in enumerate(grid.rows):
        for column, cell in enumerate(cells):
            if cell is not None:
                answer = np.abs(np.asarray(cell, dtype=float) - answer * (0.3 + 0.2 * row + 0.1 * column))
    return Image.fromarray(answer.clip(0, 255).astype(np.uint8))


def _cases() -> list[tuple]:
    red, sky = ("#993322", "#eeddaa", "#111111"), ("#88bbdd", "#224466", "#ffffff")
    sand = ("#ccaa66", "#553311", "#66aa88")
    two = Grid([[_card(red, 2), _card(sky, 9)], [_card(sand, 15), _card(red, 6)], [_card(sky, 12), None]])
    wide = Grid([[_card(sand, 3), _card(sky, 8), _card(red, 14)], [_card(red, 11), _card(sand, 5), None]])
    return [(_fill, two), (_fill, wide)]


# A cell in grey


def _grey_cases() -> list[tuple]:
    (_, two), (_, wide) = _cases()
    return [(two, 0, 1), (wide, 1, 0), (two, 1, 1)]


@exercise(cases=_grey_cases)
def in_grey(grid, row, column):
    return grids.grey_out(grid, row, column)


@in_grey.mistake("The cell is black. To the model black is a blank (lesson 02). Use (128, 128, 128).")
def black_cell(grid, row, column):
    return grids.grey_out(grid, row, column, colour=(0, 0, 0))


@in_grey.mistake("Row and column are exchanged: `rows[row][column]`.")
def exchanged_place(grid, row, column):
    return grids.grey_out(grid, column, row)


@in_grey.mistake("The whole row is grey. Replace one cell only.")
def grey_row(grid, row, column):
    for every in range(grid.n_cols):
        if grid.rows[row][every] is not None:
            grid = grids.grey_out(grid, row, every)
    return grid


@in_grey.mistake("The cell keeps its mean colour, which tells the model something. Use the same grey everywhere.")
def mean_colour(grid, row, column):
    red, green, blue = map(int, np.asarray(grid.rows[row][column]).mean((0, 1)))
    return grids.grey_out(grid, row, column, colour=(red, green, blue))


@exercise(cases=_cases, tolerance=1e-3)
def influence(fill, grid):
    answer = fill(grid)
    return _all_cells(grid, lambda row, column: rmse(fill(grids.grey_out(grid, row, column)), answer))


@influence.mistake("The cells stay grey, so later numbers are about many cells. Start from the whole `grid` each time.")
def cells_stay_grey(fill, grid):
    answer = fill(grid)

    def one(row, column):
        nonlocal grid
        grid = grids.grey_out(grid, row, column)
        return rmse(fill(grid), answer)

    return _all_cells(grid, one)


@influence.mistake("You compare with the query. Compare the new answer with the answer to the whole grid.")
def compared_with_the_query(fill, grid):
    return _all_cells(grid, lambda row, column: rmse(fill(grids.grey_out(grid, row, column)), grid.query[0]))


@influence.mistake("You compare each answer with the previous one. Compare all with the answer to the whole grid.")
def compared_with_the_previous_one(fill, grid):
    answer = fill(grid)

    def one(row, column):
        nonlocal answer
        before, answer = answer, fill(grids.grey_out(grid, row, column))
        return rmse(answer, before)

    return _all_cells(grid, one)


@influence.mistake("A whole row is grey at once. Change only one cell, or you cannot tell which of them mattered.")
def whole_rows(fill, grid):
    answer = fill(grid)

    def one(row, column):
        greyed = grid
        for every in range(grid.n_cols):
            greyed = grids.grey_out(greyed, row, every)
        return rmse(fill(greyed), answer)

    return _all_cells(grid, one)


@influence.mistake("The other way round: you keep one cell and grey out all others.")
def all_but_one(fill, grid):
    answer = fill(grid)

    def one(row, column):
        greyed = grid
        for place in np.ndindex(len(grid.examples), grid.n_cols):
            greyed = greyed if place == (row, column) else grids.grey_out(greyed, *place)
        return rmse(fill(greyed), answer)

    return _all_cells(grid, one)


@influence.mistake("Rows and columns are exchanged: the first index is the row, from the top.")
def exchanged(fill, grid):
    return influence.answer(fill, grid).T


@influence.mistake("The last example is missing: there are `len(grid.examples)` of them.")
def last_example_missing(fill, grid):
    return influence.answer(fill, grid)[:-1]


@influence.mistake("The query's cells are in your table as well. Return the examples only.")
def with_the_query(fill, grid):
    answer = fill(grid)
    cells = [
        rmse(fill(grids.grey_out(grid, grid.n_rows - 1, column)), answer) if cell else 0.0
        for column, cell in enumerate(grid.query)
    ]
    return np.vstack([influence.answer(fill, grid), cells])


@influence.mistake("Brighter and darker pixels cancel out in a plain mean. Square the differences first: use `rmse`.")
def plain_mean(fill, grid):
    def mean(image):
        return 100 * np.asarray(image, dtype=float).mean() / 255

    return _all_cells(grid, lambda row, column: abs(mean(fill(grids.grey_out(grid, row, column))) - mean(fill(grid))))


@influence.mistake("The cell is black. To the model black is a blank (lesson 02). Use `grey_out`.")
def black(fill, grid):
    answer = fill(grid)
    return _all_cells(grid, lambda row, column: rmse(fill(grids.grey_out(grid, row, column, (0, 0, 0))), answer))


# Figures ----------------------------------------------------------------------------------------------------


def draw_means(
    curves: Mapping[str, tuple[Sequence[float], Sequence[float], Sequence[float]]],
    title: str,
    xlabel: str,
    ylabel: str,
    level: tuple[str, float] | None = None,
    top: float | None = None,
):
    """Draw means with their standard errors over a few whole numbers.

    Args:
        curves: names, and for each the x values, the means and the standard errors.
        title: what to see.
        xlabel, ylabel: of the axes.
        level: (name, y) of a horizontal line to compare with.
        top: upper end of the y axis.
    """
    figure = new_figure(3.2)
    axes = figure.subplots()
    for shift, ((name, (x, mean, error)), (colour, line, mark)) in enumerate(zip(curves.items(), LINES, strict=False)):
        x = np.asarray(x) + 0.04 * (shift - (len(curves) - 1) / 2)  # side by side, so that no error bar hides another
        axes.errorbar(x, mean, error, color=colour, linestyle=line, marker=mark, markersize=5, capsize=4, label=name)
    if level:
        axes.axhline(level[1], color="black", linewidth=1, linestyle=(0, (1, 3)), label=level[0])
    axes.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, top))
    axes.set_xticks(sorted({place for x, _, _ in curves.values() for place in x}))
    axes.set_title(title, size=11, weight="bold", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, fontsize=9.5, loc="center left", bbox_to_anchor=(1, 0.5))
    words = [
        f"{name}: " + ", ".join(f"{m:.2f} ± {e:.2f} at {place:g}" for place, m, e in zip(*curve, strict=True))
        for name, curve in curves.items()
    ]
    figure.alt = f"{title}. {ylabel} over {xlabel}. {'; '.join(words)}.".replace("\n", ", ")
    return figure


def draw_influence(grid: Grid, changes: Mapping[tuple[int, int], np.ndarray], title: str):
    """Draw a grid, and beside it, at the place of each cell, the change of the answer when that cell is grey.

    Args:
        grid: a completed grid; its last cell is the answer.
        changes: for some cells (row, column), the change of each pixel of the answer: an array (H, W) in percent.
        title: what to see.

    Returns:
        the figure; all changes share one colour scale, dark for none, stretched at its lower end.
    """
    from matplotlib.colors import PowerNorm

    figure = new_figure(1.62 * grid.n_rows + 0.55)
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 1.18))[0]
    most, words, drawn, shown = max(float(change.max()) for change in changes.values()), [], [], None
    left.suptitle("the grid and its answer", size=9.5)
    right.suptitle("where the answer changes if this cell is grey", size=9.5)
    for place in np.ndindex(grid.n_rows, grid.n_cols):
        number = place[0] * grid.n_cols + place[1] + 1
        axes = left.add_subplot(grid.n_rows, grid.n_cols, number, xticks=[], yticks=[])
        axes.imshow(grid.rows[place[0]][place[1]])
        axes.set_title(" ", size=9.5, pad=3)  # as high as the titles on the right, so that the rows align
        if place == (grid.n_rows - 1, grid.n_cols - 1):
            for side in axes.spines.values():
                side.set(color=TARGET, linewidth=2)
        if place in changes:
            axes = right.add_subplot(grid.n_rows, grid.n_cols, number, xticks=[], yticks=[])
            drawn.append(axes)
            shown = axes.imshow(changes[place], cmap="cividis", norm=PowerNorm(0.5, 0, most or 1))
            size = float(np.sqrt((changes[place] ** 2).mean()))
            axes.set_title(f"RMSE {size:.1f}", size=9.5, pad=3)
            words.append(f"row {place[0] + 1}, column {place[1] + 1}: {size:.1f}")
    assert shown is not None
    right.colorbar(shown, ax=drawn, label="change of a pixel, percent", shrink=0.7)
    figure.alt = f"{title}. Change of the answer when a cell is grey: {'; '.join(words)}."
    return figure
