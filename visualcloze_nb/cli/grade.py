"""`visualcloze-nb grade`: score a folder of submitted notebooks, each exercise in a process of its own.

One process imports the libraries and forks a child for each exercise, which costs a fraction of a second. A child has a
time and a memory limit, writes only into a folder of its own and has no network. That protects a class from accidents;
it is no sandbox for hostile code.
"""

from __future__ import annotations

import argparse
import csv
import io
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from visualcloze_nb.cli.arguments import folder, positive, whole
from visualcloze_nb.errors import UsageError, shorten
from visualcloze_nb.lessons.grading import Score, exercises, grade_cells, lesson_of, read_cells

HEADER = ("student", "lesson", "exercise", "state", "points", "hint", "file")
CHANGES = (
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.mkdir",
    "os.truncate",
    "os.chmod",
    "os.link",
    "os.symlink",
    "shutil.",
)
OUTSIDE = ("socket.", "subprocess.", "os.system", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.kill")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the folder and the limits."""
    parser.add_argument("folder", type=folder, help="notebooks: STUDENT/…/NAME.ipynb, or STUDENT_NN_topic.ipynb")
    parser.add_argument("--seconds", type=positive, default=60, help="limit of one exercise; else 60")
    parser.add_argument("--megabytes", type=whole(1), default=1000, help="of memory beyond the libraries; else 1000")
    parser.add_argument("--jobs", type=whole(1), default=os.cpu_count() or 1, help="at a time; else one a core")


def run(options: argparse.Namespace) -> int:
    """Print one CSV row for each exercise of each notebook; progress goes to stderr."""
    if not hasattr(os, "fork"):
        raise UsageError("grading needs fork, which Windows lacks: use Linux, macOS or WSL")
    found = (path.relative_to(options.folder) for path in options.folder.rglob("*.ipynb"))
    hidden = (".", "__MACOSX")  # checkpoints, bins, what a Mac puts into its archives
    paths = sorted(options.folder / p for p in found if not any(part.startswith(hidden) for part in p.parts))
    if not paths:
        raise UsageError(f"there is no notebook in {shorten(options.folder)}: name another folder")
    for stream in (sys.stdout, sys.stderr):  # a name or an error that the terminal cannot write ends no run
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    out = csv.writer(sys.stdout, lineterminator="\n")
    out.writerow(HEADER)
    for done, (path, lesson, scores) in enumerate(
        grade_all(paths, options.seconds, options.megabytes, options.jobs), 1
    ):
        for score in scores:
            student = _student(path, options.folder, lesson)
            points, hint = int(score.state == "right"), " ".join(score.hint.split())
            file = path.relative_to(options.folder)
            out.writerow((student, lesson, score.exercise, score.state, points, hint, file))
        sys.stdout.flush()
        print(f"{done} of {len(paths)}: {path.relative_to(options.folder)}", file=sys.stderr)
    return 0


def grade_all(paths: list[Path], seconds: float, megabytes: int, jobs: int) -> Iterator[tuple[Path, str, list[Score]]]:
    """Grade notebooks, each exercise in a forked process of its own, so that one that loops or exits costs no other.

    Args:
        paths: of the notebooks.
        seconds: wall-clock limit of one exercise.
        megabytes: memory that an exercise may take beyond what the imported libraries take.
        jobs: processes at a time.

    Returns:
        path, lesson (`lNN_topic`, empty if unknown) and scores of each, in the order given.
    """
    import torch

    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    fork = multiprocessing.get_context("fork")
    waiting, units, running = list(enumerate(paths)), [], {}
    scores: dict[int, dict[str, Score | None]] = {}  # None while an exercise waits or runs
    lessons, warmed, shown = [""] * len(paths), set[str](), 0
    try:
        while shown < len(paths):
            while len(running) < jobs and (units or waiting):
                if not units:
                    number, path = waiting.pop(0)
                    try:
                        cells = read_cells(path)
                        lessons[number] = lesson_of(cells, path.name)
                    except UsageError as error:
                        scores[number] = {"": Score("", "crashed", str(error))}
                        continue
                    found = exercises(lessons[number])
                    if lessons[number] not in warmed:  # imports and cached inputs, once for all submissions of a lesson
                        warmed.add(lessons[number])
                        for exercise in found.values():
                            exercise.judge(exercise.answer)
                    scores[number] = dict.fromkeys(found)
                    units = [(number, cells, name) for name in found]
                number, cells, name = units.pop(0)
                receiving, sending = fork.Pipe(duplex=False)
                own = tempfile.mkdtemp()  # removed here: a child that is killed cannot
                limits = seconds, megabytes
                child = fork.Process(target=_child, args=(sending, own, cells, lessons[number], name, *limits))
                child.start()
                sending.close()
                running[receiving] = number, name, child, own, time.monotonic() + seconds
            deadline = min((entry[-1] for entry in running.values()), default=time.monotonic())
            ready = wait(list(running), timeout=max(deadline - time.monotonic(), 0.01))
            for pipe in list(running):
                number, name, child, own, deadline = running[pipe]
                if pipe not in ready and time.monotonic() < deadline:
                    continue
                score = _received(pipe) if pipe in ready else f"took more than {seconds:g} seconds"
                _stop(child, own)
                scores[number][name] = Score(name, "crashed", score) if isinstance(score, str) else score
                del running[pipe]
            while shown in scores and all(scores[shown].values()):
                yield paths[shown], lessons[shown], [score for score in scores[shown].values() if score]
                shown += 1
    finally:  # Ctrl-C as well: else the children would live on
        for _, _, child, own, _ in running.values():
            _stop(child, own)


def _received(pipe: Any) -> Score | str:
    try:
        return Score(*pipe.recv())
    except EOFError:
        return "the notebook's code ended the process or ran out of memory"


def _stop(child: BaseProcess, own: str) -> None:
    """End a child and all that it started, and remove its folder."""
    try:
        os.killpg(child.pid or 0, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        child.kill()
    child.join()
    shutil.rmtree(own, ignore_errors=True)


def _child(
    pipe: Connection, own: str, cells: list[str], lesson: str, name: str, seconds: float, megabytes: int
) -> None:
    os.setsid()
    os.chdir(own)
    tempfile.tempdir = own  # the cases of an exercise may write files too
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    _limit(seconds, megabytes)
    sys.addaudithook(_guard(Path(own).resolve()))
    try:
        (score,) = grade_cells(cells, lesson, name)
    except BaseException as error:  # exit(), KeyboardInterrupt: everything ends this child only
        score = Score(name, "crashed", f"the notebook's code stopped with {type(error).__name__}")
    pipe.send((score.exercise, score.state, score.hint))
    os._exit(0)


def _limit(seconds: float, megabytes: int) -> None:
    """Bound memory and processor time; macOS ignores the bound of memory."""
    import resource  # Windows has no such module

    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return
    most, cpu = used + megabytes * 2**20, int(seconds) + 1
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu, cpu))


def _guard(own: Path) -> Callable[[str, tuple], None]:
    """An audit hook that refuses changes outside a folder, other processes and the network."""

    def hook(event: str, args: tuple) -> None:
        if event.startswith(OUTSIDE):
            raise PermissionError(f"{event} is not allowed while a notebook is graded")
        if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _inside(args[0], own)
        elif event.startswith(CHANGES):
            _inside(args[0], own)

    return hook


def _inside(path: Any, own: Path) -> None:
    if isinstance(path, int) or os.fsdecode(path) == os.devnull:
        return
    if not Path(os.path.realpath(os.fsdecode(path))).is_relative_to(own):
        raise PermissionError("a notebook that is graded may change files in its own folder only")


def _student(path: Path, top: Path, lesson: str) -> str:
    """The first folder below the given one; or the file's name without the lesson's."""
    inside = path.relative_to(top)
    if len(inside.parts) > 1:
        return inside.parts[0]
    return path.stem.replace(lesson.removeprefix("l"), "").strip("_- ") or path.stem
