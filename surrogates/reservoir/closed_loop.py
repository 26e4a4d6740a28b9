"""A reservoir that drives itself with its own forecast, and how long it remembers where it began."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ...errors import ConfigError
from ...random import check_generator
from ...tensors import all_finite, real_tensor
from ...validation import number, whole_number
from .time_multiplexed import Reservoir


def forecast(
    reservoir: Reservoir,
    readout: Callable[[Tensor], Tensor],
    steps: int,
    *,
    warmup: Tensor,
    generator: torch.Generator | None = None,
    strict: bool = False,
) -> Tensor:
    """Continue a series in a closed loop: each output is the next input.

    The reservoir runs under the warm-up; then x(t + 1) = readout(s(t)), and s(t + 1) follows under x(t + 1).

    Args:
        reservoir: The reservoir, unchanged except for `outside` and `outside_mask`.
        readout: Fitted to forecast the next input from the states, such as a `Readout` or a `RecursiveReadout`.
        steps: Number of values to forecast.
        warmup: Series up to the present, shape (..., time, inputs), or (time,) for one channel.
        generator: Source of the devices' noise; their mean response if omitted.
        strict: Raise an error where a device leaves the domain it was fitted on, instead of a warning.

    Returns:
        The next values, shape (..., steps, inputs), or (steps,) for a warm-up of shape (time,).

    Raises:
        ConfigError: a readout whose outputs are not as wide as the input, or a forecast that became infinite.
        DomainError: `strict` is set and a device left its domain.

    Warns:
        DomainWarning: a device left the domain it was fitted on.

    Example:
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> from spinode.surrogates import Reservoir, RidgeStatistics
        >>> reservoir = Reservoir(SpinTorqueOscillator(), nodes=8, scale=1e-3, offset=6.5e-3, output="V")
        >>> x = torch.sin(0.3 * torch.arange(200, dtype=torch.float64))
        >>> sums = RidgeStatistics(reservoir.width, segment=20)
        >>> sums.add(reservoir(x)[50:-1], x[51:])
        >>> forecast(reservoir, sums.solve(), 20, warmup=x).shape
        torch.Size([20])

    Source: Jaeger and Haas, Science 304, 78 (2004), doi:10.1126/science.1091277.
    """
    steps = whole_number("steps", steps, 1)
    check_generator(generator)
    series = real_tensor("warmup", warmup)
    single = series.dim() == 1
    series = series.unsqueeze(-1) if single else series
    runs = reservoir.start(generator)
    state = reservoir.continue_runs(runs, series, strict=strict)[..., -1:, :]
    values: list[Tensor] = []
    while True:
        value = readout(state)
        if value.shape[-1] != reservoir.inputs:
            raise ConfigError(
                f"the readout has {value.shape[-1]} outputs and the reservoir {reservoir.inputs} inputs; a closed loop needs "
                "as many. Fit the readout to the next values of all inputs."
            )
        if not all_finite(value):
            raise ConfigError(
                f"the forecast became infinite after {len(values)} steps; fit the readout with a larger regulariser."
            )
        values.append(value)
        if len(values) == steps:
            break
        state = reservoir.continue_runs(runs, value, strict=strict)
    result = torch.cat(values, -2)
    return result.squeeze(-1) if single else result


def washout_length(reservoir: Reservoir, x: Tensor, *, tolerance: float = 1e-3) -> int:
    """Return the number of inputs after which the states no longer depend on where the devices began.

    Runs the reservoir from two initial states under one drive: from rest, and from the state that the reversed input left
    behind. It is the first time from which the states differ by at most `tolerance` of their standard deviation for good.

    Args:
        reservoir: The reservoir, unchanged except for `outside` and `outside_mask`.
        x: Typical input, shape (time, inputs), or (time,) for one channel.
        tolerance: Largest difference of any state, in the standard deviation of all states.

    Raises:
        ConfigError: another shape, or states that still differ at the end of the input.

    Example:
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> from spinode.surrogates import Reservoir
        >>> reservoir = Reservoir(SpinTorqueOscillator(), nodes=8, scale=1e-3, offset=6.5e-3, output="V")
        >>> x = torch.rand(100, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        >>> washout_length(reservoir, x) < 50
        True

    Source: Jaeger, GMD Report 148 (2001), the echo-state property.
    """
    tolerance = number("tolerance", tolerance, 0, 1, above=True, below=True)
    series = real_tensor("the input", x)
    series = series.unsqueeze(-1) if series.dim() == 1 else series
    if series.dim() != 2:
        raise ConfigError(f"the input has shape {tuple(series.shape)}; expected (time, {reservoir.inputs}), one series.")
    with torch.no_grad():
        from_rest = reservoir.continue_runs(reservoir.start(), series)
        runs = reservoir.start()
        reservoir.continue_runs(runs, series.flip(0))
        from_elsewhere = reservoir.continue_runs(runs, series)
    difference = (from_rest - from_elsewhere).abs().amax(-1) / from_rest.std(0).mean().clamp_min(1e-300)
    different = (difference > tolerance).nonzero()
    length = int(different[-1]) + 1 if len(different) else 0
    if length == len(series):
        raise ConfigError(
            f"after {length} inputs the states still differ by {float(difference[-1]):.2g} standard deviations between two "
            "initial states; pass a longer input, or reduce the feedback: a reservoir must forget where it began."
        )
    return length
