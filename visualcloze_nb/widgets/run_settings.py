"""Settings of a run as controls: seed, steps, guidance, and stage 2 with its strength, steps and size."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import ipywidgets
from traitlets import TraitError

from visualcloze_nb.data.grid import Grid
from visualcloze_nb.settings import GUIDANCE, PHOTOGRAPH, STEPS, STRENGTH, UPSCALING
from visualcloze_nb.widgets.background_run import BackgroundRun
from visualcloze_nb.widgets.controls import FULL_LABEL, number
from visualcloze_nb.widgets.error_output import ErrorOutput

if TYPE_CHECKING:
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

DRAFT_STEPS = 10
DEFAULTS = {"steps": STEPS, "strength": STRENGTH, "guidance": GUIDANCE, "upsampling_steps": 0, "size": UPSCALING}
SIZES = (("as stage 1", 1), ("twice", 2), ("3 times", 3), ("4 times", 4), ("as large as my photograph", PHOTOGRAPH))


class RunSettings:
    """Base of the run panel: the controls, and the settings that they stand for."""

    errors: ErrorOutput
    background: BackgroundRun
    refresh: Callable[[], None]
    _grid: Callable[[], Grid]

    def _make_settings(self) -> None:
        self._recommended: dict[str, Any] = {}
        self.seed = number("Seed", 0, 0, 2**31 - 1, "130px")
        self.steps = number("Steps", STEPS, 1, 100, "130px")
        self.guidance = ipywidgets.BoundedFloatText(GUIDANCE, min=0, max=100, step=1, description="Guidance")
        self.guidance.style, self.guidance.layout.width = FULL_LABEL, "160px"
        self.no_stage2 = self._checkbox("No stage 2", "140px")
        self.strength = ipywidgets.FloatSlider(STRENGTH, min=0.05, max=1, step=0.01, readout_format=".2f")
        self.strength.description, self.strength.style = "Strength of stage 2", FULL_LABEL
        self.upsampling_steps = number("Steps of stage 2 (0: as stage 1)", 0, 0, 100, "260px")
        self.size: Any = ipywidgets.Dropdown(options=SIZES, value=UPSCALING, description="Size", style=FULL_LABEL)
        self.size.layout.width = "260px"
        self.draft = self._checkbox(f"Draft: {DRAFT_STEPS} steps, no stage 2", "240px")
        for name in (*DEFAULTS, "no_stage2", "draft"):
            changed = getattr(self, name)
            self.errors.connect(f"set {name}", changed, "value", lambda _: self.refresh(), keeps_message=True)

    def _checkbox(self, label: str, width: str) -> ipywidgets.Checkbox:
        return ipywidgets.Checkbox(False, description=label, indent=False, layout={"width": width})

    @property
    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `pipe.fill`."""
        draft = self.draft.value
        first: dict[str, Any] = {"seed": self.seed.value, "steps": DRAFT_STEPS if draft else self.steps.value}
        first["guidance"] = self.guidance.value
        if draft or self.no_stage2.value:
            return first | {"strength": 0.0}
        steps = self.upsampling_steps.value or first["steps"]
        return first | {"strength": self.strength.value, "upsampling_steps": steps, "size": self.size.value}

    @property
    def pipe(self) -> VisualClozePipeline | str:
        """The pipeline, or its name while it is not loaded."""
        return self.background.pipe

    @property
    def call(self) -> str:
        """The settings as Python: the call of `fill` that a run makes."""
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return f"pipe.fill(grid, {settings})"

    def random_seed(self) -> None:
        """Choose a seed at random."""
        self.seed.value = random.randrange(2**31)

    def _refresh_settings(self) -> None:
        """Take what another grid recommends, and switch off what has no effect."""
        self._take_recommended()
        draft = self.draft.value
        self.steps.disabled = self.no_stage2.disabled = draft
        for control in (self.strength, self.upsampling_steps, self.size):
            control.disabled = draft or self.no_stage2.value
        self.guidance.disabled = not self._guided()

    def _take_recommended(self) -> None:
        try:
            recommended = dict(self._grid().recommended)
        except ValueError:  # still incomplete
            return
        if recommended == self._recommended:
            return
        changed = recommended.keys() | self._recommended.keys()
        self._recommended = recommended
        for name in changed:
            with suppress(TraitError, TypeError, ValueError):  # no such value: `fill` would refuse it too
                self._set(name, recommended.get(name, DEFAULTS[name]))

    def take_settings(self, settings: Mapping[str, Any]) -> None:
        """Set the controls to arguments of `fill`, such as those of an earlier run."""
        self.draft.value = False
        for name, value in settings.items():
            with suppress(TraitError, TypeError, ValueError, AttributeError):
                self._set(name, value)

    def _set(self, name: str, value: Any) -> None:
        if name == "strength":
            self.no_stage2.value = value == 0
            value = value or STRENGTH
        elif name == "size" and value not in dict(SIZES).values():
            self.size.options = (*SIZES, (f"{value:g} times", value))
        control = getattr(self, name)
        if hasattr(control, "max") and isinstance(value, int | float):  # else the control would show its limit instead
            control.min, control.max = min(control.min, value), max(control.max, value)
        control.value = value

    def _guided(self) -> bool:
        """Whether the model has a guidance input, as far as is known: the bundled one has none."""
        if isinstance(self.pipe, str):
            return self.pipe != "tiny"
        return bool(self.pipe.transformer.config.guidance_embeds)
