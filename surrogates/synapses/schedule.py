"""The order of a synapse fit: which blocks are improved when, from which starts, and with which kinds of noise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from ...typing import Array, Progress
from .config import SynapseConfig
from .device_sizes import main_differences
from .drift import Latents
from .fit_checkpoint import FitCheckpoint
from .growth import ROUNDS, grow
from .initial_fit import initial_fit, repeated_read_noise
from .noise import FLOOR
from .population import MIN_DEVICES
from .pulse_data import PulseData
from .state_space_fit import StateFit

#: Largest number of reads for the fit of the network; more are thinned where pulses repeat.
MAX_READS = 60_000
#: Largest number of reads that are fitted from two initial guesses of the noise.
MAX_READS_TWO_STARTS = 10_000
#: Gain in log probability that telegraph noise must bring with its four parameters, and correlated noise with its two.
MIN_GAIN_TELEGRAPH, MIN_GAIN_CORRELATED = 20.0, 5.0
#: Gain in log posterior per polarity that a constant part of noise must bring where noise is relative to the step.
MIN_GAIN_CONSTANT = 5.0
#: Smallest number of captures for which telegraph noise is added.
MIN_CAPTURES = 3


@dataclass(frozen=True)
class Schedule:
    """Runs the steps of a fit, with messages about progress and a checkpoint.

    Attributes:
        data: All recordings.
        config: Settings.
        progress: Receives a line of text after each round.
        checkpoint: Finished steps.
    """

    data: PulseData
    config: SynapseConfig
    progress: Progress
    checkpoint: FitCheckpoint

    def fit(self) -> StateFit:
        """Fit drift, latents and noise to the recordings, which are thinned where there are many reads."""
        data = self.data.thinned(_thinning(self.data))
        latents, tied, spread = _latents(data, self.config)
        reads, varied = int(data.seen.sum()), bool(data.inputs.names)
        hidden = self.config.hidden or (((32, 32) if varied else (16, 16)) if reads > 5000 else (8,))
        iterations = self.config.iterations or (150 if varied else 40)
        fit = initial_fit(data, latents, tied=tied, hidden=hidden, memory=True, seed=self.config.seed, spread=spread)
        if not tied:  # a device that is driven one way ends far from the end of another
            fit.drift.limits = fit.path_range()
        self._follow_path(fit, 12 if latents.window or varied else 2, iterations)
        # Accumulating noise and read noise that lasts some pulses can explain the same reads, each with a drift of its own: two
        # optima. Few reads are fitted from both sides.
        starts = [fit.noise, _mostly_correlated(fit)] if reads <= MAX_READS_TWO_STARTS else [fit.noise]
        candidates = []
        for index, noise in enumerate(starts):
            candidate = copy.deepcopy(fit)
            candidate.noise = noise
            self._improve(candidate, f"start {index + 1}", iterations)
            candidates.append(candidate)
        best = max(candidates, key=lambda candidate: candidate.posterior())
        if self.config.shape is None and best.has_joint_latents:
            best = grow(best, lambda trial, label: self._rounds(trial, label, ROUNDS, iterations, label), seed=self.config.seed)
        return best

    def _follow_path(self, fit: StateFit, rounds: int, iterations: int) -> None:
        """Fit the drift while the noise is unknown: under little accumulating noise, which nearly is a fit of whole paths.

        With the initial guess of the noise, misfits of the drift would be explained as accumulated noise and would remain.
        """
        noise, model = fit.noise, fit.noise_model
        fit.noise_model = replace(model, memory=False, telegraph=False)
        fit.noise = fit.noise_model.start(1e-3, 0.1)
        previous = fit.relinearise()

        def follow_typical() -> float:
            fit.improve_network(iterations, joint=False)
            fit.latents = main_differences(fit, fit.latents.shape[1])
            return fit.relinearise()

        if fit.has_joint_latents:
            self._step(fit, "typical drift", 0, 1, follow_typical, "initial drift")

        def follow() -> float:
            fit.improve_network(iterations)
            fit.improve_latents(5)
            fit.relinearise()
            fit.improve_limits()
            loglik = float(fit.filtered().loglik.sum())
            fit.history.append({"following": loglik})
            return loglik

        for index in range(rounds):
            loglik = self._step(fit, "initial drift", index, rounds, follow, "initial drift")
            if index > 2 and loglik - previous < 1e-3 * abs(loglik):
                break
            previous = loglik
        fit.noise, fit.noise_model = noise, model

    def _improve(self, fit: StateFit, label: str, iterations: int) -> None:
        """Improve all blocks from one initial guess of the noise, and add telegraph noise if it is found."""
        found = 0.0
        for attempt in (1, 2):
            self._rounds(fit, f"{label}, part {attempt}", 1, iterations, label)
            if attempt == 1 and set(fit.drift.monotonic) == set(self.data.polarities) and self.data.inputs.names:
                self.checkpoint.step(fit, label, "relative noise", lambda: _try_relative_noise(fit))
            found = self.checkpoint.step(fit, label, f"telegraph noise {attempt}", lambda: _try_telegraph_noise(fit))
        self._rounds(fit, label, self.config.rounds, iterations, label)
        if found:
            self.checkpoint.step(fit, label, "telegraph noise", fit.find_telegraph_noise)
            self._rounds(fit, f"{label}, with telegraph noise", 2, iterations, label)

    def _rounds(self, fit: StateFit, title: str, rounds: int, iterations: int, label: str) -> None:
        """Improve the blocks in turn until the likelihood no longer changes."""
        previous = -np.inf

        def improve() -> float:
            fit.improve_latents()
            fit.improve_network(iterations)
            fit.improve_latents()
            fit.relinearise()
            fit.improve_noise(30)
            fit.improve_spread()
            fit.improve_limits()
            loglik = fit.relinearise()
            fit.history.append({"loglik": loglik})
            return loglik

        for index in range(rounds):
            loglik = self._step(fit, title, index, rounds, improve, label)
            if abs(loglik - previous) < 0.05 and index > 2:
                break
            previous = loglik

    def _step(self, fit: StateFit, title: str, index: int, rounds: int, action: Callable[[], float], label: str) -> float:
        """Run one round, or restore it from the checkpoint, and report its likelihood."""
        loglik = self.checkpoint.step(fit, label, f"{title}, round {index + 1}", action)
        self.progress(f"{title}, round {index + 1}/{rounds}: log likelihood {loglik:.1f}")
        return loglik

    def refine_noise(self, fit: StateFit) -> StateFit:
        """Fit the noise again to unthinned reads of some recordings: thinning hides noise of a short memory."""
        data, label = self.data, "noise"
        if len(data.reads) == len(fit.data.reads):
            full = fit
        else:
            lanes = np.arange(max(1, min(data.reads.shape[1], int(2 * MAX_READS / len(data.reads)))))
            part = data.lanes(lanes)
            full = replace(fit, data=part, reference=part.reads.copy(), filled=np.zeros_like(part.seen))
            # The path between thinned reads is interpolated, which is close enough to linearise there.
            thinned = np.arange(len(fit.reference)) * (len(data.reads) // max(len(fit.reference) - 1, 1))
            for lane in lanes:
                full.reference[:, lane] = np.interp(np.arange(len(data.reads)), thinned, fit.reference[:, lane])
            full.noise = _with_repeated_reads(full)
            for index in (1, 2):
                self.checkpoint.step(full, label, f"all reads {index}", lambda: _improve_noise_of_all_reads(full))
        if full.noise_model.relative:
            self.checkpoint.step(full, label, "pure noise", lambda: _try_pure_noise(full))
        if full.noise_model.memory:
            self.checkpoint.step(full, label, "correlated noise", lambda: _drop_correlated_noise(full))
        return full


def _improve_noise_of_all_reads(fit: StateFit) -> float:
    if fit.telegraph is not None:
        fit.find_telegraph_noise()
    fit.improve_noise(40)
    return fit.relinearise()


def _mostly_correlated(fit: StateFit) -> Array:
    """Return the initial guess of the noise with most of the accumulating noise attributed to correlated read noise."""
    noise: Array = fit.noise.copy()
    index = {name: position for position, name in enumerate(fit.noise_model.names)}
    for name in fit.noise_model.polarities:
        noise[index[f"log accumulating {name}"]] -= 1.5
    both = noise[index["log read"]], noise[index["log correlated read"]]
    noise[index["log correlated read"]], noise[index["log memory"]] = max(both), np.log(8.0)
    return noise


def _with_repeated_reads(fit: StateFit) -> Array:
    """Return the noise with that of reads without a pulse between them; the remainder of it is new after each pulse."""
    repeated = repeated_read_noise(fit.data)
    noise: Array = fit.noise.copy()
    index = {name: position for position, name in enumerate(fit.noise_model.names)}
    if repeated is None or not fit.noise_model.memory:
        return noise
    white, correlated = (np.exp(2 * noise[index[name]]) for name in ("log read", "log correlated read"))
    if repeated**2 < 0.5 * white:
        noise[index["log read"]] = np.log(repeated + FLOOR)
        noise[index["log correlated read"]], noise[index["log memory"]] = 0.5 * np.log(white + correlated - repeated**2), 0.0
    return noise


def _thinning(data: PulseData) -> int:
    """Return the number of steps to combine into one, so that the network is fitted to a moderate number of reads."""
    for every in (1, 2, 5, 10, 20, 50):
        if data.seen.sum() / every <= MAX_READS or (every > 1 and len(data.reads) < 20 * every):
            return every if every == 1 or data.can_be_thinned(every) else 1
    return 50 if data.can_be_thinned(50) else 1


def _latents(data: PulseData, config: SynapseConfig) -> tuple[Latents, bool, float]:
    """Return the latent parameters of devices (or of the cycles of one device).

    Returns:
        The parameters, True if the centre is the first state, and the initial standard deviation of their prior.
    """
    both = len(data.polarities) == 2
    if data.devices >= MIN_DEVICES and data.inputs.names and both:
        # The spread depends on the pulse, and may change its sign with the state. Inputs of the network describe both.
        return Latents((), False, 1 if config.shape is None else config.shape, window=False), False, 1.0
    if data.devices > 1:
        shape = 1 if config.shape is None else config.shape
        return Latents(data.polarities, both, shape if data.devices >= MIN_DEVICES else 0), not both, 1.0
    if data.groups >= 5:
        # A cycle starts where the previous one ended, and may depend on it.
        return Latents(data.polarities, True, 0, window=False), False, 0.1
    return Latents((), False, 0, window=False), False, 0.1


def _try_telegraph_noise(fit: StateFit) -> float:
    """Add random telegraph noise if it explains more than its parameters cost; return 1 if the fit includes it, else 0."""
    before = (fit.noise_model, fit.noise, fit.filled, fit.telegraph)
    gain = fit.find_telegraph_noise()
    captures = int((~fit.filled[:-1] & fit.filled[1:]).sum())
    if before[3] is None and (gain < MIN_GAIN_TELEGRAPH or captures < MIN_CAPTURES):
        fit.noise_model, fit.noise, fit.filled, fit.telegraph = before
    return float(fit.telegraph is not None)


def _try_relative_noise(fit: StateFit) -> float:
    """Make accumulating noise proportional to the step if that is more likely; return 1 if it is, else 0."""
    model, noise = fit.noise_model, fit.noise
    fit.improve_noise(40)
    before, best = float(fit.noise_loglik(fit.noise[None])[0]), fit.noise
    fit.noise_model = replace(model, relative=True)
    start = fit.noise_model.start(1e-3, 1.0)
    known = dict(zip(model.names[len(model.polarities) * 3 :], best[len(model.polarities) * 3 :], strict=True))
    names = fit.noise_model.names
    process = len(names) - len(known)
    fit.noise = np.concatenate([start[:process], list(known.values())])
    fit.improve_noise(80)
    if float(fit.noise_loglik(fit.noise[None])[0]) > before:
        return 1.0
    fit.noise_model, fit.noise = model, noise
    return 0.0


def _try_pure_noise(fit: StateFit) -> float:
    """Remove the constant part of relative noise if the likelihood without it is nearly as large; return 1 if so, else 0."""
    model, noise = fit.noise_model, fit.noise
    before = float(fit.noise_loglik(noise[None])[0])
    kept = [index for index, name in enumerate(model.names) if not name.startswith("log accumulating")]
    fit.noise_model, fit.noise = replace(model, pure=True), noise[kept]
    fit.improve_noise(80)
    if float(fit.noise_loglik(fit.noise[None])[0]) > before - MIN_GAIN_CONSTANT * len(model.polarities):
        return 1.0
    fit.noise_model, fit.noise = model, noise
    return 0.0


def _drop_correlated_noise(fit: StateFit) -> None:
    """Remove correlated noise if the likelihood without it is nearly as large."""
    with_it = float(fit.noise_loglik(fit.noise[None], fit.steps())[0])
    first = fit.noise_model.names.index("log correlated read")
    model, noise = fit.noise_model, fit.noise
    fit.noise_model, fit.noise = replace(model, memory=False), np.delete(noise, [first, first + 1])
    fit.improve_noise(40)
    if float(fit.noise_loglik(fit.noise[None])[0]) < with_it - MIN_GAIN_CORRELATED:
        fit.noise_model, fit.noise = model, noise
