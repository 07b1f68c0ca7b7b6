"""Colour profiles: conversion to sRGB, which the models were trained on.

diffusers ignores profiles, so that a photograph in Adobe RGB or ProPhoto looks pale there.
"""

from __future__ import annotations

import io
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, features

SPACES = {"RGB": "RGB", "CMYK": "CMYK", "GRAY": "L"}  # the colour space of an ICC profile: Pillow's mode
GAMMA = 2.2  # of sRGB, about; a PNG without a profile may name another
NEAR = 2  # a profile that changes no colour by more than this, of 255, is sRGB itself


def to_srgb(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert an 8-bit image without alpha to a new RGB image, through its colour profile if it carries one.

    Args:
        image: of any 8-bit mode; an alpha channel is left out.
        notes: gets what to warn of, if the profile cannot be used.
    """
    data = image.info.get("icc_profile")
    if not data:
        gamma = image.info.get("gamma")
        if gamma and "srgb" not in image.info and abs(gamma * GAMMA - 1) > 0.05:
            notes.append(f"is a PNG of gamma {1 / gamma:.2g}, not {GAMMA:g}: its values are used as they are")
        return image.convert("RGB")  # a copy even where the mode is RGB
    if not features.check("littlecms2"):
        notes.append("has a colour profile, which this Pillow cannot apply (no LittleCMS): colours may be off")
        return image.convert("RGB")
    try:
        space, transform = _transform(bytes(data))
    except Exception:  # the profile is untrusted input
        notes.append("has a damaged colour profile, which is ignored: colours may be off")
        return image.convert("RGB")
    grey = image.mode in ("1", "L") and space != "RGB"  # else grey saved with the profile of the colours it came from
    mode = "L" if grey else "CMYK" if image.mode == "CMYK" else "RGB"
    if mode != space:
        if not (mode == "RGB" and space == "L"):  # grey that was expanded looks right enough
            notes.append(f"has a colour profile for {space or 'another kind of colours'}, not {mode}: it is ignored")
        return image.convert("RGB")
    if transform is None:
        return image.convert("RGB")
    result = transform.apply(image.convert(mode))
    result.info.clear()
    return result


@cache
def _srgb() -> Any:
    from PIL import ImageCms

    return ImageCms.createProfile("sRGB")


def _transform(data: bytes) -> tuple[str | None, Any]:
    """Return the mode that a profile is for, and its transform to sRGB, or None where it is sRGB itself."""
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(io.BytesIO(data))
    mode = SPACES.get(getattr(profile.profile, "xcolor_space", "").strip())
    if mode is None:
        return None, None
    transform = ImageCms.buildTransform(profile, _srgb(), mode, "RGB", flags=ImageCms.Flags.BLACKPOINTCOMPENSATION)
    steps = np.linspace(0, 255, 9).astype(np.uint8)
    if mode == "CMYK":
        return mode, transform
    grid = steps[:, None] if mode == "L" else np.stack(np.meshgrid(steps, steps, steps), -1).reshape(-1, 9, 3)
    probe = Image.fromarray(grid)
    change = np.asarray(transform.apply(probe)).astype(int) - np.asarray(probe.convert("RGB"))
    return mode, None if np.abs(change).max() <= NEAR else transform
