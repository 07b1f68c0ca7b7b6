"""The command line: every command is listed, starts without torch, and refuses bad arguments in one line."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from visualcloze_nb.cli import lessons
from visualcloze_nb.cli.main import COMMANDS, main
from visualcloze_nb.cli.train import RUN
from visualcloze_nb.evaluation.scores import scores_at_a_glance

PARTS = ("tiny", "vae", "transformer", "export", "ablations")


def refused(arguments, capsys) -> str:
    """Run a command that must fail, and return the line it prints."""
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.count("\n") == 1 and len(printed.err) < 400
    return printed.err


@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_help_lists_every_command_with_one_line(arguments, capsys):
    try:
        assert main(arguments) == 0
    except SystemExit as done:
        assert done.code == 0
    said = capsys.readouterr().out
    for name, line in COMMANDS.items():
        assert [name, *line.split()] in [row.split() for row in said.splitlines()]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_does_not_import_torch(command):
    code = "import sys; from visualcloze_nb.cli.main import main\ntry: main(sys.argv[1:])\n"
    code += "finally: print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("False\n"), done.stdout + done.stderr
    if command == "train":
        assert set(PARTS) <= set(done.stdout.split())


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["nonsense"], "invalid choice: 'nonsense'"),
        (["demo", "--seed", "900000"], "visualcloze-nb demo: seed is 900000"),
        (["demo", "--seed", "-1"], "seed is -1"),
        (["demo", "--seed", "one"], "argument --seed"),
        (["demo", "--task", "image > nonsense"], "there is no kind of image 'nonsense'"),
        (["demo", "--out", "no-such-folder/page.png"], "is not a .png file in an existing folder"),
        (["demo", "--out", "page.txt"], "'page.txt' is not a .png file"),
        (["demo", "--slow"], "unrecognized arguments: --slow"),
        (["doctor", "no-such-model"], "no such folder, and no known model: 'no-such-model': give tiny, 384"),
        (["bench", "--steps", "-3"], "'-3' is not a whole number of at least 1"),
        (["bench", "--strength", "1.5"], "'1.5' is not a number from 0 to 1"),
        (["bench", "--strength", "nan"], "'nan' is not a number from 0 to 1"),
        (["bench", "--model", "no-such-model"], "there is no checkpoint in no-such-model"),
        (["train"], "visualcloze-nb train: the following arguments are required: PART"),
        (["train", "nonsense"], "invalid choice: 'nonsense'"),
        (["train", "tiny"], "the following arguments are required: --minutes"),
        (["train", "tiny", "--minutes", "0"], "'0' is not a number above 0"),
        (["train", "tiny", "--minutes", "1", "--width", "100"], "--width is 100: give a multiple of 64"),
        (["train", "vae", "--minutes", "1", "--seed", "-1"], "'-1' is not a whole number of at least 0"),
        (["train", "transformer", "--minutes", "1", "--vae", "nowhere"], "there is no folder 'nowhere'"),
        (["train", "tiny", "--minutes", "1", "--grow"], "name its checkpoint with --start"),
        (["train", "transformer", "--minutes", "1", "--out", "nowhere"], "no trained VAE in nowhere/vae"),
        (["train", "export", "--run", "tests", "--vae-run", "tests"], "there is no folder 'tests/pipeline'"),
        (["nbgrader", "tests"], "'tests' is there already: name a new or empty folder"),
        (["evaluate", "--scenes", "0"], "'0' is not a whole number of at least 1"),
        (["evaluate", "--only", "magic"], "no benchmark 'magic'; there are tasks"),
        (["evaluate", "--model", "no-such-model"], "no such folder, and no known model: 'no-such-model'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_refused_in_one_line(arguments, said, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[1])
    assert said in refused(arguments, capsys)


@pytest.mark.parametrize("part, only", [("tiny", None), ("vae", "vae"), ("transformer", "transformer")])
def test_training_gets_its_arguments(part, only, monkeypatch, tmp_path):
    calls = []
    module = SimpleNamespace(train_tiny=lambda *arguments: calls.append(arguments))
    monkeypatch.setitem(sys.modules, "visualcloze_nb.training.train_tiny", module)
    chosen = [] if part == "vae" else ["--width", "128", "--vae", str(tmp_path)]
    assert main(["train", part, "--minutes", "1.5", "--out", str(tmp_path), "--seed", "3", *chosen]) == 0
    own = (128, tmp_path) if chosen else (None, None)
    assert calls == [(1.5, tmp_path, only, 3, *own, scores_at_a_glance, None, False)]
    grown = [] if part == "vae" else ["--grow"]
    assert main(["train", part, "--minutes", "1", "--start", str(tmp_path), *grown]) == 0
    assert calls[1] == (1, RUN, only, 0, None, None, scores_at_a_glance, tmp_path, bool(grown))


def test_lessons_are_listed(capsys):
    assert main(["lessons"]) == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) >= 8 and rows[0].startswith("00  Start here") and rows[0].endswith("00_start_here.ipynb")


def test_lessons_without_a_repository(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(lessons, "PLACES", (tmp_path,))
    assert "lacks the notebooks" in refused(["lessons"], capsys)


def test_lessons_are_copied_and_a_reader_s_work_is_kept(capsys, tmp_path):
    folder = tmp_path / "course"
    assert main(["lessons", str(folder), "--no-lab", "--solutions"]) == 0
    copied = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.ipynb"))
    assert "00_start_here.ipynb" in copied and "solutions/00_start_here.ipynb" in copied
    (folder / "00_start_here.ipynb").write_text("my work")
    (folder / "01_grids.ipynb").unlink()
    assert main(["lessons", str(folder), "--no-lab"]) == 0
    assert (folder / "00_start_here.ipynb").read_text() == "my work" and (folder / "01_grids.ipynb").exists()
    assert capsys.readouterr().out.splitlines()[-1].partition(": ")[2].startswith("1; kept")


def test_lessons_go_into_no_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "name another folder" in refused(["lessons", str(tmp_path / "file"), "--no-lab"], capsys)


def test_the_module_is_the_command():
    command = [sys.executable, "-m", "visualcloze_nb", "lessons"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.startswith("00  Start here")


def test_a_reader_that_stops_early_is_no_error():
    command = [sys.executable, "-m", "visualcloze_nb", "tasks", "--list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0) as process:
        process.stdout.close()
        assert (process.stderr.read(), process.wait()) == (b"", 0)
