"""Find tasks by name."""

from __future__ import annotations

from difflib import get_close_matches
from re import split, sub

from visualcloze_nb.errors import UsageError, shorten, shown
from visualcloze_nb.tasks.groups import GROUPS
from visualcloze_nb.tasks.kinds import KINDS
from visualcloze_nb.tasks.task import TASKS, Task

OTHER_NAMES = {
    **{kind.authors.lower(): kind.name for kind in KINDS.values() if kind.authors},
    "photo": "image",
    "photograph": "image",
    "pose": "openpose",
    "edge": "canny",
    "edges": "canny",
    "normals": "normal",
    "lines": "mlsd",
    "subject": "reference",
    "segmentation": "uniformer",
    "style": "style-reference",
}


def find(name: str) -> Task:
    """Return the task of a name.

        tasks.find("depth > image")      conditions, then what is made from them
        tasks.find("image to canny")     in words
        tasks.find("depth")              a kind alone: the first task with it; for most the image made from it
        tasks.find("relighting")         a group: its first task

    The conditions may come in any order, and kinds may have the authors' names, such as `SRx2`.

    Raises:
        UsageError: there is no such task; the message names near ones.
    """
    if not isinstance(name, str):
        raise UsageError(f"a task's name is {shown(name)}: give a text, such as 'depth > image'")
    if name.strip().lower() in GROUPS:
        return Task(GROUPS[name.strip().lower()].paths[0], GROUPS[name.strip().lower()])
    wanted = _sides(name)
    if len(wanted) == 1 and len(wanted[0]) == 1:
        for task in TASKS.values():
            if wanted[0][0] in task.columns and wanted[0][0] != "image":
                return task
    for task in TASKS.values():
        if [sorted(side) for side in _sides(task.name)] == [sorted(side) for side in wanted]:
            return task
    raise UsageError(f"there is no task {shorten(repr(name))}; {_near(name, wanted)}")


def containing(kind: str) -> list[Task]:
    """Return all tasks that have a kind of image in one of their columns."""
    known = _kind(kind)
    if known not in KINDS:
        near = get_close_matches(known, KINDS, n=3, cutoff=0.5)
        raise UsageError(f"there is no kind {shorten(repr(kind))}; {f'near: {near}' if near else 'see tasks.KINDS'}")
    return [task for task in TASKS.values() if known in task.columns]


def _kind(name: str) -> str:
    name = str(name).strip().lower().removeprefix("a ").removeprefix("an ")
    return name if name in KINDS else OTHER_NAMES.get(name, name)


def _sides(name: str) -> list[list[str]]:
    """`"reference + depth > image"` to `[["reference", "depth"], ["image"]]`."""
    return [[_kind(kind) for kind in split(r"\+|,|\sand\s", side)] for side in split(r"->|>|→|\sto\s", name.lower())]


def _near(name: str, wanted: list[list[str]]) -> str:
    """Tasks with the same kinds, then tasks of a similar name."""
    kinds = {match for side in wanted for kind in side for match in get_close_matches(kind, KINDS, n=1, cutoff=0.75)}
    letters = sub(r"\W", "", name.lower())
    groups = [group for group in GROUPS if len(letters) > 3 and letters in sub(r"\W", "", group)]
    alike = sorted(TASKS, key=lambda one: -len(kinds & set(TASKS[one].columns)))
    near = groups or (alike if kinds else get_close_matches(name.lower()[:60], TASKS, n=3, cutoff=0.3))
    return f"near: {'; '.join(near[:3])}" if near else "`visualcloze-nb tasks --list` prints all"
