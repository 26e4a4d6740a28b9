"""Tests of simulations under `torch.compile`, `torch.func.vmap` and in single precision."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from spinode import Surrogate
from spinode.errors import ConfigError
from spinode.surrogates import Reservoir, zoo
from spinode.surrogates.testing import resonator


@pytest.fixture(scope="module")
def device() -> Surrogate:
    opened = zoo.open("macrospin")
    assert isinstance(opened, Surrogate)
    return opened


def drives(count: int, steps: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 6.9e5 + 3e3 * torch.randn(count, steps, 1, generator=generator, dtype=torch.float64)


def test_simulate_compiles_as_one_graph(device: Surrogate) -> None:
    module = torch.compile(device, fullgraph=True, backend="eager")  # forward calls simulate
    torch.testing.assert_close(module(drives(2)), device(drives(2)))


def test_simulate_under_vmap_is_a_batch(device: Surrogate) -> None:
    torch.testing.assert_close(torch.func.vmap(device.simulate)(drives(3)), device.simulate(drives(3)))


def test_a_reservoir_compiles_as_one_graph_and_takes_vmap(device: Surrogate) -> None:
    reservoir = Reservoir(device, nodes=4, hold=30e-12, scale=5e3, offset=6.9e5, seed=0)
    inputs = torch.rand(3, 6, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = reservoir(inputs)
    torch.testing.assert_close(torch.compile(reservoir, fullgraph=True, backend="eager")(inputs), expected)
    torch.testing.assert_close(torch.func.vmap(lambda rows: reservoir(rows))(inputs), expected)


def test_a_batch_has_the_resting_states_of_its_elements(device: Surrogate) -> None:
    batch = drives(5)
    states = torch.stack([device.resting_state(one[0]) for one in batch])
    torch.testing.assert_close(device.simulate(batch), device.simulate(batch, state=states))


@pytest.mark.filterwarnings("ignore::spinode.errors.DomainWarning")
def test_single_precision_rests_at_every_level_where_double_does() -> None:
    device, levels = resonator(gain=0.5), torch.linspace(-0.9, 0.9, 25, dtype=torch.float64)
    constant = levels[:, None, None].expand(25, 30, 1)
    double = device.simulate(constant)
    single = device.float().simulate(constant.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precisions_are_refused_with_the_fix(dtype: torch.dtype) -> None:
    with pytest.raises(ConfigError, match=r"surrogate\.float\(\)"):
        resonator().to(dtype).simulate(torch.zeros(20, 1, dtype=dtype))
