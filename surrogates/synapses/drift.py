"""The drift of a memory device under pulses: a Neural ODE in pulse number with a few latent parameters for each device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...contracts.synapse import RESET, SET
from ...dynamics.field import MLPField
from ...dynamics.rollout import rollout

#: Most change of the state by one step; its whole range is some six deviations.
_LARGEST = 8.0
#: The network's output stays within what `sinh` takes in single precision.
_STEEPEST = 20.0


@dataclass(frozen=True)
class Latents:
    """The parameters in which devices differ.

    Attributes:
        polarities: Polarities with a rate of their own.
        centre: Whether the position of the window differs; it is that of the first state (tied) otherwise.
        shape: Number of parameters that enter the network.
        window: Whether position and size of the window differ at all (not between the cycles of one device).
    """

    polarities: tuple[str, ...]
    centre: bool
    shape: int
    window: bool = True

    @property
    def names(self) -> tuple[str, ...]:
        """One for each column."""
        head = (("centre",) if self.centre else ()) + (("log range",) if self.window else ())
        rates = tuple(f"log rate {name}" for name in self.polarities)
        return (*head, *rates, *(f"shape {i + 1}" for i in range(self.shape)))

    def split(self, latents: Tensor) -> tuple[Tensor | float, Tensor | float, dict[str, Tensor], Tensor]:
        """Centre, log range, log rates by polarity, and shape parameters, each (...,) but the last, from (..., latents)."""
        columns = list(latents.unbind(-1))
        centre: Tensor | float = columns.pop(0) if self.centre else 0.0
        span: Tensor | float = columns.pop(0) if self.window else 0.0
        rates = {name: columns.pop(0) for name in self.polarities}
        return centre, span, rates, latents[..., latents.shape[-1] - self.shape :]


class Drift(nn.Module):
    """Change of the state per pulse.

        dx/dn = kappa exp(r_p) sinh( N((x - c) exp(-s), p, V, ln t; z) )

    with polarity p = +1, -1, the voltage V and width t of the pulse where they vary, and the device's own centre c, log
    range s, log rates r_p and shape parameters z. The hyperbolic sine lets one small network serve rates over many decades,
    as field-driven motion of ions has them, of either sign. In pulse number n it is a Neural ODE; one pulse is an Euler step
    of it, several pulses at once are midpoint steps.

    Args:
        latents: In which parameters devices differ.
        extra: How many of voltage and width vary.
        kappa: Smallest step that matters, in states per pulse.
        tied: Whether the centre is each device's first state, where it is no latent parameter.
        hidden: Widths of the network.
        generator: Source of its first weights.
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
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.latents = latents
        self.tied = tied
        self.extra = extra
        self.field = MLPField(1, 1 + extra + latents.shape, 1, hidden=hidden, generator=generator)
        self.register_buffer("kappa", torch.tensor(float(kappa), dtype=torch.float64))

    def forward(self, state: Tensor, polarity: Tensor, extra: Sequence[Tensor], latents: Tensor, first: Tensor) -> Tensor:
        """Rate dx/dn of each device.

        Args:
            state: x, shape (...).
            polarity: +1 or -1, shape (...).
            extra: Voltage and log width in deviations, each of shape (...) or a number.
            latents: Shape (..., latents).
            first: The state that each device was made with, shape (...); used if tied.

        Returns:
            Shape (...).
        """
        centre, span, rates, shape = self.latents.split(latents)
        if self.tied:
            centre = first
        position = state - centre
        if isinstance(span, Tensor):
            position = position * torch.exp(-span)
        inputs = [position, polarity, *extra, *shape.unbind(-1)]
        log_rate = self._log_rate(rates, polarity)
        scale = self.kappa.to(state.dtype) * (1.0 if log_rate is None else torch.exp(log_rate))
        return scale * torch.sinh(self._network(inputs).clamp(-_STEEPEST, _STEEPEST))

    def change(
        self, state: Tensor, pulses: Tensor, polarity: Tensor, extra: Sequence[Tensor], latents: Tensor, first: Tensor
    ) -> Tensor:
        """Change of x by so many pulses: one Euler step for up to one pulse, one midpoint step for several."""
        rate: Tensor = self(state, polarity, extra, latents, first)
        if not bool((pulses.detach() > 1).any()):
            return (pulses * rate).clamp(-_LARGEST, _LARGEST)
        # One pulse is the unit in which the network was fitted: only what exceeds it moves the point of evaluation.
        half = (0.5 * (pulses - 1).clamp(min=0) * rate).clamp(-_LARGEST, _LARGEST)
        rate = self(state + half, polarity, extra, latents, first)
        return (pulses * rate).clamp(-_LARGEST, _LARGEST)

    def _log_rate(self, rates: dict[str, Tensor], polarity: Tensor) -> Tensor | None:
        if len(rates) == 2:
            return torch.where(polarity > 0, rates[SET], rates[RESET])
        return next(iter(rates.values()), None)

    def _network(self, inputs: Sequence[Tensor | float]) -> Tensor:
        """N of inputs that broadcast together, by the fast path of `spinode.rollout`: one Euler step less its start."""
        state = inputs[0]
        assert isinstance(state, Tensor)
        flat = state.reshape(1, -1)
        # Features first, devices innermost: the layout in which the kernels are fastest.
        drive = flat.new_empty(len(inputs) - 1, flat.shape[1]) if not _graph(inputs) else None
        rows = [value if isinstance(value, Tensor) else state.new_tensor(value) for value in inputs[1:]]
        wide = [row.expand(state.shape).reshape(-1) for row in rows]
        if drive is None:
            drive = torch.stack(wide)
        else:
            for row, value in zip(drive, wide, strict=True):
                row.copy_(value)
        stages = drive.T[:, None, None, :].expand(-1, 1, 3, -1)
        after = rollout(self.field, flat.T, stages, method="euler", limit=float("inf"), initial=False)
        return (after[:, 0, 0] - flat[0]).reshape(state.shape)


def _graph(inputs: Sequence[Tensor | float]) -> bool:
    return torch.is_grad_enabled() and any(isinstance(value, Tensor) and value.requires_grad for value in inputs)
