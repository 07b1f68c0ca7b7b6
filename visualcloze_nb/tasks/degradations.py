"""The 32 degradations of the restoration tasks: the authors' name of each, and wordings for prompts.

Degraded images are made from the target while a batch is loaded, so these kinds are the only ones without a file in
Graph200K. `annotate` makes them from a photograph under the same names.
"""

from __future__ import annotations

# our name: (the authors' name, wordings)
DEGRADATIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    # blur and resolution
    "blur": (
        "blur",
        ("a blurred photograph", "a photograph whose details are smeared", "an unsharp version of the photograph"),
    ),
    "gaussian-blur": (
        "GaussianBlur",
        ("a photograph under a Gaussian blur", "a Gaussian-smoothed version", "a photograph softened evenly all over"),
    ),
    "defocus-blur": (
        "Defocus",
        ("a photograph taken out of focus", "a shot with the lens focused wrongly", "a photograph with defocus blur"),
    ),
    "sr-x2": (
        "SRx2",
        ("a version at half the resolution", "a photograph shrunk twofold", "a low-resolution copy (2x smaller)"),
    ),
    "sr-x4": (
        "SRx4",
        (
            "a version at a quarter of the resolution",
            "a photograph shrunk fourfold",
            "a low-resolution copy (4x smaller)",
        ),
    ),
    "pixelate": (
        "pixelate",
        ("a pixelated version", "a photograph reduced to coarse square pixels", "the photograph as a few large pixels"),
    ),
    "mosaic": (
        "mosaic",
        ("a Bayer mosaic", "the colour mosaic of a sensor", "a photograph as a raw mosaic of red and green and blue"),
    ),
    "oversharpen": (
        "oversharpen",
        (
            "an oversharpened photograph",
            "a photograph sharpened until halos appear",
            "a version with harsh and ringing edges",
        ),
    ),
    # noise
    "gaussian-noise": (
        "GaussianNoise",
        ("a photograph with Gaussian noise", "a grainy version with normal noise", "a noisy photograph"),
    ),
    "poisson-noise": (
        "PoissonNoise",
        ("a photograph with shot noise", "a version with Poisson noise", "a photograph as a sensor counts few photons"),
    ),
    "salt-and-pepper": (
        "SPNoise",
        (
            "a photograph with black and white specks",
            "a version with salt-and-pepper noise",
            "a photograph with pixels set to pure black or white",
        ),
    ),
    # coding
    "compression": (
        "compression",
        (
            "a heavily compressed copy",
            "a photograph spoilt by compression",
            "a copy of low quality and small file size",
        ),
    ),
    "quantisation": (
        "quantization",
        ("a photograph in very few colours", "a version with coarsely quantised colours", "a posterised photograph"),
    ),
    "jpeg": (
        "JPEG",
        (
            "a photograph saved as a poor JPEG",
            "a version with JPEG blocks",
            "a copy with the ringing and blocks of JPEG",
        ),
    ),
    # tone and colour
    "contrast-up": (
        "contrast_strengthen",
        (
            "a photograph with too much contrast",
            "a version with exaggerated contrast",
            "a harsh copy with hard contrast",
        ),
    ),
    "contrast-down": (
        "contrast_weaken",
        ("a photograph with too little contrast", "a flat and washed-out version", "a copy with weak contrast"),
    ),
    "brighten": (
        "brighten",
        ("an overexposed photograph", "a version that is too bright", "a copy with all tones lifted"),
    ),
    "darken": (
        "darken",
        ("an underexposed photograph", "a version that is too dark", "a copy with all tones lowered"),
    ),
    "low-light": (
        "LowLight",
        ("a photograph taken in very little light", "a dim version as if at night", "a low-light copy"),
    ),
    "saturation-up": (
        "saturate_strengthen",
        ("a photograph with garish colours", "an oversaturated version", "a copy whose colours are too strong"),
    ),
    "saturation-down": (
        "saturate_weaken",
        ("a photograph with pale colours", "an undersaturated version", "a copy whose colours are faded"),
    ),
    "grey": (
        "gray",
        ("the photograph without colour", "a grey-scale version", "a black-and-white copy"),
    ),
    "colour-distortion": (
        "ColorDistortion",
        ("a photograph with false colours", "a version with shifted colours", "a copy with a strong colour cast"),
    ),
    # missing parts and geometry
    "inpainting": (
        "Inpainting",
        (
            "a photograph with parts cut out",
            "a version with holes to be filled",
            "a damaged photograph with regions missing",
        ),
    ),
    "rotate-90": (
        "rotate90",
        ("the photograph turned by 90 degrees", "a version lying on its side", "a copy rotated by a quarter turn"),
    ),
    "rotate-180": (
        "rotate180",
        ("the photograph upside down", "a version turned by 180 degrees", "a copy rotated by half a turn"),
    ),
    "rotate-270": (
        "rotate270",
        (
            "the photograph turned by 270 degrees",
            "a version lying on its other side",
            "a copy rotated by three quarters",
        ),
    ),
    "barrel": (
        "Barrel",
        ("a photograph with barrel distortion", "a version bulging in the middle", "a copy with lines bowed outwards"),
    ),
    "pincushion": (
        "Pincushion",
        (
            "a photograph with pincushion distortion",
            "a version pinched in the middle",
            "a copy with lines bowed inwards",
        ),
    ),
    "elastic": (
        "Elastic",
        ("an elastically deformed photograph", "a version with a wavy warp", "a photograph as if printed on rubber"),
    ),
    # weather
    "rain": (
        "Rain",
        ("the photograph in the rain", "a version with streaks of rain", "a copy with rain falling over the scene"),
    ),
    "frost": (
        "Frost",
        (
            "a photograph through a frosted pane",
            "a version covered by ice crystals",
            "a copy with frost over the scene",
        ),
    ),
}
