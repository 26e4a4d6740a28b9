"""The one loop of the macrospin: from device constants and sampled drives to the magnetisation at each instant."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import ConfigError
from ..sampled_drive import Sampled
from .llg import GAMMA0, FieldTerms, heun_step, landau_lifshitz, normalised, rk4_step, thermal_deviation

_LARGEST_ANGLE = 0.5  # [rad] in a step; RK4 errs by about 3e-4 rad there, and by a factor 32 less per halving


@dataclass(frozen=True, eq=False)
class Drive:
    """The drives as fields [A/m], each broadcasting against (devices..., time, channels).

    Attributes:
        applied: Applied field, 3 channels.
        anisotropy: 2 Ku / (mu0 Ms), 1 channel.
        spin: hbar J / (e mu0 Ms d), 1 channel; None without a current.
    """

    applied: Sampled
    anisotropy: Sampled
    spin: Sampled | None

    def values(self) -> list[Tensor]:
        """The samples of the drives that are there."""
        return [each.values for each in (self.applied, self.anisotropy, self.spin) if each is not None]


@dataclass(frozen=True, eq=False)
class Body:
    """The constants of a population of magnets, each of shape (devices..., 1).

    Attributes:
        terms: What its effective field is made of.
        alpha: Gilbert damping.
        temperature: T [K].
        moment: Ms V [A m^2].
    """

    terms: FieldTerms
    alpha: Tensor
    temperature: Tensor
    moment: Tensor

    def deviation(self, step: float) -> Tensor:
        """Thermal field of a step [s]: standard deviation of a component [A/m], shape (devices..., 1)."""
        return thermal_deviation(self.alpha, self.temperature, self.moment, step)

    def shapes(self) -> list[torch.Size]:
        """Device shapes of the constants."""
        constants = (self.alpha, self.temperature, self.moment, *vars(self.terms).values())
        return [each.shape[:-1] for each in constants]


class Run:
    """One integration: Runge-Kutta where every device is at T = 0, Stratonovich Heun otherwise.

    Args:
        body: The magnets.
        drive: What drives them.
        generator: Source of the thermal field.
        max_step: Longest step [s].

    Raises:
        ConfigError: a missing generator, or steps too long for the fields at work.
    """

    def __init__(self, body: Body, drive: Drive, generator: torch.Generator | None, max_step: float) -> None:
        if not 0 < max_step < math.inf:
            raise ConfigError(f"max_step is {max_step!r}; expected a positive time [s], such as max_step=5e-13.")
        self.body, self.drive, self.generator, self.max_step = body, drive, generator, max_step
        self.thermal = bool((body.temperature > 0).any())
        if self.thermal and generator is None:
            raise ConfigError(
                "the temperature is above zero and there is no source of randomness; "
                "pass generator=torch.Generator().manual_seed(0), or set temperature=0."
            )
        self._check_angle()

    def over(self, at: Tensor, start: Tensor) -> Tensor:
        """Magnetisation at the instants (time,) [s], from a start (..., 3): shape (devices..., time, 3)."""
        m = normalised(start).expand(*self._devices(start), 3)
        path = [m]
        for sample, interval in enumerate(torch.diff(at).tolist()):
            # The slack keeps an interval of n steps, but for rounding, from being cut into n + 1.
            parts = max(1, math.ceil(interval / self.max_step - 1e-6))
            for part in range(parts):
                m = self._step(m, sample, part / parts, 1 / parts, interval / parts)
            path.append(m)
        return torch.stack(path, dim=-2)

    def _step(self, m: Tensor, sample: int, begin: float, share: float, step: float) -> Tensor:
        noise = self._noise(m, step) if self.thermal else None

        def rate(m: Tensor, fraction: float) -> Tensor:
            where = begin + share * fraction
            applied = self.drive.applied.at(sample, where)
            anisotropy = self.drive.anisotropy.at(sample, where)
            spin = None if self.drive.spin is None else self.drive.spin.at(sample, where)
            field = self.body.terms.field(m, applied if noise is None else applied + noise, anisotropy, spin)
            return landau_lifshitz(m, field, self.body.alpha)

        # Both schemes let |m| drift; its exact value is known, so it is restored.
        return normalised((rk4_step if noise is None else heun_step)(m, rate, step))

    def _noise(self, m: Tensor, step: float) -> Tensor:
        return self.body.deviation(step) * torch.randn(m.shape, generator=self.generator, dtype=m.dtype)

    def _devices(self, start: Tensor) -> tuple[int, ...]:
        shapes = [start.shape[:-1], *self.body.shapes(), *(each.shape[:-2] for each in self.drive.values())]
        try:
            return tuple(torch.broadcast_shapes(*shapes))
        except RuntimeError:
            found = ", ".join(map(str, sorted({tuple(shape) for shape in shapes} - {()})))
            raise ConfigError(
                f"parameters, drives and m0 have device shapes {found}; expected shapes that broadcast to one."
            ) from None

    def _check_angle(self) -> None:
        """Refuse steps in which m could turn so far that the result means nothing."""
        with torch.no_grad():
            fields = [self.drive.applied.values, self._stiffness(), 3 * self.body.deviation(self.max_step)]
            fields += [] if self.drive.spin is None else [self.drive.spin.values]
            angle = GAMMA0 * self.max_step * sum(float(each.abs().max()) for each in fields)
        if angle > _LARGEST_ANGLE:
            raise ConfigError(
                f"m may turn by {angle:.3g} rad in a step of {self.max_step:.3g} s; expected at most {_LARGEST_ANGLE}. "
                f"Pass max_step={self.max_step * _LARGEST_ANGLE / angle / 2:.1g}, or check the units (fields in A/m)."
            )

    def _stiffness(self) -> Tensor:
        """Largest field of anisotropy and shape together [A/m], shape (devices...).

        Both are linear in m, H = K m, and a multiple of m turns nothing: what counts is the spread of the eigenvalues
        of K, which is convex in the anisotropy and so largest at one end of its range.
        """
        axis, values = self.body.terms.axis, self.drive.anisotropy.values
        shape = torch.diag_embed(self.body.terms.demagnetising)
        easy = axis.unsqueeze(-1) * axis.unsqueeze(-2)
        ends = (end.unsqueeze(-1) * easy - shape for end in (values.amin(-2), values.amax(-2)))
        spreads = [eigenvalues[..., -1] - eigenvalues[..., 0] for eigenvalues in map(torch.linalg.eigvalsh, ends)]
        return torch.maximum(*spreads)
