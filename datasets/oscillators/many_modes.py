"""`ManyModes`: a device with many modes behind one output, damped nonlinear oscillators of which only the mean is observed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ...errors import ConfigError, TraceError
from ...tensors import real_tensor
from ...traces.trace import Trace
from ...typing import Array
from ...validation import number, whole_number


@dataclass(frozen=True)
class ManyModes:
    """Damped nonlinear oscillators under one drive; the output is their mean.

    With time in ns and w_k = 2 pi f_k, mode k = 1 .. K follows

        x_k'' + 2 g x_k' + w_k^2 (1 + s_k u) x_k + w_k^2 (a x_k^2 + b x_k^3 + c (x_{k-1} + x_{k+1})^2) = w_k^2 d_k u,

    with s_k and d_k between a half and one and a half of their nominal values. The drive multiplies the stiffness (parametric
    action, as an anisotropy does) besides its force. The single output does not show the 2 K state values at once: a model
    whose state is a few derivatives or delays of it leaves most of the motion unexplained.

    Attributes:
        modes: K.
        lowest: Lowest frequency [Hz].
        highest: Highest frequency [Hz].
        decay: g [1/s].
        parametric: Nominal s.
        force: Nominal d.
        square: a and c.
        cubic: b.

    Raises:
        ConfigError: a value outside its range.

    Example:
        >>> import torch
        >>> drive = torch.zeros(400, dtype=torch.float64)
        >>> drive[100:] = 0.5
        >>> trace = ManyModes().simulate(drive, 5e-12)
        >>> float(abs(trace.output["y"][:100]).max()), bool(trace.output["y"].std() > 0)
        (0.0, True)
    """

    modes: int = 8
    lowest: float = 10.8e9
    highest: float = 17.7e9
    decay: float = 0.8e9
    parametric: float = 0.1
    force: float = 0.02
    square: float = 0.3
    cubic: float = 0.3

    def __post_init__(self) -> None:
        whole_number("modes", self.modes, 1)
        if number("lowest", self.lowest, 0, above=True, unit="Hz") > number("highest", self.highest, unit="Hz"):
            raise ConfigError(f"the frequencies run from {self.lowest!r} to {self.highest!r}; expected the lower one first.")
        number("decay", self.decay, 0, unit="1/s")
        for name in ("parametric", "force", "square", "cubic"):
            number(name, getattr(self, name))

    def simulate(self, drive: Tensor, interval: float, *, state: Array | None = None) -> Trace:
        """Record the mean under a held drive.

        Integrates with Runge-Kutta steps of at most a twenty-fifth of the shortest linear period.

        Args:
            drive: u, of the order of one, held between samples, shape (time,).
            interval: Time between two samples [s].
            state: Displacements and velocities [1/ns] at the first sample, shape (2, modes); at rest if omitted.

        Returns:
            Recording with drive "u" and output "y".

        Raises:
            TraceError: a drive of another shape, or a response that diverges.
        """
        values = real_tensor("drive", drive, TraceError).detach().cpu().numpy()
        if values.ndim != 1 or not len(values):
            raise TraceError(f"drive has shape {values.shape}; expected samples of one drive, shape (time,).")
        number("interval", interval, 0, above=True, unit="s")
        substeps = max(1, math.ceil(25 * self.highest * interval))
        h = interval * 1e9 / substeps
        rates = self._rates()
        x = np.zeros((2, self.modes)) if state is None else np.array(state, dtype=float)
        outputs = np.empty(len(values))
        for t, u in enumerate(values):
            outputs[t] = x[0].mean()
            for _ in range(substeps):
                one = rates(x, u)
                two = rates(x + 0.5 * h * one, u)
                three = rates(x + 0.5 * h * two, u)
                x = x + h / 6 * (one + 2 * (two + three) + rates(x + h * three, u))
            if not abs(x[0]).max() < 1e3:
                raise TraceError(f"the oscillators diverge at sample {t} under a drive of {u:g}; pass a smaller drive.")
        return Trace(
            time=np.arange(len(values), dtype=float) * float(interval),
            drive={"u": values},
            output={"y": outputs},
            units={"time": "s", "u": "", "y": ""},
            interpolation={"u": "held"},
            provenance={"simulator": "spinode.datasets.ManyModes"},
        )

    def _rates(self) -> Callable[[Array, float], Array]:
        """Return the rates of displacements and velocities, per ns."""
        number_of = np.arange(self.modes)
        w2 = (2e-9 * np.pi * np.linspace(self.lowest, self.highest, self.modes)) ** 2
        # Spread by multiples of the golden ratio: irregular, and without random numbers.
        stiffness = self.parametric * (0.5 + np.modf(0.5 + 0.618034 * number_of)[0])
        push = self.force * (0.5 + np.modf(0.2 + 0.754878 * number_of)[0])
        damping = 2e-9 * self.decay

        def rates(x: Array, u: float) -> Array:
            place, speed = x
            neighbours = np.zeros(self.modes)
            neighbours[1:] += place[:-1]
            neighbours[:-1] += place[1:]
            bent = place**2 * (self.square + self.cubic * place) + self.square * neighbours**2
            return np.stack([speed, w2 * (push * u - (1 + stiffness * u) * place - bent) - damping * speed])

        return rates
