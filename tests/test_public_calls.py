"""Wrong input to every public call raises the package's own errors, in one short line, within two seconds."""

import inspect
import time
import warnings

import numpy as np
import pytest
import torch
from conftest import build_random_pipe, rows
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from visualcloze_nb import Grid, GridBuilder, load, photos, show
from visualcloze_nb.errors import VisualClozeError

SLOW = 2.0  # seconds of this process, so that a busy machine does not count


class Reached(BaseException):
    """The input was accepted: the transformer is called."""


class Odd:
    """Raises whatever is done with it."""

    def __getattr__(self, name):
        raise RuntimeError(name)

    def __repr__(self):
        return "odd " * 10_000


RED = Image.new("RGB", (32, 32), "red")
CLOSED = RED.copy()
CLOSED.close()
ODD = st.sampled_from(
    [None, True, -1, 0, 1, 7, 10**9, -(2**70), 2**64, 10**400, 1e-9, 0.5, 1.5, -0.5, float("nan"), float("inf"), 1j]
    + ["", " ", "x", "pil", "np", "x" * 10**6, "\ud83d", "a\0b", "photograph", b"", b"x" * 10**6]
    + [[], [None], [[]], [[], []], [[None]], [[RED]], [[RED, None]], [[RED, RED], [RED]], [[CLOSED, None]], rows()]
    + [[0.5], ["latents"], ["x" * 10**5], [1, 2], [{}], (), {}, {"scale": "x"}, {"x": [1]}, set(), object(), Odd(), Odd]
    + [RED, CLOSED, Grid(rows()), Grid([[RED, RED]]), [Grid(rows())] * 2, np.zeros(0), np.zeros((3, 3)), np.array("x")]
    + [torch.zeros(0), torch.zeros(()), torch.tensor(float("nan")), torch.zeros(1, 3, 8), torch.zeros(1, 8)]
    + [
        torch.zeros(2, 2, dtype=torch.int64),
        torch.Generator(),
        [torch.Generator()] * 3,
        torch.device("cpu"),
        print,
        len,
    ]
)
VALUES = ODD | st.integers() | st.floats() | st.text(max_size=20) | st.binary(max_size=20) | st.lists(ODD, max_size=3)


def refused(call):
    """Call something, which must be accepted or refused as promised; return whether it was refused."""
    start, started = time.process_time(), time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except VisualClozeError as error:
        text = str(error)
        assert 10 < len(text) <= 300 and "\n" not in text, text[:1000]
        return True
    except Reached:
        pass
    finally:
        assert time.process_time() - start < SLOW
        assert time.perf_counter() - started < 20 * SLOW, "it waits for something"
    return False


@pytest.fixture(scope="module")
def stopped():
    """A pipeline whose transformer tells that it was reached."""
    pipe = build_random_pipe()

    def reached(*args, **kwargs):
        raise Reached

    pipe.transformer.forward = reached
    return pipe


def calls(pipe):
    """Each public call with valid arguments: its function and they."""
    grid, image = Grid(rows(), task="an edge map"), rows()[0][0]
    documented = {"task_prompt": "an edge map", "content_prompt": None, "image": rows(), "num_inference_steps": 2}
    return {
        "fill": (pipe.fill, {"grid": grid, "steps": 2, "progress": False}),
        "steps": (lambda **given: next(pipe.steps(**given)), {"grid": grid, "steps": 2}),
        "embed": (pipe.embed, {"grid": grid}),
        "pipeline": (pipe.__call__, documented),
        "generation": (pipe.generation_pipe.__call__, documented),
        "upsampling": (pipe.upsampling_pipe.__call__, {"prompt": "a circle", "image": image, "num_inference_steps": 4}),
    }


def parameters(pipe, name):
    function = pipe.steps if name == "steps" else calls(pipe)[name][0]
    return list(inspect.signature(function).parameters)


CALLS = ("fill", "steps", "embed", "pipeline", "generation", "upsampling")


@pytest.mark.parametrize("name", CALLS)
def test_valid_calls_are_accepted(stopped, name):
    function, arguments = calls(stopped)[name]
    assert not refused(lambda: function(**arguments))


@pytest.mark.parametrize("name", CALLS)
@given(data=st.data())
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
def test_pipelines(stopped, name, data):
    function, arguments = calls(stopped)[name]
    chosen = data.draw(st.lists(st.sampled_from(parameters(stopped, name)), min_size=1, max_size=2, unique=True))
    wrong = {key: data.draw(VALUES, label=key) for key in chosen}
    refused(lambda: function(**{**arguments, **wrong}))


BUILDER = {"grid": None, "pipe": "tiny"}
OTHERS = {
    "load": lambda value: load(value if not isinstance(value, str) else f"no such {value}"),
    "load plan": lambda value: load("tiny", plan=[value]),
    "load resolution": lambda value: load("tiny", resolution=[value]),
    "photos.load": photos.load,
    "GridBuilder": GridBuilder,
    "GridBuilder pipe": lambda value: GridBuilder(pipe=[value]),
    "show_image": show.show_image,
    "show_grid": show.show_grid,
    "show_result": show.show_result,
    "sheet": show.sheet,
    "compare": show.compare,
}


@pytest.mark.parametrize("name", OTHERS)
@given(value=VALUES)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_other_calls(name, value):
    refused(lambda: OTHERS[name](value))
