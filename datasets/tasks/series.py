"""Series of reservoir computing, made from their equations."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ...errors import ConfigError


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
    """The Mackey-Glass series, dx/dt = beta x(t - tau) / (1 + x(t - tau)^power) - gamma x.

    Classical Runge-Kutta steps; the delayed value between two steps is that of the cubic through their values and slopes.

    Args:
        length: Samples.
        tau: Delay; from 17 on the series is chaotic.
        beta: Production.
        gamma: Decay.
        power: Of the saturation.
        interval: Between samples, in units of 1 / (10 gamma) = 1.
        substeps: Steps of an interval.
        start: x at all times up to 0.
        washout: Samples that are left out at the beginning.

    Returns:
        Shape (length,), float64.

    Raises:
        ConfigError: numbers that are not positive, or a delay that is no multiple of the step.

    Source: Mackey and Glass, Science 197, 287 (1977), doi:10.1126/science.267326; the parameters of Jaeger and Haas, Science
    304, 78 (2004), doi:10.1126/science.1091277.
    """
    _count(length, "length")
    _count(substeps, "substeps")
    step = interval / substeps if interval > 0 else math.nan
    delay = round(tau / step) if 0 < tau < math.inf and step > 0 else 0
    if delay < 1 or abs(delay * step - tau) > 1e-9 * tau or not isinstance(washout, int) or washout < 0:
        raise ConfigError(
            f"tau, interval and substeps are {tau!r}, {interval!r} and {substeps!r}, washout {washout!r}; expected positive "
            f"numbers, tau a "
            "multiple of interval / substeps, and a washout from 0 on."
        )
    total = (length + washout) * substeps
    # Values and slopes by step, from -delay on.
    x = [float(start)] * (delay + 1) + [0.0] * total
    slope = [0.0] * (delay + 1) + [0.0] * total

    def rate(value: float, delayed: float) -> float:
        return float(beta * delayed / (1 + delayed**power) - gamma * value)

    slope[delay] = rate(x[delay], x[0])
    for k in range(delay, delay + total):
        a, b = x[k - delay], x[k - delay + 1]
        # x has a corner at t = 0, flat before it.
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
    """NARMA: y(t + 1) = 0.3 y(t) + 0.05 y(t) sum_{i < order} y(t - i) + 1.5 u(t - order + 1) u(t) + 0.1, u uniform in 0 .. 0.5.

    Args:
        length: Samples.
        order: 2 .. 10; larger ones diverge. With 10 it is NARMA10.
        generator: Source of u.

    Returns:
        u and y, each of shape (length,); the target y(t) rests on inputs up to u(t - 1).

    Raises:
        ConfigError: another order, or a series that diverged, which a few do.

    Source: Atiya and Parlos, IEEE Trans. Neural Netw. 11, 697 (2000), doi:10.1109/72.846741.
    """
    _count(length, "length")
    if not isinstance(order, int) or not 2 <= order <= 10:
        raise ConfigError(f"order is {order!r}; expected 2 .. 10.")
    u = torch.rand(length, generator=generator, dtype=torch.float64) / 2
    drive, y = u.tolist(), [0.0] * length
    for t in range(order - 1, length - 1):
        past = sum(y[t - order + 1 : t + 1])
        y[t + 1] = 0.3 * y[t] + 0.05 * y[t] * past + 1.5 * drive[t - order + 1] * drive[t] + 0.1
        if not y[t + 1] < 10:
            raise ConfigError(f"the series diverged at sample {t + 1}, as a few of NARMA{order} do; take another seed.")
    return u, torch.tensor(y, dtype=torch.float64)


def sine_square(periods: int, *, samples: int = 8, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Periods of a sine or of a square wave in random order, to tell apart at each sample.

    Args:
        periods: How many.
        samples: Samples of a period.
        generator: Source of the order.

    Returns:
        The signal within -1 .. 1, and 0 for sine or 1 for square, each of shape (periods * samples,).

    Raises:
        ConfigError: numbers that are not positive, or an odd number of samples.

    Source: Paquot et al., Sci. Rep. 2, 287 (2012), doi:10.1038/srep00287; eight samples as Torrejon et al., Nature 547, 428
    (2017).
    """
    _count(periods, "periods")
    _count(samples, "samples")
    if samples % 2 or samples < 4:
        raise ConfigError(f"samples is {samples!r}; expected an even number from 4 on.")
    phase = 2 * math.pi * torch.arange(samples, dtype=torch.float64) / samples
    waves = torch.stack([phase.sin(), torch.where(phase < math.pi, 1.0, -1.0).to(torch.float64)])
    kinds = torch.randint(2, (periods,), generator=generator)
    return waves[kinds].reshape(-1), kinds.repeat_interleave(samples).to(torch.float64)


def _count(value: int, name: str) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} is {value!r}; expected a positive whole number.")
