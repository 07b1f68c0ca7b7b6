"""A procedural world of images with exact annotations, and its graph of tasks. It knows nothing of models.

scenes.py    a scene is a seed: a ground and one to three things
render.py    a scene to an image, edges, depth, normals, masks, subject, styles, lights: exact, any size
edit.py      a scene to an edited scene
degrade.py   an image to a degraded, recoloured, turned or shifted image
graph.py     kinds of image, tasks, task prompts
tasks.py     what is practised and what is held out
sample.py    grids of the toy world, with their ground truth
"""

from visualcloze_nb.toyworld.graph import CHANCE_KINDS, FAMILIES, KINDS, Task, draw, words
from visualcloze_nb.toyworld.samples import Sample, sample, to_image
from visualcloze_nb.toyworld.scenes import Scene, Thing, make_scene
from visualcloze_nb.toyworld.splits import (
    FIRST_TRAINING_SEED,
    HELD_OUT,
    HELD_OUT_TASKS,
    TRAINED_TASKS,
    concrete,
    is_trained,
)

__all__ = [
    "CHANCE_KINDS",
    "FAMILIES",
    "FIRST_TRAINING_SEED",
    "HELD_OUT",
    "HELD_OUT_TASKS",
    "KINDS",
    "Sample",
    "Scene",
    "TRAINED_TASKS",
    "Task",
    "Thing",
    "concrete",
    "draw",
    "is_trained",
    "make_scene",
    "sample",
    "to_image",
    "words",
]
