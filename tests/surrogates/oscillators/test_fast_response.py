"""A surrogate with a fast linear response: the fit recovers a known filter, and blocks continue one run."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import spinode
from spinode import Trace, artifact, load
from spinode.contracts.driven_device import DrivenDevice
from spinode.errors import ConfigError, DomainWarning, FileFormatError, TraceError
from spinode.surrogates import Reservoir, WithFastResponse, fast_response

RINGING = 0.2 * np.exp(-np.arange(12) / 4) * np.cos(np.arange(12) * 1.3)


def recording(seed, samples=3000):
    """Simulate a slow relaxation, which a surrogate of order 1 reproduces, plus a ringing filter, which it does not."""
    source = np.random.default_rng(seed)
    u = np.repeat(source.uniform(-1, 1, samples // 2 + 1), 2)[:samples]
    y = np.zeros(samples)
    for k in range(1, samples):
        y[k] = 0.9 * y[k - 1] + 0.1 * np.tanh(u[k - 1])
    y += np.concatenate([[0.0], np.convolve(u, RINGING)[: samples - 1]])
    return Trace(1e-9 * np.arange(samples), {"u": u}, {"y": y}, units={"u": "V", "y": "T"}, interpolation={"u": "held"})


@pytest.fixture(scope="module")
def slow(cheap):
    return spinode.fit(recording(0), **(cheap | {"order": 1}))


@pytest.fixture(scope="module")
def both(slow):
    return fast_response(slow, recording(0), taps=(0, 12, 24))


def error(device, trace):
    drive, y = torch.tensor(trace.drive["u"])[:, None], torch.tensor(trace.output["y"])
    with torch.no_grad():
        out = device.step_block(device.initial_state(drive[0]), drive).output[:-1, 0]
    return float((out - y[1:])[50:].square().mean().sqrt() / y.std())


def test_the_fit_recovers_the_ringing(slow, both):
    assert isinstance(both, WithFastResponse)
    assert isinstance(both, DrivenDevice)
    assert error(both, recording(1)) < 0.25 * error(slow, recording(1))


def test_blocks_continue_one_run_and_gradients_pass(both):
    drive = torch.rand(3, 40, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    memory = both.initial_state(drive[:, 0])
    whole = both.step_block(memory, drive)
    first = both.step_block(memory, drive[:, :7])
    second = both.step_block(first.memory, drive[:, 7:])
    torch.testing.assert_close(torch.cat([first.output, second.output], 1), whole.output, rtol=0, atol=1e-12)
    (slope,) = torch.autograd.grad(whole.output[0, 20].sum(), drive)
    assert bool(slope[0, 9:21].abs().min() > 0)
    assert float(slope[:, 21:].abs().max()) < 1e-12  # the filter is an FFT, which rounds
    reservoir = Reservoir(both, 5, hold=2e-9, scale=0.5)
    x = torch.rand(20, 1, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat(list(reservoir.stream(x, block=3))), reservoir(x), rtol=0, atol=1e-12)


def test_a_surrogate_without_a_fast_response_is_returned_unchanged(purely_slow):
    trace, surrogate = purely_slow
    assert fast_response(surrogate, trace, taps=(0, 12)) is surrogate


@pytest.fixture(scope="module")
def purely_slow(cheap):
    source = np.random.default_rng(3)
    u = np.repeat(source.uniform(-1, 1, 301), 10)[:3000]
    y = np.zeros(3000)
    for k in range(1, 3000):
        y[k] = 0.9 * y[k - 1] + 0.1 * np.tanh(u[k - 1])
    y += 0.02 * source.standard_normal(3000)
    trace = Trace(1e-9 * np.arange(3000), {"u": u}, {"y": y}, units={"u": "V", "y": "T"}, interpolation={"u": "held"})
    return trace, spinode.fit(trace, **(cheap | {"order": 1}))


def test_saving_and_loading_changes_nothing(both, tmp_path):
    both.save(tmp_path / "fast.safetensors")
    loaded = load(tmp_path / "fast.safetensors")
    assert isinstance(loaded, WithFastResponse)
    drive = torch.tensor(0.2 * recording(2).drive["u"][:30])[:, None]
    torch.testing.assert_close(loaded.simulate(drive), both.simulate(drive), rtol=0, atol=0)
    with pytest.warns(DomainWarning, match="of the steps lie outside the domain the surrogate was fitted on"):
        loaded.simulate(torch.cat([drive[:1], 20 * drive]))
    with pytest.raises(FileFormatError, match=r"expected .*`spinode\.load` opens every kind"):
        artifact.load(tmp_path / "fast.safetensors", expected=spinode.Surrogate)


def test_invalid_arguments_are_refused(slow):
    with pytest.raises(ConfigError, match="a value of taps is -1; expected a whole number from 0 to 100000"):
        fast_response(slow, recording(0), taps=(-1,))
    with pytest.raises(TraceError, match="taps need"):
        fast_response(slow, recording(0, 200), taps=(0, 120))
    with pytest.raises(ConfigError, match="the kernel has shape"):
        WithFastResponse(slow, torch.ones(3))
