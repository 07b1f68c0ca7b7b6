"""The public API: every name resolves, editors see it, and importing stays cheap."""

import ast
import collections
import re
import subprocess
import sys
import tomllib
import warnings
from importlib import import_module
from pathlib import Path

import pytest
from conftest import HEAVY

import visualcloze_nb
from visualcloze_nb import errors

ROOT = Path(visualcloze_nb.__file__).parent


def typed_imports():
    """{name: (module, its name there)} of the imports under `if TYPE_CHECKING:`."""
    tree = ast.parse((ROOT / "__init__.py").read_text())
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {
        alias.asname or alias.name: (node.module, alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_the_public_names_are_the_ones_that_editors_see():
    assert set(visualcloze_nb.__all__) == {*typed_imports(), "__version__"}
    assert sorted(visualcloze_nb.__all__) == visualcloze_nb.__all__
    in_errors = {name for name in typed_imports() if hasattr(errors, name)}
    assert set(visualcloze_nb._MODULES) == set(typed_imports()) - in_errors
    assert set(visualcloze_nb.__all__) <= set(dir(visualcloze_nb))


@pytest.mark.parametrize(
    ("name", "home"), typed_imports().items(), ids=lambda value: value if str(value) == value else ""
)
def test_every_public_name_resolves_to_what_editors_see(name, home):
    module, attribute = home
    vars(visualcloze_nb).pop(name, None)
    seen = import_module(f"{module}.{attribute}") if name == "show" else getattr(import_module(module), attribute)
    assert getattr(visualcloze_nb, name) is seen
    if module != "visualcloze_nb.errors":
        assert module == f"visualcloze_nb.{visualcloze_nb._MODULES[name]}" or name == "show"


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = visualcloze_nb.nonsense


def test_all_errors_and_warnings_are_public_and_have_one_base():
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(classes) <= set(visualcloze_nb.__all__)
    for name, value in classes.items():
        base = errors.VisualClozeWarning if issubclass(value, Warning) else errors.VisualClozeError
        assert issubclass(value, base), name
    for value in (errors.GridError, errors.ImageError, errors.ProvenanceError):
        assert issubclass(value, ValueError)
    assert issubclass(errors.ModelError, RuntimeError)
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and path.name != "errors.py":
                bases = " ".join(ast.unparse(base) for base in node.bases)
                assert not re.search(r"(Error|Exception|Warning)\b", bases), f"{path.name}: {node.name}"


CAUGHT_INSIDE = {"checkpoint_files.py": 2}  # bare ValueErrors that the same module turns into a ModelError


def test_only_the_packages_errors_are_raised():
    found = collections.Counter(
        path.name
        for path in ROOT.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)
        if ast.unparse(node.exc.func) in ("ValueError", "RuntimeError", "Exception")
    )
    assert found == CAUGHT_INSIDE


@pytest.mark.parametrize("name", [name for name in vars(errors) if name.endswith("Warning")])
def test_one_handler_silences_all_warnings(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", visualcloze_nb.VisualClozeWarning)
        warnings.warn("row 1", getattr(errors, name), stacklevel=1)


def test_the_wheel_says_that_it_is_typed():
    config = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())
    assert (ROOT / "py.typed").read_bytes() == b""
    assert config["build-system"]["build-backend"] == "hatchling.build"  # packs every file that git keeps
    assert "exclude" not in str(config["tool"]["hatch"])


BARE = "import visualcloze_nb"
GRID = """from PIL import Image; from visualcloze_nb import Grid, Result
grid = Grid([[Image.new('RGB', (8, 8)), None]]); grid._repr_png_(); grid.layout(64)
Result([grid.query[0]], [grid.query[0]], grid)._repr_png_()"""
BUILDER = "from visualcloze_nb import GridBuilder; GridBuilder()"


@pytest.mark.parametrize(
    ("code", "absent"),
    [(BARE, ("numpy", "PIL", "ipywidgets")), (GRID, ("ipywidgets",)), (BUILDER, ())],
    ids=["bare", "Grid", "GridBuilder"],
)
def test_nothing_heavy_is_imported(code, absent):
    code = f"{code}\nimport sys; print([name for name in {(*HEAVY, 'matplotlib', *absent)!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bare_import_loads_nothing_else_of_the_package():
    code = f"{BARE}; import sys; print([name for name in sys.modules if name.startswith('visualcloze_nb')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['visualcloze_nb']"
