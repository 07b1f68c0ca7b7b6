"""What the notebooks lean on: exercises that explain a wrong answer, predictions, and a clean end.

    exercise.py   a function for the reader to write, its check, and the mistakes the check knows
    compare.py    are two answers alike, how do they differ, and the image of both
    predict.py    write a guess down, compare it in the next cell
    kernel.py     `%%gpu` cells, and `finish()` in a lesson's last cell
    source.py     a notebook laid out from notebooks/source/NN_topic.py
    build.py      executes it: notebooks/*.ipynb and notebooks/solutions/*.ipynb
    measure.py    how long each takes and how much memory
    curves.py     the two experiments that ship with the tiny model
    NAME.py       the exercises of one lesson: start_here.py belongs to notebooks/00_start_here.ipynb

None of it imports torch.
"""

from visualcloze_nb.lessons.exercise import Exercise, Verdict, exercise
from visualcloze_nb.lessons.kernel import finish, load_ipython_extension
from visualcloze_nb.lessons.predict import Prediction, predict

__all__ = ["Exercise", "Prediction", "Verdict", "exercise", "finish", "load_ipython_extension", "predict"]
