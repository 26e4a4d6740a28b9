"""The README: short, its links lead somewhere, and its blocks run as printed."""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
import subprocess
import sys

import pytest

MAX_LINES = 120

BLOCK = re.compile(r"(?P<mark><!-- ci:\w+ -->\n)?```(?P<language>\w*)\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"\]\((?P<target>[^)#]+)(?:#[^)]*)?\)")


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a language, without those that CI runs by their mark."""
    return [found["code"] for found in BLOCK.finditer(text) if found["language"] == language and not found["mark"]]


def test_it_is_short_and_has_a_picture(root):
    text = (root / "README.md").read_text()
    assert len(text.splitlines()) <= MAX_LINES
    assert re.search(r"!\[[^\]]+\]\(docs/images/\S+\.(png|svg)\)", text)


def test_its_commands_for_ci_are_marked(root):
    text = (root / "README.md").read_text()
    assert {"ci:demo", "ci:test"} <= set(re.findall(r"<!-- (ci:\w+) -->", text))


def test_links_of_all_pages_lead_somewhere(root):
    pages = [root / "README.md", root / "CONTRIBUTING.md", *(root / "docs").rglob("*.md")]
    targets = [(page, found["target"]) for page in pages for found in LINK.finditer(page.read_text())]
    inside = [(page, target) for page, target in targets if "://" not in target]
    assert len(inside) > 10
    assert [f"{page.name}: {target}" for page, target in inside if not (page.parent / target).exists()] == []


@pytest.fixture(scope="module")
def workplace(root, tmp_path_factory):
    """A folder with the shipped samples at their place in the checkout, but without the package's own folders."""
    folder = tmp_path_factory.mktemp("readme")
    shutil.copytree(root / "datasets" / "samples", folder / "datasets" / "samples", ignore=shutil.ignore_patterns("*.py"))
    return folder


def run(command: list[str], folder, **options) -> str:
    environment = os.environ | {"PYTHONWARNINGS": "error", "PATH": f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_shell_blocks_run(root, workplace):
    found = blocks((root / "README.md").read_text(), "sh")
    assert found
    for code in found:
        run(["bash", "-euo", "pipefail", "-c", code], workplace)
    assert (workplace / "report.html").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("index", range(3))
def test_python_blocks_run(root, workplace, index):
    found = blocks((root / "README.md").read_text(), "python")
    assert len(found) == 3
    assert run([sys.executable, "-P", "-c", found[index]], workplace).strip()


def imports_in(code: str) -> str:
    """Return the import statements of a block."""
    nodes = [node for node in ast.parse(code).body if isinstance(node, (ast.Import, ast.ImportFrom))]
    return "\n".join(ast.unparse(node) for node in nodes)


def test_blocks_of_the_docs_parse_and_import(root):
    """They need data that is not shipped, but their names must exist."""
    found = [code for page in sorted((root / "docs").glob("*.md")) for code in blocks(page.read_text(), "python")]
    assert len(found) > 5
    for code in found:
        exec(imports_in(code), {})


def test_shell_blocks_of_the_docs_name_options_that_exist(root):
    """Each line parses: an unknown option or command ends in exit code 2 with its name, a missing file is reported as such."""
    pages = sorted((root / "docs").glob("*.md"))
    lines = [line for page in pages for code in blocks(page.read_text(), "sh") for line in code.splitlines()]
    commands = [shlex.split(line, comments=True) for line in lines if line.startswith("spinode ")]
    assert len(commands) > 10
    helps = {}
    for command in commands:
        if command[1] not in helps:
            asked = [sys.executable, "-m", "spinode", command[1], "--help"]
            helps[command[1]] = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
        unknown = [word for word in command[2:] if word.startswith("--") and word not in helps[command[1]]]
        assert not unknown, f"{' '.join(command)}: {unknown}"
