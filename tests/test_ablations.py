"""The two experiments: arms differ in what they say they differ in, and nothing else."""

import csv
import random

import numpy as np
import pytest
import torch
from test_training import small_transformer, sure_vae

from visualcloze_nb.lessons import ablation_curves
from visualcloze_nb.toyworld import FIRST_TRAINING_SEED, HELD_OUT_TASKS, is_trained, make_scene
from visualcloze_nb.training import ablation_batches, ablations


@pytest.fixture
def quick(monkeypatch):
    """The same experiments on a smaller model."""

    def smaller(seed):
        torch.manual_seed(seed)
        config = small_transformer().config | {"joint_attention_dim": 8, "pooled_projection_dim": 8}
        return ablations.FluxTransformer2DModel.from_config(config)

    monkeypatch.setattr(ablations, "small_transformer", smaller)


def test_holes_hide_what_is_to_be_filled():
    batch = ablations.holes(sure_vae(), random.Random(0), 6)
    assert batch.clean.shape == (6, 64, 64) and batch.condition.shape == (6, 64, 320)
    assert (batch.ids[:, 0] == 0).all()
    share = batch.targets.float().mean(1)
    assert (share > 0.05).all() and (share < 0.8).all() and len(set(share.tolist())) > 1
    hidden = batch.condition[..., :64]
    assert not torch.allclose(hidden[batch.targets], batch.clean[batch.targets], atol=0.1)


def test_errors_are_zero_for_the_true_velocity_and_count_blank_tokens_only(monkeypatch):
    batch = ablations.holes(sure_vae(), random.Random(1), 3)
    noise, sigma = torch.randn(batch.clean.shape), torch.full((3,), 0.5)

    def oracle(*_):
        return torch.where(batch.targets[..., None], noise - batch.clean, 100.0)

    monkeypatch.setattr(ablations, "velocity", oracle)
    assert ablations.errors(None, batch, sigma, noise).max() < 1e-9
    monkeypatch.setattr(ablations, "velocity", lambda *_: oracle() + 2.0 * batch.targets[..., None])
    assert ablations.errors(None, batch, sigma, noise).tolist() == pytest.approx([4.0] * 3)


def test_arms_train_what_they_say(quick):
    for arm in ablations.ARMS:
        learned = {name: value + 1 for name, value in ablations.small_transformer(5).state_dict().items()}
        model = ablations.initial_model(arm, learned, seed=0)
        trained = {name for name, p in model.named_parameters() if p.requires_grad}
        assert all(("lora" in name) == arm.lora for name in trained) and trained
        weights = {name.replace(".base_layer", ""): p for name, p in model.named_parameters() if "lora" not in name}
        began = learned if arm.prior else ablations.small_transformer(0).state_dict()
        assert all(torch.equal(weights[name], value) for name, value in began.items() if name in weights)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        vae = sure_vae()
        for _ in ablations.train(model, lambda rng, vae=vae: ablations.holes(vae, rng, 2), 2, 0, "two steps"):
            pass
        changed = {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}
        assert changed and changed <= trained
    assert set(ablations.UNSEEN) < set(HELD_OUT_TASKS) and len(ablations.UNSEEN) == 11  # as the curves' own
    assert not any(is_trained(task) for task in ablations.UNSEEN)


def test_what_is_measured_is_held_out(monkeypatch):
    seeds = []
    monkeypatch.setattr(ablation_batches, "make_scene", lambda seed: seeds.append(seed) or make_scene(seed))
    ablations.held_out_batches(sure_vae(), ablations.UNSEEN, 2, 3)
    assert seeds and max(seeds) < FIRST_TRAINING_SEED


def test_the_table_has_means_and_intervals(tmp_path):
    row = {"arm": "a", "tasks": "held out", "step": 0}
    rows = [row | {"grid": n // 2, "error": e} for n, e in enumerate(np.arange(100.0))]
    (line,) = ablations.summarise(rows)
    half = 1.96 * np.arange(0.5, 100, 2).std() / 50**0.5  # two seeds of 50 grids: 50 independent entries, not 100
    assert line["error"] == 49.5 and line["high"] - 49.5 == pytest.approx(half, rel=0.1)
    assert 49.5 - line["low"] == pytest.approx(half, rel=0.1)
    ablations.write([line], tmp_path / "a.csv")
    assert list(csv.DictReader((tmp_path / "a.csv").open()))[0]["error"] == "49.500"


def test_differences_are_taken_grid_by_grid():
    both = {"a": (1.0, 9.0, 5.0), "b": (0.5, 8.5, 4.5)}
    row = {"tasks": "held out", "step": 0}
    rows = [row | {"arm": arm, "grid": n, "error": e} for arm, errors in both.items() for n, e in enumerate(errors)]
    (line,) = ablations.difference(rows, "a", "b")
    assert line["error"] == line["low"] == line["high"] == 0.5 and line["arm"] == "a less b"


def test_a_run_writes_both_curves(quick, monkeypatch, tmp_path):
    sure_vae().save_pretrained(tmp_path / "vae")
    few = [ablations.holes(sure_vae(), random.Random(0), 2)]
    monkeypatch.setattr(ablations, "held_out_batches", lambda vae, tasks, count: few)
    paths = tmp_path / "vae", tmp_path / "work", tmp_path / "out"
    ablations.run(*paths, steps=2, prior_steps=1, seeds=1, every=1)
    written = (tmp_path / "out" / "density.csv").read_text()
    (tmp_path / "out" / "density.csv").unlink()
    monkeypatch.setattr(ablations, "train", None)  # what is finished is not done again
    ablations.run(*paths, steps=2, prior_steps=1, seeds=1, every=1)
    assert (tmp_path / "out" / "density.csv").read_text() == written
    for name, arms in (("infilling_prior", 4), ("density", 2), ("density_difference", 1)):
        rows = list(csv.DictReader((tmp_path / "out" / f"{name}.csv").open()))
        assert len({row["arm"] for row in rows}) == arms and {row["step"] for row in rows} == {"0", "1", "2"}
        assert all(float(row["low"]) <= float(row["error"]) <= float(row["high"]) for row in rows)


def test_the_shipped_curves_are_read_and_drawn():
    for experiment, arms in (("infilling_prior", 4), ("density", 2)):
        panels = {tasks: ablation_curves.read(experiment, tasks) for tasks in ("trained", "held out")}
        for found in panels.values():
            assert list(found) == [arm.name for arm in ablations.ARMS if arm.experiment == experiment]
            for curve in found.values():
                assert curve.steps[0] == 0 and curve.steps == sorted(curve.steps)
                assert len(curve.error) == len(curve.steps)
        figure = ablation_curves.draw(panels, "What to see")
        assert len(figure.axes) == 2 and all(len(axes.lines) == arms for axes in figure.axes)
        assert figure.alt.startswith("What to see. trained, ")
    with pytest.raises(ValueError, match="trained"):
        ablation_curves.read("density", "imagined")
    with pytest.raises(FileNotFoundError):
        ablation_curves.read("alchemy", "trained")


def test_one_curve_is_lower_only_if_the_intervals_are_apart():
    one, near, far = (ablation_curves.Curve([0], [e], [e - 0.1], [e + 0.1]) for e in (0.5, 0.65, 0.75))
    assert (
        ablation_curves.lower(one, far) and not ablation_curves.lower(one, near) and not ablation_curves.lower(far, one)
    )
