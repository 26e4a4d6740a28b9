"""Neural SDEs: drift, noise and their memory are found again where they are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy import stats

from spinode import Trace, load
from spinode.contracts.driven_device import DrivenDevice
from spinode.datasets import SpinTorqueOscillator
from spinode.errors import ConfigError, FileFormatError, TraceError
from spinode.surrogates import StochasticSurrogate, fit_stochastic


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def recording(samples=6000, *, seed=0, second=0.0):
    """y' = 0.8 y + second (y - y before) + tanh(u) + 0.1 (1 + 0.5 sin y) xi: known law, held drive of ten samples."""
    source = np.random.default_rng(seed)
    u = np.repeat(source.uniform(-1, 1, samples // 10 + 1), 10)[:samples]
    y = np.zeros(samples)
    for t in range(1, samples):
        noise = 0.1 * (1 + 0.5 * math.sin(y[t - 1])) * source.standard_normal()
        y[t] = 0.8 * y[t - 1] + second * (y[t - 1] - y[t - 2]) + math.tanh(u[t - 1]) + noise
    return Trace(1e-6 * np.arange(samples), {"u": u}, {"y": y}, units={"u": "V", "y": "A"}, interpolation={"u": "held"})


@pytest.fixture(scope="module")
def fitted():
    return fit_stochastic(recording(), order=1, hidden=(12,), iterations=150)


def test_it_is_a_driven_device(fitted):
    assert isinstance(fitted, DrivenDevice)


def test_drift_and_state_dependent_noise_are_found(fitted):
    y, u = (
        each.reshape(-1, 1) for each in torch.meshgrid(torch.linspace(-2, 2, 7), torch.linspace(-0.8, 0.8, 5), indexing="ij")
    )
    y, u = y.double(), u.double()
    memory = ((y - fitted.output_scale[0]) / fitted.output_scale[1])[:, None]
    many = memory.expand(-1, 1, 1).repeat_interleave(4000, 0)
    drive = u[:, None].repeat_interleave(4000, 0)
    drawn = fitted.step_block(many, drive, generator=generator()).output.reshape(35, 4000)
    torch.testing.assert_close(drawn.mean(1), (0.8 * y + torch.tanh(u))[:, 0], rtol=0, atol=0.03)
    torch.testing.assert_close(drawn.std(1), 0.1 * (1 + 0.5 * torch.sin(y))[:, 0], rtol=0.12, atol=0.005)


def test_what_is_drawn_has_the_distribution_of_the_device(fitted):
    """4000 independent runs against as many of the device: Kolmogorov-Smirnov at 1e-3, after 60 steps."""
    other = recording(12_000, seed=1)
    drive = torch.from_numpy(np.array(other.drive["u"]))[:, None]
    drawn = fitted.simulate(drive, generator=generator()).numpy()[:, 0]
    told = stats.ks_2samp(drawn[100::40], other.output["y"][101::40])
    assert told.pvalue > 1e-3
    assert drawn.std() == pytest.approx(other.output["y"].std(), rel=0.05)


def test_the_order_is_that_of_the_memory():
    assert fit_stochastic(recording(3000), hidden=(6,), iterations=40).order == 1
    found = fit_stochastic(recording(3000, second=0.6), hidden=(6,), iterations=40)
    assert found.order == 2
    scores = found.record["held-out log likelihood by order"]
    assert scores["2"] > scores["1"] + 0.1


def test_the_likelihood_is_that_of_its_own_noise(fitted):
    """The mean log density of data is at most that of the law they come from, and near it: entropy of the true noise."""
    trace = recording(seed=2)
    y, u = (torch.from_numpy(np.array(each))[:, None] for each in (trace.output["y"], trace.drive["u"]))
    found = float(fitted.log_likelihood(y, u).mean() - fitted.output_scale[1].log())
    noise = 0.1 * (1 + 0.5 * np.sin(trace.output["y"][:-1]))
    residual = trace.output["y"][1:] - 0.8 * trace.output["y"][:-1] - np.tanh(trace.drive["u"][:-1])
    true = float(np.mean(-((residual / noise) ** 2) / 2 - np.log(noise) - math.log(2 * math.pi) / 2))
    assert true - 0.02 < found < true + 0.01


def test_stretches_are_one_run_and_gradients_pass(fitted):
    drive = torch.rand(2, 30, 1, generator=generator(), dtype=torch.float64).requires_grad_()
    memory = fitted.initial_state(drive[:, 0])
    whole = fitted.step_block(memory, drive)
    first = fitted.step_block(memory, drive[:, :11])
    second = fitted.step_block(first.memory, drive[:, 11:])
    torch.testing.assert_close(torch.cat([first.output, second.output], 1), whole.output, rtol=0, atol=0)
    (slope,) = torch.autograd.grad(whole.output[:, -1].sum(), drive)
    assert float(slope[:, -1].abs().min()) > float(slope[:, 0].abs().max()) > 0
    assert not bool(whole.outside.any())
    assert bool(fitted.step_block(memory, drive + 50).outside.all())


def test_a_file_brings_it_back(fitted, tmp_path):
    fitted.save(tmp_path / "noisy.safetensors")
    back = load(tmp_path / "noisy.safetensors")
    assert isinstance(back, StochasticSurrogate)
    assert back.record == fitted.record
    drive = torch.rand(20, 1, generator=generator(), dtype=torch.float64)
    one, two = (each.simulate(drive, generator=generator()) for each in (back, fitted))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    data = (tmp_path / "noisy.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError):
        load(tmp_path / "cut.safetensors")


@pytest.mark.slow
def test_an_oscillator_is_met_in_mean_distribution_and_spectrum():
    """20 000 samples of the noisy auto-oscillator; then 1000 devices under a fresh drive, and their noise: within 10 %."""
    device = SpinTorqueOscillator(interval=100e-9, substeps=8)
    levels = torch.rand(10_000, generator=generator(), dtype=torch.float64).repeat_interleave(2)
    made = fit_stochastic(device.trace(5.5e-3 + 2e-3 * levels, generator=generator(1)), order=1)
    drive = (5.5e-3 + 2e-3 * levels[:120])[None, :, None].expand(1000, -1, 1)
    true, mine = (
        each.step_block(each.initial_state(drive[:, 0]), drive, generator=generator(2)).output[..., 20:, 0]
        for each in (device, made)
    )
    assert float((true.mean(0) - mine.mean(0)).square().mean().sqrt() / true.mean(0).std()) < 0.1
    assert float((mine.std(0) / true.std(0) - 1).abs().mean()) < 0.1
    assert stats.ks_2samp(true[:, -1].numpy(), mine[:, -1].numpy()).pvalue > 1e-3
    rest = torch.full((200, 600, 1), 6.5e-3, dtype=torch.float64)
    still = [
        each.step_block(each.initial_state(rest[:, 0]), rest, generator=generator(3)).output[:, 88:, 0]
        for each in (device, made)
    ]
    power = [torch.fft.rfft(each - each.mean(1, keepdim=True)).abs().square().mean(0)[1:] for each in still]
    ratio = (power[1] / power[0]).reshape(16, -1).mean(1)  # 16 bands, each known to 2 %
    assert float((ratio - 1).abs().max()) < 0.1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: Trace(t.time[:100], {"u": t.drive["u"][:100]}, {"y": t.output["y"][:100]}, units=t.units), "at least 200"),
        (lambda t: Trace(t.time, {}, {"y": t.output["y"]}, units={"y": "A"}), "no drive"),
        (lambda t: Trace(t.time, {"u": t.drive["u"]}, {"y": 0 * t.output["y"]}, units=t.units), "an output is constant"),
        (lambda t: Trace(t.time**1.5, {"u": t.drive["u"]}, {"y": t.output["y"]}, units=t.units), "sample interval varies"),
    ],
)
def test_recordings_that_cannot_be_used(change, message):
    with pytest.raises(TraceError, match=message):
        fit_stochastic(change(recording(400)))


def test_settings_that_cannot_be(fitted):
    for settings, message in (
        ({"order": 0}, "order is 0"),
        ({"hidden": ()}, "hidden is"),
        ({"layers": 3}, "no setting 'layers'"),
    ):
        with pytest.raises(ConfigError, match=message):
            fit_stochastic(recording(400), **settings)
    with pytest.raises(TraceError, match="no trace"):
        fit_stochastic([])
    with pytest.raises(TraceError, match="drive has shape"):
        fitted.simulate(torch.ones(5, 2))
    with pytest.raises(ConfigError, match="NaN"):
        fitted.simulate(torch.full((5, 1), math.nan))
