"""Muon for the matrices inside the transformer's blocks, AdamW for all else.

Muon makes the update of a matrix nearly orthogonal, so that all its directions are learned equally fast (Jordan et al.
2024, kellerjordan.github.io/posts/muon). It costs the same whatever the batch.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

LEARNING_RATE = 1e-3  # of AdamW; Muon's is twice that


def optimisers(
    model: torch.nn.Module, learning_rate: float = LEARNING_RATE, added: Iterable[torch.nn.Module] = ()
) -> list[torch.optim.Optimizer]:
    """Both optimisers of a model; each group keeps its rate as `peak`, which a schedule then scales.

    Args:
        model: what is trained.
        learning_rate: of AdamW.
        added: blocks that are new to a trained model: they learn twice as fast as the rest.
    """
    inside = {
        id(p)
        for name, p in model.named_parameters()
        if "transformer_blocks" in name and p.ndim == 2 and ".norm" not in name
    }
    new = {id(p) for block in added for p in block.parameters()}

    def groups(matrices: bool, rate: float) -> list[dict]:
        found = []
        for fresh in (False, True):
            mine = [p for p in model.parameters() if (id(p) in inside) == matrices and (id(p) in new) == fresh]
            if mine:
                found.append({"params": mine, "lr": rate * (2 if fresh else 1)})
        return found

    fused = next(model.parameters()).is_cuda
    muon = torch.optim.Muon(groups(True, 2 * learning_rate), weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    adamw = torch.optim.AdamW(groups(False, learning_rate), betas=(0.9, 0.98), weight_decay=0.0, fused=fused)
    for group in (*muon.param_groups, *adamw.param_groups):
        group["peak"] = group["lr"]
    return [muon, adamw]
