"""Recipes composed from names, and every shipped recipe run on a few generated digits."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.contracts.stream_registry import registered_streams
from spinode.datasets import made_digits
from spinode.datasets.streams.permuted import build_permuted
from spinode.datasets.streams.sequence import build_colours, build_sequence
from spinode.datasets.streams.subsets import build_subsets
from spinode.errors import ConfigError
from spinode.experiments.compose import default_recipe, inherited_settings, run_recipe
from spinode.experiments.rules import RULES
from spinode.training.recipe import Recipe, load_recipe, recipe_names


def test_every_rule_has_a_recipe_with_its_settings():
    for rule in RULES:
        recipe = default_recipe(rule, None)
        assert recipe.rule == rule
    for rule in RULES:
        assert default_recipe(rule, "split-mnist").stream == "split-mnist"


def test_changed_recipe_has_no_published_numbers():
    recipe = default_recipe("mesu", None)
    assert recipe.published
    other = default_recipe("mesu", "split-mnist")
    assert (other.published, other.source, other.run.get("tasks"), other.stream_settings) == (
        {},
        "",
        None,
        {"scale": "standard"},
    )


def test_settings_of_a_recipe_that_lose_their_effect_are_not_inherited():
    """What the user did not give does not stand in his way; what he gave stays, for the learner to refuse."""
    recipe = default_recipe("ep", None)
    assert inherited_settings(recipe, {}) == recipe.settings
    assert "rate" not in inherited_settings(recipe, {"weights": "binary"})
    assert "rate" in inherited_settings(recipe, {"weights": "binary", "rate": 0.3})
    assert "read_out" not in inherited_settings(default_recipe("unsupervised", None), {"mode": "semi-supervised", "labels": 60})


@pytest.mark.parametrize("name", [recipe.name for name in recipe_names() for recipe in load_recipe(name).expanded()])
def test_shipped_recipe_composes_and_runs(name, monkeypatch):
    """On two tasks of a few generated digits: all names are known, and the learner accepts all settings."""
    monkeypatch.setattr("spinode.experiments.registry.load_images", lambda *_: made_digits(train=40, test=20))
    recipe = load_recipe(name)
    stream = {build_permuted: 2, build_sequence: None, build_colours: None, build_subsets: 1}[
        registered_streams()[recipe.stream].build
    ]
    run = {**recipe.run, "epochs": 1, "tasks": stream, "batch_size": min(recipe.run["batch_size"], 20)}
    small = Recipe(
        **{
            **{key: getattr(recipe, key) for key in ("rule", "stream", "synapse", "ood")},
            "run": run,
            "settings": {
                **recipe.settings,
                **{
                    name: [6] * len(recipe.settings[name])
                    for name in ("hidden", "widths", "channels")
                    if name in recipe.settings
                },
                **{name: value for name, value in (("labels", 20), ("pretrain_epochs", 1)) if name in recipe.settings},
            },
            "stream_settings": {
                key: (1 if key == "parts" else value)
                for key, value in recipe.stream_settings.items()
                if key not in ("train", "test", "test_alone")
            },
        }
    )
    result = run_recipe(small, 0)
    figures = result.figures()
    assert not np.isnan(result.accuracy.values[-1]).any()
    tasks = len(result.accuracy)
    for figure in recipe.published:
        known = figure.replace(f"last {recipe.run.get('recent', 5)}", f"last {min(recipe.run.get('recent', 5), tasks)}")
        assert known in figures, f"{figure} is published, and the run has {list(figures)}"


def test_unknown_rule_and_setting():
    with pytest.raises(ConfigError, match=r"rule is 'mesus'; .* Did you mean 'mesu'"):
        default_recipe("mesus", None)
    recipe = Recipe(rule="bnn", stream="made-digits", settings={"nope": 3}, run={"tasks": 1})
    with pytest.raises(ConfigError, match="nope"):
        run_recipe(recipe, 0)
