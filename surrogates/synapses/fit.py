"""`fit_synapse`: pulse-by-pulse recordings in, a `SynapseSurrogate` out."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from ...errors import ConfigError, FitError
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from . import kalman
from .drift import Latents
from .model import FEWEST, SynapseSurrogate
from .population import Population, resample
from .pulse_data import PulseData, pulse_data
from .retention import Retention, fit_retention, since_programming
from .state_space_fit import SAMPLES, StateFit, begin, last_layer_columns

#: Proposals for the latent parameters of each device, and how many of them are kept.
PROPOSALS, COPIES = 64, 4
#: Most reads that are fitted from two first guesses of the noise.
TWICE = 10_000
#: Gain in log probability that a further noise process must bring, for each of its parameters.
GAIN = 5.0


@dataclass(frozen=True)
class SynapseConfig:
    """Settings of `fit_synapse`.

    Attributes:
        scale: "linear" or "log" conductance; None for the one that the data suggest.
        hidden: Widths of the network; None for one that suits the number of reads.
        shape: Number of latent parameters, beside range and rates, that enter the network where there are many devices.
        rounds: Most rounds of network, latents and noise.
        iterations: Steps of the network in each round; None for 40, or 150 where it must learn voltages or widths.
        seed: Seed of first weights and of samples.

    Raises:
        ConfigError: a setting outside its range.
    """

    scale: str | None = None
    hidden: tuple[int, ...] | None = None
    shape: int = 1
    rounds: int = 8
    iterations: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.scale not in (None, "linear", "log"):
            raise ConfigError(f"scale is {self.scale!r}; expected 'linear' or 'log', or None for the one the data suggest.")
        for name, least in (("shape", 0), ("rounds", 1), ("iterations", 1)):
            if name == "iterations" and self.iterations is None:
                continue
            if not (isinstance(getattr(self, name), int) and getattr(self, name) >= least):
                raise ConfigError(f"{name} is {getattr(self, name)!r}; expected a whole number of at least {least}.")
        if self.hidden is not None and (not self.hidden or min(self.hidden) < 1):
            raise ConfigError(f"hidden is {self.hidden!r}; expected positive widths, such as (16, 16).")


def fit_synapse(
    traces: TraceSet | Sequence[Trace] | Trace,
    config: SynapseConfig | None = None,
    *,
    retention: TraceSet | Sequence[Trace] | None = None,
    progress: Callable[[str], None] | None = None,
    **settings: Any,
) -> SynapseSurrogate:
    """Fit a memory device from reads after programming pulses, by the likelihood of a state-space model.

    Args:
        traces: One recording for each device and cycle, as `read_trace(path, pulses=...)` or `pulse_traces` give them.
        config: Settings; single ones may be given by name instead, such as `seed=1`.
        retention: Recordings of waiting devices (no pulses, time in seconds), where those of `traces` hold no pauses.
        progress: Called with a line now and then.
        **settings: Fields of `SynapseConfig`.

    Returns:
        The surrogate. From ten devices on it draws virtual ones; from one it knows cycle-to-cycle noise only, and says so.

    Raises:
        TraceError: recordings that are not pulse by pulse, or hold values that are not finite.
        FitError: recordings without a single pulse.
    """
    config = _configured(config or SynapseConfig(), settings)
    recordings = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    data = pulse_data(recordings, scale=config.scale)
    if not data.polarities:
        raise FitError(
            "no pulse was applied in these recordings; for pauses alone use `fit_retention`, or add pulsed recordings."
        )
    say = progress or (lambda line: None)
    fit = _state_fit(data, config, say)
    full = _with_noise_of_all_reads(fit, data)
    population = _population(fit, config)
    waiting = None if retention is None else pulse_data(TraceSet(retention), scale=data.scale)
    seen = (float(fit.reference[fit.data.seen].min()), float(fit.reference[fit.data.seen].max()))
    surrogate = SynapseSurrogate(
        drift=fit.drift,
        noise_model=full.noise_model,
        noise=torch.from_numpy(full.noise),
        scale=data.scale,
        inputs=data.inputs,
        seen=seen,
        polarities=data.polarities,
        unit=data.unit,
        first=float(np.median(fit.reference[0])),
        population=population,
        of_devices=data.devices >= FEWEST,
        trap=full.trap,
        retention=_retention(data if waiting is None else waiting, full),
        chunk=_chunk(fit),
        posterior_noise=torch.from_numpy(full.noise_covariance()),
        posterior_weights=torch.from_numpy(_weight_covariance(fit)),
        record={
            "devices": data.devices,
            "recordings": len(recordings),
            "reads": int(data.seen.sum()),
            "fingerprint": recordings.fingerprint(),
            "provenance": dict(recordings[0].provenance),
            "config": dict(vars(config)),
            "loglik_per_read": float(full.filtered().loglik.sum() / max(full.data.seen[1:].sum(), 1)),
            "latents": list(fit.drift.latents.names),
            "history": fit.history,
        },
    )
    return surrogate


def _configured(config: SynapseConfig, settings: dict[str, Any]) -> SynapseConfig:
    known = [each.name for each in fields(SynapseConfig)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigError(f"there is no setting {unknown[0]!r}; the settings are: {', '.join(known)}.")
    return replace(config, **settings)


def _state_fit(data: PulseData, config: SynapseConfig, say: Callable[[str], None]) -> StateFit:
    """Drift, latents and noise, on reads that are thinned where there are many."""
    every = _every(data)
    thin = data.thinned(every)
    latents, tied, spread = _latents(data, config)
    reads = int(thin.seen.sum())
    varied = bool(data.inputs.names)
    hidden = config.hidden or (((32, 32) if varied else (16, 16)) if reads > 5000 else (8,))
    iterations = config.iterations or (150 if varied else 40)
    fit = begin(thin, latents, tied=tied, hidden=hidden, memory=True, seed=config.seed, spread=spread)
    fit.follow(12 if latents.window or varied else 2, iterations, say)
    # Accumulating noise and a read noise that lasts some pulses are easily taken for each other, each with a drift that suits:
    # two minima. Few reads are fitted from both sides.
    starts = [fit.noise, _correlated(fit)] if reads <= TWICE else [fit.noise]
    tried = []
    for noise in starts:
        one = copy.deepcopy(fit)
        one.noise = noise
        for _ in range(2):
            one.run(1, iterations, say)
            _try_traps(one)
        one.run(config.rounds, iterations, say)
        if one.trap is not None:
            one.find_traps()
            one.run(2, iterations, say)
        tried.append(one)
    return max(tried, key=lambda one: one.posterior())


def _correlated(fit: StateFit) -> Array:
    """The first guess of the noise, with most of what accumulates taken for correlated read noise."""
    noise: Array = fit.noise.copy()
    place = {name: index for index, name in enumerate(fit.noise_model.names)}
    for name in fit.noise_model.polarities:
        noise[place[f"log accumulating {name}"]] -= 1.5
    noise[place["log correlated read"]], noise[place["log memory"]] = noise[place["log read"]], np.log(8.0)
    return noise


def _every(data: PulseData) -> int:
    """How many pulses to put together so that the network sees a moderate number of reads."""
    for every in (1, 2, 5, 10, 20, 50):
        if data.seen.sum() / every <= SAMPLES or (every > 1 and len(data.reads) < 20 * every):
            return every if every == 1 or data.even(every) else 1
    return 50 if data.even(50) else 1


def _latents(data: PulseData, config: SynapseConfig) -> tuple[Latents, bool, float]:
    """In what devices (or the cycles of one device) may differ, whether the window hangs on the first state, and how much."""
    both = len(data.polarities) == 2
    if data.devices > 1:
        return Latents(data.polarities, both, config.shape if data.devices >= FEWEST else 0), not both, 1.0
    if data.groups >= 5:
        # A cycle begins where the one before has left the device, and may depend on where that was.
        return Latents(data.polarities, True, 0, window=False), False, 0.1
    return Latents((), False, 0, window=False), False, 0.1


def _try_traps(fit: StateFit) -> None:
    """Look for random telegraph noise; keep it only if it explains more than its parameters cost."""
    before = (fit.noise_model, fit.noise, fit.filled, fit.trap)
    gain = fit.find_traps()
    captures = int((~fit.filled[:-1] & fit.filled[1:]).sum())
    if fit.trap is not None and before[3] is None and (gain < 4 * GAIN or captures < 3):
        fit.noise_model, fit.noise, fit.filled, fit.trap = before


def _with_noise_of_all_reads(fit: StateFit, data: PulseData) -> StateFit:
    """The noise again from every read, of as many recordings as are quick; a thinned fit misses what is soon forgotten."""
    if len(data.reads) == len(fit.data.reads):
        full = fit
    else:
        lanes = np.arange(max(1, min(data.reads.shape[1], int(2 * SAMPLES / len(data.reads)))))
        part = replace(
            data, reads=data.reads[:, lanes], seen=data.seen[:, lanes], pulses=data.pulses[:, lanes],
            polarity=data.polarity[:, lanes], extra=data.extra[:, :, lanes], pause=data.pause[:, lanes],
            group=data.group[lanes],
        )  # fmt: skip
        full = replace(fit, data=part, reference=part.reads.copy(), filled=np.zeros_like(part.seen))
        # The thinned path between its reads: close enough to linearise at.
        every = np.arange(len(fit.reference)) * (len(data.reads) // max(len(fit.reference) - 1, 1))
        for lane in lanes:
            full.reference[:, lane] = np.interp(np.arange(len(data.reads)), every, fit.reference[:, lane])
        for _ in range(2):
            if full.trap is not None:
                full.find_traps()
            full.improve_noise(40)
            full.relinearise()
    if full.noise_model.memory:
        _drop_memory(full)
    return full


def _drop_memory(fit: StateFit) -> None:
    """Leave out correlated noise that the data do not ask for."""
    steps = fit.steps()
    with_it = float(fit.noise_loglik(fit.noise[None], steps)[0])
    at = fit.noise_model.names.index("log correlated read")
    model, noise = fit.noise_model, fit.noise
    fit.noise_model, fit.noise = replace(model, memory=False), np.delete(noise, [at, at + 1])
    fit.improve_noise(40)
    if float(fit.noise_loglik(fit.noise[None])[0]) < with_it - 2 * GAIN / 2:
        fit.noise_model, fit.noise = model, noise


def _population(fit: StateFit, config: SynapseConfig) -> Population | None:
    """Samples of what each device (or cycle) may have been; None where they are all alike to the model.

    From fewer than `FEWEST` no virtual ones are drawn; their mean is still the typical device.

    Proposals come from the Laplace approximation of each posterior and are weighted by likelihood and prior: where the reads
    leave a parameter open to one side only, the approximation is wrong, and the weights put it right.
    """
    groups, size = fit.latents.shape
    if not size:
        return None
    generator = np.random.default_rng(config.seed)
    factors = np.linalg.cholesky(fit.covariance + 1e-12 * np.eye(size))
    proposals, logs = np.empty((PROPOSALS, groups, size)), np.empty((PROPOSALS, groups))
    for index in range(PROPOSALS):
        normal = generator.standard_normal((groups, size))
        proposals[index] = fit.latents + np.einsum("gij,gj->gi", factors, normal)
        logs[index] = fit.log_posterior(proposals[index]) + 0.5 * (normal**2).sum(1)
    latents = resample(proposals, logs, COPIES, generator)
    first = _first_states(fit, generator)
    return Population(np.concatenate([first[:, :, None], latents], 2))


def _first_states(fit: StateFit, generator: np.random.Generator) -> Array:
    """Samples of each group's first state, shape (groups, copies): its first reads, shrunk by as much as they are noise."""
    noise = fit.noise_model.variances(fit.noise[None], fit.data, fit.reference)
    groups = fit.data.groups
    counts = np.bincount(fit.data.group, minlength=groups)
    mean = np.bincount(fit.data.group, fit.reference[0], groups) / counts
    error = np.bincount(fit.data.group, noise.read[0] + noise.memory, groups) / counts**2
    spread = max(float(mean.var() - error.mean()), 1e-3 * float(mean.var()), 1e-12)
    share = spread / (spread + error)
    centre = mean.mean() + share * (mean - mean.mean())
    normal = generator.standard_normal((groups, COPIES))
    return np.asarray(centre[:, None] + np.sqrt(share * error)[:, None] * normal)


def _weight_covariance(fit: StateFit) -> Array:
    """Laplace approximation for the weights in which the network is linear, all else held."""
    steps = fit.steps()
    noise = fit.noise_model.variances(fit.noise[None], fit.data, fit.reference)
    columns, ridge = last_layer_columns(fit)
    matrix, _ = kalman.information(steps, noise, kalman.run(steps, noise), columns)
    return np.asarray(np.linalg.inv(matrix.sum(0) + ridge * np.eye(len(columns))))


def _retention(data: PulseData, fit: StateFit) -> Retention | None:
    if not (data.pause > 0).any():
        return None
    read = float(np.exp(fit.noise[fit.noise_model.names.index("log read")]))
    return fit_retention(*since_programming(data.reads, data.seen, data.pause), read)


def _chunk(fit: StateFit, tolerance: float = 0.03) -> float:
    """Most pulses whose midpoint step agrees with single ones, to this share of the change, at nine states in ten."""
    generator = np.random.default_rng(0)
    data = fit.data
    steps, lanes = np.nonzero(data.pulses > 0)
    pick = generator.integers(len(steps), size=min(512, len(steps)))
    steps, lanes = steps[pick], lanes[pick]

    def tensor(values: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(values))

    x, first = tensor(fit.reference[steps, lanes]), tensor(fit.reference[0, lanes])
    polarity, latents = tensor(data.polarity[steps, lanes]), tensor(fit.latents[data.group[lanes]])
    extra = [tensor(row[steps, lanes]) for row in data.extra]
    best, single, done = 1, x.clone(), 0
    with torch.no_grad():
        for count in (2, 4, 8, 16, 32):
            for _ in range(count - done):
                single = single + fit.drift.change(single, torch.ones_like(x), polarity, extra, latents, first)
            done = count
            at_once = fit.drift.change(x, torch.full_like(x, float(count)), polarity, extra, latents, first)
            error = (at_once - (single - x)).abs() / ((single - x).abs() + 0.05 * (single - x).abs().mean() + 1e-12)
            if not float(torch.quantile(error, 0.9)) < tolerance:
                break
            best = count
    return float(best)
