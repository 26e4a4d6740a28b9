"""The documentation site: its scripts run, its checks find what is planted, its pages begin with a picture or an example."""

from __future__ import annotations

import importlib.util
import re
import runpy
import subprocess
import sys

import pytest

from spinode.cli import commands

#: Lines of a page that a reader sees first.
FIRST_SCREEN = 20

#: A tutorial of two minutes, which the build of the site runs as well.
SLOWEST = ("1_file_to_model",)


def scripts(folder: str):
    from pathlib import Path

    return sorted((Path(__file__).parents[1] / "docs" / folder).glob("*.py"))


@pytest.fixture(scope="module")
def links(root):
    path = root / "docs" / "_site" / "links.py"
    if not path.exists():
        pytest.skip("the documentation is not in this checkout")
    spec = importlib.util.spec_from_file_location("site_links", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(path, tmp_path, monkeypatch):
    """Run a script in an empty folder, and return the names of the files that it leaves."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(path), run_name="__main__")
    return {each.suffix or "folder" for each in tmp_path.iterdir()}


@pytest.mark.slow
@pytest.mark.parametrize(
    "path",
    [pytest.param(path, marks=[pytest.mark.long] if path.stem in SLOWEST else []) for path in scripts("tutorials")],
    ids=lambda path: path.stem,
)
def test_tutorials_end_with_a_picture_and_a_file_to_keep(path, tmp_path):
    # In a process of its own: the last one registers a device, a reader and a rule.
    ended = subprocess.run([sys.executable, str(path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    left = {each.suffix or "folder" for each in tmp_path.iterdir()}
    assert ".png" in left
    assert left - {".png"}
    assert ended.stdout


@pytest.mark.parametrize("path", scripts("gallery"), ids=lambda path: path.stem)
def test_pictures_of_the_gallery_are_drawn(path, tmp_path, monkeypatch):
    assert run(path, tmp_path, monkeypatch) == {".png"}


def test_pages_begin_with_a_picture_or_an_example(root):
    pages = [*(root / "docs").glob("*.md"), *(root / "docs" / "results").glob("*.md")]
    if not pages:
        pytest.skip("the documentation is not in this checkout")
    exempt = {"README.md", "decisions.md"}  # the first is the table of pages, the second has reasons only
    bare = [
        page.name
        for page in pages
        if page.name not in exempt
        and page.parent.name != "results"  # tables of numbers, with their commands
        and not re.search(r"```|!\[", "\n".join(page.read_text().splitlines()[:FIRST_SCREEN]))
    ]
    assert bare in ([], ["formats.md"])  # a table of formats with its names


def test_commands_in_pages_exist(root):
    for page in (root / "docs").glob("*.md"):
        for name in re.findall(r"^spinode +([a-z][a-z-]*)", page.read_text(), re.MULTILINE):
            assert name in commands.names(), f"{page.name}: spinode {name}"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ('<a href="b.html">b</a><a href="#here">x</a><p id="here">', None),
        ('<a href="https://example.org">followed, not loaded</a>', None),
        ('<a href="c.html">c</a>', "a.html links to c.html, which does not exist"),
        ('<img src="c.png">', "a.html links to c.png, which does not exist"),
        ('<a href="b.html#there">b</a>', "a.html links to b.html#there, which has no such anchor"),
        ('<script src="https://example.org/x.js"></script>', "a.html loads https://example.org/x.js from the network"),
    ],
)
def test_the_check_of_links_finds_what_is_planted(links, tmp_path, body, problem):
    (tmp_path / "a.html").write_text(f"<html>{body}</html>")
    (tmp_path / "b.html").write_text("<html></html>")
    assert links.problems(tmp_path) == ([] if problem is None else [problem])


def test_the_reference_lists_every_public_name(root, monkeypatch):
    folder = root / "docs"
    if not (folder / "_site").exists():
        pytest.skip("the documentation is not in this checkout")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    pages = importlib.import_module("_site.api_pages")
    for module, *texts in pages.ROOMS:
        package = importlib.import_module(module)
        text = pages._page(module, *texts)
        names = {name for name in dir(package) if callable(getattr(package, name)) and not name.startswith("_")}
        assert names == set(re.findall(rf":: {re.escape(module)}\.(\w+)$", text, re.MULTILINE))


def test_docstrings_become_markup_without_losing_text(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "docs"))
    pages = pytest.importorskip("_site.api_pages")
    lines = [
        "Return |m x H|^2 and `a_`, of `size`^2 by **options.",
        "  x' = f(x, u) * 2",
        "and so on.",
        "",
        "Args:",
        "    x: a",
    ]
    pages._plain(None, "function", "f", None, None, lines)
    text = "\n".join(lines)
    assert r"\|m x H\|^2" in text
    assert r"``size``\ ^2" in text
    assert "\n::\n\n  x' = f(x, u) * 2\n\nand so on." in text
    assert text.endswith("Args:\n    x: a")
