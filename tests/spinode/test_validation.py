"""The checks of arguments: what they accept, what they return, and how they refuse."""

import dataclasses
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from spinode import ConfigError
from spinode.validation import (
    MAX_COUNT,
    array_size,
    flag,
    is_number,
    is_whole_number,
    merge_settings,
    number,
    one_of,
    seed_number,
    whole_number,
    whole_numbers,
)

WHOLE = [3, np.int64(3), np.uint8(3), np.array(3), torch.tensor(3)]
BOOLEANS = [True, False, np.True_, np.False_, torch.tensor(True)]
NOT_NUMBERS = [None, "3", b"3", [3], (3,), {3}, 3j, object(), int, np.array([3]), np.array([3.0, 4.0])]


# --- whole numbers ---


@pytest.mark.parametrize("value", WHOLE)
def test_whole_numbers_of_all_libraries_become_plain_integers(value):
    assert is_whole_number(value)
    assert type(whole_number("n", value)) is int
    assert whole_number("n", value) == 3


@pytest.mark.parametrize("value", [*BOOLEANS, *NOT_NUMBERS, 3.0, np.float64(3), math.nan, Fraction(3)])
def test_everything_else_is_not_a_whole_number(value):
    assert not is_whole_number(value)
    with pytest.raises(ConfigError, match=r"^n is .*; expected a whole number of at least 0\.$"):
        whole_number("n", value)


@given(value=st.integers(), low=st.none() | st.integers(), high=st.none() | st.integers())
def test_whole_number_accepts_exactly_the_numbers_within_its_bounds(value, low, high):
    if (low is None or value >= low) and (high is None or value <= high):
        assert whole_number("n", value, low, high) == value
    else:
        with pytest.raises(ConfigError, match="n is "):
            whole_number("n", value, low, high)


@given(st.integers(-(2**63), 2**63 - 1))
def test_numpy_integers_are_treated_like_those_of_python(value):
    assert whole_number("n", np.int64(value), None, None) == value
    assert number("x", np.int64(value)) == float(value)


def test_counts_and_seeds_have_an_upper_bound():
    assert whole_number("n", MAX_COUNT) == MAX_COUNT
    with pytest.raises(ConfigError, match=r"^n is 1000000000000; expected a whole number from 1 to 1000000000\.$"):
        whole_number("n", 10**12, 1)
    with pytest.raises(ConfigError, match=r"^a value of hidden is 1000000000000; expected a whole number from 1 to"):
        whole_numbers("hidden", 10**12)
    with pytest.raises(ConfigError, match="the mask would have 100000 nodes times 100000 inputs; expected at most 1000000000"):
        array_size("the mask", nodes=10**5, inputs=10**5)
    assert seed_number("seed", np.uint32(2**32 - 1)) == 2**32 - 1
    for value in (-1, 2**32, True, None, "x", [1]):
        with pytest.raises(ConfigError, match=r"^seed is .*; expected a whole number from 0 to 4294967295\.$"):
            seed_number("seed", value)


# --- real numbers ---


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), np.float16(0.5), Fraction(1, 2)])
def test_real_numbers_of_all_libraries_become_plain_floats(value):
    assert is_number(value)
    assert type(number("x", value)) is float
    assert number("x", value) == 0.5
    assert json.dumps(number("x", value)) == "0.5"


@pytest.mark.parametrize("value", [*BOOLEANS, *NOT_NUMBERS])
def test_everything_else_is_not_a_number(value):
    assert not is_number(value)
    with pytest.raises(ConfigError, match=r"^x is .*; expected a finite number\.$"):
        number("x", value)


@given(value=st.floats(), bounds=st.tuples(st.floats(allow_nan=False), st.floats(allow_nan=False)), exclude=st.booleans())
def test_number_accepts_exactly_the_numbers_within_its_bounds(value, bounds, exclude):
    low, high = min(bounds), max(bounds)
    inside = low < value < high if exclude else low <= value <= high
    if inside:
        assert number("x", value, low, high, above=exclude, below=exclude, finite=False) == value
    else:
        with pytest.raises(ConfigError, match="x is "):
            number("x", value, low, high, above=exclude, below=exclude, finite=False)


@pytest.mark.parametrize("value", [math.inf, -math.inf, np.float32("inf"), 10**400, -(10**400)])
def test_infinite_numbers_are_refused_unless_allowed(value):
    with pytest.raises(ConfigError, match=r"expected a finite number\.$"):
        number("x", value)
    assert math.isinf(number("x", value, finite=False))
    assert (number("x", value, finite=False) > 0) is bool(value > 0)


@pytest.mark.parametrize("finite", [True, False])
def test_nan_is_always_refused(finite):
    for value in (math.nan, np.float32("nan")):
        with pytest.raises(ConfigError, match="x is nan; expected a"):
            number("x", value, finite=finite)


# --- sequences of whole numbers ---


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (50, (50,)),
        (np.int64(50), (50,)),
        ([16, np.int32(8)], (16, 8)),
        ((width for width in (1, 2)), (1, 2)),
        (np.array([4, 5]), (4, 5)),
        (torch.Size([2, 3]), (2, 3)),
    ],
)
def test_sequences_of_whole_numbers_become_tuples(value, expected):
    result = whole_numbers("hidden", value)
    assert result == expected
    assert all(type(item) is int for item in result)


@pytest.mark.parametrize("value", [(), "16", b"16", {16: 1}, None, 1.5, [16, 1.5], [True], [[16]], np.array([1.0])])
def test_other_sequences_are_refused(value):
    with pytest.raises(ConfigError, match=r"^hidden is .*; expected whole numbers of at least 1, such as \(16, 16\)\.$"):
        whole_numbers("hidden", value)


def test_bounds_and_empty_sequences():
    assert whole_numbers("hidden", (), empty=True) == ()
    with pytest.raises(ConfigError, match=r"^a value of hidden is 0; expected a whole number of at least 1\.$"):
        whole_numbers("hidden", [3, 0])
    with pytest.raises(ConfigError, match=r"^a value of hidden is 9; expected a whole number from 1 to 8\.$"):
        whole_numbers("hidden", 9, 1, 8)


# --- choices and flags ---


@given(st.lists(st.text(min_size=1), min_size=1, unique=True), st.data())
def test_every_choice_is_returned_and_every_other_text_refused(choices, data):
    assert all(one_of("method", choice, choices) == choice for choice in choices)
    other = data.draw(st.text().filter(lambda text: text not in choices))
    with pytest.raises(ConfigError, match=r"^method is "):
        one_of("method", other, choices)


@pytest.mark.parametrize("value", [None, 3, ["adam"], np.array(["adam"]), "sgd"])
def test_one_of_refuses_values_that_are_not_choices(value):
    with pytest.raises(ConfigError, match=r"; expected one of adam, gauss-newton\."):
        one_of("method", value, ("adam", "gauss-newton"))


def test_none_may_be_a_choice():
    assert one_of("method", None, (None, "adam")) is None
    with pytest.raises(ConfigError, match=r"method is 'dam'; expected one of None, adam\. Did you mean 'adam'\?"):
        one_of("method", "dam", (None, "adam"))


@pytest.mark.parametrize(("value", "expected"), [(True, True), (np.False_, False)])
def test_flags_become_plain_booleans(value, expected):
    assert flag("skip", value) is expected


@pytest.mark.parametrize("value", [0, 1, "true", None, np.int64(1)])
def test_flags_are_true_or_false_only(value):
    with pytest.raises(ConfigError, match=r"skip is .*; expected True or False\."):
        flag("skip", value)


# --- settings ---


@dataclasses.dataclass(frozen=True)
class Settings:
    seed: int = 0
    rate: float = 0.1
    derived: int = dataclasses.field(default=7, init=False)

    def __post_init__(self):
        whole_number("seed", self.seed)


def test_single_settings_replace_those_of_a_config():
    config = Settings(seed=1, rate=0.5)
    assert merge_settings(Settings, config, {"rate": 0.2}) == Settings(seed=1, rate=0.2)
    assert config == Settings(seed=1, rate=0.5)
    assert merge_settings(Settings, None, {"seed": 3}) == Settings(seed=3)
    assert merge_settings(Settings, config, {}) == config


@pytest.mark.parametrize(
    ("config", "settings", "message"),
    [
        ({"seed": 1}, {}, r"config is a dict; expected Settings\(\.\.\.\), or the settings by name"),
        (None, {"sed": 1}, r"fit has no setting 'sed'; the settings are: seed, rate\. Did you mean 'seed'\?"),
        (None, {"derived": 1}, "fit has no setting 'derived'"),
        (None, {"seed": 1.5}, r"seed is 1\.5; expected a whole number"),
        (Settings(), {"seed": -1}, "seed is -1; expected a whole number of at least 0"),
    ],
)
def test_invalid_settings_are_refused(config, settings, message):
    with pytest.raises(ConfigError, match=message):
        merge_settings(Settings, config, settings, what="fit")


# --- messages ---


@pytest.mark.parametrize(
    ("check", "message"),
    [
        (lambda: whole_number("n", 9, None, 8), "n is 9; expected a whole number of at most 8."),
        (lambda: whole_number("n", 0, 1, 8), "n is 0; expected a whole number from 1 to 8."),
        (lambda: number("x", 2, 0, 1), "x is 2; expected a finite number from 0 to 1."),
        (lambda: number("x", 1, 0, 1, below=True), "x is 1; expected a finite number of at least 0 and below 1."),
        (lambda: number("x", 0, 0, above=True, finite=False), "x is 0; expected a number above 0."),
        (lambda: number("width", -1e-9, 0, unit="s"), "width is -1e-09; expected a finite number of at least 0 [s]."),
        (lambda: number("x", np.float64(-1.5), 0), "x is -1.5; expected a finite number of at least 0."),
    ],
)
def test_messages_report_name_value_and_range(check, message):
    with pytest.raises(ConfigError) as caught:
        check()
    assert str(caught.value) == message


def test_long_values_are_shortened_in_messages():
    with pytest.raises(ConfigError, match=r"^n is '(x){76}\.\.\.; expected") as caught:
        whole_number("n", "x" * 1000)
    assert len(str(caught.value)) < 150
