"""`evaluate`: score a surrogate on a recording that its fit has not seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ....errors import ConfigError, TraceError
from ....traces.trace import Trace, check_trace
from ....typing import Array
from ....units import readable
from ....validation import describe_type
from ..free_run import FreeRun, samples_of_start
from ..member import START_SAMPLES
from ..surrogate import Surrogate
from .linear_baseline import arx_baseline
from .matching import MIN_SAMPLES, match_channels, resample_for_surrogate
from .measurement_noise import ComparedRun
from .memory import memory_floor
from .metrics import QUANTILE_90, divergence_time, horizon_curve, rms_ratio, spectrum_error
from .noise_correction import NOISE_ALONE, ModelError, model_error, without_noise
from .recorded_samples import at_recorded_samples, without_missing
from .residual_change import MOVED, ResidualChange, detect_residual_change
from .short_runs import short_run_residuals


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """A free run compared with a recording. Times are those of the recording [s]; scores are over all outputs.

    Attributes:
        trace: The recording with the channel names of the surrogate: its own samples where they are not those of the grid of
            the surrogate, without the missing ones.
        run: The free run at these samples, started from the first ones.
        nrmse: Root mean square error over the standard deviation of the recording (rms over the outputs).
        r2: Coefficient of determination, 1 - nrmse^2.
        spectrum_error: Relative error of the amplitude spectra, || |Y| - |Y^| || / || |Y| ||.
        horizon: (time since the start [s], NRMSE up to there), logarithmically spaced.
        diverged_at: Time from which on the error exceeds one standard deviation, or at which the state escaped [s]; None
            if neither happens.
        outside_domain: Share of steps outside the domain of validity.
        coverage: Share of recorded samples within the predicted 90 % interval, which knows nothing of this recording's noise.
        regime_change_at: Time from which on the device no longer behaves like the fitted one [s]; None if it always does.
        nrmse_before_change: NRMSE up to that time; None without a change.
        baseline_nrmse: NRMSE of the free run of a linear ARX model fitted to the same data, or None.
        residuals: Errors of runs of a few steps relative to the fitted data, shape (runs, outputs).
        change: The detected change of the device with its evidence, or None.
        notes: What the resampling changed, one sentence each.
        grid: The recording on the grid of the surrogate; missing samples are interpolated.
        model_error: The error less the measurement noise of the recording, over the standard deviation of the output without
            noise, with its interval (see `ModelError`); None if it was not estimated.
        baseline_model_error: NRMSE of the linear ARX model less the same noise, or None.
        memory_floor: NRMSE that no run can beat, on average, without knowing the initial state, if `again` was given.
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
    change: ResidualChange | None = None
    notes: tuple[str, ...] = field(default_factory=tuple)
    grid: Trace | None = None
    model_error: ModelError | None = None
    baseline_model_error: float | None = None
    memory_floor: float | None = None

    @property
    def corrected_nrmse(self) -> float:
        """Return the NRMSE less the measurement noise where that was estimated."""
        return self.nrmse if self.model_error is None else self.model_error.nrmse

    @property
    def noise_floor(self) -> float:
        """Return the measurement noise over the standard deviation of the recording: the NRMSE of a perfect model."""
        return 0.0 if self.model_error is None else self.model_error.floor

    @property
    def noise_alone(self) -> bool:
        """Return True if nothing beyond the measurement noise was found in the recording."""
        return self.model_error is not None and (self.model_error.noise_alone or self.noise_floor >= NOISE_ALONE)

    def without_noise(self, nrmse: float) -> float:
        """Return an NRMSE of this recording less its noise; unchanged where nothing beyond the noise was found."""
        return nrmse if self.noise_alone else without_noise(nrmse, self.noise_floor)

    @property
    def truth(self) -> Array:
        """Return the recorded outputs on the grid, shape (time, outputs)."""
        return np.stack(list(self.trace.output.values()), -1)

    @property
    def prediction(self) -> Array:
        """Return the outputs of the free run, shape (time, outputs)."""
        return self.run.output.numpy()

    def __repr__(self) -> str:
        """Return the scores without the curves."""
        scores = {name: value for name, value in self.to_dict().items() if name not in ("horizon", "notes")}
        return f"Evaluation({', '.join(f'{name}={value}' for name, value in scores.items())})"

    def _repr_html_(self) -> str:
        """Return the scores, and recording and free run of the first output, for notebooks."""
        from ....reporting.notebook import notebook_html, plot_compared

        name = next(iter(self.trace.output))
        baseline = "none" if self.baseline_nrmse is None else f"{self.baseline_nrmse:.4f}"
        rows = [
            ("free-run NRMSE", f"{self.nrmse:.4f}"),
            ("linear model", baseline),
            ("outside the domain", f"{self.outside_domain:.1%}"),
            ("in the 90 % interval", f"{self.coverage:.1%}"),
        ]
        units = {"unit": self.trace.unit(name), "time_unit": self.trace.unit("time")}
        return notebook_html(
            "Evaluation",
            rows,
            lambda: plot_compared(self.trace.time, self.truth[:, 0], self.prediction[:, 0], name=name, **units),
            f"{name}, recorded and in a free run",
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the scores as plain values for JSON."""
        return {
            "nrmse": self.nrmse,
            "model_error": None if self.model_error is None else self.model_error.to_dict(),
            "r2": self.r2,
            "spectrum_error": self.spectrum_error,
            "horizon": [[_rounded(time), value] for time, value in self.horizon],
            "diverged_at": _rounded(self.diverged_at),
            "outside_domain": self.outside_domain,
            "coverage": self.coverage,
            "regime_change_at": _rounded(self.regime_change_at),
            "nrmse_before_change": self.nrmse_before_change,
            "baseline_nrmse": self.baseline_nrmse,
            "memory_floor": self.memory_floor,
            "baseline_model_error": self.baseline_model_error,
            "start": _rounded(float(self.trace.time[0])),
            "stop": _rounded(float(self.trace.time[-1])),
            "samples": len(self.trace),
            "notes": list(self.notes),
        }


def _quiet_start(grid: Trace, count: int) -> list[str]:
    """Name a beginning that does not show the state, if it is long."""
    if count <= START_SAMPLES:  # as many as any model needs
        return []
    until = readable(float(grid.time[count - 1]), grid.unit("time"))
    return [
        f"the first samples show the state only in part, since the drive is near zero in many of them: the run starts from the "
        f"state that fits those up to t = {until}."
    ]


def _rounded(time: float | None) -> float | None:
    """Return a time without the rounding error of start + k * interval."""
    return None if time is None else float(f"{time:.9g}")


def evaluate(
    surrogate: Surrogate,
    trace: Trace,
    *,
    drive: Sequence[str] = (),
    output: Sequence[str] = (),
    from_rest: bool = False,
    again: Trace | None = None,
) -> Evaluation:
    """Score a free run of the surrogate against a recording.

    The run starts from the first samples of the recording and uses none of its later outputs.

    Args:
        surrogate: The model.
        trace: Recording with drives and outputs; resampled to the interval of the surrogate if its own differs.
        drive: Channels to use as the drives of the surrogate, in its order, if the recording names them differently.
        output: Likewise for the outputs.
        from_rest: Start from the resting state instead.
        again: The same drive recorded from another initial state: how much the two differ is the floor of the score (see
            `memory_floor`).

    Raises:
        TraceError: a missing channel, another unit, NaN, too short a recording, or not a recording.
        ConfigError: `surrogate` is not a `Surrogate`.

    Example:
        >>> import spinode
        >>> from spinode.datasets import read_trace, sample_path
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
        >>> scores = spinode.evaluate(surrogate, trace.between(40e-9, 42e-9))
        >>> scores.nrmse < 0.02, scores.baseline_nrmse > 0.3, scores.diverged_at
        (True, True, None)
    """
    if not isinstance(surrogate, Surrogate):
        raise ConfigError(
            f"surrogate is {describe_type(surrogate)}; expected a Surrogate, such as spinode.load(path) returns. "
            "`evaluate_synapse` scores surrogates of memory devices."
        )
    check_trace(trace)
    if again is not None:
        check_trace(again, "again")
    named = match_channels(surrogate, trace, drive, output)
    missing = [name for name in surrogate.ports.output if name not in named.output]
    if missing:
        raise TraceError(
            f"the recording has no output {missing[0]!r} to compare with; its channels are: "
            f"{', '.join(trace.channels) or 'none'}. Name the channel to use instead with --output / output=."
        )
    grid, notes = resample_for_surrogate(surrogate, named)
    if surrogate.embedding.recursive and not from_rest:
        count = max(samples_of_start(surrogate, grid, member=member) for member in range(len(surrogate.members)))
        notes = [*notes, *_quiet_start(grid, count)]
    on_grid = surrogate.run(grid, from_rest=from_rest)
    scored, run = at_recorded_samples(on_grid, grid, named)
    time = np.asarray(scored.time)
    truth = np.stack([scored.output[name] for name in surrogate.ports.output], -1)
    predicted = run.output.numpy()
    error = predicted - truth
    scale = _deviation(truth, scored)
    stride = max(1, round(surrogate.interval / float(np.median(np.diff(time)))))
    drives = np.stack([*(scored.drive[name] for name in surrogate.ports.drive), np.zeros(len(time))], -1)
    corrected = model_error(surrogate.ports.output, ComparedRun(truth, predicted, drives[:, :-1], stride))
    residuals = without_missing(short_run_residuals(surrogate, grid), grid, named)
    diverged_at = divergence_time(time, error / scale, run.diverged_at)
    change = detect_residual_change(surrogate, grid, residuals)
    if change is not None and diverged_at is not None and diverged_at < change.at:
        change = None  # a model that has failed before says nothing about the device
    nrmse_before_change = None
    if change is not None:
        before = time < change.at
        # Of an output that has not moved yet, such as a current before the first voltage, there is nothing to score.
        if before.sum() >= MIN_SAMPLES and bool(np.all(truth[before].std(0) > MOVED * scale)):
            nrmse_before_change = rms_ratio(error[before], _deviation(truth[before], None))
    baseline = arx_baseline(surrogate.record.get("arx"), grid, surrogate.ports)
    floor = None if again is None else memory_floor(named, match_channels(surrogate, again, drive, output)).floor
    return Evaluation(
        memory_floor=floor,
        trace=scored,
        run=run,
        nrmse=rms_ratio(error, scale),
        r2=float(1 - np.sum((error / scale) ** 2) / (error.size)),
        spectrum_error=spectrum_error(
            np.stack([grid.output[name] for name in surrogate.ports.output], -1) / scale, on_grid.output.numpy() / scale
        ),
        horizon=tuple(horizon_curve(time, error / scale)),
        diverged_at=diverged_at,
        outside_domain=float(run.outside.double().mean()),
        coverage=float(np.mean(np.abs(error) <= QUANTILE_90 * run.spread.numpy())),
        regime_change_at=None if change is None else change.at,
        nrmse_before_change=nrmse_before_change,
        baseline_nrmse=baseline,
        residuals=residuals,
        change=change,
        notes=tuple(notes),
        grid=grid,
        model_error=corrected,
        # The low-pass of a decimation has removed a part of the noise from the grid, on which the baseline runs.
        baseline_model_error=None
        if baseline is None
        else baseline
        if corrected.noise_alone
        else without_noise(baseline, corrected.floor / np.sqrt(stride)),
    )


def _deviation(truth: Array, trace: Trace | None) -> Array:
    """Return the standard deviation of each output; refuse a constant one if a trace is given to name it."""
    deviation = truth.std(0)
    # Rounding in the resampling gives a constant a deviation of about its last digit.
    constant = np.ptp(truth, 0) <= 1e-12 * np.abs(truth).max(0)
    if trace is not None and np.any(constant):
        name = list(trace.output)[int(np.flatnonzero(constant)[0])]
        raise TraceError(f"output {name!r} is constant in this recording; there is nothing to compare with.")
    return np.asarray(np.maximum(deviation, 1e-300))
