"""`load(name)`: a VisualCloze pipeline, ready to run on this machine."""

from __future__ import annotations

from pathlib import Path

TINY = Path(__file__).parent / "tiny"


def load(name: str = "tiny", *, device=None, dtype=None):
    """Load a pipeline.

    Args:
        name: `"tiny"`, the bundled checkpoint, or the path of a folder that a pipeline was saved in.
        device: where to run, such as `"cuda"`; by default the CPU.
        dtype: precision of the weights; by default float32.

    Returns:
        a `VisualClozePipeline`.
    """
    from visualcloze_nb.pipeline import VisualClozePipeline

    path = TINY if name == "tiny" else Path(name)
    if not (path / "model_index.json").is_file():
        raise FileNotFoundError(f"{name!r}: there is no checkpoint in {path}")
    pipe = VisualClozePipeline.from_pretrained(path, use_safetensors=True, **({"dtype": dtype} if dtype else {}))
    return pipe.to(device) if device else pipe
