"""The catalogue of tasks as a graph: kinds of image are nodes, and an edge joins two that some task has in one row.

Graph200K is this graph: its density is what lets a model transfer between tasks (VisualCloze, section 4).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import combinations
from math import cos, degrees, pi, sin
from typing import TYPE_CHECKING, Any

from visualcloze_nb.drawing.figures import BLUE, GREEN, ORANGE, WIDTH, new_figure
from visualcloze_nb.errors import UsageError

if TYPE_CHECKING:
    from visualcloze_nb.drawing.notebook_figure import NotebookFigure

HUB = "image"  # drawn in the middle: almost every task has it
LABELS = {"Graph200K": "trained (Graph200K)", "other data": "other data", "": "unseen"}
LINES = {
    "trained": (BLUE, "-"),
    "trained (Graph200K)": (BLUE, "-"),
    "other data": (GREEN, ":"),
    "held out": (ORANGE, "--"),
    "unseen": (ORANGE, "--"),
}


def task_graph(tasks: Iterable[Any], title: str = "Kinds of image, joined where a task has both") -> NotebookFigure:
    """Draw which kinds of image stand in one row of a task.

        from visualcloze_nb import tasks
        task_graph(tasks.TASKS.values())

    Args:
        tasks: of the catalogue, all or some.
        title: what the figure shows.

    Returns:
        The figure of `pair_graph`: pairs that no trained task has are dashed.

    Raises:
        UsageError: there are no tasks.
    """
    pairs: dict[str, Counter[tuple[str, str]]] = {label: Counter() for label in LABELS.values()}
    kinds: dict[str, None] = {}
    for task in tasks:
        kinds.update(dict.fromkeys(task.columns))
        pairs[LABELS[task.group.trained_on]].update(combinations(sorted(set(task.columns)), 2))
    return pair_graph(pairs, title, kinds)


def pair_graph(pairs: Mapping[str, Counter[tuple[str, str]]], title: str, kinds: Iterable[str] = ()) -> NotebookFigure:
    """Draw pairs of kinds as lines between dots.

    Args:
        pairs: by a name of `LINES`, such as "trained" or "held out", how many tasks have both kinds of a pair. A pair
            is drawn once, under the first name that has it.
        title: what the figure shows.
        kinds: in the order in which they stand on the ring; those of `pairs` that are missing follow.

    Returns:
        The figure: `image` in the middle, all other kinds around it. A line is the thicker the more tasks have both.

    Raises:
        UsageError: there are no kinds.
    """
    kinds = dict.fromkeys([*kinds, *(kind for counts in pairs.values() for pair in counts for kind in pair)])
    if not kinds:
        raise UsageError("there are no tasks to draw: give some, such as tasks.TASKS.values()")
    edges: dict[str, Counter[tuple[str, str]]] = {}
    for label, counts in pairs.items():
        seen = set().union(*edges.values())
        edges[label] = Counter({pair: count for pair, count in counts.items() if pair not in seen})
    ring = [kind for kind in kinds if kind != HUB]
    angles = {kind: pi / 2 - 2 * pi * (number + 0.5) / len(ring) for number, kind in enumerate(ring)}
    places = {HUB: (0.0, 0.0), **{kind: (cos(angle), sin(angle)) for kind, angle in angles.items()}}
    figure = new_figure(WIDTH)
    axes = figure.subplots()
    first = next(iter(edges))
    for label, counts in edges.items():
        colour, style = LINES[label]
        for (one, other), count in counts.items():
            (x1, y1), (x2, y2) = places[one], places[other]
            near = HUB in (one, other) or label != first  # chords across the ring are many: they stay pale
            width, alpha = 0.8 + 0.3 * (count - 1) ** 0.7, 0.8 if near else 0.3
            axes.plot((x1, x2), (y1, y2), style, color=colour, linewidth=width, alpha=alpha, zorder=1 + near)
        if counts:
            axes.plot([], [], style, color=colour, label=label)
    axes.scatter(*zip(*places.values(), strict=True), s=14, color="black", zorder=4)
    for kind, angle in angles.items():
        left = cos(angle) < 0
        axes.text(1.03 * cos(angle), 1.03 * sin(angle), kind, size=8, rotation=degrees(angle) + 180 * left,
                  ha="right" if left else "left", va="center", rotation_mode="anchor")  # fmt: skip
    if HUB in kinds:
        axes.text(0, 0, HUB, size=9.5, weight="bold", ha="center", va="center", zorder=5,
                  bbox={"facecolor": "white", "edgecolor": "black", "boxstyle": "round,pad=0.3"})  # fmt: skip
    axes.set(xlim=(-1.42, 1.42), ylim=(-1.42, 1.42), aspect="equal")
    axes.axis("off")
    figure.suptitle(title, size=11, weight="bold", x=0.01, ha="left")
    figure.legend(frameon=False, fontsize=9.5, ncols=3, loc="outside lower center")
    drawn = ", ".join(f"{len(counts)} {label}" for label, counts in edges.items() if counts)
    most = Counter(kind for counts in edges.values() for pair in counts for kind in pair).most_common(3)
    hubs = ", ".join(f"{kind} with {count}" for kind, count in most)
    figure.alt = f"{title}. {len(kinds)} kinds; pairs in one row: {drawn}. Most neighbours: {hubs}."
    return figure
