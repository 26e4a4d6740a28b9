"""Online readouts against ridge regression, closed loops against the map they learned, washout against the device's memory."""

from __future__ import annotations

import math

import pytest
import torch

from spinode.contracts.driven_device import Response
from spinode.errors import ConfigError
from spinode.surrogates import Feedback, RecursiveReadout, Reservoir, RidgeStatistics, forecast, washout_length


class Leaky(torch.nn.Module):
    """A device with y(t + dt) = keep y(t) + (1 - keep) u(t)."""

    interval, outputs, drives = 1e-9, ("y",), ("u",)

    def __init__(self, keep=0.5):
        super().__init__()
        self.keep = keep

    def initial_state(self, drive, *, generator=None):
        return drive.sum(-1)

    def step_block(self, memory, drive, *, generator=None):
        out = []
        for u in drive.sum(-1).unbind(-1):
            memory = self.keep * memory + (1 - self.keep) * u
            if generator is not None:
                memory = memory + 0.01 * torch.randn(memory.shape, generator=generator, dtype=memory.dtype)
            out.append(memory)
        y = torch.stack(out, -1)
        return Response(y.unsqueeze(-1), memory, torch.zeros_like(y, dtype=torch.bool))


def data(count=200, states=4, targets=2):
    source = torch.Generator().manual_seed(0)
    s = torch.randn(count, states, generator=source, dtype=torch.float64) + 1
    return s, torch.randn(count, targets, generator=source, dtype=torch.float64) + s[:, :1]


@pytest.mark.parametrize("forget", [1.0, 0.97])
def test_recursive_least_squares_is_the_weighted_ridge_regression(forget):
    states, targets = data()
    readout = RecursiveReadout(4, 2, regulariser=0.3, forget=forget)
    readout.add(states[:77], targets[:77])
    readout.add(states[77:], targets[77:])
    rows = torch.cat([states, torch.ones(200, 1, dtype=torch.float64)], 1)
    weight = forget ** torch.arange(199, -1, -1, dtype=torch.float64)[:, None]
    gram = rows.T @ (weight * rows) + 0.3 * forget**200 * torch.eye(5, dtype=torch.float64)
    expected = torch.linalg.solve(gram, rows.T @ (weight * targets)).T
    torch.testing.assert_close(readout.weights, expected)
    frozen = readout.frozen()
    readout.add(states, -targets)
    torch.testing.assert_close(frozen(states), rows @ expected.T)


def test_errors_are_those_before_each_update():
    states, targets = data()
    readout = RecursiveReadout(4, 2)
    errors = readout.add(states[:1], targets[:1])
    torch.testing.assert_close(errors, targets[:1])


def test_a_closed_loop_continues_a_sine():
    x = torch.sin(0.3 * torch.arange(400, dtype=torch.float64))
    reservoir = Reservoir(Leaky(), nodes=6, seed=1)
    sums = RidgeStatistics(reservoir.width, segment=20)
    sums.add(reservoir(x)[50:299], x[51:300])
    ahead = forecast(reservoir, sums.solve(1e-14), 100, warmup=x[:300])
    torch.testing.assert_close(ahead, x[300:], atol=1e-3, rtol=0)


def test_a_forecast_is_the_loop_that_is_written_out():
    reservoir = Reservoir(Leaky(), nodes=3, inputs=2, feedback=Feedback(delay=4, gain=0.2))
    weight = torch.randn(3, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    series = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    ahead = forecast(reservoir, lambda states: states @ weight, 5, warmup=series)
    full = torch.cat([series, ahead], -2)
    assert ahead.shape == (2, 5, 2)
    torch.testing.assert_close(ahead, (reservoir(full) @ weight)[:, 6:11])
    torch.testing.assert_close(ahead[0], forecast(reservoir, lambda states: states @ weight, 5, warmup=series[0]))


def test_a_forecast_with_noise_is_repeated_by_its_seed_and_leaves_the_device_alone():
    device = Leaky()
    reservoir, x = Reservoir(device, nodes=3), torch.rand(9, dtype=torch.float64)

    def once(seed):
        return forecast(reservoir, lambda s: s[..., :1], 4, warmup=x, generator=torch.Generator().manual_seed(seed))

    assert torch.equal(once(0), once(0))
    assert not torch.equal(once(0), once(1))
    assert device.keep == 0.5


def test_the_washout_is_the_memory_of_the_device():
    keep, tolerance = 0.9, 1e-3
    reservoir = Reservoir(Leaky(keep), nodes=1, mask=torch.ones(1, 1))
    x = torch.rand(300, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    other = reservoir.start()
    first = reservoir.continue_runs(other, x.flip(0)[:, None])[-1]
    spread = reservoir(x).std(0).mean()
    # The difference of two runs is keep^t times the first one; both begin before the first input.
    expected = math.ceil(math.log(tolerance * float(spread) / abs(float(first))) / math.log(keep)) - 1
    assert abs(washout_length(reservoir, x, tolerance=tolerance) - expected) <= 1


def test_a_device_that_never_forgets_is_refused():
    reservoir = Reservoir(Leaky(1 - 1e-6), nodes=1)
    with pytest.raises(ConfigError, match="still differ"):
        washout_length(reservoir, torch.rand(50, generator=torch.Generator().manual_seed(5), dtype=torch.float64))


def test_refusals():
    reservoir = Reservoir(Leaky(), nodes=3)
    with pytest.raises(ConfigError, match="2 outputs and the reservoir 1 inputs"):
        forecast(reservoir, lambda s: s[..., :2], 4, warmup=torch.rand(9))
    with pytest.raises(ConfigError, match="became infinite"):
        forecast(reservoir, lambda s: s[..., :1] * math.inf, 4, warmup=torch.rand(9))
    with pytest.raises(ConfigError, match="steps"):
        forecast(reservoir, lambda s: s[..., :1], 0, warmup=torch.rand(9))
    with pytest.raises(ConfigError, match="input has shape"):
        forecast(reservoir, lambda s: s[..., :1], 2, warmup=torch.rand(9, 3))
    with pytest.raises(ConfigError, match="one series"):
        washout_length(reservoir, torch.rand(2, 9, 1))
    with pytest.raises(ConfigError, match="expected \\(time, 3\\)"):
        RecursiveReadout(3).add(torch.rand(4, 2), torch.rand(4))
    with pytest.raises(ConfigError, match="forget"):
        RecursiveReadout(3, forget=1.5)
