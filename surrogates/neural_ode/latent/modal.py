"""Modal form: from the poles of a linear model to the linear terms of latent modes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from scipy import signal

from ....typing import Array
from .layout import LatentLayout
from .problem import Run, Unknowns
from .rollout import core_table
from .state_space import StateSpace

Complex = npt.NDArray[np.complex128]

#: Least decay per sample that a mode starts with.
_MIN_DECAY = 1e-5


@dataclass(frozen=True)
class Modes:
    """Poles and shapes of the modes of a linear model.

    Attributes:
        decay: g, per sample, shape (modes,).
        frequency: w >= 0, rad per sample, shape (modes,).
        shapes: Share of each mode in each output, shape (outputs, modes), complex.
    """

    decay: Array
    frequency: Array
    shapes: Complex


def modes_of(model: StateSpace) -> Modes:
    """Return the modes of a linear model: one for each complex pair of poles, one for each real pole.

    With z' = -(g + i w) z, the free motion turns clockwise, so of each pair the pole below the real axis counts. A real pole is
    an overdamped mode: w = 0 if it is positive, w = pi if it is negative.
    """
    poles, vectors = np.linalg.eig(model.a)
    shapes = model.c @ vectors
    kept = poles.imag <= 1e-9 * np.abs(poles)
    poles, shapes = poles[kept], shapes[:, kept]
    single = np.abs(poles.imag) <= 1e-9 * np.abs(poles)
    with np.errstate(divide="ignore"):
        logs = np.log(np.maximum(np.abs(poles), 1e-6))
    frequency = np.where(single, np.where(poles.real < 0, np.pi, 0.0), np.abs(np.angle(poles)))
    # y = 2 Re(c z) for a pair; a real pole has one term.
    return Modes(np.maximum(-logs, _MIN_DECAY), frequency, np.where(single, 1.0, 2.0) * shapes)


def linear_start(layout: LatentLayout, modes: Modes, runs: Sequence[Run], substeps: int) -> tuple[Unknowns, float]:
    """Fit drive forces, feedthrough, constant and initial states of given modes by linear least squares.

    Args:
        layout: Sizes; `layout.modes` of the modes with the largest contribution are kept.
        modes: Poles and shapes.
        runs: Recordings in deviations.
        substeps: Steps of the integrator per sample.

    Returns:
        Unknowns with linear terms only, modes of unit deviation, and the root mean square of the weighted residual.
    """
    if len(modes.decay) > layout.modes:
        strength = _fit(layout, modes, runs, substeps).contribution
        kept = np.sort(np.argsort(-strength)[: layout.modes])
        modes = Modes(modes.decay[kept], modes.frequency[kept], modes.shapes[:, kept])
    elif len(modes.decay) < layout.modes:
        modes = _padded(modes, layout.modes)
    found = _fit(layout, modes, runs, substeps)
    scale = np.maximum(found.deviation, 1e-9 * max(found.deviation.max(), 1e-30))
    shapes, gains = modes.shapes * scale, found.gains / scale[:, None]
    arrays = {
        "log_decay": np.log(modes.decay),
        "frequency": modes.frequency,
        # z' contains e (dV/dp - i dV/dq) with dV/dx = u B, so B_q = -im b and B_p = re b; y = Re(c z) = re c q - im c p.
        "force": np.concatenate([-gains.imag, gains.real]).T,
        "read_matrix": np.concatenate([shapes.real, -shapes.imag], -1),
        "feedthrough": found.feedthrough,
        "constant": found.constant,
    }
    starts = np.stack([np.concatenate([(z / scale).real, (z / scale).imag]) for z in found.starts])
    theta = layout.join({name: torch.as_tensor(np.ascontiguousarray(value)) for name, value in arrays.items()})
    return Unknowns(theta, torch.as_tensor(starts)), found.error


@dataclass(frozen=True)
class _Linear:
    gains: Complex  # (modes, inputs)
    feedthrough: Array
    constant: Array
    starts: list[Complex]
    deviation: Array  # of each mode along the runs
    contribution: Array  # of each mode to the outputs
    error: float


def _fit(layout: LatentLayout, modes: Modes, runs: Sequence[Run], substeps: int) -> _Linear:
    count, m, p = len(modes.decay), layout.inputs, layout.outputs
    table = core_table(torch.as_tensor(np.log(modes.decay)), torch.as_tensor(modes.frequency), 1.0)
    decay, gamma, beta = torch.view_as_complex(table[:, 0]).numpy().T
    gains = 2 * count * m
    shared = gains + p * layout.drives + p
    answers, blocks = [], []
    for run in runs:
        stages = run.stages.numpy()
        # (samples, modes, inputs): response of each mode to each input with unit gain
        pushed = (gamma - beta)[:, None] * stages[:, 0, None, :] + beta[:, None] * stages[:, 1, None, :]
        response = np.zeros(pushed.shape, complex)
        free = np.empty((len(stages), count), complex)
        for k in range(count):
            response[1:, k] = signal.lfilter([1.0], [1.0, -decay[k]], pushed[:-1, k], axis=0)
            free[:, k] = decay[k] ** np.arange(len(stages))
        answers.append((response, free))
        blocks.append(_rows(modes, layout, run, response, free))
    width = shared + 2 * count * len(runs)
    rows, targets = [], []
    for index, (own, shared_part, target) in enumerate(blocks):
        row = np.zeros((len(target), width))
        row[:, :shared] = shared_part
        row[:, shared + 2 * count * index : shared + 2 * count * (index + 1)] = own
        rows.append(row)
        targets.append(target)
    matrix, target = np.concatenate(rows), np.concatenate(targets)
    norms = np.linalg.norm(matrix, axis=0)
    norms[norms == 0] = 1
    solution = np.linalg.lstsq(matrix / norms, target, rcond=1e-9)[0] / norms
    error = float(np.sqrt(np.mean((matrix @ solution - target) ** 2)))
    pairs = solution[:gains].reshape(2, count, m)
    b = pairs[0] + 1j * pairs[1]
    starts = [part[0] + 1j * part[1] for part in solution[shared:].reshape(len(runs), 2, count)]
    states = [
        np.einsum("tkj,kj->tk", response, b) + free * start for (response, free), start in zip(answers, starts, strict=True)
    ]
    return _Linear(
        gains=b,
        feedthrough=solution[gains : gains + p * layout.drives].reshape(p, layout.drives),
        constant=solution[shared - p : shared],
        starts=starts,
        deviation=np.sqrt(np.mean(np.abs(np.concatenate(states)) ** 2, 0) / 2),
        contribution=np.sqrt(np.mean(np.abs(np.concatenate(states)) ** 2, 0)) * np.linalg.norm(modes.shapes, axis=0),
        error=error,
    )


def _rows(modes: Modes, layout: LatentLayout, run: Run, response: Complex, free: Complex) -> tuple[Array, Array, Array]:
    """Return the weighted columns of the initial state, those of all shared unknowns, and the targets."""
    samples = len(free)
    p, d = layout.outputs, layout.drives
    own, shared = [], []
    for o in range(p):
        shaped = modes.shapes[o][:, None] * response
        freely = modes.shapes[o] * free
        direct = np.zeros((samples, p, d))
        direct[:, o] = run.settled.numpy()
        constant = np.zeros((samples, p))
        constant[:, o] = 1
        weight = run.weights[:, o].numpy()[:, None]
        columns = [shaped.real.reshape(samples, -1), -shaped.imag.reshape(samples, -1), direct.reshape(samples, -1), constant]
        shared.append(weight * np.concatenate(columns, -1))
        own.append(weight * np.concatenate([freely.real, -freely.imag], -1))
    target = (run.weights * run.outputs).numpy().T.reshape(-1)
    return np.concatenate(own), np.concatenate(shared), target


def _padded(modes: Modes, count: int) -> Modes:
    """Return more modes: the further ones lie between the frequencies of those that were found."""
    missing = count - len(modes.decay)
    low, high = modes.frequency.min(), max(modes.frequency.max(), modes.frequency.min() + 0.1)
    places = low + (high - low) * (np.arange(missing) + 0.5) / missing
    decay = np.full(missing, np.median(modes.decay))
    shapes = np.full((len(modes.shapes), missing), np.abs(modes.shapes).mean(), dtype=complex)
    return Modes(
        np.concatenate([modes.decay, decay]),
        np.concatenate([modes.frequency, places]),
        np.concatenate([modes.shapes, shapes], -1),
    )
