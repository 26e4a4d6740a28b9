"""The parts of `benchmarks/synapses.py` that fit devices, and the part that times a population of a million."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import machine, spread, timed
from scipy.optimize import least_squares

from spinode import Pulses, Synapse, Trace, TraceSet, rollout, zero_order_hold
from spinode.datasets import PulseLayout, TiO2, WeakReset, pulse_traces, read_trace
from spinode.surrogates import SynapseSurrogate, fit_synapse, predict_one_step, prediction_interval, zoo

Array = np.ndarray[Any, np.dtype[np.float64]]
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


# --- Gong et al. 2018: one noisy device -------------------------------------------------------------------------------


def gong(shared: Path, seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Fit the HfO2 ReRAM of Gong et al. (2018), 1000 SET and 1000 RESET pulses: noise, next reads, simulated sweeps.

    Reference: read noise 0.108 and accumulating noise 0.06 per pulse follow from the standard deviation of the increments and
    their lag-1 autocorrelation of -0.44. Baselines are mean fits as by aihwkit's `fit_measurements` (soft bounds and
    exponential step, least squares on the path, all scatter counted as read noise), and a constant step with the scatter of the
    increments. Log likelihoods are natural, per read, of the last 30 % of each sweep given the reads before.
    """
    file = shared / "data/devices/ibm_gong2018_reram/gong_et_al.csv"
    traces = read_trace(file, pulses=PulseLayout("up-down", conductance_unit=""))
    measured = [_increments(trace.output["conductance"][None]) for trace in traces]
    beginnings = [_first_part(trace, 0.7) for trace in traces]
    lengths = [len(trace) for trace in beginnings]
    for name, score in _baselines(traces, lengths).items():
        yield {"part": "gong", "model": name, "loglik_per_read": score}
    for seed in seeds:
        start = time.process_time()
        surrogate = fit_synapse(traces, seed=seed)
        seconds = time.process_time() - start
        noise = surrogate.uncertainty()
        simulated = [_simulated_increments(surrogate, trace, seed) for trace in traces]
        prediction = predict_one_step(fit_synapse(beginnings, seed=seed), traces)
        loglik = np.concatenate([prediction.loglik[n:, i] for i, n in enumerate(lengths)])
        yield {
            "part": "gong", "model": "spinode", "seed": seed, "fit_cpu_seconds": seconds,
            "noise": {name: {"value": v, "interval_95": [low, high]} for name, (v, low, high) in noise.items()},
            "loglik_per_read": float(np.nanmean(loglik)),
            "increment_sd": {"measured": [m[0] for m in measured], "simulated": [s[0] for s in simulated]},
            "increment_lag1": {"measured": [m[1] for m in measured], "simulated": [s[1] for s in simulated]},
        }  # fmt: skip


def _first_part(trace: Trace, share: float) -> Trace:
    count = int(share * len(trace))
    drive = {name: values[:count] for name, values in trace.drive.items()}
    return Trace(trace.time[:count], drive, {"conductance": trace.output["conductance"][:count]}, trace.parameters, trace.units)


def _increments(reads: Array) -> tuple[float, float]:
    """Return standard deviation and lag-1 autocorrelation of the increments of each row, averaged."""
    step = np.diff(reads, axis=1)
    step = step - step.mean(1, keepdims=True)
    return float(step.std(1).mean()), float(((step[:, 1:] * step[:, :-1]).mean(1) / step.var(1)).mean())


def _simulated_increments(surrogate: SynapseSurrogate, trace: Trace, seed: int, sweeps: int = 200) -> tuple[float, float]:
    """Return `_increments` of simulated sweeps from the first read."""
    generator = torch.Generator().manual_seed(seed)
    initial = torch.full((sweeps,), float(trace.output["conductance"][0]), dtype=torch.float64)
    state = surrogate.at(initial, generator=generator)
    reads = [initial]
    for count in (trace.drive["SET"] - trace.drive["RESET"])[:-1]:
        state = surrogate.program(state, Pulses(torch.full((sweeps,), float(count))), generator=generator)
        reads.append(surrogate.read(state, generator=generator))
    return _increments(torch.stack(reads, 1).numpy())


def _baselines(traces: TraceSet, lengths: list[int]) -> dict[str, float]:
    """Return the log likelihood per read of the last part, of models fitted on the first part of these lengths."""
    scores: dict[str, list[Array]] = {"soft bounds, mean fit": [], "exponential step, mean fit": [], "constant step": []}
    for trace, count in zip(traces, lengths, strict=True):
        reads = trace.output["conductance"]
        for name, path in (("soft bounds, mean fit", _soft_bounds_path), ("exponential step, mean fit", _exponential_path)):

            def residual(p: Array, path: Any = path, reads: Array = reads, count: int = count) -> Array:
                return np.asarray(path(p, count) - reads[:count])

            start = np.array([reads[:20].mean(), reads[count - 100 : count].mean(), 5e-3])
            fitted = least_squares(residual, start, max_nfev=2000)
            scores[name].append(
                _normal_loglik(reads[count:] - path(fitted.x, len(reads))[count:], float(residual(fitted.x).std()))
            )
        step = np.diff(reads[:count])
        scores["constant step"].append(_normal_loglik(np.diff(reads[count - 1 :]) - step.mean(), float(step.std())))
    return {name: float(np.concatenate(parts).mean()) for name, parts in scores.items()}


def _soft_bounds_path(p: Array, count: int) -> Array:
    """Return the path of soft bounds from p0 to the bound p1 at the rate p2."""
    return np.asarray(p[1] + (p[0] - p[1]) * (1 - np.clip(p[2], 0, 1)) ** np.arange(count))


def _exponential_path(p: Array, count: int) -> Array:
    """Return the path ln(1 + p2 n) of steps that decrease exponentially with the state, from p0 to p1 after 1000 pulses."""
    scale = np.clip(p[2], 1e-4, 1.0)
    grown = np.log1p(scale * np.arange(count))
    return np.asarray(p[0] + (p[1] - p[0]) * grown / np.log1p(scale * 1000))


def _normal_loglik(error: Array, deviation: float) -> Array:
    return np.asarray(-0.5 * np.log(2 * np.pi * deviation**2) - 0.5 * (error / deviation) ** 2)


# --- Ramps of Sandia: one device, forty cycles ------------------------------------------------------------------------


def sandia(shared: Path, seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Fit half of the ramps of one device (CrossSim example), and run the others freely from their first read.

    The lines have the share of held-out reads inside the 90 % prediction interval; the seed chooses the halves.
    """
    ramps = _sandia_ramps(shared)
    for seed in seeds:
        random = np.random.default_rng(seed)
        training: list[Trace] = []
        test: dict[str, list[Trace]] = {}
        for name, traces in ramps.items():
            shuffled = [traces[i] for i in random.permutation(len(traces))]
            training += shuffled[: len(traces) // 2]
            test[name] = shuffled[len(traces) // 2 :]
        yield {"part": "sandia", "seed": seed, **_coverages(training, test, seed)}


def sandia_all(shared: Path, seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Fit all ramps of that device, and run all of them freely: the share of reads inside the 90 % prediction interval."""
    ramps = _sandia_ramps(shared)
    for seed in seeds:
        yield {"part": "sandia-all", "seed": seed, **_coverages([*ramps["SET"], *ramps["RESET"]], ramps, seed)}


def _sandia_ramps(shared: Path) -> dict[str, list[Trace]]:
    folder = shared / "data/devices/sandia_crosssim_ramps"
    return {
        name: list(read_trace(folder / f"{name.lower()}.csv", pulses=PulseLayout("ramps", polarity=name, read_voltage=0.1)))
        for name in ("SET", "RESET")
    }


def _coverages(training: list[Trace], test: dict[str, list[Trace]], seed: int) -> dict[str, Any]:
    """Fit recordings; return the seconds, and the share of the reads of others in their 90 % interval, by name and in all."""
    start = time.process_time()
    surrogate = fit_synapse(TraceSet(training), seed=seed)
    seconds = time.process_time() - start
    generator = torch.Generator().manual_seed(seed)
    hits: dict[str, list[Any]] = {name: [] for name in test}
    for name, traces in test.items():
        for trace in traces:
            low, high = prediction_interval(surrogate, trace, samples=200, draws=10, generator=generator)
            reads = trace.output["conductance"]
            hits[name].append(((reads >= low) & (reads <= high))[1:])
    inside = {name: float(np.concatenate(each).mean()) for name, each in hits.items()}
    everything = float(np.concatenate([hit for each in hits.values() for hit in each]).mean())
    return {"fit_cpu_seconds": seconds, "ramps": len(training), "coverage_90": inside, "coverage_90_of_all": everything}


# --- weak RESET: a population -----------------------------------------------------------------------------------------


def weak_reset(seeds: list[int], devices: int) -> Iterator[dict[str, Any]]:
    """Fit a population of weak RESET (Majumdar et al. 2021) to traces of 1000 pulses, and extrapolate it to 2000.

    Quantiles of the resistance of 10^5 virtual devices against 10^6 of the physical model, errors in per cent; `sample` are
    those of the recorded devices themselves, the error of a plain sample of that size. `interval` is the 90 % interval of
    posterior samples of the surrogate (20 of 2 * 10^4 devices), and whether it contains the truth.
    """
    counts = (0, 100, 500, 1000, 2000)
    truth = _quantiles(WeakReset(), counts, 1_000_000, 10_000)
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        traces = pulse_traces(WeakReset(), -torch.ones(1000), devices=devices, generator=generator)
        start = time.process_time()
        surrogate = fit_synapse(traces, seed=seed)
        seconds = time.process_time() - start
        quantiles = _quantiles(surrogate, counts, 100_000, seed)
        samples = np.stack([
            _quantiles(surrogate.posterior(torch.Generator().manual_seed(1000 + i)), counts, 20_000, i) for i in range(20)
        ])  # fmt: skip
        low, high = np.quantile(samples, [0.05, 0.95], axis=0)
        for i, count in enumerate(counts):
            sample = None
            if count <= 1000:
                sample = np.quantile([1 / trace.output["conductance"][count] for trace in traces], QUANTILES)
            yield {
                "part": "weak-reset", "devices": devices, "seed": seed, "pulses": count, "quantiles": QUANTILES,
                "truth_ohm": truth[i].tolist(), "error_percent": (100 * (quantiles[i] / truth[i] - 1)).tolist(),
                "sample_error_percent": None if sample is None else (100 * (sample / truth[i] - 1)).tolist(),
                "interval_percent": [(100 * (edge[i] / truth[i] - 1)).tolist() for edge in (low, high)],
                "interval_contains_truth": ((low[i] <= truth[i]) & (truth[i] <= high[i])).tolist(),
                "fit_cpu_seconds": seconds,
            }  # fmt: skip


def _quantiles(synapse: Synapse, counts: Sequence[int], devices: int, seed: int) -> Array:
    """Return quantiles of the resistance [ohm] of new devices after these counts of RESET pulses, shape (counts, quantiles)."""
    generator = torch.Generator().manual_seed(seed)
    state = synapse.initial((devices,), generator=generator)
    rows, done = [], 0
    for count in counts:
        if count > done:
            state = synapse.program(state, Pulses(torch.full((devices,), float(done - count))), generator=generator)
            done = count
        rows.append(np.quantile(1 / synapse.read(state, generator=generator).double().numpy(), QUANTILES))
    return np.array(rows)


# --- TiO2-x: voltage and width of pulses ------------------------------------------------------------------------------------


def nili(seeds: list[int]) -> Iterator[dict[str, Any]]:
    """Fit TiO2-x (Nili et al. 2020) to random pulses of 0.8 .. 1.4 V and 1 us .. 10 ms, and run held-out trains freely.

    The baseline is soft bounds (a step for each polarity that decreases towards a bound), fitted to the same single steps by
    least squares; it depends neither on voltage nor on width. Errors are rms over all reads of 20 trains of 200 pulses,
    relative to the standard deviation of these reads.
    """
    for seed in seeds:
        train, test = _random_trains(seed, 20, 500), _random_trains(1000 + seed, 20, 200)
        start = time.process_time()
        surrogate = fit_synapse(train, seed=seed)
        seconds = time.process_time() - start
        truth = np.stack([trace.output["conductance"] for trace in test])
        scale = float(truth.std())
        simulated = _free_run(surrogate, test)
        baseline = _soft_bounds(train, test)
        errors = [float(np.sqrt(np.mean((each - truth) ** 2)) / scale) for each in (simulated, baseline)]
        yield {
            "part": "nili", "seed": seed, "nrmse": errors[0], "soft_bounds_nrmse": errors[1], "ratio": errors[1] / errors[0],
            "fit_cpu_seconds": seconds,
        }  # fmt: skip


def _random_trains(seed: int, trains: int, pulses: int) -> TraceSet:
    generator = torch.Generator().manual_seed(seed)
    model = TiO2(width_range=(1e-6, 1e-2))
    sign = torch.where(torch.rand(trains, pulses, generator=generator) < 0.5, -1.0, 1.0)
    voltage = 0.8 + 0.6 * torch.rand(trains, pulses, generator=generator, dtype=torch.float64)
    width = 10 ** (-6 + 4 * torch.rand(trains, pulses, generator=generator, dtype=torch.float64))
    traces = pulse_traces(model, sign, devices=trains, voltage=voltage, width=width)
    # All trains are cycles of the same device.
    return TraceSet([
        Trace(t.time, t.drive, t.output, {"device": 0.0, "cycle": float(i)}, t.units, t.interpolation)
        for i, t in enumerate(traces)
    ])  # fmt: skip


def _free_run(surrogate: SynapseSurrogate, traces: TraceSet) -> Array:
    """Return the mean response to each train from its first read, shape (trains, reads)."""
    reads = torch.tensor(np.stack([trace.output["conductance"] for trace in traces]))
    drive = {name: torch.tensor(np.stack([trace.drive[name] for trace in traces])) for name in traces[0].drive}
    state = surrogate.at(reads[:, 0])
    rows = [reads[:, 0]]
    for k in range(reads.shape[1] - 1):
        count = drive["SET"][:, k] - drive["RESET"][:, k]
        state = surrogate.program(state, Pulses(count, drive["voltage"][:, k], drive["width"][:, k]))
        rows.append(surrogate.read(state))
    return torch.stack(rows, 1).numpy()


def _soft_bounds(train: TraceSet, test: TraceSet) -> Array:
    """Return free runs of G += a_p + b_p G, with a and b by least squares for each polarity."""
    coefficients = {}
    for name in ("SET", "RESET"):
        before = np.concatenate([t.output["conductance"][:-1][t.drive[name][:-1] > 0] for t in train])
        step = np.concatenate([np.diff(t.output["conductance"])[t.drive[name][:-1] > 0] for t in train])
        coefficients[name] = np.polyfit(before, step, 1)
    rows = []
    for trace in test:
        values = [trace.output["conductance"][0]]
        for up in trace.drive["SET"][:-1]:
            values.append(values[-1] + np.polyval(coefficients["SET" if up else "RESET"], values[-1]))
        rows.append(values)
    return np.array(rows)


# --- speed ------------------------------------------------------------------------------------------------------------


def speed(devices: int = 1_000_000) -> Iterator[dict[str, Any]]:
    """Time a programming call of 10^6 devices (one pulse each, single precision), and the array kernel alone.

    The time of the kernel is that of one Euler step of the network of the surrogate on a million states by `spinode.rollout`,
    in the best memory layout. Calls take turns; medians of processor time.
    """
    surrogate = zoo.open_synapse("hfox-weak-reset")
    generator = torch.Generator().manual_seed(0)
    field = surrogate.drift.field.float()
    surrogate = zoo.open_synapse("hfox-weak-reset")
    width = 1 + surrogate.drift.extra + surrogate.drift.latents.shape
    x, drive = torch.zeros(1, devices).T, torch.randn(1, width, devices, generator=generator).permute(2, 0, 1)
    pulses = Pulses(-torch.ones(devices))
    typical, varied = surrogate.initial((devices,)), surrogate.initial((devices,), generator=generator)
    physical = WeakReset()
    works = {
        "kernel": lambda: rollout(field, x, zero_order_hold(drive), method="euler", limit=float("inf"), initial=False),
        "surrogate, mean": lambda: surrogate.program(typical, pulses),
        "surrogate, noise and D2D": lambda: surrogate.program(varied, pulses, generator=generator),
        "physical, noise and D2D": lambda: physical.program(physical_state, pulses, generator=generator),
    }
    physical_state = physical.initial((devices,), generator=generator)
    times: dict[str, list[float]] = {name: [] for name in works}
    with torch.no_grad():
        for _ in range(15):
            for name, work in works.items():
                times[name].append(timed(work, 0.0)[0][0])
    base = spread(times["kernel"])["median"]
    for name, values in times.items():
        median = spread(values)["median"]
        yield {"part": "speed", "devices": devices, "work": name, "cpu": spread(values), "times_the_kernel": median / base}
    yield {"part": "speed", "machine": machine()}
