"""The time loop of the macrospin: from device constants and sampled drives to the magnetisation at each sample time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError
from ...validation import number
from ..sampled_drive import SampledDrive
from .llg import GAMMA0, FieldTerms, heun_step, landau_lifshitz, normalised, rk4_step, thermal_deviation

_MAX_ANGLE = 0.5  # [rad] per step; the error of RK4 is about 3e-4 rad there, and 32 times smaller per halving


@dataclass(frozen=True, eq=False)
class FieldDrives:
    """The drives as fields [A/m], each broadcasting against (devices..., time, channels).

    Attributes:
        applied: Applied field, 3 channels.
        anisotropy: 2 Ku / (mu0 Ms), 1 channel.
        spin: hbar J / (e mu0 Ms d), 1 channel; None without a current.
    """

    applied: SampledDrive
    anisotropy: SampledDrive
    spin: SampledDrive | None

    def values(self) -> list[Tensor]:
        """Return the samples of all drives that are present."""
        return [drive.values for drive in (self.applied, self.anisotropy, self.spin) if drive is not None]


@dataclass(frozen=True, eq=False)
class MagnetConstants:
    """The constants of a population of magnets, each of shape (devices..., 1).

    Attributes:
        terms: Constants of the effective field.
        alpha: Gilbert damping.
        temperature: T [K].
        moment: Ms V [A m^2].
    """

    terms: FieldTerms
    alpha: Tensor
    temperature: Tensor
    moment: Tensor

    def deviation(self, step: float) -> Tensor:
        """Return the standard deviation of a component of the thermal field [A/m] for a step [s], shape (devices..., 1)."""
        return thermal_deviation(self.alpha, self.temperature, self.moment, step)

    def shapes(self) -> list[torch.Size]:
        """Return the device shapes of all constants."""
        constants = (self.alpha, self.temperature, self.moment, *vars(self.terms).values())
        return [constant.shape[:-1] for constant in constants]


class MagnetRun:
    """One time integration: Runge-Kutta if every device is at T = 0, Stratonovich Heun otherwise.

    Args:
        constants: Constants of the magnets.
        drives: Fields that act on them.
        generator: Source of the thermal field.
        max_step: Longest step [s].

    Raises:
        ConfigError: a missing generator, or steps too long for the fields.
    """

    def __init__(
        self, constants: MagnetConstants, drives: FieldDrives, generator: torch.Generator | None, max_step: float
    ) -> None:
        self.constants, self.drives, self.generator = constants, drives, generator
        self.max_step = number("max_step", max_step, 0, above=True, unit="s")
        self.thermal = bool((constants.temperature > 0).any())
        if self.thermal and generator is None:
            raise ConfigError(
                "the temperature is above zero and no generator is given; "
                "pass generator=torch.Generator().manual_seed(0), or set temperature=0."
            )
        self._check_angle()

    def simulate(self, time: Tensor, start: Tensor) -> Tensor:
        """Integrate from a start (..., 3) over the sample times (time,) [s]; returns m, shape (devices..., time, 3)."""
        m = normalised(start).expand(*self._device_shape(start), 3)
        path = [m]
        for sample, interval in enumerate(torch.diff(time).tolist()):
            # The tolerance prevents rounding errors from splitting an interval of n steps into n + 1.
            steps = max(1, math.ceil(interval / self.max_step - 1e-6))
            for step in range(steps):
                m = self._step(m, sample, step / steps, 1 / steps, interval / steps)
            path.append(m)
        return torch.stack(path, dim=-2)

    def _step(self, m: Tensor, sample: int, begin: float, share: float, step: float) -> Tensor:
        """Take a step [s] that begins at a fraction of the interval after a sample and covers a share of it."""
        noise = self._draw_thermal_field(m, step) if self.thermal else None

        def rate(m: Tensor, fraction: float) -> Tensor:
            at = begin + share * fraction
            applied = self.drives.applied.at(sample, at)
            anisotropy = self.drives.anisotropy.at(sample, at)
            spin = None if self.drives.spin is None else self.drives.spin.at(sample, at)
            field = self.constants.terms.field(m, applied if noise is None else applied + noise, anisotropy, spin)
            return landau_lifshitz(m, field, self.constants.alpha)

        # Both schemes let |m| drift; it is restored after each step.
        return normalised((rk4_step if noise is None else heun_step)(m, rate, step))

    def _draw_thermal_field(self, m: Tensor, step: float) -> Tensor:
        return self.constants.deviation(step) * torch.randn(m.shape, generator=self.generator, dtype=m.dtype)

    def _device_shape(self, start: Tensor) -> tuple[int, ...]:
        """Return the common device shape of start, constants and drives."""
        shapes = [start.shape[:-1], *self.constants.shapes(), *(values.shape[:-2] for values in self.drives.values())]
        try:
            return tuple(torch.broadcast_shapes(*shapes))
        except RuntimeError:
            listed = ", ".join(map(str, sorted({tuple(shape) for shape in shapes} - {()})))
            raise ConfigError(
                f"parameters, drives and m0 have device shapes {listed}; expected shapes that broadcast to one."
            ) from None

    def _check_angle(self) -> None:
        """Refuse steps in which m could turn by a large angle."""
        with torch.no_grad():
            fields = [self.drives.applied.values, self._stiffness(), 3 * self.constants.deviation(self.max_step)]
            fields += [] if self.drives.spin is None else [self.drives.spin.values]
            angle = GAMMA0 * self.max_step * sum(float(field.abs().max()) for field in fields)
        if angle > _MAX_ANGLE:
            raise ConfigError(
                f"m may turn by {angle:.3g} rad in a step of {self.max_step:.3g} s; expected at most {_MAX_ANGLE}. "
                f"Pass max_step={self.max_step * _MAX_ANGLE / angle / 2:.1g}, or check the units (fields in A/m)."
            )

    def _stiffness(self) -> Tensor:
        """Return the largest field of anisotropy and shape together [A/m], shape (devices...).

        Both are linear in m, H = K m. A field along m exerts no torque, so only the spread of the eigenvalues of K matters; it
        is convex in the anisotropy and therefore largest at one end of its range.
        """
        axis, values = self.constants.terms.axis, self.drives.anisotropy.values
        shape = torch.diag_embed(self.constants.terms.demagnetising)
        easy = axis.unsqueeze(-1) * axis.unsqueeze(-2)
        ends = (end.unsqueeze(-1) * easy - shape for end in (values.amin(-2), values.amax(-2)))
        spreads = [eigenvalues[..., -1] - eigenvalues[..., 0] for eigenvalues in map(torch.linalg.eigvalsh, ends)]
        return torch.maximum(*spreads)
