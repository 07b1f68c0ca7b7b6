"""Grids as files, sweeps, and `visualcloze-nb run`: as `fill` one by one, whatever is killed or broken on the way."""

import csv
import json
import multiprocessing
import os
import random
import signal
import time

import numpy as np
import pytest
from conftest import noise_image, rows
from PIL import Image

import visualcloze_nb
from visualcloze_nb.cli.main import main
from visualcloze_nb.cli.run import identity
from visualcloze_nb.data.grid import Grid
from visualcloze_nb.data.grid_files import find_grids, read_grid, save_grid
from visualcloze_nb.data.result import read_provenance
from visualcloze_nb.errors import BusyError, FileError, GridError, ImageError, MissingFileError, ModelError, UsageError
from visualcloze_nb.evaluation import batch_run
from visualcloze_nb.evaluation.batch_run import read_results, rmse, run_all
from visualcloze_nb.evaluation.batch_sheet import write_sheets
from visualcloze_nb.evaluation.sweeps import parse_sweep, variants

TRUTH = noise_image(48, 48, seed=99)
FAST = {"steps": [1], "strength": [0.0]}
pytestmark = pytest.mark.filterwarnings("ignore::visualcloze_nb.VisualClozeWarning")


def make_grids(folder, count=2, examples=2, **options):
    folder.mkdir(exist_ok=True)
    for number in range(count):
        grid = Grid(rows(examples + 1, 2, seed=100 * number), f"a red circle {number}", "a blue square", **options)
        save_grid(grid, folder / f"grid {number}", [TRUTH])
    return folder


def run(out, grids, pipe, sweep=FAST, **options):
    return run_all(find_grids(grids), lambda: pipe, options.pop("model", "random"), out, sweep, **options)


def table(path):
    """The lines of a CSV without the seconds, which no two runs share."""
    with path.open(newline="") as file:
        return [{name: value for name, value in line.items() if name != "seconds"} for line in csv.DictReader(file)]


def contents(out):
    """Everything below a folder: the lines, and of images the pixels and the provenance without the seconds."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".csv":
            found[name] = table(path)
        elif path.suffix == ".png":
            record = {**read_provenance(path), "seconds": None} if name.startswith("images") else None
            found[name] = Image.open(path).tobytes(), json.dumps(record)
        elif path.is_file():
            found[name] = path.read_bytes()
    return found


# Grids as files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("targets", [(1,), (0, 2), (0, 1, 2)])
def test_a_saved_grid_is_read_back(tmp_path, targets):
    recommended = {"strength": 0.3, "size": "photograph"}
    grid = Grid(rows(2, 3, size=(50, 40), targets=targets), "täsk", "", recommended=recommended)
    truth = [noise_image(seed=n) for n in targets]
    case = read_grid(save_grid(grid, tmp_path / "one", truth))
    assert case.name == "one" and case.grid == grid and case.grid.recommended == recommended
    assert sorted(case.truth) == list(targets)
    assert all(case.truth[col].tobytes() == image.tobytes() for col, image in zip(targets, truth, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["one"], "no temporary folder is left"


def test_saving_never_replaces_or_leaves_half(tmp_path, monkeypatch):
    grid = Grid(rows())
    with pytest.raises(FileError, match="exists"):
        save_grid(grid, tmp_path)
    with pytest.raises(GridError, match="2 truths for 1 targets"):
        save_grid(grid, tmp_path / "a", [TRUTH, TRUTH])
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(FileError, match="cannot be written .disk full"):
        save_grid(grid, tmp_path / "a")
    assert not list(tmp_path.iterdir())


def test_a_csv_reads_as_the_folders_do(tmp_path):
    make_grids(tmp_path / "grids")
    header = "name,task,content,strength,size,1-1,1-2,2-1,2-2,3-1,3-2,3-2.truth\n"
    cells = ",".join(
        ["{0}/1-1.png", "{0}/1-2.png", "{0}/2-1.png", "{0}/2-2.png", "{0}/3-1.png", "", "{0}/3-2.truth.png"]
    )
    lines = [f'grid {n},"a red circle {n}",a blue square,0.3,photograph,{cells.format(f"grid {n}")}\n' for n in (0, 1)]
    path = tmp_path / "grids" / "grids.csv"
    for text in (header + "".join(lines), "\ufeff" + (header + "".join(lines)).replace(",", ";")):
        path.write_text(text, encoding="utf-8")
        for name, read in find_grids(path).items():
            case, other = read(), read_grid(tmp_path / "grids" / name)
            assert case.grid == other.grid and case.truth[1].tobytes() == other.truth[1].tobytes()
            assert case.grid.recommended == {"strength": 0.3, "size": "photograph"}


def test_a_target_that_nothing_else_shows_is_marked(tmp_path):
    (tmp_path / "one").mkdir()
    noise_image().save(tmp_path / "one" / "1-1.jpg")
    (tmp_path / "one" / "1-2.target").touch()
    assert read_grid(tmp_path / "one").grid.targets == (1,)
    (tmp_path / "grids.csv").write_text("1-1,1-2,1-3\none/1-1.jpg,?,\n")
    (read,) = find_grids(tmp_path / "grids.csv").values()
    assert read().grid.targets == (1,) and read().grid.n_cols == 2 and read().name == "line-1"


def test_a_saved_result_gives_texts_and_settings(random_pipe, tmp_path):
    grid = Grid(rows(2, 3, size=(60, 48), targets=(1, 2)), "a red circle", "a blue square")
    settings = {"seed": 5, "steps": 2, "upsampling_steps": 3, "strength": 0.5, "width": 64}
    result = random_pipe.fill(grid, **settings, progress=False)
    folder = save_grid(Grid(grid.to_lists()), tmp_path / "one")
    (folder / "task.txt").unlink()
    for target in (0, 1):
        result.save(folder / f"result {target}.png", target)
    case = read_grid(folder)
    assert case.grid == grid
    again = random_pipe.fill(case.grid, **case.settings, progress=False)
    assert again.settings == result.settings
    assert all(np.array_equal(one, other) for one, other in zip(again.images, result.images, strict=True))
    (folder / "task.txt").write_text("another task\n")
    assert read_grid(folder).grid.task == "another task", "a file wins over the record"
    noise_image(seed=8).save(folder / "2-1.png")
    with pytest.raises(GridError, match="'result 0.png' was made from other images"):
        read_grid(folder)


BAD_FOLDERS = {
    "no cell": ({"task.txt": b""}, GridError, "there is no cell"),
    "an image that is no cell": ({"1-1.png": None, "photo.jpg": None}, GridError, "'photo.jpg' is no cell"),
    "a png that is no cell": (
        {"1-1.png": None, "1-2.target": b"", "x.png": None},
        GridError,
        "'x.png' is neither a cell nor a saved",
    ),
    "counted from 0": ({"0-0.png": None, "0-1.target": b""}, GridError, "count from 1"),
    "two files for a cell": ({"1-1.png": None, "1-1.jpg": None}, GridError, "cell 1-1 has two files"),
    "a hole in an example": ({"1-2.png": None, "2-1.png": None}, GridError, "row 1, column 1 is empty"),
    "nothing to fill": ({"1-1.png": None, "1-2.png": None}, GridError, "row 1 has no empty cell"),
    "truth of a condition": ({"1-1.png": None, "1-1.truth.png": None}, GridError, "1-1.truth is the truth of a cell"),
    "no image": ({"1-1.png": b"text", "1-2.target": b""}, ImageError, "row 1, column 1 is not an image"),
    "settings": ({"1-1.png": None, "1-2.target": b"", "settings.json": b"{"}, GridError, "settings.json is no JSON"),
    "settings in a list": ({"1-1.png": None, "1-2.target": b"", "settings.json": b"[1]"}, GridError, "no settings"),
    "a text that is none": ({"1-1.png": None, "1-2.target": b"", "task.txt": b"\xff"}, FileError, "'task.txt' cannot"),
}


@pytest.mark.parametrize("name", BAD_FOLDERS)
def test_a_bad_folder_is_refused_with_what_to_do(tmp_path, name):
    files, error, message = BAD_FOLDERS[name]
    for file, data in files.items():
        if data is None:
            noise_image().save(tmp_path / file)
        else:
            (tmp_path / file).write_bytes(data)
    with pytest.raises(error, match=message) as caught:
        read_grid(tmp_path)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize(
    "text, error, message",
    [
        ("", UsageError, "holds no line"),
        ("name,1-1,1-2\n", UsageError, "holds no line"),
        ("name,1-1,cell\n", UsageError, "a column 'cell'"),
        ("name,1-1\na,x.png\na,y.png\n", UsageError, "the name 'a' twice"),
        ("name,1-1,1-2\na,x.png\n", GridError, "not as many values"),
        ("name,1-1,1-2\na,x.png,,z.png\n", GridError, "not as many values"),
        ("name,1-1,1-2\na,x.png,?\n", ImageError, "row 1, column 1: .*x.png' does not exist"),
        ("name,1-1,1-2,steps\na,x.png,?,two\n", UsageError, "steps is 'two': give a whole number"),
    ],
)
def test_a_bad_csv_is_refused_with_what_to_do(tmp_path, text, error, message):
    path = tmp_path / "grids.csv"
    path.write_text(text)
    with pytest.raises(error, match=message):
        for read in find_grids(path).values():
            read()


def test_where_no_grid_is(tmp_path):
    with pytest.raises(MissingFileError, match="give a folder of grids or a CSV"):
        find_grids(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds no grid"):
        find_grids(tmp_path)
    make_grids(tmp_path / "grids", 1)
    assert list(find_grids(tmp_path / "grids" / "grid 0")) == ["grid 0"], "a single grid"


# Sweeps -----------------------------------------------------------------------------------------------------


def test_a_sweep_makes_all_combinations_that_differ(tmp_path):
    grid = Grid(rows(4, 2), recommended={"steps": 7})
    case = read_grid(save_grid(grid, tmp_path / "one"))
    sweep = parse_sweep(["seed=0,1", "examples=0,1,3", "order=0,1,2,3", "strength=0.5,0"])
    made = list(variants(case, sweep))
    assert [made[0].label, made[1].label] == [
        "seed-0_examples-0_order-0_strength-0.5",
        "seed-0_examples-0_order-0_strength-0",
    ]
    assert len(made) == 2 * (1 + 3 + 3) * 2, "without examples, and from order 3 on, nothing new would come"
    shown = {(v.examples, v.order): v.of(grid).examples for v in made}
    assert shown[3, 1] == (grid.examples[1], grid.examples[2], grid.examples[0])
    assert shown[1, 2] == (grid.examples[2],) and shown[0, 0] == ()
    assert len({v.label for v in made}) == len(made)
    assert all(v.of(grid).recommended == {"steps": 7} for v in made)
    (plain,) = variants(case, {})
    assert plain.label == "" and plain.settings == {"seed": 0} and plain.of(grid) == grid
    with pytest.raises(GridError, match="examples is 4, and the grid has 3"):
        next(variants(case, {"examples": [4]})).of(grid)


@pytest.mark.parametrize(
    "texts, message",
    [
        (["speed=1"], "there is no sweep 'speed=1': give NAME=VALUE,… of seed, examples, order, steps"),
        (["seed"], "there is no sweep 'seed'"),
        (["seed=0", "seed=1"], "seed is swept twice"),
        (["seed=a"], "seed is 'a': give a whole number"),
        (["seed="], "seed is '': give a whole number"),
        (["strength=much"], "strength is 'much': give a number"),
        (["size=photo"], "size is 'photo': give a number or photograph"),
        (["order=-1"], "order is -1: give whole numbers from 0"),
    ],
)
def test_a_bad_sweep_is_refused(texts, message):
    with pytest.raises(UsageError, match=message):
        parse_sweep(texts)


# The run ----------------------------------------------------------------------------------------------------


def test_a_run_gives_what_fill_gives_one_by_one(random_pipe, tmp_path):
    grids = make_grids(tmp_path / "grids", recommended={"strength": 0.5, "size": 2})
    sweep = parse_sweep(["seed=3,4", "examples=0,2", "order=0,1", "steps=2", "upsampling_steps=4"])
    lines = run(tmp_path / "out", grids, random_pipe, sweep)
    assert len(lines) == 2 * 2 * (1 + 2)
    for line in lines:
        grid = read_grid(grids / line["grid"]).grid
        examples = [*grid.examples[line["order"] :], *grid.examples[: line["order"]]][: line["examples"]]
        settings = {"seed": line["seed"], "steps": 2, "upsampling_steps": 4, "strength": 0.5, "size": 2}
        result = random_pipe.fill(grid.with_examples(examples), **settings, progress=False)
        path = tmp_path / "out" / line["image"]
        assert np.array_equal(Image.open(path), result.image)
        assert read_provenance(path)["settings"] == json.loads(json.dumps(result.provenance()["settings"]))
        assert float(line["rmse"]) == pytest.approx(rmse(result.image, TRUTH), abs=1e-5)
        assert (line["width"], line["height"], float(line["seconds"]) > 0) == (64, 64, True)
    assert table(tmp_path / "out" / "results.csv") == [
        {k: str(line.get(k, "")) for k in line_columns()} for line in lines
    ]


def line_columns():
    return [name for name in batch_run.COLUMNS if name != "seconds"]


def test_the_error_is_a_root_mean_square_at_the_smaller_size():
    black, white = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "white")
    assert rmse(black, white) == 1 and rmse(white, white) == 0
    grey = Image.new("RGB", (192, 192), (51, 51, 51))
    assert rmse(grey, black) == pytest.approx(0.2) and rmse(black, grey) == pytest.approx(0.2)
    noise = noise_image(64, 64)
    large = noise.resize((192, 192), Image.Resampling.NEAREST)
    at_192 = rmse(large, noise.resize((192, 192), Image.Resampling.LANCZOS))
    assert rmse(large, noise) < 0.7 * at_192, "compared at the truth's 64 pixels"


def test_a_broken_grid_is_reported_and_the_others_are_done(random_pipe, tmp_path, monkeypatch, capsys):
    grids, out = make_grids(tmp_path / "grids", 3), tmp_path / "out"
    (grids / "grid 1" / "2-1.png").write_bytes(b"no image")
    monkeypatch.setattr(visualcloze_nb, "load", lambda name: random_pipe)
    command = ["run", str(grids), "--out", str(out), "--set", "steps=1", "--sweep", "strength=0,2"]
    assert main(command) == 1
    printed = capsys.readouterr()
    assert "grid 1: row 2, column 1 is not an image" in printed.err
    assert "strength is 2.0: give a number from 0 to 1" in printed.err, "a setting that fails is reported too"
    assert "2 filled, 0 done before, 3 failed" in printed.out and "RMSE" in printed.out
    failed = [line for line in table(out / "results.csv") if line["error"]]
    assert [(line["grid"], line["image"]) for line in failed] == [("grid 0", ""), ("grid 1", ""), ("grid 2", "")]
    noise_image().save(grids / "grid 1" / "2-1.png")
    assert main([*command[:-1], "strength=0"]) == 0
    assert "1 filled, 2 done before, 0 failed" in capsys.readouterr().out
    lines = table(out / "results.csv")
    assert [line["grid"] for line in lines] == ["grid 0", "grid 1", "grid 2"]
    assert not any(line["error"] for line in lines)


def test_a_model_that_cannot_be_loaded_ends_the_run(tmp_path):
    def load():
        raise ModelError("it does not fit")

    with pytest.raises(ModelError, match="does not fit"):
        run_all(find_grids(make_grids(tmp_path / "grids")), load, "random", tmp_path / "out", FAST)


def test_any_error_of_the_model_leaves_the_other_grids(random_pipe, tmp_path, monkeypatch):
    calls = []

    def fill(grid, **settings):
        calls.append(grid)
        if len(calls) == 1:
            raise MemoryError("no memory left")
        return type(random_pipe).fill(random_pipe, grid, **settings)

    monkeypatch.setattr(random_pipe, "fill", fill, raising=False)
    lines = run(tmp_path / "out", make_grids(tmp_path / "grids"), random_pipe)
    assert lines[0]["error"] == "MemoryError: no memory left" and lines[1]["image"]


def test_what_has_changed_is_made_again_and_nothing_else(random_pipe, tmp_path):
    grids, out, seen = make_grids(tmp_path / "grids", 3), tmp_path / "out", []

    def again(sweep=FAST, **options):
        seen.clear()
        run(out, grids, random_pipe, sweep, on_grid=lambda lines, found: seen.append(found), **options)
        return list(seen)

    assert again() == [False] * 3
    before = contents(out)
    assert again() == [True] * 3 and contents(out) == before
    (grids / "grid 0" / "task.txt").write_text("another task")
    assert again() == [False, True, True]
    next((out / "images" / "grid-1").iterdir()).unlink()
    assert again() == [True, False, True]
    noise_image(seed=77).save(grids / "grid 2" / "3-2.truth.png")
    assert again() == [True, True, False]
    assert again(model="another") == [False] * 3
    more = {**FAST, "seed": [0, 1]}
    assert again(more) == [False] * 6
    assert len(table(out / "results.csv")) == 9, "the lines of another sweep are kept"
    assert again(more) == [True] * 6


def test_two_names_that_make_one_file_name(random_pipe, tmp_path):
    make_grids(tmp_path, 1)
    text = "name,1-1,1-2\n" + "".join(f"{name},grid 0/1-1.png,?\n" for name in ("a/b", "a b", "..", "A-B"))
    (tmp_path / "grids.csv").write_text(text)
    lines = run(tmp_path / "out", tmp_path / "grids.csv", random_pipe)
    assert len({line["image"].casefold() for line in lines}) == 4
    assert all((tmp_path / "out" / line["image"]).resolve().is_relative_to(tmp_path / "out") for line in lines)


def test_another_csv_is_not_written_over(random_pipe, tmp_path):
    (tmp_path / "results.csv").write_text("my,own\n1,2\n")
    with pytest.raises(UsageError, match="results.csv' is not of this command"):
        run(tmp_path, make_grids(tmp_path / "grids"), random_pipe)
    assert (tmp_path / "results.csv").read_text() == "my,own\n1,2\n"


def test_the_sheet_shows_every_image(random_pipe, tmp_path):
    grids, out = make_grids(tmp_path / "grids"), tmp_path / "out"
    lines = run(out, grids, random_pipe, {**FAST, "seed": list(range(13))})
    (path,) = write_sheets(find_grids(grids), lines, out)
    sheet = np.asarray(Image.open(path))
    assert sheet.shape[0] > 4 * 128 and sheet.shape[1] >= 12 * 128, "15 images a grid: two lines each"
    assert write_sheets(find_grids(grids), [], out) == []


# Kills ------------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """Passes every handler of the package, as a kill does."""


def test_killed_before_any_file_gets_its_name(random_pipe, tmp_path, monkeypatch):
    grids, sweep = make_grids(tmp_path / "grids"), {**FAST, "seed": [0, 1]}
    run(tmp_path / "whole", grids, random_pipe, sweep)
    expected, moved = contents(tmp_path / "whole"), os.replace
    for last in range(8):
        count = iter(range(100))

        def replace(*paths, count=count, last=last):
            if next(count) == last:
                raise Killed
            moved(*paths)

        out = tmp_path / f"killed {last}"
        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(Killed):
            run(out, grids, random_pipe, sweep)
        monkeypatch.setattr(os, "replace", moved)
        run(out, grids, random_pipe, sweep)
        assert contents(out) == expected, f"killed before move {last}"


def in_a_process(out, grids, pipe, sweep):
    """Start a run in a process of its own, on one thread: more would not survive the fork."""

    def work():
        import torch

        torch.set_num_threads(1)
        lines = run(out, grids, pipe, sweep)
        write_sheets(find_grids(grids), lines, out)

    process = multiprocessing.get_context("fork").Process(target=work)
    process.start()
    return process


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_killed_ten_times_at_random_goes_on_to_the_same_results(random_pipe, tmp_path):
    grids = make_grids(tmp_path / "grids", 4)
    sweep = {"seed": [0, 1, 2], "examples": [0, 2], "steps": [3], "strength": [0.5]}
    began = time.perf_counter()
    whole = in_a_process(tmp_path / "whole", grids, random_pipe, sweep)
    whole.join()
    seconds, rng, out = time.perf_counter() - began, random.Random(0), tmp_path / "killed"
    done = []
    for _ in range(10):
        process = in_a_process(out, grids, random_pipe, sweep)
        time.sleep(rng.uniform(0, seconds / 12))
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        assert process.exitcode == -signal.SIGKILL, "it was still at work"
        done.append(len(table(out / "results.csv")) if (out / "results.csv").exists() else 0)
    assert done == sorted(done), f"what is done stays: {done}"
    process = in_a_process(out, grids, random_pipe, sweep)
    process.join()
    assert whole.exitcode == process.exitcode == 0
    assert contents(out) == contents(tmp_path / "whole") and len(table(out / "results.csv")) == 24


def test_a_second_run_on_one_folder_is_refused(random_pipe, tmp_path):
    from filelock import FileLock

    grids, out = make_grids(tmp_path / "grids", 1), tmp_path / "out"
    out.mkdir()
    with FileLock(out / ".lock"), pytest.raises(BusyError, match="another run writes to .*choose another folder"):
        run(out, grids, random_pipe, {"seed": [0]})
    assert not (out / "results.csv").exists()
    assert len(run(out, grids, random_pipe, {"seed": [0], "steps": [1]})) == 1


def test_stopped_by_hand_it_says_so(tmp_path, monkeypatch, capsys):
    def load(name):
        raise KeyboardInterrupt

    monkeypatch.setattr(visualcloze_nb, "load", load)
    assert main(["run", str(make_grids(tmp_path / "grids")), "--out", str(tmp_path / "out")]) == 130
    assert "stopped; the same command goes on" in capsys.readouterr().err


def test_a_folder_is_another_model_once_its_weights_are(tmp_path):
    assert identity("tiny") == "tiny" and identity("384") == "384"
    with pytest.raises(UsageError, match="there is no checkpoint in"):
        identity(str(tmp_path))
    (tmp_path / "vae").mkdir()
    (tmp_path / "vae" / "a.safetensors").write_bytes(b"one")
    first = identity(str(tmp_path))
    (tmp_path / "vae" / "a.safetensors").write_bytes(b"other")
    assert identity(str(tmp_path)) != first


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nowhere", "--out", "out"], "there is no 'nowhere': give a folder of grids or a CSV"),
        ([".", "--out", "out", "--sweep", "speed=1"], "there is no sweep 'speed=1'"),
        (["."], "the following arguments are required: --out"),
    ],
)
def test_bad_arguments_are_refused_in_one_line(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main(["run", *arguments])
    assert caught.value.code == 2 and said in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_results_are_read_back_without_those_that_failed(random_pipe, tmp_path):
    grids = make_grids(tmp_path / "grids")
    (grids / "grid 0" / "1-1.png").unlink()
    run(tmp_path / "out", grids, random_pipe)
    found = read_results(tmp_path / "out" / "results.csv")
    assert list(found) == [("grid 1", "steps-1_strength-0")]
