"""The fit before its first round: noise by moments, the path by a random-walk filter, and initial latent parameters."""

from __future__ import annotations

import numpy as np
import torch

from ...contracts.synapse import SET
from ...typing import Array
from . import kalman
from .drift import Drift, Latents
from .kalman import Steps
from .noise import NoiseModel
from .pulse_data import PulseData
from .reversal import monotonic_polarities
from .state_space_fit import StateFit

#: Smallest number of reads without a pulse before them, from which their noise is estimated.
MIN_REPEATED = 20


def initial_fit(
    data: PulseData, latents: Latents, *, tied: bool, hidden: tuple[int, ...], memory: bool, seed: int, spread: float
) -> StateFit:
    """Return a fit before its first round.

    Args:
        data: The recordings.
        latents: The parameters in which devices differ.
        tied: True if the centre is the first state of each device.
        hidden: Widths of the network.
        memory: True to include correlated noise.
        seed: Seed of the initial weights.
        spread: Standard deviation of the prior of the latents.
    """
    accumulating, read = moments(data)
    repeated = repeated_read_noise(data)
    model = NoiseModel(data.polarities, memory)
    generator = torch.Generator().manual_seed(seed)
    rate = np.abs(_change_per_pulse(data))
    kappa = float(np.clip(np.median(rate[rate > 0]) if (rate > 0).any() else 1e-3, 1e-6, 1.0))
    drift = Drift(
        latents, len(data.extra), kappa, tied=tied, hidden=hidden, monotonic=monotonic_polarities(data), generator=generator
    )
    size = len(latents.names)
    fit = StateFit(
        data, drift, np.zeros((data.groups, size)), np.full(size, spread), model, model.start(accumulating, read, repeated),
        data.reads.copy(), np.zeros_like(data.seen),
    )  # fmt: skip
    walk = Steps(data.reads, data.seen, np.zeros_like(data.pulses), np.ones_like(data.pulses), data.reads[:-1], fit.filled)
    filtered = kalman.run(walk, model.variances(fit.noise[None], data, np.zeros_like(data.reads)))
    fit.reference = np.where(data.seen, filtered.mean[0], data.reads)
    fit.latents = initial_latents(fit)
    return fit


def repeated_read_noise(data: PulseData) -> float | None:
    """Return the standard deviation of noise that is new in each read, from reads without a pulse between them.

    None where there are fewer than `MIN_REPEATED` of them: then noise that is new in each read, and noise that is new after
    each pulse, cannot be distinguished.
    """
    repeated = data.repeated_reads
    if repeated.sum() < MIN_REPEATED:
        return None
    difference = np.diff(data.reads, axis=0)[repeated]
    return float(np.sqrt(0.5 * np.mean(difference**2)))


def moments(data: PulseData) -> tuple[float, float]:
    """Estimate accumulating and read noise from the increments of the reads.

    For single-pulse steps, var = q + 2 r and the covariance of neighbours is -r. Repeated reads do not count.

    Returns:
        Standard deviations of accumulating and of read noise.
    """
    reads, seen = data.reads_after_pulses()
    step = np.diff(reads, axis=0)
    step = np.where(seen[1:] & seen[:-1], step, np.nan)
    step = step - np.nanmedian(step)
    pair = step[1:] * step[:-1]
    scale = np.nanmedian(np.abs(step)) / 0.6745 + 1e-12
    clipped = step.clip(-5 * scale, 5 * scale)
    variance = float(np.nanmean(clipped**2))
    read = max(-float(np.nanmean(pair.clip(-((5 * scale) ** 2), (5 * scale) ** 2))), 0.05 * variance)
    return float(np.sqrt(max(variance - 2 * read, 0.02 * variance))), float(np.sqrt(read))


def initial_latents(fit: StateFit) -> Array:
    """Estimate the latents of each device: its range and rates relative to the median of all devices.

    If the centre is tied to the first state, devices are driven one way: the range is the total change, and the rate that at
    which half of it is reached. Otherwise, the range is the standard deviation of the reads, and the rate their mean change
    per pulse.

    Returns:
        Shape (groups, latents).
    """
    data, latents = fit.data, fit.drift.latents
    x, lanes = fit.reference, np.arange(data.reads.shape[1])
    noise = float(np.exp(fit.noise[fit.noise_model.names.index("log read")]))
    if fit.drift.tied:
        last = data.seen.sum(0) - 1
        span = np.abs(x[last, lanes] - x[0]) + noise
        half = (np.abs(x - x[0]) >= 0.5 * span).argmax(0)
        pulses = np.cumsum(np.concatenate([np.zeros((1, len(lanes))), data.pulses]), 0)[half, lanes]
        log_rate = np.log(0.5 * span / np.maximum(pulses, 1))
        by_lane = {"log range": np.log(span), **{f"log rate {name}": log_rate for name in latents.polarities}}
    else:
        reads = np.maximum(data.seen.sum(0), 1)
        mean = (x * data.seen).sum(0) / reads
        spread = np.sqrt((((x - mean) * data.seen) ** 2).sum(0) / reads) + noise
        by_lane = {"centre": mean, "log range": np.log(spread)}
        for name in latents.polarities:
            pulses = data.pulses * (data.polarity == (1 if name == SET else -1))
            change = np.abs((np.diff(x, axis=0) * (pulses > 0)).sum(0)) + noise
            by_lane[f"log rate {name}"] = np.log(change / np.maximum(pulses.sum(0), 1))
    result = np.zeros((data.groups, len(latents.names)))
    for column, name in enumerate(latents.names):
        if name in by_lane:
            mean = np.bincount(data.group, by_lane[name], data.groups) / np.bincount(data.group, minlength=data.groups)
            result[:, column] = (mean - np.median(mean)).clip(-3, 3)
    return result


def _change_per_pulse(data: PulseData, window: int = 20) -> Array:
    """Return the mean change per pulse over windows of reads, shape (windows, lanes); zero without pulses."""
    window = min(window, len(data.reads) - 1)
    change = data.reads[window:] - data.reads[:-window]
    total = np.cumsum(np.concatenate([np.zeros((1, data.pulses.shape[1])), data.pulses]), 0)
    count = total[window:] - total[:-window]
    good = data.seen[window:] & data.seen[:-window] & (count > 0)
    return np.asarray(np.where(good, change / np.maximum(count, 1), 0.0))
