"""Predictions of recordings by a synapse surrogate: of each read from those before it, and of free runs from the first read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...contracts.synapse import RESET, SET, Pulses, State
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...validation import number, whole_number
from . import kalman
from .kalman import Mask
from .model import SynapseSurrogate
from .pulse_data import PulseData, pulse_data
from .state_space_fit import StateFit
from .telegraph_filter import filter_with_telegraph_noise
from .telegraph_histories import most_likely_history

#: Passes of the filter, after which the path at which the drift is linearised no longer changes.
_PASSES = 5
#: Log likelihood per read below the best pass at which the last pass counts as diverged.
_DIVERGED = 0.5
#: Gauss-Newton rounds for the latent parameters of new devices.
_ROUNDS = 8


class OneStepPrediction(NamedTuple):
    """Prediction of each read from the reads before it; arrays of shape (reads, recordings).

    Attributes:
        mean: Expected read [unit]; NaN at the first read of a recording and after its end.
        sd: Standard deviation of the prediction [unit].
        loglik: Logarithm of the predicted density [1 / unit] at the measured read.
        innovation: Difference of the read from its prediction in predicted standard deviations; independent standard normal
            numbers if the surrogate is correct.
        held_out: True for reads that were not used to estimate the latent parameters of their devices.
    """

    mean: Array
    sd: Array
    loglik: Array
    innovation: Array
    held_out: Mask


def predict_one_step(
    surrogate: SynapseSurrogate, traces: TraceSet | Sequence[Trace] | Trace, *, adapt: float = 0.2
) -> OneStepPrediction:
    """Predict each read from all reads before it, by the extended Kalman filter with the parameters of the surrogate.

    The density of a read is normal in the state, that is, in the conductance or its logarithm, whichever the surrogate uses.
    With telegraph noise, it is a mixture over histories of the trap. The latent parameters of the devices are estimated from
    their first reads, with the population as the prior.

    Args:
        surrogate: The model.
        traces: Recordings of the fitted devices or of others; the parameter "device" distinguishes them.
        adapt: Share of the reads of each recording, from its first on, from which latent parameters are estimated; 0 for
            typical devices.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.
        ConfigError: `adapt` outside 0 .. 1.

    Example:
        >>> import torch, spinode
        >>> device = spinode.surrogates.zoo.open_synapse("soft-bounds")
        >>> traces = spinode.datasets.pulse_traces(device, torch.ones(40), generator=torch.Generator().manual_seed(0))
        >>> predicted = spinode.surrogates.predict_one_step(device, traces)
        >>> predicted.mean.shape, bool(abs(predicted.innovation[1:]).mean() < 2)
        ((41, 1), True)
    """
    adapt = number("adapt", adapt, 0, 1)
    data = pulse_data(traces, scale=surrogate.scale, inputs=surrogate.inputs)
    fit = _state_fit(surrogate, data)
    held_out = data.seen.copy()
    if adapt > 0 and fit.latents.size:
        used = np.ceil(adapt * data.seen.sum(0)).astype(int)
        held_out &= np.arange(len(held_out))[:, None] >= used
        fit.latents = _estimate_latents(surrogate, data, used)
    mean, variance, loglik, innovation = _predict_states(fit)
    held_out[0] = False
    unpredicted = ~data.seen
    unpredicted[0] = True
    for values in (mean, variance, loglik, innovation):
        values[unpredicted] = np.nan
    spread = surrogate.scale.spread
    if surrogate.scale.kind == "linear":
        in_unit = surrogate.scale.centre + spread * mean, spread * np.sqrt(variance), loglik - np.log(spread)
    else:
        log_variance = np.minimum(spread**2 * variance, 50.0)
        expected = np.exp(surrogate.scale.centre + spread * mean + 0.5 * log_variance)
        log_read = surrogate.scale.centre + spread * data.reads
        in_unit = expected, expected * np.sqrt(np.expm1(log_variance)), loglik - np.log(spread) - log_read
    return OneStepPrediction(*in_unit, innovation, held_out)


def _state_fit(surrogate: SynapseSurrogate, data: PulseData) -> StateFit:
    """Return the parameters of the surrogate as a fit, with all devices at the typical latents."""
    size = len(surrogate.drift.latents.names)
    typical, spread = np.zeros(size), np.ones(size)
    if surrogate.population is not None:
        typical = surrogate.population.typical[1:].numpy()
        spread = surrogate.population.deviation[1:].numpy().clip(0.02, 3.0)
    return StateFit(
        data, surrogate.drift, np.tile(typical, (data.groups, 1)), spread, surrogate.noise_model,
        surrogate.noise.numpy(), data.reads.copy(), np.zeros_like(data.seen), surrogate.telegraph, middle=typical,
    )  # fmt: skip


def _estimate_latents(surrogate: SynapseSurrogate, data: PulseData, counts: npt.NDArray[np.intp]) -> Array:
    """Estimate the latents of each group from the first reads of each recording, `counts` of shape (lanes,)."""
    fit = _state_fit(surrogate, data.first_reads(counts))
    for _ in range(3):
        _predict_states(fit)
        if fit.telegraph is not None:
            steps = fit.steps()
            fit.filled, _ = most_likely_history(steps, fit.variances(steps), fit.data.pulses, fit.telegraph)
        fit.improve_latents(_ROUNDS)
    if surrogate.population is None:
        return fit.latents
    # The first reads often determine latents poorly; they are limited to the range of the measured devices.
    measured = surrogate.population.samples[:, :, 1:].flatten(0, 1).numpy()
    return np.asarray(fit.latents.clip(measured.min(0), measured.max(0)))


def _predict_states(fit: StateFit) -> tuple[Array, Array, Array, Array]:
    """Return mean, variance, log density and standardised innovation of each read, in states; moves the reference.

    The drift of a step is linearised at the filtered state before it, and read noise evaluated at the predicted state: neither
    depends on the predicted read or on later ones. (Only the choice of the pass depends on all reads.)
    """
    mean = fit.reference
    best_loglik = np.full(fit.data.reads.shape[1], -np.inf)
    chosen = [np.zeros_like(fit.data.reads) for _ in range(4)]
    for _ in range(_PASSES):
        steps = fit.steps()
        noise = fit.variances(steps)
        noise = replace(noise, read=fit.noise_model.variances(fit.noise[None], fit.data, mean).read)
        if fit.telegraph is not None:
            prediction = filter_with_telegraph_noise(steps, noise, fit.data.pulses, fit.telegraph)
            state, mean, variance, loglik, innovation = prediction
        else:
            result = kalman.run(steps, noise)
            e, s = result.innovation, result.variance
            state, mean, variance = result.mean[0], fit.data.reads - e, s.copy()
            loglik, innovation = -0.5 * (np.log(2 * np.pi * s) + e * e / s), e / np.sqrt(s)
        mean = np.where(fit.data.seen, mean, 0.0)
        mean[0] = fit.data.reads[0]
        # Passes may diverge; such a recording takes the best of its passes, the others take the last.
        total = np.where(fit.data.seen[1:], loglik[1:], 0.0).sum(0)
        better = total > best_loglik
        best_loglik = np.where(better, total, best_loglik)
        for values, latest in zip(chosen, (mean, variance, loglik, innovation), strict=True):
            values[:, better] = latest[:, better]
        fit.reference = np.where(fit.data.seen, state, fit.reference).clip(-8, 8)
    converged = total > best_loglik - _DIVERGED * fit.data.seen.sum(0)
    for values, latest in zip(chosen, (mean, variance, loglik, innovation), strict=True):
        values[:, converged] = latest[:, converged]
    return chosen[0], chosen[1], chosen[2], chosen[3]


def prediction_interval(
    surrogate: SynapseSurrogate,
    trace: Trace,
    levels: Sequence[float] = (0.05, 0.95),
    *,
    samples: int = 400,
    draws: int = 20,
    generator: torch.Generator,
) -> Array:
    """Return quantiles of the reads of free runs under the pulses of a recording, starting from its first read.

    Includes the noise of pulses and reads, the spread of devices, and the uncertainty of drift, noise and population.

    Args:
        surrogate: The model.
        trace: The recording; only the first of its reads is used.
        levels: Probabilities of the quantiles.
        samples: Number of runs in total.
        draws: Number of copies of the surrogate, sampled from its posterior, that share the runs; 0 for the surrogate itself.
        generator: Source of all randomness.

    Returns:
        Shape (levels, reads) [unit]. The first column is the first read itself.

    Raises:
        ConfigError: fewer samples than draws, or levels outside 0 .. 1.
        TraceError: a recording that is not pulse by pulse.

    Example:
        >>> import torch, spinode
        >>> device = spinode.surrogates.zoo.open_synapse("soft-bounds")
        >>> trace = spinode.datasets.pulse_traces(device, torch.ones(10), generator=torch.Generator().manual_seed(0))[0]
        >>> generator = torch.Generator().manual_seed(0)
        >>> spinode.surrogates.prediction_interval(device, trace, samples=50, draws=2, generator=generator).shape
        (2, 11)
    """
    return prediction_intervals(surrogate, [trace], levels, samples=samples, draws=draws, generator=generator)[0]


def prediction_intervals(
    surrogate: SynapseSurrogate,
    traces: Sequence[Trace],
    levels: Sequence[float] = (0.05, 0.95),
    *,
    samples: int = 400,
    draws: int = 20,
    generator: torch.Generator,
) -> list[Array]:
    """Return `prediction_interval` of several recordings, whose runs take their pulses together and share the copies."""
    samples = whole_number("samples", samples, 1)
    draws = whole_number("draws", draws, 0, samples)
    levels = [number("a value of levels", level, 0, 1) for level in levels]
    runs = free_runs(surrogate, traces, samples=samples, draws=draws, generator=generator)
    return [np.asarray(np.quantile(each, np.asarray(levels), axis=0)) for each in runs]


def free_runs(
    surrogate: SynapseSurrogate, traces: Sequence[Trace], *, samples: int, draws: int, generator: torch.Generator
) -> list[Array]:
    """Return the reads [unit] of free runs from the first read of each recording, each of shape (samples, reads)."""
    for trace in traces:
        pulse_data(trace, scale=surrogate.scale, inputs=surrogate.inputs)  # checks the trace
    sizes = [samples // max(draws, 1) + (k < samples % max(draws, 1)) for k in range(max(draws, 1))]
    together = [list(traces)] if surrogate.retention is None else [[trace] for trace in traces]  # pauses are of all devices
    runs: list[list[Array]] = []
    for size in sizes:
        sampled = surrogate.posterior(generator) if draws else surrogate
        runs.append([each for group in together for each in _run(sampled, group, size, generator)])
    return [np.concatenate(each) for each in zip(*runs, strict=True)]


def _run(surrogate: SynapseSurrogate, traces: Sequence[Trace], samples: int, generator: torch.Generator) -> list[Array]:
    """Return reads of one surrogate, shape (samples, reads) for each recording."""
    longest = max(len(trace) for trace in traces)

    def padded(columns: list[Array]) -> Tensor:
        """Return one row for each step, shape (steps, traces, 1); a recording that has ended keeps its last value."""
        full = [np.concatenate([values, np.repeat(values[-1:], longest - len(values))]) for values in columns]
        return torch.as_tensor(np.stack(full, -1), dtype=torch.float64)[..., None]

    counts = padded([trace.drive[SET] - trace.drive[RESET] for trace in traces])
    for column, trace in enumerate(traces):
        counts[len(trace) :, column] = 0
    names = [name for name in surrogate.inputs.names if name in traces[0].drive]
    inputs = {name: padded([trace.drive[name] for trace in traces]) for name in names}
    # Devices without pulses at a step may have no amplitude there, but `Pulses` expects one.
    inputs = {name: torch.where(counts == 0, values[counts != 0].max(), values) for name, values in inputs.items()}
    timed = surrogate.retention is not None and traces[0].unit("time") == "s"
    pauses = np.diff(traces[0].time) if timed else None
    first = torch.as_tensor([[float(trace.output["conductance"][0])] for trace in traces], dtype=torch.float64)
    first = first.repeat(1, samples)
    reads: list[Tensor] = [first]
    with torch.no_grad():
        state: State = surrogate.at(first, generator=generator)
        for k in range(longest - 1):
            if bool(counts[k].any()):
                given = {name: values[k].expand_as(first) for name, values in inputs.items()}
                state = surrogate.program(state, Pulses(counts[k].expand_as(first), **given), generator=generator)
            elif pauses is not None:
                state = surrogate.relax(state, float(pauses[k]), generator=generator)
            reads.append(surrogate.read(state, generator=generator))
    runs = torch.stack(reads, -1).numpy()
    return [run[:, : len(trace)] for run, trace in zip(runs, traces, strict=True)]
