"""`StochasticSurrogate`: a device whose noise is part of its dynamics."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ....contracts.driven_device import Response
from ....errors import ConfigError, TraceError
from ... import artifacts
from ...extrapolation import FITTED_DOMAIN, REDUCE_DRIVE, warn_of_extrapolation
from ...neural_ode.domain import Domain
from ...neural_ode.ports import Ports

#: Share of the samples that noise may carry out of the domain without a warning; about 0.001 is usual in the regime of the fit.
NOISE_SHARE = 0.01


class ConditionalDensity(nn.Module):
    """Mean and standard deviation of the next increment, given the last outputs and the drive.

    The mean is f(x) = A x + a + B h(x) and the logarithm of the deviation log g(x) = b + C h(x). h is a network of tanh layers;
    x contains the embedded output and the drive, in standard units.

    Args:
        inputs: Number of components of x.
        outputs: Number of output channels.
        hidden: Widths of the hidden layers.
    """

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.hidden = tuple(hidden)
        widths = (inputs, *self.hidden)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Linear(before, after, dtype=torch.float64), nn.Tanh()]
        self.body = nn.Sequential(*layers)
        self.mean = nn.Linear(widths[-1], outputs, dtype=torch.float64)
        self.skip = nn.Linear(inputs, outputs, bias=False, dtype=torch.float64)
        self.spread = nn.Linear(widths[-1], outputs, dtype=torch.float64)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return f and log g, each of shape (..., outputs)."""
        features = self.body(x)
        return self.skip(x) + self.mean(features), self.spread(features)


class StochasticSurrogate(nn.Module):
    """A neural SDE, dy = f(z, u) dt + g(z, u) dW, in steps of the sample interval.

    y(t + dt) = y(t) + f(z, u) + g(z, u) xi,    z = (y(t), y(t) - y(t - dt), ..., differences of y up to its order),

    where xi is standard normal, and f and g are fitted by maximum likelihood. The drive u is constant from each sample to the
    next. Past differences allow for coloured noise: the part of an increment that they predict is drift, the remainder is
    white.

    Attributes:
        ports: Names and units of drives and outputs.
        interval: Length of a sample [s].
        order: Number of past outputs in z, the present one included.
        density: Distribution of the next increment.
        domain: Region of z and u that the fitted data cover.
        record: Data and settings of the fit.

    Source: Manneschi et al., Nat. Commun. 16, 9192 (2025), learn drift and diffusion with a critic; maximum likelihood needs
    none.
    """

    def __init__(
        self,
        *,
        ports: Ports,
        interval: float,
        order: int,
        density: ConditionalDensity,
        drive_scale: Tensor,
        output_scale: Tensor,
        step_scale: Tensor,
        domain: Domain,
        rest: Tensor,
        record: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.ports, self.interval, self.order = ports, float(interval), order
        self.density, self.domain = density, domain
        for name, value in (
            ("drive_scale", drive_scale),
            ("output_scale", output_scale),
            ("step_scale", step_scale),
            ("rest", rest),
        ):
            self.register_buffer(name, value.detach().clone())
        self.record = dict(record or {})

    drive_scale: Tensor  # means and standard deviations of the drives, shape (2, drives)
    output_scale: Tensor  # the same of the outputs, shape (2, outputs)
    step_scale: Tensor  # standard deviations of the increments of the normalised outputs, shape (outputs,)
    rest: Tensor  # mean outputs, at which a run begins, shape (outputs,)

    @property
    def drives(self) -> tuple[str, ...]:
        """Return the names of the drives."""
        return self.ports.drive

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs."""
        return self.ports.output

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the stationary mean outputs under a constant drive, shape (..., order, outputs).

        See `spinode.contracts.driven_device.DrivenDevice`.
        """
        drive = self._drives(drive.unsqueeze(-2))
        past = ((self.rest - self.output_scale[0]) / self.output_scale[1]).expand(*drive.shape[:-2], self.order, -1)
        for _ in range(self.record.get("settling", 200)):
            past, _, _ = self._step(past, drive[..., 0, :], None)
        return past

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue by a block of samples; see `spinode.contracts.driven_device.DrivenDevice`."""
        u = self._drives(drive)
        noise = None
        if generator is not None:
            noise = torch.randn(*u.shape[:-1], len(self.ports.output), generator=generator, dtype=u.dtype)
        outputs, points = [], []
        for sample in range(u.shape[-2]):
            draw = None if noise is None else noise[..., sample, :]
            memory, x, _ = self._step(memory, u[..., sample, :], draw)
            outputs.append(memory[..., 0, :])
            points.append(x)
        output = torch.stack(outputs, -2) * self.output_scale[1] + self.output_scale[0]
        return Response(output, memory, self.domain.outside(torch.stack(points, -2)))

    def simulate(self, drive: Tensor, *, generator: torch.Generator | None = None, memory: Tensor | None = None) -> Tensor:
        """Return the outputs at the end of each sample of the drive, shape (..., time, outputs), in SI units.

        Args:
            drive: Samples, each constant for `interval`, shape (..., time, drives), in SI units.
            generator: Source of the noise. Without it the noise is left out, which is close to the mean response where the
                noise is small.
            memory: State to continue from, as `initial_state` and `step_block` return it; the stationary one under the first
                sample if omitted.

        Warns:
            DomainWarning: more of the run than noise explains lies outside the domain of the fit; once for each surrogate.
        """
        start = self.initial_state(drive[..., 0, :]) if memory is None else memory
        response = self.step_block(start, drive, generator=generator)
        share = float(response.outside.double().mean())
        warn_of_extrapolation(self, share if share > NOISE_SHARE else 0.0, FITTED_DOMAIN, REDUCE_DRIVE)
        return response.output

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata; `spinode.load` reads it."""
        artifacts.save(self, path)

    def log_likelihood(self, output: Tensor, drive: Tensor) -> Tensor:
        """Return the log density of each recorded sample given those before it, shape (time - order,).

        The density is that of the outputs in units of their standard deviations.

        Args:
            output: Recorded outputs, shape (time, outputs), in SI units.
            drive: Drive samples, shape (time, drives), in SI units.
        """
        y = (output - self.output_scale[0]) / self.output_scale[1]
        return log_density(self.density, *regression(y, self._drives(drive), self.order), self.step_scale).sum(-1)

    def _step(self, past: Tensor, drive: Tensor, noise: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        x = torch.cat([differences(past), drive], -1)
        mean, spread = self.density(x)
        increment = mean if noise is None else mean + spread.exp() * noise
        newest = past[..., 0, :] + self.step_scale * increment
        return torch.cat([newest.unsqueeze(-2), past[..., :-1, :]], -2), x, mean

    def _drives(self, drive: Tensor) -> Tensor:
        drive = torch.as_tensor(drive).to(self.drive_scale)
        if drive.dim() < 2 or drive.shape[-1] != len(self.ports.drive):
            raise TraceError(f"drive has shape {tuple(drive.shape)}; expected (..., time, {len(self.ports.drive)}).")
        if not bool(torch.isfinite(drive).all()):
            raise ConfigError("drive contains NaN or infinite values; replace or cut them before simulating.")
        result: Tensor = (drive - self.drive_scale[0]) / self.drive_scale[1]
        return result


def differences(past: Tensor) -> Tensor:
    """Return the backward differences of order 0, 1, ... of the newest output, shape (..., order * outputs).

    Args:
        past: Outputs, the newest first, shape (..., order, outputs).
    """
    parts = []
    for _ in range(past.shape[-2]):
        parts.append(past[..., 0, :])
        past = past[..., :-1, :] - past[..., 1:, :]
    return torch.cat(parts, -1)


def regression(y: Tensor, u: Tensor, order: int) -> tuple[Tensor, Tensor]:
    """Return the inputs of the density and the increments that follow them.

    Args:
        y: Outputs of one recording, shape (time, outputs), in standard units.
        u: Drives, shape (time, drives), likewise.
        order: Number of past outputs.

    Returns:
        Inputs of shape (time - order, inputs) and increments of shape (time - order, outputs).
    """
    past = torch.stack([y[order - 1 - k : len(y) - 1 - k] for k in range(order)], -2)
    return torch.cat([differences(past), u[order - 1 : -1]], -1), y[order:] - y[order - 1 : -1]


def log_density(density: ConditionalDensity, x: Tensor, increments: Tensor, step_scale: Tensor) -> Tensor:
    """Return the log density of increments given x, in units of the outputs' deviations, shape (samples, outputs)."""
    mean, spread = density(x)
    residual = (increments / step_scale - mean) * torch.exp(-spread)
    result: Tensor = -residual.square() / 2 - spread - step_scale.log() - math.log(2 * math.pi) / 2
    return result
