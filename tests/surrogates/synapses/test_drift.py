"""The drift: its scaling laws, several pulses at once against single ones, and its gradients."""

import itertools
import math

import pytest
import torch

from spinode import kernels
from spinode.surrogates.synapses.drift import Drift, Latents

BOTH = ("SET", "RESET")
NAMES = ("centre", "log range", "log rate SET", "log rate RESET", "shape 1")


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drift(*, latents=None, extra=1, kappa=0.05, tied=False, seed=0, lively=3.0):
    """A drift whose network is large enough to be nonlinear, sinh included."""
    made = Drift(latents or Latents(BOTH, True, 1), extra, kappa, tied=tied, hidden=(8, 8), generator=seeded(seed))
    with torch.no_grad():
        for weight in made.field.parameters():
            weight.copy_(torch.randn(weight.shape, generator=seeded(seed + 1), dtype=weight.dtype) * 0.3)
        made.field.out.weight *= lively
    return made


def sample(count=50, latents=5, seed=2):
    g = seeded(seed)
    x, voltage = torch.randn(2, count, generator=g, dtype=torch.float64)
    polarity = torch.where(torch.rand(count, generator=g) > 0.5, 1.0, -1.0).double()
    return (
        x,
        polarity,
        [voltage],
        0.5 * torch.randn(count, latents, generator=g, dtype=torch.float64),
        torch.zeros(count).double(),
    )


def shifted(latents, name, by):
    other = latents.clone()
    other[:, NAMES.index(name)] += by
    return other


# --- latents ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latents", "names"),
    [
        (Latents(BOTH, True, 1), NAMES),
        (Latents(("SET",), False, 2), ("log range", "log rate SET", "shape 1", "shape 2")),
        (Latents(BOTH, False, 0, window=False), ("log rate SET", "log rate RESET")),
        (Latents((), False, 0, window=False), ()),
    ],
)
def test_names_and_columns_belong_together(latents, names):
    assert latents.names == names
    values = torch.arange(float(len(names)))
    centre, span, rates, shape = latents.split(values)
    found = {f"log rate {name}": rate for name, rate in rates.items()}
    found |= {f"shape {i + 1}": value for i, value in enumerate(shape)}
    if "centre" in names:
        found["centre"] = centre
    if "log range" in names:
        found["log range"] = span
    assert {name: float(value) for name, value in found.items()} == {name: float(i) for i, name in enumerate(names)}


# --- scaling laws ----------------------------------------------------------------------------------------------------


def test_a_log_rate_of_ln_2_more_doubles_the_rate_of_its_polarity_alone():
    model = drift()
    x, polarity, extra, latents, first = sample()
    before = model(x, polarity, extra, latents, first)
    after = model(x, polarity, extra, shifted(latents, "log rate RESET", math.log(2)), first)
    torch.testing.assert_close(after, torch.where(polarity < 0, 2 * before, before))
    assert float(before.detach().abs().min()) > 0


def test_state_and_centre_move_together():
    model = drift()
    x, polarity, extra, latents, first = sample()
    moved = model(x + 1.7, polarity, extra, shifted(latents, "centre", 1.7), first)
    torch.testing.assert_close(moved, model(x, polarity, extra, latents, first))


def test_a_wider_range_is_a_stretched_state():
    model = drift()
    x, polarity, extra, latents, first = sample()
    wide = shifted(latents, "log range", math.log(3))
    centre = latents[:, 0]
    stretched = model(centre + 3 * (x - centre), polarity, extra, wide, first)
    torch.testing.assert_close(stretched, model(x, polarity, extra, latents, first))


def test_a_tied_centre_is_the_first_state():
    model = drift(latents=Latents(("RESET",), False, 1), tied=True)
    x, polarity, extra, latents, first = sample(latents=3)
    polarity = -polarity.abs()
    moved = model(x + 1.7, polarity, extra, latents, first + 1.7)
    torch.testing.assert_close(moved, model(x, polarity, extra, latents, first))
    assert not torch.allclose(model(x + 1.7, polarity, extra, latents, first), moved)


def test_kappa_scales_all():
    x, polarity, extra, latents, first = sample()
    one, three = (drift(kappa=kappa)(x, polarity, extra, latents, first) for kappa in (0.01, 0.03))
    torch.testing.assert_close(three, 3 * one)


def test_the_rate_is_the_formula_written_out():
    """kappa exp(r) sinh(N(...)) with the network called as the torch module it is."""
    model = drift()
    x, polarity, extra, latents, first = sample()
    position = (x - latents[:, 0]) * torch.exp(-latents[:, 1])
    inputs = torch.stack([polarity, extra[0], latents[:, 4]], -1)
    rates = torch.where(polarity > 0, latents[:, 2], latents[:, 3])
    expected = 0.05 * torch.exp(rates) * torch.sinh(model.field(position[:, None], inputs)[:, 0])
    torch.testing.assert_close(model(x, polarity, extra, latents, first), expected)


def test_shapes_of_devices_are_kept():
    model = drift()
    x, polarity, extra, latents, first = sample(24)
    flat = model.change(x, polarity.abs() * 3, polarity, extra, latents, first)
    shape = (2, 3, 4)
    values = [value.reshape(shape) for value in (x, polarity.abs() * 3, polarity)]
    found = model.change(*values, [extra[0].reshape(shape)], latents.reshape(*shape, 5), first.reshape(shape))
    torch.testing.assert_close(found, flat.reshape(shape))
    number = model.change(*values, [0.3], latents.reshape(*shape, 5), first.reshape(shape))
    same = model.change(*values, [torch.full(shape, 0.3).double()], latents.reshape(*shape, 5), first.reshape(shape))
    torch.testing.assert_close(number, same)


# --- several pulses --------------------------------------------------------------------------------------------------


def test_no_pulse_no_change_and_one_pulse_is_a_euler_step():
    model = drift()
    x, polarity, extra, latents, first = sample()
    zero = model.change(x, torch.zeros_like(x), polarity, extra, latents, first)
    assert (zero == 0).all()
    one = model.change(x, torch.ones_like(x), polarity, extra, latents, first)
    torch.testing.assert_close(one, model(x, polarity, extra, latents, first))


def test_each_device_has_its_own_number_of_pulses():
    model = drift()
    x, polarity, extra, latents, first = sample(6)
    count = torch.tensor([0.0, 1.0, 2.0, 5.0, 1.0, 9.0]).double()
    together = model.change(x, count, polarity, extra, latents, first)
    for i in range(6):
        one = slice(i, i + 1)
        alone = model.change(x[one], count[one], polarity[one], [extra[0][one]], latents[one], first[one])
        torch.testing.assert_close(together[one], alone)


@pytest.mark.parametrize("count", [2, 5, 16])
def test_pulses_at_once_are_single_ones_to_third_order_in_the_rate(count):
    """n f(x + (n - 1) f / 2) has the terms f and f f' of n Euler steps: the difference falls eightfold as rates halve."""
    x, polarity, extra, latents, first = sample()
    errors = []
    for kappa in (4e-3 / count, 2e-3 / count, 1e-3 / count):
        model = drift(kappa=kappa)
        single = x.clone()
        for _ in range(count):
            single = single + model.change(single, torch.ones_like(x), polarity, extra, latents, first)
        at_once = x + model.change(x, torch.full_like(x, float(count)), polarity, extra, latents, first)
        errors.append(float((at_once - single).detach().abs().max()))
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(8, rel=0.15)


# --- gradients and extremes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1.0, 4.0])
def test_gradients_by_the_fast_path_are_those_of_torch(count):
    """In state, voltage, latents, number of pulses and weights."""
    model = drift()
    x, polarity, extra, latents, first = sample()

    def gradients(mode):
        given = [value.clone().requires_grad_() for value in (x, extra[0], latents, torch.full_like(x, count))]
        with kernels.use(mode):
            change = model.change(given[0], given[3], polarity, [given[1]], given[2], first)
            return change, *torch.autograd.grad(change.square().sum(), [*given, *model.field.parameters()])

    for fast, plain in zip(gradients("auto"), gradients("torch"), strict=True):
        torch.testing.assert_close(fast, plain, rtol=1e-9, atol=1e-12)
        assert float(plain.detach().abs().max()) > 0


def test_gradients_are_those_of_differences():
    model = drift()
    x, polarity, extra, latents, first = sample(4)
    given = [value.clone().requires_grad_() for value in (x, extra[0], latents, torch.full_like(x, 3.5))]
    assert torch.autograd.gradcheck(
        lambda x, v, z, n: model.change(x, n, polarity, [v], z, first), given, eps=1e-6, atol=1e-8, rtol=1e-5
    )


def test_single_precision_agrees_with_double():
    model = drift()
    x, polarity, extra, latents, first = sample(500)
    expected = model.change(x, torch.full_like(x, 3.0), polarity, extra, latents, first)
    given = [value.float() for value in (x, torch.full_like(x, 3.0), polarity)]
    found = drift().float().change(*given, [extra[0].float()], latents.float(), first.float())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_inputs_give_finite_rates_and_gradients(dtype):
    """States and voltages a million deviations out, latents at their bounds: the sinh stops where it must."""
    model = drift().to(dtype)
    grid = torch.tensor(list(itertools.product([-1e6, 0.0, 1e6], [-1.0, 1.0], [-1e6, 1e6], [-6.0, 6.0])), dtype=dtype)
    x, polarity, voltage, latent = grid.unbind(1)
    x, voltage = x.clone().requires_grad_(), voltage.clone().requires_grad_()
    latents = latent[:, None].expand(-1, 5).clone().requires_grad_()
    rate = model(x, polarity, [voltage], latents, torch.zeros_like(x))
    assert bool(torch.isfinite(rate).all())
    assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad(rate.sum(), [x, voltage, latents]))
    assert float(rate.detach().abs().max()) <= 0.05 * math.exp(6) * math.sinh(20) * 1.001
