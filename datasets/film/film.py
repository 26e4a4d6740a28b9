"""`Film`: a thin magnet of one layer of cells, with time-varying anisotropy, DMI, field and currents."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError, TraceWarning
from ...traces.trace import Trace
from ...typing import Array
from ..macrospin.llg import BOLTZMANN, ELEMENTARY_CHARGE, GAMMA0, HBAR, MU0, normalised
from ..sampled_drive import Sampled, Values, float64, held, instants, sampled
from .check import positive
from .run import FilmRun, Stepper, longest_step, run
from .stray import StrayField
from .terms import Drives, Terms, cell_constants, field_scale, framed

BOHR_MAGNETON = 9.2740100783e-24  # [J/T]

#: Drives by channel: unit, and components.
_CHANNELS = {
    "Ku": ("J/m3", ("Ku",)),
    "D": ("J/m2", ("D",)),
    "field": ("A/m", ("Hx", "Hy", "Hz")),
    "current": ("A/m2", ("J",)),
    "flow": ("A/m2", ("Jx", "Jy")),
}
_COMPONENTS = ("mx", "my", "mz")
#: Cells in a wall of width sqrt(A / K): five are 1 nm for the skyrmion of a MuMax3 table, whose trace is then met with NRMSE
#: 0.006; 1.25 nm give 0.06, 1.6 nm 0.13, and at 2 nm the skyrmion collapses.
_CELLS_IN_WALL = 5.0
_MARGIN = 1.15  # for anisotropies that scatter or vary a little


@dataclass(frozen=True, eq=False)
class Film:
    """A film of one layer of cells: the Landau-Lifshitz-Gilbert equation with exchange, interfacial DMI, anisotropy and stray
    field.

    The equations stand in `datasets/film/terms.py`. The energy density is

    w = A (grad m)^2 + D [ m_z div m - (m.grad) m_z ] - Ku (m.e)^2 - mu0 Ms m.H_applied - mu0 Ms m.H_stray / 2,

    its cells are joined by differences of second order, edges have the boundary condition of the DMI, and the stray field is
    that of Newell's tensor. A perpendicular current adds Slonczewski's torque as in `Macrospin`, one in the plane that of
    Zhang and Li.

    Attributes:
        shape: Which cells are magnetic, shape (rows, columns): `disc`, `rectangle`, or a mask of one's own.
        cell: Edge of a cell in the plane [m]. A skyrmion needs a fifth of the width of its wall, sqrt(A / (Ku - mu0 Ms^2 / 2)).
        thickness: Of the layer [m].
        Ms: Saturation magnetisation [A/m].
        A: Exchange stiffness [J/m].
        D: Interfacial DMI constant [J/m2], a number or one for each cell.
        Ku: Uniaxial anisotropy constant [J/m3], a number or one for each cell.
        easy_axis: e, normalised here; shape (3,) or (rows, columns, 3).
        alpha: Gilbert damping.
        temperature: T [K]; above 0 K runs need a generator, and noise is drawn anew in each step.
        polariser: p of the fixed layer.
        polarisation: Spin polarisation P of both currents, -1 .. 1.
        asymmetry: Lambda of Slonczewski's torque.
        field_like: Field-like torque in units of the damping-like one.
        beta: Non-adiabaticity of Zhang and Li's torque.
        refresh: Time between two evaluations of the stray field [s].

    Raises:
        ConfigError: values outside their ranges, or of another shape.

    Source: Vansteenkiste et al., AIP Adv. 4, 107133 (2014), doi:10.1063/1.4899186, and those named in `terms.py` and
    `stray.py`.
    """

    shape: Tensor
    cell: float = 1e-9
    thickness: float = 1e-9
    Ms: float = 580e3
    A: float = 15e-12
    D: float | Tensor = 0.0
    Ku: float | Tensor = 0.0
    easy_axis: tuple[float, float, float] | Tensor = (0.0, 0.0, 1.0)
    alpha: float = 0.01
    temperature: float = 0.0
    polariser: tuple[float, float, float] = (0.0, 0.0, 1.0)
    polarisation: float = 0.4
    asymmetry: float = 1.0
    field_like: float = 0.0
    beta: float = 0.0
    refresh: float = 2e-13

    def __post_init__(self) -> None:
        shape = torch.as_tensor(self.shape)
        if shape.dim() != 2 or shape.dtype != torch.bool or not bool(shape.any()):
            raise ConfigError(
                f"shape is {shape.dtype} of shape {tuple(shape.shape)}; expected (rows, columns) of bool with some cell True, "
                f"such "
                "as disc(80e-9, cell=1e-9)."
            )
        object.__setattr__(self, "shape", shape)
        for name in ("cell", "thickness", "Ms", "A", "asymmetry", "refresh"):
            positive(getattr(self, name), name)
        for name, low in (("alpha", 0.0), ("temperature", 0.0), ("field_like", -math.inf), ("beta", -math.inf)):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not low <= value < math.inf:
                raise ConfigError(f"{name} is {value!r}; expected a number{' from 0 on' if low == 0 else ''}.")
        if not isinstance(self.polarisation, int | float) or not -1 <= self.polarisation <= 1:
            raise ConfigError(f"polarisation is {self.polarisation!r}; expected -1 .. 1.")
        for name in ("D", "Ku"):
            self._of_cells(name)
        for name in ("easy_axis", "polariser"):
            vector = float64(getattr(self, name), name)
            if vector.shape not in ((3,), (*shape.shape, 3)) or (name == "polariser" and vector.dim() != 1):
                raise ConfigError(f"{name} has shape {tuple(vector.shape)}; expected (3,), such as {name}=(0, 0, 1).")
            if bool((vector == 0).all(-1).any()):
                raise ConfigError(f"{name} has no length; pass a direction, such as {name}=(0, 0, 1).")
        self._check_resolution()

    # --- states ------------------------------------------------------------------------------------------------------

    def uniform(self, direction: Values = (0.0, 0.0, 1.0)) -> Tensor:
        """All cells along one direction, shape (rows, columns, 3)."""
        vector = float64(direction, "direction")
        if vector.shape != (3,) or not bool(vector.any()):
            raise ConfigError(f"direction has shape {tuple(vector.shape)}; expected three numbers, not all 0.")
        return normalised(vector).expand(*self.shape.shape, 3).clone()

    def relax(self, m: Tensor, *, Ku: float | None = None, tolerance: float = 1e-4, longest: float = 2e-8) -> Tensor:
        """The state that m falls into without drives: the same equation with alpha = 0.5.

        Args:
            m: Shape (rows, columns, 3).
            Ku: Mean anisotropy [J/m3] in place of that of the film.
            tolerance: Largest torque |m x H| that counts as rest, in units of Ms.
            longest: Time after which it is given up [s].

        Returns:
            Shape (rows, columns, 3).

        Raises:
            ConfigError: no rest within `longest`.
        """
        damped = replace(self, alpha=0.5, temperature=0.0, refresh=max(self.refresh, 5e-13))
        part = 1e-11
        drives = damped._drives(2, True, Ku=Ku)
        terms, step = damped._terms(), damped._longest_step(drives, None)
        stepper = Stepper(terms, damped._stray(), damped._start(m), refresh=damped.refresh)
        begin, end = drives(0)
        torque = math.inf
        for _ in range(math.ceil(longest / part)):
            stepper.over(part, begin, end, step)
            full = terms.local_field(stepper.framed, begin) + framed(stepper._stray(stepper.m))
            torque = float(torch.linalg.cross(stepper.framed, full, dim=0).norm(dim=0).max()) / self.Ms
            if torque < tolerance:
                return stepper.m.movedim(0, -1).clone()
        raise ConfigError(
            f"the film has not come to rest in {longest:g} s: its largest torque is {torque:.3g} Ms, asked are {tolerance:g}. "
            f"Begin "
            "nearer to the state that is meant, or pass a larger tolerance or a longer time."
        )

    def energy(self, m: Tensor, *, field: Values = (0.0, 0.0, 0.0)) -> float:
        """Energy [J] of a state, shape (rows, columns, 3), under an applied field [A/m]."""
        start = self._start(m)
        applied = float64(field, "field")
        drives = Drives(field=tuple(applied.tolist()))
        density = self._terms().energy(framed(start), drives, framed(self._stray()(start)))
        return float(density) * MU0 * self.Ms * self.cell**2 * self.thickness

    def charge(self, m: Tensor) -> float:
        """Topological charge: the solid angle that the moments cover, over 4 pi; -1 for a skyrmion whose core points along -z.

        Summed over the triangles of the grid, as Berg and Luscher (1981) do; a whole number if the rim is uniform.
        """
        inside = self.shape
        whole = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
        a, b, c, d = m[:-1, :-1], m[:-1, 1:], m[1:, 1:], m[1:, :-1]
        angles = _solid_angle(a, b, c) + _solid_angle(a, c, d)
        return float(angles[whole].sum()) / (4 * math.pi)

    # --- runs --------------------------------------------------------------------------------------------------------

    def simulate(
        self,
        time: Values,
        m0: Tensor,
        *,
        Ku: Values | None = None,
        D: Values | None = None,
        field: Values | None = None,
        current: Values | None = None,
        flow: Values | None = None,
        interpolation: str = "linear",
        generator: torch.Generator | None = None,
        max_step: float | None = None,
        observe: Callable[[Tensor], object] | None = None,
    ) -> FilmRun:
        """The mean magnetisation at the given instants.

        Classical Runge-Kutta steps of equal length within each interval; the thermal field is held over a step, which makes
        the limit that of Stratonovich. Where grains differ, `Ku` and `D` are their means, and move all alike.

        Args:
            time: Instants [s], shape (time,), increasing; the steps may differ.
            m0: State at the first, shape (rows, columns, 3), normalised here.
            Ku: Mean anisotropy [J/m3], shape (time,) or a number; that of the film if omitted.
            D: Mean DMI [J/m2], likewise.
            field: Applied field [A/m], shape (time, 3) or (3,).
            current: Current density J through the layer [A/m2], shape (time,) or a number; as in `Macrospin`.
            flow: Current density in the plane [A/m2], shape (time, 2) or (2,), along x and y; electrons run against it, and
                textures with the electrons.
            interpolation: Course of the drives between instants, "linear" or "held" (a sample lasts until the next).
            generator: Source of the thermal field; needed above 0 K.
            max_step: Longest step [s]; the longest that is stable if omitted.
            observe: Called with the state at each instant, for what the mean does not show.

        Raises:
            ConfigError: shapes that do not fit, a missing generator, or a step that is too long.
        """
        at = instants(time)
        drives = self._drives(len(at), held(interpolation), Ku=Ku, D=D, field=field, current=current, flow=flow)
        longest = self._longest_step(drives, max_step, len(at))
        thermal, key = 0.0, 0
        if self.temperature > 0:
            if generator is None:
                raise ConfigError(
                    "the temperature is above zero and there is no source of randomness; "
                    "pass generator=torch.Generator().manual_seed(0), or set temperature=0."
                )
            key = int(torch.randint(2**62, (), generator=generator))
            moment = self.Ms * self.cell**2 * self.thickness
            thermal = math.sqrt(2 * self.alpha * BOLTZMANN * self.temperature / (GAMMA0 * MU0 * moment))
        stepper = Stepper(self._terms(), self._stray(), self._start(m0), refresh=self.refresh, thermal=thermal, key=key)
        return run(stepper, at, drives, longest, self.shape, observe)

    def trace(
        self,
        time: Values,
        m0: Tensor,
        *,
        output: tuple[str, ...] = ("mz",),
        provenance: Mapping[str, object] | None = None,
        **drives: Values | str | torch.Generator | float | None,
    ) -> Trace:
        """One recording: the arguments of `simulate`, and which components of the mean to record.

        The drives given become the channels "Ku" [J/m3], "D" [J/m2], "Hx", "Hy", "Hz" [A/m], "J", "Jx", "Jy" [A/m2].

        Args:
            time: As in `simulate`.
            m0: As in `simulate`.
            output: Which of "mx", "my", "mz" to record.
            provenance: Added to the record of where it comes from.
            drives: Further arguments of `simulate`.

        Raises:
            ConfigError: as `simulate`, or an unknown component.
        """
        unknown = [name for name in output if name not in _COMPONENTS]
        if unknown or not output:
            raise ConfigError(f"output is {tuple(output)!r}; expected some of {', '.join(map(repr, _COMPONENTS))}.")
        result = self.simulate(time, m0, **drives)  # type: ignore[arg-type]
        channels, units = _recorded(drives, len(result.time))
        return Trace(
            time=result.time.numpy(),
            drive=channels,
            output={name: result.mean[:, _COMPONENTS.index(name)].numpy() for name in output},
            units={"time": "s", **units, **dict.fromkeys(output, "")},
            interpolation=dict.fromkeys(channels, str(drives.get("interpolation", "linear"))),
            provenance={"simulator": "spinode.datasets.Film", "device": self._plain(), **(provenance or {})},
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    def _of_cells(self, name: str) -> Tensor:
        """Ku or D of each cell, shape (rows, columns)."""
        values = float64(getattr(self, name), name)
        if values.shape not in ((), self.shape.shape):
            raise ConfigError(f"{name} has shape {tuple(values.shape)}; expected a number, or {tuple(self.shape.shape)}.")
        return values.expand(self.shape.shape)

    def _mean(self, name: str) -> float:
        return float(self._of_cells(name)[self.shape].mean())

    def _check_resolution(self) -> None:
        """Cells that are too large for a wall make skyrmions that collapse by themselves."""
        effective = self._mean("Ku") - MU0 * self.Ms**2 / 2
        lengths = {"the exchange length sqrt(2 A / (mu0 Ms^2))": math.sqrt(2 * self.A / (MU0 * self.Ms**2))}
        if effective > 0:
            lengths = {"a fifth of the wall, sqrt(A / (Ku - mu0 Ms^2 / 2))": math.sqrt(self.A / effective) / _CELLS_IN_WALL}
        for name, length in lengths.items():
            if self.cell > _MARGIN * length:
                warnings.warn(
                    f"cells of {self.cell * 1e9:.3g} nm are larger than {name} = {length * 1e9:.3g} nm: the grid shows, and "
                    "skyrmions may collapse that would not; pass a smaller cell.",
                    TraceWarning,
                    stacklevel=4,
                )

    def _terms(self) -> Terms:
        easy = normalised(float64(self.easy_axis, "easy_axis")).expand(*self.shape.shape, 3).movedim(-1, 0)
        cells = cell_constants(self.shape, self._of_cells("D"), self._of_cells("Ku") * 2 / (MU0 * self.Ms), easy)
        x, y, z = normalised(float64(self.polariser, "polariser")).tolist()
        torques = (self.polarisation, self.asymmetry, self.field_like, self.beta)
        return Terms(cells, self.alpha, *field_scale(self.A, self.Ms, self.cell), self.Ms, (x, y, z), *torques)

    def _stray(self) -> StrayField:
        rows, columns = self.shape.shape
        return StrayField((rows, columns), self.cell, self.thickness, self.Ms)

    def _start(self, m0: Tensor) -> Tensor:
        """M normalised, zero outside, shape (3, rows, columns)."""
        m = float64(m0, "m0")
        if m.shape != (*self.shape.shape, 3):
            raise ConfigError(
                f"m0 has shape {tuple(m.shape)}; expected {(*self.shape.shape, 3)}, as `uniform` or `relax` gives it."
            )
        if bool((m[self.shape] == 0).all(-1).any()):
            raise ConfigError("m0 has no direction in some cell; pass a vector for each that is magnetic.")
        start: Tensor = torch.where(self.shape[..., None], m, 0.0).movedim(-1, 0) / m.norm(dim=-1).clamp_min(1e-300)
        return start

    def _drives(self, samples: int, hold: bool, **values: Values | None) -> Callable[[int], tuple[Drives, Drives]]:
        """What acts at both ends of the interval that begins with a sample."""
        given = {
            name: None
            if value is None
            else sampled(
                value, name, samples, channels=len(_CHANNELS[name][1]) if len(_CHANNELS[name][1]) > 1 else None, held=hold
            )
            for name, value in values.items()
        }
        for name, track in given.items():
            if track is not None and track.values.dim() != 2:
                raise ConfigError(f"{name} has shape {tuple(track.values.shape)}; a film is one device, expected (time, ...).")
        spin = HBAR / (ELEMENTARY_CHARGE * MU0 * self.Ms * self.thickness)
        velocity = self.polarisation * BOHR_MAGNETON / (ELEMENTARY_CHARGE * self.Ms)  # g = 2; against the current
        plan: tuple[tuple[str, float, float], ...] = (
            ("Ku", self._mean("Ku"), 2 / (MU0 * self.Ms)),
            ("D", self._mean("D"), 1.0),
            ("field", 0.0, 1.0),
            ("current", 0.0, spin),
            ("flow", 0.0, -velocity / (2 * GAMMA0 * self.cell)),
        )
        parts = []
        for name, mean, factor in plan:
            track = given.get(name)
            width = len(_CHANNELS[name][1])
            parts.append(
                Sampled(torch.zeros(1, width, dtype=torch.float64)) if track is None else _shifted(track, mean, factor)
            )

        def at(sample: int, fraction: float) -> Drives:
            return Drives.of(tuple(torch.cat([part.at(sample, fraction) for part in parts]).tolist()))

        def both(sample: int) -> tuple[Drives, Drives]:
            return at(sample, 0.0), at(sample, 1.0)

        return both

    def _longest_step(self, drives: Callable[[int], tuple[Drives, Drives]], max_step: float | None, samples: int = 2) -> float:
        """A step that is stable for the largest field of the grid under these drives."""
        every = np.array([drives(k)[end].numbers() for k in range(max(1, samples - 1)) for end in (0, 1)])
        most = np.abs(every).max(0)
        exchange, per_dmi, edge = field_scale(self.A, self.Ms, self.cell)
        D = float(self._of_cells("D")[self.shape].abs().max()) + most[1]
        anisotropy = float(self._of_cells("Ku")[self.shape].abs().max()) * 2 / (MU0 * self.Ms) + most[0]
        heat = self.temperature and 4 * math.sqrt(
            2 * self.alpha * BOLTZMANN * self.temperature / (GAMMA0 * MU0 * self.Ms * self.cell**2 * self.thickness * 1e-14)
        )
        largest = 8 * exchange + 4 * per_dmi * D + 2 * edge * D**2 + anisotropy + self.Ms + most[2:5].sum() + most[5] + heat
        stable = longest_step(largest + 4 * most[6:].sum())
        if max_step is None:
            return stable
        if positive(max_step, "max_step") > stable:
            raise ConfigError(f"max_step is {max_step:.3g} s; steps above {stable:.3g} s are unstable on this grid.")
        return max_step

    def _plain(self) -> dict[str, object]:
        """The parameters as plain numbers, values of cells by mean and deviation."""
        plain: dict[str, object] = {"cells": int(self.shape.sum()), "rows": self.shape.shape[0], "columns": self.shape.shape[1]}
        for name, value in vars(self).items():
            if name != "shape" and not isinstance(value, Tensor):
                plain[name] = list(value) if isinstance(value, tuple) else value
        for name in ("Ku", "D"):
            if isinstance(getattr(self, name), Tensor):
                cells = self._of_cells(name)[self.shape]
                plain[name] = {"mean": float(cells.mean()), "deviation": float(cells.std())}
        return plain


def _shifted(track: Sampled, mean: float, factor: float) -> Sampled:
    return Sampled((track.values - mean) * factor, track.held)


def _recorded(drives: Mapping[str, object], samples: int) -> tuple[dict[str, Array], dict[str, str]]:
    """The drives given, by channel name, a constant repeated at each instant; and their units."""
    channels: dict[str, Array] = {}
    units: dict[str, str] = {}
    for name, (unit, names) in _CHANNELS.items():
        value = drives.get(name)
        if value is not None:
            values = float64(value, name).numpy().reshape(-1, len(names))  # type: ignore[arg-type]
            columns = np.broadcast_to(values, (samples, len(names))).T
            channels.update({each: np.ascontiguousarray(column) for each, column in zip(names, columns, strict=True)})
            units.update(dict.fromkeys(names, unit))
    return channels, units


def _solid_angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Signed solid angle of triangles of unit vectors, shape (...)."""
    volume = (a * torch.linalg.cross(b, c)).sum(-1)
    return 2 * torch.atan2(volume, 1 + (a * b).sum(-1) + (b * c).sum(-1) + (c * a).sum(-1))
