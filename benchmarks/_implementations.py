"""The libraries that rollout.py measures: each workload written for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from _problems import DT, Array, Problem
from torch import Tensor, nn

#: Devices of D that are worked on at once.
CHUNKS = {"torchdiffeq-chunks": 20_000, "eager": 20_000, "compile": 8_000, "jax": 8_000}


class Implementation:
    """One way to compute a workload: `prepare` it, compare its `answers`, then time `work`."""

    workloads = "ABCD"
    compiles = False

    def prepare(self, problem: Problem) -> None:
        """Put the data where they belong and make `work`."""
        raise NotImplementedError

    def answers(self) -> dict[str, Array]:
        """Results to compare, in the layout of `Problem.answers`."""
        raise NotImplementedError

    work: Callable[[], Any]


class TorchImplementation(Implementation):
    """What all torch implementations share; they differ in the module and in `run`."""

    name = ""
    module: nn.Module

    def build(self, problem: Problem) -> nn.Module:
        """The field as a chain of linear layers."""
        parts: list[nn.Module] = []
        for weight, bias in problem.layers:
            linear = nn.Linear(weight.shape[1], weight.shape[0])
            _fill(linear, weight, bias)
            parts += [linear, nn.Tanh()]
        return nn.Sequential(*parts[:-1])

    def run(self, state: Tensor, drive: Any) -> Tensor:
        """States (batch, steps + 1, state)."""
        raise NotImplementedError

    def tensor(self, values: Array) -> Tensor:
        """Batch-major, as PyTorch's own layers like it."""
        return torch.tensor(values, dtype=torch.float32).contiguous()

    def drives(self, values: Array) -> Any:
        """What `run` takes as its drive."""
        return self.tensor(values)

    def prepare(self, problem: Problem) -> None:
        """Module, data in chunks, and which work."""
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
            self.towards = [self.tensor(problem.towards[part]) for part in parts]
            for state, _ in self.chunks:
                state.requires_grad_()
            self.work = self.step_and_back
        else:
            self.module.requires_grad_(False)
            self.work = self.free_run

    def free_run(self) -> list[Tensor]:
        """A, B and D forward."""
        with torch.no_grad():
            return [self.run(state, drive) for state, drive in self.chunks]

    def loss(self) -> Tensor:
        """C: mean squared error of all samples."""
        return nn.functional.mse_loss(self.run(*self.chunks[0]), self.targets)

    def train(self) -> None:
        """C: one iteration."""
        self.adam.zero_grad()
        self.loss().backward()
        self.adam.step()

    def step_and_back(self) -> list[Tensor]:
        """D with gradients."""
        self.module.zero_grad()
        new = []
        for (state, drive), towards in zip(self.chunks, self.towards, strict=True):
            state.grad = None
            moved = self.last(self.run(state, drive))
            moved.backward(towards)
            new.append(moved.detach())
        return new

    def last(self, states: Tensor) -> Tensor:
        """The state at the end of a run."""
        return states[:, -1]

    def answers(self) -> dict[str, Array]:
        """From one call, before any optimiser step."""
        if self.name == "C":
            loss = self.loss()
            loss.backward()
            return {"loss": loss.detach().numpy(), "gradient": self.weight_gradient()}
        if self.name == "D forward+backward":
            new = torch.cat(self.step_and_back())
            first = torch.cat([state.detach() for state, _ in self.chunks])
            back = torch.cat([state.grad for state, _ in self.chunks])
            return {
                "states": torch.stack([first, new], 1).numpy(),
                "gradient": self.weight_gradient(),
                "state gradient": back.numpy(),
            }
        runs = torch.cat([states.reshape(-1, *states.shape[-2:]) for states in self.free_run()])
        if self.name == "D forward" and runs.shape[1] == 1:  # without the initial states
            runs = torch.cat([torch.cat([state.detach() for state, _ in self.chunks])[:, None], runs], 1)
        return {"states": runs.numpy()}

    def weight_gradient(self) -> Array:
        """All weights in the order of the layers."""
        linears = [module for module in self.module.modules() if isinstance(module, nn.Linear)]
        return np.concatenate([value.grad.numpy().ravel() for layer in linears for value in (layer.weight, layer.bias)])


def _fill(linear: nn.Linear, weight: Array, bias: Array) -> None:
    with torch.no_grad():
        linear.weight.copy_(torch.tensor(weight))
        linear.bias.copy_(torch.tensor(bias))


class Spinode(TorchImplementation):
    """Ours, through the public API; the batch innermost in memory."""

    def __init__(self) -> None:
        # Only here, so that the processes of the others do not load it.
        import spinode

        self.spinode = spinode

    def build(self, problem: Problem) -> nn.Module:
        """The package's own field."""
        state, drive = problem.state.shape[-1], problem.drive.shape[-1]
        hidden = tuple(len(bias) for _, bias in problem.layers[:-1])
        field = self.spinode.MLPField(state, drive, state, hidden=hidden, skip=False).float()
        for linear, layer in zip([*field.layers, field.out], problem.layers, strict=True):
            _fill(linear, *layer)
        return field

    def tensor(self, values: Array) -> Tensor:
        """The same shape with the batch innermost; without a batch for one device."""
        inner = torch.tensor(np.moveaxis(values, 0, -1).copy(), dtype=torch.float32)
        return inner.movedim(-1, 0) if len(values) > 1 else inner[..., 0]

    def drives(self, values: Array) -> Tensor:
        """A view of the samples; nothing is copied."""
        return self.spinode.zero_order_hold(self.tensor(values))

    def run(self, state: Tensor, drive: Tensor) -> Tensor:
        """One call; of D's single step only the new states."""
        if self.name.startswith("D"):
            return self.spinode.rollout(self.module, state, drive, method="euler", dt=DT, initial=False)
        return self.spinode.rollout(self.module, state, drive, dt=DT)

    def last(self, states: Tensor) -> Tensor:
        """A view whose gradient needs no zeros beside it."""
        return states.squeeze(1)


class TorchDiffEq(TorchImplementation):
    """`odeint` over the whole drive; every step of the solver is one sample."""

    def run(self, state: Tensor, drive: Tensor) -> Tensor:
        """One call; the drive is looked up by time."""
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
    """The same, one chunk of devices after another."""

    workloads = "D"


class Eager(TorchImplementation):
    """A loop in plain torch."""

    def drives(self, values: Array) -> list[Tensor]:
        """One contiguous tensor a step."""
        return [self.tensor(values[:, index]) for index in range(values.shape[1])]

    def step(self, x: Tensor, u: Tensor) -> Tensor:
        """One Runge-Kutta or Euler step."""

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
        """The loop."""
        states = [state]
        for u in drive:
            states.append(self.step(states[-1], u))
        return torch.stack(states, 1)


class Product(nn.Module):
    """A linear layer as products and a sum: compiled, and for one device, twice as fast as `nn.Linear`."""

    def __init__(self, weight: Array, bias: Array) -> None:
        super().__init__()
        self.weight, self.bias = (nn.Parameter(torch.tensor(value, dtype=torch.float32)) for value in (weight, bias))

    def forward(self, x: Tensor) -> Tensor:
        """W x + b."""
        return (self.weight * x.unsqueeze(-2)).sum(-1) + self.bias


class Compiled(Eager):
    """The same loop over a compiled step."""

    compiles = True

    def build(self, problem: Problem) -> nn.Module:
        """Linear layers, for one device written as products."""
        if len(problem.state) > 1:
            return super().build(problem)
        parts = [part for layer in problem.layers for part in (Product(*layer), nn.Tanh())]
        return nn.Sequential(*parts[:-1])

    def prepare(self, problem: Problem) -> None:
        """Forget the workload before; the first call compiles."""
        torch._dynamo.reset()
        self.step = torch.compile(super().step, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
        super().prepare(problem)


class Jax(Implementation):
    """`lax.scan` over the steps, batch innermost (one device: vectors); Adam of optax in the same jitted function."""

    compiles = True

    def __init__(self) -> None:
        # Read when jax is loaded. The pinned core alone would do; this says it.
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.jax = jax

    def put(self, values: Array) -> Any:
        """(batch, ..., values) as float32 (..., values, batch), or without a batch for one device."""
        values = values.astype(np.float32)
        return self.jax.numpy.asarray(np.moveaxis(values, 0, -1) if len(values) > 1 else values[0])

    def rate(self, weights: Any, x: Any, u: Any) -> Any:
        """f(x, u)."""
        jnp = self.jax.numpy
        z = jnp.concatenate([x, u], 0)
        for index, (weight, bias) in enumerate(weights):
            z = weight @ z + (bias[:, None] if z.ndim > 1 else bias)
            z = jnp.tanh(z) if index < len(weights) - 1 else z
        return z

    def run(self, weights: Any, x: Any, drive: Any) -> Any:
        """States (steps + 1, state, ...)."""

        def step(x: Any, u: Any) -> tuple[Any, Any]:
            k1 = self.rate(weights, x, u)
            k2 = self.rate(weights, x + DT / 2 * k1, u)
            k3 = self.rate(weights, x + DT / 2 * k2, u)
            k4 = self.rate(weights, x + DT * k3, u)
            x = x + DT / 6 * (k1 + 2 * (k2 + k3) + k4)
            return x, x

        _, states = self.jax.lax.scan(step, x, drive)
        return self.jax.numpy.concatenate([x[None], states])

    def prepare(self, problem: Problem) -> None:
        """Jit the whole workload; the first call compiles."""
        jax, jnp = self.jax, self.jax.numpy
        self.problem = problem
        weights = [tuple(jnp.asarray(value.astype(np.float32)) for value in layer) for layer in problem.layers]
        state, drive = self.put(problem.state), self.put(problem.drive)
        if problem.name == "C":
            import optax

            targets = self.put(problem.targets)
            adam = optax.adam(1e-3)

            def loss(weights: Any, state: Any, drive: Any, targets: Any) -> Any:
                return jnp.mean((self.run(weights, state, drive) - targets) ** 2)

            @jax.jit
            def iterate(weights: Any, memory: Any, *data: Any) -> Any:
                value, gradient = jax.value_and_grad(loss)(weights, *data)
                change, memory = adam.update(gradient, memory, weights)
                return optax.apply_updates(weights, change), memory, value, gradient

            self.training = (weights, adam.init(weights))

            def work() -> tuple[Any, Any]:
                *training, value, gradient = jax.block_until_ready(iterate(*self.training, state, drive, targets))
                self.training = tuple(training)
                return value, gradient

            self.work = work
        elif problem.name.startswith("D"):
            self.prepare_step(problem, weights)
        else:
            run = jax.jit(self.run)
            self.work = lambda: run(weights, state, drive).block_until_ready()

    def prepare_step(self, problem: Problem, weights: Any) -> None:
        """D: one Euler step, in chunks of devices."""
        jax, jnp = self.jax, self.jax.numpy
        batch = len(problem.state)
        size = min(CHUNKS["jax"], batch)

        def chunked(values: Array) -> Any:
            values = values.reshape(batch // size, size, -1).astype(np.float32)
            return jnp.asarray(np.ascontiguousarray(values.transpose(0, 2, 1)))

        state, drive = chunked(problem.state), chunked(problem.drive[:, 0])

        def step(weights: Any, x: Any, u: Any) -> Any:
            return x + DT * self.rate(weights, x, u)

        if problem.towards is None:
            forward = jax.jit(lambda weights, *data: jax.lax.map(lambda part: step(weights, *part), data))
            self.work = lambda: jax.block_until_ready(forward(weights, state, drive))
            return
        towards = chunked(problem.towards)

        @jax.jit
        def both(weights: Any, *data: Any) -> Any:
            def one(total: Any, part: Any) -> Any:
                x, u, back = part
                new, pull = jax.vjp(lambda weights, x: step(weights, x, u), weights, x)
                gradient, of_state = pull(back)
                return jax.tree.map(jnp.add, total, gradient), (new, of_state)

            zero = jax.tree.map(jnp.zeros_like, weights)
            gradient, (new, of_state) = jax.lax.scan(one, zero, data)
            return new, gradient, of_state

        self.work = lambda: jax.block_until_ready(both(weights, state, drive, towards))

    def answers(self) -> dict[str, Array]:
        """From the first call."""
        problem, result = self.problem, self.work()
        if problem.name == "C":
            return {"loss": np.asarray(result[0]), "gradient": self.flat(result[1])}
        if problem.name == "D forward":
            return {"states": np.stack([problem.state, self.rows(result)], 1)}
        if problem.name == "D forward+backward":
            new, gradient, of_state = result
            return {
                "states": np.stack([problem.state, self.rows(new)], 1),
                "gradient": self.flat(gradient),
                "state gradient": self.rows(of_state),
            }
        states = np.asarray(result)
        return {"states": np.moveaxis(states, -1, 0) if states.ndim > 2 else states[None]}

    def flat(self, gradient: Any) -> Array:
        """All weights in the order of the layers."""
        return np.concatenate([np.asarray(value).ravel() for layer in gradient for value in layer])

    def rows(self, chunks: Any) -> Array:
        """(chunks, values, size) as (batch, values)."""
        values = np.asarray(chunks)
        return values.transpose(0, 2, 1).reshape(-1, values.shape[1])


class Diffrax(Jax):
    """`diffeqsolve` with constant steps; gradients by its default, checkpointed backpropagation."""

    workloads = "ABC"

    def __init__(self) -> None:
        super().__init__()
        import diffrax

        # It has no classical Runge-Kutta scheme.
        classical = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0]),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
            b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
            b_error=np.zeros(4),
        )
        # The instant of the last stage, moved inside the step, where the drive is still the step's own. The constructor
        # would not have it; nothing but the drive depends on time.
        object.__setattr__(classical, "c", np.array([0.5, 0.5, 0.99]))

        class Classical(diffrax.AbstractERK):  # type: ignore[misc]
            tableau: ClassVar[Any] = classical
            interpolation_cls: ClassVar[Any] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

            def order(self, terms: Any) -> int:
                return 4

        self.diffrax, self.solver = diffrax, Classical()

    def run(self, weights: Any, x: Any, drive: Any) -> Any:
        """States (steps + 1, state, ...)."""
        diffrax, jnp = self.diffrax, self.jax.numpy
        steps = len(drive)

        # Time is counted in samples, in which the index of the drive is exact.
        def rate(t: Any, x: Any, args: Any) -> Any:
            weights, drive = args
            return DT * self.rate(weights, x, drive[jnp.floor(t).astype(int)])

        return diffrax.diffeqsolve(
            diffrax.ODETerm(rate),
            self.solver,
            t0=0.0,
            t1=float(steps),
            dt0=1.0,
            y0=x,
            args=(weights, drive),
            saveat=diffrax.SaveAt(t0=True, steps=True),
            stepsize_controller=diffrax.ConstantStepSize(),
            max_steps=steps,
        ).ys


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
