"""The house: its environments agree, its commands are there, and a failed set-up says what to do."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

import visualcloze_nb
from visualcloze_nb.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()
CITATION = (ROOT / "CITATION.cff").read_text()
SLUG = PROJECT["tool"]["visualcloze_nb"]["slug"]
PINS = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split("\n") if line and line[0] != "#")


def requirements() -> list[Requirement]:
    extras = PROJECT["project"]["optional-dependencies"]
    used = [*PROJECT["project"]["dependencies"]]
    for extra in ("notebooks", "test", "train", "lab", "site", "dev"):
        used += extras[extra]
    texts = dict.fromkeys(used)
    return [Requirement(text) for text in texts if not text.startswith("visualcloze_nb[")]


# Environments -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("requirement", requirements(), ids=lambda requirement: requirement.name)
def test_constraints_meet_what_the_package_asks_for(requirement):
    pins = {canonicalize_name(name): version for name, version in PINS.items()}
    pin = pins[canonicalize_name(requirement.name)]
    assert pin in requirement.specifier, f"{requirement} does not allow {pin}"
    assert any(spec.operator.startswith("<") for spec in requirement.specifier), "give an upper bound"


@pytest.mark.parametrize("name", sorted(PINS))
def test_pins_install_on_the_oldest_python_that_is_promised(name):
    """A pin that needs a later patch release makes pip search without end. `make pins` asks the index for all."""
    try:
        found = metadata(name)
    except PackageNotFoundError:
        pytest.skip("not installed here")
    if found["Version"].partition("+")[0] != PINS[name]:
        pytest.skip("another version is installed here")
    oldest = PROJECT["project"]["requires-python"].removeprefix(">=") + ".0"
    assert oldest in SpecifierSet(found["Requires-Python"] or ""), f"{name} needs Python {found['Requires-Python']}"


def test_constraints_are_exact_and_from_ordinary_sources():
    assert PINS["torch"] == "2.13.0"
    for name, version in PINS.items():
        assert re.fullmatch(r"[\w.]+", version), f"{name}=={version}: no local version"
        assert not re.match("nvidia|cuda|triton", name), f"{name} comes with CUDA's torch only"


def test_conda_and_binder_environments_agree():
    ours = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert ours == yaml.safe_load((ROOT / "binder" / "environment.yml").read_text())
    versions = dict(re.fullmatch(r"([\w-]+)=?([\d.]*)", item).groups() for item in ours["dependencies"])
    assert versions["pytorch-cpu"] == PINS["torch"], "postBuild would fetch a CUDA torch"
    assert versions["python"] >= PROJECT["project"]["requires-python"].removeprefix(">=")
    assert "-c constraints.txt" in (ROOT / "binder" / "postBuild").read_text()


def test_post_build_refuses_another_torch(tmp_path):
    """With constraints.txt asking for a torch that is not installed, pip must not be reached."""
    (tmp_path / "constraints.txt").write_text("torch==0.0.1\n")
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    script = ROOT / "binder" / "postBuild"
    done = subprocess.run([script], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 1
    assert "constraints.txt says 0.0.1: make binder/environment.yml agree" in done.stderr


@pytest.mark.parametrize(
    "quota, threads", [("50000 100000", "1"), ("100000 100000", "1"), ("max 100000", None), (None, None)]
)
def test_binder_start_reads_the_container_s_share(quota, threads, tmp_path):
    if quota:
        (tmp_path / "cpu.max").write_text(f"{quota}\n")
    command = [ROOT / "binder" / "start", "bash", "-c", "echo $OMP_NUM_THREADS; nproc"]
    env = {"PATH": os.environ["PATH"], "CGROUP": str(tmp_path)}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    got, cores = done.stdout.split()
    assert got == (threads or cores)


def test_the_container_installs_what_make_lab_installs():
    text = re.sub(r"^//.*", "", (ROOT / ".devcontainer" / "devcontainer.json").read_text(), flags=re.M)
    container = json.loads(text)
    version = re.fullmatch(r"python:([\d.]+)", container["image"])[1]
    assert f"Programming Language :: Python :: {version}" in PROJECT["project"]["classifiers"]
    command, target, *_ = container["postCreateCommand"].split()
    assert command == "make" and f"\nlab: {target}\n" in MAKEFILE and f"\n{target}:" in MAKEFILE


# Commands ---------------------------------------------------------------------------------------------------


def test_readme_names_commands_that_exist():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M))
    named = set(re.findall(r"(?:`|^)make ([a-z-]+)", README, re.M))
    assert {"demo", "test"} <= named <= targets
    for extras in re.findall(r"\.\[([a-z,]+)\]", README + MAKEFILE):
        assert set(extras.split(",")) <= set(PROJECT["project"]["optional-dependencies"])


def test_ci_runs_what_the_readme_says():
    assert "\nmake test\n" in (ROOT / ".ci" / "run").read_text()
    for script in (".ci/run", "binder/start", "binder/postBuild"):
        assert (ROOT / script).stat().st_mode & stat.S_IXUSR, f"{script} is not executable"


def test_readme_links_carry_the_slug_and_lead_somewhere():
    text = re.sub(r"<!--.*?-->", "", README, flags=re.S)
    for link in re.findall(r"\]\((\S+?)\)", text):
        if "mybinder.org" in link or "colab.research" in link or "github.com" in link:
            assert SLUG in link
        elif "://" not in link:
            assert (ROOT / link).exists(), f"README links to {link}"


@pytest.fixture
def bare(tmp_path):
    """A folder with what make needs and a stand-in for Python."""
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)

    def make(script: str | None):
        fake = tmp_path / "fakepython"
        if script is not None:
            fake.write_text(f"#!/bin/sh\n{script}\n")
            fake.chmod(0o755)
        # Inside `make test` the outer make would speak through these.
        env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
        command = ["make", "demo", f"PYTHON={fake}"]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    return make


@pytest.mark.parametrize(
    "script, said",
    [
        ('case "$*" in *version_info*) exit 1;; --version) echo 3.9.1;; esac', "newer is needed.*3.9.1"),
        ('case "$*" in *ensurepip*) exit 1;; esac', "venv module is missing.*python3-venv"),
    ],
    ids=["too old", "no venv"],
)
def test_make_says_what_is_wrong_with_python(bare, script, said, tmp_path):
    done = bare(script)
    assert done.returncode != 0
    assert re.search(said, done.stdout, re.S)
    assert not (tmp_path / ".venv").exists()


def test_make_says_that_python_is_missing(bare):
    done = bare(None)
    assert done.returncode != 0 and re.search("No .*fakepython here", done.stdout)


def test_a_failed_install_leaves_no_stamp_and_is_tried_again(bare, tmp_path):
    """The stand-in makes an environment whose pip fails once, then works."""
    script = """
    case "$*" in
      *"-m venv"*) mkdir -p .venv/bin
        echo '#!/bin/sh' > .venv/bin/python; chmod +x .venv/bin/python
        echo 'case "$*" in *pip*) [ -e once ] || { touch once; exit 1; };; *demo*) echo filled;; esac' \\
            >> .venv/bin/python;;
    esac"""
    first = bare(script)
    assert first.returncode != 0 and not (tmp_path / ".venv" / "installed").exists()
    second = bare(script)
    assert second.returncode == 0 and "filled" in second.stdout
    third = bare(script)
    assert third.stdout.strip() == "filled", "an installed environment is used as it is"


def test_uv_installs_the_same_where_it_is_named(bare, tmp_path, monkeypatch):
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    for name in (".venv/bin/python", "fakeuv"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} "$*"\n')
        (tmp_path / name).chmod(0o755)
    (venv / "made").touch()
    monkeypatch.setenv("UV", "./fakeuv")
    assert "fakeuv pip install --quiet --python .venv/bin/python -c constraints.txt -e ." in bare("exit 1").stdout


def test_an_edited_pyproject_is_installed_again(bare, tmp_path):
    venv = tmp_path / ".venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").write_text('#!/bin/sh\necho "$*"\n')
    (venv / "bin" / "python").chmod(0o755)
    (venv / "made").touch()
    assert "-m pip install" in bare("exit 1").stdout
    assert "-m pip install" not in bare("exit 1").stdout
    (tmp_path / "pyproject.toml").touch()
    assert "-m pip install" in bare("exit 1").stdout


# Metadata ---------------------------------------------------------------------------------------------------


def test_documents_name_subcommands_that_exist():
    documents = [README, *(path.read_text() for path in (ROOT / "CONTRIBUTING.md", ROOT / "notebooks" / "README.md"))]
    named = {name for text in documents for name in re.findall(r"visualcloze-nb ([a-z]+)", text)}
    assert named and named <= set(COMMANDS)
    assert PROJECT["project"]["scripts"] == {"visualcloze-nb": f"{main.__module__}:{main.__name__}"}


def test_addresses_are_made_from_the_slug():
    home = f"https://github.com/{SLUG}"
    assert all(address.startswith(home) for address in PROJECT["project"]["urls"].values())
    assert PROJECT["project"]["urls"]["Homepage"] == yaml.safe_load(CITATION)["repository-code"] == home


def test_versions_agree():
    assert yaml.safe_load(CITATION)["version"] == visualcloze_nb.__version__
    assert f"## {visualcloze_nb.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_hooks_run_what_make_installs():
    (local,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert local["repo"] == "local", "no addresses: the versions are those of constraints.txt"
    modules = [hook["entry"].removeprefix(".venv/bin/python -m ").split()[0] for hook in local["hooks"]]
    assert modules == ["ruff", "ruff", "tools.build_notebooks"]
    for hook in local["hooks"]:
        done = subprocess.run([sys.executable, *hook["entry"].split()[1:], "--help"], cwd=ROOT, capture_output=True)
        assert hook["language"] == "system" and done.returncode == 0


def test_what_a_reader_installs_brings_no_jupytext():
    """Its extension is for a newer JupyterLab than Binder's, and shows an error there."""
    extras = PROJECT["project"]["optional-dependencies"]
    assert not any("jupytext" in text for extra in ("notebooks", "lab") for text in extras[extra])
    assert any("jupytext" in text for text in extras["test"])


# What is committed ------------------------------------------------------------------------------------------


def test_bundled_files_are_not_ignored_and_not_too_large():
    tiny = ROOT / "visualcloze_nb" / "tiny"
    files = [tiny / "vae" / "diffusion_pytorch_model.safetensors", tiny / "model_index.json"]
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, text=True)
    assert ignored.stdout == "", ".gitignore hides the checkpoint"
    assert sum(file.stat().st_size for file in tiny.rglob("*") if file.is_file()) <= 32e6
