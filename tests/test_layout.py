"""The dependency rule, the mapping of four folders onto one package, and what importing it does."""

import ast
import doctest
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import spinode

ROOMS = ("datasets", "surrogates", "training")
FOLDERS = {"spinode": "spinode", **{room: f"spinode.{room}" for room in ROOMS}}


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code as a user would type it: the working directory comes first on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)


def module_name(file: Path) -> str:
    """Import name of a file given relative to the root of the checkout."""
    parts = [FOLDERS[file.parts[0]], *file.with_suffix("").parts[1:]]
    return ".".join(parts).removesuffix(".__init__")


def sources(root: Path) -> list[Path]:
    return sorted(file.relative_to(root) for folder in FOLDERS for file in (root / folder).rglob("*.py"))


# The dependency rule


def imported(source: str, module: str, is_package: bool) -> set[str]:
    """Absolute names of everything that a module imports, wherever in it the import stands."""
    package = module if is_package else module.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found.update(name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            found.update({base, *(f"{base}.{name.name}" for name in node.names)})
    return found


def violations(source: str, file: Path) -> list[str]:
    """Imports that the rule forbids to this file: rooms meet in `spinode`, and only the command line composes them."""
    module = module_name(file)
    if module in ("spinode.cli", "spinode.__main__") or module.startswith("spinode.cli."):
        return []
    # A bare `import datasets` is forbidden everywhere: it would be a second copy of ours, or somebody else's.
    closed = {*ROOMS, "spinode.cli", *(f"spinode.{room}" for room in ROOMS if file.parts[0] != room)}
    names = imported(source, module, is_package=file.name == "__init__.py")
    return sorted(name for name in names if any(name == shut or name.startswith(shut + ".") for shut in closed))


@pytest.mark.parametrize(
    ("file", "source", "caught"),
    [
        ("datasets/read.py", "from ..surrogates import zoo", True),
        ("datasets/read.py", "from .. import training", True),
        ("datasets/readers/a.py", "from ...training.trainer import Trainer", True),
        ("datasets/__init__.py", "from ..training import Trainer", True),
        ("training/bnn.py", "import spinode.surrogates.zoo as zoo", True),
        ("training/bnn.py", "def late():\n    from spinode import datasets", True),
        ("surrogates/zoo.py", "import datasets", True),
        ("spinode/fit.py", "from .datasets import read_trace", True),
        ("spinode/__init__.py", "from . import training", True),
        ("spinode/fit.py", "from .cli import main", True),
        ("spinode/kernels/a.py", "from ..datasets.read import read_trace", True),
        ("spinode/cli.py", "from .datasets import read_trace", False),
        ("spinode/__main__.py", "from .cli import main", False),
        ("datasets/read.py", "from ..trace import Trace\nfrom .readers import all\nimport numpy", False),
        ("datasets/readers/a.py", "from ..read import x\nfrom ...units import y\nimport spinode.datasets.read", False),
        ("spinode/fit.py", "from .trace import datasets", False),
    ],
)
def test_the_rule_catches_every_way_to_break_it(file, source, caught):
    assert bool(violations(source, Path(file))) is caught


def test_rooms_do_not_import_each_other(root):
    found = {str(file): violations((root / file).read_text(), file) for file in sources(root)}
    assert len(found) > 5
    assert {file: names for file, names in found.items() if names} == {}


# The mapping


def test_every_source_file_is_importable_under_its_mapped_name(root):
    assert [str(file) for file in sources(root) if importlib.util.find_spec(module_name(file)) is None] == []


def test_every_folder_with_sources_is_a_package(root):
    """A folder without `__init__.py` works from a checkout and may be left out by a type checker or a doctest run."""
    assert {str(file.parent) for file in sources(root) if not (root / file.parent / "__init__.py").exists()} == set()


def test_build_maps_the_four_folders(root):
    tomllib = pytest.importorskip("tomllib", reason="Python 3.10 cannot read TOML by itself")
    settings = tomllib.loads((root / "pyproject.toml").read_text())
    mapping = settings["tool"]["scikit-build"]["wheel"]["packages"]
    assert {folder: name.replace("/", ".") for name, folder in mapping.items()} == FOLDERS
    assert set(settings["tool"]["coverage"]["run"]["source"]) == set(FOLDERS)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imported_by_its_folder_name_fails_loudly(root, room):
    run = python(f"import {room}", cwd=root)
    assert run.returncode != 0
    assert "relative import" in run.stderr


# The imported package


def test_importing_is_silent_and_leaves_the_heavy_parts_for_later(tmp_path):
    rooms = ", ".join(f"spinode.{room}" for room in ROOMS)
    heavy = {"lightning", "pytorch_lightning", "matplotlib", "pint", "pooch", "torchdiffeq"}
    run = python(f"import sys, spinode, {rooms}\nassert not {heavy} & set(sys.modules), set(sys.modules)", cwd=tmp_path)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_version_is_the_installed_one():
    assert spinode.__version__ == version("spinode")


def test_package_is_marked_as_typed():
    assert (Path(spinode.__file__).parent / "py.typed").exists()


@pytest.mark.parametrize("package", FOLDERS.values())
def test_public_names_are_ours_and_documented(package):
    module = importlib.import_module(package)
    for name in getattr(module, "__all__", None) or [name for name in dir(module) if not name.startswith("_")]:
        value = getattr(module, name)
        if inspect.ismodule(value):
            assert value.__name__.startswith("spinode."), f"{package} shows {name}, which is not ours"
        elif callable(value):
            assert value.__module__.startswith("spinode."), f"{package} shows {name}, which is not ours"
            assert value.__doc__, f"{package}.{name} has no docstring"


def test_runs_as_a_module(tmp_path):
    run = subprocess.run([sys.executable, "-m", "spinode", "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("usage: spinode")


# Doctests: `pytest --doctest-modules datasets` cannot import the rooms, which are mapped


def modules() -> list[str]:
    """All modules of the four packages; an editable installation does not list the rooms below `spinode`."""
    found = set()
    for package in FOLDERS.values():
        folder = Path(importlib.util.find_spec(package).origin).parent
        for file in folder.rglob("*.py"):
            name = ".".join([package, *file.relative_to(folder).with_suffix("").parts])
            found.add(name.removesuffix(".__init__"))
    return sorted(found - {"spinode.__main__"})


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE).failed == 0
