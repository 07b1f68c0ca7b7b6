"""Predictions: `predict` records a reader's guess, `compare` compares it with the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from visualcloze_nb.errors import UsageError


@dataclass(frozen=True)
class Prediction:
    """A guess, waiting for the next cell."""

    question: str
    guess: Any

    def compare(self, actual: Any, within: float = 0) -> None:
        """Print the guess beside the measurement.

        Args:
            actual: the measured number, or the choice that is right.
            within: largest error at which a number still counts as right.
        """
        if self.guess is ...:
            print(f"It is {_text(actual)}. No guess was written down.")
        elif isinstance(actual, str) or isinstance(self.guess, str):
            right = str(self.guess) == str(actual)
            print(f"You guessed {_text(self.guess)}: {'right' if right else f'it is {_text(actual)}'}.")
        elif abs(self.guess - actual) <= within:
            exact = "" if self.guess == actual else f", near enough to {_text(actual)}"
            print(f"You guessed {_text(self.guess)}: right{exact}.")
        else:
            way = "low" if self.guess < actual else "high"
            print(f"You guessed {_text(self.guess)}, too {way}: it is {_text(actual)}.")


def predict(question: str, guess: Any = ..., choices: Sequence[str] | None = None) -> Prediction:
    """Record a guess before the measurement.

    Args:
        question: what will be measured.
        guess: a number or a text; `...` if there is none yet.
        choices: possible texts, if the guess is not a number.

    Returns:
        the guess, for the next cell to compare.

    Raises:
        ValueError: if the guess is not among the choices.
    """
    if choices is not None and guess is not ... and guess not in choices:
        raise UsageError(f"{guess!r} is not among the choices: give one of {', '.join(map(repr, choices))}")
    if guess is ...:
        offer = f" ({', '.join(map(repr, choices))})" if choices else ""
        print(f"{question} Write your guess in place of the dots{offer}.")
    else:
        print(f"{question} Your guess: {_text(guess)}.")
    return Prediction(question, guess)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
