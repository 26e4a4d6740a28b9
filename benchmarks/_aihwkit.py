"""A training step of IBM's aihwkit, timed by another Python: aihwkit cannot load the torch of this package's environment.

    python benchmarks/synapses.py --only aihwkit --aihwkit /path/to/other/python

That Python runs this file as a script. Installed with CPython 3.11 in a separate virtual environment by
`pip install torch==2.10.0 aihwkit==1.1.0`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from _measure import THREAD_VARIABLES, emit, installed, spread, timed

SIZES = (784, 512, 10)
BATCH = 1000
WARM_UP = 2
LINE = {"part": "speed", "work": "aihwkit training step"}


def aihwkit_step(python: Path | None, repetitions: int = 15) -> Iterator[dict[str, Any]]:
    """Time a training step of 784-512-10 in aihwkit's CPU simulator and of the float network of `step-time`, on one thread.

    Batch 1000 of random images, no bias in the weights, batch normalisation and hard tanh, as in our networks. Devices are the
    preset ReRamSB (soft bounds, Gong et al. 2018); inputs and outputs are without converters or noise, as ours. "pulsed" is
    AnalogSGD at a rate of 0.01 and the update of a crossbar: for every image, stochastic trains of up to 31 pulses (aihwkit
    shortens them where gradients are small) on rows and columns, which meet in the devices. Our algorithm is a different one:
    it sums the gradients of the batch digitally and then programs every device once. "mixed precision" of aihwkit is closer to
    it: gradients are summed digitally, and a device gets a pulse, row by row, when its sum passes a threshold. The weights
    differ as well: real numbers of one device each here, signs of pairs in `step-time`. So the ratio of the two is the cost of
    a step to a user, and does not compare the quality of the code.

    The networks step in turn, and the first two steps are not counted; processor time of the process. The ratio is the median
    over rounds of a step to the float step of the same round, in the torch of that Python.
    """
    if python is None:
        yield {**LINE, "skipped": "not measured: pass --aihwkit PYTHON, a Python that has aihwkit"}
        return
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [str(python), str(Path(__file__).resolve()), str(repetitions)]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError as error:
        yield {**LINE, "error": f"{python}: {error.strerror}"}
        return
    if run.returncode:
        messages = run.stderr.strip().splitlines() or [f"it ended with code {run.returncode}"]
        yield {**LINE, "error": f"{python}: {messages[-1]}"}
        return
    yield from map(json.loads, run.stdout.splitlines())


def main(repetitions: int) -> None:
    """Time the steps and print the lines; runs in the other Python."""
    import torch

    torch.set_num_threads(1)
    steps = {"float": _step("float"), "pulsed": _step("pulsed"), "mixed precision": _step("mixed precision")}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(WARM_UP + repetitions):
        for name, step in steps.items():
            cpu = timed(step, 0.0)[0][0]
            if turn >= WARM_UP:
                times[name].append(cpu)
    shared = {
        **LINE, "batch": BATCH, "threads": torch.get_num_threads(),
        "versions": {name: installed(name) for name in ("aihwkit", "torch", "numpy")},
    }  # fmt: skip
    float_times = times.pop("float")
    for update, values in times.items():
        ratios = [value / base for value, base in zip(values, float_times, strict=True)]
        emit(
            **shared, update=update, cpu=spread(values), **{"float step": spread(float_times), "ratio_to_float": spread(ratios)}
        )


def _step(kind: str) -> Callable[[], None]:
    """Return a function that takes one training step of a new network."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    first, second = (_linear(kind, inputs, outputs) for inputs, outputs in pairwise(SIZES))
    model = nn.Sequential(first, nn.BatchNorm1d(SIZES[1]), nn.Hardtanh(), second, nn.BatchNorm1d(SIZES[2]))
    optimizer: Any
    if kind == "float":
        optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    else:
        from aihwkit.optim import AnalogSGD

        optimizer = AnalogSGD(model.parameters(), lr=0.01)
        optimizer.regroup_param_groups(model)
    images, labels = torch.randn(10 * BATCH, SIZES[0]), torch.randint(SIZES[-1], (10 * BATCH,))

    def step() -> None:
        chosen = torch.randint(len(images), (BATCH,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
        optimizer.step()

    return step


def _linear(kind: str, inputs: int, outputs: int) -> Any:
    """Return a layer without bias, in floating point or on devices."""
    if kind == "float":
        from torch import nn

        return nn.Linear(inputs, outputs, bias=False)
    from aihwkit.nn import AnalogLinear
    from aihwkit.simulator.presets import MixedPrecisionReRamSBPreset, ReRamSBPreset

    config = (ReRamSBPreset if kind == "pulsed" else MixedPrecisionReRamSBPreset)()
    config.forward.is_perfect = config.backward.is_perfect = True
    return AnalogLinear(inputs, outputs, bias=False, rpu_config=config)


if __name__ == "__main__":
    main(int(sys.argv[1]))
