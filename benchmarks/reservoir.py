"""Skyrmion and oscillator reservoirs on surrogates and on the physical models that these were fitted to; JSON lines.

    python benchmarks/reservoir.py [--only drives skyrmion oscillator digits capacities network four] [--seeds 0 1 2] [--data
    FOLDER]

drives      Surrogates by drive and length of their trace, tested under other drives: free-run NRMSE on random steps held
            for 50 ps and 10 ps, on the amplitude-modulated sine of Chen et al. (2022), and on their Mackey-Glass drive.
skyrmion    One skyrmion, 50 virtual nodes of 10 ps, Mackey-Glass: states of surrogate and micromagnetics over 110 ns;
            forecast error against horizon over 10 000 points (5 us), with controls; seconds of both.
oscillator  Noisy oscillator, neural SDE of 5 ms of its trace: mean response, distribution, spectrum.
digits      Spoken digits by 1 .. 9 training utterances: oscillator, surrogate, with and without noise, controls.
capacities  Memory, parity, NARMA10 and sine against square of one oscillator and its surrogate, alone and with delayed
            feedback.
network     Coupled surrogates trained on spoken digits, and the same weights on the oscillator.
four        Four skyrmions among grains: free run, and forecast by surrogate and true device, by order of the embedding.

Micromagnetic traces are simulated once, a few minutes each, and cached below build/film. One thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _film_drives import HOLD, MEAN, NODES, UNIT, drive, interpolation_of, mackey_glass_drive, masked
from _film_traces import INTERVAL, film_trace
from _measure import emit
from _oscillator_parts import capacities, digits, network, oscillator
from torch import Tensor

import spinode
from spinode.datasets import mackey_glass
from spinode.surrogates import EchoState, LinearNodes, Reservoir, RidgeStatistics, TanhNodes, fast_response

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SPINODE_SHARED", ROOT.parent / "shared")) / "data"
POINTS = 220  # of the Mackey-Glass drive that are simulated micromagnetically, 110 ns
DISCARD, TRAINING = 300, 5000  # points, as in the paper
HORIZONS = (1, 2, 3, 5, 8, 11, 15, 22, 30, 40, 50)


def main() -> None:
    parts = {
        "drives": drives,
        "skyrmion": skyrmion,
        "oscillator": oscillator,
        "digits": digits,
        "capacities": capacities,
        "four": four,
        "network": network,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(parts), default=list(parts))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--data", type=Path, default=SHARED / "speech", help="folder of the spoken digits")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.only:
        for seed in options.seeds:
            for line in parts[name](seed, options.data) if name in ("digits", "network") else parts[name](seed):
                emit(**line)


def drives(seed: int) -> Iterator[dict[str, Any]]:
    """Score free runs of surrogates by the drive of their trace and its length."""
    tests = {
        "steps-50": film_trace(drive("steps-50", 20e-9, 100))[0],
        "steps-10": film_trace(drive("steps-10", 20e-9, 100))[0],
        "sine": film_trace(drive("sine", 15e-9, 100), interpolation="linear")[0],
        "mackey-glass": film_trace(mackey_glass_drive(POINTS))[0],
    }
    for kind in ("sine", "steps-50", "steps-10", "steps-mixed"):
        whole = film_trace(drive(kind, 40e-9, 1), interpolation=interpolation_of(kind))[0]
        for length in (5e-9, 10e-9, 20e-9, 40e-9):
            surrogate = spinode.fit(whole.between(0.0, length), sample_interval=INTERVAL, seed=seed, embedding="derivative")
            scores = {name: spinode.evaluate(surrogate, test) for name, test in tests.items()}
            yield {
                "part": "drives",
                "seed": seed,
                "trained on": kind,
                "length_ns": length * 1e9,
                "order": surrogate.embedding.order,
                "nrmse": {name: each.nrmse for name, each in scores.items()},
                "outside": {name: each.outside_domain for name, each in scores.items()},
            }


def skyrmion(seed: int) -> Iterator[dict[str, Any]]:
    """Run the published Mackey-Glass protocol on surrogates of 40 ns under steps of 50 ps, without and with a fast response."""
    slow = spinode.fit(film_trace(drive("steps-50", 40e-9, 1))[0], sample_interval=INTERVAL, seed=seed, embedding="derivative")
    both = fast_response(slow, film_trace(drive("steps-10", 40e-9, 1))[0])
    for name, device in (("surrogate", slow), ("with the fast response of 40 ns under steps of 10 ps", both)):
        yield {"part": "skyrmion", "seed": seed, "device": name, **_mackey_glass(device, seed)}


def _mackey_glass(device: Any, seed: int) -> dict[str, Any]:
    series = mackey_glass(10_000)
    reservoir = _reservoir(device)
    start = time.process_time()
    with torch.no_grad():
        states = reservoir(series)
    seconds, outside = time.process_time() - start, reservoir.outside
    reference, film_seconds = film_trace(mackey_glass_drive(POINTS))
    repeat = round(HOLD / INTERVAL)
    # A sample of the trace is the response to the drive before it; the end of the last point was not recorded.
    true = torch.from_numpy(reference.output["mz"][repeat::repeat].copy())
    true = true[: (POINTS - 1) * NODES].reshape(-1, NODES)
    simulated = states[: POINTS - 1]
    error = float((simulated - true)[2:].square().mean().sqrt() / true[2:].std())
    nanoseconds = 10_000 * NODES * HOLD * 1e9
    film_seconds_per_ns = film_seconds / (len(reference.time) * INTERVAL * 1e9)
    return {
        "state_nrmse over 109 ns": error,
        "outside": outside,
        "seconds for 5 us": seconds,
        "micromagnetic seconds for 1 ns": film_seconds_per_ns,
        "speed_up": film_seconds_per_ns * nanoseconds / seconds,
        "nrmse by horizon": forecast(states, series),
        "tanh": forecast(TanhNodes(NODES, seed=seed)(series), series),
        "echo state": forecast(EchoState(NODES, seed=seed)(series), series),
        "linear": forecast(LinearNodes()(series), series),
        "short, true device": forecast(true, series[: len(true)], discard=20, training=130),
        "short, surrogate": forecast(simulated, series[: len(true)], discard=20, training=130),
    }


def _reservoir(device: Any) -> Reservoir:
    products = masked()
    series = mackey_glass(10_000)
    weights = (products[0] - MEAN) / (UNIT * series[0])
    return Reservoir(device, NODES, weights, hold=HOLD, scale=UNIT, offset=MEAN)


def forecast(states: Tensor, series: Tensor, *, discard: int = DISCARD, training: int = TRAINING) -> dict[str, float]:
    """Return the NRMSE of the series by horizon, for a ridge readout of `training` points."""
    errors = {}
    for horizon in HORIZONS:
        target = series[horizon : len(states)]
        rows = states[: len(target)]
        sums = RidgeStatistics(states.shape[-1], segment=max(5, training // 50))
        sums.add(rows[discard : discard + training], target[discard : discard + training])
        test = slice(discard + training, None)
        errors[str(horizon)] = float(
            (sums.solve()(rows[test])[:, 0] - target[test]).square().mean().sqrt() / target[test].std()
        )
    return errors


def four(seed: int) -> Iterator[dict[str, Any]]:
    """Fit and forecast four skyrmions among the grains of this seed."""
    points = 120
    trace, _ = film_trace(drive("steps-mixed", 40e-9, 1), count=4, grains=seed)
    test, _ = film_trace(mackey_glass_drive(points, scale=0.25), count=4, grains=seed)
    series = mackey_glass(10_000)[: points - 1]
    repeat = round(HOLD / INTERVAL)
    true = torch.from_numpy(test.output["mz"][repeat::repeat].copy())[: (points - 1) * NODES].reshape(-1, NODES)
    for order in (2, 4, 6):
        surrogate = spinode.fit(trace, sample_interval=INTERVAL, seed=0, embedding="derivative", order=order)
        scores = spinode.evaluate(surrogate, test)
        # Start from the first samples: the resting state of a weakly damped device may not be found.
        applied, output = (torch.from_numpy(next(iter(each.values())).copy())[:, None] for each in (test.drive, test.output))
        with torch.no_grad():
            start = surrogate.state_from(output, applied)[0]
            run = surrogate.simulate(applied, state=start)[:, 0]
        simulated = run[repeat::repeat][: (points - 1) * NODES].reshape(-1, NODES)
        yield {
            "part": "four",
            "seed": seed,
            "order": order,
            "nrmse": scores.nrmse,
            "outside": scores.outside_domain,
            "true device": forecast(true, series, discard=15, training=70),
            "surrogate": forecast(simulated, series, discard=15, training=70),
        }


if __name__ == "__main__":
    main()
