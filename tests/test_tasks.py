"""The catalogue of tasks: kinds, paths, prompts, grids; grids from photographs; the documented examples on models."""

import math
import re
import warnings
from collections import Counter
from importlib.util import find_spec

import numpy as np
import pytest
from conftest import noise_image, quiet
from PIL import Image

from visualcloze_nb import annotate as annotators
from visualcloze_nb import tasks
from visualcloze_nb.annotate.annotator import Availability
from visualcloze_nb.cli.main import main
from visualcloze_nb.drawing.task_graph import task_graph
from visualcloze_nb.errors import GridError, ImageError, ImageWarning, UsageError, VisualClozeError
from visualcloze_nb.settings import RECOMMENDABLE, stage2_steps
from visualcloze_nb.tasks.stage2 import strength_of

# data/prefix_instruction.py of lzyhha/VisualCloze, commit fadd3b6
AUTHORS = {
    "conditional generation": 12,
    "conditional generation with reference": 11,
    "conditional generation with style": 20,
    "image generation with reference": 1,
    "subject extraction": 1,
    "style transfer": 3,
    "style transfer with condition": 10,
    "image editing": 2,
    "image editing with reference": 2,
    "dense prediction": 8,
    "restoration": 32,
    "restoration with reference": 32,
}
SHARED_NAMES = """blur gaussian-blur defocus-blur sr-x2 sr-x4 pixelate mosaic oversharpen gaussian-noise poisson-noise
salt-and-pepper compression quantisation jpeg contrast-up contrast-down brighten darken low-light saturation-up
saturation-down grey colour-distortion inpainting rotate-90 rotate-180 rotate-270 barrel pincushion elastic rain
frost""".split()
CONDITIONS = "canny depth hed normal mlsd openpose sam2 uniformer mask foreground background".split()
EVERY = pytest.mark.parametrize("task", tasks.TASKS.values(), ids=lambda task: task.name)
opencv = pytest.mark.skipif(not find_spec("cv2"), reason="the extra 'annotate' is not installed")


def pixels(image):
    return np.asarray(image).astype(int)


def image(seed=0, size=(48, 32)):
    return noise_image(*size, seed=seed)


# The catalogue -----------------------------------------------------------------------------------------------


def test_the_twelve_groups_have_the_authors_number_of_paths():
    ours = Counter(task.group.name for task in tasks.TASKS.values() if task.group.trained_on == "Graph200K")
    assert ours == AUTHORS == {name: group.authors for name, group in tasks.GROUPS.items() if name in AUTHORS}
    with_boxes = tasks.containing("boxes")
    assert sum(ours.values()) == 134 and sum(ours.values()) - len(with_boxes) == 129


def test_the_families_that_only_the_demo_shows():
    status = {name: group.trained_on for name, group in tasks.GROUPS.items() if name not in AUTHORS}
    other = {"virtual try-on", "relighting", "doodle", "object added", "object removed"}
    assert {name for name, source in status.items() if source == "other data"} == other
    unseen = {name for name, source in status.items() if source == ""}
    assert unseen == {
        "frontal face",
        "several maps at once",
        "image and relighting from depth",
        "pose and edges to image",
        "attribute changed",
        "environment changed",
    }
    assert status.keys() == other | unseen


def test_kinds_have_the_names_that_annotators_use():
    families = Counter(kind.family for kind in tasks.KINDS.values())
    assert [name for name, kind in tasks.KINDS.items() if kind.family == "degradation"] == SHARED_NAMES
    assert {kind for kind in CONDITIONS if not tasks.KINDS[kind].bring} == set(CONDITIONS)
    assert set(annotators.kinds()) <= set(tasks.KINDS) and families.total() == len(tasks.KINDS) == 63
    used = {kind for task in tasks.TASKS.values() for kind in task.columns}
    assert used == set(tasks.KINDS)
    assert all(kind.name == name for name, kind in tasks.KINDS.items())


def test_wordings_are_several_and_tell_kinds_apart():
    seen = Counter(wording for kind in tasks.KINDS.values() for wording in kind.wordings)
    assert set(seen.values()) == {1}
    for kind in tasks.KINDS.values():
        assert len(kind.wordings) >= 3, kind
        assert not [w for w in kind.wordings if re.search(r"[,.\[\]{}]|^[A-Z][a-z]", w)], (
            kind
        )  # they stand in sentences


@EVERY
def test_every_path_gives_a_valid_grid(task):
    rows = [[image(row * 9 + col) for col in range(len(task.columns))] for row in range(3)]
    query = [None if col in task.targets else cell for col, cell in enumerate(rows[-1])]
    instruction = "remove the lamp" if task.group.instructed else None
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a prompt that does not fit its grid warns
        for examples, seed in (([], None), (rows[:2], 5)):
            grid = task.grid([*examples, query], content="a red lamp", instruction=instruction, seed=seed)
            assert grid.targets == task.targets and grid.n_cols == len(task.columns)
            assert grid == task.grid([*examples, query[: task.targets[0]]], content="a red lamp",
                                     instruction=instruction, seed=seed)  # fmt: skip
            named = [int(number) for number in re.findall(r"\[IMAGE(\d)\]", grid.task)]
            assert sorted(named) == list(range(1, grid.n_cols + 1))
            assert ("<editing instruction> remove the lamp" in grid.task) == task.group.instructed
            assert grid.content.startswith(task.group.lead) and grid.content.endswith("a red lamp")
            assert grid.recommended == task.settings_at(
                math.prod(grid.query[0].size)
            ) and grid.recommended.keys() <= set(RECOMMENDABLE)
            assert len(grid.layout(384).row_slices) == len(examples) + 1
        for col in range(grid.n_cols):  # any column may be the target: a task in reverse
            reverse = task.grid([*rows[:2], [None if c == col else cell for c, cell in enumerate(rows[2])]], seed=1)
            assert reverse.targets == (col,)


def test_settings_are_those_of_the_demo():
    strengths = {name: {task.settings["strength"] for task in tasks.TASKS.values() if task.group.name == name}
                 for name in tasks.GROUPS}  # fmt: skip
    of = {noise: strength_of(noise, 1024**2) for noise in (0.3, 0.4, 0.6, 0.7)}
    assert strengths["dense prediction"] == {of[0.3]} and strengths["several maps at once"] == {0}
    assert strengths["restoration"] == {of[0.6]} and strengths["restoration with reference"] == {of[0.4]}
    assert tasks.find("pose").settings["strength"] == of[0.7] and tasks.find("depth").settings["strength"] == of[0.6]
    assert strengths["style transfer"] == {of[0.4], of[0.6]}  # with a subject, and without
    assert tasks.find("relighting").settings["steps"] == 50 and tasks.find("depth").settings["steps"] == 30
    for task in tasks.TASKS.values():
        strength = task.settings["strength"]
        if strength:
            assert stage2_steps(task.settings["upsampling_steps"], strength) == 10, task
            assert task.settings["size"] == "photograph"
        else:
            assert task.settings == {"steps": 30, "strength": 0}


@pytest.mark.parametrize("side", [256, 512, 1024, 3000])
@pytest.mark.parametrize("name, noise", [("image > depth", 0.3), ("relighting", 0.4), ("depth", 0.6), ("pose", 0.7)])
def test_stage_2_begins_at_the_noise_of_the_demo(name, noise, side):
    from visualcloze_nb.sampling.flow import schedule
    from visualcloze_nb.sampling.sdedit import skipped_steps

    settings, steps = tasks.find(name).settings_at(side**2), tasks.find(name).settings_at(side**2)["upsampling_steps"]
    flux = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15}
    sigmas = schedule(steps, (min(side, 1024) // 16) ** 2, flux)[skipped_steps(steps, settings["strength"]) :]
    assert sigmas[0].item() == pytest.approx(noise, abs=0.015) and len(sigmas) == 10 + 1


# Texts and names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 1.5, "a", True, [0]])
def test_a_seed_is_a_whole_number(seed):
    task = tasks.find("canny")
    for call in (lambda: task.prompt(seed), lambda: task.examples([image()], seed=seed)):
        with pytest.raises(UsageError, match="give a whole number of at least 0"):
            call()
    assert task.prompt(np.int64(3)) == task.prompt(3)


def test_prompts_are_drawn_by_the_seed():
    task = tasks.find("reference + depth > image")
    drawn = {task.prompt(seed) for seed in range(40)}
    assert len(drawn) > 25 and task.prompt(7) == task.prompt(7)
    assert task.prompt() == (
        "In each row, a logical task is demonstrated to achieve [IMAGE3] a sharp photograph based on [IMAGE1] the same "
        "subject elsewhere, [IMAGE2] a depth map."
    )
    backwards = task.prompt(targets=(2, 0, 2))
    assert "achieve [IMAGE1]" in backwards and "based on [IMAGE2] a depth map." in backwards
    everything = task.prompt(3, targets=(0, 1, 2))
    assert all(f"[IMAGE{n}]" in everything for n in (1, 2, 3))


def test_a_task_in_reverse_says_nothing_of_the_forward_task():
    task = tasks.find("relighting")
    forward = task.grid([[image()]], content="golden hour")
    reverse = task.grid([[None, image()]], content="golden hour")
    assert task.group.sentence in forward.task and forward.content == f"{task.group.lead} golden hour"
    assert task.group.sentence not in reverse.task and reverse.content == "golden hour"


@pytest.mark.parametrize(
    "name, found",
    [
        ("depth", "depth > image"),
        (" Depth ", "depth > image"),
        ("image > depth", "image > depth"),
        ("image to canny", "image > canny"),
        ("a photograph -> edges", "image > canny"),
        ("depth + reference > image", "reference + depth > image"),
        ("pose and hed to image", "openpose + hed > image"),
        ("SRx2 > target", "sr-x2 > image"),
        ("midas_depth_normal", "normal > image"),
        ("frost", "frost > image"),
        ("Virtual try-on", "person + garment > dressed"),
        ("style transfer", "image + style-reference > styled"),
        ("relit", "image > relit"),
    ],
)
def test_tasks_are_found(name, found):
    assert tasks.find(name).name == found


def test_every_name_and_every_kind_finds_a_task():
    for name, task in tasks.TASKS.items():
        assert tasks.find(name) is task and tasks.find(name.replace(" > ", " to ")) is task
    for kind in tasks.KINDS:
        if kind != "image":
            assert kind in tasks.find(kind).columns


@pytest.mark.parametrize(
    "name, near",
    [
        ("dpeth", "depth > image"),
        ("image > dept", "image > depth"),
        ("try on", "near: virtual try-on"),
        ("frontal", "near: frontal face"),
        ("image", "near"),
        ("depth > depth", "depth > image"),
        ("", "tasks --list"),
        ("§" * 5000, "tasks --list"),
        (None, "give a text"),
        (7, "give a text"),
    ],
)
def test_a_wrong_name_is_answered_with_near_ones(name, near):
    with pytest.raises(UsageError) as error:
        tasks.find(name)
    assert near in str(error.value) and len(str(error.value)) <= 300


def test_tasks_of_a_kind():
    assert {task.name for task in tasks.containing("Barrel")} == {"barrel > image", "reference + barrel > image"}
    with pytest.raises(UsageError, match="there is no kind 'barel'.*barrel"):
        tasks.containing("barel")


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda t: t.grid([[image(), image()], [image(), image()]]), GridError, "no empty cell: leave out its image"),
        (
            lambda t: t.grid([[image()], [image()]]),
            GridError,
            "row 1 has 1 images: depth > image needs 2, give depth, image",
        ),
        (lambda t: t.grid([]), GridError, "row 1 has 0 images"),
        (lambda t: t.grid(image()), GridError, "give a list"),
        (lambda t: t.grid([image()]), GridError, "a row is of type Image"),
        (lambda t: t.grid([["nowhere.png"]]), ImageError, "row 1, column 1"),
        (lambda t: t.grid([[image()]], instruction="add a hat"), UsageError, "takes no instruction"),
        (lambda t: t.prompt(targets=[2]), GridError, "there is no column 2"),
        (lambda t: t.prompt(targets=[]), GridError, "at least one output"),
        (lambda t: t.prompt(targets=1), GridError, "targets is of type int"),
        (lambda t: t.examples([]), UsageError, "there are no photographs"),
        (lambda t: t.examples(image()), GridError, "give a list"),
        (lambda t: t.examples([{"image": image(), "hat": image()}]), UsageError, "row 1: depth > image has no 'hat'"),
        (
            lambda t: t.examples([{"depth": image()}]),
            UsageError,
            "image is missing (a photograph). Give it yourself, as",
        ),
        (lambda t: t.examples([image()], seed=-1), UsageError, "seed is -1"),
        (lambda t: t.examples([image()], targets=[5]), GridError, "there is no column 5"),
    ],
)
def test_what_a_task_refuses(call, error, message):
    with pytest.raises(error) as caught:
        call(tasks.find("depth"))
    assert message in str(caught.value) and isinstance(caught.value, VisualClozeError)
    assert len(str(caught.value)) <= 300


# Grids from photographs ----------------------------------------------------------------------------------------


def stand_in(photo, kind, *, seed=0):
    """An annotator that needs nothing: a colour that tells kind and seed."""
    number = list(tasks.KINDS).index(kind)
    made = Image.new("RGB", photo.size, (number, seed % 256, photo.width % 256))
    made.putpixel((1, 1), (255, 255, 255))  # a plain one would be warned of
    return made


@pytest.fixture
def annotate_all(monkeypatch):
    """All kinds that a photograph determines can be made."""
    can = {kind.name: Availability(True) for kind in tasks.KINDS.values() if not kind.bring and kind.name != "image"}
    monkeypatch.setattr(annotators, "annotate", stand_in)
    monkeypatch.setattr(annotators, "kinds", lambda: can)


@EVERY
def test_every_task_whose_kinds_can_be_made_has_a_scored_grid(task, annotate_all):
    photos = [image(1, (60, 40)), image(2, (40, 40)), image(3, (44, 66))]
    missing = {kind for kind in task.columns if tasks.KINDS[kind].bring}
    assert set(task.missing()) == missing
    if missing:
        with pytest.raises(UsageError) as error:
            task.examples(photos)
        first = next(kind for kind in task.columns if kind in missing)
        assert f"row 1: {first} is missing ({tasks.KINDS[first].bring}" in str(error.value)
        assert len(str(error.value)) <= 300
        given = {kind: image(7, (50, 50)) for kind in missing}
        sample = task.examples([{"image": photo, **given} for photo in photos])
        assert task.missing(("image", *missing)) == {}
    else:
        sample = task.examples(photos)
    assert sample.task is task and sample.grid.n_rows == 3 and sample.grid.targets == task.targets
    assert len(sample.truth) == len(task.targets) and sample.completed.targets == ()
    shape = sample.grid.query[0].size
    assert all(truth.size == shape for truth in sample.truth)
    assert sample.grid.recommended == task.settings_at(math.prod(shape))


def test_each_row_draws_its_own_noise_and_a_seed_repeats_it(annotate_all):
    task = tasks.find("rain")
    photos = [image(1), image(2), image(3)]
    one, same, other = (task.examples(photos, seed=seed).grid for seed in (4, 4, 5))
    assert one == same and one != other
    seeds = [row[0].getpixel((0, 0))[1] for grid in (one, other) for row in grid.rows]
    assert len(set(seeds)) == 6
    alone = tasks.find("pose + hed > image").examples(photos, seed=4).grid
    assert [row[0].getpixel((0, 0))[1] for row in alone.rows] == seeds[:3]  # one seed for all kinds of a row


def test_what_is_missing_says_what_helps(monkeypatch):
    monkeypatch.setattr(annotators, "kinds", lambda: {"canny": Availability(False, "needs a library: pip install it")})
    assert tasks.find("canny").missing() == {"canny": "needs a library: pip install it"}
    assert tasks.find("depth").missing() == {"depth": "no annotator makes it yet"}
    assert tasks.find("depth").missing(("depth",)) == {"image": "a photograph"}
    assert tasks.find("virtual try-on").missing(("person", "garment", "dressed")) == {}  # nothing to be annotated
    with pytest.raises(UsageError, match="row 2: canny is missing .needs a library: pip install it"):
        tasks.find("canny").examples([{"image": image(), "canny": image()}, image()])


@opencv
def test_a_condition_that_shows_nothing_is_named():
    flat = Image.new("RGB", (40, 30), "teal")
    with pytest.warns(ImageWarning, match="row 2: canny shows nothing of this photograph") as caught:
        tasks.find("canny").examples([image(1), flat, image(2)])
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tasks.find("brighten").examples([flat, image(1)])  # a degraded plain image is as plain


@opencv
def test_the_truth_is_what_belongs_in_the_empty_cells():
    photos = [image(1, (90, 60)), image(2, (60, 90))]
    restoration = tasks.find("inpainting").examples(photos, seed=2)
    (truth,) = restoration.truth
    assert np.array_equal(pixels(truth), pixels(photos[1]))
    condition = restoration.grid.query[0]
    share = (pixels(condition) == pixels(truth)).all(2).mean()
    assert 0.3 < share < 1  # parts are covered, and the rest is the photograph
    edges = tasks.find("image > canny").examples(photos)
    assert np.array_equal(pixels(edges.truth[0]), pixels(annotators.annotate(photos[1], "canny")))
    reverse = tasks.find("image > canny").examples(photos, targets=[0])
    assert reverse.grid.targets == (0,) and np.array_equal(pixels(reverse.truth[0]), pixels(photos[1]))


@opencv
@pytest.mark.parametrize(
    "kind, back", [("rotate-90", Image.Transpose.ROTATE_270), ("rotate-270", Image.Transpose.ROTATE_90)]
)
def test_a_quarter_turn_keeps_the_whole_of_its_row(kind, back):
    sample = tasks.find(kind).examples([image(1, (90, 60)), image(2, (60, 90))])
    (truth,) = sample.truth
    assert truth.size == (60, 60) == sample.grid.query[0].size
    assert np.array_equal(pixels(sample.grid.query[0].transpose(back)), pixels(truth))


@opencv
def test_all_restorations_of_a_photograph_differ_from_it():
    photos = [image(1, (96, 64)), image(2, (64, 96))]
    for kind in SHARED_NAMES:
        sample = tasks.find(f"{kind} > image").examples(photos, seed=1)
        assert sample.grid.query[0].size == sample.truth[0].size
        assert np.abs(pixels(sample.grid.query[0]) - pixels(sample.truth[0])).mean() > 0.5, kind


# The documented examples ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real_layout():
    """A random model with the real layout: its tokens, guidance input and resolution, at a small width."""
    from visualcloze_nb.loading.random_weights import SMALL, build
    from visualcloze_nb.pipelines.combined import VisualClozePipeline

    return quiet(VisualClozePipeline(**build(SMALL, "cpu"), resolution=384))


@opencv
@pytest.mark.skipif(not (find_spec("skimage") and find_spec("sklearn")), reason="the extra 'photos' is not installed")
@pytest.mark.filterwarnings("ignore::visualcloze_nb.errors.VisualClozeWarning")  # of long texts and small models
@pytest.mark.parametrize("example", [0, 1, 2], ids=["mask to image", "edge detection", "subject"])
@pytest.mark.parametrize("resolution", [64, 384])
def test_documented_examples_with_photographs(example, resolution, tiny, request):
    import torch

    from visualcloze_nb.lessons.documented_grids import documented_grids
    from visualcloze_nb.sampling.latents import prepare

    pipe = tiny if resolution == 64 else request.getfixturevalue("real_layout")
    sample = list(documented_grids().values())[example]
    prepared = prepare(sample.grid, pipe.vae, resolution, torch.Generator().manual_seed(0))
    area = sum(width * height for width, height in prepared.layout.sizes) * sample.grid.n_cols
    assert prepared.noise.shape == (1, area // 16**2, 64) and prepared.condition.shape[-1] == 320
    assert area == pytest.approx(
        sample.grid.n_rows * sample.grid.n_cols * resolution**2, rel=0.3 if resolution == 64 else 0.1
    )
    draft = pipe.fill(sample.grid, seed=0, steps=1, strength=0).image
    assert draft.size == prepared.layout.sizes[-1]
    result = pipe.fill(sample.grid, seed=0, steps=1, upsampling_steps=2)  # strength and size as the task recommends
    first = sample.grid.query[0]
    assert result.settings.strength == sample.task.settings_at(first.width * first.height)["strength"]
    assert result.image.size == (first.width // 16 * 16, first.height // 16 * 16)
    assert np.ptp(pixels(result.image)) > 0


# Figure and command --------------------------------------------------------------------------------------------


def test_the_graph_joins_the_kinds_of_a_row():
    figure = task_graph(tasks.TASKS.values(), "All tasks")
    (axes,) = figure.axes
    labels = {text.get_text() for text in axes.texts}
    assert labels == set(tasks.KINDS) and figure.alt.startswith("All tasks. 63 kinds; pairs in one row: ")
    pairs = {frozenset(pair) for task in tasks.TASKS.values() for one in task.columns for pair in
             ((one, other) for other in task.columns if other != one)}  # fmt: skip
    lines = [line for line in axes.lines if len(line.get_xdata())]
    assert len(lines) == len(pairs)
    dashed = [line for line in lines if line.get_linestyle() == "--"]
    few = task_graph([tasks.find("image > depth"), tasks.TASKS["image > depth + normal + hed"]])
    styles = Counter(line.get_linestyle() for line in few.axes[0].lines if len(line.get_xdata()))
    assert dashed and styles == {"-": 1, "--": 5}  # image and depth were trained together
    with pytest.raises(UsageError, match="no tasks to draw"):
        task_graph([])


def test_the_command_prints_our_counts_beside_the_authors(capsys):
    assert main(["tasks"]) == 0
    out = capsys.readouterr().out
    for name, count in AUTHORS.items():
        assert re.search(rf"^{name} +{count} +{count} ", out, re.M), name
    assert "Graph200K: 134 paths, the authors 134; without the kind boxes: 129." in out
    assert out.count("nothing: unseen") == 6 and out.count("other data") == 5


def test_the_command_prints_tasks_kinds_and_one_task(capsys):
    assert main(["tasks", "--list"]) == 0
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()] == list(tasks.TASKS)
    assert main(["tasks", "--kinds"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(tasks.KINDS)
    assert "not here: another photograph of the same subject" in lines[list(tasks.KINDS).index("reference")]
    assert main(["tasks", "relighting", "--seed", "3"]) == 0
    out = capsys.readouterr().out
    assert tasks.find("relit").prompt(3) in out and "steps=50" in out and "missing:  relit: the subject" in out
    for arguments, message in ((["dpeth"], "depth > image"), (["--seed", "1"], "name the task"), (["--seed", "x"], "")):
        with pytest.raises(SystemExit, match="2"):
            main(["tasks", *arguments])
        assert message in capsys.readouterr().err
