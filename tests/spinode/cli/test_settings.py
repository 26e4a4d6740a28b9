"""Options from config classes: every field, its help, its default, and the way through a config file."""

from __future__ import annotations

import dataclasses

import pytest
import yaml

from spinode import FitConfig
from spinode.cli import commands
from spinode.cli.commands.train import build_recipe
from spinode.cli.settings import field_docs, parse_value, read_settings
from spinode.surrogates import StochasticConfig, SynapseConfig
from spinode.training import StreamConfig

CONFIGS = {"fit": FitConfig, "fit-synapse": SynapseConfig, "fit-stochastic": StochasticConfig, "train": StreamConfig}
FIELDS = [(command, field) for command, kind in CONFIGS.items() for field in dataclasses.fields(kind)]
WORDS = {
    "fit": ["a.csv", "--save", "m"],
    "fit-synapse": ["a.csv", "--save", "m"],
    "fit-stochastic": ["a.csv", "--save", "m"],
    "train": ["sgd"],
}

#: A value other than the default for each field, as typed.
OTHER = {
    "sample_interval": ("5e-12", 5e-12), "resampling": ("band-limited", "band-limited"), "embedding": ("delay", "delay"),
    "order": ("3", 3), "feedthrough": ("false", False), "hidden": ("7 5", (7, 5)), "activation": ("silu", "silu"),
    "method": ("adam", "adam"), "windows": ("1 4", (1, 4)), "iterations": ("9", 9), "epochs": ("7", 7),
    "learning_rate": ("3e-3", 3e-3), "batch_size": ("32", 32), "ridge": ("1e-5", 1e-5), "restarts": ("6", 6),
    "members": ("2", 2), "validation": ("0.2", 0.2), "max_samples": ("999", 999), "seed": ("11", 11), "scale": ("log", "log"),
    "shape": ("2", 2), "rounds": ("3", 3), "tasks": ("4", 4), "shuffle": ("false", False), "evaluate": ("all", "all"),
    "effort": ("long", "long"), "output_map": ("y=abs", ("y=abs",)), "recent": ("3", 3), "test_batch": ("50", 50),
    "use_voltage": ("1.2 1.1", (1.2, 1.1)), "use_width": ("1e-4", 1e-4),
}  # fmt: skip


@pytest.mark.parametrize(("command", "field"), FIELDS, ids=lambda value: getattr(value, "name", value))
def test_every_field_is_an_option(command, field):
    """It is accepted in both spellings, reaches the config, and its help is the text of the docstring."""
    typed, expected = OTHER[field.name]
    for option in (f"--{field.name}", f"--{field.name.replace('_', '-')}"):
        parser = commands.build_parser(command)
        arguments = parser.parse_args([*WORDS[command], option, *typed.split()])
        if command == "train":
            recipe = build_recipe(arguments)
            assert (recipe.seeds == (expected,)) if field.name == "seed" else (getattr(recipe.config, field.name) == expected)
        else:
            assert getattr(read_settings(arguments, CONFIGS[command]), field.name) == expected
    text = field_docs(CONFIGS[command])[field.name]
    assert len(text) > 10
    action = next(each for each in parser._actions if each.dest == field.name)
    assert action.help.replace("%%", "%").startswith(text.rstrip("."))


@pytest.mark.parametrize("command", ["fit", "fit-synapse", "fit-stochastic"])
def test_defaults_are_those_of_the_config(command):
    arguments = commands.build_parser(command).parse_args(WORDS[command])
    assert read_settings(arguments, CONFIGS[command]) == CONFIGS[command]()


@pytest.mark.parametrize("command", CONFIGS)
def test_printed_config_gives_the_same_config_back(run, here, command):
    kind = CONFIGS[command]
    changes = [word for field in dataclasses.fields(kind) for word in (f"--{field.name}", *OTHER[field.name][0].split())]
    code, out, err = run(command, *WORDS[command], *changes, "--print_config")
    assert (code, err) == (0, "")
    assert {field.name for field in dataclasses.fields(kind)} <= set(yaml.safe_load(out))
    (here / "config.yaml").write_text(out)
    parser = commands.build_parser(command)
    direct, again = parser.parse_args([*WORDS[command], *changes]), parser.parse_args(["--config", "config.yaml"])
    if command == "train":
        assert build_recipe(again) == build_recipe(direct)
    else:
        assert read_settings(again, kind) == read_settings(direct, kind)
        assert (again.tables, again.save) == (["a.csv"], "m")


@pytest.mark.parametrize("command", CONFIGS)
def test_printed_defaults_give_the_same_config_back(run, here, command):
    code, out, err = run(command, "--print-config")
    assert (code, err) == (0, "")
    (here / "config.yaml").write_text(out)
    parser = commands.build_parser(command)
    again = parser.parse_args([*WORDS[command], "--config", "config.yaml"])
    if command == "train":
        assert build_recipe(again) == build_recipe(parser.parse_args(WORDS[command]))
    else:
        assert read_settings(again, CONFIGS[command]) == CONFIGS[command]()


@pytest.mark.parametrize("command", CONFIGS)
def test_wrong_value_is_reported_as_in_python(run, here, command):
    code, out, err = run(command, *WORDS[command], "--seed", "many")
    assert (code, out) == (2, "")
    assert "'many'" in err
    assert "whole number" in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "value"),
    [("3", 3), ("3e5", 3e5), ("-2e-3", -2e-3), ("none", None), ("True", True), ("no", False), ("adam", "adam")],
)
def test_values_are_read_from_text(text, value):
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)
