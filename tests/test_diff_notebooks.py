"""The program that `git diff` calls for notebooks."""

import subprocess
from pathlib import Path

import nbformat
import pytest

from tools.diff_notebooks import main, without_images

ROOT = Path(__file__).parents[1]
IMAGE = '<img alt="A title" src="data:image/png;base64,{}">'


def write(path: Path, source: str, pixels: str) -> str:
    output = nbformat.v4.new_output("display_data", data={"text/html": IMAGE.format(pixels), "image/png": pixels})
    cell = nbformat.v4.new_code_cell(source, outputs=[output], id="one")
    path.write_text(nbformat.writes(nbformat.v4.new_notebook(cells=[cell])))
    return str(path)


def test_an_image_becomes_a_checksum_and_the_rest_stays(tmp_path):
    a, b = (Path(write(tmp_path / f"{i}.ipynb", "1 + 1", pixels)).read_text() for i, pixels in enumerate("AB"))
    assert without_images(a) != without_images(b)
    long = without_images(a.replace("64,A", "64," + "A" * 1000).replace('png": "A', 'png": "' + "A" * 1000))
    assert len(long) < len(a) + 30
    (output,) = nbformat.reads(long, as_version=4).cells[0].outputs
    assert output.data["text/html"].startswith('<img alt="A title" src="data:image/png;base64,')


def test_git_shows_what_changed_and_not_the_pixels(tmp_path, capfd):
    pytest.importorskip("nbdime")
    old = write(tmp_path / "old.ipynb", "1 + 1", "A" * 5000)
    new = write(tmp_path / "new.ipynb", "1 + 2", "B" * 5000)
    assert main(["notebooks/x.ipynb", old, "0", "0", new, "0", "0"]) == 0
    said = capfd.readouterr().out
    assert "1 + 2" in said and "A title" in said and len(said) < 3000
    assert main(["notebooks/x.ipynb", "/dev/null", "0", "0", new, "0", "0"]) == 0
    assert "1 + 2" in capfd.readouterr().out


def test_hooks_name_the_program_that_git_is_to_call():
    assert "git config diff.jupyternotebook.command '$(RUN) -m tools.diff_notebooks'" in (ROOT / "Makefile").read_text()
    attributes = ["git", "check-attr", "diff", "notebooks/00_start_here.ipynb"]
    done = subprocess.run(attributes, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.endswith("diff: jupyternotebook\n") or done.returncode  # not a repository: an sdist
