"""Time series of reservoir computing, generated from their equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import ConfigError
from ...random import check_generator
from ...validation import array_size, number, whole_number

#: Largest number of integration steps of a series.
MAX_STEPS = 10**8


def mackey_glass(
    length: int,
    *,
    tau: float = 17.0,
    beta: float = 0.2,
    gamma: float = 0.1,
    power: float = 10.0,
    interval: float = 1.0,
    substeps: int = 20,
    start: float = 1.2,
    washout: int = 500,
) -> Tensor:
    """Generate the Mackey-Glass series, dx/dt = beta x(t - tau) / (1 + x(t - tau)^power) - gamma x.

    It is integrated by classical Runge-Kutta steps; the delayed value within a step comes from the cubic through the values and
    slopes at its ends.

    Args:
        length: Number of samples.
        tau: Delay; the series is chaotic from 17 on.
        beta: Production rate.
        gamma: Decay rate.
        power: Exponent of the saturation.
        interval: Time between two samples, in the dimensionless time of the equation.
        substeps: Integration steps per interval.
        start: x at all times up to 0.
        washout: Number of samples that are dropped at the beginning.

    Returns:
        Shape (length,), float64.

    Raises:
        ConfigError: numbers that are not positive, or a delay that is not a multiple of the step.

    Source: Mackey and Glass, Science 197, 287 (1977), doi:10.1126/science.267326; the parameters of Jaeger and Haas, Science
    304, 78 (2004), doi:10.1126/science.1091277.

    Example:
        >>> series = mackey_glass(200)
        >>> series.shape, bool((series > 0.2).all()), bool((series < 1.4).all())
        (torch.Size([200]), True, True)
    """
    length, substeps = whole_number("length", length, 1), whole_number("substeps", substeps, 1)
    washout = whole_number("washout", washout, 0)
    tau, start = number("tau", tau, 0, above=True), number("start", start)
    beta, gamma, power = number("beta", beta), number("gamma", gamma), number("power", power)
    step = number("interval", interval, 0, above=True) / substeps
    delay = round(min(tau / step, 2.0 * MAX_STEPS))
    if delay < 1 or abs(delay * step - tau) > 1e-9 * tau:
        raise ConfigError(
            f"tau is {tau!r} with interval={interval!r} and substeps={substeps}; expected a multiple of the step, "
            f"interval / substeps = {step:g}."
        )
    total = (length + washout) * substeps
    if total + delay > MAX_STEPS:
        raise ConfigError(
            f"length={length}, washout={washout}, substeps={substeps} and tau={tau:g} take {total + delay} integration steps; "
            f"expected at most {MAX_STEPS}."
        )
    # Values and slopes at all steps, beginning at -delay.
    x = [float(start)] * (delay + 1) + [0.0] * total
    slope = [0.0] * (delay + 1) + [0.0] * total

    def rate(value: float, delayed: float) -> float:
        try:
            return float(beta * delayed / (1 + delayed**power) - gamma * value)
        except (OverflowError, TypeError, ZeroDivisionError):  # a negative value to a fractional power is complex
            raise ConfigError(
                f"the series diverges: x(t - tau) is {delayed:g} and power={power:g}; pass a smaller start or other parameters."
            ) from None

    slope[delay] = rate(x[delay], x[0])
    for k in range(delay, delay + total):
        a, b = x[k - delay], x[k - delay + 1]
        # x is constant before t = 0, where its slope jumps.
        left, right = slope[k - delay], slope[k - delay + 1] if k - delay >= delay else 0.0
        middle = (a + b) / 2 + step * (left - right) / 8
        k1 = slope[k]
        k2 = rate(x[k] + step / 2 * k1, middle)
        k3 = rate(x[k] + step / 2 * k2, middle)
        k4 = rate(x[k] + step * k3, b)
        x[k + 1] = x[k] + step / 6 * (k1 + 2 * (k2 + k3) + k4)
        slope[k + 1] = rate(x[k + 1], b)
    series = torch.tensor(x[delay::substeps], dtype=torch.float64)
    return series[washout : washout + length]


def narma(length: int, *, order: int = 10, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Generate a NARMA series, a nonlinear autoregressive moving average.

    y(t + 1) = 0.3 y(t) + 0.05 y(t) sum_{i < order} y(t - i) + 1.5 u(t - order + 1) u(t) + 0.1, with u uniform in 0 .. 0.5.

    Args:
        length: Number of samples.
        order: Order, from 2 to 10; larger orders diverge. 10 gives the benchmark NARMA10.
        generator: Source of u.

    Returns:
        u and y, each of shape (length,); the target y(t) depends on inputs up to u(t - 1).

    Raises:
        ConfigError: another order, or a series that diverged, which happens for a few seeds.

    Source: Atiya and Parlos, IEEE Trans. Neural Netw. 11, 697 (2000), doi:10.1109/72.846741.

    Example:
        >>> u, y = narma(100, generator=torch.Generator().manual_seed(0))
        >>> u.shape, y.shape, bool((y >= 0).all())
        (torch.Size([100]), torch.Size([100]), True)
    """
    length, order = whole_number("length", length, 1), whole_number("order", order, 2, 10)
    check_generator(generator)
    u = torch.rand(length, generator=generator, dtype=torch.float64) / 2
    drive, y = u.tolist(), [0.0] * length
    for t in range(order - 1, length - 1):
        window_sum = sum(y[t - order + 1 : t + 1])
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * window_sum + 1.5 * drive[t - order + 1] * drive[t] + 0.1
        if not y[t + 1] < 10:
            raise ConfigError(
                f"the NARMA{order} series diverged at sample {t + 1}, as it does for a few seeds; use another seed."
            )
    return u, torch.tensor(y, dtype=torch.float64)


def sine_square(periods: int, *, samples: int = 8, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Generate periods of a sine and of a square wave in random order, to be classified at each sample.

    Args:
        periods: Number of periods.
        samples: Samples per period.
        generator: Source of the order.

    Returns:
        The signal, from -1 to 1, and the class, 0 for sine and 1 for square, each of shape (periods * samples,).

    Raises:
        ConfigError: numbers that are not positive, or an odd number of samples.

    Source: Paquot et al., Sci. Rep. 2, 287 (2012), doi:10.1038/srep00287; eight samples as Torrejon et al., Nature 547, 428
    (2017).

    Example:
        >>> signal, label = sine_square(3, generator=torch.Generator().manual_seed(0))
        >>> label.reshape(3, 8)[:, 0].tolist()
        [0.0, 1.0, 1.0]
    """
    periods, samples = whole_number("periods", periods, 1), whole_number("samples", samples, 4)
    check_generator(generator)
    array_size("the signal", periods=periods, samples=samples)
    if samples % 2:
        raise ConfigError(f"samples is {samples}; expected an even number.")
    phase = 2 * math.pi * torch.arange(samples, dtype=torch.float64) / samples
    waves = torch.stack([phase.sin(), torch.where(phase < math.pi, 1.0, -1.0).to(torch.float64)])
    kinds = torch.randint(2, (periods,), generator=generator)
    return waves[kinds].reshape(-1), kinds.repeat_interleave(samples).to(torch.float64)
