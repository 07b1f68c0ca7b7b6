"""A result shows itself and says how it was made, also years later from the file alone."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from visualcloze_nb import Grid, Result, __version__
from visualcloze_nb.data import result as module
from visualcloze_nb.data.grid_image import png_bytes
from visualcloze_nb.data.result import PROVENANCE, read_provenance
from visualcloze_nb.errors import ProvenanceError
from visualcloze_nb.settings import CallSettings

RED, BLUE = Image.new("RGB", (64, 64), "red"), Image.new("RGB", (192, 192), "blue")


@pytest.fixture
def result():
    grid = Grid([[RED, RED], [RED, None]], task="täsk — “quoted”", content=None)
    return Result(
        images=[BLUE],
        stage1=[BLUE.resize((64, 64))],
        grid=grid,
        settings=CallSettings(7, np.int64(30), 10, 0.4, 30.0, 192, 192, 64, 64, joint_attention_kwargs={"scale": 0.5}),
        seconds={"stage 1": 1.5},
        model="tiny",
        versions={"torch": "2.13.0"},
    )


def test_a_result_holds_the_images_and_the_filled_grid(result):
    assert result.image is BLUE
    assert result.filled == result.grid.completed([BLUE])
    shown = Image.open(io.BytesIO(result._repr_png_()))
    assert shown.size == result.grid.image().size
    assert (np.asarray(shown) == (0, 0, 255)).all(-1).sum() > 10_000
    assert (np.asarray(shown) == (0xD5, 0x5E, 0)).all(-1).sum() > 1000
    assert repr(result) == "<Result 192 x 192, model='tiny', seed=7>"
    assert result._repr_mimebundle_()[1]["image/png"]["alt"].endswith("empty; the model filled column 2.")


def test_the_numbers_must_fit(result):
    with pytest.raises(ValueError, match="images holds 2 images for 1 targets"):
        Result([BLUE, BLUE], [BLUE], result.grid)
    with pytest.raises(ValueError, match="stage1 holds 0 images for 1 targets"):
        Result([BLUE], [], result.grid)


def test_a_saved_image_tells_how_it_was_made(result, tmp_path):
    path = result.save(tmp_path / "out.png")
    assert Image.open(path).convert("RGB").tobytes() == BLUE.tobytes()
    record = read_provenance(path)
    assert record == {**result.provenance(), "target": 0}
    assert record["settings"] == {
        "steps": 30,
        "upsampling_steps": 10,
        "strength": 0.4,
        "guidance": 30.0,
        "width": 192,
        "height": 192,
        "max_sequence_length": 64,
        "resolution": 64,
        "sigmas": None,
        "joint_attention_kwargs": {"scale": 0.5},
    }
    assert record["versions"] == {"visualcloze_nb": __version__, "torch": "2.13.0"}
    assert record["task"] == "täsk — “quoted”" and record["content"] is None
    assert (record["seed"], record["model"], record["targets"]) == (7, "tiny", [1])
    assert json.loads(Image.open(path).text["visualcloze_nb"]) == record


def test_provenance_tells_grids_apart(result):
    other = Result([BLUE], [BLUE], result.grid.with_examples([[RED, BLUE]]))
    assert other.provenance()["images_sha256"] != result.provenance()["images_sha256"]
    again = Result([RED], [RED], result.grid)
    assert again.provenance()["images_sha256"] == result.provenance()["images_sha256"]


def test_saving_replaces_a_file_as_a_whole_or_not_at_all(result, tmp_path, monkeypatch):
    path = tmp_path / "out.png"
    path.write_bytes(b"older")
    monkeypatch.setattr(module.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        result.save(path)
    assert path.read_bytes() == b"older" and list(tmp_path.iterdir()) == [path]
    monkeypatch.undo()
    result.save(str(path))
    assert read_provenance(path)["seed"] == 7 and list(tmp_path.iterdir()) == [path]


def test_saving_any_target(result, tmp_path):
    two = Result([RED, BLUE], [RED, BLUE], result.grid.with_blanks(0, 1))
    assert Image.open(two.save(tmp_path / "b.png", target=1)).size == BLUE.size
    with pytest.raises(ValueError, match="no target 2: targets are 0 to 1"):
        two.save(tmp_path / "c.png", target=2)
    with pytest.raises(ValueError, match="'d.jpg' does not end in .png"):
        two.save(tmp_path / "d.jpg")


def jpeg(image):
    data = io.BytesIO()
    image.save(data, "JPEG")
    return data.getvalue()


def recorded(text):
    return png_bytes(RED, {PROVENANCE: text})


@pytest.mark.parametrize(
    ("name", "content", "error", "message"),
    [
        ("missing.png", None, FileNotFoundError, "missing.png"),
        ("folder.png", "folder", OSError, "folder.png"),
        ("null\0.png", None, ProvenanceError, "is not a path"),
        ("text.png", b"not an image", ProvenanceError, "'.*text.png' is not a PNG file"),
        ("empty.png", b"", ProvenanceError, "is not a PNG file"),
        ("photo.jpg", jpeg(RED), ProvenanceError, "is not a PNG file"),
        ("plain.png", png_bytes(RED), ProvenanceError, "holds no provenance: give a PNG that Result.save wrote"),
        ("cut.png", recorded("{}")[:-30], ProvenanceError, "is damaged"),
        ("json.png", recorded('{"model": '), ProvenanceError, "its provenance is damaged"),
        ("deep.png", recorded("[" * 100_000), ProvenanceError, "its provenance is damaged"),
        ("list.png", recorded("[1]"), ProvenanceError, "its provenance is damaged"),
    ],
)
def test_what_read_provenance_raises(tmp_path, name, content, error, message):
    path = tmp_path / name
    if content == "folder":
        path.mkdir()
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(error, match=message):
        read_provenance(path)
