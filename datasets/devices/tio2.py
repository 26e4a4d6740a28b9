"""`TiO2`: a titanium-dioxide memristor under pulses of any amplitude and width (Nili et al. 2020)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contracts.synapse import Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from .population import check_numbers, checked_amplitudes

#: Edges [S] of the conductance ranges, four per decade, for which there is one set of parameters each.
EDGES = (3.16e-6, 5.62e-6, 10e-6, 17.8e-6, 31.6e-6, 56.2e-6, 100e-6, 178e-6, 316e-6)

# c0 [S], c1, c2 (of ln(t / s)), c3 [1/V], c4, d0 .. d4 of SET and, below, of RESET; one pair for each range.
_FITTED = (
    (
        (0.000155, -0.47, -3.851, 9.369, 10.4, -1.26, -0.02, 0.82, -0.57, 0.94),
        (-8.9e-05, 0.89, 8.96, 6.2, -10.9, 0.04, 0.0002, 0.02, 0.005, 0.03),
    ),
    (
        (0.000155, -0.47, -3.769, 7.512, 8.419, -1.22, -0.02, 0.84, -0.57, 0.81),
        (-8.9e-05, 0.51, 6.88, 6.2, -8.61, -0.005, -0.0004, -0.002, -0.01, 0.02),
    ),
    (
        (0.000155, -0.47, -3.729, 6.801, 7.582, -1.03, -0.02, 0.72, -0.47, 0.63),
        (-8.9e-05, 0.34, 4.93, 6.2, -8.14, -0.07, -0.003, -0.07, -0.05, -0.02),
    ),
    (
        (0.000155, -0.47, -3.517, 6.18, 6.851, -0.78, -0.01, 0.53, -0.33, 0.45),
        (-8.9e-05, 0.25, 3.63, 6.2, -7.77, -0.11, -0.004, -0.11, -0.09, -0.03),
    ),
    (
        (0.000155, -0.47, -3.426, 5.946, 6.558, -0.37, 0.005, 0.15, -0.01, 0.11),
        (-8.9e-05, 0.23, 2.91, 6.2, -7.42, -0.15, -0.006, -0.17, -0.13, -0.06),
    ),
    (
        (0.000155, -0.47, -3.373, 5.005, 5.792, 0.14, 0.01, -0.29, 0.31, -0.21),
        (-8.9e-05, 0.21, 2.33, 6.2, -7.3, -0.12, -0.005, -0.16, -0.13, -0.06),
    ),
    (
        (0.000155, -0.47, -3.422, 4.936, 5.84, 0.34, 0.01, -0.41, 0.37, -0.29),
        (-8.9e-05, 0.22, 1.93, 6.2, -7.1, -0.04, -0.002, -0.1, -0.11, -0.04),
    ),
    (
        (0.000155, -0.47, -3.572, 4.864, 5.785, 0.26, 0.01, -0.29, 0.25, -0.2),
        (-8.9e-05, 0.28, 1.68, 6.2, -7.0, 0.1, 0.003, 0.02, -0.05, -0.004),
    ),
)


@register_synapse("tio2", summary="TiO2 memristor under pulses of any amplitude and width")
@dataclass(frozen=True, eq=False)
class TiO2(SynapseModel):
    """A TiO2-x memristor of an integrated crossbar: the step of a pulse as a function of conductance, amplitude and width.

    A pulse of amplitude V (below zero for RESET) and width t moves the conductance by

    dG = c0 (p - tanh(c1 (ln t - c2))) (tanh(c3 V - c4) + p),   p = 1 for SET and -1 for RESET,

    times 1 + xi s with s = d0 + d1 ln^2 t + d2 V ln t + d3 V^2 ln t + d4 V^3, where xi ~ N(0, 1) is a constant of each device.
    c and d are fitted for each of eight ranges of conductance, four per decade, and constant within a range, so the step
    jumps at their edges. |s| exceeds 2 for weak SET pulses, so many devices then have a negative factor. Such a device does
    not move here; as published it moves backwards. The conductance stays within 3.16 .. 316 uS. n pulses are n successive
    steps: the computing time grows with the largest number of pulses in a call.

    RESET has hardly any effect below about 18 uS: a device that has left that region returns only under long, strong pulses.

    Attributes:
        start: Conductance [S] of fresh devices.
        smooth: Interpolate the steps linearly in ln G between the centres of the ranges, instead of jumping.
        published: Let devices whose factor 1 + xi s is negative move against the polarity.
        write_noise: Relative standard deviation of each step (cycle to cycle); none in the reference.
        read_noise: Relative standard deviation of a read; none in the reference.
        low: Lower end of the usual range [S], where RESET still has an effect.
        high: Upper end [S].
        voltage: Usual amplitudes [V] of SET and RESET.
        width: Usual width [s].
        voltage_range: Amplitudes [V] between which the step grows from almost zero to saturation; our choice, because the
            public tables do not contain the range of the measurements.
        width_range: Range of widths [s], our choice as well.
        strict: See `SynapseModel`.

    Raises:
        ConfigError: a start outside 3.16 .. 316 uS, or noise that is negative.

    Example:
        >>> from spinode import Pulses
        >>> synapse = TiO2()
        >>> reset, unchanged, set_ = synapse.read(
        ...     synapse.program(synapse.initial((3,)), Pulses(torch.tensor([-20.0, 0.0, 20.0])))
        ... )
        >>> bool(reset < unchanged < set_)
        True

    Source: H. Nili et al., "Comprehensive compact phenomenological modeling of integrated metal-oxide memristors", IEEE Trans.
    Nanotechnology 19, 344 (2020); parameters as transcribed in github.com/caixunshiren/pytorch-metal-oxide-memristor-crossbar.
    """

    start: float = 100e-6
    smooth: bool = False
    published: bool = False
    write_noise: float = 0.0
    read_noise: float = 0.0
    low: float = 17.8e-6
    high: float = EDGES[-1]
    voltage: tuple[float, float] = (1.2, 1.2)
    width: float = 1e-4
    voltage_range: tuple[float, float] = (0.8, 1.4)
    width_range: tuple[float, float] = (1e-6, 1e-3)
    strict: bool = False

    def __post_init__(self) -> None:
        check_numbers(self, ("start",), EDGES[0], EDGES[-1], closed=True, unit="S")
        check_numbers(self, ("write_noise", "read_noise"), closed=True)
        object.__setattr__(self, "voltage", checked_amplitudes(self.voltage))
        check_numbers(self, ("width",), unit="s")

    def at(self, conductance: Tensor, *, generator: torch.Generator | None = None) -> State:
        """Return devices of these conductances [S], clamped to 3.16 .. 316 uS."""
        state = self.initial(conductance.shape, generator=generator, dtype=conductance.dtype)
        return {**state, "conductance": conductance.to(state["xi"]).clamp(EDGES[0], EDGES[-1])}

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        dtype = torch.promote_types(dtype, torch.float32)
        xi = torch.zeros(shape, dtype=dtype) if generator is None else torch.randn(shape, generator=generator, dtype=dtype)
        return {"conductance": torch.full(shape, self.start, dtype=dtype), "xi": xi}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        conductance, xi = state["conductance"], state["xi"]
        first_row, lengths = (pulses.count < 0).long().mul_(len(_FITTED)), pulses.count.abs()
        table = _StepTable(pulses, conductance)
        for pulse in range(int(lengths.max()) if lengths.numel() else 0):
            step = self._step(table, conductance, first_row, xi).mul_(lengths > pulse)
            if generator is not None and self.write_noise:
                noise = torch.randn(step.shape, generator=generator, dtype=step.dtype)
                step.mul_(noise.mul_(self.write_noise).add_(1))
            conductance = (conductance + step).clamp_(EDGES[0], EDGES[-1])
        return {"conductance": conductance, "xi": xi}

    def _step(self, table: _StepTable, conductance: Tensor, first_row: Tensor, xi: Tensor) -> Tensor:
        """Return the change [S] by one pulse, shape (devices...); `first_row` is that of each polarity in the table."""
        if not self.smooth:
            return table.step(_range_index(conductance) + first_row, xi, self.published)
        last = len(_FITTED) - 1
        place = (conductance / EDGES[0]).log_().mul_(last + 1).div_(math.log(EDGES[-1] / EDGES[0])).sub_(0.5).clamp_(0, last)
        below = place.floor().clamp_(max=last - 1)
        row = below.long() + first_row
        lower, upper = (table.step(each, xi, self.published) for each in (row, row + 1))
        return torch.lerp(lower, upper, place - below)

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        conductance = state["conductance"]
        if generator is None or not self.read_noise:
            return conductance.clone()
        noise = torch.randn(conductance.shape, generator=generator, dtype=conductance.dtype)
        return conductance * noise.mul_(self.read_noise).add_(1)


class _StepTable:
    """Step and spread of each range and polarity, for pulses that are the same in all steps of a call.

    If amplitude and width are plain numbers, sixteen values of each are shared by all devices; otherwise each device looks up
    its row of parameters.
    """

    def __init__(self, pulses: Pulses, like: Tensor) -> None:
        rows = torch.tensor([pair[0] for pair in _FITTED] + [pair[1] for pair in _FITTED], dtype=torch.float64)
        self.sign = torch.ones(len(rows), dtype=torch.float64).index_fill_(0, torch.arange(len(_FITTED), len(rows)), -1.0)
        self.amplitude, self.width = _as_tensor(pulses.voltage), _as_tensor(pulses.width)
        self.shared = self.amplitude.dim() == self.width.dim() == 0
        if self.shared:
            mean, spread = _step_and_spread(rows, self.sign, self.amplitude.double(), self.width.double().log())
            self.mean, self.spread = mean.to(like), spread.to(like)
        else:
            self.rows, self.sign = rows.to(like), self.sign.to(like)
            self.log_width = self.width.log()

    def step(self, row: Tensor, xi: Tensor, backwards: bool) -> Tensor:
        """Return the change [S] of devices by one pulse, each by its row: the range, plus the number of ranges for RESET."""
        if self.shared:
            mean, spread = self.mean[row], self.spread[row]
        else:
            mean, spread = _step_and_spread(self.rows[row], self.sign[row], self.amplitude, self.log_width)
        factor = spread.mul_(xi).add_(1)
        return (factor if backwards else factor.clamp_(min=0)).mul_(mean)


def _as_tensor(value: Tensor | float | None) -> Tensor:
    """Return a tensor unchanged, and a number in double precision."""
    return value if isinstance(value, Tensor) else torch.tensor(value, dtype=torch.float64)


def _range_index(conductance: Tensor) -> Tensor:
    """Return the index of the range of each conductance."""
    inner = torch.tensor(EDGES[1:-1], dtype=conductance.dtype, device=conductance.device)
    return torch.bucketize(conductance, inner, right=True)


def _step_and_spread(rows: Tensor, sign: Tensor, amplitude: Tensor, log_width: Tensor) -> tuple[Tensor, Tensor]:
    """Return the step dG [S] of the typical device and the relative spread s.

    Args:
        rows: Parameters c0 .. c4, d0 .. d4, shape (..., 10).
        sign: 1 for SET, -1 for RESET, shape (...).
        amplitude: Positive amplitude [V].
        log_width: ln(t / s).
    """
    c0, c1, c2, c3, c4, d0, d1, d2, d3, d4 = rows.unbind(-1)
    v = sign * amplitude
    # p - tanh a and tanh b + p as logistic functions, without cancellation where the step is small.
    mean = 4 * c0 * torch.sigmoid(-2 * sign * c1 * (log_width - c2)) * torch.sigmoid(2 * sign * (c3 * v - c4))
    return mean, d0 + d1 * log_width**2 + d2 * v * log_width + d3 * v**2 * log_width + d4 * v**3
