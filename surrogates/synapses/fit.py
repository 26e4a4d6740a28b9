"""`fit_synapse`: pulse-by-pulse recordings in, a `SynapseSurrogate` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...errors import ConfigError, FitError
from ...traces.trace import Trace, TraceSet
from ...typing import Array, Progress
from ...units import readable
from ...validation import merge_settings
from .config import SynapseConfig
from .dead_devices import without_dead_devices
from .fit_checkpoint import FitCheckpoint
from .flat_weights import as_tensor
from .laplace import weight_covariance
from .model import SynapseSurrogate
from .population import MIN_DEVICES
from .population_fit import fit_population
from .pulse_data import Inputs, PulseData, check_pulses, pulse_data
from .retention import Retention, fit_retention, since_programming
from .schedule import Schedule
from .state_space_fit import StateFit


def fit_synapse(
    data: TraceSet | Sequence[Trace] | Trace,
    config: SynapseConfig | None = None,
    *,
    retention: TraceSet | Sequence[Trace] | Trace | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> SynapseSurrogate:
    """Fit a memory device to reads after programming pulses, by the likelihood of a state-space model.

    Args:
        data: One recording for each device and cycle, as `read_trace(path, pulses=...)` or `pulse_traces` return them.
        config: Settings; the defaults if omitted.
        retention: Recordings of waiting devices (no pulses, time in seconds), if those of `data` have no pauses.
        checkpoint: File of the progress, saved after every round. If it exists and belongs to the same data and settings, the
            fit resumes from it and returns the same result as without the interruption. The file is kept.
        progress: Receives a line of text after each round.
        **settings: Fields of `SynapseConfig`, which take precedence over `config`.

    Devices that never move are left out, with a `DeviceWarning` that names them (see `dead_devices`).

    Returns:
        The surrogate. From ten devices on, it samples virtual devices; from one device, it knows cycle-to-cycle noise only.

    Raises:
        TraceError: recordings that are not pulse by pulse, values that are not finite, or a checkpoint that cannot be written.
        FitError: recordings without a single pulse, or a checkpoint of other data or settings.
        ConfigError: a setting outside its range.

    Example:
        >>> import torch, spinode
        >>> device = spinode.surrogates.zoo.open_synapse("soft-bounds")
        >>> pulses = torch.ones(30)
        >>> traces = spinode.datasets.pulse_traces(device, pulses, generator=torch.Generator().manual_seed(0))
        >>> fitted = spinode.surrogates.fit_synapse(traces, hidden=2, rounds=1, iterations=1)
        >>> fitted.polarities, fitted.of_devices, fitted.record["reads"]
        (('SET',), False, 31)
    """
    settings_used = merge_settings(SynapseConfig, config, settings, what="fit_synapse")
    recordings = data if isinstance(data, TraceSet) else TraceSet(data)
    for index, trace in enumerate(recordings):
        check_pulses(index, trace)
    recordings, dead = without_dead_devices(recordings, settings_used.scale)
    pulsed = pulse_data(recordings, scale=settings_used.scale)
    if not pulsed.polarities:
        raise FitError(
            "no pulse was applied in these recordings; for pauses alone use `fit_retention`, or add pulsed recordings."
        )
    _check_pulse_of_use(pulsed.inputs, settings_used)
    waited = pulsed if retention is None else pulse_data(TraceSet(retention), scale=pulsed.scale)
    steps = FitCheckpoint(checkpoint, {"config": settings_used, "data": recordings})
    schedule = Schedule(pulsed, settings_used, progress or _ignore, steps)
    fit = schedule.fit()
    full = schedule.refine_noise(fit)
    fit.drift.limits = fit.path_range()
    return SynapseSurrogate(
        drift=fit.drift,
        noise_model=full.noise_model,
        noise=torch.from_numpy(full.noise),
        scale=pulsed.scale,
        inputs=pulsed.inputs,
        state_range=fit.path_range(),
        polarities=pulsed.polarities,
        unit=pulsed.unit,
        first=float(np.median(fit.reference[0])),
        population=fit_population(fit, settings_used.seed),
        of_devices=pulsed.devices >= MIN_DEVICES,
        telegraph=full.telegraph,
        retention=_fit_pauses(waited, full),
        chunk=_largest_step(fit),
        use_voltage=settings_used.use_voltage,
        use_width=settings_used.use_width,
        posterior_noise=torch.from_numpy(full.noise_covariance()),
        posterior_weights=torch.from_numpy(weight_covariance(fit)),
        record={
            "devices": pulsed.devices,
            "recordings": len(recordings),
            "reads": int(pulsed.seen.sum()),
            "repeated_reads": int(pulsed.repeated_reads.sum()),
            "fingerprint": recordings.fingerprint(),
            "provenance": dict(recordings[0].provenance),
            "config": asdict(settings_used),
            "loglik_per_read": float(full.filtered().loglik.sum() / max(full.data.seen[1:].sum(), 1)),
            **({"dead": dead} if dead else {}),
            "latents": list(fit.drift.latents.names),
            "history": fit.history,
        },
    )


def _ignore(line: str) -> None:
    """Discard a line of progress."""


def _check_pulse_of_use(inputs: Inputs, config: SynapseConfig) -> None:
    """Raise ConfigError if the pulse of later use is none of those that were recorded."""
    for name, values, unit in (
        ("voltage", config.use_voltage or (), "V"),
        ("width", () if config.use_width is None else (config.use_width,), "s"),
    ):
        for value in values:
            if name not in inputs.ranges:
                raise ConfigError(
                    f"use_{name} is {readable(value, unit)}, but the recordings do not contain the {name} of their pulses; add "
                    f"it to the file, or omit use_{name}: then all pulses are those of the recordings."
                )
            low, high = inputs.ranges[name]
            if not 0.999 * low <= value <= 1.001 * high:
                raise ConfigError(
                    f"use_{name} is {readable(value, unit)}, outside the recorded pulses of {readable(low, unit)} .. "
                    f"{readable(high, unit)}; choose one within them, or record pulses like those of later use."
                )


def _fit_pauses(data: PulseData, fit: StateFit) -> Retention | None:
    """Fit retention to the pauses of recordings; None without pauses."""
    if not (data.pause > 0).any():
        return None
    read = float(np.exp(fit.noise[fit.noise_model.names.index("log read")]))
    return fit_retention(*since_programming(data.reads, data.seen, data.pause), read)


def _largest_step(fit: StateFit, tolerance: float = 0.03) -> float:
    """Return the largest number of pulses for which one midpoint step agrees with single pulses.

    Args:
        fit: A finished fit.
        tolerance: Allowed error, relative to the change, at 90 % of the states.
    """
    generator = np.random.default_rng(0)
    data = fit.data
    steps, lanes = np.nonzero(data.pulses > 0)
    sample = generator.integers(len(steps), size=min(512, len(steps)))
    steps, lanes = steps[sample], lanes[sample]

    def at_sample(values: Array) -> torch.Tensor:
        return as_tensor(values[steps, lanes])

    x, first = at_sample(fit.reference), as_tensor(fit.reference[0, lanes])
    polarity, latents = at_sample(data.polarity), as_tensor(fit.latents[data.group[lanes]])
    extra = [at_sample(row) for row in data.extra]
    largest, single, applied = 1, x.clone(), 0
    with torch.no_grad():
        for count in (2, 4, 8, 16, 32):
            for _ in range(count - applied):
                single = single + fit.drift.change(single, torch.ones_like(x), polarity, extra, latents, first)
            applied = count
            at_once = fit.drift.change(x, torch.full_like(x, float(count)), polarity, extra, latents, first)
            error = (at_once - (single - x)).abs() / ((single - x).abs() + 0.05 * (single - x).abs().mean() + 1e-12)
            if not float(torch.quantile(error, 0.9)) < tolerance:
                break
            largest = count
    return float(largest)
