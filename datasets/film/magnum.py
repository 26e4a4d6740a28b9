"""Runs of a `Film` by magnum.np, an independent simulator, to compare with.

magnum.np (Bruckner et al., Sci. Rep. 13, 12054 (2023), doi:10.1038/s41598-023-39192-5) is under GPL-3, is not installed with
this package, and is imported only when `simulate_with_magnum` is called: `pip install 'spinode[magnum]'`. It compiles its
fields on first use, which takes a minute.
"""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ...errors import ConfigError
from ..sampled_drive import Sampled, Values, held, instants, sampled
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
    """The run that `film.simulate` does, by magnum.np: exchange, interfacial DMI, anisotropy, stray and applied field, at 0 K.

    Its steps are those of an adaptive Runge-Kutta-Fehlberg 4(5).

    Args:
        film: With numbers for Ku and D.
        time: Instants [s], shape (time,).
        m0: State at the first, shape (rows, columns, 3).
        Ku: Anisotropy [J/m3], shape (time,) or a number.
        field: Applied field [A/m], shape (time, 3) or (3,).
        interpolation: "linear" or "held".

    Raises:
        ConfigError: magnum.np is not installed, or the film has what this adapter does not pass on.
    """
    at, hold = instants(time), held(interpolation)
    grains = [name for name in ("Ku", "D", "easy_axis") if isinstance(getattr(film, name), Tensor)]
    if grains or film.temperature > 0:
        what = f"{grains[0]} of each cell" if grains else f"temperature = {film.temperature:g} K"
        raise ConfigError(f"the film has {what}, which is not passed on to magnum.np; pass numbers, and 0 K.")
    magnum = _library()
    anisotropy = sampled(film.Ku if Ku is None else Ku, "Ku", len(at), held=hold)
    applied = sampled((0.0, 0.0, 0.0) if field is None else field, "field", len(at), channels=3, held=hold)
    # Single precision is the default of torch, and magnum.np makes its tensors by it.
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        return _run(magnum, film, at, m0, anisotropy, applied)
    finally:
        torch.set_default_dtype(before)


def _library() -> Any:
    try:
        library = importlib.import_module("magnumnp")
    except ImportError as error:
        raise ConfigError(f"magnum.np is not installed ({error}); run pip install 'spinode[magnum]'.") from None
    for name in ("magnum.np", "magnumnp"):
        logging.getLogger(name).setLevel(logging.WARNING)  # a line for each step
    return library


def _run(magnum: Any, film: Film, at: Tensor, m0: Tensor, anisotropy: Sampled, applied: Sampled) -> FilmRun:
    rows, columns = film.shape.shape
    state = magnum.State(magnum.Mesh((columns, rows, 1), (film.cell, film.cell, film.thickness)))
    inside = _turned(film.shape[..., None].to(torch.float64))
    tracks = (_Track(anisotropy), _Track(applied))
    edges = at[:2].clone()

    def now(track: _Track, time: Tensor) -> Tensor:
        # The simulator may look a little beyond the interval that it is in.
        return torch.lerp(track.begin, track.end, ((time - edges[0]) / (edges[1] - edges[0])).clamp(0, 1))

    state.material = {
        "Ms": film.Ms * inside,
        "A": film.A * inside,
        "Di": film.D * inside,
        "Ku": lambda state: now(tracks[0], state.t).reshape(1, 1, 1, 1) * inside,
        "Ku_axis": list(film.easy_axis),
        "alpha": film.alpha,
    }
    state.m = _turned(torch.where(film.shape[..., None], m0, 0.0).to(torch.float64))
    terms = [magnum.DemagField(), magnum.ExchangeField(), magnum.UniaxialAnisotropyField()]
    terms += [magnum.InterfaceDMIField()] if film.D else []
    terms += [magnum.ExternalField(lambda state: now(tracks[1], state.t))] if bool(applied.values.any()) else []
    solver = magnum.LLGSolver(terms)
    state.t = at[0].clone()
    means = []
    for sample, interval in enumerate([*torch.diff(at).tolist(), None]):
        means.append(state.m.sum((0, 1, 2)) / film.shape.sum())
        if interval is not None:
            edges.copy_(at[sample : sample + 2])
            for track in tracks:
                track.enter(sample)
            solver.step(state, interval)
    return FilmRun(at, torch.stack(means), [], state.m[:, :, 0].transpose(0, 1).clone())


class _Track:
    """A drive within the present interval; tensors that are changed in place, since what is compiled holds on to them."""

    def __init__(self, drive: Sampled) -> None:
        self.drive = drive
        self.begin, self.end = drive.at(0, 0.0).clone(), drive.at(0, 1.0).clone()

    def enter(self, sample: int) -> None:
        self.begin.copy_(self.drive.at(sample, 0.0))
        self.end.copy_(self.drive.at(sample, 1.0))


def _turned(values: Tensor) -> Tensor:
    """(rows, columns, n) as (columns, rows, 1, n): its first axis is x."""
    return values.transpose(0, 1).unsqueeze(2).contiguous()
