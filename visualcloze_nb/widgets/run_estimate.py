"""Estimate of a run: image tokens, transformer steps, seconds.

A transformer step costs about as much as it has tokens, so speed is counted in seconds per token and step. Every run
measures it; for the bundled model an initial value is assumed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.target_size import target_size
from visualcloze_nb.settings import TEXT_TOKENS, TINY_RESOLUTION, UPSCALING, stage2_steps

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

RESOLUTIONS = {"tiny": TINY_RESOLUTION, "384": 384, "384-lora": 384, "512": 512, "512-lora": 512}
ASSUMED = {"tiny": 2e-4}  # seconds per token and step on two cores; the first run measures it
_measured: dict[str, float] = {}


@dataclass(frozen=True)
class RunCost:
    """What a run has to compute.

    Attributes:
        tokens: image tokens of stage 1.
        large: image tokens of stage 2, for one target; 0 without stage 2.
        steps, large_steps: transformer steps of stage 1, and of stage 2 for one target.
        targets: number of targets.
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


def run_cost(
    grid: Grid,
    resolution: int,
    steps: int,
    strength: float,
    size: float | str = UPSCALING,
    text: int = TEXT_TOKENS,
    upsampling_steps: int | None = None,
) -> RunCost:
    """Count the tokens and steps that filling a grid takes.

    Args:
        grid: the grid to be filled.
        resolution: of the model: 64 for the bundled one, 384 or 512 for the released ones.
        steps: length of the schedule.
        strength: of stage 2, 0 to 1; it takes about `strength * steps` steps for each target.
        size: of the result, as for `fill`: a factor or `"photograph"`.
        text: text tokens.
        upsampling_steps: length of stage 2's schedule; that of stage 1 unless given.
    """
    layout = grid.layout(resolution)
    width, height = (side // layout.multiple for side in target_size(grid, layout, size))
    second = stage2_steps(upsampling_steps or steps, strength)
    return RunCost(layout.total, width * height if second else 0, steps, second, len(grid.targets), text)


def record_speed(model: str, cost: RunCost, seconds: float) -> None:
    """Store how fast a run was, for later estimates."""
    if cost.token_steps and seconds > 0:
        _measured[model] = seconds / cost.token_steps


def estimate_seconds(model: str, cost: RunCost) -> tuple[float | None, bool]:
    """Estimate the seconds of a run (None if unknown), and say whether the speed was measured."""
    speed = _measured.get(model, ASSUMED.get(model))
    return (None if speed is None else speed * cost.token_steps), model in _measured


def resolution_of(pipe: VisualClozePipeline | str | Path) -> int | None:
    """The resolution of a pipeline, or of the one that `load` would load by this name; None if unknown."""
    if not isinstance(pipe, str | Path):
        return pipe.resolution
    index = Path(pipe).expanduser() / "model_index.json"
    if str(pipe) not in RESOLUTIONS and index.is_file():
        return json.loads(index.read_text()).get("resolution")
    return RESOLUTIONS.get(str(pipe))
