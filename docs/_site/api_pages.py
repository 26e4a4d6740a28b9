"""The API reference: one page for each room, with every public name of its stub `__init__.pyi`, from the docstrings."""

from __future__ import annotations

import importlib
import inspect
import re
from pathlib import Path
from typing import Any

#: The sections of a docstring in Google form.
SECTION = re.compile(r"(Args|Attributes|Returns|Raises|Yields|Example|Examples|Note|Notes):\s*$")

#: Import name, title, sentence and example of each page.
ROOMS = (
    (
        "spinode",
        "spinode: traces, fits and surrogates",
        "The everyday names: a recording, the fit, the surrogate, how far to trust it.",
        "surrogate = spinode.fit(trace)\nscores = spinode.evaluate(surrogate, other)\nspinode.report(surrogate, scores)",
    ),
    (
        "spinode.datasets",
        "spinode.datasets: files, devices and tasks",
        "Sources of recordings and of tasks: measurement files, reference physics, images, streams.",
        "trace = spinode.datasets.read_trace('table.txt', drive='Ku', output='mz')",
    ),
    (
        "spinode.surrogates",
        "spinode.surrogates: models of devices",
        "Memory devices, oscillators, reservoirs, and layers whose weights are devices.",
        "synapse = spinode.surrogates.fit_synapse(traces)\nlayer = spinode.surrogates.DeviceLinear(64, 10, synapse)",
    ),
    (
        "spinode.training",
        "spinode.training: learning task after task",
        "Learners, learning rules and results.",
        "result = spinode.training.train(learner, stream, epochs=5)",
    ),
)


def setup(app: Any) -> None:
    """Register the generator and the clean-up of docstrings with Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("autodoc-process-docstring", _plain, priority=400)  # before Napoleon


def write_pages(app: Any) -> None:
    """Write `auto_api/`: an index and a page for each room; files that have not changed keep their time."""
    folder = Path(app.srcdir) / "auto_api"
    folder.mkdir(exist_ok=True)
    names = [module.replace(".", "-") for module, *_ in ROOMS]
    index = ["API reference", "=============", "", "From the docstrings, by room.", "", ".. code-block:: python", ""]
    index += ["   import spinode", "   help(spinode.fit)  # the same text, in a terminal", "", ".. toctree::", ""]
    _write(folder / "index.rst", "\n".join([*index, *(f"   {name}" for name in names), ""]))
    for name, (module, title, sentence, example) in zip(names, ROOMS, strict=True):
        _write(folder / f"{name}.rst", _page(module, title, sentence, example))


def _page(module: str, title: str, sentence: str, example: str) -> str:
    lines = [title, "=" * len(title), "", sentence, "", ".. code-block:: python", ""]
    lines += [f"   {line}" for line in example.splitlines()] + ["", f".. currentmodule:: {module}", ""]
    package = importlib.import_module(module)
    for name in sorted((each for each in dir(package) if not each.startswith("_")), key=str.casefold):
        member = getattr(package, name)
        if inspect.isclass(member):
            lines += [f".. autoclass:: {module}.{name}", "   :members:", ""]
        elif callable(member):
            lines += [f".. autofunction:: {module}.{name}", ""]
    return "\n".join(lines)


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _plain(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Turn a docstring, which is plain text with backquotes, into the markup that Napoleon expects."""
    text = "\n".join(lines)
    blocks = re.split(r"((?:^[ ]*(?:>>>|\.\.\.).*\n?)+)", text, flags=re.MULTILINE)
    blocks[::2] = [_escape(block) for block in blocks[::2]]  # the others are examples
    lines[:] = _equations_as_blocks("".join(blocks).split("\n"))


def _escape(text: str) -> str:
    """Turn code between backquotes into literals, and escape all other characters that are markup."""
    parts = text.replace("``", "`").split("`")
    if len(parts) % 2 == 0:  # an apostrophe of that shape
        return re.sub(r"([*|`\\])", r"\\\1", text)
    for number, part in enumerate(parts):
        if number % 2:
            after = "\\ " if parts[number + 1][:1].strip("'\")]}>-/\\:.,;!?\n ") else ""
            before = "\\ " if parts[number - 1][-1:].strip("'\"([{<-/:\n ") else ""
            parts[number] = f"{before}``{part}``{after}" if part.strip() == part and part else part
        else:
            parts[number] = re.sub(r"([*|\\]|_(?=\W|$))", r"\\\1", part)
    return "".join(parts)


def _equations_as_blocks(lines: list[str]) -> list[str]:
    """Set indented lines before the first section as they are: they are equations and tables."""
    found: list[str] = []
    inside = False
    for number, line in enumerate(lines):
        if SECTION.match(line):
            return [*found, *([""] if inside else []), *lines[number:]]
        indented = line.startswith("  ")
        if indented and not inside:
            found += ["", "::", ""]
        elif inside and line and not indented:
            found.append("")
        inside = indented or (inside and not line)
        found.append(line.replace("\\ ", "").replace("\\", "").replace("``", "`") if indented else line)
    return found
