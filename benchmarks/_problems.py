"""The workloads of rollout.py: their fields, data and float64 reference results."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray

#: Length of a step.
DT = 0.1


@dataclass(frozen=True)
class Problem:
    """One workload: its field, data and float64 reference results. All its numbers are exact in float32.

    Attributes:
        name: "A", "B", "C", "D forward" or "D forward+backward".
        layers: (weight, bias) of each layer, shapes (outputs, inputs) and (outputs,).
        state: Initial states, shape (batch, state).
        drive: Drive samples, each held for a step, shape (batch, steps, drive).
        targets: Targets of C, shape (batch, steps + 1, state).
        output_gradient: Gradient with respect to the new states of D, shape (batch, state).
        expected: Float64 results by name.
    """

    name: str
    layers: list[tuple[Array, Array]]
    state: Array
    drive: Array
    targets: Array | None = None
    output_gradient: Array | None = None
    expected: dict[str, Array] | None = None

    @property
    def sizes(self) -> list[int]:
        """Return inputs, hidden widths and outputs of the field."""
        return [self.layers[0][0].shape[1], *(len(bias) for _, bias in self.layers)]

    @property
    def units(self) -> float:
        """Return the number of units of work of one call."""
        batch, steps = self.drive.shape[:2]
        return float({"A": steps, "B": batch * steps}.get(self.name, 1))


def restoring_field(random: np.random.Generator, sizes: tuple[int, ...], states: int) -> list[tuple[Array, Array]]:
    """Return weights of an MLP with a restoring force: hidden unit i sees state i only, and drives it back through output i."""
    layers = []
    for index, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        last = index == len(sizes) - 2
        weight = random.normal(size=(outputs, inputs)) * (0.3 if last else 0.6) / inputs**0.5
        bias = random.normal(size=outputs) * (0.05 if last else 0.2)
        for i in range(states):
            if not last:
                weight[i], bias[i] = 0.0, 0.0
            weight[i, i] = -2.0 if last else 1.0 if index else 0.5
        layers.append((_float32(weight), _float32(bias)))
    return layers


def _float32(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def make_problem(name: str, steps: int, batch: int, seed: int = 0) -> Problem:
    """Return a workload of this size, with its float64 results."""
    random = np.random.default_rng(seed)
    states, drives, hidden = (1, 2, 16) if name.startswith("D") else (3, 1, 50)
    layers = restoring_field(random, (states + drives, hidden, hidden, states), states)
    problem = Problem(
        name=name,
        layers=layers,
        state=_float32(random.uniform(-1, 1, (batch, states))),
        drive=_float32(random.uniform(-1, 1, (batch, steps, drives))),
        targets=_float32(random.uniform(-1, 1, (batch, steps + 1, states))) if name == "C" else None,
        output_gradient=_float32(random.uniform(0.5, 1.5, (batch, states)) / batch) if name == "D forward+backward" else None,
    )
    return replace(problem, expected=reference_results(problem))


def long_problem(steps: int) -> Problem:
    """Return one device over many steps, without reference results."""
    random = np.random.default_rng(0)
    layers = restoring_field(random, (4, 50, 50, 3), 3)
    return Problem("A", layers, random.uniform(-1, 1, (1, 3)), random.uniform(-1, 1, (1, steps, 1)))


def reference_results(problem: Problem) -> dict[str, Array]:
    """Compute the states, and for C and D the loss and gradients, in float64 by a loop that is not one of the measured ones."""
    layers = [[torch.tensor(value, requires_grad=True) for value in layer] for layer in problem.layers]
    weights = [value for layer in layers for value in layer]

    def rate(x: Tensor, u: Tensor) -> Tensor:
        z = torch.cat([x, u], -1)
        for weight, bias in layers[:-1]:
            z = torch.tanh(z @ weight.T + bias)
        return z @ layers[-1][0].T + layers[-1][1]

    def run(x: Tensor, drive: Tensor) -> Tensor:
        states = [x]
        for u in drive.unbind(1):
            k1 = rate(x, u)
            if problem.name.startswith("D"):
                x = x + DT * k1
            else:
                k2 = rate(x + DT / 2 * k1, u)
                k3 = rate(x + DT / 2 * k2, u)
                k4 = rate(x + DT * k3, u)
                x = x + DT / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            states.append(x)
        return torch.stack(states, 1)

    state, drive = torch.tensor(problem.state), torch.tensor(problem.drive)
    if problem.targets is not None:
        states = run(state, drive)
        loss = torch.mean((states - torch.tensor(problem.targets)) ** 2)
        loss.backward()
        return {
            "loss": loss.detach().numpy(),
            "gradient": np.concatenate([value.grad.numpy().ravel() for value in weights]),
        }
    if problem.output_gradient is None:
        with torch.no_grad():
            return {"states": run(state, drive).numpy()}
    state_gradients, new_states = [], []
    chunks = (values.split(50_000) for values in (state, drive, torch.tensor(problem.output_gradient)))
    for x, u, output_gradient in zip(*chunks, strict=True):
        x.requires_grad_()
        states = run(x, u)
        states[:, -1].backward(output_gradient)
        new_states.append(states.detach().numpy())
        state_gradients.append(x.grad.numpy())
    return {
        "states": np.concatenate(new_states),
        "gradient": np.concatenate([value.grad.numpy().ravel() for value in weights]),
        "state gradient": np.concatenate(state_gradients),
    }


def describe(problem: Problem) -> dict[str, float]:
    """Return the largest pre-activation, and the ratio of the distances of two runs after and before up to 100 steps.

    Raises:
        ValueError: A pre-activation is 2 or more; the short formulas for tanh would no longer be tested there.
    """
    x, drive = problem.state[:10_000], problem.drive[:10_000, :100]
    largest, other = 0.0, -x
    before = np.abs(x - other).max()

    def rate(x: Array, u: Array) -> Array:
        nonlocal largest
        z = np.concatenate([x, u], -1)
        for weight, bias in problem.layers[:-1]:
            z = z @ weight.T + bias
            largest = max(largest, float(np.abs(z).max()))
            z = np.tanh(z)
        return np.asarray(z @ problem.layers[-1][0].T + problem.layers[-1][1])

    for index in range(drive.shape[1]):
        u = drive[:, index]
        x, other = x + DT * rate(x, u), other + DT * rate(other, u)
    if largest >= 2:
        raise ValueError(f"the largest pre-activation of {problem.name} is {largest:.3g}; expected less than 2")
    return {"largest_pre_activation": largest, "two_runs_approach": float(np.abs(x - other).max() / before)}
