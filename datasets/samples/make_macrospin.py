"""Write the two macrospin samples: `python -m spinode.datasets.samples.make_macrospin FOLDER`, about ten seconds.

The device: a CoFeB film of 1 nm on a disc of 50 nm, Ms = 1 MA/m, alpha = 0.05, at T = 0. At rest Ku = 690 kJ/m3, of
which 628 kJ/m3 compensate the shape anisotropy (demag = (0, 0, 1)), so that the easy axis is perpendicular to the plane with
H_k = 98 kA/m. A field of 120 kA/m, 20 degrees out of the plane, tilts the magnetisation to mz = 0.70; about this direction it
rings at 4.5 GHz.

The drive is Ku, as a voltage would set it (as on a skyrmion in Chen et al., Nat. Commun. 13, 1016 (2022),
doi:10.1038/s41467-022-28571-7): in `macrospin.csv` a sine of 2.5 GHz with a new amplitude of 0 .. 40 kJ/m3 each period,
in `macrospin_held.csv` steps of 200 ps, uniform in -24 .. 24 kJ/m3 about the value at rest. Under the steps the device stays,
for 98 % of the time, in the domain (convex hull) of mz, dmz/dt and Ku that it visits under the sine.

Only mz is recorded. With mx > 0 throughout, mz and dmz/dt fix the direction, so they and Ku are a complete state: a
polynomial of degree 5 in the three leaves 4e-4 of the variance of d2mz/dt2 unexplained, a linear function 0.2 of it. mz and Ku
alone do not determine dmz/dt: a surrogate without memory (k = 1) must fail here.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...traces.trace import Trace
from ..macrospin.macrospin import Macrospin

KU_AT_REST = 6.9e5  # [J/m3]; the drives vary about it
FIELD = (1.2e5 * math.cos(math.radians(20)), 0.0, 1.2e5 * math.sin(math.radians(20)))  # [A/m]
DEVICE = Macrospin(Ms=1e6, Ku=KU_AT_REST, alpha=0.05, demag=(0.0, 0.0, 1.0))
INTERVAL = 10e-12  # time between two samples of the files [s]
STEPS_PER_SAMPLE = 5  # of the simulation: the sine is linear over a step, not over a sample
PERIOD, AMPLITUDE = 40, 4e4  # period [samples] and largest amplitude [J/m3] of the sine
HOLD, STEP = 20, 2.4e4  # duration [samples] and largest deviation [J/m3] of the steps


def random_sine(samples: int, seed: int = 0) -> Tensor:
    """Return Ku [J/m3], shape (samples,): KU_AT_REST + A_n sin(2 pi t / period), A_n uniform in 0 .. AMPLITUDE for period n."""
    generator = torch.Generator().manual_seed(seed)
    length = PERIOD * STEPS_PER_SAMPLE
    amplitude = AMPLITUDE * torch.rand(math.ceil(samples / length), 1, generator=generator, dtype=torch.float64)
    phase = 2 * math.pi * torch.arange(length, dtype=torch.float64) / length
    return KU_AT_REST + (amplitude * torch.sin(phase)).reshape(-1)[:samples]


def random_steps(samples: int, seed: int = 1) -> Tensor:
    """Return Ku [J/m3], shape (samples,): KU_AT_REST + S_n, S_n uniform in -STEP .. STEP for the n-th step."""
    generator = torch.Generator().manual_seed(seed)
    length = HOLD * STEPS_PER_SAMPLE
    level = 2 * torch.rand(math.ceil(samples / length), generator=generator, dtype=torch.float64) - 1
    return KU_AT_REST + STEP * level.repeat_interleave(length)[:samples]


def resting_state() -> Tensor:
    """Return the direction of the magnetisation at Ku = KU_AT_REST, from a strongly damped run; shape (3,)."""
    damped = replace(DEVICE, alpha=1.0)
    return damped.simulate([0.0, 5e-9], field=FIELD, m0=(1.0, 0.0, 1.0), max_step=5e-12)[-1]


def record(Ku: Tensor, interpolation: str) -> Trace:
    """Return the response of the device, from rest, to a drive sampled every INTERVAL / STEPS_PER_SAMPLE [s].

    The trace has a sample every INTERVAL [s].
    """
    time = torch.arange(len(Ku), dtype=torch.float64) * (INTERVAL / STEPS_PER_SAMPLE)
    finely_sampled = DEVICE.trace(
        time,
        Ku=Ku,
        field=FIELD,
        m0=resting_state(),
        interpolation=interpolation,
        max_step=INTERVAL / STEPS_PER_SAMPLE,
        output=("mz",),
    )
    return replace(
        finely_sampled,
        # Not a slice of the fine times: k * 10 ps is printed in few digits, 5 k * 2 ps not always.
        time=np.arange(len(finely_sampled.time[::STEPS_PER_SAMPLE]), dtype=np.float64) * np.float64(INTERVAL),
        drive={"Ku": finely_sampled.drive["Ku"][::STEPS_PER_SAMPLE]},
        output={"mz": finely_sampled.output["mz"][::STEPS_PER_SAMPLE]},
    )


def sine_trace(samples: int = 5000) -> Trace:
    """Return the trace of `macrospin.csv`, or its first samples."""
    return record(random_sine((samples - 1) * STEPS_PER_SAMPLE + 1), "linear")


def held_trace(samples: int = 2000) -> Trace:
    """Return the trace of `macrospin_held.csv`, or its first samples."""
    return record(random_steps((samples - 1) * STEPS_PER_SAMPLE + 1), "held")


def write(trace: Trace, path: Path) -> None:
    """Write time, Ku and mz as delimited text, with nine significant digits."""
    table = np.stack([trace.time, trace.drive["Ku"], trace.output["mz"]], axis=1)
    np.savetxt(path, table, fmt="%.9g", delimiter=",", header="t (s),Ku (J/m3),mz ()", comments="", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write both files into the folder named on the command line."""
    parser = argparse.ArgumentParser(description="Write the macrospin samples that the package ships.")
    parser.add_argument("folder", type=Path, help="folder for macrospin.csv and macrospin_held.csv")
    folder: Path = parser.parse_args(arguments).folder
    write(sine_trace(), folder / "macrospin.csv")
    write(held_trace(), folder / "macrospin_held.csv")


if __name__ == "__main__":
    main()
