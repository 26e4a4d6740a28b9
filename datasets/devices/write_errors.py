"""Write errors of spin-transfer-torque MRAM: their rate as a function of current and width, and bits with such errors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import ConfigError
from ..macrospin.llg import GAMMA0, MU0
from ..sampled_drive import Values, float64

STABILITY = 60.0  # Delta, energy barrier over k T
DAMPING = 0.01
ANISOTROPY_FIELD = 0.4 / MU0  # effective H_k [A/m]


def write_error_rate(
    overdrive: Values,
    width: Values,
    *,
    stability: Values = STABILITY,
    damping: float = DAMPING,
    anisotropy_field: float = ANISOTROPY_FIELD,
) -> Tensor:
    """Return the probability that a write fails, for a perpendicular macrospin.

    WER = 1 - exp( -(pi^2 Delta / 4) (i - 1) / (i exp(2 tau (i - 1)) - 1) ),   tau = alpha gamma0 H_k t / (1 + alpha^2)

    with the overdrive i = I / Ic0. It describes fast switching, i > 1. Below, where thermal activation dominates, the
    expression continues smoothly (through WER = 1 - exp(-pi^2 Delta / 4 / (1 + 2 tau)) at i = 1) and is an upper bound. The
    relative error of the result is small, however small the rate is.

    Args:
        overdrive: i, above zero.
        width: Width t [s] of the pulse, above zero; broadcasts against `overdrive`.
        stability: Delta = barrier / k T.
        damping: Gilbert damping alpha.
        anisotropy_field: Effective anisotropy field H_k [A/m].

    Returns:
        WER, float64, of the common shape.

    Raises:
        ConfigError: values that are not finite and above zero.

    Example:
        >>> [f"{rate:.1e}" for rate in write_error_rate([1.5, 2.0, 3.0], 10e-9).tolist()]
        ['4.2e-02', '5.7e-05', '5.9e-11']

    Source: W. H. Butler et al., IEEE Trans. Magn. 48, 4684 (2012).
    """
    i, delta = _above_zero(overdrive, "overdrive"), _above_zero(stability, "stability")
    tau = reduced_time(_above_zero(width, "width"), damping, anisotropy_field)
    return -torch.expm1(-torch.exp(log_start(delta) - log_growth(i, tau)))


def overdrive_for(
    ber: Values,
    width: Values,
    *,
    stability: Values = STABILITY,
    damping: float = DAMPING,
    anisotropy_field: float = ANISOTROPY_FIELD,
) -> Tensor:
    """Return the overdrive i = I / Ic0 at which `write_error_rate` has a given value, by bisection to full precision.

    Args:
        ber: Requested error rate, between 0 and 1.
        width: Width [s] of the pulse; broadcasts against `ber`.
        stability: As in `write_error_rate`, like all that follow.
        damping: Gilbert damping.
        anisotropy_field: Effective anisotropy field [A/m].

    Returns:
        i, float64, of the common shape.

    Raises:
        ConfigError: a rate outside 0 .. 1, or one that is exceeded at no current.
    """
    rate, delta = float64(ber, "ber"), _above_zero(stability, "stability")
    if not bool(((rate > 0) & (rate < 1)).all()):
        raise ConfigError(
            "ber contains a rate that is not between 0 and 1, both excluded; an error rate of 0 would need infinite current."
        )
    tau = reduced_time(_above_zero(width, "width"), damping, anisotropy_field)
    goal, tau = torch.broadcast_tensors(log_start(delta) - torch.log(-torch.log1p(-rate)), tau)
    if bool((goal <= 0).any()):
        raise ConfigError(
            f"ber contains a rate above 1 - exp(-pi^2 Delta / 4), the rate without current at Delta = {float(delta.min()):g}; "
            "request a lower rate."
        )
    # The growth exceeds 2 tau (i - 1) everywhere, so this current is an upper bound.
    low, high = torch.zeros_like(goal), 1 + goal / (2 * tau)
    for _ in range(64):
        middle = (low + high) / 2
        too_small = log_growth(middle, tau) < goal
        low, high = torch.where(too_small, middle, low), torch.where(too_small, high, middle)
    return torch.lerp(low, high, 0.5)


def write_energy(overdrive: Values, width: Values, *, critical_current: float = 50e-6, resistance: float = 5e3) -> Tensor:
    """Return the energy [J] of a write, E = (i Ic0)^2 R t, float64.

    Args:
        overdrive: i = I / Ic0.
        width: Width t [s]; broadcasts against `overdrive`.
        critical_current: Ic0 [A].
        resistance: R [ohm].

    Raises:
        ConfigError: values that are not finite and above zero.
    """
    i, time = _above_zero(overdrive, "overdrive"), _above_zero(width, "width")
    ohm, ampere = _above_zero(resistance, "resistance"), _above_zero(critical_current, "critical_current")
    return (i * ampere) ** 2 * ohm * time


def flip_bits(weights: Tensor, ber: Values, generator: torch.Generator) -> Tensor:
    """Return binary weights with bit errors: each weight changes its sign, or each bit its value, with probability `ber`.

    Args:
        weights: Weights of +1 and -1 (or any two values +-w), or bits of type bool; they are not changed.
        ber: Bit error rate, 0 .. 1; a number or one that broadcasts against the weights.
        generator: Source of the errors.

    Raises:
        ConfigError: a rate outside 0 .. 1, or weights of 0, which have no sign.

    Example:
        >>> flip_bits(torch.tensor([1.0, -1.0]), 1.0, torch.Generator()).tolist()
        [-1.0, 1.0]
    """
    rate = float64(ber, "ber")
    if not bool(((rate >= 0) & (rate <= 1)).all()):
        raise ConfigError("ber contains a rate outside 0 .. 1; expected probabilities.")
    if weights.dtype == torch.bool:
        return weights ^ random_events(rate.to(weights.device), weights, generator)
    if bool((weights == 0).any()):
        raise ConfigError("weights contain 0, which has no sign to change; pass +1 and -1, or bits as torch.bool.")
    return torch.where(random_events(rate.to(weights.device), weights, generator), -weights, weights)


# --- the closed form --------------------------------------------------------------------------------------------------


def reduced_time(width: Tensor, damping: float, anisotropy_field: float) -> Tensor:
    """Return the dimensionless time tau; at twice the critical current the magnet's angle grows as e^(2 tau)."""
    return width * (damping * GAMMA0 * anisotropy_field / (1 + damping**2))


def log_start(stability: Tensor) -> Tensor:
    """Return the logarithm of pi^2 Delta / 4, the inverse mean square of the initial angle of the magnet."""
    return torch.log(stability * (math.pi**2 / 4))


def log_growth(i: Tensor, tau: Tensor) -> Tensor:
    """Return the logarithm of (i e^y - 1) / (i - 1) = e^y + 2 tau (e^y - 1) / y, with y = 2 tau (i - 1)."""
    y = 2 * tau * (i - 1)
    small = y.abs() < 1e-8
    safe = torch.where(small, 1.0, y)
    positive = y > 0
    # For y > 0 with e^y factored out: e^y (1 + 2 tau (1 - e^-y) / y) does not overflow.
    ratio = torch.where(small, 1.0, torch.expm1(-safe.abs()) / -safe.abs())
    return torch.where(positive, y + torch.log1p(2 * tau * ratio), torch.log(torch.exp(-y.abs()) + 2 * tau * ratio))


def log1mexp(x: Tensor) -> Tensor:
    """Return the logarithm of 1 - exp(-x) for x >= 0."""
    return torch.where(x < math.log(2), torch.log(-torch.expm1(-x)), torch.log1p(-torch.exp(-x)))


def random_events(probability: Tensor, like: Tensor, generator: torch.Generator) -> Tensor:
    """Return independent random events, bool, of the shape of `like`.

    Uniform numbers have double precision: those of single precision are multiples of 2^-24, so rarer events would be too
    frequent.
    """
    return torch.rand(like.shape, generator=generator, dtype=torch.float64, device=like.device) < probability


def _above_zero(values: Values, name: str) -> Tensor:
    tensor = float64(values, name)
    if not bool((tensor > 0).all()):
        raise ConfigError(
            f"{name} is {float(tensor[~(tensor > 0)].reshape(-1)[0]):g}; expected numbers above zero, in SI units."
        )
    return tensor
