"""Neural SDEs: the fit recovers drift, noise and their memory where they are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_bytes
from scipy import stats

from spinode import Trace, load
from spinode.contracts.driven_device import DrivenDevice
from spinode.datasets import SpinTorqueOscillator
from spinode.errors import ConfigError, DomainWarning, FileFormatError, FitError, TraceError
from spinode.surrogates import StochasticConfig, StochasticSurrogate, fit_stochastic
from spinode.surrogates.oscillators.stochastic.checkpoint import Checkpoint


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def recording(samples=6000, *, seed=0, second=0.0):
    """Simulate y(t + 1) = 0.8 y + second (y - y(t - 1)) + tanh(u) + 0.1 (1 + 0.5 sin y) xi; u changes every ten samples."""
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


def test_the_surrogate_is_a_driven_device(fitted):
    assert isinstance(fitted, DrivenDevice)


def test_drift_and_state_dependent_noise_are_recovered(fitted):
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


def test_samples_have_the_distribution_of_the_device(fitted):
    """A run of 12000 samples, thinned to independent ones, against the device: Kolmogorov-Smirnov at 1e-3."""
    other = recording(12_000, seed=1)
    drive = torch.from_numpy(np.array(other.drive["u"]))[:, None]
    drawn = fitted.simulate(drive, generator=generator()).numpy()[:, 0]
    comparison = stats.ks_2samp(drawn[100::40], other.output["y"][101::40])
    assert comparison.pvalue > 1e-3
    assert drawn.std() == pytest.approx(other.output["y"].std(), rel=0.05)


def test_the_chosen_order_is_that_of_the_memory():
    assert fit_stochastic(recording(1500), hidden=(4,), iterations=40).order == 1
    surrogate = fit_stochastic(recording(1500, second=0.6), hidden=(4,), iterations=40)
    assert surrogate.order == 2
    scores = surrogate.record["validation log likelihood by order"]
    assert scores["2"] > scores["1"] + 0.1


def test_the_likelihood_is_close_to_that_of_the_true_distribution(fitted):
    """The mean log density of data is at most that of the distribution they come from, and close to it."""
    trace = recording(seed=2)
    y, u = (torch.from_numpy(np.array(each))[:, None] for each in (trace.output["y"], trace.drive["u"]))
    found = float(fitted.log_likelihood(y, u).mean() - fitted.output_scale[1].log())
    noise = 0.1 * (1 + 0.5 * np.sin(trace.output["y"][:-1]))
    residual = trace.output["y"][1:] - 0.8 * trace.output["y"][:-1] - np.tanh(trace.drive["u"][:-1])
    true = float(np.mean(-((residual / noise) ** 2) / 2 - np.log(noise) - math.log(2 * math.pi) / 2))
    assert true - 0.02 < found < true + 0.01


def test_blocks_continue_one_run_and_gradients_pass(fitted):
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


def test_saving_and_loading_changes_nothing(fitted, tmp_path):
    fitted.save(tmp_path / "noisy.safetensors")
    loaded = load(tmp_path / "noisy.safetensors")
    assert isinstance(loaded, StochasticSurrogate)
    assert loaded.record == fitted.record
    drive = torch.rand(20, 1, generator=generator(), dtype=torch.float64)
    one, two = (each.simulate(drive, generator=generator()) for each in (loaded, fitted))
    torch.testing.assert_close(one, two, rtol=0, atol=0)
    data = (tmp_path / "noisy.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError):
        load(tmp_path / "cut.safetensors")


def test_a_simulation_outside_the_domain_warns_once(fitted):
    drive = torch.full((20, 1), 5.0, dtype=torch.float64)
    with pytest.warns(DomainWarning, match="of the steps lie outside the domain the surrogate was fitted on") as caught:
        fitted.simulate(drive)
    assert (len(caught), caught[0].filename) == (1, __file__)
    fitted.simulate(drive)  # warnings are errors here: there is no second one


# Settings, progress and checkpoints


def small(**arguments):
    """Fit in a moment: two blocks of iterations for each order."""
    return fit_stochastic(recording(300), **{"hidden": (2,), "iterations": 20, **arguments})


@pytest.fixture(scope="module")
def uninterrupted():
    return small()


def same(first, second):
    return first.record == second.record and all(
        torch.equal(value, second.state_dict()[name]) for name, value in first.state_dict().items()
    )


class Interrupted(Exception):
    """Stands for a killed process."""


def test_settings_override_the_config_and_numpy_numbers_count():
    config = StochasticConfig(order=np.int64(1), hidden=np.array([2]), iterations=40, validation=np.float32(0.25))
    surrogate = fit_stochastic(recording(300), config, iterations=20)
    assert surrogate.record["config"] == {**config.to_dict(), "iterations": 20}
    assert (surrogate.order, surrogate.density.hidden) == (1, (2,))


def test_progress_reports_every_order():
    lines = []
    small(progress=lines.append)
    assert [line for line in lines if line.startswith("order 3: validation log likelihood")]


@pytest.mark.parametrize("after", [1, 3, 4, 11])
def test_an_interrupted_fit_resumes_to_the_same_result(tmp_path, monkeypatch, uninterrupted, after):
    """Killed within an order, between two orders, and before the end."""
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    path, lines = tmp_path / "fit.safetensors", []

    def interrupt(line):
        lines.append(line)
        if len(lines) > after:
            raise Interrupted

    with pytest.raises(Interrupted):
        small(checkpoint=path, progress=interrupt)
    resumed = []
    surrogate = small(checkpoint=path, progress=resumed.append)
    assert same(surrogate, uninterrupted)
    assert ("resumed after 10 iterations" in " ".join(resumed)) == (after in (1, 4))
    again = []
    assert same(small(checkpoint=path, progress=again.append), surrogate)
    assert len(again) == 4  # one line for each finished order: nothing is fitted again


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes()[:-8] + b"12345678"), "damaged: its contents do not match"),
        (lambda path: path.write_bytes(to_bytes({"x": torch.ones(1)})), "not a checkpoint of this version"),
    ],
)
def test_a_damaged_checkpoint_is_refused(tmp_path, change, message):
    path = tmp_path / "fit.safetensors"
    small(order=1, checkpoint=path)
    change(path)
    with pytest.raises(FitError, match=message):
        small(order=1, checkpoint=path)


def test_a_checkpoint_of_another_fit_is_refused(tmp_path):
    path = tmp_path / "fit.safetensors"
    small(order=1, checkpoint=path)
    before = path.read_bytes()
    for data, settings in ((recording(300), {"seed": 1}), (recording(300, seed=1), {})):
        with pytest.raises(FitError, match="belongs to another fit"):
            fit_stochastic(data, hidden=(2,), iterations=20, order=1, checkpoint=path, **settings)
    assert path.read_bytes() == before
    assert [each.name for each in tmp_path.iterdir()] == ["fit.safetensors"]


@pytest.mark.long
def test_mean_distribution_and_spectrum_of_an_oscillator_are_reproduced():
    """Fit 20 000 samples of the noisy auto-oscillator; mean, deviation and spectrum of 1000 devices agree within 10 %."""
    device = SpinTorqueOscillator(interval=100e-9, substeps=8)
    levels = torch.rand(10_000, generator=generator(), dtype=torch.float64).repeat_interleave(2)
    surrogate = fit_stochastic(device.trace(5.5e-3 + 2e-3 * levels, generator=generator(1)), order=1)
    drive = (5.5e-3 + 2e-3 * levels[:120])[None, :, None].expand(1000, -1, 1)
    physical, simulated = (
        each.step_block(each.initial_state(drive[:, 0]), drive, generator=generator(2)).output[..., 20:, 0]
        for each in (device, surrogate)
    )
    error = (physical.mean(0) - simulated.mean(0)).square().mean().sqrt()
    assert float(error / physical.mean(0).std()) < 0.1
    assert float((simulated.std(0) / physical.std(0) - 1).abs().mean()) < 0.1
    assert stats.ks_2samp(physical[:, -1].numpy(), simulated[:, -1].numpy()).pvalue > 1e-3
    constant = torch.full((200, 600, 1), 6.5e-3, dtype=torch.float64)
    stationary = [
        each.step_block(each.initial_state(constant[:, 0]), constant, generator=generator(3)).output[:, 88:, 0]
        for each in (device, surrogate)
    ]
    power = [torch.fft.rfft(each - each.mean(1, keepdim=True)).abs().square().mean(0)[1:] for each in stationary]
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
def test_unusable_recordings_are_refused(change, message):
    with pytest.raises(TraceError, match=message):
        fit_stochastic(change(recording(400)))


def test_invalid_settings_are_refused(fitted):
    for settings, message in (
        ({"order": 0}, "order is 0"),
        ({"hidden": ()}, "hidden is"),
        ({"layers": 3}, "no setting 'layers'"),
        ({"held_out": 0.2}, "no setting 'held_out'; the settings are: .*validation"),
        ({"validation": 0.7}, "validation is 0.7; expected a finite number from 0.02 to 0.5"),
    ):
        with pytest.raises(ConfigError, match=message):
            fit_stochastic(recording(400), **settings)
    with pytest.raises(TraceError, match="no trace"):
        fit_stochastic([])
    with pytest.raises(TraceError, match="drive has shape"):
        fitted.simulate(torch.ones(5, 2))
    with pytest.raises(ConfigError, match="NaN"):
        fitted.simulate(torch.full((5, 1), math.nan))
