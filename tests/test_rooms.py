"""The house: which modules exist, and which may import which. All imports are read, those inside functions too."""

import ast
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from conftest import HEAVY

import visualcloze_nb

PACKAGE = "visualcloze_nb"
ROOT = Path(visualcloze_nb.__file__).parent
TOOLS = ROOT.parent / "tools"
MODULES = {
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
# From bottom to top: a room imports itself and what stands above it in this list, nothing below.
LAYERS = (
    ("errors", "settings", "__init__"),
    ("data",),
    ("photos", "drawing", "sampling"),
    ("annotate",),
    ("tasks",),
    ("toyworld", "pipelines"),
    ("loading",),
    ("widgets",),
    ("lessons",),
    ("training",),
    ("evaluation",),
    ("cli",),
    ("__main__",),
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
NO_TORCH = ("data", "photos", "annotate", "tasks", "widgets")
MODELS = ("sampling", "pipelines", "loading", "training", "evaluation")


def room(module):
    """The first part of a module's name inside the package; `__init__` for the package itself."""
    return module.split(".")[1] if "." in module else "__init__"


def for_types(node):
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def nodes(tree, inside_functions):
    """All nodes but those that only a type checker reads, and, unless wanted, those inside functions."""
    for child in ast.iter_child_nodes(tree):
        if for_types(child) or (isinstance(child, ast.FunctionDef | ast.Lambda) and not inside_functions):
            continue
        yield child
        yield from nodes(child, inside_functions)


def names(module, inside_functions=True):
    """What a module imports, as full names."""
    for node in nodes(ast.parse(MODULES[module].read_text()), inside_functions):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import; the package's are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def imports(module, inside_functions=True):
    """The package's modules that a module imports; a public name of the package counts as its home."""
    found = set()
    for name in names(module, inside_functions):
        if name.split(".")[0] == PACKAGE:
            public = name.removeprefix(f"{PACKAGE}.")
            if public in visualcloze_nb._MODULES:
                name = f"{PACKAGE}.{visualcloze_nb._MODULES[public]}"
            while name not in MODULES:
                name = name.rpartition(".")[0]
            found.add(name)
    return found - {module}


def parents(module):
    """The packages whose `__init__` Python runs before the module, the root's excepted: it imports nothing."""
    parts = module.split(".")
    return {".".join(parts[:n]) for n in range(2, len(parts))}


def test_the_root_holds_four_modules_at_most():
    roots = {path.stem for path in ROOT.glob("*.py")} - {"__init__", "__main__"}
    assert len(roots) <= 4, sorted(roots)


def test_every_room_has_a_layer():
    assert {room(module) for module in MODULES} == set(LAYER)


@pytest.mark.parametrize("inside_functions", [False, True], ids=["at import", "in functions"])
def test_no_circle_among_modules(inside_functions):
    graph = {}
    for module in MODULES:
        found = imports(module, inside_functions)
        if not inside_functions:
            found = found | {package for one in found for package in parents(one) - parents(module) - {module}}
        graph[module] = found
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(reversed(error.args[1])))


def test_imports_point_downwards():
    wrong = [
        f"{module} imports {found}"
        for module in MODULES
        for found in sorted(imports(module))
        if room(module) != room(found) and LAYER[room(found)] >= LAYER[room(module)]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_command_line_imports_training_and_evaluation():
    above = {"training": {"cli"}, "evaluation": {"cli"}}
    wrong = [
        f"{module} imports {found}"
        for module in MODULES
        for found in sorted(imports(module))
        if room(found) in above and room(module) not in {room(found), *above[room(found)]}
    ]
    assert not wrong, "\n".join(wrong)


def test_the_toy_world_knows_nothing_of_models():
    modules = [module for module in MODULES if room(module) == "toyworld"]
    wrong = [f"{module}: {found}" for module in modules for found in imports(module) if room(found) in MODELS]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", NO_TORCH)
def test_these_rooms_import_no_torch_at_module_level(name):
    """Followed through all the modules that they import."""
    todo, seen = [module for module in MODULES if room(module) == name], set()
    while todo:
        module = todo.pop()
        if module not in seen:
            seen.add(module)
            todo += imports(module, inside_functions=False)
            todo += [package for package in parents(module) if package in MODULES]
    read = ((module, found) for module in sorted(seen) for found in names(module, inside_functions=False))
    wrong = [f"{module}: {found}" for module, found in read if found.split(".")[0] in HEAVY]
    assert not wrong, "\n".join(wrong)


def test_no_module_is_longer_than_300_lines():
    files = [*ROOT.rglob("*.py"), *ROOT.rglob("*.js"), *TOOLS.rglob("*.py")]
    long = {path.name: count for path in files if (count := len(path.read_text().splitlines())) > 300}
    assert not long, long
