"""Looking on while a pipeline runs: what it would answer now, and a way to stop it in the middle of a step.

The transformer is called once a step with noisy tokens `z` and a noise level, and answers with a velocity `v`.
So `z - sigma v`, the guess of the finished image, can be had by listening to that one call, whichever way
the model is loaded and run (see `flow.py`). Stage 2 is told by its row number 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import torch

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import Cancelled
from visualcloze_nb.sampling.flow import Step
from visualcloze_nb.settings import TOKEN_PIXELS

SHARE = 0.25  # of the time, at most, that is spent on showing guesses


class Tap:
    """Listens to a pipeline's transformer, as a context.

    Args:
        pipe: a VisualCloze pipeline.
        layout: of the grid that it fills.
        show: called as `show(stage, target, images)` with what is guessed: in stage 1 one image for each
            target, in stage 2 the one of target number `target`.
        stop: set it to end the run, at the next block of the transformer.
    """

    def __init__(self, pipe, layout: Layout, show: Callable, stop: threading.Event):
        self.pipe, self.layout, self.show, self.stop = pipe, layout, show, stop
        self.target, self._last, self._next = -1, 2.0, 0.0

    def __enter__(self) -> Tap:
        model = self.pipe.transformer
        blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
        plain = [block for block in blocks if getattr(block, "_compiled_call_impl", None) is None]
        self._hooks = [part.register_forward_pre_hook(self._may_go_on) for part in (model, *plain)]
        self._hooks.append(model.register_forward_hook(self._heard, with_kwargs=True))
        return self

    def __exit__(self, *error) -> None:
        for hook in self._hooks:
            hook.remove()

    def _may_go_on(self, *_) -> None:
        if self.stop.is_set():
            raise Cancelled

    def _heard(self, model, args, given: dict, answer) -> None:
        z, sigma = given["hidden_states"][:, :, :64], float(given["timestep"].flatten()[0])
        first_row = int(given["img_ids"].reshape(-1, 3)[0, 0])
        stage = 1 if first_row else 2
        if stage == 2 and (self.target < 0 or sigma >= self._last):
            self.target += 1  # the noise does not fall: the next target has begun
        self._last = sigma
        if time.monotonic() < self._next or self.pipe.vae.device != z.device:
            return
        began = time.monotonic()
        velocity = answer[0]
        step = Step(stage, 0, 0, sigma, sigma, z, velocity, z, max(self.target, 0))
        step.layout = self.layout if stage == 1 else self._large_layout(given["img_ids"])
        self.show(stage, max(self.target, 0), self.pipe.read(step, step.guess.to(z.dtype)))
        self._next = time.monotonic() + (time.monotonic() - began) * (1 / SHARE - 1)

    @staticmethod
    def _large_layout(ids: torch.Tensor) -> Layout:
        """Stage 2's one image, from its position ids."""
        down, across = (int(side) + 1 for side in ids.reshape(-1, 3)[-1, 1:])
        return Layout(((across * TOKEN_PIXELS, down * TOKEN_PIXELS),), 1, (0,))
