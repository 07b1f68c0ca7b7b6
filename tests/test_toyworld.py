"""The toy world is exact: its kinds of image agree with each other, and what is held out stays out."""

import functools
import itertools
import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from visualcloze_nb import toyworld
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.toyworld import (
    FAMILIES,
    FIRST_TRAINING_SEED,
    HELD_OUT,
    HELD_OUT_TASKS,
    KINDS,
    RANDOM_KINDS,
    TRAINED_TASKS,
    Scene,
    SceneObject,
    Task,
    concrete,
    draw,
    edit,
    is_trained,
    make_scene,
    phrase,
    render,
    sample,
    to_image,
    transforms,
)
from visualcloze_nb.toyworld.scene_batch import REFERENCE_OFFSET, STYLES, SceneBatch, style_of
from visualcloze_nb.toyworld.scenes import COLOURS, GROUNDS, LARGEST, MAX_OBJECTS, SHAPES, SMALLEST, TEXTURES
from visualcloze_nb.toyworld.splits import TRAINED_NUMBERS

SCENES = [make_scene(seed) for seed in range(12)]
ALL = [kind.replace("<number>", "2") for kind in KINDS] + ["hue 120", "turn 1"]
ALL += ["grey then flipped", "dark then mix 109"]
SQUARE_ONLY = ("turn 1",)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# scenes


def test_the_same_seed_gives_the_same_scene_and_another_seed_another():
    assert [make_scene(seed) for seed in range(12)] == SCENES
    assert len({make_scene(seed).objects for seed in range(50)}) == 50
    far = make_scene(2**40 - 1)  # as training draws them
    assert far == make_scene(2**40 - 1) and far.seed == 2**40 - 1


def test_scenes_never_change():
    """Whatever was trained or quoted was drawn from these scenes: a changed draw order would change them all."""
    scene = make_scene(7)
    shown = scene.subject
    assert (scene.ground, len(scene.objects)) == ("brown", 2)
    assert (shown.shape, shown.colour, shown.texture) == ("circle", "yellow", "striped")
    assert (round(shown.size, 4), round(shown.x, 4)) == (0.5774, 0.3126)


def test_scenes_are_well_made():
    shapes, colours, textures, counts = set(), set(), set(), set()
    for scene in map(make_scene, range(300)):
        counts.add(len(scene.objects))
        assert scene.ground in GROUNDS
        sizes = [one.size for one in scene.objects]
        assert sizes == sorted(sizes) and scene.subject.size == max(sizes)
        for shown in scene.objects:
            assert SMALLEST <= shown.size <= LARGEST and 0.45 <= shown.depth <= 1
            assert abs(shown.x) <= 1 and abs(shown.y) <= 1
            shapes.add(shown.shape), colours.add(shown.colour), textures.add(shown.texture)
    assert counts == set(range(1, MAX_OBJECTS + 1))
    assert (shapes, colours, textures) == (set(SHAPES), set(COLOURS), set(TEXTURES))


def test_a_caption_names_the_objects_nearest_first():
    far, near = (SceneObject("star", c, "plain", s, 0, 0, 0) for c, s in (("blue", 0.4), ("pink", 0.5)))
    scene = Scene(0, "sand", 0.0, (far, near))
    assert scene.caption() == "a pink star and a blue star on sand ground."
    assert SceneObject("ring", "red", "striped", 0.4, 0, 0, 0).phrase() == "a striped red ring"


def test_a_scene_has_at_most_two_objects():
    one = make_scene(7).subject
    with pytest.raises(ValueError, match="a scene has 3 objects: give at most 2"):
        draw("image", [Scene(0, "sand", 0.0, (one, one, one))])


# images


@pytest.mark.parametrize("kind", ALL)
@pytest.mark.parametrize("size", [(64, 64), (48, 80), (33, 20), (192, 192)])
def test_every_kind_draws_at_every_size(kind, size):
    scenes = SCENES[:3]
    if kind in SQUARE_ONLY and size[0] != size[1]:
        with pytest.raises(ValueError, match="square"):
            draw(kind, scenes, *size)
        return
    values = draw(kind, scenes, *size, seeded())
    assert values.shape == (3, 3, *size) and values.dtype == torch.float32
    assert 0 <= values.min() and values.max() <= 1
    assert values.std() > 0.02
    alone = draw(kind, scenes[:1], *size, seeded())
    if kind not in RANDOM_KINDS:  # those draw random numbers for the whole batch
        assert torch.allclose(values[:1], alone, atol=1e-6), "a scene must not depend on its neighbours"


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_randomness_comes_from_the_generator(kind):
    one, same, other = (draw(kind, SCENES, generator=seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(one, same) and not torch.equal(one, other)


SMOOTH = ("image", "edge", "depth", "mask", "normals", "instances", "subject", "foreground", "background", "styled")
SMOOTH += ("style", "removed", "grey", "dark", "hue 120", "mix 4", "light 40", "move 1", "shift 6")


@pytest.mark.parametrize("kind", SMOOTH)
def test_a_large_drawing_made_small_is_the_small_drawing(kind):
    small = draw(kind, SCENES, 64, 64)
    large = F.interpolate(draw(kind, SCENES, 192, 192), (64, 64), mode="area")
    error = (small - large).square().mean().sqrt()
    assert error < 0.03, f"{kind}: {error}"


def coverage(scenes, height=64, width=64):
    """How much of each pixel is covered by objects, found from the mask alone: 0, 1, or between on outlines."""
    mask = render.mask(scenes, height, width)
    return (mask.sum(1) > 0), torch.stack([(mask - torch.tensor(c)[:, None, None]).abs().sum(1) < 1e-3
                                           for c in render.CLASS_COLOURS.values()]).any(0)  # fmt: skip


@pytest.mark.parametrize("size", [(64, 64), (48, 80)])
def test_depth_shows_objects_exactly_where_the_mask_does(size):
    touched, covered = coverage(SCENES, *size)
    depth = render.depth(SCENES, *size)[:, 0]
    bare = [Scene(s.seed, s.ground, s.ground_angle, ()) for s in SCENES]
    ground = render.depth(bare, *size)[:, 0]
    assert torch.allclose(depth[~touched], ground[~touched], atol=1e-6)
    for i, scene in enumerate(SCENES):
        known = torch.tensor([shown.depth for shown in scene.objects])
        gap = (depth[i][covered[i]][:, None] - known).abs().min(1).values
        # Flat inside, at the depth of an object; but where two objects of one class meet, only depth shows it.
        assert len(gap) > 50 and (gap < 1e-3).float().mean() > 0.98


def test_the_background_is_the_image_where_nothing_stands():
    touched, _ = coverage(SCENES)
    image, ground = render.image(SCENES, 64, 64), render.background(SCENES, 64, 64)
    keep = ~touched[:, None].expand_as(image)
    assert torch.allclose(image[keep], ground[keep], atol=1e-6)
    assert (image - ground)[~keep].abs().mean() > 0.05


def test_edges_lie_where_the_mask_changes():
    size = 192
    mask = render.mask(SCENES, size, size)
    edge = render.edge(SCENES, size, size)[:, :1]
    jump = torch.zeros_like(edge)
    jump[..., 1:] = torch.maximum(jump[..., 1:], mask.diff(dim=3).abs().amax(1, keepdim=True))
    jump[..., 1:, :] = torch.maximum(jump[..., 1:, :], mask.diff(dim=2).abs().amax(1, keepdim=True))
    strong = jump > 0.3
    # Every change of class has a line over it, and every line a change of class or the outline of an object near it.
    assert edge[strong].float().mean() > 0.97
    near = F.max_pool2d((jump > 0.05).float(), 13, 1, 6) > 0
    drawn = edge > 0.5
    assert (drawn & near).sum() > 0.9 * drawn.sum()
    assert 0.01 < drawn.float().mean() < 0.3


def test_nearer_objects_hide_farther_ones():
    far = SceneObject("square", "red", "plain", 0.3, 0.0, 0.0, 0.0)
    near = SceneObject("circle", "blue", "plain", 0.6, 0.0, 0.0, 0.0)
    both, alone = (Scene(0, "sand", 0.0, objects) for objects in ((far, near), (near,)))
    for kind in ("image", "edge", "depth", "mask"):
        assert torch.allclose(draw(kind, [both]), draw(kind, [alone]), atol=1e-6), kind


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_has_its_colour_in_the_mask_and_its_size(shape):
    shown = SceneObject(shape, "red", "plain", 0.5, 0.2, -0.3, 0.0)
    mask = draw("mask", [Scene(0, "sand", 0.0, (shown,))], 128, 128)[0]
    inside = (mask - torch.tensor(render.CLASS_COLOURS[shape])[:, None, None]).abs().sum(0) < 1e-3
    ys, xs = inside.nonzero().T
    assert 0.02 < inside.float().mean() < 0.25
    if shape not in ("triangle", "star"):  # those reach farther up than down
        assert abs((ys.max() + ys.min()) / 128 - (1 - 0.3)) < 0.03
    assert abs((xs.max() + xs.min()) / 128 - (1 + 0.2)) < 0.03
    assert (xs.max() - xs.min()) / 64 < 2.1 * shown.size


def test_a_scene_keeps_its_areas_whatever_the_aspect():
    square, wide = (draw("mask", SCENES, *size).sum(1).gt(0).float().mean().item() for size in ((64, 64), (48, 80)))
    assert square == pytest.approx(wide, rel=0.1)


def test_the_subject_stands_alone_in_the_middle():
    subject = draw("subject", SCENES, 64, 64)
    assert torch.allclose(subject[:, :, 0, 0], torch.tensor(render.PLAIN_GROUND))
    shown = (subject - render.PLAIN_GROUND).abs().sum(1) > 0.05
    for one in shown:
        ys, xs = one.nonzero().T
        assert abs(xs.float().mean() - 31.5) < 2 and abs(ys.float().mean() - 31.5) < 4


# from image to image


IMAGES = render.image(SCENES, 48, 48)


def test_turns_and_flips_close():
    turned = IMAGES
    for _ in range(4):
        turned = transforms.turn(turned, 1)
        assert turned.shape == IMAGES.shape
    assert torch.equal(turned, IMAGES)
    assert torch.equal(transforms.turn(transforms.turn(IMAGES, 1), 2), transforms.turn(IMAGES, 3))
    assert not torch.equal(transforms.turn(IMAGES, 1), transforms.turn(IMAGES, 3))
    corner = torch.zeros(1, 3, 4, 4)
    corner[..., 0, 3] = 1  # top right goes to top left when turned anticlockwise
    assert transforms.turn(corner, 1)[0, 0, 0, 0] == 1
    assert torch.equal(transforms.flip(transforms.flip(IMAGES)), IMAGES)
    assert torch.equal(transforms.flip(IMAGES)[..., 0], IMAGES[..., -1])


def test_three_thirds_of_the_hue_circle_are_none():
    dull = 0.4 + 0.2 * IMAGES  # so that nothing is clamped
    turned = dull
    for _ in range(3):
        turned = transforms.rotate_hue(turned, 120)
    assert torch.allclose(turned, dull, atol=1e-5)
    assert torch.allclose(transforms.rotate_hue(dull, 120), dull.roll(1, 1), atol=1e-5)  # red to green to blue
    assert torch.allclose(transforms.rotate_hue(dull, 60).mean(1), dull.mean(1), atol=1e-5)


def test_grey_is_grey_and_a_negative_of_a_negative_the_image():
    grey = transforms.grey(IMAGES)
    assert torch.equal(grey[:, 0], grey[:, 1]) and torch.equal(grey[:, 0], grey[:, 2])
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert transforms.grey(red).unique().item() == pytest.approx(0.299)
    assert torch.allclose(transforms.invert(transforms.invert(IMAGES)), IMAGES, atol=1e-6)


@pytest.mark.parametrize("palette", [COLOURS, GROUNDS])
def test_a_grey_image_tells_all_colours_but_red_from_purple(palette):
    colours = torch.tensor(list(palette.values()))[:, :, None, None]
    greys = dict(zip(palette, transforms.grey(colours)[:, 0].flatten().tolist(), strict=True))
    for one, other in itertools.combinations(palette, 2):
        assert abs(greys[one] - greys[other]) > (0.001 if {one, other} == {"red", "purple"} else 0.02), (one, other)


def test_blur_keeps_brightness_and_loses_detail():
    blurred = transforms.blur(IMAGES)
    assert blurred.mean() == pytest.approx(IMAGES.mean().item(), abs=0.01)
    assert blurred.diff(dim=3).square().mean() < 0.2 * IMAGES.diff(dim=3).square().mean()
    flat = torch.full((1, 3, 16, 16), 0.3)
    assert torch.allclose(transforms.blur(flat), flat, atol=1e-6)


def test_pixelation_makes_eight_by_eight_flat_tiles():
    tiles = transforms.pixelate(IMAGES).unfold(2, 6, 6).unfold(3, 6, 6)  # 48 / 8
    assert tiles.shape[2:4] == (8, 8)
    assert (tiles.amax((-1, -2)) - tiles.amin((-1, -2))).max() == 0
    expected = IMAGES.unfold(2, 6, 6).unfold(3, 6, 6).mean((-1, -2))
    assert torch.allclose(tiles[..., 0, 0], expected, atol=1e-6)


def test_a_hole_is_one_grey_rectangle_and_leaves_the_rest():
    holed = transforms.hole(IMAGES, seeded())
    assert not torch.equal(holed, IMAGES)
    for before, after in zip(IMAGES, holed, strict=True):
        ys, xs = (before != after).any(0).nonzero().T
        box = after[:, ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        assert (box == 0.5).all()
        assert 0.25 * 48 <= box.shape[1] <= 0.46 * 48 and 0.25 * 48 <= box.shape[2] <= 0.46 * 48


def test_noise_is_as_strong_as_it_says():
    flat = torch.full((40, 3, 32, 32), 0.5)
    assert transforms.noise(flat, seeded()).std() == pytest.approx(0.15, abs=0.01)


# the graph


def test_words_hide_the_numbers_of_families():
    assert phrase("hue 60") == phrase("hue 240") and phrase("turn 1") == phrase("turn 3") == phrase("flipped")
    assert not any(letter.isdigit() for kind in ALL for letter in phrase(kind))
    # Alike: two numbers of hue and of turn; hue and mix, both recoloured; flipped, turned; the two compositions.
    assert len({phrase(kind) for kind in ALL}) == len(ALL) - 2 - 1 - 1 - 1


NO_KINDS = [
    "", "images", "hue", "hue x", "turn", "edge 2", "edge then flipped", "grey then ", "light 3 then grey",
    "grey then flipped then turn 2",
]  # fmt: skip


@pytest.mark.parametrize("kind", NO_KINDS)
def test_unknown_kinds_are_refused_by_name(kind):
    with pytest.raises(ValueError, match="no kind of image"):
        phrase(kind)
    with pytest.raises(ValueError, match="no kind of image"):
        draw(kind, SCENES)


def test_tasks_are_read_and_written():
    task = Task.parse("subject + depth > image")
    assert task == Task(("subject", "depth"), ("image",)) and str(task) == "subject + depth > image"
    assert task.columns == ("subject", "depth", "image")
    assert task.prompt.endswith(
        "to achieve [IMAGE3] a picture based on [IMAGE1] the subject alone, [IMAGE2] a depth map."
    )
    assert Task.parse("> edge") == Task((), ("edge",)) and str(Task.parse("> edge")) == "> edge"
    for wrong in ("image", "image>edge", "image > ", "image > shadow", "image> edge", ">"):
        with pytest.raises(ValueError):
            Task.parse(wrong)


def test_there_are_kinds_and_families_enough():
    assert len(KINDS) - len(FAMILIES) >= 20 and len({phrase(kind) for kind in KINDS if "<" not in kind}) >= 20
    columns = {len(task.columns) for task in TRAINED_TASKS}
    assert columns == {1, 2, 3, 4}


def test_no_held_out_task_is_trained():
    assert all(weight > 0 for weight in TRAINED_TASKS.values())
    columns = [frozenset(t.columns) for t in TRAINED_TASKS]
    for task in HELD_OUT_TASKS:
        assert not is_trained(task)
        # A training batch may blank any column, so the reverse of a held-out path must not be trained either.
        assert frozenset(task.columns) not in columns
        assert not is_trained(Task(task.outputs, task.inputs))


def test_composed_edges_are_two_trained_ones_and_all_that_were_never_shown_together():
    """No trained grid shows both ends, in whatever columns: not even beside the image between them."""
    together = {frozenset(pair) for task in TRAINED_TASKS for pair in itertools.combinations(task.columns, 2)}
    worse = ("pixelated", "blurred", "noisy", "speckled", "holed", "grey", "dark", "faded", "posterised")
    asked = ("edge", "depth", "mask")
    apart = {(a, b) for a in (*worse, "mask", "depth") for b in asked if a != b and frozenset((a, b)) not in together}
    assert {(*task.inputs, *task.outputs) for task in HELD_OUT["edges composed"]} == apart
    for a, b in apart:
        assert is_trained(Task((a,), ("image",))) and is_trained(Task(("image",), (b,)))


def test_what_is_trained_is_recognised():
    rng = random.Random(0)
    for task in list(TRAINED_TASKS) * 5:
        assert is_trained(concrete(task, rng))
    for text in ("image > hue 180", "image > turn 3", "image > mix 4", "image > move 2", "edge > mask"):
        assert not is_trained(Task.parse(text)), text
    assert is_trained(Task.parse("image > dark then hue 100"))
    assert not is_trained(Task.parse("image > grey then hue 100"))


@functools.cache
def small(kind: str) -> torch.Tensor:
    return draw(kind, SCENES[:6], 32, 32, seeded())


def same(one: str, other: str) -> bool:
    """Whether two kinds are the same image of every scene, by any name."""
    return one == other or bool((small(one) - small(other)).square().mean().sqrt() < 0.02)


def test_no_held_out_function_can_be_had_from_a_trained_path():
    """Compared on images, not by name: a channel permutation is a hue rotation, a half turn undoes itself, …

    Every number that is trained is tried, and for `mix` a hundred of its numbers.
    """
    numbers = {name: values if name != "mix" else values[:100] for name, values in TRAINED_NUMBERS.items()}
    trained = set()
    for task in TRAINED_TASKS:
        for one, other in itertools.permutations(task.columns, 2):
            names = [kind.split(" then ")[-1].partition(" ")[0] for kind in (one, other)]
            choices = [numbers[n] if "*" in kind else ("",) for n, kind in zip(names, (one, other), strict=True)]
            for a, b in itertools.product(*choices):
                trained.add((one.replace("*", str(a)), other.replace("*", str(b))))
    for task in HELD_OUT_TASKS:
        (given,), (asked,) = task.inputs, task.outputs
        mine = small(asked)
        for one, other in trained:
            if same(given, one):
                error = (small(other) - mine).square().mean().sqrt()
                assert error > 0.02, f"{task} is {one} > {other}"
            if same(given, other) and one in KINDS:  # backwards: what the trained path undoes
                assert not same(asked, one), f"{task} is {other} > {one} backwards"


def test_channel_mixes_are_held_out_with_their_inverse():
    for n in TRAINED_NUMBERS["mix"]:
        weights = transforms.mixing_weights(n)
        assert weights[0, 2] <= 0.5 and weights[2, 0] <= 0.5 and np.allclose(weights.sum(1), 1)
    held_out = [int(t.outputs[0].split()[1]) for t in HELD_OUT["interpolated"] if " mix " in str(t)]
    assert held_out and all(transforms.mixing_weights(n)[0, 2] > 0.75 for n in held_out), "well inside the range"


@pytest.mark.parametrize("name", ["hue", "shift", "recolour", "replace", "move"])
def test_held_out_numbers_are_held_out_with_their_inverse(name):
    inverse = {
        "hue": lambda n: -n % 360,
        "shift": lambda n: (-(n // 4) % 4) * 4 + -(n % 4) % 4,
        "recolour": lambda n: -n % 8,
        "replace": lambda n: -n % 6,
        "move": lambda n: (n + 4) % 8,
    }[name]
    trained = set(TRAINED_NUMBERS[name])
    assert {inverse(n) for n in trained} == trained
    if name in ("hue", "shift"):  # and that is the inverse, on images that stay within 0..1
        images = 0.4 + 0.2 * draw("image", SCENES, 64, 64)
        change = {"hue": transforms.rotate_hue, "shift": transforms.roll}[name]
        for n in list(trained)[::7]:
            assert torch.allclose(change(change(images, n), inverse(n)), images, atol=1e-4)


def test_half_turns_and_flips_never_give_a_quarter_turn():
    images = draw("image", SCENES, 64, 64)
    reached, todo = [], [images]
    while todo:  # the group that the trained turns and the flip generate
        one = todo.pop()
        if not any(torch.equal(one, other) for other in reached):
            reached.append(one)
            todo += [transforms.flip(one), *(transforms.turn(one, n) for n in TRAINED_NUMBERS["turn"])]
    assert len(reached) == 4
    for n in (1, 3):
        assert not any(torch.equal(transforms.turn(images, n), one) for one in reached)


# edits, styles, light


def test_edits_change_the_subject_and_nothing_else():
    batch = SceneBatch.of(SCENES)
    edits = (edit.remove, lambda s: edit.recolour(s, 3), lambda s: edit.exchange(s, 2), lambda s: edit.move(s, 1))
    removed, *edited = (change(batch).scenes() for change in edits)
    right, up = (edit.move(batch, direction).scenes() for direction in (0, 2))
    assert edit.recolour(edit.recolour(batch, 3), 5).scenes() == SCENES == edit.exchange(batch, 6).scenes()
    for i, scene in enumerate(SCENES):
        rest, subject = scene.objects[:-1], scene.subject
        assert removed[i].objects == rest
        for changed in (scenes[i] for scenes in edited):
            assert changed.objects[:-1] == rest and changed.ground == scene.ground
            assert changed.subject != subject
        moved = right[i].subject
        assert moved.y == subject.y and subject.x < moved.x <= 0.9 or subject.x >= 0.9
        assert up[i].subject.y < subject.y or subject.y <= -0.9


def test_a_style_reference_shows_another_scene_in_the_same_style():
    styles = [style_of(seed) for seed in range(200)]
    assert set(styles) == set(range(STYLES))
    style, styled = draw("style", SCENES), draw("styled", SCENES)
    assert (style - styled).abs().mean() > 0.05
    others = [make_scene(s.seed + REFERENCE_OFFSET) for s in SCENES]
    assert torch.equal(style, render.stylised(others, 64, 64, styles=[style_of(s.seed) for s in SCENES]))


def test_light_falls_from_where_it_is_said_to():
    shown = SceneObject("circle", "red", "plain", 0.6, 0, 0, 0)
    scene = [Scene(0, "slate", 0.0, (shown,))]
    right, top = draw("light 0", scene)[0].mean(0), draw("light 90", scene)[0].mean(0)
    inside = slice(22, 42)
    assert right[inside, 36:44].mean() > right[inside, 20:28].mean() + 0.05
    assert top[20:28, inside].mean() > top[36:44, inside].mean() + 0.05
    assert right[:, 60].mean() > right[:, 3].mean() and top[3].mean() > top[60].mean()  # the ground too


def test_normals_point_out_of_the_objects_and_have_length_one():
    shown = SceneObject("circle", "red", "plain", 0.6, 0, 0, 0.3)
    normals = draw("normals", [Scene(0, "slate", 0.0, (shown,))])[0] * 2 - 1
    assert normals[0, 32, 42] > 0.2 > -0.2 > normals[0, 32, 22]
    assert normals[1, 22, 32] > 0.2 > -0.2 > normals[1, 42, 32]
    assert (normals.square().sum(0) - 1).abs()[26:38, 26:38].max() < 0.01
    assert torch.allclose(normals[:, 0, 0], torch.tensor([0.0, 0.0, 1.0]))


def test_instances_count_from_the_nearest():
    for scene, shown in zip(SCENES, draw("instances", SCENES, 128, 128), strict=True):
        gaps = [(shown - torch.tensor(c)[:, None, None]).abs().sum(0) for c in render.INSTANCE_COLOURS]
        found = [bool((gap < 0.01).any()) for gap in gaps]
        assert found == [i >= MAX_OBJECTS - len(scene.objects) for i in range(MAX_OBJECTS)]


# samples


def as_values(image):
    return torch.from_numpy(np.asarray(image).astype(np.float32) / 255).permute(2, 0, 1)


def test_a_sample_is_a_grid_with_its_answer():
    made = sample("image > edge", seed=3, examples=2)
    assert isinstance(made.grid, Grid) and made.grid.n_rows == 3 and made.grid.targets == (1,)
    assert made.columns == ("image", "edge") and len(made.truth) == 1
    assert [scene.seed for scene in made.scenes] == [30, 31, 32]
    for row, scene in zip(made.grid.rows, made.scenes, strict=True):
        for kind, cell in zip(made.columns, row, strict=True):
            if cell is not None:
                assert (as_values(cell) - draw(kind, [scene])[0]).abs().max() < 0.003
    assert (as_values(made.truth[0]) - draw("edge", made.scenes[-1:])[0]).abs().max() < 0.003
    assert made.grid.task == Task.parse("image > edge").prompt and made.grid.content is None
    large = made.large()[0]
    assert large.size == (192, 192)
    assert (as_values(large) - draw("edge", made.scenes[-1:], 192, 192)[0]).abs().max() < 0.003


def test_a_sample_says_what_it_is_told_to():
    made = sample("image > depth", 1, text=False, caption=True, height=48, width=80)
    assert made.grid.task == "" and made.grid.content == made.scenes[-1].caption()
    assert made.truth[0].size == (80, 48)
    assert sample("image > depth", 1).grid != sample("image > depth", 2).grid
    assert sample("image > depth", 1).grid == sample("image > depth", 1).grid


def test_any_column_may_be_the_target():
    backwards = sample("image > depth", 4, targets=[0])
    assert backwards.grid.targets == (0,) and backwards.grid.query[1] is not None
    assert (as_values(backwards.truth[0]) - draw("image", backwards.scenes[-1:])[0]).abs().max() < 0.003
    assert backwards.grid.task.endswith("to achieve [IMAGE1] a picture based on [IMAGE2] a depth map.")
    both = sample("subject + depth > image", 4, targets=[1, 2])
    assert len(both.truth) == 2 and both.grid.targets == (1, 2)
    assert sample("image > hue 60", 4).grid.task == sample("image > hue 120", 4).grid.task


def test_scenes_can_be_chosen():
    made = sample("image > mask", examples=1, scenes=[5, 77])
    assert [scene.seed for scene in made.scenes] == [5, 77]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (dict(seed=-1), "seed is -1"),
        (dict(seed=10_000), "seed is 10000"),
        (dict(examples=5), "examples 5"),
        (dict(examples=2, scenes=[1, 2]), "give 3"),
        (dict(examples=0, scenes=[FIRST_TRAINING_SEED]), "held out"),
        (dict(targets=[2]), "no column 2"),
        (dict(targets=[]), "at least one"),
    ],
)
@pytest.mark.parametrize("text", [True, False])
def test_wrong_calls_are_refused(call, message, text):
    with pytest.raises(ValueError, match=message):
        sample("image > edge", text=text, **call)


def test_every_sample_is_of_held_out_scenes():
    last = sample("image > edge", seed=9999, examples=4)
    assert max(scene.seed for scene in last.scenes) < FIRST_TRAINING_SEED


def test_the_package_lists_what_it_offers():
    assert all(hasattr(toyworld, name) for name in toyworld.__all__)


def test_a_pale_background_does_not_wrap_around():
    pale = next(seed for seed in range(100) if make_scene(seed).ground == "pale")
    for shown in (
        sample("image > background", examples=0, scenes=[pale]).truth[0],
        to_image(torch.full((3, 2, 2), 1.01)),
    ):
        assert np.asarray(shown).min() > 100
