"""An exercise: a reference answer, the cases it is checked on, and the mistakes it can explain.

A lesson's module reads from top to bottom:

    @exercise(cases=[(mask,), (other_mask,)])
    def mask_tokens(mask):
        return pack_mask(mask)                      # the package's own answer

    @mask_tokens.mistake("The mask is inverted: 1 marks the pixels to fill.")
    def inverted(mask):
        return pack_mask(1 - mask)

and the notebook calls `checks.mask_tokens.check(mask_tokens)`. A known mistake gets its hint; any other wrong
answer is described (its type, its shape, how far off). A stub returns `...` or raises NotImplementedError.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.notebook_image import image_output
from visualcloze_nb.lessons.compare_answers import alike, describe_difference, side_by_side


@dataclass(frozen=True)
class Verdict:
    """Result of a check.

    Attributes:
        state: "not attempted", "wrong" or "right".
        hint: why it is wrong and where to look; empty otherwise.
        expected, yours: the two answers to the first case that differs; None otherwise.
    """

    state: str
    hint: str = ""
    expected: Any = None
    yours: Any = None


@dataclass
class Exercise:
    """One function for the reader to write; made by `@exercise`.

    Attributes:
        answer: the reference answer.
        cases, tolerance, accept, probe: see `exercise`.
        mistakes: wrong answers, and the hint of each.
        refused: the attempt in whose place `or_answer` last gave the answer.
    """

    answer: Callable
    cases: Sequence[tuple] | Callable[[], Sequence[tuple]]
    tolerance: float
    accept: Callable | None
    probe: Callable | None = None
    mistakes: dict[Callable, str] = field(default_factory=dict)
    refused: Callable | None = None

    @property
    def name(self) -> str:
        return self.answer.__name__

    def mistake(self, hint: str) -> Callable[[Callable], Callable]:
        """Add a plausible wrong answer.

        Args:
            hint: for a reader whose function returns what this one returns on every case.
        """

        def add(wrong: Callable) -> Callable:
            self.mistakes[wrong] = hint
            return wrong

        return add

    def judge(self, attempt: Callable) -> Verdict:
        """Run an attempt on every case. Prints nothing and raises nothing.

        Args:
            attempt: the reader's function, called with the arguments of each case.
        """
        if attempt is ...:
            return Verdict("not attempted")
        if not callable(attempt):
            return Verdict("wrong", f"give the function itself, not a {type(attempt).__name__}: without brackets")
        cases = self.cases() if callable(self.cases) else self.cases
        for case in cases:
            expected, yours = self._outcome(self.answer, case), self._outcome(attempt, case)
            if yours.value is ... or yours.error.startswith("NotImplementedError"):  # our stub, and nbgrader's
                return Verdict("not attempted")
            if not self._right(expected, yours, case):
                hint = self._known_mistake(attempt, cases) or self._describe(expected.value, yours, case)
                return Verdict("wrong", hint, expected.value, yours.value)
        return Verdict("right")

    def or_answer(self, attempt: Callable) -> Callable:
        """The attempt if it is right, else the reference answer, so that the lesson can go on."""
        if self.judge(attempt).state == "right":
            return attempt
        self.refused = attempt
        return self.answer

    def check(self, attempt: Callable) -> None:
        """Print the verdict, and show a wrong answer beside the expected one. Never raises."""
        verdict = self.judge(attempt)
        if verdict.state == "not attempted":
            print(f"{self.name}: not attempted yet")
        elif verdict.state == "right":
            print(f"✓ {self.name}")
        else:
            print(f"✗ {self.name}: {verdict.hint}")
            _show(verdict.expected, verdict.yours)

    def grade(self, attempt: Callable) -> None:
        """Strict form of `check`, for nbgrader, otter and other graders.

        Graders may call it at the end of a lesson, which may have bound the reader's name to the answer
        (`f = checks.f.or_answer(f)`): then what the reader wrote is judged.

        Raises:
            AssertionError: with the hint, unless the attempt is right.
        """
        verdict = self.judge(self.refused if attempt is self.answer and self.refused is not None else attempt)
        if verdict.state != "right":
            raise AssertionError(f"{self.name}: {verdict.hint or 'not attempted yet'}")

    def _outcome(self, function: Callable, case: tuple) -> _Outcome:
        try:
            arguments = _fresh(case)
            return _Outcome(self.probe(function, *arguments) if self.probe else function(*arguments))
        except (Exception, SystemExit) as error:  # a reader's function may raise anything; the check reports it
            return _Outcome(error=f"{type(error).__name__}: {error}")

    def _right(self, expected: _Outcome, yours: _Outcome, case: tuple) -> bool:
        if expected.error:  # then nothing can be compared, and no answer may pass for right
            return False
        if yours.error or self.accept is None:
            return expected.like(yours, self.tolerance)
        accepted = self.accept(yours.value, *_fresh(case))
        return bool(accepted) and not isinstance(accepted, str)

    def _describe(self, expected: Any, yours: _Outcome, case: tuple) -> str:
        if yours.error:
            return f"your function stopped with {yours.error}"
        if yours.value is None:
            return "your function returns None: does it end with `return`?"
        if self.accept is not None:
            reason = self.accept(yours.value, *_fresh(case))
            return reason or "this does not answer the question; one answer that does is shown"
        try:
            return describe_difference(expected, yours.value)
        except Exception as error:
            return f"what your function returns cannot be read: {type(error).__name__}: {error}"

    def _known_mistake(self, attempt: Callable, cases: Sequence[tuple]) -> str | None:
        """The hint of the first mistake that returns what the attempt returns, in every case."""
        yours = [self._outcome(attempt, case) for case in cases]
        for wrong, hint in self.mistakes.items():
            theirs = (self._outcome(wrong, case) for case in cases)
            if all(a.like(b, self.tolerance) for a, b in zip(theirs, yours, strict=True)):
                return hint
        return None


def exercise(
    cases: Sequence[tuple] | Callable[[], Sequence[tuple]],
    tolerance: float = 1e-5,
    accept: Callable | None = None,
    probe: Callable | None = None,
) -> Callable[[Callable], Exercise]:
    """Make an exercise of the decorated function, which is the reference answer.

    Args:
        cases: argument tuples to try, or a function that makes them if they are costly (a model, images).
        tolerance: largest difference allowed in numbers and pixels (0..1).
        accept: `accept(yours, *case)`, for questions with more than one right answer: True, False, or the reason
            why not as a text, which becomes the hint. The decorated function only returns the answer that is shown.
        probe: `probe(attempt, *case)`, for a class in place of a function: makes an object of it and returns the
            numbers to compare.

    Returns:
        the decorator.
    """
    return lambda answer: Exercise(answer, cases, tolerance, accept, probe)


@dataclass(frozen=True)
class _Outcome:
    """Result of a call: a value, or the text of the error it raised."""

    value: Any = None
    error: str = ""

    def like(self, other: _Outcome, tolerance: float) -> bool:
        try:
            return self.error == other.error and alike(self.value, other.value, tolerance)
        except Exception:  # a closed image, a list that holds itself: no answer
            return False


def _fresh(case: tuple) -> tuple:
    """Copy arguments that an attempt could change in place; pass models and grids through."""
    copies = []
    for value in case:
        copier = getattr(value, "clone", None) or getattr(value, "copy", None)
        copies.append(copier() if callable(copier) else value)
    return tuple(copies)


def _show(expected: Any, yours: Any) -> None:
    if yours is None:  # it raised, or returned nothing: the hint says so
        return
    try:
        image = side_by_side(expected, yours)
    except Exception:  # an empty or closed image, a class in place of its object
        image = None
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if image is None:
        print(f"  expected: {_short(expected)}\n  yours:    {_short(yours)}")
    elif shell is not None:
        from IPython.display import display

        alt = "The expected answer beside yours."
        data, metadata = image_output(png_bytes(image), alt, f"<Image: {alt}>")
        display(data, metadata=metadata, raw=True)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__} that cannot be printed"
    return text if len(text) <= 300 else f"{text[:300]}…"
