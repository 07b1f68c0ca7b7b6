"""A procedural world of pictures with exact annotations, and its graph of tasks. It knows nothing of models.

    scenes.py    a scene is a seed: a ground and one to three things
    render.py    a scene to a picture, edges, depth, class mask, subject, background: exact, any size
    degrade.py   a picture to a degraded, recoloured or turned picture
    graph.py     kinds of picture, tasks, task prompts, what is held out
    sample.py    grids of the toy world, with their ground truth
"""

from .graph import FIRST_TRAINING_SEED, HELD_OUT_TASKS, KINDS, TRAINED_TASKS, Task, draw, words
from .sample import Sample, sample, to_picture
from .scenes import Scene, Thing, make_scene

__all__ = [
    "FIRST_TRAINING_SEED",
    "HELD_OUT_TASKS",
    "KINDS",
    "Sample",
    "TRAINED_TASKS",
    "Scene",
    "Task",
    "Thing",
    "draw",
    "make_scene",
    "sample",
    "to_picture",
    "words",
]
