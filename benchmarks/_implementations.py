"""The libraries that rollout.py measures, by name, and the workloads in each torch library."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from _implementation import CHUNKS, Implementation
from _jax_implementations import Diffrax, Jax
from _problems import DT, Array, Problem
from torch import Tensor, nn


class TorchImplementation(Implementation):
    """Base class of the torch implementations, which differ in the module and in `run`."""

    name = ""
    module: nn.Module

    def build(self, problem: Problem) -> nn.Module:
        """Return the field as a chain of linear layers."""
        parts: list[nn.Module] = []
        for weight, bias in problem.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            _copy_weights(linear, weight, bias)
            parts += [linear, nn.Tanh()]
        return nn.Sequential(*parts[:-1])

    def run(self, state: Tensor, drive: Any) -> Tensor:
        """Return the states, shape (batch, steps + 1, state)."""
        raise NotImplementedError

    def tensor(self, values: Array) -> Tensor:
        """Return the values batch-major, which suits PyTorch's own layers."""
        return torch.tensor(values, dtype=torch.float32).contiguous()

    def drives(self, values: Array) -> Any:
        """Return the drive as `run` takes it."""
        return self.tensor(values)

    def prepare(self, problem: Problem) -> None:
        """Build the module, split the data into chunks, and set `work`."""
        self.name, self.module = problem.name, self.build(problem)
        batch = len(problem.state)
        size = min(CHUNKS.get(IMPLEMENTATION_NAMES[type(self)], batch), batch) if problem.name.startswith("D") else batch
        parts = [slice(first, first + size) for first in range(0, batch, size)]
        self.chunks = [(self.tensor(problem.state[part]), self.drives(problem.drive[part])) for part in parts]
        if problem.name == "C":
            self.targets = self.tensor(problem.targets)
            self.adam = torch.optim.Adam(self.module.parameters(), lr=1e-3, fused=True)
            self.work = self.train
        elif problem.name == "D forward+backward":
            self.output_gradients = [self.tensor(problem.output_gradient[part]) for part in parts]
            for state, _ in self.chunks:
                state.requires_grad_()
            self.work = self.step_and_backward
        else:
            self.module.requires_grad_(False)
            self.work = self.free_run

    def free_run(self) -> list[Tensor]:
        """Run A, B or D forward."""
        with torch.no_grad():
            return [self.run(state, drive) for state, drive in self.chunks]

    def loss(self) -> Tensor:
        """Return the mean squared error of all samples of C."""
        return nn.functional.mse_loss(self.run(*self.chunks[0]), self.targets)

    def train(self) -> None:
        """Run one iteration of C."""
        self.adam.zero_grad()
        self.loss().backward()
        self.adam.step()

    def step_and_backward(self) -> list[Tensor]:
        """Run a step of D with its gradients."""
        self.module.zero_grad()
        new_states = []
        for (state, drive), output_gradient in zip(self.chunks, self.output_gradients, strict=True):
            state.grad = None
            new_state = self.last(self.run(state, drive))
            new_state.backward(output_gradient)
            new_states.append(new_state.detach())
        return new_states

    def last(self, states: Tensor) -> Tensor:
        """Return the state at the end of a run."""
        return states[:, -1]

    def results(self) -> dict[str, Array]:
        """Return the results of one call, before any optimiser step."""
        if self.name == "C":
            loss = self.loss()
            loss.backward()
            return {"loss": loss.detach().numpy(), "gradient": self.weight_gradient()}
        if self.name == "D forward+backward":
            new = torch.cat(self.step_and_backward())
            initial = torch.cat([state.detach() for state, _ in self.chunks])
            state_gradient = torch.cat([state.grad for state, _ in self.chunks])
            return {
                "states": torch.stack([initial, new], 1).numpy(),
                "gradient": self.weight_gradient(),
                "state gradient": state_gradient.numpy(),
            }
        runs = torch.cat([states.reshape(-1, *states.shape[-2:]) for states in self.free_run()])
        if self.name == "D forward" and runs.shape[1] == 1:  # without the initial states
            runs = torch.cat([torch.cat([state.detach() for state, _ in self.chunks])[:, None], runs], 1)
        return {"states": runs.numpy()}

    def weight_gradient(self) -> Array:
        """Return the gradients of all weights in the order of the layers."""
        linears = [module for module in self.module.modules() if isinstance(module, nn.Linear)]
        return np.concatenate([value.grad.numpy().ravel() for layer in linears for value in (layer.weight, layer.bias)])


def _copy_weights(linear: nn.Linear, weight: Array, bias: Array) -> None:
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        linear.bias.copy_(torch.tensor(bias))


class Spinode(TorchImplementation):
    """This package through its public API, with the batch innermost in memory."""

    def __init__(self) -> None:
        # Imported here, so that the processes of the others do not load it.
        import spinode

        self.spinode = spinode

    def build(self, problem: Problem) -> nn.Module:
        """Return the field of this package."""
        state, drive = problem.state.shape[-1], problem.drive.shape[-1]
        hidden = tuple(len(bias) for _, bias in problem.layers[:-1])
        field = self.spinode.MLPField(state, drive, state, hidden=hidden, skip=False).float()
        for linear, layer in zip([*field.layers, field.out], problem.layers, strict=True):
            _copy_weights(linear, *layer)
        return field

    def tensor(self, values: Array) -> Tensor:
        """Return the values in the same shape with the batch innermost in memory; without a batch for one device."""
        inner = torch.tensor(np.moveaxis(values, 0, -1).copy(), dtype=torch.float32)
        return inner.movedim(-1, 0) if len(values) > 1 else inner[..., 0]

    def drives(self, values: Array) -> Tensor:
        """Return a view of the samples, without a copy."""
        return self.spinode.zero_order_hold(self.tensor(values))

    def run(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the states of one call; of the single step of D only the new states."""
        if self.name.startswith("D"):
            return self.spinode.rollout(self.module, state, drive, method="euler", dt=DT, initial=False)
        return self.spinode.rollout(self.module, state, drive, dt=DT)

    def last(self, states: Tensor) -> Tensor:
        """Return a view, whose gradient has no zeros for the initial states."""
        return states.squeeze(1)


class TorchDiffEq(TorchImplementation):
    """`odeint` over the whole drive; every step of the solver is one sample."""

    def run(self, state: Tensor, drive: Tensor) -> Tensor:
        """Return the states of one call; the drive is looked up by time."""
        from torchdiffeq import odeint

        steps = drive.shape[1]
        samples = drive.unbind(1)

        def rate(t: Tensor, x: Tensor) -> Tensor:
            return self.module(torch.cat([x, samples[int(float(t) / DT)]], -1))

        # "perturb" evaluates the ends of a step just inside it, where the drive is still that of the step.
        options = {"perturb": True}
        times = torch.arange(steps + 1) * DT
        states = odeint(rate, state, times, method="euler" if self.name.startswith("D") else "rk4", options=options)
        return states.movedim(0, 1)


class TorchDiffEqInChunks(TorchDiffEq):
    """`odeint` for one chunk of devices after another."""

    workloads = "D"


class Eager(TorchImplementation):
    """A loop in plain torch."""

    def drives(self, values: Array) -> list[Tensor]:
        """Return one contiguous tensor per step."""
        return [self.tensor(values[:, index]) for index in range(values.shape[1])]

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """Take one Runge-Kutta or Euler step."""

        def rate(x: Tensor) -> Tensor:
            return self.module(torch.cat([x, u], -1))

        k1 = rate(x)
        if self.name.startswith("D"):
            return x + DT * k1
        k2 = rate(x + (DT / 2) * k1)
        k3 = rate(x + (DT / 2) * k2)
        k4 = rate(x + DT * k3)
        return x + (DT / 6) * (k1 + 2 * (k2 + k3) + k4)

    def run(self, state: Tensor, drive: list[Tensor]) -> Tensor:
        """Run the loop and return the states."""
        states = [state]
        for u in drive:
            states.append(self.step(states[-1], u))
        return torch.stack(states, 1)


class Product(nn.Module):
    """A linear layer as products and a sum, which is twice as fast as `nn.Linear` when compiled for one device."""

    def __init__(self, weight: Array, bias: Array) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.tensor(value, dtype=torch.float32)) for value in (weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        """Return W x + b."""
        return (self.weight * x.unsqueeze(-2)).sum(-1) + self.bias


class Compiled(Eager):
    """The same loop over a compiled step."""

    compiles = True

    def build(self, problem: Problem) -> nn.Module:
        """Return linear layers, written as products for one device."""
        if len(problem.state) > 1:
            return super().build(problem)
        parts = [part for layer in problem.layers for part in (Product(*layer), nn.Tanh())]
        return nn.Sequential(*parts[:-1])

    def prepare(self, problem: Problem) -> None:
        """Discard the compiled code of the previous workload; the first call compiles."""
        torch._dynamo.reset()
        self.step = torch.compile(super().step, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
        super().prepare(problem)


IMPLEMENTATIONS: dict[str, type[Implementation]] = {
    "spinode": Spinode,
    "torchdiffeq": TorchDiffEq,
    "torchdiffeq-chunks": TorchDiffEqInChunks,
    "eager": Eager,
    "compile": Compiled,
    "jax": Jax,
    "diffrax": Diffrax,
}
IMPLEMENTATION_NAMES = {kind: name for name, kind in IMPLEMENTATIONS.items()}

NEEDS = {"jax": ("jax", "optax"), "diffrax": ("jax", "diffrax", "optax")}
