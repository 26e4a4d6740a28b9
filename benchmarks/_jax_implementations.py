"""The workloads of rollout.py in JAX: by `lax.scan`, and by diffrax."""

from __future__ import annotations

import os
from typing import Any, ClassVar

import numpy as np
from _implementation import CHUNKS, Implementation
from _problems import DT, Array, Problem


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
