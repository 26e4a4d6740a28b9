"""Cost of a step of equilibrium propagation, compared with its matrix products alone, as JSON lines.

    python benchmarks/rules.py [--hidden 512 4096] [--batch 64] [--rounds 7] [--quick]

A step: 50 free and 10 nudged steps of a network 784-hidden-10 (20 and 10 with --quick), gradients, and the update of all
weights, real (gradient descent) or binary (averages, flips, scales). Its products: the input times the first weights, once; for
each step of a phase the hidden layer times the second weights, and the output times these; for the gradient, one product with
the input and two with the hidden layer. They are computed with the same function of torch, into buffers.

Protocol. One process on one core; in each round both run, one after the other, so that a disturbance affects both; process CPU
time, medians with quartiles, ratios round by round. The goal is a ratio below 2.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

import torch
from _measure import emit, machine, pin, spread, timed

from spinode.datasets import TaskSequence, made_digits
from spinode.training import EquilibriumPropagation

FEATURES, CLASSES = 784, 10


def products(hidden: int, batch: int, steps: int) -> Callable[[], None]:
    """Return a function that computes the matrix products of a training step."""
    source = torch.Generator().manual_seed(0)
    x, h, y = (torch.rand(batch, units, generator=source) for units in (FEATURES, hidden, CLASSES))
    first, second = torch.rand(hidden, FEATURES, generator=source), torch.rand(CLASSES, hidden, generator=source)
    out_h, out_y, grad_first, grad_second = (torch.empty_like(each) for each in (h, y, first, second))

    def run() -> None:
        torch.mm(x, first.t(), out=out_h)
        for _ in range(steps):
            torch.mm(h, second.t(), out=out_y)
            torch.mm(y, second, out=out_h)
        torch.mm(h.t(), x, out=grad_first)
        torch.mm(y.t(), h, out=grad_second)
        torch.mm(y.t(), h, out=grad_second)

    return run


def equilibrium(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    stream = TaskSequence([made_digits(train=max(options.batch, 20), test=10)])
    inputs, labels = stream[0].inputs[: options.batch], stream[0].labels[: options.batch]
    free = 20 if options.quick else 50
    for hidden in options.hidden:
        alone = products(hidden, options.batch, free + 10)
        for weights in ("real", "binary"):
            learner = EquilibriumPropagation(stream, hidden=[hidden], weights=weights, free_steps=free, nudged_steps=10)

            def step(learner: EquilibriumPropagation = learner) -> None:
                learner.learn(inputs, labels, len(labels))

            times: dict[str, list[float]] = {"step": [], "products": []}
            for work in (step, alone):
                work()
            for _ in range(options.rounds):
                for name, work in (("step", step), ("products", alone)):
                    times[name].append(timed(work, 0, min_calls=1)[0][0])
            ratios = [step / product for step, product in zip(times["step"], times["products"], strict=True)]
            yield {
                "part": "equilibrium propagation", "hidden": hidden, "batch": options.batch, "weights": weights,
                "free_steps": free, "nudged_steps": 10, **{f"{name} [s]": spread(values) for name, values in times.items()},
                "ratio": spread(ratios), "goal": 2.0,
            }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, nargs="+", default=[512, 4096])
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    emit(part="machine", cores_used=pin(1), **machine())
    for line in equilibrium(options):
        emit(**line)


if __name__ == "__main__":
    main()
