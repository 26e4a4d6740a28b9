"""`StateSpace`: a discrete linear state-space model, x(t+1) = A x(t) + B u(t), y(t) = C x(t) + D u(t)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ....errors import TraceError
from ....typing import Array


@dataclass(frozen=True, eq=False)
class StateSpace:
    """A discrete linear state-space model of deviations from constant inputs and outputs.

        x(t+1) = A x(t) + B (u(t) - u_0),    y(t) = C x(t) + D (u(t) - u_0) + y_0

    Attributes:
        a: A, shape (states, states).
        b: B, shape (states, inputs).
        c: C, shape (outputs, states).
        d: D, shape (outputs, inputs).
        input_offset: u_0, shape (inputs,).
        output_offset: y_0, shape (outputs,).
        initial_states: State at the first sample of each fitted recording, each of shape (states,).
        singular_values: Singular values of the identification, in descending order; a gap shows the order.
        noise: Root mean square error of the fitted runs, shape (outputs,); with it, initial states are estimated.
    """

    a: Array
    b: Array
    c: Array
    d: Array
    input_offset: Array
    output_offset: Array
    initial_states: tuple[Array, ...] = ()
    singular_values: Array = field(default_factory=lambda: np.zeros(0))
    noise: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def order(self) -> int:
        """Number of state values."""
        return len(self.a)

    @property
    def poles(self) -> npt.NDArray[Any]:
        """Eigenvalues of A, real or complex, shape (states,)."""
        return np.asarray(np.linalg.eigvals(self.a))

    def states(self, inputs: Array, x0: Array | None = None) -> Array:
        """Return the states of a run, shape (time, states).

        Args:
            inputs: Shape (time, inputs).
            x0: State at the first sample, shape (states,); zero if omitted.
        """
        start = np.zeros(self.order) if x0 is None else np.asarray(x0, dtype=float)
        return linear_states(self.a, (_columns("inputs", inputs) - self.input_offset) @ self.b.T, start)

    def simulate(self, inputs: Array, x0: Array | None = None) -> Array:
        """Run the model freely.

        Args:
            inputs: Shape (time, inputs).
            x0: State at the first sample, shape (states,); zero, the rest under `input_offset`, if omitted.

        Returns:
            Outputs, shape (time, outputs).

        Example:
            >>> import numpy as np
            >>> half, one = np.array([[0.5]]), np.eye(1)
            >>> decay = StateSpace(half, one, one, 0 * one, np.zeros(1), np.zeros(1))
            >>> decay.simulate(np.zeros((3, 1)), np.ones(1))[:, 0].tolist()
            [1.0, 0.5, 0.25]
        """
        direct = (_columns("inputs", inputs) - self.input_offset) @ self.d.T
        result: Array = self.states(inputs, x0) @ self.c.T + direct + self.output_offset
        return result

    def estimate_initial_state(self, outputs: Array, inputs: Array) -> Array:
        """Estimate the state at the first sample from the free run through all samples given.

        Least squares in the error over `noise`, with a standard normal prior on the state if the noise is known: a few samples
        do not distinguish modes that are close to each other.

        Args:
            outputs: Shape (time, outputs).
            inputs: Shape (time, inputs).

        Returns:
            Shape (states,).
        """
        residual = _columns("outputs", outputs) - self.simulate(inputs)
        free = linear_states(self.a.T, np.zeros((len(residual), *self.c.shape)), self.c)
        if not len(self.noise):
            return np.asarray(np.linalg.lstsq(free.reshape(-1, self.order), residual.reshape(-1), rcond=1e-10)[0], dtype=float)
        floor = np.maximum(self.noise, 1e-9 * np.linalg.norm(self.c, axis=1))
        rows = np.concatenate([(free / floor[:, None]).reshape(-1, self.order), np.eye(self.order)])
        target = np.concatenate([(residual / floor).reshape(-1), np.zeros(self.order)])
        return np.asarray(np.linalg.lstsq(rows, target, rcond=None)[0], dtype=float)

    def normalised(self, outputs: Sequence[Array], inputs: Sequence[Array]) -> StateSpace:
        """Return the same model with states of unit deviation along recordings, and with the error of its runs as the noise.

        Args:
            outputs: One recording each, shape (time, outputs).
            inputs: Shape (time, inputs); the runs start from `initial_states`.
        """
        runs = [self.states(u, start) for u, start in zip(inputs, self.initial_states, strict=True)]
        scale = np.sqrt(np.mean(np.concatenate(runs) ** 2, 0))
        scale[scale <= 0] = 1
        errors = [self.simulate(u, start) - y for y, u, start in zip(outputs, inputs, self.initial_states, strict=True)]
        return replace(
            self,
            a=self.a / scale[:, None] * scale,
            b=self.b / scale[:, None],
            c=self.c * scale,
            initial_states=tuple(start / scale for start in self.initial_states),
            noise=np.sqrt(np.mean(np.concatenate(errors) ** 2, 0)),
        )


def linear_states(a: Array, forces: Array, start: Array) -> Array:
    """Return the states of x(t+1) = A x(t) + f(t).

    Args:
        a: Shape (states, states).
        forces: f, shape (time, ..., states); that of the last sample has no effect.
        start: Shape (..., states).

    Returns:
        Shape (time, ..., states).
    """
    states = np.empty((len(forces), *np.broadcast_shapes(start.shape, forces.shape[1:])))
    transposed = np.ascontiguousarray(a.T)
    state = np.broadcast_to(start, states.shape[1:]).astype(float)
    for t, force in enumerate(forces):
        states[t] = state
        state = state @ transposed + force
    return states


def _columns(name: str, values: Array) -> Array:
    values = np.asarray(values, dtype=float)
    if values.ndim != 2:
        raise TraceError(f"{name} has shape {values.shape}; expected (time, channels).")
    return values
