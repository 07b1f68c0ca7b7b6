"""How much work a run is, and how long that takes here: tokens, steps, seconds.

A transformer's step costs about as much as it has tokens, so seconds are counted per token and step. The rate
is measured by every run; for the bundled model a first one is assumed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.settings import TEXT_TOKENS, TINY_RESOLUTION, UPSCALING

RESOLUTIONS = {"tiny": TINY_RESOLUTION, "384": 384, "384-lora": 384, "512": 512}
ASSUMED = {"tiny": 2e-4}  # seconds a token and step, two cores; replaced by what the first run measures
_measured: dict[str, float] = {}


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        tokens: image tokens of stage 1.
        large: image tokens of stage 2, for one target; 0 without stage 2.
        steps, large_steps: steps of stage 1, and of stage 2 for one target.
        targets: how many.
        text: text tokens, read in every step.
    """

    tokens: int
    large: int
    steps: int
    large_steps: int
    targets: int
    text: int

    @property
    def token_steps(self) -> int:
        """Tokens times steps over both stages."""
        second = self.targets * self.large_steps * (self.large + self.text)
        return self.steps * (self.tokens + self.text) + (second if self.large_steps else 0)


def work(
    grid: Grid, resolution: int, steps: int, strength: float, times: float = UPSCALING, text: int = TEXT_TOKENS
) -> Work:
    """Count what filling a grid takes.

    Args:
        grid: what is to be filled.
        resolution: of the model: 64 for the bundled one, 384 or 512 for the released ones.
        steps: of the schedule.
        strength: of stage 2, 0 to 1; it does about `strength * steps` steps for each target.
        times: how much larger stage 2 makes a target's sides.
        text: tokens of text.
    """
    layout = grid.layout(resolution)
    width, height = (round(side * times) // layout.multiple for side in layout.sizes[-1])
    second = steps - int(max(steps - min(steps * strength, steps), 0))  # as `sdedit.skipped` has it
    return Work(layout.total, width * height if second else 0, steps, second, len(grid.targets), text)


def measure(model: str, done: Work, seconds: float) -> None:
    """Remember how fast a run was."""
    if done.token_steps and seconds > 0:
        _measured[model] = seconds / done.token_steps


def expect(model: str, ahead: Work) -> tuple[float | None, bool]:
    """Say how many seconds a run will take, and whether that rests on a measurement; None if nothing is known."""
    rate = _measured.get(model, ASSUMED.get(model))
    return (None if rate is None else rate * ahead.token_steps), model in _measured


def resolution_of(pipe) -> int | None:
    """The resolution of a pipeline, or of one that would be loaded by this name; None if that is not known yet."""
    if not isinstance(pipe, (str, Path)):
        return pipe.resolution
    index = Path(pipe).expanduser() / "model_index.json"
    if str(pipe) not in RESOLUTIONS and index.is_file():
        return json.loads(index.read_text()).get("resolution")
    return RESOLUTIONS.get(str(pipe))
