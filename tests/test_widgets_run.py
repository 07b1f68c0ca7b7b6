"""The run panel and the explorers, on a pipeline with random weights."""

import gc
import re
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import build_random_pipe, noise_image, rows
from PIL import Image
from test_widgets import alive

from visualcloze_nb import BusyError, Grid, GridError, ImageError, UsageError, annotate, photos, tasks
from visualcloze_nb.data.grid import grey_out
from visualcloze_nb.widgets import (
    GreyOutExplorer,
    GridBuilder,
    RunPanel,
    StepExplorer,
    StrengthExplorer,
    history,
    notebook_output,
    run_estimate,
)
from visualcloze_nb.widgets.explorers import DecodedStep, decode_steps
from visualcloze_nb.widgets.image_difference import difference
from visualcloze_nb.widgets.state import UNDO_LIMIT


@pytest.fixture
def grid():
    return Grid(rows(2, 3, targets=(1, 2)), "an image of a depth map", "red circle")


def panel_of(grid, pipe, **settings):
    panel = RunPanel(grid, pipe)
    panel.steps.value = settings.pop("steps", 4)
    for name, value in settings.items():
        getattr(panel, name).value = value
    return panel


def pixels(images):
    return [np.asarray(one).tolist() for one in images]


def test_a_run_gives_what_fill_gives_and_watching_changes_nothing(grid, random_pipe):
    panel = panel_of(grid, random_pipe, seed=3, strength=0.6)
    panel.buttons["Run"].click()
    panel.wait(60)
    expected = random_pipe.fill(grid, seed=3, steps=4, strength=0.6, progress=False)
    assert pixels(panel.result.images) == pixels(expected.images)
    assert pixels(panel.result.stage1) == pixels(expected.stage1)
    assert panel.errors.message.value == "" and "Done in" in panel.status.value
    assert panel.progress.value == panel.progress.max == 4 + 2 * 3
    assert not panel.buttons["Run"].disabled and panel.buttons["Cancel"].disabled
    assert not random_pipe.transformer._forward_hooks and not random_pipe.transformer._forward_pre_hooks


def test_previews_are_the_x0_predictions_of_the_steps(grid, random_pipe, monkeypatch):
    from visualcloze_nb.widgets import forward_hooks

    monkeypatch.setattr(forward_hooks, "SHARE", 1.0)  # show every step
    seen = []
    panel = panel_of(grid, random_pipe, seed=3, strength=0.6)
    panel.on_preview = lambda number, shown: seen.append((number, np.asarray(shown)))
    panel.run()
    panel.wait(60)
    expected = []
    for step in random_pipe.steps(grid, seed=3, steps=4, strength=0.6):
        for number, shown in enumerate(random_pipe.read(step, step.x0), start=step.target or 0):
            expected.append((number, np.asarray(shown)))
    assert [number for number, _ in seen] == [number for number, _ in expected] == [0, 1] * 4 + [0] * 3 + [1] * 3
    for (_, one), (_, other) in zip(seen, expected, strict=True):
        assert one.shape == other.shape and np.abs(one.astype(int) - other).max() <= 2
    assert len({one.tobytes() for _, one in seen}) > 8, "the prediction changes"


@pytest.mark.parametrize("times, size", [(1.0, (32, 32)), (2.0, (64, 64)), (4.0, (128, 128))])
def test_size_and_draft(times, size, grid, random_pipe):
    panel = panel_of(grid, random_pipe, steps=2, size=times)
    panel.run()
    panel.wait(60)
    assert panel.result.image.size == size
    panel.draft.value = True
    assert panel.steps.disabled and panel.settings["strength"] == 0
    panel.run()
    panel.wait(60)
    assert panel.result.image.size == (32, 32) and panel.result.settings.steps == 10


def test_every_setting_of_the_panel_is_one_of_fill():
    pipe, grid = build_random_pipe(guidance_embeds=True), Grid(rows(2, 2, size=(100, 64)), "a red circle")
    panel = panel_of(grid, pipe, seed=3, steps=3, guidance=2.0, strength=0.6, upsampling_steps=5, size="photograph")
    panel.run()
    panel.wait(60)
    settings = dict(seed=3, steps=3, guidance=2.0, strength=0.6, upsampling_steps=5, size="photograph")
    assert panel.settings == settings and panel.call == (
        "pipe.fill(grid, seed=3, steps=3, guidance=2.0, strength=0.6, upsampling_steps=5, size='photograph')"
    )
    expected = pipe.fill(grid, **settings, progress=False)
    assert pixels(panel.result.images) == pixels(expected.images) and panel.result.image.size == (96, 64)
    assert panel.result.settings == expected.settings and panel.progress.max == 3 + 3
    panel.upsampling_steps.value = 0
    assert panel.settings["upsampling_steps"] == 3, "as stage 1"


@pytest.mark.parametrize("steps", [1, 4])
def test_no_stage_2_at_any_number_of_steps(steps, grid, random_pipe):
    panel = panel_of(grid, random_pipe, steps=steps, no_stage2=True)
    assert panel.strength.disabled and panel.size.disabled and panel.upsampling_steps.disabled
    assert not panel.steps.disabled and "stage 2" not in panel.estimate.value
    panel.run()
    panel.wait(60)
    assert panel.result.settings.steps == steps and panel.result.settings.strength == 0
    assert panel.result.image.size == (32, 32)
    panel.no_stage2.value = False
    assert not panel.strength.disabled and panel.settings["strength"] == 0.4


def test_a_grid_brings_the_settings_that_it_recommends(random_pipe):
    shown = {"grid": Grid(rows(), recommended={"steps": 7, "strength": 0.33, "size": "photograph"})}
    panel = RunPanel(lambda: shown["grid"], random_pipe)
    assert (panel.steps.value, panel.strength.value, panel.size.value) == (7, 0.33, "photograph")
    panel.steps.value = 5
    panel.refresh()
    assert panel.steps.value == 5, "what the reader sets stays"
    shown["grid"] = Grid(rows(), recommended={"strength": 0, "size": 2.5, "upsampling_steps": 9, "guidance": 12})
    panel.refresh()
    assert (panel.steps.value, panel.size.value, panel.upsampling_steps.value, panel.guidance.value) == (30, 2.5, 9, 12)
    assert panel.no_stage2.value and panel.settings["strength"] == 0
    shown["grid"] = Grid(rows())
    panel.refresh()
    assert not panel.no_stage2.value
    assert panel.settings == dict(seed=0, steps=30, guidance=30, strength=0.4, upsampling_steps=30, size=3)
    shown["grid"] = Grid(rows(), recommended={"steps": "many", "strength": None, "size": "huge"})
    panel.refresh()
    assert panel.settings["steps"] == 30, "what is no setting is left to fill"


def test_guidance_can_be_set_where_the_model_reads_it(grid, random_pipe):
    assert RunPanel(grid, "tiny").guidance.disabled and RunPanel(grid, random_pipe).guidance.disabled
    assert not RunPanel(grid, "384").guidance.disabled
    assert not RunPanel(grid, build_random_pipe(guidance_embeds=True)).guidance.disabled


def test_the_estimate_knows_every_size(random_pipe):
    grid = Grid(rows(2, 2, size=(1000, 700)))
    for size, tokens in (("photograph", 62 * 43), (1, 2 * 1), (3, 6 * 3)):
        assert panel_of(grid, random_pipe, size=size).run_cost(grid).large == tokens
    assert panel_of(grid, "384", size="photograph").run_cost(grid).large == 62 * 43, "before it is loaded"
    assert panel_of(grid, random_pipe, strength=0.5, upsampling_steps=8).run_cost(grid).large_steps == 4


def test_the_builder_s_code_has_the_recommended_settings_and_the_call(grid, random_pipe):
    builder = GridBuilder(grid.replace(recommended={"steps": 7, "strength": 0.5}), random_pipe)
    made = {}
    exec(builder.code(), made)
    assert made["grid"] == grid and made["grid"].recommended == {"steps": 7, "strength": 0.5}
    assert (
        builder.code().endswith(f"# {builder.panel.call}\n")
        and "steps=7, guidance=30.0, strength=0.5" in builder.code()
    )
    builder.state.write_content("another")
    assert builder.grid.recommended == {"steps": 7, "strength": 0.5}, "it stays while the grid is changed"


def test_cancel_is_heard_within_a_step(grid):
    """A block is made to wait; the run must end at the next block, long before the step is over."""
    pipe = build_random_pipe()
    entered, go_on, after = threading.Event(), threading.Event(), []

    def wait(*_):
        entered.set()
        go_on.wait(20)

    pipe.transformer.transformer_blocks[0].register_forward_hook(wait)
    pipe.transformer.single_transformer_blocks[0].register_forward_hook(lambda *_: after.append(1))
    panel, ended = panel_of(grid, pipe, steps=50), []
    panel.on_end = lambda: ended.append(panel.status.value)
    panel.run()
    assert entered.wait(20) and panel.running and panel.buttons["Run"].disabled and not panel.buttons["Cancel"].disabled
    panel.buttons["Cancel"].click()
    go_on.set()
    panel.wait(20)
    assert not panel.running and after == [], "the next block was not begun"
    assert "Cancelled" in panel.status.value and panel.result is None and panel.errors.message.value == ""
    assert not panel.buttons["Run"].disabled and panel.buttons["Cancel"].disabled and "Cancelled" in ended[0]
    panel.steps.value = 2
    panel.run()
    panel.wait(60)
    assert panel.result is not None, "it can be run again"


def test_an_error_in_the_thread_is_shown_and_the_panel_can_be_used_again(grid, random_pipe):
    panel = panel_of(grid, "no/such-model-anywhere")
    panel.buttons["Run"].click()
    panel.wait(60)
    assert 'role="alert"' in panel.errors.message.value and "no/such-model-anywhere" in panel.errors.message.value
    assert "Failed" in panel.status.value and not panel.buttons["Run"].disabled
    panel.background.pipe = random_pipe
    panel.on_preview = lambda *_: 1 / 0
    panel.buttons["Run"].click()
    panel.wait(60)
    assert "ZeroDivisionError" in panel.errors.message.value
    panel.on_preview, panel.on_result = None, lambda _: {}["lost"]
    panel.buttons["Run"].click()
    panel.wait(60)
    assert "KeyError" in panel.errors.message.value and not panel.buttons["Run"].disabled


def test_a_second_run_and_a_grid_without_target_are_refused(grid, random_pipe):
    panel = panel_of(grid.completed([noise_image()] * 2), random_pipe)
    panel.buttons["Run"].click()
    assert "has no empty cell to fill" in panel.errors.message.value and not panel.running
    pipe, entered, go_on = build_random_pipe(), threading.Event(), threading.Event()
    pipe.transformer.register_forward_pre_hook(lambda *_: (entered.set(), go_on.wait(20))[:0] or None)
    one, other = panel_of(grid, pipe), panel_of(grid, pipe)
    one.buttons["Run"].click()
    assert entered.wait(20)
    for panel in (one, other):
        panel.buttons["Run"].click()
        assert "a run is under way" in panel.errors.message.value
        assert one.running and one.buttons["Run"].disabled
    with pytest.raises(BusyError, match="a run is under way"):
        pipe.fill(grid, steps=2, progress=False)
    one.buttons["Cancel"].click()
    go_on.set()
    one.wait(20)


def test_row_1_a_run_in_a_cell_refuses_the_panel_and_gets_no_hook_of_it(grid):
    """Also for a panel whose pipeline was given by name and is found busy only in its thread."""
    pipe, seen = build_random_pipe(), []
    panel = panel_of(grid, pipe)
    panel.on_preview = lambda *_: seen.append(1)

    def on_step(done, total, stage):
        if done == 1:
            other = threading.Thread(target=start)
            other.start()
            other.join(20)

    def start():
        panel.buttons["Run"].click()
        assert "a run is under way" in panel.errors.message.value and "Traceback" not in panel.errors.message.value
        panel.background._run(grid, panel.settings)
        found.append(panel.status.value)

    found = []
    result = pipe.fill(grid, seed=0, steps=3, progress=False, on_step=on_step)
    assert result.images and len(found) == 1 and "Failed" in found[0] and not seen and not panel.running
    assert "a run is under way" in panel.errors.message.value


def test_the_estimate_counts_what_is_done_and_measures_the_speed(grid, random_pipe, monkeypatch):
    monkeypatch.setattr(run_estimate, "_measured", {})
    panel = panel_of(grid, random_pipe, steps=10, strength=0.5)
    ahead = panel.run_cost(grid)
    assert (ahead.tokens, ahead.large, ahead.steps, ahead.large_steps, ahead.targets) == (24, 36, 10, 5, 2)
    assert "24 image tokens, in stage 2 36 for each of 2. Seconds: known after the first run." in panel.estimate.value
    steps = list(random_pipe.steps(grid, steps=10, strength=0.5, seed=0))
    assert sum(step.before.shape[1] for step in steps) == 10 * 24 + 2 * 5 * 36
    panel.run()
    panel.wait(60)
    assert re.search(r"About \d+\.\d s \(at the speed of the last run\)", panel.estimate.value)
    run_estimate.record_speed("some model", ahead, 7.0)
    assert run_estimate.estimate_seconds("some model", ahead) == (pytest.approx(7.0), True)


@pytest.mark.parametrize("steps, strength", [(30, 0.4), (7, 0.3), (10, 1.0), (1, 1.0), (3, 0.34), (30, 0.05)])
def test_stage_2_steps_are_counted_as_sdedit_counts_them(steps, strength, grid):
    from visualcloze_nb.sampling.sdedit import skipped_steps

    assert run_estimate.run_cost(grid, 64, steps, strength).large_steps == steps - skipped_steps(steps, strength)


def test_resolutions_are_known_without_loading(tmp_path):
    assert run_estimate.resolution_of("tiny") == 64 and run_estimate.resolution_of("512") == 512
    assert run_estimate.resolution_of("somebody/else") is None
    (tmp_path / "model_index.json").write_text('{"resolution": 48}')
    assert run_estimate.resolution_of(str(tmp_path)) == 48


# In the builder --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("drag_and_drop", [False, True])
def test_built_run_and_turned_around(drag_and_drop, grid, random_pipe):
    builder = GridBuilder(grid, random_pipe, drag_and_drop=drag_and_drop)
    previewed = []
    show = builder.cells.show_preview
    builder.cells.show_preview = lambda col, shown: (previewed.append(col), show(col, shown))
    builder.panel.steps.value = 3
    assert builder.buttons["Run it backwards"].disabled
    builder.panel.buttons["Run"].click()
    builder.panel.wait(60)
    assert builder.errors.message.value == "" and {1, 2} == set(previewed)
    predictions = builder.state.draft.predictions
    assert [predictions[col].image for col in (1, 2)] == builder.result.images and builder.grid == grid
    assert "from the model, seed 0" in builder.state.shown(1, 1).note
    forwards = builder.result
    builder.buttons["Run it backwards"].click()
    builder.panel.wait(60)
    assert builder.grid.targets == (0,) and builder.result is not forwards
    assert builder.grid.rows[1][1].tobytes() == forwards.images[0].tobytes()
    assert set(builder.state.draft.predictions) == {0} and builder.errors.message.value == ""


def slow(pipe, meanwhile):
    """A pipeline during whose run something happens."""

    class Slow:
        def __getattr__(self, name):
            return getattr(pipe, name)

        def fill(self, *args, **kwargs):
            meanwhile()
            return type(pipe).fill(pipe, *args, **kwargs)

    return Slow()


def test_an_answer_whose_texts_were_changed_is_marked_outdated(grid, random_pipe):
    builder = GridBuilder(grid, random_pipe)
    builder.panel.steps.value = 2
    builder.panel.background.pipe = slow(random_pipe, lambda: builder.state.write_content("changed"))
    builder.panel.run()
    builder.panel.wait(60)
    assert builder.state.draft.outdated and "outdated" in builder.panel.previews.value
    assert "seed 0, 96 x 96, outdated" in builder.still().alt and builder.result.grid == grid
    builder.state.write_content(grid.content)
    assert not builder.state.draft.outdated and "outdated" not in builder.panel.previews.value


def test_what_forms_belongs_to_the_draft_that_was_run_whatever_is_opened_meanwhile(grid, random_pipe, monkeypatch):
    """The other grid has its targets in the same columns: before, previews and answer appeared in it."""
    from visualcloze_nb.widgets import forward_hooks

    monkeypatch.setattr(forward_hooks, "SHARE", 1.0)
    builder, shown = GridBuilder(grid, random_pipe), []
    other = Grid(rows(3, 3, targets=(1, 2)))
    builder.cells.show_preview = lambda col, image: shown.append(col)
    builder.panel.steps.value = 2
    builder.panel.background.pipe = slow(random_pipe, lambda: builder.state.open(other))
    builder.panel.run()
    builder.panel.wait(60)
    assert shown == [] and builder.grid == other and not builder.state.draft.predictions
    assert "was changed during the run" in builder.errors.message.value and "outdated" in builder.panel.previews.value
    builder.history.cards.box._handle_custom_msg({"kind": "choose", "number": 0}, [])
    assert builder.grid == grid and set(builder.state.draft.predictions) == {1, 2}
    assert "outdated" not in builder.panel.previews.value
    builder.buttons["Undo"].click()
    assert builder.grid == other


def test_past_runs_come_back_with_their_seed_and_settings(grid, random_pipe):
    builder = GridBuilder(grid, random_pipe)
    builder.panel.no_stage2.value = True
    for seed, steps in ((1, 2), (2, 3)):
        builder.panel.seed.value, builder.panel.steps.value = seed, steps
        builder.panel.run()
        builder.panel.wait(60)
    assert [card["title"] for card in builder.history.cards.box.cards] == ["seed 2", "seed 1"]
    builder.panel.no_stage2.value = False
    builder.history.cards.box._handle_custom_msg({"kind": "choose", "number": 1}, [])
    assert builder.panel.settings == {"seed": 1, "steps": 2, "guidance": 30, "strength": 0}
    again = random_pipe.fill(grid, **builder.panel.settings, progress=False)
    assert pixels([builder.state.shown(1, 1).image]) == pixels([again.image])


def test_truth_and_error_stand_beside_the_answer_of_a_toy_task(random_pipe):
    builder = GridBuilder(pipe=random_pipe)
    builder.picker.open(0)
    truth = builder.state.draft.rows[-1][1].image
    builder.panel.steps.value = 2
    builder.panel.run()
    builder.panel.wait(60)
    mean = difference(truth, builder.result.image)[1]
    assert f"difference, on average {mean:.1f} of 255" in builder.panel.previews.value
    assert "ground truth" in builder.panel.previews.value and builder.panel.previews.value.count("<img") == 3
    assert f"off by {mean:.1f}" in builder.history.cards.box.cards[0]["says"]
    builder.state.put(2, 0, noise_image())
    builder.panel.run()
    builder.panel.wait(60)
    assert "ground truth" not in builder.panel.previews.value, "the condition is of another scene now"
    assert "image under the target" in builder.panel.previews.value


def test_the_truth_of_an_annotated_photograph_is_known(random_pipe):
    pytest.importorskip("cv2")
    builder = GridBuilder(Grid(rows(2, 2)), "384", drag_and_drop=False)
    state, form = builder.state, builder.cell_form.photos
    state.put(1, 0, noise_image())
    state.select(1, 1)
    form.kind.value, form.source.value = "canny", (1, 0)
    form.make.click()
    state.mark(1)
    assert state.draft.truth(1)[1] and state.draft.truth(1)[0] is not None
    state.put(1, 0, noise_image(seed=5))
    assert not state.draft.truth(1)[1]


def test_a_second_builder_is_refused_in_words_and_its_cancel_works(grid):
    pipe, entered, go_on = build_random_pipe(), threading.Event(), threading.Event()
    pipe.transformer.register_forward_pre_hook(lambda *_: (entered.set(), go_on.wait(20))[:0] or None)
    one, other = GridBuilder(grid, pipe), GridBuilder(grid, pipe)
    one.panel.run()
    assert entered.wait(20)
    other.panel.buttons["Run"].click()
    assert "a run is under way" in other.errors.message.value and not other.panel.buttons["Cancel"].disabled
    assert "Cancel stops it" in other.panel.status.value and not other.panel.running
    other.panel.buttons["Cancel"].click()
    go_on.set()
    one.panel.wait(20)
    assert "Cancelled" in one.panel.status.value and one.result is None and other.panel.buttons["Cancel"].disabled
    other.panel.steps.value = 2
    other.panel.run()
    other.panel.wait(60)
    assert other.result is not None and other.errors.message.value == ""


def test_fifty_runs_leave_the_number_of_widgets_images_and_tensors_level(random_pipe):
    builder = GridBuilder(Grid(rows(2, 2)), random_pipe)
    builder.panel.steps.value, builder.panel.no_stage2.value = 1, True
    counts = []
    for seed in range(UNDO_LIMIT + 52):
        builder.panel.seed.value = seed
        builder.panel.run()
        builder.panel.wait(60)
        if seed in (UNDO_LIMIT + 1, UNDO_LIMIT + 51):
            gc.collect()
            kinds = [type(one) for one in gc.get_objects()]
            counts.append([alive(), *(sum(issubclass(k, what) for k in kinds) for what in (Image.Image, torch.Tensor))])
    assert counts[0] == counts[1] and len(builder.history.runs) == history.KEPT
    assert counts[0][1] >= history.KEPT


# Explorers -------------------------------------------------------------------------------------------------


def test_every_step_can_be_looked_at(grid, random_pipe):
    explorer = StepExplorer.of(random_pipe, grid, seed=1, steps=5, strength=0, target=1)
    steps = list(random_pipe.steps(grid, seed=1, steps=5, strength=0))
    assert len(explorer.steps) == 5 == explorer.control.max
    for one, step in zip(explorer.steps, steps, strict=True):
        assert pixels([one.latents]) == pixels([random_pipe.read(step)[1]])
        assert pixels([one.x0]) == pixels([random_pipe.read(step, step.x0)[1]])
    first = explorer.view.value
    assert "step 3 of 5" in first and "change of the prediction:" in first, "the first frame shows a change"
    explorer.control.value = 5
    assert explorer.view.value != first and "step 5 of 5" in explorer.view.value
    assert explorer.view.value.count("<img") == 3
    assert explorer.changes(0)[1] == 0 and explorer.changes(4)[1] > 0
    assert explorer.sheet()._repr_png_()[:4] == b"\x89PNG"


def test_stage_2_can_be_stepped_through(grid, random_pipe):
    decoded = decode_steps(random_pipe, random_pipe.steps(grid, seed=1, steps=4, strength=0.5), stage=2, target=1)
    assert len(decoded) == 2 and decoded[0].latents.size == (96, 96)


def test_strengths_go_from_a_copy_to_a_new_image(random_pipe):
    grid = Grid(rows())
    explorer = StrengthExplorer.of(random_pipe, grid, strengths=(1.0, 0.25), steps=4)
    assert list(explorer.results) == [0.25, 1.0]
    same = random_pipe.fill(grid, seed=0, steps=4, strength=0.25, progress=False)
    assert pixels([explorer.results[0.25]]) == pixels([same.image])
    first = explorer.view.value
    explorer.control.value = 0.25
    assert "strength 0.25" in explorer.view.value and explorer.view.value != first
    assert explorer.sheet()._repr_png_()[:4] == b"\x89PNG" and "0.25" in explorer.sheet().alt


def test_greying_out_a_cell_shows_its_effect(random_pipe):
    grid = Grid(rows(3, 2))
    explorer = GreyOutExplorer.of(random_pipe, grid, steps=3)
    assert list(explorer.without) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    without = grey_out(grid, 1, 0)
    assert without.rows[1][0].getcolors() == [(48 * 48, (128, 128, 128))] and without.rows[1][1] == grid.rows[1][1]
    expected = random_pipe.fill(without, seed=0, steps=3, strength=0, progress=False).image
    assert pixels([explorer.without[1, 0]]) == pixels([expected])
    assert "without row 1, column 1" in explorer.view.value, "the first frame shows a difference"
    explorer.control.value = (1, 0)
    assert "without row 2, column 1" in explorer.view.value and explorer.view.value.count("<img") == 4
    assert "without 2,1" in explorer.sheet().alt
    with pytest.raises(ValueError, match="row 3, column 2 is a target"):
        grey_out(grid, 2, 1)
    with pytest.raises(ValueError, match="there is no row 9"):
        grey_out(grid, 8, 0)


def explorers():
    one, other = noise_image(seed=1), noise_image(seed=2)
    yield StepExplorer([DecodedStep("a", one, other), DecodedStep("b", other, one)])
    yield StrengthExplorer({0.1: one, 0.9: other}, one)
    yield GreyOutExplorer(Grid(rows()), one, {(0, 0): other})


@pytest.mark.parametrize("explorer", [*explorers()], ids=lambda explorer: type(explorer).__name__)
def test_explorers_show_a_sheet_first_and_lose_no_error(explorer, monkeypatch):
    from test_widgets import shown_by

    shown = shown_by(explorer, monkeypatch)
    assert len(shown) == 3 and shown[0][1]._repr_png_()[:4] == b"\x89PNG"
    monkeypatch.setenv(notebook_output.STATIC, "1")
    assert len(shown_by(explorer, monkeypatch)) == 1
    explorer.errors.handlers["show"] = lambda _: 1 / 0
    choices = [value for _, value in explorer.control.options] if hasattr(explorer.control, "options") else [1, 2]
    explorer.control.value = choices[0]
    assert "ZeroDivisionError" in explorer.errors.message.value


def test_progress_is_shown_while_an_explorer_computes_and_nothing_is_left(random_pipe, monkeypatch):
    import IPython
    import IPython.display

    from visualcloze_nb.widgets import progress

    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data["text/html"])

    monkeypatch.setattr(progress, "INTERVAL", 0)
    monkeypatch.setattr(IPython, "get_ipython", lambda: type("Shell", (), {"kernel": object()}))
    monkeypatch.setattr(IPython.display, "display", lambda *data, **options: Handle())
    grid = Grid(rows())
    StepExplorer.of(random_pipe, grid, seed=0, steps=3, strength=0)
    assert [text.split("> ")[-1] for text in shown] == ["step 1 of 3", "step 2 of 3", "step 3 of 3", ""]
    shown.clear()
    StrengthExplorer.of(random_pipe, grid, strengths=(0.5, 1.0), steps=2)
    assert "run 2 of 2" in shown[-2] and shown[-1] == ""
    shown.clear()
    monkeypatch.setenv(notebook_output.STATIC, "1")
    StepExplorer.of(random_pipe, grid, seed=0, steps=2, strength=0)
    assert shown == []


def test_nothing_to_explore_is_said():
    with pytest.raises(ValueError, match="no steps"):
        StepExplorer([])
    with pytest.raises(ValueError, match="no strengths"):
        StrengthExplorer({}, noise_image())


def test_difference_says_how_far_two_images_are():
    black, white = Image.new("RGB", (4, 4), "black"), Image.new("RGB", (4, 4), "white")
    assert difference(black, black)[1] == 0 and difference(black, white)[1] == 255
    half = white.copy()
    half.paste("black", (0, 0, 4, 2))
    shown, mean = difference(black, half)
    assert mean == 127.5 and shown.getpixel((0, 0)) == (0, 0, 0) and shown.getpixel((0, 3)) == (255, 255, 255)


def test_a_panel_alone_shows_its_grid_and_then_its_result(grid, random_pipe, monkeypatch):
    from test_widgets import shown_by

    panel = panel_of(grid, random_pipe, steps=2)
    shown = shown_by(panel, monkeypatch)
    assert shown[0][1] is grid and len(shown) == 3
    panel.run()
    panel.wait(60)
    assert shown[-1][0] == "update" and shown[-1][1] is panel.result


# Photographs -----------------------------------------------------------------------------------------------


@pytest.fixture
def photo_builder():
    pytest.importorskip("skimage")
    pytest.importorskip("cv2")
    return GridBuilder(pipe="384", drag_and_drop=False)


def open_task(builder, name, photograph="cat", examples=1):
    builder.picker.scene.value, builder.picker.examples.value = photograph, examples
    builder.picker.open([task.name for task in builder.picker.tasks].index(name))


def test_a_model_of_photographs_opens_real_tasks(photo_builder):
    labels = [f"{task.group.name}: {task.name}" for task in photo_builder.picker.tasks]
    assert len(labels) >= 30 and {"dense prediction: image > canny", "restoration: grey > image"} <= set(labels)
    open_task(photo_builder, "image > canny", "coffee", 2)
    assert "trained on it (Graph200K)" in photo_builder.errors.message.value
    grid, draft = photo_builder.grid, photo_builder.state.draft
    sample = tasks.find("image > canny").examples([photos.load(name) for name in ("cat", "astronaut", "coffee")])
    assert grid == sample.grid and grid.recommended == sample.grid.recommended
    assert draft.rows[-1][1].image.tobytes() == sample.truth[0].tobytes(), "the truth is kept under the target"
    assert "canny, coffee" in draft.rows[-1][1].note and draft.names == ("a sharp photograph", "a Canny edge map")
    assert photo_builder.panel.size.value == "photograph" and photo_builder.panel.strength.value > 0
    made = {}
    exec(photo_builder.code(), made)
    assert made["grid"] == grid and len(photo_builder.code()) < 2000, "code that makes it again, no images"


def test_a_builder_without_a_task_to_offer_works_all_the_same(monkeypatch):
    from visualcloze_nb.widgets import photo_gallery

    monkeypatch.setattr(photo_gallery, "choices", list)  # without the packages that annotate
    for drag_and_drop in (True, False):
        builder = GridBuilder(pipe="384", drag_and_drop=drag_and_drop)
        assert builder.picker.tasks == [] and len(builder.state.problems) == 5
    builder.picker.cards.button.click()
    assert builder.errors.message.value == ""


@pytest.mark.parametrize("pipe, photographs", [("tiny", False), ("384", True), ("512", True), ("some/model", True)])
def test_which_model_gets_photographs(pipe, photographs, random_pipe):
    assert (GridBuilder(pipe=pipe).cell_form.photos is not None) == photographs
    assert GridBuilder(pipe=random_pipe).cell_form.photos is None, "32 pixels a cell"


def test_a_condition_is_made_from_a_photograph_beside_it(photo_builder):
    form, state = photo_builder.cell_form.photos, photo_builder.state
    state.select(0, 0)
    form.photograph.value = "flower"
    form.put.click()
    state.select(0, 1)
    assert form.source.value == (0, 0) and dict(form.source.options) == {"row 1, column 1": (0, 0)}
    form.kind.value = "canny"
    form.make.click()
    cell = state.draft.rows[0][1]
    assert pixels([cell.image]) == pixels([annotate.annotate(photos.load("flower"), "canny")])
    assert cell.note.startswith("canny of row 1, column 1") and state.draft.names[1] == "a Canny edge map"
    assert photo_builder.errors.message.value == ""
    made = {}
    exec("\n".join(["from visualcloze_nb import Grid", *cell.origin.setup, f"made = {cell.origin.expression}"]), made)
    assert made["made"].tobytes() == cell.image.tobytes()
    state.put(1, 0, noise_image())
    state.select(1, 1)
    assert form.source.value == (1, 0), "the image of its own row"
    form.make.click()
    assert state.draft.rows[1][1].image is not None and state.draft.rows[1][1].origin is None
    assert state.draft.names[1] == "a Canny edge map"


def test_what_cannot_be_made_is_said(photo_builder, monkeypatch):
    form = photo_builder.cell_form.photos
    form.make.click()
    assert "there is no photograph to make it from" in photo_builder.errors.message.value
    photo_builder.state.put(0, 0, noise_image())
    photo_builder.state.select(0, 1)

    def fails(photo, kind):
        raise UsageError("kind 'hed' needs its weights")

    monkeypatch.setattr(annotate, "annotate", fails)
    form.make.click()
    assert (
        "needs its weights" in photo_builder.errors.message.value and photo_builder.state.draft.rows[0][1].image is None
    )


# What a breaker found ---------------------------------------------------------------------------------------


def test_a_run_by_click_leaves_pythons_warnings_as_they_were_and_shows_its_own(random_pipe, monkeypatch):
    """`catch_warnings` is not for threads: the handler and the run put back each other's state."""
    builder, fill = GridBuilder(Grid(rows(2, 2)), random_pipe), random_pipe.fill

    def slow(*args, **settings):
        time.sleep(0.3)
        warnings.warn("a note of the run", stacklevel=1)
        return fill(*args, **settings)

    monkeypatch.setattr(random_pipe, "fill", slow)
    before = warnings._showwarnmsg_impl, list(warnings.filters)
    for seed in range(2):
        builder.panel.seed.value, builder.panel.steps.value = seed, 1
        builder.panel.buttons["Run"].click()
        builder.panel.wait(60)
        assert "a note of the run" in builder.panel.errors.message.value
    assert (warnings._showwarnmsg_impl, list(warnings.filters)) == before
    with pytest.warns(UserWarning, match="after it"):
        warnings.warn("after it", stacklevel=1)


def test_a_listener_that_fails_spoils_no_run_and_one_may_start_the_next(random_pipe):
    builder, told = GridBuilder(Grid(rows(2, 2)), random_pipe), []
    builder.panel.steps.value, builder.panel.no_stage2.value = 1, True

    def fails(changed):
        raise ZeroDivisionError("in the listener")

    def again(changed):
        if changed.result is not None and len(told) < 2:
            told.append(changed.result.seed)
            changed.panel.seed.value += 1
            changed.panel.run()

    builder.on_change(fails)
    builder.on_change(again)
    builder.panel.buttons["Run"].click()
    deadline = time.monotonic() + 60
    while len(builder.history.runs) < 3 and time.monotonic() < deadline:
        builder.panel.wait(60)
    builder.panel.wait(60)
    assert told == [0, 1] and [run.result.seed for run in builder.history.runs] in ([0, 1, 2], [2, 1, 0])
    assert builder.panel.status.value.startswith("Done in") and builder.state.draft.predictions
    assert "what on_change calls failed" in builder.panel.errors.message.value


def test_a_grid_that_is_too_large_and_a_path_as_pipe(random_pipe, tmp_path):
    for shape in ((2, 6), (6, 2)):
        with pytest.raises(GridError, match=r"the builder shows 5 of each: run it with pipe\.fill"):
            GridBuilder(Grid(rows(*shape)))
    assert GridBuilder(pipe=Path("tiny")).panel.background.pipe == "tiny"
    for text in ("[]", '{"resolution": "x"}', '{"resolution"'):
        (tmp_path / "model_index.json").write_text(text)
        with pytest.raises(UsageError, match=r"model_index\.json cannot be read"):
            GridBuilder(pipe=str(tmp_path))


def test_a_rejected_image_is_forgotten_where_it_is_no_longer_meant(random_pipe):
    builder = GridBuilder()
    for after in (lambda: builder.picker.open(0), lambda: builder.state.resize(4, 2)):
        with pytest.raises(ImageError):
            builder.state.put(2, 0, b"garbage")
        assert (2, 0) in builder.state.refused
        after()
        assert builder.state.refused == {}
