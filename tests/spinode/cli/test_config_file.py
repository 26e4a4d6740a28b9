"""Config files: a bad one ends in one sentence; a single value stands for a list, a mapping for NAME=VALUE."""

from __future__ import annotations

import pytest

from spinode.cli import commands

BAD = {
    "binary": (b"\xff\xfe\x00\x80", "c.yaml is not a text in UTF-8"),
    "empty": (b"", "c.yaml is empty; expected a line `option: value`"),
    "list": (b"[1, 2]", "c.yaml is a list; expected"),
    "syntax": (b"a: [", "c.yaml is not YAML"),
    "loop": (b"a: &a [*a]", "c.yaml is nested too deeply, or refers to itself"),
    "deep": (b"a: " + b"[" * 5000, "c.yaml is nested too deeply"),
    "unknown": (b"sed: 3", "c.yaml has an unknown option 'sed'; did you mean --seed?"),
    "date": (b"start: 2020-01-01", 'start in c.yaml is "2020-01-01"; expected a single value for --start SECONDS'),
    "impossible date": (b"start: 2020-13-45", "c.yaml cannot be read: month must be in 1..12"),
    "null": (b"drive: null", "drive in c.yaml is null; expected one or several values for --drive NAME"),
    "null in a list": (b"drive: [null]", "drive in c.yaml is null; expected one or several values"),
    "mapping": (b"hidden: {a: 1}", 'hidden in c.yaml is {"a": 1}; expected one or several values for --hidden N'),
    "list for one value": (b"save: [a]", 'save in c.yaml is ["a"]; expected a single value for --save FILE'),
    "text for a flag": (b"quiet: many", 'quiet in c.yaml is "many"; expected true or false'),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_config_file_ends_in_one_sentence(run, here, name):
    content, message = BAD[name]
    (here / "c.yaml").write_bytes(content)
    code, out, err = run("fit", "t.csv", "--config", "c.yaml")
    assert (code, out) == (2, "")
    assert err.startswith("spinode: error: ")
    assert message in err
    assert len(err.splitlines()) == 1


def test_single_values_and_mappings_are_accepted(here):
    (here / "c.yaml").write_text(
        "tables: 7.csv\nsave: 3\ndrive: 3\nunits: {Ku: V}\nparameters: {T: 3e2}\nhidden: 8\nstart: 1e-9\n"
    )
    arguments = commands.build_parser("fit").parse_args(["--config", "c.yaml"])
    assert (arguments.tables, arguments.save, arguments.drive) == (["7.csv"], "3", ["3"])
    assert (arguments.units, arguments.parameters) == (["Ku=V"], ["T=300.0"])
    assert (arguments.hidden, arguments.start) == ([8], 1e-9)


def test_settings_of_a_learner_are_a_mapping(here):
    from spinode.cli.commands.train import build_recipe

    (here / "c.yaml").write_text("settings: {memory: inf, clamp: 0.5}\nseeds: 3\n")
    recipe = build_recipe(commands.build_parser("train").parse_args(["mesu", "--config", "c.yaml"]))
    assert (recipe.settings["memory"], recipe.settings["clamp"], recipe.seeds) == (float("inf"), 0.5, (3,))
