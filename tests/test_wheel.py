"""The wheel and the sdist hold what a user needs, and work without the repository."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A wheel built from an sdist, as pip does it, without a network."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    subprocess.run([*build, "-t", "sdist"], cwd=ROOT, check=True, capture_output=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    unpacked = next(path for path in folder.iterdir() if path.is_dir())
    subprocess.run([*build, "-t", "wheel"], cwd=unpacked, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def installed(dist):
    """The wheel's content in a folder of its own, which the interpreter reads before the repository."""
    target = dist / "installed"
    with zipfile.ZipFile(next(dist.glob("*.whl"))) as wheel:
        wheel.extractall(target)
    return target


def test_the_wheel_holds_the_package_and_the_course_alone(installed):
    assert {path.name.partition("-")[0] for path in installed.iterdir()} == {"visualcloze_nb"}
    committed = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    package = installed / "visualcloze_nb"
    assert {path.name for path in (package / "notebooks").glob("*.ipynb")} == committed
    assert {path.name for path in (package / "notebooks" / "solutions").glob("*.ipynb")} == committed
    assert (package / "py.typed").exists() and (package / "tiny" / "model_index.json").exists()
    assert list(package.rglob("*.css")) and list(package.rglob("*.js"))


def test_a_pip_user_copies_the_course_and_runs_its_first_lesson(installed, tmp_path):
    env = {**os.environ, "PYTHONPATH": str(installed), "HF_HUB_OFFLINE": "1", "VISUALCLOZE_NB_STATIC": "1"}

    def python(*arguments):
        done = subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    assert str(installed) in python("-c", "import visualcloze_nb; print(visualcloze_nb.__file__)")
    python("-m", "visualcloze_nb", "lessons", "course", "--no-lab")
    read = "nbformat.read('course/00_start_here.ipynb', 4)"
    python("-c", f"import nbformat, nbclient; nbclient.NotebookClient({read}).execute()")
