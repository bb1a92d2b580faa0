"""Who may import what, read from the source: rooms look one way, and few of them know an array library."""

import ast
import importlib
import inspect
from pathlib import Path

import pytest

import xpnet

ROOT = Path(xpnet.__file__).parent
FILES = {str(path.relative_to(ROOT)): path for path in sorted(ROOT.rglob("*.py"))}

LIBRARIES = {"cupy", "cupyx", "cudnn", "torch", "numba", "llvmlite", "array_api_compat", "array_api_strict", "jax"}
HOST_ROOMS = {"backend", "files", "data", "training", "diagnostics", "plots", "interchange", "distributed"}

LEVELS = [
    {"_names", "_typing"},
    {"backend"},
    {"files", "functional", "initializers", "penalties", "schedules"},
    {"layers", "losses"},
    {"models", "optimizers"},
    {"data", "distributed"},
    {"training"},
    {"diagnostics", "interchange", "plots"},
]
"""A room imports from the rooms above it in this list, and from itself."""


def room(file):
    """The first part of a file's name below the package: a folder, or a module."""
    return file.partition("/")[0].removesuffix(".py")


def imported(file):
    """The modules that a file names in its imports, those inside functions among them: full dotted names."""
    for node in ast.walk(ast.parse(FILES[file].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield node.module
            if node.module == "xpnet":
                yield from (f"xpnet.{name.name}" for name in node.names)


def libraries_of(file):
    return {module.partition(".")[0] for module in imported(file)}


def rooms_of(file):
    return {module.split(".")[1] for module in imported(file) if module.startswith("xpnet.")}


def level(name):
    return next(number for number, rooms in enumerate(LEVELS) if name in rooms)


INSIDE = [file for file in FILES if file not in ("__init__.py", "__main__.py")]


def test_every_room_has_its_level():
    assert {room(file) for file in INSIDE} == set().union(*LEVELS)


@pytest.mark.parametrize("file", [file for file in FILES if room(file) != "backend"])
def test_only_the_backend_room_names_an_array_library(file):
    assert not libraries_of(file) & LIBRARIES


@pytest.mark.parametrize("file", [file for file in FILES if room(file) != "distributed"])
def test_only_the_room_for_ranks_names_mpi(file):
    assert "mpi4py" not in libraries_of(file)


@pytest.mark.parametrize("file", [file for file in FILES if room(file) not in HOST_ROOMS])
def test_rooms_that_compute_do_not_import_numpy(file):
    assert "numpy" not in libraries_of(file)


@pytest.mark.parametrize("file", INSIDE)
def test_rooms_look_one_way(file):
    own = room(file)
    for other in rooms_of(file) - {own}:
        assert level(other) < level(own), f"{file} imports xpnet.{other}"


@pytest.mark.parametrize("file", [file for file in FILES if file != "__init__.py" and room(file) != "plots"])
def test_nothing_imports_the_plots(file):
    assert "plots" not in rooms_of(file)


@pytest.mark.parametrize("file", INSIDE)
def test_another_room_is_entered_by_its_door(file):
    """What a room offers stands in its `__init__`; its private modules are its own."""
    for module in imported(file):
        parts = module.split(".")
        if parts[0] == "xpnet" and len(parts) > 2:
            assert parts[1] == room(file), f"{file} imports {module}"


def test_the_checks_see_what_they_look_for(tmp_path, monkeypatch):
    bad = tmp_path / "bad.py"
    inside = ["import torch.nn", "from mpi4py import MPI", "from xpnet import plots", "import xpnet.data._idx"]
    bad.write_text("import numpy\n" + "\n    ".join(["def function():", *inside]))
    monkeypatch.setitem(FILES, "layers/bad.py", bad)
    for test in (
        test_only_the_backend_room_names_an_array_library,
        test_only_the_room_for_ranks_names_mpi,
        test_rooms_that_compute_do_not_import_numpy,
        test_rooms_look_one_way,
        test_nothing_imports_the_plots,
        test_another_room_is_entered_by_its_door,
    ):
        with pytest.raises(AssertionError):
            test("layers/bad.py")


def public(*rooms):
    """Each public name of these rooms with what it stands for."""
    for name in rooms:
        module = importlib.import_module(f"xpnet.{name}" if name else "xpnet")
        own = [n for n, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        for each in getattr(module, "__all__", [n for n in own if not n.startswith("_")]):
            value = getattr(module, each)
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__.startswith("xpnet"):
                yield pytest.param(value, id=f"{name}.{each}")


ROOMS = sorted({room(file) for file in INSIDE} - {"_typing"})

# Layers of one function show their example there; errors, checks and what only the library calls have none to show.
WITHOUT_EXAMPLES = {
    *("check_eps", "check_floats", "check_gradient", "gradient_check", "check_rate", "check_response"),
    *("Optimizer", "NonFiniteError", "seed_masks"),
}
CONTAINERS = {"Sequential", "Residual", "Concat", "Frozen"}


@pytest.mark.parametrize("value", list(public("", *ROOMS)))
def test_every_public_name_has_a_docstring(value):
    assert value.__doc__
    assert value.__doc__.strip()


@pytest.mark.parametrize(
    "value",
    [
        param
        for param in public("functional", "losses", "initializers", "penalties", "schedules", "optimizers", "layers")
        if param.values[0].__name__ not in WITHOUT_EXAMPLES
        and (not param.id.startswith("layers.") or param.values[0].__name__ in CONTAINERS)
    ],
)
def test_functions_and_rules_show_a_runnable_example(value):
    section = value.__doc__.partition("Examples\n")[2]
    assert ">>> " in section


@pytest.mark.parametrize("file", [f for f in FILES if f.endswith("__init__.py") and f != "__init__.py"])
def test_a_rooms_door_lists_what_it_offers_one_by_one(file):
    module = importlib.import_module("xpnet." + file.removesuffix("/__init__.py").replace("/", "."))
    assert len(module.__all__) == len(set(module.__all__))
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_all_rooms_are_reached_from_the_package():
    for name in set(ROOMS) - {"backend"}:
        assert getattr(xpnet, name).__name__ == f"xpnet.{name}"
