"""Drives to record a device under."""

from __future__ import annotations

import pytest
import torch

from spinode.datasets import modulated_sine, ramped_steps, random_steps
from spinode.errors import ConfigError


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_random_steps_fill_their_range_and_respect_hold_times():
    drive = random_steps(-1.0, 3.0, duration=1e-6, interval=1e-10, hold=(1e-9, 1e-8), generator=generator())
    assert drive.shape == (10_000,)
    assert -1 <= float(drive.min()) < -0.9
    assert 2.9 < float(drive.max()) <= 3
    changes = torch.diff((torch.diff(drive) != 0).nonzero().squeeze())
    assert int(changes.min()) >= 10
    assert int(changes.max()) <= 100
    pairs = random_steps(0, 1, duration=1.0, interval=0.1, hold=0.2, generator=generator())
    assert torch.equal(pairs[::2], pairs[1::2])


def test_modulated_sine_returns_to_its_mean_between_periods():
    drive = modulated_sine(2.0, 0.5, frequency=1e9, duration=1e-8, interval=1e-11, generator=generator())
    torch.testing.assert_close(drive[::50], torch.full((20,), 2.0, dtype=torch.float64))
    assert float((drive - 2).abs().max()) <= 0.5


@pytest.mark.parametrize(
    ("generate", "message"),
    [
        (
            lambda: random_steps(1, 0, duration=1, interval=0.1, hold=0.1, generator=generator()),
            "levels run from low=1 to high=0",
        ),
        (lambda: random_steps(0, 1, duration=1, interval=0.1, hold=0, generator=generator()), "hold is 0"),
        (
            lambda: random_steps(0, 1, duration=1, interval=0.1, hold=2, generator=generator()),
            "may last 2 s, but the drive only 1 s",
        ),
        (
            lambda: random_steps(0, 1, duration=1, interval=1, hold=1, generator=generator()),
            "expected a duration of at least two",
        ),
        (lambda: random_steps(0, 1, duration=1, interval=1e-12, hold=0.1, generator=generator()), "expected at most 1000000"),
        (lambda: random_steps(0, 1, duration=1e300, interval=1e-300, hold=1, generator=generator()), "are inf samples"),
        (lambda: random_steps(0, 1, duration=10, interval=1, hold=0.1, generator=generator()), "less than the interval of 1 s"),
        (
            lambda: random_steps(-1e308, 1e308, duration=9, interval=1, hold=1, generator=generator()),
            "a range that is too wide",
        ),
        (lambda: modulated_sine(0, 1, frequency=5, duration=1, interval=0.1, generator=generator()), "ten samples per period"),
    ],
)
def test_invalid_arguments_are_refused(generate, message):
    with pytest.raises(ConfigError, match=message):
        generate()


def test_a_ramp_raises_the_amplitude_around_the_middle() -> None:
    settings = {"duration": 1e-6, "interval": 1e-9, "hold": (2e-9, 2e-8)}
    drive = ramped_steps(2.0, 6.0, generator=torch.Generator().manual_seed(1), stretches=((0.05, 0.2), (0.3, 0.3)), **settings)
    assert drive.shape == (1000,)
    sizes = [float((part - 4).abs().max()) for part in drive.split([200, 300, 500])]
    for size, bound in zip(sizes, (0.1, 0.6, 2.0), strict=True):
        assert 0.8 * bound < size <= bound


@pytest.mark.parametrize("stretches", [((0.2, 0.3), (0.1, 0.3)), ((0.1, 0.6), (0.2, 0.4)), ((1.0, 0.5),), ((0.1, 0.0),)])
def test_a_ramp_must_rise_and_reach_its_full_amplitude(stretches: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ConfigError, match="stretch"):
        ramped_steps(
            -1, 1, duration=1e-6, interval=1e-9, hold=1e-8, generator=torch.Generator().manual_seed(1), stretches=stretches
        )
