"""What a synapse surrogate says of recordings: of each read from those before it, and of a whole train from its first read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...contracts.synapse import RESET, SET, Pulses, State
from ...errors import ConfigError
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from . import kalman
from .kalman import Mask
from .model import SynapseSurrogate
from .pulse_data import PulseData, pulse_data
from .state_space_fit import StateFit
from .telegraph import most_likely
from .telegraph_filter import run_trapped

#: Passes of the filter after which the path at which the drift is linearised no longer moves.
_PASSES = 5
#: Log likelihood per read that the last pass must lie below the best to count as diverged.
_DIVERGED = 0.5
#: Rounds of Gauss-Newton for the latent parameters of new devices.
_ROUNDS = 8


class OneStepPrediction(NamedTuple):
    """Each read as it was predicted from the reads before it; arrays of shape (reads, recordings).

    Attributes:
        mean: Expected read [unit], NaN at the first read of a recording and behind its end.
        sd: Its standard deviation [unit].
        loglik: Logarithm of the predicted density [1 / unit] at the read that came.
        innovation: The read in standard deviations from its prediction: standard normal, each independent of the others,
            where the surrogate is right.
        held: Reads that took no part in finding the latent parameters of their devices.
    """

    mean: Array
    sd: Array
    loglik: Array
    innovation: Array
    held: Mask


def predict_one_step(
    surrogate: SynapseSurrogate, traces: TraceSet | Sequence[Trace] | Trace, *, adapt: float = 0.2
) -> OneStepPrediction:
    """Predictions of each read from all before it, by the extended Kalman filter under the surrogate's own parameters.

    The density of a read is normal in the state, so in the conductance or in its logarithm, whichever the surrogate uses;
    with telegraph noise it is a mixture over what the trap may have done. Latent parameters of the devices are found from
    their first reads under the population as a prior.

    Args:
        surrogate: The model.
        traces: Recordings, of the fitted devices or of others; devices are told apart by the parameter "device".
        adapt: Share of the reads of each recording, from its first on, that may tell of latent parameters; 0 for typical
            devices.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.
        ConfigError: `adapt` outside 0 .. 1.
    """
    if not 0 <= adapt <= 1:
        raise ConfigError(f"adapt is {adapt!r}; expected a share of the reads, 0 .. 1.")
    data = pulse_data(traces, scale=surrogate.scale, inputs=surrogate.inputs)
    fit = _state_fit(surrogate, data)
    held = data.seen.copy()
    if adapt > 0 and fit.latents.size:
        told = np.ceil(adapt * data.seen.sum(0)).astype(int)
        held &= np.arange(len(held))[:, None] >= told
        fit.latents = _latents(surrogate, data, told)
    mean, variance, loglik, innovation = _predicted(fit)
    held[0] = False
    gone = ~data.seen
    gone[0] = True
    for values in (mean, variance, loglik, innovation):
        values[gone] = np.nan
    spread = surrogate.scale.spread
    if surrogate.scale.kind == "linear":
        found = surrogate.scale.centre + spread * mean, spread * np.sqrt(variance), loglik - np.log(spread)
    else:
        narrow = np.minimum(spread**2 * variance, 50.0)
        expected = np.exp(surrogate.scale.centre + spread * mean + 0.5 * narrow)
        log_read = surrogate.scale.centre + spread * data.reads
        found = expected, expected * np.sqrt(np.expm1(narrow)), loglik - np.log(spread) - log_read
    return OneStepPrediction(*found, innovation, held)


def _state_fit(surrogate: SynapseSurrogate, data: PulseData) -> StateFit:
    """The surrogate's parameters in the place where the filter finds them, devices at the typical latents."""
    size = len(surrogate.drift.latents.names)
    typical, spread = np.zeros(size), np.ones(size)
    if surrogate.population is not None:
        p = surrogate.population
        typical = p.typical[1:].numpy()
        spread = p.deviation[1:].numpy().clip(0.02, 3.0)
    return StateFit(
        data, surrogate.drift, np.tile(typical, (data.groups, 1)), spread, surrogate.noise_model,
        surrogate.noise.numpy(), data.reads.copy(), np.zeros_like(data.seen), surrogate.trap, middle=typical,
    )  # fmt: skip


def _latents(surrogate: SynapseSurrogate, data: PulseData, told: Array) -> Array:
    """Latents of each group from so many first reads of each recording."""
    count = max(int(told.max()), 2)
    rows, steps = slice(0, count), slice(0, count - 1)
    first = replace(
        data, reads=data.reads[rows], seen=data.seen[rows] & (np.arange(count)[:, None] < told), pulses=data.pulses[steps],
        polarity=data.polarity[steps], extra=data.extra[:, steps], pause=data.pause[steps],
    )  # fmt: skip
    fit = _state_fit(surrogate, first)
    for _ in range(3):
        _predicted(fit)
        if fit.trap is not None:
            noise = fit.noise_model.variances(fit.noise[None], fit.data, fit.reference)
            fit.filled, _ = most_likely(fit.steps(), noise, fit.data.pulses, fit.trap)
        fit.improve_latents(_ROUNDS)
    if surrogate.population is None:
        return fit.latents
    # No device is taken for more extreme than all that were measured: the first reads of one often leave much open.
    seen = surrogate.population.samples[:, :, 1:].flatten(0, 1).numpy()
    return np.asarray(fit.latents.clip(seen.min(0), seen.max(0)))


def _predicted(fit: StateFit) -> tuple[Array, Array, Array, Array]:
    """Mean, variance, log density and standardised innovation of each read, in states; moves the reference.

    The drift of a step is linearised at the filtered state before it, and read noise taken at the predicted one: neither
    knows anything of the read that is predicted, or of later ones. (Only whether the passes diverged is judged by all reads.)
    """
    mean = fit.reference
    best = np.full(fit.data.reads.shape[1], -np.inf)
    kept = [np.zeros_like(fit.data.reads) for _ in range(4)]
    for _ in range(_PASSES):
        steps = fit.steps()
        noise = fit.noise_model.variances(fit.noise[None], fit.data, fit.reference)
        noise = replace(noise, read=fit.noise_model.variances(fit.noise[None], fit.data, mean).read)
        if fit.trap is not None:
            state, mean, variance, loglik, innovation = run_trapped(steps, noise, fit.data.pulses, fit.trap)
        else:
            result = kalman.run(steps, noise)
            e, s = result.innovation, result.variance
            state, mean, variance = result.mean[0], fit.data.reads - e, s.copy()
            loglik, innovation = -0.5 * (np.log(2 * np.pi * s) + e * e / s), e / np.sqrt(s)
        mean = np.where(fit.data.seen, mean, 0.0)
        mean[0] = fit.data.reads[0]
        # Where the path does not settle, passes may go from bad to worse: such a recording takes the best of its passes.
        total = np.where(fit.data.seen[1:], loglik[1:], 0.0).sum(0)
        better = total > best
        best = np.where(better, total, best)
        for values, now in zip(kept, (mean, variance, loglik, innovation), strict=True):
            values[:, better] = now[:, better]
        fit.reference = np.where(fit.data.seen, state, fit.reference).clip(-8, 8)
    settled = total > best - _DIVERGED * fit.data.seen.sum(0)
    for values, now in zip(kept, (mean, variance, loglik, innovation), strict=True):
        values[:, settled] = now[:, settled]
    return kept[0], kept[1], kept[2], kept[3]


def prediction_interval(
    surrogate: SynapseSurrogate,
    trace: Trace,
    levels: Sequence[float] = (0.05, 0.95),
    *,
    samples: int = 400,
    draws: int = 20,
    generator: torch.Generator,
) -> Array:
    """Quantiles of the reads of a free run: the surrogate under the pulses of a recording, from its first read on.

    Noise of pulses and reads, the spread of devices, and what the data leave open of drift, noise and population all take
    part.

    Args:
        surrogate: The model.
        trace: The recording; of its reads only the first is used.
        levels: Quantiles.
        samples: Runs, shared among the draws.
        draws: Copies of the surrogate drawn from its posterior; 0 for the surrogate itself.
        generator: Source of all randomness.

    Returns:
        Shape (levels, reads) [unit]. The first column is the first read itself.

    Raises:
        ConfigError: fewer samples than draws, or levels outside 0 .. 1.
        TraceError: a recording that is not pulse by pulse.
    """
    if not 0 <= draws <= samples or samples < 1:
        raise ConfigError(f"samples is {samples} and draws {draws}; expected at least one run for each draw.")
    if not all(0 <= level <= 1 for level in levels):
        raise ConfigError(f"levels are {tuple(levels)}; expected numbers in 0 .. 1.")
    runs = free_runs(surrogate, trace, samples=samples, draws=draws, generator=generator)
    return np.asarray(np.quantile(runs, np.asarray(levels), axis=0))


def free_runs(surrogate: SynapseSurrogate, trace: Trace, *, samples: int, draws: int, generator: torch.Generator) -> Array:
    """Reads of free runs from the first read of a recording, shape (samples, reads) [unit], see `prediction_interval`."""
    pulse_data(trace, scale=surrogate.scale, inputs=surrogate.inputs)  # the checks
    sizes = [samples // max(draws, 1) + (k < samples % max(draws, 1)) for k in range(max(draws, 1))]
    runs = []
    for size in sizes:
        one = surrogate.posterior(generator) if draws else surrogate
        runs.append(_run(one, trace, size, generator))
    return np.concatenate(runs)


def _run(surrogate: SynapseSurrogate, trace: Trace, samples: int, generator: torch.Generator) -> Array:
    """Reads of one surrogate, shape (samples, reads)."""
    counts = trace.drive[SET] - trace.drive[RESET]
    known = [name for name in surrogate.inputs.names if name in trace.drive]
    waits = np.diff(trace.time) if surrogate.retention is not None and trace.unit("time") == "s" else None
    first = torch.full((samples,), float(trace.output["conductance"][0]), dtype=torch.float64)
    reads: list[Tensor] = [first]
    with torch.no_grad():
        state: State = surrogate.at(first, generator=generator)
        for k in range(len(trace) - 1):
            if counts[k]:
                given = {name: float(trace.drive[name][k]) for name in known}
                count = torch.full((samples,), float(counts[k]), dtype=torch.float64)
                state = surrogate.program(state, Pulses(count, **given), generator=generator)
            elif waits is not None:
                state = surrogate.relax(state, float(waits[k]), generator=generator)
            reads.append(surrogate.read(state, generator=generator))
    return torch.stack(reads, 1).numpy()
