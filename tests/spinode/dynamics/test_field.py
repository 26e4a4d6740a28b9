"""Vector fields: shapes, equations, reproducibility, invalid settings."""

import pytest
import torch
from torch import nn

from spinode.dynamics.field import ACTIVATIONS, ChainField, GreyBoxField, MLPField
from spinode.errors import ConfigError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("batch", [(), (4,), (2, 0), (2, 3, 4)])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_rates_have_the_shape_of_the_batch(batch, activation):
    field = MLPField(3, 2, 2, hidden=(5, 4), activation=activation, generator=seeded())
    assert field(points(*batch, 3), points(*batch, 2)).shape == (*batch, 2)


def test_network_follows_the_equation_in_its_docstring():
    field = MLPField(2, 1, 2, hidden=(3,), generator=seeded())
    x, u = points(7, 2), points(7, 1)
    z = torch.cat([x, u], -1)
    layer = field.layers[0]
    expected = torch.tanh(z @ layer.weight.T + layer.bias) @ field.out.weight.T + field.out.bias
    assert torch.allclose(field(x, u), expected + z @ field.skip.weight.T + field.skip.bias, rtol=0, atol=1e-14)


def test_field_is_linear_without_the_output_layer():
    field = MLPField(2, 1, 2, generator=seeded())
    with torch.no_grad():
        field.out.weight.zero_()
    x, y, u = points(2), points(2, seed=6), torch.zeros(1, dtype=torch.float64)
    zero = field(torch.zeros(2, dtype=torch.float64), u)
    assert torch.allclose(field(x + y, u) - zero, field(x, u) - zero + field(y, u) - zero, rtol=0, atol=1e-14)


def test_same_seed_gives_the_same_weights():
    first, second, other = (MLPField(2, 1, 2, generator=seeded(seed)) for seed in (0, 0, 1))
    pairs = list(zip(first.parameters(), second.parameters(), other.parameters(), strict=True))
    assert all(torch.equal(a, b) for a, b, _ in pairs)
    assert not any(torch.equal(a, c) for a, _, c in pairs if c.any())


def test_initial_weights_do_not_use_the_global_generator():
    before = torch.get_rng_state()
    first = MLPField(2, 1, 2, generator=seeded())
    torch.manual_seed(1)
    second = MLPField(2, 1, 2, generator=seeded())
    torch.set_rng_state(before)
    assert torch.equal(first.out.weight, second.out.weight)


@pytest.mark.parametrize("hidden", [(), (0,), (4, -1)])
def test_invalid_widths_are_refused(hidden):
    with pytest.raises(ConfigError, match=r"hidden is .*; expected (a )?whole numbers? of at least 1"):
        MLPField(2, 1, 2, hidden=hidden)


def test_unknown_activation_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="activation is 'sine'; expected one of tanh, silu, softplus, relu"):
        MLPField(2, 1, 2, activation="sine")


# Chains


class ConstantRate(nn.Module):
    """Returns a constant rate and records the shapes of its arguments."""

    def forward(self, state, drive):
        self.shapes = (state.shape, drive.shape)
        return torch.full((*state.shape[:-1], 2), 7.0, dtype=state.dtype)


def test_each_block_of_a_chain_is_the_scaled_rate_of_the_previous_one():
    ratios = torch.tensor([[2.0, 3.0], [5.0, 11.0]], dtype=torch.float64)  # order 3, two outputs
    field = ChainField(ConstantRate(), ratios)
    state, drive = points(4, 6), points(4, 1)
    rates = field(state, drive)
    assert rates.shape == (4, 6)
    assert torch.equal(rates[:, 0:2], state[:, 2:4] * ratios[0])
    assert torch.equal(rates[:, 2:4], state[:, 4:6] * ratios[1])
    assert torch.equal(rates[:, 4:], torch.full((4, 2), 7.0, dtype=torch.float64))
    assert field.top.shapes == ((4, 6), (4, 1))


def test_chain_of_one_block_equals_its_top():
    top = MLPField(2, 1, 2, generator=seeded())
    field = ChainField(top, torch.zeros(0, 2, dtype=torch.float64))
    state, drive = points(3, 2), points(3, 1)
    assert torch.equal(field(state, drive), top(state, drive))


def test_chain_with_a_constant_top_is_a_polynomial_in_time():
    """The motion in physical units does not depend on the scales of the blocks."""
    from spinode.dynamics.rollout import rollout

    scales = torch.tensor([[2.0], [0.5], [0.1]], dtype=torch.float64)
    top = lambda x, u: torch.full((*x.shape[:-1], 1), 0.06 / 0.1, dtype=x.dtype)  # noqa: E731 - third derivative 0.06
    field = ChainField(FunctionModule(top), scales[1:] / scales[:-1])
    start = torch.tensor([1.0, -0.3, 0.2], dtype=torch.float64) / scales[:, 0]
    states = rollout(field, start, torch.zeros(5, 3, 1, dtype=torch.float64)) * scales[:, 0]
    t = torch.arange(6, dtype=torch.float64)
    assert torch.allclose(states[:, 0], 1 - 0.3 * t + 0.1 * t**2 + 0.01 * t**3, rtol=0, atol=1e-12)


class FunctionModule(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, state, drive):
        return self.function(state, drive)


def test_ratios_are_in_the_state_dict():
    field = ChainField(MLPField(2, 1, 1, generator=seeded()), torch.tensor([[2.0]], dtype=torch.float64))
    assert field.state_dict()["ratios"].tolist() == [2.0]
    assert "ratios" not in dict(field.named_parameters())


# Grey box


def spring(state, drive):
    return drive - 2 * state[..., :1]


def test_known_and_learned_parts_add_up():
    learned = MLPField(2, 1, 1, generator=seeded())
    state, drive = points(5, 2), points(5, 1)
    assert torch.equal(GreyBoxField(spring, learned)(state, drive), spring(state, drive) + learned(state, drive))


def test_function_as_physics_adds_no_parameters():
    learned = MLPField(2, 1, 1, generator=seeded())
    field = GreyBoxField(spring, learned)
    assert list(field.state_dict()) == [f"learned.{name}" for name in learned.state_dict()]
    fresh = GreyBoxField(spring, MLPField(2, 1, 1, generator=seeded(1)))
    fresh.load_state_dict(field.state_dict())
    assert torch.equal(fresh(points(2), points(1)), field(points(2), points(1)))


def test_parameters_of_a_physics_module_have_gradients():
    class Spring(nn.Module):
        def __init__(self):
            super().__init__()
            self.stiffness = nn.Parameter(torch.tensor(2.0, dtype=torch.float64))

        def forward(self, state, drive):
            return drive - self.stiffness * state[..., :1]

    field = GreyBoxField(Spring(), MLPField(2, 1, 1, generator=seeded()))
    state, drive = points(5, 2), points(5, 1)
    field(state, drive).sum().backward()
    assert "known.stiffness" in dict(field.named_parameters())
    assert float(field.known.stiffness.grad) == pytest.approx(-float(state[:, 0].sum()))


@pytest.mark.parametrize(
    "make", [lambda: MLPField(2, 1, 2, generator=seeded()), lambda: GreyBoxField(spring, MLPField(2, 1, 2))]
)
def test_gradients_equal_finite_differences(make):
    field = make()
    inputs = [points(3, 2).requires_grad_(), points(3, 1).requires_grad_()]
    assert torch.autograd.gradcheck(field, inputs)
