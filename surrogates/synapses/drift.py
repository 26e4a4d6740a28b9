"""The drift of a memory device under pulses: a Neural ODE in pulse number with a few latent parameters for each device."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...contracts.synapse import RESET, SET
from ...dynamics.field import MLPField
from ...dynamics.rollout import rollout

#: Largest change of the state in one step; the whole range is about six standard deviations.
_MAX_CHANGE = 8.0
#: Bound of the network's output, so that `sinh` is finite in single precision.
_MAX_OUTPUT = 20.0


@dataclass(frozen=True)
class Latents:
    """The parameters in which devices differ.

    Attributes:
        polarities: Polarities that each have a rate parameter.
        centre: True if the centre of the range is a parameter; otherwise it may be tied to the first state.
        shape: Number of parameters that are inputs of the network.
        window: True if the size of the range is a parameter; False for the cycles of one device.

    Example:
        >>> Latents(("SET", "RESET"), centre=True, shape=1).names
        ('centre', 'log range', 'log rate SET', 'log rate RESET', 'shape 1')
    """

    polarities: tuple[str, ...]
    centre: bool
    shape: int
    window: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parameters, in the order of their columns."""
        head = (("centre",) if self.centre else ()) + (("log range",) if self.window else ())
        rates = tuple(f"log rate {name}" for name in self.polarities)
        return (*head, *rates, *(f"shape {i + 1}" for i in range(self.shape)))

    def split(self, latents: Tensor) -> tuple[Tensor | float, Tensor | float, dict[str, Tensor], Tensor]:
        """Split latents of shape (..., latents) into their parts.

        Returns:
            Centre, log range and log rates by polarity, each of shape (...), and the shape parameters, shape (..., shape).
            Parts that are not latent parameters are zero or missing.
        """
        columns = list(latents.unbind(-1))
        centre: Tensor | float = columns.pop(0) if self.centre else 0.0
        log_range: Tensor | float = columns.pop(0) if self.window else 0.0
        rates = {name: columns.pop(0) for name in self.polarities}
        return centre, log_range, rates, latents[..., latents.shape[-1] - self.shape :]


class Drift(nn.Module):
    """Change of the state per pulse.

        dx/dn = kappa exp(r_p) sinh( N((x - c) exp(-s), p, V, ln t; z) )        in general
        dx/dn = p kappa exp(r_p) exp( N((x - c) exp(-s), p, V, ln t; z) )       for polarities that never reverse

    with polarity p = +1 or -1, the voltage V and width t of the pulse where they vary, and the centre c, log range s, log rates
    r_p and shape parameters z of each device. With the hyperbolic sine, one small network describes rates of either sign over
    many decades, as in field-driven motion of ions. The shape parameters enter beside voltage and width: the first layer shifts
    both by them, as a threshold of the device would, so the spread of the rates depends on the pulse; both polarities share
    them. This is a Neural ODE in the pulse number n; one pulse is an Euler step, several pulses at once are a midpoint step.
    Steps end at the limits of the state.

    Args:
        latents: The parameters in which devices differ.
        extra: Number of inputs among voltage and width.
        kappa: Scale of the rate, in states per pulse.
        tied: True if the centre is the first state of each device instead of a latent parameter.
        hidden: Widths of the hidden layers.
        monotonic: Polarities whose steps never reverse, see `spinode.surrogates.synapses.reversal`.
        limits: Smallest and largest state; None for no limits.
        generator: Source of the initial weights.
    """

    kappa: Tensor

    def __init__(
        self,
        latents: Latents,
        extra: int,
        kappa: float,
        *,
        tied: bool = False,
        hidden: Sequence[int] = (16, 16),
        monotonic: Sequence[str] = (),
        limits: tuple[float, float] | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.latents = latents
        self.monotonic = tuple(monotonic)
        self.limits = limits
        self.tied = tied
        self.extra = extra
        self.field = MLPField(1, 1 + extra + latents.shape, 1, hidden=hidden, generator=generator)
        self.register_buffer("kappa", torch.tensor(float(kappa), dtype=torch.float64))

    def forward(self, state: Tensor, polarity: Tensor, extra: Sequence[Tensor], latents: Tensor, first: Tensor) -> Tensor:
        """Return the rate dx/dn of each device.

        Args:
            state: x, shape (...).
            polarity: +1 or -1, shape (...).
            extra: Standardised voltage and log width, each of shape (...) or a number.
            latents: Shape (..., latents).
            first: First state of each device, shape (...); used if tied.

        Returns:
            Shape (...).
        """
        return self._rates(state.shape, polarity, extra, latents, first)(state)

    def change(
        self, state: Tensor, pulses: Tensor, polarity: Tensor, extra: Sequence[Tensor], latents: Tensor, first: Tensor
    ) -> Tensor:
        """Return the change of x by a number of pulses: one Euler step for up to one pulse, one midpoint step for several."""
        rates = self._rates(state.shape, polarity, extra, latents, first)
        rate = rates(state)
        if not bool((pulses.detach() > 1).any()):
            return self._limited(state, (pulses * rate).clamp(-_MAX_CHANGE, _MAX_CHANGE))
        # The network is fitted to single pulses as Euler steps: only pulses beyond the first shift the point of evaluation.
        half = self._limited(state, (0.5 * (pulses - 1).clamp(min=0) * rate).clamp(-_MAX_CHANGE, _MAX_CHANGE))
        rate = rates(state + half)
        return self._limited(state, (pulses * rate).clamp(-_MAX_CHANGE, _MAX_CHANGE))

    @property
    def linear_weights(self) -> list[Tensor]:
        """Weights in which the network's output is linear: output weights, output bias, and weights of the linear path."""
        skip = [] if self.field.skip is None else [self.field.skip.weight]
        return [self.field.out.weight, self.field.out.bias, *skip]

    def _rate(self, value: Tensor, polarity: Tensor) -> Tensor:
        """Return the rate over its scale from the output of the network."""
        if not self.monotonic:
            return torch.sinh(value)
        one_way = polarity * torch.exp(value)
        if len(self.monotonic) == 2:
            return one_way
        return torch.where(polarity > 0 if self.monotonic[0] == SET else polarity < 0, one_way, torch.sinh(value))

    def _limited(self, state: Tensor, change: Tensor) -> Tensor:
        """Return a change that ends at the limits; a state beyond them may only return."""
        if self.limits is None:
            return change
        low, high = self.limits
        return torch.maximum(torch.minimum(change, (high - state).clamp(min=0)), (low - state).clamp(max=0))

    def _log_rate(self, rates: dict[str, Tensor], polarity: Tensor) -> Tensor | None:
        if len(rates) == 2:
            return torch.where(polarity > 0, rates[SET], rates[RESET])
        return next(iter(rates.values()), None)

    def _rates(
        self, shape: torch.Size, polarity: Tensor, extra: Sequence[Tensor], latents: Tensor, first: Tensor
    ) -> Callable[[Tensor], Tensor]:
        """Return the rate as a function of the state alone; what does not depend on the state is computed once."""
        centre, log_range, log_rates, shapes = self.latents.split(latents)
        if self.tied:
            centre = first
        narrowing = torch.exp(-log_range) if isinstance(log_range, Tensor) else None
        log_rate = self._log_rate(log_rates, polarity)
        scale = self.kappa.to(latents.dtype) * (1.0 if log_rate is None else torch.exp(log_rate))
        drive = self._drive([polarity, *extra, *shapes.unbind(-1)], shape, latents.dtype)

        def rate(state: Tensor) -> Tensor:
            position = state - centre
            value = self._network(position if narrowing is None else position * narrowing, drive)
            return scale * self._rate(value.clamp(-_MAX_OUTPUT, _MAX_OUTPUT), polarity)

        return rate

    def _drive(self, inputs: Sequence[Tensor | float], shape: torch.Size, dtype: torch.dtype) -> Tensor:
        """Return the inputs of N beside the position, shape (inputs, devices): devices innermost, which is fastest."""
        rows = [value if isinstance(value, Tensor) else torch.tensor(value, dtype=dtype) for value in inputs]
        columns = [row.expand(shape).reshape(-1) for row in rows]
        if _needs_gradient(rows):
            return torch.stack([column.to(dtype) for column in columns])
        drive = torch.empty(len(rows), shape.numel(), dtype=dtype, device=columns[0].device)
        for row, value in zip(drive, columns, strict=True):
            row.copy_(value)
        return drive

    def _network(self, position: Tensor, drive: Tensor) -> Tensor:
        """Evaluate N as one Euler step of the fast `rollout` minus its start."""
        flat = position.reshape(1, -1)
        stages = drive.T[:, None, None, :].expand(-1, 1, 3, -1)
        after = rollout(self.field, flat.T, stages, method="euler", limit=float("inf"), initial=False)
        return (after[:, 0, 0] - flat[0]).reshape(position.shape)


def _needs_gradient(inputs: Sequence[Tensor]) -> bool:
    return torch.is_grad_enabled() and any(value.requires_grad for value in inputs)
