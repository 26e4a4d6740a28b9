"""Fit the shipped surrogates of `spinode.surrogates.zoo` and write their model cards.

    python benchmarks/make_zoo.py [--only NAME ...] [--quick] [--folder surrogates/zoo]

Each synapse is fitted on simulated recordings of one of our reference models, and scored on devices and pulses of other seeds,
which the fit has not seen:

- "innovation_deviation", "innovation_correlation": one-step errors over their predicted deviation (1 is right), and their
  correlation with the next (0 is right); the first fifth of each recording determines the latent parameters of its device;
- "coverage_90": share of the reads within the 90 % prediction interval of free runs from the first read, over ten devices;
- "quantile_error": difference between the 5, 50 and 95 % quantiles of virtual devices and of new reference devices under the
  same pulses, mean and largest of twenty reads along the train, relative to the distance of the 5 and 95 % quantiles of all
  reads.

The assessment is "close" if all of them are within the limits in `CLOSE`, which were set before any score was known, and
"loose" with the reasons otherwise.

"reram-retention" is "soft-bounds", whose constants are those of IBM's pulse measurements (Gong et al. 2018), with the retention
of another resistive memory: technology C of the relaxation measurements of Stanford (16 000 cells, 32 levels, 10 ms to 1e5 s).
The law of `spinode.surrogates.synapses.retention` was fitted to its changes of conductance in units of the range, 0 .. 40 uS;
`RETENTION` contains the result, and with --relaxation FILE (techC_relaxdata.min.tsv.gz) it is fitted again and compared.

Not included: a domain wall of few levels (`spinode.datasets.DomainWall`). Each of its writes places the wall independently, so
its errors neither accumulate nor decay; the noise of a fitted drift does one or the other.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import spinode
from spinode.contracts.step_statistics import StepStatistics
from spinode.contracts.synapse import Synapse
from spinode.datasets import STEP_PRESETS, VTEAM, StanfordPKU, TiO2, WeakReset, pulse_traces, read_trace, sample_path
from spinode.surrogates.artifacts import save
from spinode.surrogates.synapses.config import SynapseConfig
from spinode.surrogates.synapses.fit import fit_synapse
from spinode.surrogates.synapses.model import SynapseSurrogate
from spinode.surrogates.synapses.predict import predict_one_step, prediction_interval
from spinode.surrogates.synapses.retention import Retention, fit_retention
from spinode.surrogates.synapses.step_scores import score_steps
from spinode.traces.trace import TraceSet

#: Limits of a score that counts as close.
CLOSE = {"innovation_deviation": (0.9, 1.1), "innovation_correlation": (-0.1, 0.1), "coverage_90": (0.84, 0.96)}
CLOSE_QUANTILES = 0.05
SCRIPT = "benchmarks/make_zoo.py"
#: Retention of technology C in units of its range: u(t) = u + (mean + slope u) L + deviation sqrt(L) xi, L = ln(1 + t / onset).
RETENTION = Retention(mean=3.222e-4, slope=-4.6348e-3, deviation=2.23323e-2, onset=0.01, longest=1e5)
RETENTION_SOURCE = "technology C, github.com/akashlevy/RRAM-Relaxation-Master-Model (MIT), in units of the range of the device"
RANGE_C = 40e-6  # S, the largest level of technology C
#: Standard deviation of the change after the longest pause over that of the law, of the same measurements.
RETENTION_RATIO = 1.013


@dataclass(frozen=True)
class Entry:
    """A synapse of the zoo.

    Attributes:
        summary: One line about the device.
        device: Reference model.
        devices: Number of devices that are fitted.
        steps: Number of pulses of each.
        block: Mean number of successive pulses of one polarity; 0 for RESET only.
        voltage: Ranges [V] of SET and RESET amplitudes, sampled uniformly; None for the device's own.
        width: Range [s] of widths, sampled uniformly in the logarithm; None for the device's own.
        every: Pulses between two reads.
        bias: Largest ratio of RESET to SET pulses of a device, where blocks have random lengths: ratios lie evenly in the
            logarithm from 1 / 2 on, so that the recordings cover the range of a device whose RESET is the weaker.
        usual: Share of the pulses that are the device's own, its pulse of use; the others are random.
        trains: Numbers of trains and pulses in each, with a read after each train; `every` if omitted.
        repeated: Trains after which the read is repeated: noise that is new in each read is told from noise that pulses renew.
        seed: Seed of recordings and fit. That of weak RESET is the second tried: with the first, early steps were too large.
        settings: Further settings of the fit.
    """

    summary: str
    device: Synapse
    devices: int
    steps: int
    block: int
    voltage: tuple[tuple[float, float], tuple[float, float]] | None = None
    width: tuple[float, float] | None = None
    every: int = 1
    bias: float | None = None
    usual: float = 0.0
    trains: tuple[tuple[int, int], ...] = ()
    repeated: int = 0
    seed: int = 0
    settings: Mapping[str, Any] = field(default_factory=dict)


ENTRIES = {
    "hfox-weak-reset": Entry(
        "HfOx resistive memory under weak RESET pulses: fast and slow growth, telegraph and pink noise, spread of devices",
        WeakReset(), 400, 6000, 0, trains=((100, 60),), repeated=1, seed=1,
    ),
    "tio2-nili": Entry(
        "TiO2 memristor under random pulses, with 10 % noise added to each step and 1 % to reads",
        TiO2(write_noise=0.1, read_noise=0.01), 200, 240, 16, ((0.8, 1.4), (0.8, 1.4)), (1e-6, 1e-3), bias=24.0, usual=0.5,
        settings={"iterations": 150, "shape": 1, "rounds": 16, "hidden": (24, 24)},
    ),
    "vteam": Entry(
        "VTEAM memristor, with 10 % spread of both rates and 10 % noise per step added",
        VTEAM(spread_k_on=0.1, spread_k_off=0.1, noise=0.1, start=0.5), 60, 200, 40, ((0.18, 0.26), (0.38, 0.46)),
    ),
    "stanford-pku": Entry(
        "Resistive memory of the Stanford-PKU filament model, with 10 % spread of the rate added",
        StanfordPKU(spread=0.1), 60, 200, 40, ((1.2, 1.3), (1.15, 1.25)),
    ),
    "soft-bounds": Entry(
        "Soft-bounds step model with the constants of a measured resistive memory (preset ReRamSB), normalised",
        STEP_PRESETS["ReRamSB"], 40, 300, 100,
    ),
}  # fmt: skip


def schedule(entry: Entry, devices: int, seed: int) -> dict[str, Any]:
    """Return the pulses of each device, and voltages and widths where they vary, shape (devices, steps)."""
    generator = torch.Generator().manual_seed(seed)

    def uniform() -> Tensor:
        return torch.rand(devices, entry.steps, generator=generator, dtype=torch.float64)

    if entry.trains:
        row: list[int] = []
        for index, length in enumerate((length for number, length in entry.trains for _ in range(number)), start=1):
            row += [-length, 0] if index % entry.repeated == 0 else [-length]
        count = torch.tensor(row, dtype=torch.float64).expand(devices, -1)
    elif entry.block == 0:
        count = -torch.ones(devices, entry.steps, dtype=torch.float64)
    elif entry.voltage is None:
        turn = torch.arange(entry.steps) // entry.block % 2
        count = torch.where(turn == 0, 1.0, -1.0).expand(devices, -1).double()
    else:
        # The polarity of each device changes at random moments; half of the devices begin with RESET.
        if entry.bias is None:
            turns = (uniform() < 1 / entry.block).cumsum(1) + (torch.arange(devices) % 2)[:, None]
            count = torch.where(turns % 2 == 0, 1.0, -1.0).double()
        else:
            count = biased_blocks(uniform(), entry.block, entry.bias)
    plan: dict[str, Any] = {"pulses": count}
    if entry.voltage is not None:
        (a, b), (c, d) = entry.voltage
        share = uniform()
        plan["voltage"] = torch.where(count > 0, a + (b - a) * share, c + (d - c) * share)
    if entry.width is not None:
        low, high = np.log(entry.width)
        plan["width"] = torch.exp(low + (high - low) * uniform())
    if entry.usual:
        usual = uniform() < entry.usual
        up, down = entry.device.voltage  # type: ignore[attr-defined]
        plan["voltage"] = torch.where(usual, torch.where(count > 0, float(up), float(down)), plan["voltage"])
        if entry.width is not None:
            plan["width"] = torch.where(usual, float(entry.device.width), plan["width"])  # type: ignore[attr-defined]
    return plan


def biased_blocks(share: Tensor, block: int, bias: float) -> Tensor:
    """Return +1 and -1 in blocks of random lengths, of which those of -1 are longer by a ratio of each device's own.

    Args:
        share: Uniform numbers, shape (devices, steps).
        block: Geometric mean of the mean lengths of the blocks of both signs.
        bias: Largest ratio of -1 to +1; the ratios of the devices lie evenly in the logarithm from 1 / 2 on.
    """
    devices, steps = share.shape
    # The ratios are in an order in which neighbours differ: half of the devices begin with RESET whatever their ratio.
    order = (torch.arange(devices) * 7919) % devices
    ratio = torch.exp(torch.linspace(np.log(0.5), np.log(bias), devices, dtype=torch.float64))[order]
    sign = torch.where(torch.arange(devices) % 2 == 0, 1.0, -1.0).double()
    signs = []
    for step in range(steps):
        mean = block * torch.where(sign > 0, ratio**-0.5, ratio**0.5)
        sign = torch.where(share[:, step] < 1 / mean.clamp(min=1.0), -sign, sign)
        signs.append(sign)
    return torch.stack(signs, 1)


def simulated_recordings(synapse: Synapse, entry: Entry, devices: int, seed: int, pulses: int) -> TraceSet:
    """Return simulated recordings of new devices of one seed under the pulses of another."""
    plan = schedule(entry, devices, pulses)
    generator = torch.Generator().manual_seed(seed)
    return pulse_traces(synapse, devices=devices, generator=generator, every=entry.every, **plan)


def scores(surrogate: SynapseSurrogate, entry: Entry, seed: int, devices: int) -> dict[str, float]:
    """Return the scores on new devices under new pulses, as the docstring of this file defines them."""
    unseen = simulated_recordings(entry.device, entry, devices, seed + 1000, seed + 2000)
    prediction = predict_one_step(surrogate, unseen)
    z = np.where(prediction.held_out, prediction.innovation, np.nan)
    generator = torch.Generator().manual_seed(seed)
    inside = []
    for trace in list(unseen)[:10]:
        low, high = prediction_interval(surrogate, trace, samples=200, draws=5, generator=generator)
        reads = trace.output["conductance"]
        inside.append(((reads >= low) & (reads <= high))[1:].mean())
    virtual = simulated_recordings(surrogate, entry, devices, seed + 3000, seed + 2000)
    index = np.unique(np.linspace(0, len(unseen[0]) - 1, 20).round().astype(int))
    levels = [0.05, 0.5, 0.95]
    measured, simulated = (
        np.quantile(np.stack([trace.output["conductance"][index] for trace in traces]), levels, axis=0)
        for traces in (unseen, virtual)
    )
    ends = np.quantile(np.concatenate([trace.output["conductance"] for trace in unseen]), [0.05, 0.95])
    error = np.abs(simulated - measured) / (ends[1] - ends[0])
    pair = z[1:] * z[:-1]
    return {
        "innovation_deviation": float(np.nanstd(z)),
        "innovation_correlation": float(np.nanmean(pair) / np.nanmean(z**2)),
        "coverage_90": float(np.mean(inside)),
        "quantile_error_mean": float(error.mean()),
        "quantile_error_largest": float(error.max()),
        "devices": float(devices),
    }


def assess(results: dict[str, float]) -> str:
    """Return "close", or "loose" with the reasons."""
    reasons = [f"{name} {results[name]:.3g}" for name, (low, high) in CLOSE.items() if not low <= results[name] <= high]
    if not results["quantile_error_mean"] <= CLOSE_QUANTILES:
        reasons.append(f"quantile_error_mean {results['quantile_error_mean']:.3g}")
    return "close" if not reasons else f"loose: {', '.join(reasons)}"


def make(name: str, folder: Path, *, quick: bool, seed: int | None = None) -> None:
    """Fit and score one synapse, and write it with its model card."""
    entry = ENTRIES[name]
    seed = entry.seed if seed is None else seed
    if quick:
        trains = ((12, 5),) if entry.trains else ()
        entry = replace(entry, devices=20, steps=min(entry.steps, 60), block=min(entry.block, 20), every=1, trains=trains)
    traces = simulated_recordings(entry.device, entry, entry.devices, seed, seed)
    config = SynapseConfig(seed=seed, rounds=1, iterations=5) if quick else SynapseConfig(seed=seed, **entry.settings)
    if entry.voltage is not None and entry.width is not None:
        device: Any = entry.device
        config = replace(config, use_voltage=device.voltage, use_width=device.width)
    surrogate = fit_synapse(traces, config)
    write(name, surrogate, traces, folder, quick=quick, seed=seed)


def write(name: str, surrogate: SynapseSurrogate, traces: TraceSet, folder: Path, *, quick: bool, seed: int = 0) -> None:
    """Score a fitted synapse, and write it with its model card."""
    entry = ENTRIES[name]
    results = scores(surrogate, entry, seed, 20 if quick else 200)
    steps = step_scores(surrogate, entry, seed, 20 if quick else 200)
    if not np.isfinite(list(results.values())).all():
        raise spinode.FitError(f"the fit of {name} gives reads that are not finite: {results}; nothing was written.")
    save(surrogate, folder / f"{name}.safetensors")
    fitted = {
        "device": type(entry.device).__name__,
        "settings": traces[0].provenance.get("device", {}),
        "devices": entry.devices,
        "pulses_of_each": entry.steps,
        "pulses_between_reads": [list(train) for train in entry.trains] or entry.every,
        "reads": int(surrogate.record["reads"]),
    }
    domain: dict[str, Any] = {"conductance": [surrogate.low, surrogate.high], "polarities": list(surrogate.polarities)}
    domain |= {key: list(value) for key, value in surrogate.inputs.ranges.items()}
    units = {"conductance": surrogate.unit, "voltage": "V", "width": "s"}
    if surrogate.voltage is not None:
        domain["pulse_of_use"] = {"voltage": list(surrogate.voltage), "width": surrogate.width}
    assessment = assess(results)
    write_card(folder, name, "synapse", entry.summary, fitted, domain, units, results, assessment, seed, quick, steps=steps)


def step_scores(surrogate: SynapseSurrogate, entry: Entry, seed: int, devices: int) -> dict[str, Any]:
    """Return the steps at the pulse of use: of new recordings beside virtual devices, and of the device where it can be placed.

    The second is exact: steps without reads, of 20 000 devices at one conductance, of device and surrogate.
    """
    unseen = simulated_recordings(entry.device, entry, devices, seed + 1000, seed + 2000)
    found: dict[str, Any] = {"recordings": score_steps(surrogate, unseen, seed=seed).to_dict()}
    if hasattr(entry.device, "at") and surrogate.voltage is not None:
        low, high = entry.device.low, entry.device.high
        found["device"] = {
            f"{conductance:.3g}": [asdict(StepStatistics.measure(each, conductance)) for each in (entry.device, surrogate)]
            for conductance in np.geomspace(low, high, 7)[1:-1].tolist()
        }
    return found


def make_retention(folder: Path, *, quick: bool, seed: int = 0) -> None:
    """Add the retention to the soft-bounds device in the folder, and write it with its model card."""
    base = "soft-bounds"
    surrogate = spinode.load(folder / f"{base}.safetensors")
    card = json.loads((folder / f"{base}.json").read_text("utf-8"))
    # u = (G - low) / (high - low) and x = (G - centre) / spread, so that x = width u + start.
    width = (surrogate.high - surrogate.low) / surrogate.scale.spread
    start = (surrogate.low - surrogate.scale.centre) / surrogate.scale.spread
    law = RETENTION
    surrogate.retention = replace(law, mean=width * law.mean - law.slope * start, deviation=width * law.deviation)
    save(surrogate, folder / "reram-retention.safetensors")
    fitted = {**card["fitted_on"], "retention": {"source": RETENTION_SOURCE, **asdict(law)}}
    results = {**card["scores"], "retention_deviation_ratio": RETENTION_RATIO}
    summary = "The soft-bounds device with the retention of a measured resistive memory, whose levels relax for 1e5 s"
    write_card(
        folder, "reram-retention", "synapse", summary, fitted, card["domain"], card["units"], results, card["assessment"],
        card["seed"], card["quick"],
    )  # fmt: skip


def compare_retention(file: str) -> None:
    """Fit the retention of technology C again, and print it beside `RETENTION`."""
    rows = np.loadtxt(file, delimiter="\t")  # address, time, R, G [S], first G [S], level, nominal time [s]
    seconds, now, first = rows[:, 6], rows[:, 3] / RANGE_C, rows[:, 4] / RANGE_C
    usable = (seconds > 0) & (first > 0) & (first < 1.1)
    law = fit_retention(first[usable], (now - first)[usable], seconds[usable], read=0.0)
    assert law is not None
    last = usable & (seconds == seconds.max())
    ratio = (now - first)[last].std() / (law.deviation * np.log1p(law.longest / law.onset) ** 0.5)
    print(json.dumps({"fitted": asdict(law), "stored": asdict(RETENTION), "deviation_ratio": round(float(ratio), 4)}))


def make_macrospin(folder: Path, *, quick: bool, seed: int = 0) -> None:
    """Fit the first 70 % of the shipped trace, and score on the remainder and under another kind of drive."""
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    split = float(trace.time[0] + 0.7 * trace.duration)
    rough = {"embedding": "derivative", "order": 2, "ridge": 3e-7, "hidden": (6,), "windows": (1, 8, 40), "iterations": 8}
    settings: dict[str, Any] = {**rough, "restarts": 1, "max_samples": 1500} if quick else {"restarts": 3}
    surrogate = spinode.fit(trace.between(None, split), seed=seed, **settings)
    surrogate.save(folder / "macrospin.safetensors")
    later = spinode.evaluate(surrogate, trace.between(split, None))
    steps = spinode.evaluate(surrogate, read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz"))
    results = {"nrmse_later": later.nrmse, "nrmse_held_steps": steps.nrmse, "coverage_90": later.coverage}
    domain = {name: [float(values.min()), float(values.max())] for name, values in trace.channels.items()}
    fitted = {"file": "datasets/samples/macrospin.csv", "stop": split, "samples": int(0.7 * len(trace))}
    # An error of a twentieth of the standard deviation is not visible in a plot: the limit CLOSE of the surrogate reports.
    assessment = "close" if max(later.nrmse, steps.nrmse) <= 0.05 else f"loose: NRMSE {max(later.nrmse, steps.nrmse):.3g}"
    summary = "Macrospin with voltage-controlled anisotropy: mz under Ku, simulated"
    write_card(
        folder, "macrospin", "surrogate", summary, fitted, domain, dict(surrogate.ports.units), results, assessment, seed, quick
    )


def write_card(
    folder: Path, name: str, kind: str, summary: str, fitted: dict[str, Any], domain: dict[str, Any], units: dict[str, str],
    results: dict[str, float], assessment: str, seed: int, quick: bool, steps: dict[str, Any] | None = None,
) -> None:  # fmt: skip
    """Write a model card."""
    model_card = {
        "name": name,
        "kind": kind,
        "summary": summary,
        "fitted_on": fitted,
        "domain": domain,
        "units": units,
        "scores": {key: round(value, 5) for key, value in results.items()},
        **({} if steps is None else {"steps": steps}),
        "assessment": assessment,
        "licence": "MIT",
        "seed": seed,
        "version": spinode.__version__,
        "generator": SCRIPT,
        "quick": quick,
    }
    (folder / f"{name}.json").write_text(json.dumps(model_card, indent=1, allow_nan=False) + "\n", "utf-8")
    print(json.dumps({"name": name, "assessment": assessment, **model_card["scores"]}), flush=True)


def main() -> None:
    """Fit all surrogates, or the requested ones."""
    makers: dict[str, Callable[..., None]] = {name: lambda folder, *, n=name, **k: make(n, folder, **k) for name in ENTRIES}
    makers["reram-retention"] = make_retention  # after soft-bounds, from which it is made
    makers["macrospin"] = make_macrospin
    parser = argparse.ArgumentParser(description="Fit the shipped surrogates and write their model cards.")
    parser.add_argument("--only", nargs="+", default=list(makers), choices=list(makers), metavar="NAME")
    parser.add_argument("--folder", type=Path, default=Path(__file__).parent.parent / "surrogates" / "zoo")
    parser.add_argument("--quick", action="store_true", help="small fits, which test that the script runs")
    parser.add_argument("--relaxation", metavar="FILE", help="fit the retention again to these measurements, and stop")
    arguments = parser.parse_args()
    if arguments.relaxation:
        return compare_retention(arguments.relaxation)
    torch.set_num_threads(1)
    # New schedules extend slightly beyond the voltages and widths of the fitted ones.
    warnings.simplefilter("ignore", spinode.DomainWarning)
    failed: list[str] = []
    for name in arguments.only:
        start = time.perf_counter()
        try:
            makers[name](arguments.folder, quick=arguments.quick)
        except spinode.FitError as error:
            failed.append(name)
            print(json.dumps({"name": name, "error": str(error)}), flush=True)
        print(json.dumps({"name": name, "seconds": round(time.perf_counter() - start)}), flush=True)
    if failed:
        raise SystemExit(f"not written, since the fit failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
