"""Guess first: `predict` records a guess, `compare` holds it against what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Prediction:
    """A guess, waiting for the next cell."""

    question: str
    guess: Any

    def compare(self, actual: Any, within: float = 0) -> None:
        """Print the guess beside what came out.

        Args:
            actual: the measured number, or the choice that came true.
            within: how far a number may be off and still count as right.
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
    """Write a guess down before looking.

    Args:
        question: what is going to be measured.
        guess: a number or a text; `...` for none yet.
        choices: the texts to choose from, if the guess is not a number.

    Returns:
        the guess, to be compared in the next cell.

    Raises:
        ValueError: if the guess is not among the choices.
    """
    if choices is not None and guess is not ... and guess not in choices:
        raise ValueError(f"{guess!r} is not among the choices: {', '.join(map(repr, choices))}")
    if guess is ...:
        offer = f" ({', '.join(map(repr, choices))})" if choices else ""
        print(f"{question} Write your guess in place of the dots{offer}.")
    else:
        print(f"{question} Your guess: {_text(guess)}.")
    return Prediction(question, guess)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
