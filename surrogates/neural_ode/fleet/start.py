"""What the fits of all devices of a fleet begin with: structure, time scales and weights, found on a few pilot devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....dynamics.layout import Layout, kernel_layout
from ....dynamics.scales import Scales
from ....errors import ConfigError, FitError
from ....traces.trace import Trace, TraceSet
from ....typing import Progress
from ....validation import whole_number
from ..embedding import Embedding
from ..fitting.checkpoint import Checkpoint
from ..fitting.config import RECURSIVE, FitConfig
from ..fitting.gauss_newton import Climb
from ..fitting.prepare import Prepared, on_common_grid, prepare
from ..fitting.recordings import RecordingsOnGrid
from ..fitting.search import Search
from ..fitting.stages import FieldBuilder, default_field, linear_field, stage_lengths
from ..fitting.structure import Structure

#: Pilots on which the structure is searched; a search takes as long as fifty fits beside others.
SEARCHED = 3


@dataclass(frozen=True, eq=False)
class FleetStart:
    """Structure and first weights of the fits of a fleet.

    Attributes:
        config: Settings with structure and sample interval filled in.
        linear: True if the structure is a linear model.
        ratios: Ratios of the state scales, the same for all devices, shape (order - 1, outputs).
        weights: Weights and feedthrough of each pilot, shape (pilots, theta).
        errors: Validation NRMSE of each pilot.
        pilots: Names of the pilots.
    """

    config: FitConfig
    linear: bool
    ratios: Tensor
    weights: Tensor
    errors: tuple[float, ...]
    pilots: tuple[str, ...]

    @property
    def embedding(self) -> Embedding:
        """The embedding of all devices."""
        assert self.config.embedding is not None
        assert self.config.order is not None
        return Embedding(self.config.embedding, self.config.order)

    @property
    def structure(self) -> dict[str, Any]:
        """The structure as plain JSON."""
        hidden = [] if self.linear else list(self.config.first_hidden)
        return {**vars(self.embedding), "embedding": self.embedding.kind, "hidden": hidden, "ridge": self.config.first_ridge}

    @property
    def build(self) -> FieldBuilder:
        """Builder of the learned part of the field."""
        return linear_field(self.config) if self.linear else default_field(self.config)

    def prepare(self, trace: Trace) -> tuple[RecordingsOnGrid, Prepared]:
        """Return the recording of one device on the grid of the fleet, and embedded with its time scales.

        Raises:
            TraceError: it cannot be fitted.
        """
        on_grid = on_common_grid(TraceSet(trace), self.config)
        return on_grid, with_ratios(prepare(on_grid, self.embedding, self.config), self.ratios)

    def to_notes(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Return the start as plain JSON and tensors, for a `CheckpointFile`."""
        notes = {"config": self.config.to_dict(), "linear": self.linear, "errors": self.errors, "pilots": self.pilots}
        return notes, {"ratios": self.ratios, "weights": self.weights}

    @classmethod
    def from_notes(cls, notes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> FleetStart:
        """Return the start that `to_notes` has described."""
        config = FitConfig.from_dict(notes["config"])
        errors, pilots = tuple(notes["errors"]), tuple(notes["pilots"])
        return cls(config, notes["linear"], tensors["ratios"], tensors["weights"], errors, pilots)


def find_start(
    traces: Mapping[str, Trace], config: FitConfig, *, pilots: int = 6, progress: Progress | None = None
) -> FleetStart:
    """Fit a few devices with a search of the structure, and return what all fits of the fleet begin with.

    Args:
        traces: Recordings by the name of the device; only those of the pilots are read.
        config: Settings; what they leave open is searched on a few pilots, and most of them decide.
        pilots: Number of devices, spread evenly over the fleet, whose fits the others begin with.
        progress: Receives lines of text.

    Raises:
        ConfigError: settings that have no fit side by side.
        FitError: no pilot could be fitted.
    """
    say = progress or (lambda line: None)
    check_config(config)
    names = list(traces)
    count = min(whole_number("pilots", pilots, 1, 100), len(names))
    chosen = _spread(names, count)
    structure, interval = _most_frequent_structure([traces[name] for name in _spread(chosen, SEARCHED)], config, say)
    linear = structure.linear
    settled = replace(structure.settle(config), sample_interval=interval, output_map=config.output_map or ())
    plain = FleetStart(settled, linear, torch.zeros(0), torch.zeros(0), (), tuple(chosen))
    prepared = [prepare(on_common_grid(TraceSet(traces[name]), settled), plain.embedding, settled) for name in chosen]
    ratios = torch.stack([each.scales.ratios for each in prepared]).log().mean(0).exp()
    weights, errors = [], []
    for name, each in zip(chosen, prepared, strict=True):
        climb = fit_alone(with_ratios(each, ratios), plain, settled.restarts)
        if climb is None:
            say(f"pilot {name}: no finite fit")
            continue
        say(f"pilot {name}: validation NRMSE {climb.error:.4f}")
        weights.append(climb.best_theta)
        errors.append(climb.error)
    if not weights:
        raise FitError("no pilot could be fitted; fit one device with `spinode fit` to see why, or name another structure.")
    return replace(plain, ratios=ratios, weights=torch.stack(weights), errors=tuple(errors))


def _spread(names: Sequence[str], count: int) -> list[str]:
    """Return some names spread evenly over a list, each once."""
    places = np.linspace(0, len(names) - 1, min(count, len(names)) + 2)[1:-1].round()
    return [names[place] for place in sorted({int(place) for place in places})]


def check_config(config: FitConfig) -> None:
    """Refuse settings that have no fit side by side."""
    if config.embedding in RECURSIVE or config.method != "gauss-newton":
        got = f"embedding={config.embedding!r}" if config.embedding in RECURSIVE else f"method={config.method!r}"
        raise ConfigError(
            f"{got} cannot be fitted for many devices side by side; expected embedding 'derivative' or 'delay' with "
            "method='gauss-newton'. Loop over `fit` for other models."
        )
    if config.members > 1:
        raise ConfigError(f"members is {config.members}; fits side by side have one member. Leave it out, or loop over `fit`.")


def fit_alone(prepared: Prepared, start: FleetStart, restarts: int) -> Climb | None:
    """Fit one device from random weights through all stages, and return the best of some restarts; None if all fail."""
    best: Climb | None = None
    for number in range(restarts):
        climb = Climb(prepared, start.config, start.build, number, Checkpoint(None, {}))
        try:
            for window in stage_lengths(start.config.first_windows, prepared.samples):
                climb.stage(window, lambda line: None)
        except FitError:
            continue
        if np.isfinite(climb.error) and (best is None or climb.error < best.error):
            best = climb
    return best


def with_ratios(prepared: Prepared, ratios: Tensor) -> Prepared:
    """Return a recording whose state blocks have scales in given ratios; those of outputs and drives stay its own.

    Args:
        prepared: Embedded recording.
        ratios: Scale of block j + 1 over that of block j, shape (order - 1, outputs).
    """
    old = prepared.scales
    scale = torch.cat([old.state_scale[:1], old.state_scale[:1] * ratios.cumprod(0)])
    factor = (old.state_scale / scale).flatten()
    samples = prepared.samples
    return replace(
        prepared,
        scales=Scales(old.output_mean, old.output_scale, scale, old.drive_mean, old.drive_scale),
        samples=replace(
            samples,
            states=samples.states * factor,
            feedthrough_jacobian=samples.feedthrough_jacobian * factor[:, None],
            state_noise=samples.state_noise * factor,
        ),
    )


def layout_of(climb: Climb) -> Layout:
    """Return the layout of a field for the kernels.

    Raises:
        ConfigError: the kernels do not take it.
    """
    layout = kernel_layout(climb.member.field)
    if not isinstance(layout, Layout):
        raise ConfigError(f"the fields of a fleet run in the compiled kernels only, and {layout}; use a smaller `hidden`.")
    return layout


def _most_frequent_structure(traces: Sequence[Trace], config: FitConfig, progress: Progress) -> tuple[Structure, float]:
    """Return the structure that most pilots choose (the larger one of equals), and the shortest of their intervals."""
    if config.embedding is not None and config.order is not None and config.hidden is not None and config.ridge is not None:
        given = Structure(config.embedding, config.order, config.hidden, config.ridge)
        if config.sample_interval is not None:
            return given, config.sample_interval
        interval = min(_interval(on_common_grid(TraceSet(trace), config)) for trace in traces)
        return given, interval
    found: list[Structure] = []
    intervals = []
    for number, trace in enumerate(traces):
        result = Search(on_common_grid(TraceSet(trace), config), config, None, Checkpoint(None, {}), lambda line: None).run()
        found.append(result.structures[0])
        intervals.append(result.prepared.interval)
        progress(
            f"pilot {number + 1} of {len(traces)}: {found[-1].name}, validation NRMSE {result.candidates[0].validation:.4f}"
        )
    counts = Counter(found)
    best = max(counts, key=lambda each: (counts[each], each.order, sum(each.hidden)))
    progress(f"structure of the fleet: {best.name}")
    return best, min(intervals)


def _interval(on_grid: RecordingsOnGrid) -> float:
    return float(on_grid[0].provenance["resampled"]["to_interval"])
