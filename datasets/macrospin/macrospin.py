"""`Macrospin`, the reference magnet: one uniform magnetisation under time-varying anisotropy, field and current."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...errors import ConfigError
from ...traces.trace import Trace
from ...typing import Array
from ..sampled_drive import SampledDrive, Values, float64, is_hold, read_drive, sample_times
from .llg import ELEMENTARY_CHARGE, HBAR, MU0, FieldTerms, normalised
from .run import FieldDrives, MagnetConstants, MagnetRun

# Lowest and highest value of each scalar, and True if the lowest value itself is allowed.
_RANGES = {
    "Ms": (0.0, math.inf, False),
    "Ku": (-math.inf, math.inf, False),
    "alpha": (0.0, math.inf, True),
    "thickness": (0.0, math.inf, False),
    "area": (0.0, math.inf, False),
    "temperature": (0.0, math.inf, True),
    "polarisation": (-1.0, 1.0, True),
    "asymmetry": (0.0, math.inf, False),
    "field_like": (-math.inf, math.inf, False),
}
_VECTORS = ("easy_axis", "demag", "polariser")
_COMPONENTS = ("mx", "my", "mz")
_UNITS = {"K": "J/m3", "H": "A/m", "J": "A/m2"}  # by the first letter of the channel


@dataclass(frozen=True, eq=False)
class Macrospin:
    """A magnet with uniform magnetisation: Landau-Lifshitz-Gilbert-Slonczewski dynamics of one unit vector m.

    dm/dt = -gamma0 / (1 + alpha^2) [ m x H + alpha m x (m x H) ], with

    H = H_applied + 2 Ku / (mu0 Ms) (m.e) e - Ms N m + a_J (m x p + field_like p) + H_thermal,
    a_J = eps(m) hbar J / (e mu0 Ms d),   eps(m) = P L^2 / (L^2 + 1 + (L^2 - 1) m.p).

    A current J > 0 turns m towards the polariser p (for P > 0): J is positive if electrons flow from the fixed layer
    into the free layer. A magnet with its easy axis along z and p = z switches away from m = +z at J < -J_c, with
    J_c = 2 e alpha mu0 Ms d H_k / (hbar P) for L = 1 and H_k = 2 Ku / (mu0 Ms) - Ms (Nz - Nx).

    Scalars may also be tensors of shape (devices...), and vectors tensors of shape (devices..., 3), for a population.

    Attributes:
        Ms: Saturation magnetisation [A/m].
        Ku: Uniaxial anisotropy constant [J/m3]: the energy density is -Ku (m.e)^2.
        alpha: Gilbert damping.
        easy_axis: Direction e of the easy axis; need not be normalised.
        demag: Diagonal of the demagnetising tensor N, each 0 .. 1; (0, 0, 1) for a film, zeros if Ku is an effective
            anisotropy that includes the shape.
        thickness: Thickness d [m] of the free layer.
        area: Area [m2] of the free layer; with the thickness it gives the volume, which determines the thermal
            field.
        temperature: T [K]; 0 for deterministic dynamics.
        polarisation: Spin polarisation P of the current, -1 .. 1.
        polariser: Direction p of the fixed layer; need not be normalised.
        asymmetry: Lambda of the Slonczewski efficiency; 1 for none.
        field_like: Field-like torque in units of the damping-like one.

    Raises:
        ConfigError: a parameter outside its range, or a direction of length zero.

    Example:
        >>> magnet = Macrospin(Ms=1e6, Ku=6.9e5, alpha=0.05)
        >>> m = magnet.simulate([0.0, 1e-10, 5e-9], field=(2e4, 0.0, 0.0))
        >>> m.shape, [round(x, 3) for x in m[-1].tolist()]
        (torch.Size([3, 3]), [0.203, 0.001, 0.979])

    Source: see `spinode.datasets.macrospin.llg`.
    """

    Ms: Values
    Ku: Values
    alpha: Values = 0.01
    easy_axis: Values = (0.0, 0.0, 1.0)
    demag: Values = (0.0, 0.0, 1.0)
    thickness: Values = 1e-9
    area: Values = math.pi * 25e-9**2
    temperature: Values = 0.0
    polarisation: Values = 0.5
    polariser: Values = (0.0, 0.0, 1.0)
    asymmetry: Values = 1.0
    field_like: Values = 0.0

    def __post_init__(self) -> None:
        for name in _RANGES:
            _check_scalar(name, self._scalar(name))
        for name in _VECTORS:
            _check_vector(name, float64(getattr(self, name), name))

    def simulate(
        self,
        time: Values,
        *,
        Ku: Values | None = None,
        field: Values | None = None,
        current: Values | None = None,
        m0: Values | None = None,
        interpolation: str = "linear",
        generator: torch.Generator | None = None,
        max_step: float = 5e-13,
    ) -> Tensor:
        """Simulate the magnetisation at the given sample times.

        Each interval is divided into equal steps of at most `max_step`: classical Runge-Kutta at T = 0, Stratonovich Heun at
        T > 0. m is normalised after each step. The result is differentiable in parameters, drives and initial state.

        Args:
            time: Sample times [s], shape (time,), increasing; the steps may differ.
            Ku: Anisotropy [J/m3] in place of the constant one, shape (..., time) or a number.
            field: Applied field [A/m], shape (..., time, 3) or (3,); none if omitted.
            current: Current density J [A/m2], shape (..., time) or a number; none if omitted.
            m0: Initial direction, shape (..., 3), need not be normalised; the easy axis if omitted.
            interpolation: Drives between the samples: "linear", or "held" for a zero-order hold.
            generator: Source of the thermal field; needed if the temperature is above zero.
            max_step: Longest step [s].

        Returns:
            Unit vectors m, shape (devices..., time, 3), where devices is the common shape of parameters, drives and m0.

        Raises:
            ConfigError: shapes that do not match, a missing generator, or steps too long for the fields.
        """
        times = sample_times(time)
        drives = self._field_drives(len(times), is_hold(interpolation), Ku, field, current)
        start = float64(self.easy_axis if m0 is None else m0, "m0")
        _check_vector("m0", start)
        return MagnetRun(self._constants(), drives, generator, max_step).simulate(times, start)

    def trace(
        self,
        time: Values,
        *,
        Ku: Values | None = None,
        field: Values | None = None,
        current: Values | None = None,
        m0: Values | None = None,
        interpolation: str = "linear",
        generator: torch.Generator | None = None,
        max_step: float = 5e-13,
        output: Sequence[str] = _COMPONENTS,
    ) -> Trace:
        """Simulate one device and return the recording as a `Trace`.

        The drives that are passed become the channels "Ku" [J/m3], "Hx", "Hy", "Hz" [A/m] and "J" [A/m2]; the constants of
        the device are stored in the provenance.

        Args:
            time: Sample times [s]; this and the following arguments are those of `simulate`.
            Ku: Anisotropy [J/m3].
            field: Applied field [A/m].
            current: Current density [A/m2].
            m0: Initial direction.
            interpolation: "linear" or "held".
            generator: Source of the thermal field.
            max_step: Longest step [s].
            output: Components to record, of "mx", "my", "mz".

        Raises:
            ConfigError: as in `simulate`; an unknown component; or more than one device.
        """
        unknown = [name for name in output if name not in _COMPONENTS]
        if unknown or not output:
            raise ConfigError(f"output is {tuple(output)!r}; expected one or more of {', '.join(map(repr, _COMPONENTS))}.")
        with torch.no_grad():
            m = self.simulate(
                time,
                Ku=Ku,
                field=field,
                current=current,
                m0=m0,
                interpolation=interpolation,
                generator=generator,
                max_step=max_step,
            )
        if m.dim() != 2:
            raise ConfigError(
                f"the run simulates devices of shape {tuple(m.shape[:-2])}; a trace records a single device. "
                "Use simulate(...) for a population, or call trace(...) for each device."
            )
        drive = _drive_channels(m.shape[0], Ku=Ku, field=field, current=current)
        return Trace(
            time=sample_times(time).numpy(),
            drive=drive,
            output={name: m[:, _COMPONENTS.index(name)].numpy() for name in output},
            units={"time": "s", **{name: _UNITS[name[0]] for name in drive}, **dict.fromkeys(output, "")},
            interpolation=dict.fromkeys(drive, interpolation),
            provenance={"simulator": "spinode.datasets.Macrospin", "device": self._settings(), "max_step": max_step},
        )

    def _field_drives(
        self, samples: int, hold: bool, Ku: Values | None, field: Values | None, current: Values | None
    ) -> FieldDrives:
        """Return the drives as fields [A/m]."""
        per_tesla = 1 / (MU0 * self._scalar("Ms")).unsqueeze(-2)
        applied = read_drive((0.0, 0.0, 0.0) if field is None else field, "field", samples, channels=3, hold=hold)
        constant = SampledDrive(self._scalar("Ku").unsqueeze(-2))
        anisotropy = constant if Ku is None else read_drive(Ku, "Ku", samples, hold=hold)
        spin = None
        if current is not None:
            momentum = HBAR / (ELEMENTARY_CHARGE * self._scalar("thickness").unsqueeze(-2))
            spin = read_drive(current, "current", samples, hold=hold).scaled(momentum * per_tesla)
        return FieldDrives(applied, anisotropy.scaled(2 * per_tesla), spin)

    def _constants(self) -> MagnetConstants:
        """Return the constants as they appear in the equation."""
        terms = FieldTerms(
            axis=normalised(float64(self.easy_axis, "easy_axis")),
            demagnetising=self._scalar("Ms") * float64(self.demag, "demag"),
            polariser=normalised(float64(self.polariser, "polariser")),
            polarisation=self._scalar("polarisation"),
            asymmetry=self._scalar("asymmetry"),
            field_like=self._scalar("field_like"),
        )
        moment = self._scalar("Ms") * self._scalar("area") * self._scalar("thickness")
        return MagnetConstants(terms, self._scalar("alpha"), self._scalar("temperature"), moment)

    def _scalar(self, name: str) -> Tensor:
        """Return a scalar parameter, shape (devices..., 1)."""
        return float64(getattr(self, name), name).unsqueeze(-1)

    def _settings(self) -> dict[str, object]:
        """Return the parameters as plain numbers and lists."""
        return {item.name: float64(getattr(self, item.name), item.name).tolist() for item in fields(self)}


def _drive_channels(samples: int, *, Ku: Values | None, field: Values | None, current: Values | None) -> dict[str, Array]:
    """Return the drives that are given by channel name, constants repeated at each sample; shape (time,) each."""
    channels: dict[str, Array] = {}
    for name, values in (("Ku", Ku), ("H", field), ("J", current)):
        if values is None:
            continue
        drive = read_drive(values, name, samples, channels=3 if name == "H" else None).values.detach()
        columns = drive.reshape(-1, drive.shape[-1]).expand(samples, -1).numpy()
        names = ("Hx", "Hy", "Hz") if name == "H" else (name,)
        channels.update(zip(names, columns.T, strict=True))
    return channels


def _check_scalar(name: str, values: Tensor) -> None:
    low, high, includes_low = _RANGES[name]
    outside = values[(values < low) | (values > high) | ((values == low) & (not includes_low))]
    if outside.numel():
        lower = f"of at least {low:g}" if includes_low else f"above {low:g}"
        bounds = lower if high == math.inf else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {float(outside[0]):g}; expected a value {bounds}, in SI units.")


def _check_vector(name: str, values: Tensor) -> None:
    if values.dim() < 1 or values.shape[-1] != 3:
        raise ConfigError(f"{name} has shape {tuple(values.shape)}; expected (..., 3), such as {name}=(0, 0, 1).")
    if name == "demag":
        if bool(((values < 0) | (values > 1)).any()) or bool((values.sum(-1) > 1 + 1e-6).any()):
            raise ConfigError(f"demag is {values.tolist()}; expected three factors from 0 to 1 whose sum is at most 1.")
    elif bool((values == 0).all(-1).any()):
        raise ConfigError(f"{name} has length zero; pass a direction, such as {name}=(0, 0, 1).")
