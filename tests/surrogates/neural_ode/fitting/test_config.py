"""Settings: what is outside its range is refused with its name, and nothing is lost on the way to a file."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode import ConfigError, FitConfig


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "fourier"}, "embedding is 'fourier'; expected one of derivative, delay"),
        ({"activation": "sine"}, "activation is 'sine'"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"resampling": "nearest"}, "resampling is 'nearest'"),
        ({"order": 0}, "order is 0; expected a whole number from 1 to 6"),
        ({"order": 7}, "order is 7"),
        ({"order": 2.0}, "order is 2.0"),
        ({"order": True}, "order is True"),
        ({"restarts": 0}, "restarts is 0; expected a whole number of at least 1"),
        ({"members": -1}, "members is -1"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"windows": ()}, "windows is empty; expected whole numbers, e.g."),
        ({"windows": (1, 0)}, "windows is 0"),
        ({"windows": 8}, "windows is 8; expected whole numbers"),
        ({"hidden": ()}, "hidden is empty"),
        ({"hidden": 16}, "hidden is 16; expected whole numbers"),
        ({"hidden": "16"}, "hidden is '16'"),
        ({"ridge": -1.0}, "ridge is -1.0; expected a number from 0.0 to 1.0"),
        ({"ridge": float("nan")}, "ridge is nan"),
        ({"validation": 0.0}, "validation is 0.0"),
        ({"validation": 0.9}, "validation is 0.9"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"sample_interval": 0.0}, "sample_interval is 0.0; expected a positive number of seconds"),
        ({"sample_interval": float("inf")}, "sample_interval is inf"),
        ({"sample_interval": float("nan")}, "sample_interval is nan"),
        ({"sample_interval": "5e-12"}, "sample_interval is '5e-12'"),
        ({"feedthrough": "yes"}, "feedthrough is 'yes'"),
    ],
)
def test_what_is_out_of_range_is_refused_by_name(settings, message):
    with pytest.raises(ConfigError) as caught:
        FitConfig(**settings)
    assert message in str(caught.value)


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(ConfigError, match=r"'ordr' is no setting of a fit; the settings are: sample_interval, .*seed"):
        FitConfig.of(ordr=2)


def test_json_and_back():
    config = FitConfig(order=3, hidden=(5, 7), windows=(1, 20), sample_interval=5e-12, feedthrough=False, seed=9)
    assert FitConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_whole_numbers_of_numpy_are_whole_numbers():
    config = FitConfig(order=np.int64(3), hidden=np.array([5, 7]), seed=np.int32(2), restarts=np.int64(2))
    assert config == FitConfig(order=3, hidden=(5, 7), seed=2, restarts=2)
    assert json.dumps(config.to_dict()) == json.dumps(FitConfig(order=3, hidden=(5, 7), seed=2, restarts=2).to_dict())


def test_lists_are_taken_for_tuples():
    assert FitConfig(hidden=[5, 7]) == FitConfig(hidden=(5, 7))


def test_an_ensemble_needs_as_many_restarts():
    assert FitConfig(members=6, restarts=2).restarts == 6
    assert FitConfig(members=2, restarts=5).restarts == 5
