"""Forward hooks for live x0 previews and cancellation of a running pipeline.

The transformer is called once a step with noisy tokens `z` at noise level `sigma` and predicts a velocity `v`. A hook
on that call gets `z` and `v`, and with them the x0 prediction `z - sigma v` (see `flow.py`), however the model is
loaded and run. In stage 2 all row ids are 0.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from PIL import Image

from visualcloze_nb.data.layout import Layout
from visualcloze_nb.errors import Cancelled
from visualcloze_nb.settings import TOKEN_PIXELS

if TYPE_CHECKING:
    import torch

    from visualcloze_nb.pipelines.combined import VisualClozePipeline

SHARE = 0.25  # largest share of the run's time that is spent on previews


class LivePreview:
    """Context that hooks a pipeline's transformer.

    Args:
        pipe: a VisualCloze pipeline.
        layout: of the grid that it fills.
        show: called as `show(stage, target, images)` with x0 predictions: in stage 1 one image for each target
            (`target` is 0), in stage 2 the image of target number `target`.
        stop: set it to cancel the run at the transformer's next block, which raises `Cancelled`.
    """

    def __init__(
        self,
        pipe: VisualClozePipeline,
        layout: Layout,
        show: Callable[[int, int, list[Image.Image]], None],
        stop: threading.Event,
    ):
        self.pipe, self.layout, self.show, self.stop = pipe, layout, show, stop
        self.target, self._last_sigma, self._next_time = -1, 2.0, 0.0

    def __enter__(self) -> LivePreview:
        model = self.pipe.transformer
        blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
        # A compiled block calls no Python hooks.
        eager = [block for block in blocks if getattr(block, "_compiled_call_impl", None) is None]
        self._hooks = [part.register_forward_pre_hook(self._check_cancelled) for part in (model, *eager)]
        self._hooks.append(model.register_forward_hook(self._preview, with_kwargs=True))
        return self

    def __exit__(self, *error: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _check_cancelled(self, *_: object) -> None:
        if self.stop.is_set():
            raise Cancelled

    def _preview(self, model: torch.nn.Module, args: tuple, given: dict[str, Any], output: Any) -> None:
        z, sigma = given["hidden_states"][:, :, :64], float(given["timestep"].flatten()[0])
        stage = 1 if int(given["img_ids"].reshape(-1, 3)[0, 0]) else 2
        if stage == 2 and (self.target < 0 or sigma >= self._last_sigma):
            self.target += 1  # sigma did not fall, so the next target has begun
        self._last_sigma = sigma
        if time.monotonic() < self._next_time or self.pipe.vae.device != z.device:
            return
        from visualcloze_nb.sampling.latents import decode_targets
        from visualcloze_nb.sampling.sdedit import decode_stage2

        began = time.monotonic()
        x0 = (z - sigma * output[0]).to(z.dtype)
        if stage == 1:
            images = decode_targets(x0, self.pipe.vae, self.layout)
        else:
            images = [decode_stage2(x0, self.pipe.vae, _large_layout(given["img_ids"]))]
        self.show(stage, max(self.target, 0), images)
        self._next_time = time.monotonic() + (time.monotonic() - began) * (1 / SHARE - 1)


def _large_layout(ids: torch.Tensor) -> Layout:
    """The layout of stage 2's single image, from its position ids."""
    down, across = (int(side) + 1 for side in ids.reshape(-1, 3)[-1, 1:])
    return Layout(((across * TOKEN_PIXELS, down * TOKEN_PIXELS),), 1, (0,))
