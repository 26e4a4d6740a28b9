"""The programmers: from requested changes of weights to numbers of pulses."""

import math

import numpy as np
import pytest
import torch

from spinode import ConfigError
from spinode.device_weights.programming import check_programmer
from spinode.surrogates import ProportionalProgrammer, SignProgrammer, StochasticProgrammer, WriteVerify


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_sign_programmer_returns_one_pulse_beyond_the_threshold():
    update = torch.tensor([-1.0, -0.2, -0.1, 0.0, 0.1, 0.2, 1.0])
    assert SignProgrammer(0.15).counts(update, seeded()).tolist() == [-1, -1, 0, 0, 0, 1, 1]
    assert SignProgrammer().counts(update, seeded()).tolist() == [-1, -1, -1, 0, 1, 1, 1]


def test_proportional_programmer_rounds_up_to_its_bound():
    update = torch.tensor([-100.0, -1.4, -0.3, 0.0, 0.6, 2.2, 100.0])
    assert ProportionalProgrammer().counts(update, seeded()).tolist() == [-14, -1, 0, 0, 1, 2, 14]
    assert ProportionalProgrammer(2.0, math.inf).counts(update, seeded()).tolist() == [-200, -3, -1, 0, 1, 4, 200]


@pytest.mark.parametrize("exact", [0.0, 0.013, 0.4, -0.4, 2.75, -7.2])
def test_stochastic_programmer_has_the_exact_mean(exact):
    """n is one of the two neighbours of x, and its mean is x: four standard errors, a false-alarm rate of 6e-5 per case."""
    size = 200_000
    counts = StochasticProgrammer(0.1).counts(torch.full((size,), 0.1 * exact, dtype=torch.float64), seeded(1))
    assert set(counts.unique().tolist()) <= {math.floor(exact), math.floor(exact) + 1}
    fraction = exact - math.floor(exact)
    assert float(counts.mean()) == pytest.approx(exact, abs=4 * math.sqrt(fraction * (1 - fraction) / size) + 1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SignProgrammer(-1.0), "threshold is -1.0"),
        (lambda: StochasticProgrammer(0.0), "step is 0.0"),
        (lambda: ProportionalProgrammer(0.0), "pulses_per_unit is 0.0"),
        (lambda: ProportionalProgrammer(1.0, 0.5), "max_pulses is 0.5"),
        (lambda: WriteVerify(float("nan")), "tolerance is nan"),
        (lambda: WriteVerify(0.1, 0), "max_pulses is 0"),
        (lambda: WriteVerify(0.1, 2.5), "max_pulses is 2.5; expected a whole number"),
    ],
)
def test_programmers_refuse_invalid_settings(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_numpy_scalars_are_stored_as_plain_numbers():
    verify = WriteVerify(np.float32(0.5), np.int64(20))
    assert (type(verify.tolerance), type(verify.max_pulses)) == (float, int)
    assert StochasticProgrammer(np.float64(0.1)) == StochasticProgrammer(0.1)


@pytest.mark.parametrize("programmer", [SignProgrammer, "sign", 3])
def test_only_instances_of_programmers_are_accepted(programmer):
    with pytest.raises(ConfigError, match=r"programmer is .*; expected an instance, such as SignProgrammer"):
        check_programmer(programmer)
