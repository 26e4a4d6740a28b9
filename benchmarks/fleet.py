"""Many devices fitted side by side against a loop of `fit`, as JSON lines.

    python benchmarks/fleet.py [--devices 60] [--alone 4] [--samples 2000] [--seed 0]

Devices: macrospins (`spinode.datasets.Macrospin`) with 3 % spread of Ms and Ku and 10 % of the damping, under one random held
anisotropy, recorded over a number of samples of 10 ps. Both ways use the same settings: derivative embedding of order 2, one
hidden layer of 8, one restart. The pilots of `fit_many` count among its time. The score of either is the NRMSE of a free run
over a recording of the same device under another drive. `ratio` is the processor time of a device in the loop over that of a
device of `fit_many`; both are measured in one process on one core.
"""

from __future__ import annotations

import argparse
import json
import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _measure import machine

import spinode
from spinode.datasets import Macrospin
from spinode.surrogates.neural_ode.fleet.fit_many import fit_many
from spinode.traces.trace import Trace

STEP, HELD = 1e-11, 10
SETTINGS = {"embedding": "derivative", "order": 2, "hidden": 8, "ridge": 1e-7, "restarts": 1, "effort": "short"}
KU, MS = 6.9e5, 1e6


def recordings(devices: int, samples: int, seed: int, drive_seed: int) -> list[Trace]:
    """Return a recording of each of some devices, which depend on `seed` alone, under a drive of another seed."""
    spread = np.random.default_rng(seed).standard_normal((3, devices))
    magnets = Macrospin(
        Ms=torch.as_tensor(MS * (1 + 0.03 * spread[0])),
        Ku=torch.as_tensor(KU * (1 + 0.03 * spread[1])),
        alpha=torch.as_tensor(0.05 * np.exp(0.1 * spread[2])),
    )
    levels = np.random.default_rng(drive_seed).uniform(-1, 1, samples // HELD + 1)
    change = np.repeat(levels, HELD)[:samples]
    times = STEP * np.arange(samples)
    anisotropy = torch.as_tensor(KU * (1 + 0.03 * spread[1]))[:, None] + 2e4 * torch.as_tensor(change)
    m = magnets.simulate(times, Ku=anisotropy, field=(3e4, 0.0, 1e4), interpolation="held")
    mz = m.reshape(devices, samples, 3)[..., 2].numpy()
    return [Trace(times, {"Ku": 2e4 * change}, {"mz": row}, interpolation={"Ku": "held"}) for row in mz]


def main() -> None:
    """Print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=60)
    parser.add_argument("--alone", type=int, default=4, help="devices of the loop")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    traces = recordings(options.devices, options.samples, options.seed, 1)
    others = recordings(options.devices, options.samples, options.seed, 2)
    begun = time.process_time()
    fleet = fit_many(traces, seed=options.seed, **SETTINGS)
    side_by_side = (time.process_time() - begun) / options.devices
    scores = [
        spinode.evaluate(fleet.surrogates[str(k)], others[k]).nrmse
        for k in range(options.devices)
        if str(k) in fleet.surrogates
    ]
    begun = time.process_time()
    alone = [spinode.fit(trace, seed=options.seed, **SETTINGS) for trace in traces[: options.alone]]
    loop = (time.process_time() - begun) / options.alone
    loop_scores = [spinode.evaluate(each, other).nrmse for each, other in zip(alone, others, strict=False)]
    line = {
        "devices": options.devices,
        "samples": options.samples,
        "fitted": len(fleet.surrogates),
        "seconds_of_a_device": {"fit_many": side_by_side, "loop": loop},
        "ratio": loop / side_by_side,
        "nrmse_median": {"fit_many": float(np.median(scores)), "loop": float(np.median(loop_scores))},
        "nrmse_95": {"fit_many": float(np.quantile(scores, 0.95)), "loop": float(np.quantile(loop_scores, 0.95))},
        "machine": machine(),
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
