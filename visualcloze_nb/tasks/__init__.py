"""The catalogue of VisualCloze's tasks: kinds of image, paths, prompts, and the settings that the authors use.

    from visualcloze_nb import tasks

    task = tasks.find("depth")                               # depth > image
    task.prompt(seed=1)                                      # a task prompt, its wordings drawn
    task.grid([[depth, photo], [other_depth]])               # a Grid with prompt and settings
    tasks.find("image > hed").examples([photo, photo_2])     # rows and ground truth from photographs alone

`visualcloze-nb tasks` prints the groups. This room needs no torch.
"""

from __future__ import annotations

from visualcloze_nb.tasks.catalogue import containing, find
from visualcloze_nb.tasks.groups import GROUPS, Group
from visualcloze_nb.tasks.kinds import KINDS, Kind
from visualcloze_nb.tasks.samples import Sample
from visualcloze_nb.tasks.task import TASKS, Task

__all__ = ["GROUPS", "KINDS", "TASKS", "Group", "Kind", "Sample", "Task", "containing", "find"]
