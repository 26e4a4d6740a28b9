"""`fit_many`: one surrogate for each of many devices of one kind, fitted side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .... import kernels
from ....errors import ConfigError, SpinodeError
from ....kernels import native
from ....traces.trace import Trace, TraceSet
from ....typing import Progress
from ....validation import merge_settings, number
from ..fitting.checkpoint import Checkpoint
from ..fitting.config import FitConfig
from ..fitting.gauss_newton import Climb
from ..fitting.prepare import Prepared
from ..fitting.recordings import RecordingsOnGrid
from ..fitting.stages import FEEDTHROUGH_RIDGE, MIN_FREE_WINDOW, compare_weights, free_run_error, stage_lengths
from ..surrogate import Surrogate
from .finish import finish_device
from .stack import StackedShooting
from .start import FleetStart, find_start, fit_alone, layout_of

#: Number of the longest windows through which a fit goes that starts from the weights of a pilot. All but the last are short:
#: share of the steps, and every n-th window.
STAGES, SHORT, EVERY = 2, 3, 2

#: A device whose validation error exceeds the median of the pilots' by the first factor is fitted again from the weights
#: of other devices of its batch; by the second one, alone from random weights.
AGAIN, ALONE, RESTARTS = 2.0, 5.0, 2

#: Devices of a batch whose weights are offered to those that are fitted again.
MOST_OTHERS = 16


@dataclass(eq=False)
class Fleet:
    """Surrogates of many devices and the table of their figures.

    Attributes:
        start: Structure and weights that the fits began with.
        surrogates: Surrogate of each device that could be fitted, by name.
        rows: A line for each device, by name: verdict ("good", "care", "bad" or "failed"), its reason, and figures; see
            `spinode.surrogates.neural_ode.fleet.table`.
    """

    start: FleetStart
    surrogates: dict[str, Surrogate] = field(default_factory=dict)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)


def fit_many(
    traces: Mapping[str, Trace] | Sequence[Trace],
    config: FitConfig | None = None,
    *,
    start: FleetStart | None = None,
    pilots: int = 6,
    memory: float = 1e9,
    progress: Progress | None = None,
    **settings: Any,
) -> Fleet:
    """Fit a Neural-ODE surrogate to each of many devices of one kind, stacked in one batched optimisation.

    A few pilot devices are fitted first, with a search of what the settings leave open (`find_start`). Structure, sample
    interval and time scales are then those of all devices, so that their fields are one call of the kernels with weights of
    their own (`StackedShooting`). Each device starts from the weights of the pilot that describes it best and has its own
    scales, steps, end, validation, noise, domain of validity and verdict. Recordings with missing samples, and devices that
    the pilots' weights do not lead to a good fit, are fitted alone.

    Args:
        traces: One recording of each device, by name or in a sequence (then the names are "0", "1", ...). Channels must be
            the same; lengths may differ.
        config: Settings; embeddings "latent" and "memristive", method "adam" and several members are not possible.
        start: Result of `find_start`, for instance of another part of the same wafer; found here if omitted.
        pilots: Number of pilot devices.
        memory: Largest number of bytes of one batch.
        progress: Receives a line of text after each batch.
        **settings: Fields of `FitConfig`.

    Returns:
        Surrogates and table. A device that cannot be fitted has a line with the verdict "failed" and its reason.

    Raises:
        ConfigError: settings that have no fit side by side, no devices, channels that differ, or no compiled kernels.
        FitError: no pilot could be fitted.

    Example:
        >>> import numpy as np, torch
        >>> from spinode import Trace
        >>> from spinode.surrogates.testing import resonator
        >>> voltage = np.repeat(np.random.default_rng(0).normal(size=24), 10)
        >>> drive = torch.as_tensor(voltage)[:, None]
        >>> outputs = [resonator(gain=g).simulate(drive, interpolation={"V": "held"}).detach().numpy() for g in (0.5, 0.6)]
        >>> time = 1e-11 * np.arange(240)
        >>> traces = [Trace(time, {"V": voltage}, {"y": y[:, 0]}, interpolation={"V": "held"}) for y in outputs]
        >>> quick = {"embedding": "derivative", "order": 2, "ridge": 1e-7, "windows": (8, 40), "hidden": 2, "restarts": 1}
        >>> fleet = fit_many(traces, pilots=1, iterations=5, **quick)
        >>> sorted(fleet.surrogates), fleet.rows["1"]["samples"]
        (['0', '1'], 240)

    Source: the shooting is that of `fit`; see `spinode.surrogates.neural_ode.fleet.stack`.
    """
    config = merge_settings(FitConfig, config, settings, what="fit_many")
    memory = number("memory", memory, 1e6, unit="bytes")
    named = _named(traces)
    if not kernels.available():
        raise ConfigError("fits side by side need the compiled kernels; see spinode.kernels.info(), or loop over `fit`.")
    report = progress or (lambda line: None)
    if start is None:
        start = find_start(named, config, pilots=pilots, progress=report)
    fleet = Fleet(start)
    with native.reserve_threads():
        for batch in _batches(named, start, memory, fleet):
            fits = _fit_batch([each.prepared for each in batch], start)
            for each, (climb, stages) in zip(batch, fits, strict=True):
                _finish(fleet, each, climb, stages)
            report(f"{len(fleet)} of {len(named)} devices")
    fleet.rows = {name: fleet.rows[name] for name in named}
    return fleet


@dataclass(frozen=True, eq=False)
class _Device:
    """A recording that is ready to be fitted."""

    name: str
    on_grid: RecordingsOnGrid
    prepared: Prepared

    @property
    def shape(self) -> tuple[Any, ...]:
        """What must be equal for two devices to be fitted side by side."""
        samples = self.prepared.samples
        return samples.segments, samples.states.shape, samples.stages.shape, samples.feedthrough_jacobian.shape

    @property
    def is_complete(self) -> bool:
        """True if all samples are known."""
        return self.prepared.samples.status is None and self.prepared.comparison is None


def _named(traces: Mapping[str, Trace] | Sequence[Trace]) -> dict[str, Trace]:
    """Return the recordings by name; refuse none, and channels that differ."""
    named = dict(traces) if isinstance(traces, Mapping) else {str(number): trace for number, trace in enumerate(traces)}
    if not named:
        raise ConfigError("there are no devices; pass at least one recording.")
    names = list(named)
    TraceSet([named[names[0]]])  # refuses what is no trace
    first = _channels(named[names[0]])
    for name, trace in named.items():
        TraceSet([trace])
        if _channels(trace) != first:
            raise ConfigError(
                f"device {name} has the channels {_channels(trace)}, device {names[0]} {first}; expected the same drives, "
                "parameters and outputs, in one order. Name the channels when the files are read."
            )
    return named


def _channels(trace: Trace) -> tuple[tuple[str, ...], ...]:
    return tuple(trace.drive), tuple(trace.parameters), tuple(trace.output)


def _batches(named: Mapping[str, Trace], start: FleetStart, memory: float, fleet: Fleet) -> Iterator[list[_Device]]:
    """Yield devices of one shape, as many as the memory allows; those that cannot be fitted become lines of the table."""
    waiting: dict[tuple[Any, ...], list[_Device]] = {}
    for name, trace in named.items():
        try:
            device = _Device(name, *start.prepare(trace))
        except SpinodeError as error:
            fleet.rows[name] = {"verdict": "failed", "reason": str(error)}
            continue
        group = waiting.setdefault((device.is_complete, device.shape), [])
        group.append(device)
        if len(group) >= max(1, int(memory / device_bytes(device.prepared, start.weights.shape[1]))):
            yield waiting.pop((device.is_complete, device.shape))
    yield from waiting.values()


def device_bytes(prepared: Prepared, unknowns: int) -> int:
    """Return an estimate of the memory of one device in a batch."""
    samples = prepared.samples
    per_sample = 3 * (samples.stages[0].numel() + samples.states.shape[-1] * (4 + samples.feedthrough_jacobian.shape[-1]))
    windows = len(samples.states) // max(1, MIN_FREE_WINDOW)
    return 8 * (len(samples.states) * per_sample + 3 * windows * samples.states.shape[-1] * unknowns + 6 * unknowns**2)


def _fit_batch(batch: Sequence[Prepared], start: FleetStart) -> list[tuple[Climb | None, list[dict[str, Any]]]]:
    """Fit devices of one shape and return the fit of each, at the weights that validate best, with its history."""
    first = batch[0].samples
    if first.status is not None or batch[0].comparison is not None:
        alone = [fit_alone(each, start, RESTARTS) for each in batch]
        return [(climb, [] if climb is None else climb.history) for climb in alone]
    climbs = [Climb(each, start.config, start.build, 0, Checkpoint(None, {})) for each in batch]
    history: list[list[dict[str, Any]]] = [[] for _ in batch]
    _run_stages(climbs, history, start, start.weights)
    limit = AGAIN * float(np.median(start.errors))
    good = [climb.best_theta for climb in climbs if climb.error <= limit]
    again = [index for index, climb in enumerate(climbs) if not climb.error <= limit]
    if again and good:  # another device of the batch may be more like these than any pilot
        _run_stages([climbs[i] for i in again], [history[i] for i in again], start, torch.stack(good[:MOST_OTHERS]))
    for index, climb in enumerate(climbs):
        if not climb.error <= ALONE / AGAIN * limit:
            other = fit_alone(climb.prepared, start, RESTARTS)
            if other is not None and other.error < climb.error:
                climbs[index], history[index] = other, other.history
    return [(climb if np.isfinite(climb.error) else None, stages) for climb, stages in zip(climbs, history, strict=True)]


def _run_stages(
    climbs: Sequence[Climb], history: Sequence[list[dict[str, Any]]], start: FleetStart, candidates: Tensor
) -> None:
    """Fit devices side by side from the best of some weights, and leave each fit at the weights that validate best.

    Args:
        climbs: Fits of devices of one shape; a fit that is better already is not changed.
        history: That of each, to which the stages are appended.
        start: Structure of the fleet.
        candidates: Weights to begin with, shape (candidates, theta).
    """
    batch = [climb.prepared for climb in climbs]
    theta = candidates[:1].expand(len(batch), -1)
    windows = stage_lengths(start.config.first_windows, batch[0].samples)[-STAGES:]
    for stage, window in enumerate(windows):
        last = stage == len(windows) - 1
        problem = _problem(batch, climbs[0], start, window, 1 if last else EVERY)
        if not stage:
            theta = _best_of(problem, candidates, len(batch))
        _free_initial_states(problem, batch, theta, window)
        ended = problem.minimise(
            problem.begin(theta), iterations=max(2, start.config.first_iterations // (1 if last else SHORT))
        )
        theta = ended.theta
        for index, climb in enumerate(climbs):
            error = _validate(climb, theta[index]) if bool(ended.cost[index].isfinite()) else float("inf")
            if error <= climb.error:
                climb.error, climb.best_theta = error, theta[index].clone()
            history[index].append(
                {
                    "window": window,
                    "validation": _finite(error),
                    "residual": _finite(float(ended.cost[index]) ** 0.5),
                    "steps": int(ended.steps[index]),
                }
            )


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _problem(batch: Sequence[Prepared], climb: Climb, start: FleetStart, window: int, every: int) -> StackedShooting:
    """Set up the shooting problem of one stage with every n-th window, as `fitting.gauss_newton.stage_problem`."""
    samples = [each.samples for each in batch]
    free = window >= MIN_FREE_WINDOW
    starts = samples[0].windows(window)[::every]
    most = max(8, start.config.max_samples // (1 if free else 4) // window)
    if len(starts) > most:
        generator = torch.Generator().manual_seed(start.config.seed * 7919)
        starts = starts[torch.randperm(len(starts), generator=generator)[:most].sort().values]
    weights = torch.stack([compare_weights(each, free) for each in samples])
    ridge = torch.full_like(climb.layout.start, start.config.first_ridge)
    ridge[len(ridge) - samples[0].feedthrough_jacobian.shape[-1] :] *= FEEDTHROUGH_RIDGE
    ratios = start.ratios.flatten() if start.embedding.chain else start.ratios.new_empty(0)
    return StackedShooting(samples, layout_of(climb), ratios, window, starts, weights, None, ridge)


def _free_initial_states(problem: StackedShooting, batch: Sequence[Prepared], theta: Tensor, window: int) -> None:
    """Free the initial states of long windows, within a prior that follows from the residuals at given weights."""
    if window < MIN_FREE_WINDOW:
        return
    residual = problem.begin(theta).cost.sqrt().clamp(1e-6, 0.1)
    problem.prior = torch.stack([each.samples.state_noise for each in batch]) / residual[:, None]


def _best_of(problem: StackedShooting, candidates: Tensor, devices: int) -> Tensor:
    """Return for each device the candidate with the lowest cost, shape (devices, theta)."""
    costs = torch.stack([problem.begin(weights.expand(devices, -1)).cost for weights in candidates])
    return candidates[costs.argmin(0)]


def _validate(climb: Climb, theta: Tensor) -> float:
    """Return the error of free runs over the validation segments at given weights."""
    climb.write(theta)
    return free_run_error(climb.member, climb.prepared, climb.prepared.validation)


def _finish(fleet: Fleet, device: _Device, climb: Climb | None, stages: list[dict[str, Any]]) -> None:
    if climb is None:
        fleet.rows[device.name] = {"verdict": "failed", "reason": "no fit gave a finite free run over the validation segment"}
        return
    climb.write(climb.best_theta)
    try:
        surrogate, row = finish_device(climb, device.on_grid, fleet.start, stages, fleet.start.config.seed)
    except SpinodeError as error:
        fleet.rows[device.name] = {"verdict": "failed", "reason": str(error)}
        return
    fleet.surrogates[device.name], fleet.rows[device.name] = surrogate, row
