"""Cost of online learning and of the metaplastic step of Adam, compiled and in plain torch, as JSON lines.

    python benchmarks/online.py [--only learn noise adam] [--rounds 5] [--steps 4000] [--plain-steps 40] [--quick]

learn: microseconds per step of `spinode.training.online.run_online`, noise included, for each rule at the sizes of the
published protocol (784-50-10; BiMU 784-100-10), float32, batch size 1. noise: the normal numbers of such a step, 10 x 60, drawn
by torch's generator, by ours compiled, and by ours in plain torch. adam: nanoseconds per weight of `metaplastic_update` with
m = 1.35 and a binary copy, compared with our plain one and torch's fused Adam, which does less.

Protocol. One process on one core; in each of `--rounds` rounds every implementation runs once, one after the other, so that a
disturbance affects all; process CPU time, medians with quartiles, ratios round by round. `deviation` is the largest difference
of the losses (weights, for adam) from those of plain torch over `--plain-steps` steps from the same state, relative to the
largest magnitude. Inputs are normal, labels uniform, weights initialised as in the MESU paper.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import torch
from _measure import emit, machine, native, pin, spread, timed
from torch import Tensor

from spinode import kernels
from spinode.random import counter_normals
from spinode.training.online import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineRule, OnlineSGD, run_online
from spinode.training.rules.metaplastic_update import metaplastic_update

FEATURES, CLASSES = 784, 10

RULES: dict[str, OnlineRule] = {
    "SGD": OnlineSGD(0.002),
    "EWC or SI": OnlineSGD(0.002, penalty=2.0),
    "EWC stream": OnlineSGD(0.002, penalty=5.0, stream_decay=0.2),
    "MESU": OnlineMESU(),
    "MESU with clamp": OnlineMESU(clamp=0.1),
    "BGD": OnlineBGD(),
    "BiMU": OnlineBiMU(),
}


def initial_state(rule: OnlineRule, hidden: int) -> dict[str, Tensor]:
    generator, state = torch.Generator().manual_seed(0), {}
    for layer, (rows, columns) in enumerate(((hidden, FEATURES), (CLASSES, hidden))):
        width = 4 / columns**0.5
        weight = width * (2 * torch.rand(rows, columns, generator=generator) - 1)
        for name in rule.arrays:
            zero = name in ("sigma", "importance")
            state[f"{name}{layer}"] = torch.full_like(weight, 0.5 * width) if name == "sigma" else weight.clone() * (not zero)
    return state


def learn(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(options.steps, FEATURES, generator=generator)
    labels = torch.randint(CLASSES, (options.steps,), generator=generator)
    for name, rule in RULES.items():
        hidden = 100 if name == "BiMU" else 50

        def run(mode: str, steps: int, rule: OnlineRule = rule, hidden: int = hidden) -> Tensor:
            state = initial_state(rule, hidden)
            with kernels.use(mode):
                return run_online(rule, state, inputs[:steps], labels[:steps], generator=torch.Generator().manual_seed(2))

        line = {"part": "learn", "rule": name, "hidden": hidden, "samples": rule.draws}
        yield line | time_all(
            {
                "native": (lambda run=run: run("native", options.steps), options.steps),
                "plain": (lambda run=run: run("torch", options.plain_steps), options.plain_steps),
            },
            options.rounds, 1e6, "us_per_step",
        ) | {"deviation": deviation(run("native", options.plain_steps), run("torch", options.plain_steps))}  # fmt: skip


def noise(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    from spinode.kernels.online import normals as compiled

    steps, count, generator = 500, 600, torch.Generator().manual_seed(0)
    implementations = {
        "native": (lambda: compiled(1, 0, steps, count), steps),
        "plain": (lambda: counter_normals(1, 0, steps, count), steps),
        "torch.randn": (lambda: torch.randn(steps, count, generator=generator), steps),
    }
    agreement = {"deviation": deviation(compiled(1, 0, steps, count), counter_normals(1, 0, steps, count))}
    yield {"part": "noise", "numbers": count, **time_all(implementations, options.rounds, 1e6, "us_per_step"), **agreement}


def adam(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    for size in options.adam_sizes:
        gradient = torch.randn(size, size, generator=torch.Generator().manual_seed(0))
        fused = torch.nn.Parameter(torch.zeros(size, size))
        fused.grad = gradient
        implementations: dict[str, Callable[[], Any]] = {
            "native": Steps("native", gradient),
            "plain": Steps("torch", gradient),
            "torch fused": torch.optim.Adam([fused], lr=0.005, fused=True).step,
        }
        line = time_all(
            {name: (work, size * size) for name, work in implementations.items()}, options.rounds, 1e9, "ns_per_weight"
        )
        agreement = {"deviation": deviation(Steps("native", gradient)(5), Steps("torch", gradient)(5))}
        yield {"part": "adam", "weights": size * size, **line, **agreement}


class Steps:
    """Metaplastic steps on weights initialised as in the networks of the paper."""

    def __init__(self, mode: str, gradient: Tensor) -> None:
        self.mode, self.gradient, self.step = mode, gradient, 0
        self.weight = 0.1 * torch.rand(gradient.shape, generator=torch.Generator().manual_seed(1)) - 0.05
        self.average, self.square, self.binary = (torch.zeros_like(gradient) for _ in range(3))

    def __call__(self, steps: int = 1) -> Tensor:
        """Take steps and return the weights."""
        with kernels.use(self.mode):
            for _ in range(steps):
                self.step += 1
                metaplastic_update(
                    self.weight, self.gradient, self.average, self.square,
                    step=self.step, rate=0.005, m=1.35, quantised=self.binary,
                )  # fmt: skip
        return self.weight


def time_all(implementations: dict[str, tuple[Callable[[], Any], int]], rounds: int, scale: float, unit: str) -> dict[str, Any]:
    """Return the time per step or weight of all implementations, timed in turn, and their ratios to "native"."""
    times: dict[str, list[float]] = {name: [] for name in implementations}
    for turn in range(rounds + 1):
        for name, (work, count) in implementations.items():
            cpu = timed(work, 0.0)[0][0]
            if turn:  # the first round warms up
                times[name].append(cpu / count * scale)
    ratios = {
        f"{name} / native": spread(other / ours for other, ours in zip(values, times["native"], strict=True))
        for name, values in times.items()
        if name != "native"
    }
    return {unit: {name: spread(values) for name, values in times.items()}, "ratio": ratios}


def deviation(ours: Tensor, reference: Tensor) -> float:
    return float((ours - reference).abs().max() / reference.abs().max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[argparse.Namespace], Iterator[dict[str, Any]]]] = {"learn": learn, "noise": noise, "adam": adam}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--plain-steps", type=int, default=40)
    parser.add_argument("--adam-sizes", type=int, nargs="+", default=[512, 2048], help="rows and columns of the weights")
    parser.add_argument("--quick", action="store_true", help="few steps, which test that everything runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.steps, options.plain_steps, options.adam_sizes = 2, 50, 5, [64, 256]
    emit(machine=machine(), cores=pin(1))
    if not native():
        emit(skipped="no compiled kernels are available here to compare with")
        return
    for part in options.only:
        for line in parts[part](options):
            emit(**line)


if __name__ == "__main__":
    main()
