"""Exercises: the framework, and every exercise of every lesson."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import visualcloze_nb.lessons as lessons
from visualcloze_nb.lessons import Exercise, exercise, predict
from visualcloze_nb.lessons.compare_answers import alike, describe_difference, side_by_side

LESSONS = [module.name for module in pkgutil.iter_modules(lessons.__path__) if re.match(r"l\d\d_", module.name)]
EXERCISES = {
    f"{lesson}.{name}": value
    for lesson in LESSONS
    for name, value in vars(importlib.import_module(f"{lessons.__name__}.{lesson}")).items()
    if isinstance(value, Exercise)
}
MISTAKES = [
    pytest.param(exercise, wrong, hint, id=f"{name}-{wrong.__name__}")
    for name, exercise in EXERCISES.items()
    for wrong, hint in exercise.mistakes.items()
]


# Every lesson -----------------------------------------------------------------------------------------------


def test_every_notebook_has_a_module_with_exercises():
    notebooks = (Path(__file__).parents[1] / "notebooks" / "source").glob("*.py")
    assert LESSONS == sorted({name.partition(".")[0] for name in EXERCISES}) == sorted(f"l{n.stem}" for n in notebooks)


def test_what_the_lessons_share_and_the_first_two_load_no_torch():
    shared = {module.name for module in pkgutil.iter_modules(lessons.__path__)} - {*LESSONS, "pair_rows"}
    modules = ", ".join(f"visualcloze_nb.lessons.{name}" for name in sorted({*shared, *LESSONS[:2]}))
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    listed = set(re.findall(r"^    (\w+)\.py ", lessons.__doc__, re.M)) - {"lNN_topic"}
    assert listed == {*shared, "pair_rows"}, "the package's docstring lists its modules"


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=EXERCISES.keys())
def test_exercise_is_complete(exercise):
    assert len(exercise.mistakes) >= 3, "ship at least three plausible wrong answers"
    hints = list(exercise.mistakes.values())
    assert len(set(hints)) == len(hints), "each mistake needs a hint of its own"
    assert exercise.judge(exercise.answer).state == "right"
    assert exercise.judge(lambda *_: ...).state == "not attempted"


@pytest.mark.parametrize("exercise, wrong, hint", MISTAKES)
def test_wrong_answer_is_refused_with_its_own_hint(exercise, wrong, hint):
    verdict = exercise.judge(wrong)
    assert (verdict.state, verdict.hint) == ("wrong", hint)
    with pytest.raises(AssertionError, match=re.escape(hint)):
        exercise.grade(wrong)


# Lesson 03 --------------------------------------------------------------------------------------------------


def test_attention_as_drawn_in_lesson_03_is_what_a_block_computes_with():
    torch = pytest.importorskip("torch")
    from diffusers.models.embeddings import apply_rotary_emb

    from visualcloze_nb import load

    source = (Path(__file__).parents[1] / "notebooks" / "source" / "03_infilling_prior.py").read_text()
    lesson = {"torch": torch, "apply_rotary_emb": apply_rotary_emb}
    exec(re.search(r"^def weights\(.+?(?=^\S)", source[source.index("def weights(") :], re.M | re.S)[0], lesson)
    transformer = load("tiny").transformer
    attn = transformer.single_transformer_blocks[2].attn
    hidden = torch.randn(1, 12, transformer.inner_dim, generator=torch.Generator().manual_seed(0))
    ids = torch.stack([torch.ones(12), torch.arange(12) // 4, torch.arange(12) % 4], dim=1)
    given = {"hidden_states": hidden, "image_rotary_emb": transformer.pos_embed(ids)}
    with torch.no_grad():
        seen = lesson["weights"](attn, **given)
        values = attn.to_v(hidden).unflatten(-1, (attn.heads, -1))
        taken = torch.einsum("hqk,bkhd->bqhd", seen, values).flatten(2)
        assert torch.allclose(taken, attn(**given), atol=1e-4)
    assert torch.allclose(seen.sum(-1), torch.ones(attn.heads, 12))


# Lesson 10 --------------------------------------------------------------------------------------------------


def test_four_bit_rounding_keeps_zero_and_the_largest_of_each_block():
    torch = pytest.importorskip("torch")
    from visualcloze_nb.lessons.l10_real_model import nf4_levels, round_weights

    levels = nf4_levels()
    assert len(levels) == 16 and (levels.diff() > 0).all() and levels.tolist()[::15] == [-1, 1] and 0 in levels
    weights = torch.randn(5, 64, generator=torch.Generator().manual_seed(0)) * torch.tensor([[1.0, 3, 0.1, 7, 1]]).T
    weights[:, 7] = 0
    rounded = round_weights(weights, levels)
    largest = weights.abs().argmax(1, keepdim=True)
    assert torch.equal(rounded.gather(1, largest), weights.gather(1, largest)) and not rounded[:, 7].any()
    assert all(len(block.unique()) <= 16 for block in rounded)


def test_four_bit_rounding_is_that_of_bitsandbytes():
    torch = pytest.importorskip("torch")
    functional = pytest.importorskip("bitsandbytes.functional")
    from visualcloze_nb.lessons.l10_real_model import nf4_levels, round_weights

    weights = torch.randn(40, 64, generator=torch.Generator().manual_seed(0))
    theirs = functional.dequantize_4bit(*functional.quantize_4bit(weights, blocksize=64, quant_type="nf4"))
    assert torch.allclose(round_weights(weights, nf4_levels()), theirs, atol=1e-5)


# Lesson 11 --------------------------------------------------------------------------------------------------


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def test_rows_of_pairs_are_what_the_pipeline_makes_of_a_grid(torch):
    from visualcloze_nb import Grid, load
    from visualcloze_nb.lessons.pair_rows import PairRows
    from visualcloze_nb.sampling.latents import prepare
    from visualcloze_nb.toyworld import draw, make_scene, to_image

    pipe = load("tiny")
    before, after = (draw(kind, [make_scene(seed) for seed in range(3)]) for kind in ("image", "depth"))
    rows = PairRows(pipe, before, after)
    clean, condition = rows.batch(1, torch.Generator().manual_seed(0))
    above, below = torch.randperm(3, generator=torch.Generator().manual_seed(0))[:2].tolist()
    grid = Grid([[to_image(before[above]), to_image(after[above])], [to_image(before[below]), None]])
    ready = prepare(grid, pipe.vae, 64, torch.Generator().manual_seed(0))
    assert torch.equal(condition[..., 64:], ready.condition[..., 64:])
    assert torch.equal(rows.targets, ready.condition[0, :, 64:].amax(1) > 0)
    assert (condition[..., :64] - ready.condition[..., :64]).abs().mean() < 0.05, "rounded to 8 bits, and sampled"
    assert torch.equal(clean[:, :32], condition[:, :32, :64]) and torch.equal(clean[0, 32:], rows.whole[below])


def test_a_row_is_never_its_own_example(torch):
    from visualcloze_nb.lessons.pair_rows import PairRows

    rows = object.__new__(PairRows)
    rows.whole = rows.blank = torch.arange(8.0)[:, None, None].expand(-1, 2, 64)
    rows.masks = torch.zeros(1, 4, 256)
    for seed in range(20):
        clean, _ = rows.batch(4, torch.Generator().manual_seed(seed))
        assert sorted(clean[:, ::2, 0].flatten().tolist()) == list(range(8))


def test_adapters_saved_as_in_the_lesson_are_loaded_by_stock_diffusers(torch, tmp_path):
    pytest.importorskip("peft")
    from visualcloze_nb import load
    from visualcloze_nb.lessons import l11_teach_it as checks

    pipe, matrices = load("tiny"), {}
    torch.manual_seed(0)
    for name, layer in list(pipe.transformer.named_modules()):
        if name.endswith(("to_q", "proj_out")) and "blocks" in name:
            adapter = checks.LoRALinear.answer(layer, 4)
            adapter.up.data.normal_(0, 0.1)
            matrices |= {f"{name}.lora_A.weight": adapter.down.detach(), f"{name}.lora_B.weight": adapter.up.detach()}
            pipe.transformer.set_submodule(name, adapter)
    pipe.save_lora_weights(tmp_path, transformer_lora_layers=matrices)
    plain, stock = checks.stock_pipeline(), checks.stock_pipeline()
    stock.load_lora_weights(tmp_path)
    inputs = dict(
        hidden_states=torch.randn(1, 16, 384),
        timestep=torch.ones(1),
        pooled_projections=torch.randn(1, plain.transformer.config.pooled_projection_dim),
        encoder_hidden_states=torch.randn(1, 8, plain.transformer.config.joint_attention_dim),
        txt_ids=torch.zeros(8, 3),
        img_ids=torch.zeros(16, 3),
        return_dict=False,
    )
    with torch.no_grad():
        ours, theirs, without = (p.transformer(**inputs)[0] for p in (pipe, stock, plain))
    assert torch.allclose(ours, theirs, atol=1e-4)
    assert not torch.allclose(ours, without, atol=1e-2)


# The framework ----------------------------------------------------------------------------------------------


@exercise(cases=[(np.eye(3),), (np.arange(12).reshape(3, 4) / 12,)])
def upside_down(image):
    return image[::-1]


@upside_down.mistake("That exchanges left and right.")
def mirrored(image):
    return image[:, ::-1]


@upside_down.mistake("You return it as it was.")
def unchanged(image):
    return image


def test_right_answer_may_be_written_otherwise():
    assert upside_down.judge(lambda image: np.flip(image, 0)).state == "right"


@exercise(cases=[(2,), (3,)], probe=lambda attempt, number: attempt(number).doubled())
class Number:
    def __init__(self, number):
        self.number = number

    def doubled(self):
        return 2 * self.number


def test_an_exercise_may_be_a_class():
    class Stub(Number.answer):
        def doubled(self):
            return ...

    class Wrong(Number.answer):
        def doubled(self):
            return self.number + 2

    assert [Number.judge(one).state for one in (Number.answer, Stub, Wrong)] == ["right", "not attempted", "wrong"]
    assert Number.judge(lambda number: 3).hint.startswith("your function stopped with AttributeError")


def test_a_lesson_goes_on_with_a_right_attempt_or_the_answer():
    def mine(image):
        return image[::-1].copy()

    assert upside_down.or_answer(mine) is mine
    assert upside_down.or_answer(mirrored) is upside_down.or_answer(...) is upside_down.answer


@pytest.mark.parametrize("wrong, hint", upside_down.mistakes.items())
def test_known_mistake_gets_its_hint(wrong, hint):
    assert upside_down.judge(wrong).hint == hint


def test_mistake_is_recognised_by_what_it_gives_on_all_cases():
    """The identity of a 3 x 3 unit matrix, upside down and mirrored, is the same: the second case decides."""
    verdict = upside_down.judge(lambda image: np.fliplr(image))
    assert verdict.hint == "That exchanges left and right."


@pytest.mark.parametrize(
    "attempt, hint",
    [
        (lambda image: None, "returns None"),
        (lambda image: image[:2], r"expected the shape \(3, 3\), yours is \(2, 3\)"),
        (lambda image: image[::-1] + 0.5, "100% of the values differ, by up to 0.50"),
        (lambda image: "abc", "expected a ndarray, yours is a str"),
        (lambda image: 1 / 0, "stopped with ZeroDivisionError: division by zero"),
        (lambda: None, "stopped with TypeError"),
        (np.eye(3), "give the function itself, not a ndarray"),
    ],
)
def test_any_other_wrong_answer_is_described(attempt, hint):
    verdict = upside_down.judge(attempt)
    assert verdict.state == "wrong"
    assert re.search(hint, verdict.hint)


@pytest.mark.parametrize("stub", [..., lambda image: ...])
def test_stub_is_not_attempted(stub, capsys):
    upside_down.check(stub)
    assert capsys.readouterr().out == "upside_down: not attempted yet\n"
    with pytest.raises(AssertionError, match="not attempted yet"):
        upside_down.grade(stub)


def test_check_prints_one_line_and_never_raises(capsys):
    upside_down.check(np.flipud)
    upside_down.check(mirrored)
    upside_down.check(lambda: 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "✓ upside_down"
    assert lines[1] == "✗ upside_down: That exchanges left and right."
    assert lines[2].startswith("✗ upside_down: your function stopped with TypeError")


def test_an_attempt_that_changes_its_argument_does_not_spoil_the_case():
    def spoils(image):
        image[:] = 7
        return image

    assert upside_down.judge(spoils).state == "wrong"
    assert upside_down.judge(np.flipud).state == "right"


def test_accept_allows_more_than_one_right_answer():
    @exercise(cases=[(12,), (35,)], accept=lambda yours, number: 1 < yours < number and number % yours == 0)
    def divisor(number):
        return next(d for d in range(2, number) if number % d == 0)

    assert divisor.judge(lambda number: {12: 6, 35: 7}[number]).state == "right"
    verdict = divisor.judge(lambda number: 5)
    assert (verdict.state, verdict.expected, verdict.yours) == ("wrong", 2, 5)


def test_accept_may_say_why_not():
    @exercise(cases=[()], accept=lambda yours: yours % 2 == 0 or f"{yours} is odd")
    def even():
        return 2

    assert even.judge(lambda: 4).state == "right"
    verdict = even.judge(lambda: 3)
    assert (verdict.state, verdict.hint) == ("wrong", "3 is odd")


@pytest.mark.parametrize(
    "task, reason",
    [
        ("image > edge", "is trained"),
        ("edge > mask", "in the other direction"),
        ("image > hue 180", "from its answer"),
        ("> edge", "give one kind of image"),
        ("image > nonsense", "there is no kind of image 'nonsense'"),
        ("image > turn 3", "^$"),
    ],
)
def test_why_a_task_is_known(task, reason):
    pytest.importorskip("torch")
    from visualcloze_nb.lessons.l05_unseen import why_known

    assert re.search(reason, why_known(task))


def test_costly_cases_are_made_only_when_judged():
    made = []

    @exercise(cases=lambda: made.append(1) or [(2,)])
    def double(number):
        return 2 * number

    assert not made
    assert double.judge(lambda number: number + number).state == "right"
    assert made == [1]


def test_alike_reads_into_containers_images_and_tensors():
    torch = pytest.importorskip("torch")
    red, blue = Image.new("RGB", (2, 2), "red"), Image.new("RGB", (2, 2), "blue")
    assert alike([red, {"a": torch.ones(2)}], (red.copy(), {"a": np.ones(2)}))
    assert not alike(red, blue)
    assert not alike([1, 2], [1, 2, 3])
    assert not alike(np.ones((2, 3)), np.ones((3, 2)))
    assert not alike(1.0, None)
    assert not alike("1", 1)
    assert alike(np.array([1.0, np.inf]), np.array([1.0, np.inf]))
    assert alike(1.0, 1.05, tolerance=0.1) and not alike(1.0, 1.05)


def test_describe_difference_names_the_item():
    said = describe_difference([1, np.zeros(2)], [1, np.ones(2)])
    assert said == "item 2: 100% of the values differ, by up to 1.00"
    assert describe_difference([1], [1, 2]) == "expected 1 items, yours has 2"


def test_image_shows_expected_yours_and_where_they_differ():
    expected, yours = Image.new("RGB", (8, 8), "black"), Image.new("RGB", (8, 8), "black")
    yours.putpixel((0, 0), (255, 255, 255))
    page = np.asarray(side_by_side(expected, yours))
    panel = (page.shape[1] - 16) // 3
    left, middle, right = (page[23:, i * (panel + 8) :][:, :panel] for i in range(3))
    assert not left.any()
    assert (middle == right).all()
    assert right[:24, :24].all() and not right[24:, 24:].any()


@pytest.mark.parametrize("expected, yours", [(2.0, 4.0), (4.0, 2.0)])
def test_both_answers_are_drawn_on_one_scale(expected, yours):
    """An answer twice too bright must not look like the right one."""
    page = np.asarray(side_by_side(np.array([[0.0, expected]]), np.array([[0.0, yours]])))
    panel = (page.shape[1] - 16) // 3
    assert page[30, panel - 5, 0] == int(255 * expected / 4)
    assert page[30, 2 * panel + 8 - 5, 0] == int(255 * yours / 4)


def test_text_has_no_image(capsys):
    assert side_by_side("a", "b") is None

    @exercise(cases=[(1,)])
    def word(number):
        return "one"

    word.check(lambda number: "two")
    assert "expected: 'one'\n  yours:    'two'" in capsys.readouterr().out


@pytest.mark.parametrize(
    "guess, actual, within, said",
    [
        (48, 64, 0, "You guessed 48, too low: it is 64."),
        (80, 64, 0, "You guessed 80, too high: it is 64."),
        (64, 64, 0, "You guessed 64: right."),
        (60, 64, 8, "You guessed 60: right, near enough to 64."),
        (0.5, 0.123456, 0, "You guessed 0.5, too high: it is 0.1235."),
        ("sharper", "sharper", 0, "You guessed sharper: right."),
        ("sharper", "softer", 0, "You guessed sharper: it is softer."),
        (..., 64, 0, "It is 64. No guess was written down."),
    ],
)
def test_prediction_is_compared(guess, actual, within, said, capsys):
    prediction = predict("How many tokens?", guess)
    capsys.readouterr()
    prediction.compare(actual, within)
    assert capsys.readouterr().out == said + "\n"


def test_prediction_asks_for_a_guess_and_knows_its_choices(capsys):
    predict("Sharper or softer?", choices=["sharper", "softer"])
    printed = capsys.readouterr().out
    assert "Write your guess in place of the dots ('sharper', 'softer')" in printed
    with pytest.raises(ValueError, match="'darker' is not among the choices: give one of 'sharper', 'softer'"):
        predict("Sharper or softer?", "darker", choices=["sharper", "softer"])


def in_ipython(*lines: str) -> str:
    command = [sys.executable, "-m", "IPython", "--no-banner", "--colors=NoColor", "-c", "\n".join(lines)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def test_finish_forgets_the_lesson_s_variables():
    said = in_ipython(
        "kept = [1]",
        "from visualcloze_nb.lessons import finish",
        "finish()",
        "print('kept' in globals())",
    )
    assert said.splitlines() == [
        "The lesson's variables are gone. To free the rest: menu Kernel, Shut Down Kernel.",
        "False",
    ]


def test_gpu_cell_is_skipped_only_where_there_is_no_gpu():
    torch = pytest.importorskip("torch")
    said = in_ipython(
        "shell = get_ipython()",
        "shell.run_line_magic('load_ext', 'visualcloze_nb.lessons')",
        "shell.run_cell_magic('gpu', '', 'print(\"it ran\")')",
    )
    assert said == ("it ran\n" if torch.cuda.is_available() else "Skipped: this cell needs an NVIDIA GPU.\n")


@pytest.mark.parametrize("value, runs", [("False", False), ("None", False), ("...", False), ("[]", True)])
def test_gpu_cell_waits_for_the_variables_it_names(value, runs):
    said = in_ipython(
        "import torch; torch.cuda.is_available = lambda: True",
        "shell = get_ipython()",
        "shell.run_line_magic('load_ext', 'visualcloze_nb.lessons')",
        f"model = {value}",
        "shell.run_cell_magic('gpu', 'model', 'print(\"it ran\")')",
        "shell.run_cell_magic('gpu', 'model other', 'print(\"never\")')",
    )
    first = "it ran" if runs else "Skipped: this cell needs an NVIDIA GPU, and `model` to be set."
    assert said.splitlines() == [first, "Skipped: this cell needs an NVIDIA GPU, and `model`, `other` to be set."]


def test_a_slow_machine_adds_no_warning_to_compared_outputs():
    code = (
        "import warnings, visualcloze_nb.lessons as l; from visualcloze_nb.errors import LongRunWarning;"
        "warnings.warn('slow', LongRunWarning)"
    )
    for static, shown in (("1", False), ("", True)):
        environment = os.environ | {"VISUALCLOZE_NB_STATIC": static}
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert ("slow" in done.stderr) == shown


def test_nothing_that_a_function_returns_or_does_stops_the_lesson(capsys):
    """`check` never raises, and graders get their AssertionError."""
    from visualcloze_nb.lessons import l01_grids

    closed, loop = Image.new("RGB", (3, 3)), []
    closed.close()
    loop.append(loop)

    class Silent:
        def __repr__(self):
            raise ValueError("no words")

    for value in (
        Image.new("RGB", (0, 0)),
        closed,
        [Image.new("RGB", (0, 0))],
        loop,
        Silent(),
        Image.Image,
        SystemExit,
    ):

        def cover(image, width, height, value=value):
            if value is SystemExit:
                raise SystemExit
            return value

        l01_grids.cover.check(cover)
        assert capsys.readouterr().out.startswith("✗ cover: ")
        assert l01_grids.cover.or_answer(cover) is l01_grids.cover.answer
        with pytest.raises(AssertionError, match="cover: "):
            l01_grids.cover.grade(cover)
