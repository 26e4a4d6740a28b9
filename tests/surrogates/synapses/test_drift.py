"""The drift: its scaling laws, several pulses in one step against single ones, and its gradients."""

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


def drift(*, latents=None, extra=1, kappa=0.05, tied=False, seed=0, amplitude=3.0):
    """Return a drift with weights large enough for the network and the sinh to be nonlinear."""
    model = Drift(latents or Latents(BOTH, True, 1), extra, kappa, tied=tied, hidden=(8, 8), generator=seeded(seed))
    with torch.no_grad():
        for weight in model.field.parameters():
            weight.copy_(torch.randn(weight.shape, generator=seeded(seed + 1), dtype=weight.dtype) * 0.3)
        model.field.out.weight *= amplitude
    return model


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
def test_latents_split_into_their_named_parts(latents, names):
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


def test_adding_ln_2_to_a_log_rate_doubles_the_rate_of_its_polarity_only():
    model = drift()
    x, polarity, extra, latents, first = sample()
    before = model(x, polarity, extra, latents, first)
    after = model(x, polarity, extra, shifted(latents, "log rate RESET", math.log(2)), first)
    torch.testing.assert_close(after, torch.where(polarity < 0, 2 * before, before))
    assert float(before.detach().abs().min()) > 0


def test_a_shift_of_state_and_centre_does_not_change_the_rate():
    model = drift()
    x, polarity, extra, latents, first = sample()
    moved = model(x + 1.7, polarity, extra, shifted(latents, "centre", 1.7), first)
    torch.testing.assert_close(moved, model(x, polarity, extra, latents, first))


def test_a_wider_range_scales_the_state():
    model = drift()
    x, polarity, extra, latents, first = sample()
    wider = shifted(latents, "log range", math.log(3))
    centre = latents[:, 0]
    stretched = model(centre + 3 * (x - centre), polarity, extra, wider, first)
    torch.testing.assert_close(stretched, model(x, polarity, extra, latents, first))


def test_a_tied_centre_is_the_first_state():
    model = drift(latents=Latents(("RESET",), False, 1), tied=True)
    x, polarity, extra, latents, first = sample(latents=3)
    polarity = -polarity.abs()
    moved = model(x + 1.7, polarity, extra, latents, first + 1.7)
    torch.testing.assert_close(moved, model(x, polarity, extra, latents, first))
    assert not torch.allclose(model(x + 1.7, polarity, extra, latents, first), moved)


def test_kappa_scales_the_rate():
    x, polarity, extra, latents, first = sample()
    one, three = (drift(kappa=kappa)(x, polarity, extra, latents, first) for kappa in (0.01, 0.03))
    torch.testing.assert_close(three, 3 * one)


def test_the_rate_equals_the_formula():
    """Compare with kappa exp(r) sinh(N(...)), where the network is called as a torch module."""
    model = drift()
    x, polarity, extra, latents, first = sample()
    position = (x - latents[:, 0]) * torch.exp(-latents[:, 1])
    inputs = torch.stack([polarity, extra[0], latents[:, 4]], -1)
    rates = torch.where(polarity > 0, latents[:, 2], latents[:, 3])
    expected = 0.05 * torch.exp(rates) * torch.sinh(model.field(position[:, None], inputs)[:, 0])
    torch.testing.assert_close(model(x, polarity, extra, latents, first), expected)


def test_the_shape_of_devices_is_preserved():
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


def test_one_pulse_is_an_euler_step_and_no_pulse_changes_nothing():
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
def test_several_pulses_in_one_step_are_accurate_to_third_order_in_the_rate(count):
    """n f(x + (n - 1) f / 2) agrees with n Euler steps in the terms f and f f': halving the rate divides the error by eight."""
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
def test_gradients_of_the_fast_path_equal_those_of_torch(count):
    """Checks state, voltage, latents, number of pulses and weights."""
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


def test_gradients_agree_with_differences():
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
    """The argument of the sinh is bounded for states and voltages of a million, and latents at their bounds."""
    model = drift().to(dtype)
    grid = torch.tensor(list(itertools.product([-1e6, 0.0, 1e6], [-1.0, 1.0], [-1e6, 1e6], [-6.0, 6.0])), dtype=dtype)
    x, polarity, voltage, latent = grid.unbind(1)
    x, voltage = x.clone().requires_grad_(), voltage.clone().requires_grad_()
    latents = latent[:, None].expand(-1, 5).clone().requires_grad_()
    rate = model(x, polarity, [voltage], latents, torch.zeros_like(x))
    assert bool(torch.isfinite(rate).all())
    assert all(bool(torch.isfinite(g).all()) for g in torch.autograd.grad(rate.sum(), [x, voltage, latents]))
    assert float(rate.detach().abs().max()) <= 0.05 * math.exp(6) * math.sinh(20) * 1.001


# --- polarities that never reverse, and limits -----------------------------------------------------------------------


@pytest.mark.parametrize("monotonic", [("SET",), ("RESET",), BOTH])
def test_monotonic_polarities_never_reverse(monotonic):
    """The others do, with these weights."""
    model = drift(amplitude=6.0)
    model.monotonic = monotonic
    x, polarity, extra, latents, first = sample(2000)
    steps = model(x, polarity, extra, latents, first) * polarity
    for name, sign in (("SET", 1.0), ("RESET", -1.0)):
        assert bool((steps[polarity == sign] > 0).all()) == (name in monotonic)


def test_large_steps_do_not_depend_on_the_form():
    """2 sinh(N) = exp(N) for large N."""
    model = drift(amplitude=20.0)
    x, polarity, extra, latents, first = sample(2000)
    either = model(x, polarity, extra, latents, first)
    model.monotonic = BOTH
    one_way = model(x, polarity, extra, latents, first)
    along = (either * polarity > 0) & (one_way.abs() > 50 * model.kappa) & (polarity > 0)
    assert along.sum() > 20
    torch.testing.assert_close(2 * either[along], one_way[along], rtol=1e-3, atol=0)


@pytest.mark.parametrize("pulses", [1.0, 7.0])
def test_steps_end_at_the_limits(pulses):
    model = drift(amplitude=6.0)
    model.limits = (-1.0, 1.5)
    x, polarity, extra, latents, first = sample(2000)
    count = torch.full_like(x, pulses)
    after = x + model.change(x, count, polarity, extra, latents, first)
    inside = (x >= -1.0) & (x <= 1.5)
    assert float(after[inside].detach().min()) == pytest.approx(-1.0)
    assert float(after[inside].detach().max()) == pytest.approx(1.5)
    # From beyond, a state may return but not go on.
    assert bool((after[x > 1.5] <= x[x > 1.5]).all())
    assert bool((after[x < -1.0] >= x[x < -1.0]).all())
    model.limits = None
    free = x + model.change(x, count, polarity, extra, latents, first)
    if pulses == 1.0:
        torch.testing.assert_close(after[inside], free[inside].clamp(-1.0, 1.5), rtol=0, atol=1e-12)
