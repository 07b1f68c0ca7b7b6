"""What the notebooks share: exercises that explain a wrong answer, predictions, and clean-up.

    exercise.py          a function for the reader to write, its check, and the mistakes the check explains
    compare_answers.py   whether two answers are equal, how they differ, and an image of both
    predict.py           record a guess, compare it in the next cell
    kernel.py            `%%gpu` cells, and `finish()`, which frees a lesson's memory
    grading.py           score the exercises of a submitted notebook without running the lesson
    grader_formats.py    the lessons as assignments for nbgrader and Otter-Grader
    ablation_curves.py   learning curves of the two ablations that ship with the tiny model
    documented_grids.py  the grids of diffusers' documentation, of free photographs
    pair_rows.py         training batches from pairs of images, each row encoded once
    lNN_topic.py         the exercises and figures of notebooks/NN_topic.ipynb

`pair_rows` and the modules of most lessons import torch. The others, and those of lessons 00 and 01, do not; a `%%gpu`
cell does when it runs.
"""

from visualcloze_nb.lessons.exercise import Exercise, Verdict, exercise
from visualcloze_nb.lessons.kernel import finish, load_ipython_extension
from visualcloze_nb.lessons.predict import Prediction, predict

__all__ = ["Exercise", "Prediction", "Verdict", "exercise", "finish", "load_ipython_extension", "predict"]
