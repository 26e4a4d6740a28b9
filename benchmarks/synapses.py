"""Memory devices from their pulses to trained networks, as JSON lines: each surrogate compared with its device.

    python benchmarks/synapses.py [--only gong sandia ...] [--seeds 0 1 2 3 4] [--shared FOLDER]

The docstring of each part has its protocol; `--help` lists the parts. One core. Data in ../shared are of measured devices (Gong
et al. 2018; Sandia's CrossSim ramps) and not shipped; everything else is simulated from seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import _device_parts as devices
import _network_parts as networks
import torch
from _aihwkit import aihwkit_step
from _domain_wall import domain_wall
from _measure import emit
from _step_time import step_times

Rows = Iterator[dict[str, Any]]


def parts(chosen: argparse.Namespace) -> dict[str, Callable[[], Rows]]:
    """Return every part by name."""
    shared, seeds = chosen.shared, chosen.seeds
    epochs = {} if chosen.epochs is None else {"epochs": chosen.epochs}
    return {
        "gong": lambda: devices.gong(shared, seeds),
        "sandia": lambda: devices.sandia(shared, seeds),
        "sandia-all": lambda: devices.sandia_all(shared, seeds),
        "weak-reset": lambda: devices.weak_reset(seeds, 500),
        "weak-reset-50": lambda: devices.weak_reset(seeds, 50),
        "nili": lambda: devices.nili(seeds),
        "network": lambda: networks.weak_reset_networks(shared, seeds, chosen.synapse, chosen.ablation, **epochs),
        "mram": lambda: networks.mram(shared, seeds, **epochs),
        "domain-wall": lambda: domain_wall(shared, seeds, **epochs),
        "speed": lambda: chain(devices.speed(), step_times(shared)),
        "aihwkit": lambda: aihwkit_step(chosen.aihwkit),
    }


def main() -> None:
    """Print the lines of the requested parts."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--only", nargs="+", metavar="PART", help="parts to run (all)")
    options.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    options.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared")
    options.add_argument("--synapse", nargs="+", default=["physical", "surrogate"], choices=["physical", "surrogate"])
    options.add_argument("--ablation", nargs="+", default=list(networks.ABLATIONS), choices=list(networks.ABLATIONS))
    options.add_argument("--epochs", type=int, help="of the networks (20; 5 of those on domain walls)")
    options.add_argument("--aihwkit", type=Path, metavar="PYTHON", help="a Python that has aihwkit, to time its training step")
    chosen = options.parse_args()
    torch.set_num_threads(1)
    available = parts(chosen)
    unknown = [name for name in chosen.only or [] if name not in available]
    if unknown:
        options.error(f"there is no part {unknown[0]!r}; the parts are: {', '.join(available)}")
    for name in chosen.only or available:
        for row in available[name]():
            emit(**row)


if __name__ == "__main__":
    main()
