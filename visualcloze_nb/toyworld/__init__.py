"""A procedural world of images with exact annotations, and its graph of tasks. It knows nothing of models.

scenes.py       a scene is a seed: a ground and one or two objects
scene_batch.py  many scenes as arrays
render.py       scenes to images, edges, depth, normals, masks, styles, lights: exact, any size
edit.py         scenes to edited scenes
transforms.py   images to degraded, recoloured, turned or shifted images
graph.py        kinds of image, tasks, task prompts
splits.py       what is trained on and what is held out
samples.py      grids of the toy world, with their ground truth
"""

from visualcloze_nb.toyworld.graph import FAMILIES, KINDS, RANDOM_KINDS, Task, draw, phrase
from visualcloze_nb.toyworld.samples import Sample, sample, to_image
from visualcloze_nb.toyworld.scenes import Scene, SceneObject, make_scene
from visualcloze_nb.toyworld.splits import (
    FIRST_TRAINING_SEED,
    HELD_OUT,
    HELD_OUT_TASKS,
    TRAINED_TASKS,
    concrete,
    is_trained,
)

__all__ = [
    "RANDOM_KINDS",
    "FAMILIES",
    "FIRST_TRAINING_SEED",
    "HELD_OUT",
    "HELD_OUT_TASKS",
    "KINDS",
    "Sample",
    "Scene",
    "TRAINED_TASKS",
    "Task",
    "SceneObject",
    "concrete",
    "draw",
    "is_trained",
    "make_scene",
    "phrase",
    "sample",
    "to_image",
]
