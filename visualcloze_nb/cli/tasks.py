"""`visualcloze-nb tasks`: the groups of tasks, their paths, kinds and prompts."""

from __future__ import annotations

import argparse

from visualcloze_nb import tasks
from visualcloze_nb.cli.arguments import whole
from visualcloze_nb.errors import UsageError

WITHOUT = "boxes"  # the paths that a count of 129 leaves out


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be printed."""
    parser.add_argument("name", nargs="?", help="a task, such as 'depth > image': print its prompt and settings")
    parser.add_argument("--seed", type=whole(0), help="draw the wordings of the prompt")
    parser.add_argument("--list", action="store_true", help="print every task")
    parser.add_argument("--kinds", action="store_true", help="print the kinds of image, and which can be made here")


def run(options: argparse.Namespace) -> int:
    """Print a task, all tasks, all kinds, or the groups."""
    if options.name:
        print_task(tasks.find(options.name), options.seed)
    elif options.seed is not None:
        raise UsageError("--seed draws the wordings of one task: name the task")
    elif options.kinds:
        print_kinds()
    elif options.list:
        for task in tasks.TASKS.values():
            print(f"{task.name:52} {task.group.name}")
    else:
        print_groups()
    return 0


def print_groups() -> None:
    """Print what each group holds, beside the authors' number of paths."""
    print(f"{'group':38}{'paths':>6}{'authors':>9}{'here':>6}{'strength':>13}{'steps':>7}  trained on")
    total = {"paths": 0, "authors": 0, "boxes": 0}
    for group in tasks.GROUPS.values():
        members = [task for task in tasks.TASKS.values() if task.group is group]
        runnable = sum(not task.missing() for task in members)
        strengths = sorted({task.settings["strength"] for task in members})
        print(
            f"{group.name:38}{len(members):6}{group.authors:9}{runnable:6}{'-'.join(f'{s:g}' for s in strengths):>13}"
            f"{group.steps:7}  {group.trained_on or 'nothing: unseen'}"
        )
        if group.trained_on == "Graph200K":
            total["paths"] += len(members)
            total["authors"] += group.authors
            total["boxes"] += sum(WITHOUT in task.columns for task in members)
    print(f"\nGraph200K: {total['paths']} paths, the authors {total['authors']}", end="; ")
    print(f"without the kind {WITHOUT}: {total['paths'] - total['boxes']}.")
    print("strength: of stage 2 at one megapixel; higher for a smaller photograph, where the schedule is shifted less.")
    print("here: paths whose images can be made from photographs alone on this machine (weights come at first use).")


def print_task(task: tasks.Task, seed: int | None) -> None:
    """Print the prompt and the settings of one task, and what a photograph does not give."""
    print(f"{task.name}  ({task.group.name}, {task.group.trained_on or 'unseen'})")
    print(f"prompt:   {task.prompt(seed, instruction='…' if task.group.instructed else None)}")
    if task.group.lead:
        print(f"content:  {task.group.lead} …")
    print(f"settings: {', '.join(f'{name}={value!r}' for name, value in task.settings.items())}")
    for kind, why in task.missing().items():
        print(f"missing:  {kind}: {why}")


def print_kinds() -> None:
    """Print each kind: in how many tasks it is, its first wording, and whether it can be made here."""
    from visualcloze_nb.tasks.samples import missing_kinds

    for kind in tasks.KINDS.values():
        why = missing_kinds((kind.name,)).get(kind.name)
        place = f"not here: {why}" if why else "a photograph" if kind.name == "image" else "made from a photograph"
        print(f"{kind.name:22}{len(tasks.containing(kind.name)):4} tasks  {kind.wordings[0]:50}{place}")
