"""Settings of a fit: values outside their range are refused by name, and files return them unchanged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from spinode import ConfigError, FitConfig
from spinode.cli.settings import field_docs
from spinode.surrogates.neural_ode.embeddings.base import embedding_names


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": "fourier"}, "embedding is 'fourier'; expected one of delay, derivative"),
        ({"activation": "sine"}, "activation is 'sine'"),
        ({"method": "magic"}, "method is 'magic'"),
        ({"resampling": "nearest"}, "resampling is 'nearest'"),
        ({"embedding": "derivative", "order": 0}, "order is 0; expected a whole number from 1 to 6"),
        ({"embedding": "derivative", "order": 7}, "order is 7"),
        ({"order": 2.0}, "order is 2.0"),
        ({"order": True}, "order is True"),
        ({"restarts": 0}, "restarts is 0; expected a whole number of at least 1"),
        ({"members": -1}, "members is -1"),
        ({"restarts": 10**9}, "restarts is 1000000000; expected a whole number from 1 to 1000."),
        ({"members": 10**9}, "members is 1000000000; expected a whole number from 1 to 1000."),
        ({"iterations": 10**9}, "iterations is 1000000000; expected a whole number from 1 to 100000."),
        ({"epochs": 10**9}, "epochs is 1000000000; expected a whole number from 1 to 100000."),
        ({"hidden": (2,) * 100}, "hidden has 100 values; expected at most 32."),
        ({"windows": (2,) * 100}, "windows has 100 values; expected at most 32."),
        ({"hidden": 4096}, "a network of at least 12289 weights; expected at most 6000 with method='gauss-newton'"),
        ({"hidden": (2048, 2048), "embedding": "latent"}, "a network of at least 12289 weights; expected at most 6000"),
        ({"hidden": (4096,) * 2, "method": "adam"}, "weights; expected at most 10000000 with method='adam'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"windows": ()}, "windows is (); expected whole numbers from 1 to 4096, such as (1, 8, 40, 160)"),
        ({"windows": (1, 0)}, "a value of windows is 0; expected a whole number from 1 to 4096"),
        ({"windows": 8.5}, "windows is 8.5; expected whole numbers"),
        ({"hidden": ()}, "hidden is ()"),
        ({"hidden": 1.5}, "hidden is 1.5; expected whole numbers from 1 to 4096, such as (16, 16)"),
        ({"hidden": "16"}, "hidden is '16'"),
        ({"hidden": 5000}, "a value of hidden is 5000; expected a whole number from 1 to 4096"),
        ({"ridge": -1.0}, "ridge is -1.0; expected a finite number from 0 to 1"),
        ({"ridge": float("nan")}, "ridge is nan"),
        ({"validation": 0.0}, "validation is 0.0"),
        ({"validation": 0.9}, "validation is 0.9"),
        ({"learning_rate": "fast"}, "learning_rate is 'fast'"),
        ({"sample_interval": 0.0}, "sample_interval is 0.0; expected a finite number above 0 [s]"),
        ({"sample_interval": float("inf")}, "sample_interval is inf"),
        ({"sample_interval": float("nan")}, "sample_interval is nan"),
        ({"sample_interval": "5e-12"}, "sample_interval is '5e-12'"),
        ({"embedding": "latent", "ridge": 1e-3}, "ridge is 0.001, which has no effect on embedding='latent'"),
        ({"embedding": "latent", "windows": 8}, "windows is 8, which has no effect"),
        ({"embedding": "latent", "method": "adam"}, "method is 'adam', which has no effect"),
        ({"embedding": "memristive", "ridge": 1e-3}, "ridge is 0.001, which has no effect on embedding='memristive'"),
        ({"output_map": np.array(["y"])}, "output_map is ['y']; expected"),
        ({"output_map": np.array(1.5)}, "output_map is 1.5; expected"),
        ({"feedthrough": "yes"}, "feedthrough is 'yes'; expected True or False"),
    ],
)
def test_values_outside_their_range_are_refused_by_name(settings, message):
    with pytest.raises(ConfigError) as caught:
        FitConfig(**settings)
    assert message in str(caught.value)


def test_unknown_setting_in_a_file_lists_the_known_ones():
    with pytest.raises(
        ConfigError, match=r"fit has no setting 'ordr'; the settings are: effort, sample_interval, .*seed.* 'order'"
    ):
        FitConfig.from_dict({"ordr": 2})


def test_json_round_trip():
    config = FitConfig(order=3, hidden=(5, 7), windows=(1, 20), sample_interval=5e-12, feedthrough=False, seed=9)
    assert FitConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_numpy_scalars_become_plain_numbers():
    settings = {
        "order": 3,
        "hidden": (5, 7),
        "seed": 2,
        "restarts": 2,
        "ridge": 0.5,
        "sample_interval": 0.25,
        "feedthrough": True,
    }
    plain = FitConfig(**settings)
    config = FitConfig(
        order=np.int64(3),
        hidden=np.array([5, 7]),
        seed=np.int32(2),
        restarts=np.int64(2),
        ridge=np.float32(0.5),
        sample_interval=np.float64(0.25),
        feedthrough=np.True_,
    )
    assert config == plain
    assert json.dumps(config.to_dict()) == json.dumps(plain.to_dict())


def test_maps_may_be_an_array():
    assert FitConfig(output_map=np.array(["y=abs", "z=clip:0:1"])) == FitConfig(output_map={"y": "abs", "z": ("clip", 0, 1)})


def test_every_embedding_is_in_the_help():
    text = field_docs(FitConfig)["embedding"]
    assert all(f'"{name}"' in text for name in embedding_names())


def test_lists_and_single_numbers_become_tuples():
    assert FitConfig(hidden=[5, 7]) == FitConfig(hidden=(5, 7))
    assert FitConfig(hidden=16, windows=8) == FitConfig(hidden=(16,), windows=(8,))


def test_ensemble_gets_at_least_as_many_restarts():
    assert FitConfig(members=6, restarts=2).restarts == 6
    assert FitConfig(members=2, restarts=5).restarts == 5
