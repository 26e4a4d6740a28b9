"""The layout: four dependency rules, the mapping of four folders onto one package, and what importing it does."""

from __future__ import annotations

import ast
import doctest
import importlib
import importlib.util
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

import spinode

ROOMS = ("datasets", "surrogates", "training")
FOLDERS = {"spinode": "spinode", **{room: f"spinode.{room}" for room in ROOMS}}

#: Only these files of spinode/ may import the rooms: they compose them.
COMPOSING = ("spinode/__init__.pyi", "spinode/__init__.py", "spinode/__main__.py", "spinode/cli/", "spinode/experiments/")

#: Most lines of a source file.
MAX_LINES = 450

Sources = Mapping[str, str]


def python(code: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run code as a user would type it: the working directory comes first on the path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    return subprocess.run([sys.executable, "-c", code], cwd=cwd, env=environment, capture_output=True, text=True)


def module_name(file: str) -> str:
    """Return the import name of a file given relative to the root of the checkout."""
    path = PurePosixPath(file)
    parts = [FOLDERS[path.parts[0]], *path.with_suffix("").parts[1:]]
    return ".".join(parts).removesuffix(".__init__")


def read_sources(root: Path) -> dict[str, str]:
    """Return the Python sources of the four folders, and the stubs of their public names, by path."""
    files = [
        file for folder in FOLDERS for ending in ("*.py", "__init__.pyi") for file in sorted((root / folder).rglob(ending))
    ]
    return {file.relative_to(root).as_posix(): file.read_text() for file in files}


# The imports of a file


def imports(file: str, source: str, modules: set[str]) -> Iterator[tuple[str, str | None]]:
    """Yield (module, name) of everything that a file imports, lazily or for type checking only; None for a whole module."""
    package = module_name(file) if PurePosixPath(file).stem == "__init__" else module_name(file).rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((name.name, None) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
            for name in node.names:
                inner = f"{base}.{name.name}"
                yield (inner, None) if inner in modules else (base, name.name)


def is_below(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def modules_of(sources: Sources) -> set[str]:
    return {module_name(file) for file in sources}


# The four rules: each returns its violations as sentences


def rooms_importing_rooms(sources: Sources) -> list[str]:
    """Rule 1: datasets, surrogates and training do not import each other, nor a package by a bare folder name."""
    modules, found = modules_of(sources), []
    for file, source in sources.items():
        own = file.partition("/")[0]
        closed = (*ROOMS, *(f"spinode.{room}" for room in ROOMS if room != own and own != "spinode"))
        for module, name in imports(file, source, modules):
            target = f"{module}.{name}" if name and module == "spinode" else module
            if is_below(target, closed):
                found.append(f"{file} imports {target}")
    return found


def ground_importing_rooms(sources: Sources) -> list[str]:
    """Rule 2: spinode/ imports no room, except where it composes them; and only its entry points import the command line."""
    modules, found = modules_of(sources), []
    for file, source in sources.items():
        if file.startswith(COMPOSING):
            continue
        closed = ("spinode.cli", "spinode.experiments")
        if file.startswith("spinode/"):
            closed += tuple(f"spinode.{room}" for room in ROOMS)
        for module, name in imports(file, source, modules):
            target = f"{module}.{name}" if name and module == "spinode" else module
            if is_below(target, closed):
                found.append(f"{file} imports {target}")
    return found


def circles(sources: Sources) -> list[str]:
    """Rule 3: no circle of files, lazy and type-only imports included."""
    modules = modules_of(sources)
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for file, source in sources.items():
        graph[module_name(file)] |= {module for module, _ in imports(file, source, modules) if module in modules}
    reached: dict[str, set[str]] = {}
    for start in sorted(graph):
        seen: set[str] = set()
        stack = [start]
        while stack:
            for target in graph[stack.pop()] - seen:
                seen.add(target)
                stack.append(target)
        reached[start] = seen
    groups = {tuple(sorted(m for m in reached[start] if start in reached[m])) for start in graph if start in reached[start]}
    return [" <-> ".join(group) for group in sorted(groups)]


def private_names_across_folders(sources: Sources) -> list[str]:
    """Rule 4: a name with a leading underscore is used in its own folder only, whether imported or reached through a module."""
    modules, found = modules_of(sources), []
    for file, source in sources.items():
        folder = module_name(file) if PurePosixPath(file).stem == "__init__" else module_name(file).rpartition(".")[0]

        def own(module: str, folder: str = folder) -> bool:
            return module == folder or module.rpartition(".")[0] == folder

        aliases: dict[str, str] = {}
        package = folder
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.ImportFrom):
                base = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                for name in node.names:
                    inner = f"{base}.{name.name}"
                    if inner in modules:
                        aliases[name.asname or name.name] = inner
                    is_private = name.name.startswith("_") and not name.name.startswith("__")
                    if is_private and is_below(base, ("spinode",)) and not own(inner if inner in modules else base):
                        found.append(f"{file} imports {name.name} of {base}")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases:
                is_private = node.attr.startswith("_") and not node.attr.startswith("__")
                if is_private and not own(aliases[node.value.id]):
                    found.append(f"{file} uses {node.attr} of {aliases[node.value.id]}")
    return found


RULES = (rooms_importing_rooms, ground_importing_rooms, circles, private_names_across_folders)

#: A small tree that keeps every rule; each violation below is planted in it.
CLEAN = {
    "spinode/errors.py": "class SpinodeError(Exception): ...",
    "spinode/traces/trace.py": "from ..errors import SpinodeError\n_HIDDEN = 1",
    "spinode/traces/resample.py": "from .trace import _HIDDEN",
    "spinode/cli/fit.py": "def main():\n    from ..surrogates.fit import fit",
    "spinode/__init__.pyi": "from .surrogates.fit import fit as fit",
    "spinode/__main__.py": "from .cli.fit import main",
    "spinode/experiments/compose.py": "from .. import datasets, training",
    "datasets/read.py": "from ..traces.trace import Trace\nimport numpy\nimport spinode.traces.trace",
    "datasets/readers/csv.py": "from ...errors import SpinodeError",
    "datasets/__init__.py": "from ..errors import SpinodeError as _SpinodeError",
    "surrogates/fit.py": "from ..traces import trace",
    "training/run.py": "from ..errors import SpinodeError",
    "training/learn.py": "",
}


def test_the_clean_tree_breaks_no_rule():
    assert {rule.__name__: rule(CLEAN) for rule in RULES} == {rule.__name__: [] for rule in RULES}


@pytest.mark.parametrize(
    ("rule", "file", "source"),
    [
        (rooms_importing_rooms, "datasets/read.py", "from ..surrogates import zoo"),
        (rooms_importing_rooms, "datasets/read.py", "from .. import training"),
        (rooms_importing_rooms, "datasets/readers/csv.py", "from ...training.run import train"),
        (rooms_importing_rooms, "training/run.py", "import spinode.surrogates.zoo as zoo"),
        (rooms_importing_rooms, "training/run.py", "def late():\n    from spinode import datasets"),
        (rooms_importing_rooms, "training/run.py", "if TYPE_CHECKING:\n    from ..surrogates.fit import fit"),
        (rooms_importing_rooms, "surrogates/fit.py", "import datasets"),
        (rooms_importing_rooms, "spinode/errors.py", "import surrogates.fit"),
        (ground_importing_rooms, "spinode/traces/trace.py", "from ..datasets.read import read_trace"),
        (ground_importing_rooms, "spinode/traces/trace.py", "from .. import training"),
        (ground_importing_rooms, "spinode/traces/trace.py", "def late():\n    from ..surrogates.fit import fit"),
        (ground_importing_rooms, "spinode/traces/trace.py", "if TYPE_CHECKING:\n    from ..surrogates.fit import fit"),
        (ground_importing_rooms, "spinode/errors.py", "from .cli.fit import main"),
        (ground_importing_rooms, "training/run.py", "from ..experiments.compose import run"),
        (circles, "spinode/errors.py", "from .traces.trace import Trace"),
        (circles, "spinode/errors.py", "def late():\n    from .traces import trace"),
        (circles, "spinode/errors.py", "if TYPE_CHECKING:\n    from .traces.trace import Trace"),
        (circles, "spinode/traces/trace.py", "from .resample import resample"),
        (private_names_across_folders, "datasets/read.py", "from ..traces.trace import _HIDDEN"),
        (private_names_across_folders, "datasets/readers/csv.py", "from ..read import _rows"),
        (private_names_across_folders, "datasets/read.py", "from ..traces import trace\nx = trace._HIDDEN"),
        (private_names_across_folders, "datasets/read.py", "def late():\n    from spinode.traces.trace import _HIDDEN"),
    ],
)
def test_a_planted_violation_is_found(rule, file, source):
    assert rule({**CLEAN, file: source})


@pytest.mark.parametrize("rule", RULES)
def test_the_package_keeps_the_rule(root, rule):
    sources = read_sources(root)
    assert len(sources) > 200
    assert rule(sources) == []


# Sizes and names


def test_no_file_is_long(root):
    files = [file for folder in FOLDERS for ending in ("*.py", "*.cpp", "*.hpp") for file in (root / folder).rglob(ending)]
    lengths = {file.relative_to(root).as_posix(): len(file.read_text().splitlines()) for file in files}
    assert {file: length for file, length in lengths.items() if length > MAX_LINES} == {}


def shadowed(sources: Sources) -> list[str]:
    """Public names of a package that are also names of modules in its folder: which one a user gets depends on the imports."""
    found = []
    for file, source in sources.items():
        if PurePosixPath(file).stem != "__init__":
            continue
        folder = PurePosixPath(file).parent
        modules = {PurePosixPath(other).stem for other in sources if PurePosixPath(other).parent == folder}
        modules |= {PurePosixPath(other).parent.name for other in sources if PurePosixPath(other).parent.parent == folder}
        for node in ast.parse(source).body:
            if isinstance(node, ast.ImportFrom) and node.module:  # `from . import zoo` shows the module itself
                found += [f"{file}: {name.asname or name.name}" for name in node.names if (name.asname or name.name) in modules]
    return found


def test_no_module_has_the_name_of_a_public_function(root):
    planted = {"spinode/__init__.pyi": "from .fit import fit as fit", "spinode/fit.py": "def fit(): ..."}
    assert shadowed(planted) == ["spinode/__init__.pyi: fit"]
    assert shadowed(read_sources(root)) == []
    assert inspect.isfunction(spinode.fit)


# The mapping


def test_every_source_file_is_importable_under_its_mapped_name(root):
    files = [file for file in read_sources(root) if file.endswith(".py")]
    assert [file for file in files if importlib.util.find_spec(module_name(file)) is None] == []


def test_every_folder_with_sources_is_a_package(root):
    """A folder without `__init__.py` works from a checkout and may be left out by a type checker or a doctest run."""
    folders = {PurePosixPath(file).parent for file in read_sources(root)}
    assert {str(folder) for folder in folders if not (root / folder / "__init__.py").exists()} == set()


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
