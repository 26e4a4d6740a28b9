"""The libraries that rollout.py measures, with each workload written for each of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from _problems import DT, Array, Problem
from torch import Tensor, nn

#: Number of devices of D that are processed at once.
CHUNKS = {"torchdiffeq-chunks": 20_000, "eager": 20_000, "compile": 8_000, "jax": 8_000}


class Implementation:
    """One way to compute a workload: `prepare` it, compare its `results`, then time `work`."""

    workloads = "ABCD"
    compiles = False

    def prepare(self, problem: Problem) -> None:
        """Copy the data into the layout of the library and set `work`."""
        raise NotImplementedError

    def results(self) -> dict[str, Array]:
        """Return the results to compare, in the layout of `Problem.expected`."""
        raise NotImplementedError

    work: Callable[[], Any]


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


class Jax(Implementation):
    """`lax.scan` over the steps, batch innermost (one device: vectors); Adam of optax in the same jitted function."""

    compiles = True

    def __init__(self) -> None:
        # Read when jax is loaded. Pinning to one core would be enough; this makes it explicit.
        os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["JAX_PLATFORMS"] = "cpu"
        import jax

        self.jax = jax

    def put(self, values: Array) -> Any:
        """Return values (batch, ..., values) as float32 (..., values, batch), or without a batch for one device."""
        values = values.astype(np.float32)
        return self.jax.numpy.asarray(np.moveaxis(values, 0, -1) if len(values) > 1 else values[0])

    def rate(self, weights: Any, x: Any, u: Any) -> Any:
        """Return f(x, u)."""
        jnp = self.jax.numpy
        z = jnp.concatenate([x, u], 0)
        for index, (weight, bias) in enumerate(weights):
            z = weight @ z + (bias[:, None] if z.ndim > 1 else bias)
            z = jnp.tanh(z) if index < len(weights) - 1 else z
        return z

    def run(self, weights: Any, x: Any, drive: Any) -> Any:
        """Return the states, shape (steps + 1, state, ...)."""

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
        """Wrap the complete workload in `jax.jit`; the first call compiles."""
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
            def iterate(weights: Any, moments: Any, *data: Any) -> Any:
                value, gradient = jax.value_and_grad(loss)(weights, *data)
                updates, moments = adam.update(gradient, moments, weights)
                return optax.apply_updates(weights, updates), moments, value, gradient

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
        """Prepare one Euler step of D, in chunks of devices."""
        jax, jnp = self.jax, self.jax.numpy
        batch = len(problem.state)
        size = min(CHUNKS["jax"], batch)

        def chunked(values: Array) -> Any:
            values = values.reshape(batch // size, size, -1).astype(np.float32)
            return jnp.asarray(np.ascontiguousarray(values.transpose(0, 2, 1)))

        state, drive = chunked(problem.state), chunked(problem.drive[:, 0])

        def step(weights: Any, x: Any, u: Any) -> Any:
            return x + DT * self.rate(weights, x, u)

        if problem.output_gradient is None:
            forward = jax.jit(lambda weights, *data: jax.lax.map(lambda part: step(weights, *part), data))
            self.work = lambda: jax.block_until_ready(forward(weights, state, drive))
            return
        output_gradient = chunked(problem.output_gradient)

        @jax.jit
        def step_and_backward(weights: Any, *data: Any) -> Any:
            def add_chunk(total: Any, chunk: Any) -> Any:
                x, u, new_gradient = chunk
                new, vjp = jax.vjp(lambda weights, x: step(weights, x, u), weights, x)
                gradient, state_gradient = vjp(new_gradient)
                return jax.tree.map(jnp.add, total, gradient), (new, state_gradient)

            zero = jax.tree.map(jnp.zeros_like, weights)
            gradient, (new, state_gradient) = jax.lax.scan(add_chunk, zero, data)
            return new, gradient, state_gradient

        self.work = lambda: jax.block_until_ready(step_and_backward(weights, state, drive, output_gradient))

    def results(self) -> dict[str, Array]:
        """Return the results of the first call."""
        problem, result = self.problem, self.work()
        if problem.name == "C":
            return {"loss": np.asarray(result[0]), "gradient": self.flat(result[1])}
        if problem.name == "D forward":
            return {"states": np.stack([problem.state, self.rows(result)], 1)}
        if problem.name == "D forward+backward":
            new, gradient, state_gradient = result
            return {
                "states": np.stack([problem.state, self.rows(new)], 1),
                "gradient": self.flat(gradient),
                "state gradient": self.rows(state_gradient),
            }
        states = np.asarray(result)
        return {"states": np.moveaxis(states, -1, 0) if states.ndim > 2 else states[None]}

    def flat(self, gradient: Any) -> Array:
        """Return the gradients of all weights in the order of the layers."""
        return np.concatenate([np.asarray(value).ravel() for layer in gradient for value in layer])

    def rows(self, chunks: Any) -> Array:
        """Return values (chunks, values, size) as (batch, values)."""
        values = np.asarray(chunks)
        return values.transpose(0, 2, 1).reshape(-1, values.shape[1])


class Diffrax(Jax):
    """`diffeqsolve` with constant steps; gradients by its default, checkpointed backpropagation."""

    workloads = "ABC"

    def __init__(self) -> None:
        super().__init__()
        import diffrax

        # diffrax has no classical Runge-Kutta scheme.
        classical = diffrax.ButcherTableau(
            c=np.array([0.5, 0.5, 1.0]),
            a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
            b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
            b_error=np.zeros(4),
        )
        # The time of the last stage is moved inside the step, where the drive is still that of the step; nothing but the drive
        # depends on time. The constructor would reject this.
        object.__setattr__(classical, "c", np.array([0.5, 0.5, 0.99]))

        class Classical(diffrax.AbstractERK):  # type: ignore[misc]
            tableau: ClassVar[Any] = classical
            interpolation_cls: ClassVar[Any] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

            def order(self, terms: Any) -> int:
                return 4

        self.diffrax, self.solver = diffrax, Classical()

    def run(self, weights: Any, x: Any, drive: Any) -> Any:
        """Return the states, shape (steps + 1, state, ...)."""
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
