"""Simulation of a `Film` by magnum.np, an independent simulator, for comparison.

magnum.np (Bruckner et al., Sci. Rep. 13, 12054 (2023), doi:10.1038/s41598-023-39192-5) is licensed under GPL-3, is not
installed with this package, and is imported only when `simulate_with_magnum` is called: `pip install 'spinode[magnum]'`. It
compiles its fields on first use, which takes a minute.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import ConfigError
from ..sampled_drive import SampledDrive, Values, is_hold, read_drive, sample_times
from .run import FilmRun

if TYPE_CHECKING:
    from .film import Film


def simulate_with_magnum(
    film: Film,
    time: Values,
    m0: Tensor,
    *,
    Ku: Values | None = None,
    field: Values | None = None,
    interpolation: str = "linear",
) -> FilmRun:
    """Simulate a film as `film.simulate` does, but by magnum.np.

    It supports exchange, interfacial DMI, anisotropy, stray and applied field at 0 K, and integrates by an adaptive
    Runge-Kutta-Fehlberg 4(5) scheme.

    Args:
        film: A film with numbers for Ku and D.
        time: Sample times [s], shape (time,).
        m0: State at the first sample time, shape (rows, columns, 3).
        Ku: Anisotropy [J/m3], shape (time,) or a number.
        field: Applied field [A/m], shape (time, 3) or (3,).
        interpolation: Drives between the samples: "linear", or "held" for a zero-order hold.

    Returns:
        The mean magnetisation at each sample time, and the final state.

    Raises:
        ConfigError: magnum.np is not installed, or the film has grains or a temperature.
    """
    times, hold = sample_times(time), is_hold(interpolation)
    per_cell = [name for name in ("Ku", "D", "easy_axis") if isinstance(getattr(film, name), Tensor)]
    if per_cell or film.temperature > 0:
        unsupported = f"{per_cell[0]} of each cell" if per_cell else f"temperature = {film.temperature:g} K"
        raise ConfigError(f"the film has {unsupported}, which is not passed on to magnum.np; pass numbers, and 0 K.")
    magnum = _library()
    anisotropy = read_drive(film.Ku if Ku is None else Ku, "Ku", len(times), hold=hold)
    applied = read_drive((0.0, 0.0, 0.0) if field is None else field, "field", len(times), channels=3, hold=hold)
    # magnum.np creates tensors of the default type of torch, which is single precision.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return _run(magnum, film, times, m0, anisotropy, applied)
    finally:
        torch.set_default_dtype(before)


def _library() -> Any:
    try:
        library = importlib.import_module("magnumnp")
    except ImportError as error:
        raise ConfigError(f"magnum.np is not installed ({error}); run pip install 'spinode[magnum]'.") from None
    for name in ("magnum.np", "magnumnp"):
        logging.getLogger(name).setLevel(logging.WARNING)  # otherwise it prints a line for each step
    return library


def _run(magnum: Any, film: Film, times: Tensor, m0: Tensor, anisotropy: SampledDrive, applied: SampledDrive) -> FilmRun:
    rows, columns = film.shape.shape
    state = magnum.State(magnum.Mesh((columns, rows, 1), (film.cell, film.cell, film.thickness)))
    inside = _to_magnum(film.shape[..., None].to(torch.float64))
    ends = (_IntervalEnds(anisotropy), _IntervalEnds(applied))
    interval_ends = times[:2].clone()

    def interpolate(drive: _IntervalEnds, time: Tensor) -> Tensor:
        # The solver may evaluate the drives slightly outside the current interval.
        fraction = (time - interval_ends[0]) / (interval_ends[1] - interval_ends[0])
        return torch.lerp(drive.begin, drive.end, fraction.clamp(0, 1))

    state.material = {
        "Ms": film.Ms * inside,
        "A": film.A * inside,
        "Di": film.D * inside,
        "Ku": lambda state: interpolate(ends[0], state.t).reshape(1, 1, 1, 1) * inside,
        "Ku_axis": list(film.easy_axis),
        "alpha": film.alpha,
    }
    state.m = _to_magnum(torch.where(film.shape[..., None], m0, 0.0).to(torch.float64))
    terms = [magnum.DemagField(), magnum.ExchangeField(), magnum.UniaxialAnisotropyField()]
    terms += [magnum.InterfaceDMIField()] if film.D else []
    terms += [magnum.ExternalField(lambda state: interpolate(ends[1], state.t))] if bool(applied.values.any()) else []
    solver = magnum.LLGSolver(terms)
    state.t = times[0].clone()
    means = []
    for sample, interval in enumerate([*torch.diff(times).tolist(), None]):
        means.append(state.m.sum((0, 1, 2)) / film.shape.sum())
        if interval is not None:
            interval_ends.copy_(times[sample : sample + 2])
            for drive in ends:
                drive.enter(sample)
            solver.step(state, interval)
    return FilmRun(times, torch.stack(means), [], state.m[:, :, 0].transpose(0, 1).clone())


class _IntervalEnds:
    """A drive at both ends of the current interval, in tensors that compiled code keeps and that are changed in place."""

    def __init__(self, drive: SampledDrive) -> None:
        self.drive = drive
        self.begin, self.end = drive.at(0, 0.0).clone(), drive.at(0, 1.0).clone()

    def enter(self, sample: int) -> None:
        """Move to the interval that begins with a sample."""
        self.begin.copy_(self.drive.at(sample, 0.0))
        self.end.copy_(self.drive.at(sample, 1.0))


def _to_magnum(values: Tensor) -> Tensor:
    """Rearrange (rows, columns, n) to (columns, rows, 1, n): the first axis of magnum.np is x."""
    return values.transpose(0, 1).unsqueeze(2).contiguous()
