"""`Film`: a thin magnet of one layer of cells under time-varying anisotropy, DMI, field and currents."""

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
from ...validation import number
from ..macrospin.llg import BOLTZMANN, ELEMENTARY_CHARGE, GAMMA0, HBAR, MU0, normalised
from ..sampled_drive import SampledDrive, Values, float64, is_hold, read_drive, sample_times
from .run import FilmRun, Stepper, max_stable_step, run
from .stray import StrayField
from .terms import Drives, Terms, cell_constants, field_scale, pad

BOHR_MAGNETON = 9.2740100783e-24  # [J/T]

#: Unit and channel names of each drive.
_CHANNELS = {
    "Ku": ("J/m3", ("Ku",)),
    "D": ("J/m2", ("D",)),
    "field": ("A/m", ("Hx", "Hy", "Hz")),
    "current": ("A/m2", ("J",)),
    "flow": ("A/m2", ("Jx", "Jy")),
}
_COMPONENTS = ("mx", "my", "mz")
#: Units of the settings that must be positive.
_POSITIVE = {"cell": "m", "thickness": "m", "Ms": "A/m", "A": "J/m", "asymmetry": "", "refresh": "s"}
#: Lowest and highest values of the other numbers.
_RANGES: dict[str, tuple[float | None, float | None]] = {
    "alpha": (0.0, None),
    "temperature": (0.0, None),
    "field_like": (None, None),
    "beta": (None, None),
    "polarisation": (-1.0, 1.0),
}
#: Cells per wall width sqrt(A / K). For the skyrmion of a MuMax3 table five cells are 1 nm each, and the trace is reproduced
#: with an NRMSE of 0.006; cells of 1.25 nm give 0.06, 1.6 nm 0.13, and at 2 nm the skyrmion collapses.
_CELLS_PER_WALL = 5.0
_MARGIN = 1.15  # tolerance for anisotropies that scatter or vary a little


@dataclass(frozen=True, eq=False)
class Film:
    """A micromagnetic film of one layer of cells with exchange, interfacial DMI, anisotropy and stray field.

    Its cells follow the Landau-Lifshitz-Gilbert equation; `spinode.datasets.film.terms` gives the equations. The energy density
    is

    w = A (grad m)^2 + D [ m_z div m - (m.grad) m_z ] - Ku (m.e)^2 - mu0 Ms m.H_applied - mu0 Ms m.H_stray / 2,

    discretised by second-order finite differences with the boundary condition of the DMI at edges; the stray field uses the
    demagnetising tensor of Newell. A perpendicular current adds Slonczewski's torque as in `Macrospin`, an in-plane current the
    torque of Zhang and Li.

    Attributes:
        shape: Mask of the magnetic cells, shape (rows, columns), from `disc`, `rectangle` or your own.
        cell: Edge length of a cell in the plane [m]. A skyrmion needs cells of at most a fifth of the width of its wall,
            sqrt(A / (Ku - mu0 Ms^2 / 2)).
        thickness: Thickness of the layer [m].
        Ms: Saturation magnetisation [A/m].
        A: Exchange stiffness [J/m].
        D: Interfacial DMI constant [J/m2], a number or a tensor of shape (rows, columns).
        Ku: Uniaxial anisotropy constant [J/m3], a number or a tensor of shape (rows, columns).
        easy_axis: Direction e of the easy axis, shape (3,) or (rows, columns, 3); need not be normalised.
        alpha: Gilbert damping.
        temperature: T [K]. Above 0 K runs need a generator; the thermal field is drawn independently in each step.
        polariser: Direction p of the fixed layer; need not be normalised.
        polarisation: Spin polarisation P of both currents, from -1 to 1.
        asymmetry: Lambda of Slonczewski's torque.
        field_like: Field-like torque in units of the damping-like one.
        beta: Non-adiabaticity of Zhang and Li's torque.
        refresh: Time between two evaluations of the stray field [s].

    Raises:
        ConfigError: values outside their ranges, or of another shape.

    Example:
        >>> from spinode.datasets import rectangle
        >>> film = Film(rectangle(10e-9, 5e-9, cell=1e-9), cell=1e-9, Ku=8e5)
        >>> run = film.simulate([0.0, 1e-12, 2e-12], film.uniform((1, 0, 1)), field=(0, 0, 1e5))
        >>> run.mean.shape, run.m.shape
        (torch.Size([3, 3]), torch.Size([5, 10, 3]))

    Source: Vansteenkiste et al., AIP Adv. 4, 107133 (2014), doi:10.1063/1.4899186, and the sources in `terms.py` and
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
                f"shape is a tensor of {shape.dtype} and shape {tuple(shape.shape)}; expected (rows, columns) of bool with at "
                "least one cell True, such as disc(80e-9, cell=1e-9)."
            )
        object.__setattr__(self, "shape", shape)
        for name, unit in _POSITIVE.items():
            object.__setattr__(self, name, number(name, getattr(self, name), 0, above=True, unit=unit))
        for name, (low, high) in _RANGES.items():
            object.__setattr__(self, name, number(name, getattr(self, name), low, high))
        for name in ("D", "Ku"):
            self._per_cell(name)
        for name in ("easy_axis", "polariser"):
            vector = float64(getattr(self, name), name)
            if vector.shape not in ((3,), (*shape.shape, 3)) or (name == "polariser" and vector.dim() != 1):
                raise ConfigError(f"{name} has shape {tuple(vector.shape)}; expected (3,), such as {name}=(0, 0, 1).")
            if bool((vector == 0).all(-1).any()):
                raise ConfigError(f"{name} has length zero; pass a direction, such as {name}=(0, 0, 1).")
        self._check_resolution()

    # --- states ------------------------------------------------------------------------------------------------------

    def uniform(self, direction: Values = (0.0, 0.0, 1.0)) -> Tensor:
        """Return a state with all cells along one direction, shape (rows, columns, 3)."""
        vector = float64(direction, "direction")
        if vector.shape != (3,) or not bool(vector.any()):
            raise ConfigError(f"direction is {vector.tolist()}; expected three numbers that are not all 0.")
        return normalised(vector).expand(*self.shape.shape, 3).clone()

    def relax(self, m: Tensor, *, Ku: float | None = None, tolerance: float = 1e-4, max_time: float = 2e-8) -> Tensor:
        """Relax a state to equilibrium without drives, by integrating the equation with alpha = 0.5.

        Args:
            m: Initial state, shape (rows, columns, 3).
            Ku: Mean anisotropy [J/m3] in place of that of the film.
            tolerance: Largest torque |m x H| of an equilibrium, in units of Ms.
            max_time: Simulated time after which to give up [s].

        Returns:
            The equilibrium state, shape (rows, columns, 3).

        Raises:
            ConfigError: no equilibrium within `max_time`.
        """
        damped = replace(self, alpha=0.5, temperature=0.0, refresh=max(self.refresh, 5e-13))
        block = 1e-11  # [s] between two checks of the torque
        drives = damped._drives(2, True, Ku=Ku)
        terms, step = damped._terms(), damped._choose_max_step(drives, None)
        stepper = Stepper(terms, damped._stray_field(), damped._initial_state(m), refresh=damped.refresh)
        begin, end = drives(0)
        torque = math.inf
        for _ in range(math.ceil(max_time / block)):
            stepper.advance(block, begin, end, step)
            field = terms.local_field(stepper.padded, begin) + pad(stepper.stray(stepper.m))
            torque = float(torch.linalg.cross(stepper.padded, field, dim=0).norm(dim=0).max()) / self.Ms
            if torque < tolerance:
                return stepper.m.movedim(0, -1).clone()
        raise ConfigError(
            f"the film has not reached equilibrium after {max_time:g} s: its largest torque is {torque:.3g} Ms; expected at "
            f"most tolerance={tolerance:g}. Start closer to the equilibrium, or pass a larger tolerance or max_time."
        )

    def energy(self, m: Tensor, *, field: Values = (0.0, 0.0, 0.0)) -> float:
        """Return the energy [J] of a state, shape (rows, columns, 3), under an applied field [A/m]."""
        state = self._initial_state(m)
        applied = float64(field, "field")
        drives = Drives(field=tuple(applied.tolist()))
        density = self._terms().energy(pad(state), drives, pad(self._stray_field()(state)))
        return float(density) * MU0 * self.Ms * self.cell**2 * self.thickness

    def charge(self, m: Tensor) -> float:
        """Return the topological charge of a state; -1 for a skyrmion whose core points along -z.

        It is the solid angle that the moments cover, divided by 4 pi, summed over the triangles of the grid as in Berg and
        Luscher (1981); a whole number if the rim is uniform.
        """
        inside = self.shape
        square_inside = inside[:-1, :-1] & inside[1:, :-1] & inside[:-1, 1:] & inside[1:, 1:]
        a, b, c, d = m[:-1, :-1], m[:-1, 1:], m[1:, 1:], m[1:, :-1]
        angles = _solid_angle(a, b, c) + _solid_angle(a, c, d)
        return float(angles[square_inside].sum()) / (4 * math.pi)

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
        """Simulate the film from an initial state under sampled drives.

        Takes classical Runge-Kutta steps of equal length within each interval. The thermal field is constant during a step, so
        that the limit is the Stratonovich solution. In a film of grains, `Ku` and `D` are means: they shift all grains alike.

        Args:
            time: Sample times [s], shape (time,), increasing; the steps may differ.
            m0: State at the first sample time, shape (rows, columns, 3); need not be normalised.
            Ku: Mean anisotropy [J/m3], shape (time,) or a number; that of the film if omitted.
            D: Mean DMI [J/m2], shape (time,) or a number; that of the film if omitted.
            field: Applied field [A/m], shape (time, 3) or (3,).
            current: Current density J through the layer [A/m2], shape (time,) or a number; as in `Macrospin`.
            flow: In-plane current density [A/m2], shape (time, 2) or (2,), along x and y; electrons flow in the opposite
                direction and move magnetic textures with them.
            interpolation: Drives between the samples: "linear", or "held" for a zero-order hold.
            generator: Source of the thermal field; needed above 0 K.
            max_step: Longest step [s]; the longest stable step if omitted.
            observe: Function of the state, shape (rows, columns, 3), that is called at each sample time; its results are in
                `FilmRun.observed`.

        Returns:
            The mean magnetisation at each sample time, and the final state.

        Raises:
            ConfigError: shapes that do not match, a missing generator, or a step that is too long.
        """
        times = sample_times(time)
        drives = self._drives(len(times), is_hold(interpolation), Ku=Ku, D=D, field=field, current=current, flow=flow)
        step = self._choose_max_step(drives, max_step, len(times))
        thermal, key = 0.0, 0
        if self.temperature > 0:
            if generator is None:
                raise ConfigError(
                    "the temperature is above zero and no generator is given; "
                    "pass generator=torch.Generator().manual_seed(0), or set temperature=0."
                )
            key = int(torch.randint(2**62, (), generator=generator))
            moment = self.Ms * self.cell**2 * self.thickness
            thermal = math.sqrt(2 * self.alpha * BOLTZMANN * self.temperature / (GAMMA0 * MU0 * moment))
        start = self._initial_state(m0)
        stepper = Stepper(self._terms(), self._stray_field(), start, refresh=self.refresh, thermal=thermal, key=key)
        return run(stepper, times, drives, step, self.shape, observe)

    def trace(
        self,
        time: Values,
        m0: Tensor,
        *,
        output: tuple[str, ...] = ("mz",),
        provenance: Mapping[str, object] | None = None,
        **drives: Values | str | torch.Generator | float | None,
    ) -> Trace:
        """Simulate the film and return its mean magnetisation as a `Trace`.

        The drives that are passed become the channels "Ku" [J/m3], "D" [J/m2], "Hx", "Hy", "Hz" [A/m], "J", "Jx", "Jy" [A/m2].

        Args:
            time: As in `simulate`.
            m0: As in `simulate`.
            output: Components to record, of "mx", "my", "mz".
            provenance: Entries added to the provenance of the trace.
            drives: Further arguments of `simulate`.

        Raises:
            ConfigError: as in `simulate`, or an unknown component.
        """
        unknown = [name for name in output if name not in _COMPONENTS]
        if unknown or not output:
            raise ConfigError(f"output is {tuple(output)!r}; expected one or more of {', '.join(map(repr, _COMPONENTS))}.")
        result = self.simulate(time, m0, **drives)  # type: ignore[arg-type]
        channels, units = _drive_channels(drives, len(result.time))
        return Trace(
            time=result.time.numpy(),
            drive=channels,
            output={name: result.mean[:, _COMPONENTS.index(name)].numpy() for name in output},
            units={"time": "s", **units, **dict.fromkeys(output, "")},
            interpolation=dict.fromkeys(channels, str(drives.get("interpolation", "linear"))),
            provenance={"simulator": "spinode.datasets.Film", "device": self._settings(), **(provenance or {})},
        )

    # --- internals ---------------------------------------------------------------------------------------------------

    def _per_cell(self, name: str) -> Tensor:
        """Return Ku or D of each cell, shape (rows, columns)."""
        values = float64(getattr(self, name), name)
        if values.shape not in ((), self.shape.shape):
            raise ConfigError(
                f"{name} has shape {tuple(values.shape)}; expected a number, or a tensor of shape {tuple(self.shape.shape)}."
            )
        return values.expand(self.shape.shape)

    def _mean(self, name: str) -> float:
        return float(self._per_cell(name)[self.shape].mean())

    def _check_resolution(self) -> None:
        """Warn if cells are too large for a domain wall, which makes skyrmions collapse."""
        effective = self._mean("Ku") - MU0 * self.Ms**2 / 2
        lengths = {"the exchange length sqrt(2 A / (mu0 Ms^2))": math.sqrt(2 * self.A / (MU0 * self.Ms**2))}
        if effective > 0:
            name = "a fifth of the wall width, sqrt(A / (Ku - mu0 Ms^2 / 2))"
            lengths = {name: math.sqrt(self.A / effective) / _CELLS_PER_WALL}
        for name, length in lengths.items():
            if self.cell > _MARGIN * length:
                warnings.warn(
                    f"cells of {self.cell * 1e9:.3g} nm are larger than {name} = {length * 1e9:.3g} nm: the result depends on "
                    "the grid, and stable skyrmions may collapse; pass a smaller cell.",
                    TraceWarning,
                    stacklevel=4,
                )

    def _terms(self) -> Terms:
        easy = normalised(float64(self.easy_axis, "easy_axis")).expand(*self.shape.shape, 3).movedim(-1, 0)
        cells = cell_constants(self.shape, self._per_cell("D"), self._per_cell("Ku") * 2 / (MU0 * self.Ms), easy)
        x, y, z = normalised(float64(self.polariser, "polariser")).tolist()
        torques = (self.polarisation, self.asymmetry, self.field_like, self.beta)
        return Terms(cells, self.alpha, *field_scale(self.A, self.Ms, self.cell), self.Ms, (x, y, z), *torques)

    def _stray_field(self) -> StrayField:
        rows, columns = self.shape.shape
        return StrayField((rows, columns), self.cell, self.thickness, self.Ms)

    def _initial_state(self, m0: Tensor) -> Tensor:
        """Return m0 normalised, and zero outside the film, shape (3, rows, columns)."""
        m = float64(m0, "m0")
        if m.shape != (*self.shape.shape, 3):
            raise ConfigError(
                f"m0 has shape {tuple(m.shape)}; expected {(*self.shape.shape, 3)}, as returned by `uniform` or `relax`."
            )
        if bool((m[self.shape] == 0).all(-1).any()):
            raise ConfigError("m0 is zero in a magnetic cell; pass a direction for every magnetic cell.")
        state: Tensor = torch.where(self.shape[..., None], m, 0.0).movedim(-1, 0) / m.norm(dim=-1).clamp_min(1e-300)
        return state

    def _drives(self, samples: int, hold: bool, **values: Values | None) -> Callable[[int], tuple[Drives, Drives]]:
        """Return a function of a sample that gives the drives at both ends of the interval after it."""
        given: dict[str, SampledDrive] = {}
        for name, value in values.items():
            if value is None:
                continue
            channels = len(_CHANNELS[name][1])
            given[name] = read_drive(value, name, samples, channels=channels if channels > 1 else None, hold=hold)
            if given[name].values.dim() != 2:
                shape = tuple(given[name].values.shape)
                raise ConfigError(f"{name} has shape {shape}; expected (time, ...), since a film is a single device.")
        spin = HBAR / (ELEMENTARY_CHARGE * MU0 * self.Ms * self.thickness)
        velocity = self.polarisation * BOHR_MAGNETON / (ELEMENTARY_CHARGE * self.Ms)  # for g = 2; opposite to the current
        # The constant part of each drive, which the cells contain, and the factor from its unit to that of the equation.
        offsets_and_factors: tuple[tuple[str, float, float], ...] = (
            ("Ku", self._mean("Ku"), 2 / (MU0 * self.Ms)),
            ("D", self._mean("D"), 1.0),
            ("field", 0.0, 1.0),
            ("current", 0.0, spin),
            ("flow", 0.0, -velocity / (2 * GAMMA0 * self.cell)),
        )
        tracks = []
        for name, offset, factor in offsets_and_factors:
            if name in given:
                tracks.append(SampledDrive((given[name].values - offset) * factor, given[name].hold))
            else:
                tracks.append(SampledDrive(torch.zeros(1, len(_CHANNELS[name][1]), dtype=torch.float64)))

        def at(sample: int, fraction: float) -> Drives:
            return Drives.from_numbers(tuple(torch.cat([track.at(sample, fraction) for track in tracks]).tolist()))

        def at_both_ends(sample: int) -> tuple[Drives, Drives]:
            return at(sample, 0.0), at(sample, 1.0)

        return at_both_ends

    def _choose_max_step(
        self, drives: Callable[[int], tuple[Drives, Drives]], max_step: float | None, samples: int = 2
    ) -> float:
        """Return `max_step` after checking it, or the longest step [s] that is stable under these drives."""
        numbers = np.array([drives(k)[end].numbers() for k in range(max(1, samples - 1)) for end in (0, 1)])
        largest = np.abs(numbers).max(0)
        exchange, per_dmi, edge = field_scale(self.A, self.Ms, self.cell)
        D = float(self._per_cell("D")[self.shape].abs().max()) + largest[1]
        anisotropy = float(self._per_cell("Ku")[self.shape].abs().max()) * 2 / (MU0 * self.Ms) + largest[0]
        thermal = self.temperature and 4 * math.sqrt(
            2 * self.alpha * BOLTZMANN * self.temperature / (GAMMA0 * MU0 * self.Ms * self.cell**2 * self.thickness * 1e-14)
        )
        internal = 8 * exchange + 4 * per_dmi * D + 2 * edge * D**2 + anisotropy + self.Ms
        stable = max_stable_step(internal + largest[2:5].sum() + largest[5] + thermal + 4 * largest[6:].sum())
        if max_step is None:
            return stable
        if number("max_step", max_step, 0, above=True, unit="s") > stable:
            raise ConfigError(
                f"max_step is {max_step:.3g} s; steps above {stable:.3g} s are unstable on this grid. Pass a shorter one."
            )
        return max_step

    def _settings(self) -> dict[str, object]:
        """Return the parameters as plain numbers, tensors by mean and standard deviation."""
        rows, columns = self.shape.shape
        settings: dict[str, object] = {"cells": int(self.shape.sum()), "rows": rows, "columns": columns}
        for name, value in vars(self).items():
            if name != "shape" and not isinstance(value, Tensor):
                settings[name] = list(value) if isinstance(value, tuple) else value
        for name in ("Ku", "D"):
            if isinstance(getattr(self, name), Tensor):
                cells = self._per_cell(name)[self.shape]
                settings[name] = {"mean": float(cells.mean()), "deviation": float(cells.std())}
        return settings


def _drive_channels(drives: Mapping[str, object], samples: int) -> tuple[dict[str, Array], dict[str, str]]:
    """Return the drives that are given by channel name, constants repeated at each sample; and their units."""
    channels: dict[str, Array] = {}
    units: dict[str, str] = {}
    for name, (unit, names) in _CHANNELS.items():
        value = drives.get(name)
        if value is not None:
            values = float64(value, name).numpy().reshape(-1, len(names))  # type: ignore[arg-type]
            columns = np.broadcast_to(values, (samples, len(names))).T
            channels.update({channel: np.ascontiguousarray(column) for channel, column in zip(names, columns, strict=True)})
            units.update(dict.fromkeys(names, unit))
    return channels, units


def _solid_angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Return the signed solid angle of triangles of unit vectors, shape (...)."""
    volume = (a * torch.linalg.cross(b, c)).sum(-1)
    return 2 * torch.atan2(volume, 1 + (a * b).sum(-1) + (b * c).sum(-1) + (c * a).sum(-1))
