"""The site: what it holds, and the check that `make site` ends with. It is built here where Sphinx is installed."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import visualcloze_nb
from tools.check_site import faults, main

ROOT = Path(__file__).parents[1]
GOOD = '<html><body><h1 id="top">Title</h1><a href="b.html#part">b</a><img src="i.png" alt="An image"></body></html>'


@pytest.fixture
def site(tmp_path):
    (tmp_path / "i.png").touch()
    (tmp_path / "b.html").write_text('<html><p id="part"><a href="a.html">a</a></p></html>')
    (tmp_path / "a.html").write_text(GOOD)
    return tmp_path


def test_a_good_site_has_no_faults(site, capsys):
    assert faults(site) == [] and main([str(site)]) == 0


@pytest.mark.parametrize(
    "old, new, fault",
    [
        ("b.html#part", "c.html", "a.html: nothing at c.html"),
        ("b.html#part", "b.html#other", "a.html: no anchor at b.html#other"),
        ("b.html#part", "sub/", "a.html: nothing at sub/"),
        ("b.html", "#nowhere", "a.html: no anchor at #nowhere#part"),
        ("i.png", "missing.png", "a.html: nothing at missing.png"),
        ('alt="An image"', 'alt=" "', "a.html: 1 images without alt text"),
        ('<a href="b', '<a id="top" href="b', "a.html: the id top occurs 2 times"),
        ("<body>", '<script src="https://example.org/x.js"></script>', "a.html: loads https://example.org/x.js"),
    ],
)
def test_a_fault_is_named(site, old, new, fault, capsys):
    (site / "a.html").write_text(GOOD.replace(old, new))
    assert faults(site) == [fault]
    assert main([str(site)]) == 1 and fault in capsys.readouterr().out


def test_an_empty_site_is_a_fault(tmp_path):
    assert faults(tmp_path) == [f"{tmp_path} has no pages"]


def test_the_workflow_publishes_what_make_site_builds():
    job = yaml.safe_load((ROOT / ".github" / "workflows" / "site.yml").read_text())["jobs"]["publish"]
    runs = [step["run"] for step in job["steps"] if "run" in step]
    (folder,) = [step["with"]["path"] for step in job["steps"] if "pages-artifact" in step.get("uses", "")]
    assert [run.split()[:2] for run in runs] == [["make", "site"]]
    assert f"tools.check_site {folder}\n" in (ROOT / "Makefile").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site, built as by `make site`."""
    pytest.importorskip("myst_nb")
    pytest.importorskip("sphinx_book_theme")
    folder = tmp_path_factory.mktemp("site")
    options = re.search(r"-m sphinx (.+?) -d ", (ROOT / "Makefile").read_text())[1].split()
    command = [sys.executable, "-m", "sphinx", *options, "-d", folder / "read", ".", folder / "pages"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "pages"


def test_the_site_is_built_without_warnings_or_faults(built):
    assert faults(built) == []


def test_every_notebook_and_every_public_name_has_its_place(built):
    notebooks = [path.relative_to(ROOT).with_suffix(".html") for path in (ROOT / "notebooks").rglob("*.ipynb")]
    assert all((built / page).exists() for page in notebooks if ".ipynb_checkpoints" not in page.parts)
    ids = set(re.findall(r'id="visualcloze_nb\.(?:[\w.]+\.)?(\w+)"', (built / "docs" / "api.html").read_text()))
    assert set(visualcloze_nb.__all__) - {"__version__", "show"} <= ids
    assert "sheet" in ids and 'url=README.html"' in (built / "index.html").read_text()
    first = (built / "notebooks" / "00_start_here.html").read_text()
    assert "<math" in first
    assert "00 Start here: solution" in (built / "notebooks" / "solutions" / "00_start_here.html").read_text()
