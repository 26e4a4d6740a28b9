"""Cost of a rollout against its size, as JSON lines: one quantity varies, the others stay at a common point.

    python benchmarks/scaling.py [--vary steps batch width ...] [--rounds 3] [--no-gradient] [--twin-seconds 3] [--quick]

Common point: 64 devices, 200 steps of Runge-Kutta 4 under a held drive, field MLP(4-50-50-3, tanh) with state 3, drive 1, no
linear path, float32, one thread. What varies:
  steps       10^2 .. 10^6, of one device
  batch       1 .. 10^5 devices, over fewer steps where they are many
  width       8 .. 256 units in both hidden layers
  depth       1 .. 4 hidden layers
  activation  tanh, silu, softplus, relu
  dtype       float32, float64
  method      rk4, heun, euler
  threads     1 and more (`--threads`), of 1024 devices

Protocol. One process; each point is called once, then timed for `--seconds` in each of `--rounds` rounds over the points that
belong together, so that a disturbance does not fall on one alone. Forward: under `torch.no_grad()`. Gradient: forward, then
backward of a given gradient in all states, to weights and initial states. The time is process CPU time per device and step,
with more than one thread wall time; medians with quartiles. Weights are those of a fresh `spinode.MLPField`, states and
drives uniform in -1 .. 1; memory is batch innermost.

Each line also has the loop in plain torch at the same point ("twin"): the time of one call, after a warm-up call where time
allows, and the largest deviation between the two relative to the largest magnitude. Where its estimated time exceeds
`--twin-seconds`, or its estimated memory 2 GB, it is left out. `GFLOPs` counts two operations for each weight of a
matrix and each evaluation of the field.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
from _measure import emit, machine, native, pin, spread, timed
from torch import Tensor

import spinode
from spinode import MLPField, rollout, zero_order_hold
from spinode.dynamics.field import ACTIVATIONS

STATE, DRIVE = 3, 1

#: Evaluations of the field in one step.
STAGES = {"rk4": 4, "heun": 2, "euler": 1}

#: Rough cost of the plain loop, by which slow points are left out: seconds per step, and per weight, device and evaluation; a
#: gradient takes three times as long.
LOOP_STEP, LOOP_WEIGHT = 1.5e-4, 3e-10


@dataclass(frozen=True)
class Point:
    """Size and settings of a rollout."""

    steps: int = 200
    batch: int = 64
    width: int = 50
    depth: int = 2
    activation: str = "tanh"
    dtype: str = "float32"
    method: str = "rk4"
    threads: int = 1

    @property
    def matrix_weights(self) -> int:
        """Return the number of multiplications of one evaluation of the field for one device."""
        return (STATE + DRIVE) * self.width + (self.depth - 1) * self.width**2 + self.width * STATE

    def loop_seconds(self, gradient: bool) -> float:
        """Estimate the time of the plain loop."""
        evaluations = self.steps * STAGES[self.method]
        seconds = self.steps * LOOP_STEP + evaluations * self.batch * self.matrix_weights * LOOP_WEIGHT
        return seconds * (3 if gradient else 1)

    def loop_bytes(self, gradient: bool) -> float:
        """Estimate the memory that the backward pass of the plain loop needs."""
        values = self.steps * STAGES[self.method] * self.batch * (2 * self.depth * self.width + 20)
        return values * (8 if self.dtype == "float64" else 4) if gradient else 0


def points(vary: str, threads: int) -> list[Point]:
    """Return the points at which one quantity varies."""
    base = Point()
    choices: dict[str, list[Any]] = {
        "width": [8, 16, 32, 64, 128, 256],
        "depth": [1, 2, 3, 4],
        "activation": list(ACTIVATIONS),
        "dtype": ["float32", "float64"],
        "method": list(STAGES),
    }
    if vary == "steps":
        return [replace(base, steps=10**power, batch=1) for power in range(2, 7)]
    if vary == "batch":
        batches = (1, 8, 64, 512, 4096, 32_768, 100_000)
        return [replace(base, batch=batch, steps=min(200, 2_000_000 // batch)) for batch in batches]
    if vary == "threads":
        return [replace(base, batch=1024, threads=count) for count in range(1, threads + 1)]
    return [replace(base, **{vary: value}) for value in choices[vary]]


class Case:
    """A point with its data, forward or with gradient."""

    def __init__(self, point: Point, gradient: bool) -> None:
        self.point, self.gradient = point, gradient
        dtype = getattr(torch, point.dtype)
        generator = torch.Generator().manual_seed(0)
        hidden = (point.width,) * point.depth
        self.field = MLPField(
            STATE, DRIVE, STATE, hidden=hidden, activation=point.activation, skip=False, generator=generator
        ).to(dtype)

        def uniform(*shape: int) -> Tensor:
            return (torch.rand(*shape, generator=generator, dtype=torch.float64) * 2 - 1).to(dtype)

        # Memory (..., values, batch), seen as (batch, ..., values).
        self.state = uniform(STATE, point.batch).movedim(-1, 0).requires_grad_(gradient)
        self.stages = zero_order_hold(uniform(point.steps, DRIVE, point.batch).movedim(-1, 0))
        self.output_gradient = uniform(point.steps + 1, STATE, point.batch).movedim(-1, 0) if gradient else None

    def call(self) -> list[Tensor]:
        """Return the states, or states and gradients."""
        if not self.gradient:
            with torch.no_grad():
                return [rollout(self.field, self.state, self.stages, method=self.point.method, dt=0.1)]
        states = rollout(self.field, self.state, self.stages, method=self.point.method, dt=0.1)
        inputs = [self.state, *self.field.parameters()]
        return [states.detach(), *torch.autograd.grad(states, inputs, self.output_gradient)]

    def measure(self, seconds: float) -> list[float]:
        """Return the seconds per device and step of each call."""
        point = self.point
        torch.set_num_threads(point.threads)
        calls = timed(self.call, seconds)
        torch.set_num_threads(1)
        return [(wall if point.threads > 1 else cpu) / (point.steps * point.batch) for cpu, wall in calls]

    def twin(self, max_seconds: float) -> dict[str, Any]:
        """Time the plain loop at this point and compare its results."""
        if not native():
            return {"twin": "the same: no compiled kernels are available here"}
        if self.point.loop_seconds(self.gradient) > max_seconds or self.point.loop_bytes(self.gradient) > 2e9:
            return {"twin": "left out: too slow or too large"}
        torch.set_num_threads(self.point.threads)
        ours = self.call()
        with spinode.kernels.use("torch"):
            if self.point.loop_seconds(self.gradient) < max_seconds / 2:
                self.call()  # the first call includes initialisation of torch
            cpu, wall = time.process_time(), time.perf_counter()
            twin = self.call()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
        torch.set_num_threads(1)
        seconds = (wall if self.point.threads > 1 else cpu) / (self.point.steps * self.point.batch)
        return {"twin_ns": seconds * 1e9, "deviation": max(map(_deviation, ours, twin))}


def _deviation(ours: Tensor, twin: Tensor) -> float:
    deviation = float((ours - twin).abs().max() / twin.abs().max().clamp_min(1e-30))
    return deviation if math.isfinite(deviation) else float("inf")


def run(cases: list[Case], vary: str, options: argparse.Namespace) -> None:
    """Time all cases in rounds and print a line for each."""
    seconds: list[list[float]] = [[] for _ in cases]
    for number in range(options.rounds + 1):
        for case, values in zip(cases, seconds, strict=True):
            times = case.measure(0.0 if number == 0 else options.seconds)
            if number:
                values += times
    for case, values in zip(cases, seconds, strict=True):
        point = case.point
        ns = spread(value * 1e9 for value in values)
        median = ns.pop("median")
        line = {"vary": vary, "what": "gradient" if case.gradient else "forward", **asdict(point), "ns_per_device_step": median}
        line |= {**ns, "us_per_step": median * point.batch / 1e3, "time": "wall" if point.threads > 1 else "cpu"}
        if not case.gradient:
            line["GFLOPs"] = 2 * STAGES[point.method] * point.matrix_weights / median
        twin = case.twin(options.twin_seconds)
        ratio = {"ratio": "twin / spinode", "value": twin["twin_ns"] / median} if "twin_ns" in twin else {}
        emit(**line, **twin, **ratio)


def main() -> None:
    """Print the lines of the chosen quantities."""
    names = ["steps", "batch", "width", "depth", "activation", "dtype", "method", "threads"]
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vary", nargs="+", default=names, choices=names)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--seconds", type=float, default=0.1, help="length of a turn (at least one call)")
    options.add_argument("--threads", type=int, default=2, help="maximum number of threads")
    options.add_argument("--twin-seconds", type=float, default=3.0, help="maximum time of a call of the plain loop")
    options.add_argument("--no-gradient", action="store_true", help="forward only")
    options.add_argument(
        "--quick", action="store_true", help="two points of each and few steps, which test that everything runs and agrees"
    )
    chosen = options.parse_args()
    if chosen.quick:
        chosen.rounds, chosen.seconds, chosen.twin_seconds = 1, 0.0, 0.2
    cores = pin(chosen.threads if "threads" in chosen.vary else 1)
    torch.set_num_threads(1)
    emit(**machine(), pinned_to=cores)
    for gradient in (False,) if chosen.no_gradient else (False, True):
        for vary in chosen.vary:
            chosen_points = points(vary, chosen.threads)
            if chosen.quick:
                chosen_points = [replace(point, steps=10 if vary != "steps" else point.steps) for point in chosen_points[:2]]
            run([Case(point, gradient) for point in chosen_points], vary, chosen)


if __name__ == "__main__":
    main()
