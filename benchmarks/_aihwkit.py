"""A training step of IBM's aihwkit, timed by a Python that has it: our own environment holds a torch that it cannot load.

    python benchmarks/synapses.py --only aihwkit --aihwkit /path/to/other/python

That Python runs this file as a script. What worked with CPython 3.11, in a venv of its own:
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
    """A training step of 784-512-10 in aihwkit's CPU simulator beside the float network of `step-time`, on one thread.

    Batch 1000 of random images, no bias in the weights, batch normalisation and hard tanh, as our networks. Devices are the
    preset ReRamSB (soft bounds, Gong et al. 2018); inputs and outputs without converters or noise, which ours have not either.
    "pulsed" is AnalogSGD at a rate of 0.01 and the update of a crossbar: for every image, stochastic trains of up to 31 pulses
    (aihwkit shortens them where gradients are small) on rows and columns, which meet in the devices. Ours is another algorithm:
    it adds up the gradients of the batch in digital and then programs every device once. "mixed precision" of aihwkit comes
    nearer to this: gradients add up in digital, and pulses go out, row by row, where a device's sum passes a threshold. The
    weights differ as well: real numbers of one device each here, signs of pairs in `step-time`. So a ratio of the two says
    what a step costs a user, not whose code is better.

    Steps in turn, the first two not counted, processor time of the process. The ratio is the median over rounds of a step by
    the float step of the same round, in that Python's own torch.
    """
    if python is None:
        yield {**LINE, "skipped": "not measured: no --aihwkit PYTHON was given, the Python that has aihwkit"}
        return
    environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
    command = [str(python), str(Path(__file__).resolve()), str(repetitions)]
    try:
        run = subprocess.run(command, env=environment, capture_output=True, text=True)
    except OSError as error:
        yield {**LINE, "error": f"{python}: {error.strerror}"}
        return
    if run.returncode:
        said = run.stderr.strip().splitlines() or [f"it ended with code {run.returncode}"]
        yield {**LINE, "error": f"{python}: {said[-1]}"}
        return
    yield from map(json.loads, run.stdout.splitlines())


def main(repetitions: int) -> None:
    """Print the lines; in the other Python."""
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
    plain = times.pop("float")
    for update, values in times.items():
        ratios = [value / base for value, base in zip(values, plain, strict=True)]
        emit(**shared, update=update, cpu=spread(values), **{"float step": spread(plain), "ratio_to_float": spread(ratios)})


def _step(kind: str) -> Callable[[], None]:
    """One training step on the next batch, of a network of its own."""
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
    """A layer without bias, in floating point or on devices."""
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
