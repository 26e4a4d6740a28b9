"""Recipes: files, variants, and mistakes in them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from spinode.errors import ConfigError
from spinode.training import StreamConfig
from spinode.training.recipe import Published, Recipe, load_recipe, parse_yaml, recipe_names

TEXT = """
title: A test
rule: mesu
settings: {hidden: [50], memory: 3e5}
stream: permuted-mnist
stream_settings: {scale: standard}
run: {tasks: 20, batch_size: 1, shuffle: false}
seeds: [0, 3]
published:
  last 5: {value: 0.9, tolerance: 0.01, spread: 0.002}
differences: [none]
variants:
  long: {run: {tasks: 200}, seeds: [1]}
  endless: {settings: {memory: inf}, published: {newest: {value: 0.7, tolerance: 0.1}}}
  sgd: {rule: sgd, settings: {rate: 0.002}}
"""


@pytest.fixture
def file(tmp_path):
    def write(text=TEXT):
        path = tmp_path / "test.yaml"
        path.write_text(text)
        return path

    return write


def test_a_recipe_is_read(file):
    recipe = load_recipe(file())
    assert (recipe.name, recipe.rule, recipe.stream, recipe.synapse, recipe.seeds) == (
        "test", "mesu", "permuted-mnist", "ideal", (0, 3),
    )  # fmt: skip
    assert recipe.settings == {"hidden": [50], "memory": 3e5}
    assert recipe.config == StreamConfig(tasks=20, batch_size=1, shuffle=False)
    assert recipe.published == {"last 5": Published(0.9, 0.01, 0.002)}


def test_variants_change_entry_by_entry(file):
    recipe = load_recipe(file())
    names = ["test", "test:long", "test:endless", "test:sgd"]
    assert [each.name for each in recipe.expanded()] == names
    assert [load_recipe(f"{file()}:{name}").name for name in recipe.variants] == names[1:]
    long, endless, sgd = (recipe.variant(name) for name in recipe.variants)
    assert (long.run, long.seeds) == ({"tasks": 200, "batch_size": 1, "shuffle": False}, (1,))
    assert long.settings == recipe.settings
    assert long.published == {}  # of another experiment
    assert endless.settings == {"hidden": [50], "memory": math.inf}
    assert endless.published == {"newest": Published(0.7, 0.1)}
    assert sgd.settings == {"rate": 0.002}  # those of another rule do not apply
    assert sgd.stream_settings == recipe.stream_settings


def test_a_written_recipe_is_read_unchanged(file, tmp_path):
    for recipe in load_recipe(file()).expanded():
        recipe.save(tmp_path / "again.yaml")
        assert replace(load_recipe(tmp_path / "again.yaml"), name=recipe.name) == recipe


def test_numbers_of_yaml():
    text = "[3e5, 1e-7, -2E+3, 1.5, .5, inf, -.inf, 7, 1_000, '3e5', e5, information, 1.0.0]"
    expected = [3e5, 1e-7, -2000.0, 1.5, 0.5, math.inf, -math.inf, 7, 1000, "3e5", "e5", "information", "1.0.0"]
    numbers = parse_yaml(text, "text")
    assert numbers == expected
    assert [type(each) for each in numbers] == [type(each) for each in expected]


BAD = {
    "rule: mesu": ("the recipe|recipe 'test'", "has no stream"),
    "title: A": ("recipe 'test'", "has no rule and no stream"),
    "rule: mesu\nstream: m\nsetings: {}": ("recipe 'test' has unknown keys: setings", "settings"),
    "rule: mesu\nstream: m\nrun: {epoch: 3}": ("run of recipe 'test' has unknown keys: epoch", "epochs"),
    "rule: mesu\nstream: m\nrun: {epochs: 0}": ("epochs is 0", "at least 1"),
    "rule: mesu\nstream: m\nrun: {seed: 1}": ("has unknown keys: seed", "epochs"),
    "rule: mesu\nstream: m\nsettings: 3": ("settings of recipe 'test' is 3", "expected names and values"),
    "rule: mesu\nstream: m\nseeds: 3": ("seeds of recipe 'test' is 3", "expected a list"),
    "rule: mesu\nstream: m\nseeds: []": ("seeds of recipe 'test'", "whole numbers"),
    "rule: mesu\nstream: m\nseeds: [1, 1]": ("seeds of recipe 'test'", "each only once"),
    "rule: 3\nstream: m": ("rule of recipe 'test' is 3", "expected text"),
    "rule: mesu\nstream: m\nood: [a]": ("ood of recipe 'test'", "expected the name"),
    "rule: mesu\nstream: m\ndifferences: [3]": ("differences of recipe 'test'", "list of sentences"),
    "rule: mesu\nstream: m\npublished: {newest: 0.9}": ("published 'newest' of recipe 'test' is 0.9", "expected names"),
    "rule: mesu\nstream: m\npublished: {newest: {value: 0.9}}": ("published 'newest'", "tolerance: ..."),
    "rule: mesu\nstream: m\npublished: {newest: {value: x, tolerance: 1}}": ("Published", "expected numbers"),
    "rule: mesu\nstream: m\npublished: {newest: {value: 1, tolerance: 0}}": ("tolerance", "above 0"),
    "rule: mesu\nstream: m\nvariants: {a: {variants: {}}}": ("variant 'a' of recipe 'test' has unknown keys: variants", "run"),
    "rule: mesu\nstream: m\nvariants: {a: {run: {epochs: x}}}": ("epochs is 'x'", "whole number"),
    "- a\n- b": ("contains list, not a recipe", "rule: mesu"),
    "": ("contains NoneType, not a recipe", "rule: mesu"),
    "rule: [mesu": ("is not YAML", "line"),
    "rule: !!python/object/apply:os.getcwd []\nstream: m": ("is not YAML", "constructor"),
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_mistakes_are_reported(file, text):
    with pytest.raises(ConfigError) as caught:
        load_recipe(file(text))
    assert any(part in str(caught.value) for part in BAD[text][0].split("|"))
    assert BAD[text][1] in str(caught.value)


def test_unknown_names_are_reported(file, tmp_path):
    with pytest.raises(ConfigError, match=r"there is no recipe 'mes'; .* mesu-permuted-mnist"):
        load_recipe("mes")
    with pytest.raises(ConfigError, match="has no variant 'short'; its variants are: long, endless, sgd"):
        load_recipe(f"{file()}:short")
    with pytest.raises(ConfigError, match="there is no recipe"):
        load_recipe(tmp_path / "none.yaml")
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_recipe(tmp_path / "binary.yaml")


@pytest.mark.parametrize("name", recipe_names())
def test_shipped_recipe(name):
    recipe = load_recipe(name)
    for each in recipe.expanded():
        assert each.title
        assert each.source
        assert each.run
        for figure, known in each.published.items():
            assert 0 < known.value < 1, figure  # a fraction, not percent
            assert known.tolerance <= 0.1


def test_a_recipe_in_python():
    recipe = Recipe("mesu", "made-digits", run={"tasks": 3})
    assert recipe.config.tasks == 3
    with pytest.raises(ConfigError, match="the recipe has no variant 'a'; its variants are: none"):
        recipe.variant("a")
