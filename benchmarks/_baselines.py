"""Models that benchmarks/devices.py compares with spinode: linear ones, and networks as users of torch write them.

All choose by free runs over the last part of each training recording, see `split`, in deviations from mean and standard
deviation; linear models are then fitted again to the whole recordings. Libraries that need another environment are in
_external_baselines.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from _device_models import Run, split, training_pairs
from _recordings import Array, Device, columns
from torch import Tensor, nn
from torchdiffeq import odeint

from spinode import Trace, TraceError
from spinode.surrogates.neural_ode.latent.state_space import StateSpace
from spinode.surrogates.neural_ode.latent.subspace import SubspaceIdentification

#: Seconds of process time after which training ends: those of the default effort of `spinode.fit`.
LIMIT = 60.0

#: Longest stretch of the validation part, in samples, over which networks run between two blocks of training steps.
_CHECKED = 4000


@dataclass(frozen=True, eq=False)
class Scales:
    """Mean and deviation of drives and outputs of the fitted part."""

    drive: tuple[Array, Array]
    output: tuple[Array, Array]

    @classmethod
    def of(cls, pairs: list[tuple[Array, Array]]) -> Scales:
        """Return those of (drive, output) pairs."""
        u, y = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        return cls((u.mean(0), np.maximum(u.std(0), 1e-12 * abs(u).max(0) + 1e-300)), (y.mean(0), y.std(0)))

    def scaled(self, pairs: list[tuple[Array, Array]]) -> list[tuple[Array, Array]]:
        """Return the pairs in deviations."""
        return [((u - self.drive[0]) / self.drive[1], (y - self.output[0]) / self.output[1]) for u, y in pairs]

    def run(self, test: Trace, washout: int, free_run: Callable[[Array, Array], Array]) -> Array:
        """Call `free_run` with the drive and the first `washout` outputs of a test, in deviations; return SI units."""
        ((u, y),) = self.scaled([(columns(test, "drive"), columns(test, "output"))])
        return np.asarray(free_run(u, y[:washout]) * self.output[1] + self.output[0])


# Linear models


def fit_arx(device: Device, seed: int, orders: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 16)) -> tuple[Run, dict[str, Any]]:
    """Fit y_t = c + sum A_i y_{t-i} + sum B_i u_{t-i} by least squares; the order whose free run validates best."""
    fitted, unseen = split(device)
    scales = Scales.of(fitted)
    fitted, unseen = scales.scaled(fitted), scales.scaled(unseen)
    errors = {}
    for order in orders:
        if min(len(y) for _, y in fitted) < 4 * order:
            break
        coefficients = _arx_coefficients(fitted, order)
        runs = [(_arx_run(coefficients, order, u, y[: device.washout]), y) for u, y in unseen]
        errors[order] = float(np.sqrt(np.mean(np.concatenate([(run - y)[device.washout :] ** 2 for run, y in runs]))))
    order = min(errors, key=lambda order: errors[order])
    coefficients = _arx_coefficients(scales.scaled(training_pairs(device)), order)
    notes = {"order": order, "validation": errors[order]}
    return (lambda test: scales.run(test, device.washout, lambda u, y: _arx_run(coefficients, order, u, y))), notes


def _arx_coefficients(pairs: list[tuple[Array, Array]], order: int) -> Array:
    rows = [_arx_rows(u, y, order) for u, y in pairs]
    design, target = (np.concatenate(parts) for parts in zip(*rows, strict=True))
    coefficients: Array = np.linalg.lstsq(design, target, rcond=None)[0]
    return coefficients


def _arx_rows(u: Array, y: Array, order: int) -> tuple[Array, Array]:
    count = len(y) - order
    past = [y[order - i : order - i + count] for i in range(1, order + 1)]
    drives = [u[order - i : order - i + count] for i in range(order + 1)]
    return np.concatenate([*past, *drives, np.ones((count, 1))], -1), y[order:]


def _arx_run(coefficients: Array, order: int, u: Array, known: Array) -> Array:
    """Run from the known outputs on; before the first one, drive and output are as at the first."""
    outputs = known.shape[1]
    before = np.repeat(u[:1], order, 0)
    extended = np.concatenate([before, u])
    regressors = [extended[order - i : order - i + len(u)] for i in range(order + 1)]
    forced = np.concatenate([*regressors, np.ones((len(u), 1))], -1) @ coefficients[order * outputs :]
    run = np.concatenate([np.repeat(known[:1], order, 0), known, np.zeros((len(u) - len(known), outputs))])
    for t in range(order + len(known), len(run)):
        recent = run[t - order : t][::-1].reshape(-1)
        run[t] = np.clip(recent @ coefficients[: order * outputs] + forced[t - order], -1e6, 1e6)
    return run[order:]


def fit_subspace(
    device: Device, seed: int, max_order: int = 16, horizons: tuple[int | None, ...] = (None, 100)
) -> tuple[Run, dict[str, Any]]:
    """Identify a linear state-space model by PO-MOESP; order and horizon are those whose free run validates best.

    Modes that are close to each other need a long horizon, short recordings a short one.
    """
    fitted, unseen = split(device)
    scale = np.concatenate([y for _, y in fitted]).std(0)
    errors: dict[tuple[int, int | None], float] = {}
    for horizon in horizons:
        try:
            identified = SubspaceIdentification([y for _, y in fitted], [u for u, _ in fitted], max_order, horizon=horizon)
        except (TraceError, AssertionError):  # too few samples for this horizon
            continue
        for order in range(1, min(max_order, len(identified.singular_values) - 1) + 1):
            model = identified.model(order)
            runs = [(_observed_run(model, u, y[: device.washout]), y) for u, y in unseen]
            residuals = [((run - y) / scale)[device.washout :] for run, y in runs]
            errors[order, horizon] = float(np.sqrt(np.mean(np.concatenate(residuals) ** 2)))
    if not errors:
        raise TraceError("the recordings are too short for subspace identification")
    order, horizon = chosen = min(errors, key=lambda each: errors[each])
    pairs = training_pairs(device)
    whole = SubspaceIdentification([y for _, y in pairs], [u for u, _ in pairs], max_order, horizon=horizon)
    model = whole.model(order)

    def run(test: Trace) -> Array:
        return _observed_run(model, columns(test, "drive"), columns(test, "output")[: device.washout])

    return run, {"order": order, "horizon": horizon, "validation": errors[chosen]}


def _observed_run(model: StateSpace, u: Array, known: Array) -> Array:
    """Simulate from the state that fits the known outputs best by least squares, of smallest norm if they are few."""
    forced = model.simulate(u[: len(known)])
    observability = [model.c]
    for _ in range(len(known) - 1):
        observability.append(observability[-1] @ model.a)
    start = np.linalg.lstsq(np.concatenate(observability), (known - forced).reshape(-1), rcond=1e-8)[0]
    return np.asarray(model.simulate(u, start))


# Networks


class _Gru(nn.Module):
    """A GRU whose initial state is a linear function of the samples of the washout."""

    def __init__(self, drives: int, outputs: int, washout: int, hidden: int) -> None:
        super().__init__()
        self.washout = washout
        self.start = nn.Linear(washout * (drives + outputs), hidden)
        self.cell = nn.GRU(drives, hidden, batch_first=True)
        self.read = nn.Linear(hidden, outputs)

    def forward(self, u: Tensor, known: Tensor) -> Tensor:
        """Return outputs from the end of the washout on; shapes (batch, time, drives) and (batch, washout, outputs)."""
        first = torch.cat([u[:, : self.washout], known], -1).flatten(1)
        hidden, _ = self.cell(u[:, self.washout :], torch.tanh(self.start(first))[None])
        return self.read(hidden)  # type: ignore[no-any-return]


def fit_gru(device: Device, seed: int, hidden: int = 32, window: int = 200, limit: float = LIMIT) -> tuple[Run, dict[str, Any]]:
    """Train a GRU on free runs through random windows with Adam, and keep the weights that validate best."""

    def make(drives: int, outputs: int) -> nn.Module:
        return _Gru(drives, outputs, device.washout, hidden)

    def train_step(model: nn.Module, u: Tensor, y: Tensor) -> Tensor:
        return (model(u, y[:, : device.washout]) - y[:, device.washout :]).square().mean()

    def free_run(model: nn.Module, u: Tensor, known: Tensor) -> Tensor:
        return torch.cat([known, model(u[None], known[None])[0]])

    return _train(device, seed, make, train_step, free_run, window + device.washout, batch=32, rate=4e-3, limit=limit)


class _PlainOde(nn.Module):
    """dx/dt = MLP(x, u), x the output and its derivative, the drive interpolated linearly; time in samples over `unit`."""

    def __init__(self, drives: int, outputs: int, hidden: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(2 * outputs + drives, hidden),
            nn.Tanh(),
            nn.Linear(hidden, hidden),
            nn.Tanh(),
            nn.Linear(hidden, 2 * outputs),
        )
        self.unit = 1.0
        self.drive = torch.zeros(1)

    def forward(self, time: Tensor, state: Tensor) -> Tensor:
        """Return the rate; `self.drive` has shape (time, batch, drives)."""
        position = (float(time) * self.unit) + 1e-6
        index = min(int(position), len(self.drive) - 2)
        share = position - index
        u = (1 - share) * self.drive[index] + share * self.drive[index + 1]
        return self.layers(torch.cat([state, u], -1))  # type: ignore[no-any-return]

    def run(self, u: Tensor, state: Tensor) -> Tensor:
        """Return outputs under drives (batch, time, drives) from states (batch, 2 outputs), shape (batch, time, outputs)."""
        self.drive = u.transpose(0, 1)
        times = torch.arange(u.shape[1], dtype=u.dtype) / self.unit
        states = odeint(self, state, times, method="rk4")
        return states[..., : state.shape[-1] // 2].transpose(0, 1)  # type: ignore[no-any-return]


def fit_plain_ode(device: Device, seed: int, window: int = 30, limit: float = LIMIT) -> tuple[Run, dict[str, Any]]:
    """Train torchdiffeq's odeint (rk4, a step a sample) with Adam on windows from measured states."""
    # The unit of time in which the derivative of the output has the deviation of the output.
    fitted, _ = split(device)
    scaled = Scales.of(fitted).scaled(fitted)
    unit = float(1 / np.concatenate([np.gradient(y, axis=0) for _, y in scaled]).std())

    def make(drives: int, outputs: int) -> nn.Module:
        model = _PlainOde(drives, outputs)
        model.unit = unit
        return model

    def state_at(y: Tensor, sample: int) -> Tensor:
        """Return output and its derivative, central where possible."""
        after = min(sample + 1, y.shape[-2] - 1)
        rate = (y[..., after, :] - y[..., sample - 1, :]) / (after - sample + 1)
        return torch.cat([y[..., sample, :], rate * unit], -1)

    def train_step(model: nn.Module, u: Tensor, y: Tensor) -> Tensor:
        run = model.run(u[:, 1:], state_at(y, 1))  # type: ignore[operator]
        return (run - y[:, 1:]).square().mean()

    def free_run(model: nn.Module, u: Tensor, known: Tensor) -> Tensor:
        last = len(known) - 1
        run = model.run(u[None, last:], state_at(known[None], last))[0]  # type: ignore[operator]
        return torch.cat([known, run[1:]])

    return _train(device, seed, make, train_step, free_run, window + 1, batch=64, rate=3e-3, limit=limit)


def _train(
    device: Device, seed: int, make: Callable[[int, int], nn.Module], train_step: Callable[[nn.Module, Tensor, Tensor], Tensor],
    free_run: Callable[[nn.Module, Tensor, Tensor], Tensor], window: int, *, batch: int, rate: float, limit: float,
    check_every: int = 100, patience: int = 15,
) -> tuple[Run, dict[str, Any]]:  # fmt: skip
    """Train with Adam, halve the rate where the validation stalls, and stop at the limit or after `patience` checks."""
    fitted, unseen = split(device)
    scales = Scales.of(fitted)
    training, checked = (
        [tuple(torch.as_tensor(part, dtype=torch.float32) for part in pair) for pair in scales.scaled(pairs)]
        for pairs in (fitted, unseen)
    )
    window = min(window, *(len(y) for _, y in training))
    random = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = make(training[0][0].shape[1], training[0][1].shape[1])
    adam = torch.optim.Adam(model.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(adam, factor=0.5, patience=4)
    best, kept, stalled, steps, began = float("inf"), deepcopy(model.state_dict()), 0, 0, time.process_time()
    lengths = np.array([len(y) for _, y in training])
    while time.process_time() - began < limit and stalled < patience:
        for _ in range(check_every):
            chosen = random.choice(len(training), batch, p=lengths / lengths.sum())
            starts = [random.integers(0, lengths[index] - window + 1) for index in chosen]
            u, y = (
                torch.stack(
                    [training[index][part][start : start + window] for index, start in zip(chosen, starts, strict=True)]
                )
                for part in (0, 1)
            )
            adam.zero_grad()
            train_step(model, u, y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
            steps += 1
            if time.process_time() - began > limit:
                break
        error = _validation(model, checked, free_run, device.washout)
        schedule.step(error)
        stalled += 1
        if error < best:
            best, kept, stalled = error, deepcopy(model.state_dict()), 0
    model.load_state_dict(kept)

    def predict(u: Array, known: Array) -> Array:
        with torch.no_grad():
            run = free_run(model, torch.as_tensor(u, dtype=torch.float32), torch.as_tensor(known, dtype=torch.float32))
        return np.asarray(run.double().numpy())

    return (lambda test: scales.run(test, device.washout, predict)), {"steps": steps, "validation": best}


def _validation(model: nn.Module, checked: list[Any], free_run: Callable[..., Tensor], washout: int) -> float:
    with torch.no_grad():
        errors = [(free_run(model, u[:_CHECKED], y[:washout]) - y[:_CHECKED])[washout:].square().flatten() for u, y in checked]
    error = float(torch.cat(errors).mean().sqrt())
    return error if np.isfinite(error) else float("inf")
