"""`evaluate`: how far a surrogate can be trusted on a recording that it has not seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ....errors import TraceError
from ....traces.resample import check_samples, interval_of, resample
from ....traces.trace import Trace
from ....typing import Array
from ....units import readable
from ..free_run import FreeRun
from ..surrogate import Surrogate
from .linear_baseline import arx_baseline
from .short_runs import Change, regime_change, short_run_residuals

#: Fewest samples (on the surrogate's grid) that a score means anything on.
FEWEST = 50


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """A free run held against a recording. Times are those of the recording [s]; scores are over all outputs.

    Attributes:
        trace: The recording on the surrogate's grid and under its names.
        run: The free run from the recording's first samples.
        nrmse: Root mean square error over the standard deviation of the true trace (mean over outputs of the squares).
        r2: 1 - nrmse^2 for one output; coefficient of determination in general.
        spectrum_error: Root of the summed squared difference of the amplitude spectra over that of the true one.
        horizon: (time since the start [s], NRMSE up to there), logarithmically spaced.
        diverged_at: When the error stays beyond the trace's own deviation, or the state escaped [s]; None if never.
        outside_domain: Share of steps outside the domain of validity.
        coverage: Share of true samples within the 90 % interval of the predicted spread.
        regime_change_at: When the device stops behaving as the one fitted [s]; None if it does not.
        nrmse_before_change: NRMSE up to that instant; None without a change.
        baseline_nrmse: NRMSE of a free run of a linear ARX model fitted on the same stretch as the surrogate, or None.
        residuals: Errors of runs of a few steps over their level on the fitted stretch, shape (runs, outputs).
        change: The change point with its evidence.
    """

    trace: Trace
    run: FreeRun
    nrmse: float
    r2: float
    spectrum_error: float
    horizon: tuple[tuple[float, float], ...]
    diverged_at: float | None
    outside_domain: float
    coverage: float
    regime_change_at: float | None
    nrmse_before_change: float | None
    baseline_nrmse: float | None
    residuals: Array
    change: Change | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)

    @property
    def truth(self) -> Array:
        """Recorded outputs on the grid, shape (time, outputs)."""
        return np.stack(list(self.trace.output.values()), -1)

    @property
    def prediction(self) -> Array:
        """Free-run outputs, shape (time, outputs)."""
        return self.run.output.numpy()

    def __repr__(self) -> str:
        """The scores without the curves."""
        scores = {name: value for name, value in self.to_dict().items() if name not in ("horizon", "notes")}
        return f"Evaluation({', '.join(f'{name}={value}' for name, value in scores.items())})"

    def to_dict(self) -> dict[str, Any]:
        """The scores as one JSON object."""
        return {
            "nrmse": self.nrmse,
            "r2": self.r2,
            "spectrum_error": self.spectrum_error,
            "horizon": [[_tidy(time), value] for time, value in self.horizon],
            "diverged_at": _tidy(self.diverged_at),
            "outside_domain": self.outside_domain,
            "coverage": self.coverage,
            "regime_change_at": _tidy(self.regime_change_at),
            "nrmse_before_change": self.nrmse_before_change,
            "baseline_nrmse": self.baseline_nrmse,
            "start": _tidy(float(self.trace.time[0])),
            "stop": _tidy(float(self.trace.time[-1])),
            "samples": len(self.trace),
            "notes": list(self.notes),
        }


def _tidy(time: float | None) -> float | None:
    """A time without the last digits of the sum start + k * interval."""
    return None if time is None else float(f"{time:.9g}")


def matched(surrogate: Surrogate, trace: Trace, drive: Sequence[str] = (), output: Sequence[str] = ()) -> Trace:
    """Bring a recording under the surrogate's names.

    Channels named in `drive` and `output` take the surrogate's places in their order; without names, channels of the
    surrogate's own names are taken, whatever their role in the trace.

    Raises:
        TraceError: a missing channel, another number of names, or a unit of another kind.
    """
    ports = surrogate.ports
    chosen: dict[str, dict[str, Array]] = {}
    units: dict[str, str] = {name: trace.units.get(name, "") for name in trace.parameters}
    kinds: dict[str, str] = {}
    clock = ports.units.get("time", "s")
    if trace.unit("time") != clock:
        raise TraceError(
            f"the recording's time is in {trace.unit('time')!r}, the surrogate's in {clock!r}; give both the same clock."
        )
    units["time"] = clock
    available = trace.channels
    for role, own, given in (("drive", ports.drive, tuple(drive)), ("output", ports.output, tuple(output))):
        here = all(name in available for name in own)
        names = given or (own if here or role == "drive" or trace.output.keys() & set(own) else ())
        if names and len(names) != len(own):
            raise TraceError(
                f"{len(names)} {role} names came ({', '.join(names)}), the surrogate has {len(own)}: {', '.join(own)}; "
                "name one channel for each, in that order."
            )
        chosen[role] = {}
        for place, name in zip(own, names, strict=False):
            if name not in available:
                raise TraceError(
                    f"the recording has no channel {name!r} for the {role} {place!r}; its channels are: "
                    f"{', '.join(available) or 'none'}. Name the one that takes its place with --{role} / {role}=."
                )
            _same_unit(name, trace.units.get(name), place, ports.units.get(place))
            chosen[role][place] = available[name]
            units[place] = ports.units.get(place, "")
            if name in trace.interpolation:
                kinds[place] = trace.interpolation[name]
    return replace(trace, drive=chosen["drive"], output=chosen["output"], units=units, interpolation=kinds)


def _same_unit(name: str, got: str | None, place: str, want: str | None) -> None:
    # A file that gives no unit is taken at its word; one that gives another unit is not.
    if got and want and got != want:
        raise TraceError(
            f"{name!r} is in {got}, the surrogate's {place!r} is in {want}; convert it, or read the file with "
            f"units={{{name!r}: '{want}'}} if its header is wrong."
        )


def evaluate(
    surrogate: Surrogate,
    trace: Trace,
    *,
    drive: Sequence[str] = (),
    output: Sequence[str] = (),
    from_rest: bool = False,
) -> Evaluation:
    """Score a free run of the surrogate against a recording.

    The run starts from the recording's first samples and sees nothing of the outputs after them.

    Args:
        surrogate: The model.
        trace: Recording with drives and outputs; resampled to the surrogate's interval where it differs.
        drive: Channels that take the places of the surrogate's drives, where the recording names them differently.
        output: Likewise for the outputs.
        from_rest: Start from the resting state instead.

    Raises:
        TraceError: missing channels, other units, NaN, too short a stretch.
    """
    named = matched(surrogate, trace, drive, output)
    missing = [name for name in surrogate.ports.output if name not in named.output]
    if missing:
        raise TraceError(
            f"the recording has no output {missing[0]!r} to compare with; its channels are: "
            f"{', '.join(trace.channels) or 'none'}. Name the one that takes its place with --output / output=."
        )
    grid, notes = on_grid_of(surrogate, named)
    run = surrogate.run(grid, from_rest=from_rest)
    truth = np.stack([grid.output[name] for name in surrogate.ports.output], -1)
    predicted = run.output.numpy()
    error = predicted - truth
    scale = _deviation(truth, grid)
    residuals = short_run_residuals(surrogate, grid)
    change = regime_change(surrogate, grid, residuals)
    at = None if change is None else change.at
    before = None
    if at is not None:
        kept = np.asarray(grid.time) < at
        before = _nrmse(error[kept], _deviation(truth[kept], None)) if kept.sum() >= FEWEST else None
    nrmse = _nrmse(error, scale)
    diverged = _diverged_at(np.asarray(grid.time), error / scale, run.diverged_at)
    return Evaluation(
        trace=grid,
        run=run,
        nrmse=nrmse,
        r2=float(1 - np.sum((error / scale) ** 2) / (error.size)),
        spectrum_error=spectrum_error(truth / scale, predicted / scale),
        horizon=tuple(horizon_curve(np.asarray(grid.time), error / scale)),
        diverged_at=diverged,
        outside_domain=float(run.outside.double().mean()),
        coverage=float(np.mean(np.abs(error) <= 1.645 * run.spread.numpy())),
        regime_change_at=at,
        nrmse_before_change=before,
        baseline_nrmse=arx_baseline(surrogate.record.get("arx"), grid, surrogate.ports),
        residuals=residuals,
        change=change,
        notes=tuple(notes),
    )


def on_grid_of(surrogate: Surrogate, trace: Trace) -> tuple[Trace, list[str]]:
    """The recording on the surrogate's grid, and what was done to get it there."""
    check_samples(trace, 8)
    step = interval_of(trace)
    count = trace.duration / surrogate.interval
    if count < FEWEST:
        raise TraceError(
            f"the stretch lasts {trace.duration:.4g} s, {count:.0f} steps of the surrogate's {surrogate.interval:.4g} s; "
            f"at least {FEWEST} are needed for a score. Take a longer stretch."
        )
    if step > 2.5 * surrogate.interval:
        raise TraceError(
            f"the recording is sampled every {step:.4g} s, the surrogate steps every {surrogate.interval:.4g} s; what lies "
            "between the samples cannot be made up. Record more finely, or fit a surrogate with a longer sample_interval."
        )
    # As the fitted recording was: a band-limited fit knows nothing of what was filtered out.
    method = surrogate.record.get("config", {}).get("resampling", "spline")
    grid = resample(trace, surrogate.interval, method=method)
    account: Mapping[str, Any] = grid.provenance["resampled"]
    notes = []
    if abs(step / surrogate.interval - 1) > 0.02:
        notes.append(
            f"resampled from {readable(step, 's')} to {readable(surrogate.interval, 's')} by {method} (held drives averaged)."
        )
    if account["longest_gap"] is not None:
        begin, end = account["longest_gap"]
        notes.append(f"not recorded from {begin:.6g} s to {end:.6g} s: what stands there is interpolation.")
    lost = {name: share for name, share in account["variance_above_nyquist"].items() if share > 1e-3}
    for name, share in lost.items():
        notes.append(f"{share:.2%} of the variance of {name!r} lies above the new Nyquist frequency.")
    return grid, notes


def _deviation(truth: Array, trace: Trace | None) -> Array:
    deviation = truth.std(0)
    # Rounding in the resampling leaves a constant a deviation of its last digit.
    still = np.ptp(truth, 0) <= 1e-12 * np.abs(truth).max(0)
    if trace is not None and np.any(still):
        name = list(trace.output)[int(np.flatnonzero(still)[0])]
        raise TraceError(f"output {name!r} is constant in the chosen stretch; there is nothing to compare with.")
    return np.asarray(np.maximum(deviation, 1e-300))


def _nrmse(error: Array, scale: Array) -> float:
    return float(np.sqrt(np.mean((error / scale) ** 2)))


def spectrum_error(truth: Array, predicted: Array) -> float:
    """|| |Y| - |Y^| || / || |Y| || of Hann-windowed amplitude spectra, means removed; shapes (time, outputs)."""
    window = np.hanning(len(truth))[:, None]
    a = np.abs(np.fft.rfft((truth - truth.mean(0)) * window, axis=0))
    b = np.abs(np.fft.rfft((predicted - predicted.mean(0)) * window, axis=0))
    return float(np.linalg.norm(a - b) / max(float(np.linalg.norm(a)), 1e-300))


def horizon_curve(time: Array, scaled: Array, points: int = 24) -> list[tuple[float, float]]:
    """Root mean square of the scaled error up to each of logarithmically spaced horizons."""
    cumulative = np.cumsum(np.mean(scaled**2, -1))
    counts = np.unique(np.geomspace(2, len(time), points).astype(int))
    return [(float(time[n - 1] - time[0]), float(np.sqrt(cumulative[n - 1] / n))) for n in counts]


def _diverged_at(time: Array, scaled: Array, escaped: float | None) -> float | None:
    """First time from which the running error (over a fortieth of the run) stays beyond one deviation, to the end."""
    width = max(5, len(time) // 40)
    power = np.mean(scaled**2, -1)
    running = np.convolve(power, np.ones(width) / width, mode="valid")
    above = running > 1.0
    candidates = [] if escaped is None else [escaped]
    if above[-1]:
        last_good = np.flatnonzero(~above)
        candidates.append(float(time[0] if not len(last_good) else time[min(last_good[-1] + 1, len(time) - 1)]))
    return min(candidates) if candidates else None
