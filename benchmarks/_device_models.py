"""What benchmarks/devices.py compares: each method is fitted on training recordings, and runs freely along tests.

A method is a function (device, seed, **settings) that returns (run, notes): `run` takes a test recording and returns outputs in
SI units, shape (time, outputs); it may read the outputs of the test before `device.washout` alone. `notes` are plain values for
the line of results.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _measure import installed, process_seconds
from _recordings import Array, Device, columns
from scipy.interpolate import make_interp_spline

import spinode
from spinode import Surrogate, Trace
from spinode.surrogates.neural_ode.evaluation.assessment import assess
from spinode.surrogates.neural_ode.evaluation.matching import match_channels, resample_for_surrogate
from spinode.surrogates.neural_ode.free_run import WARM_UP, estimate_initial_state
from spinode.surrogates.neural_ode.member import median_of_members
from spinode.surrogates.neural_ode.output_map import possible_signs, with_signs

Run = Callable[[Trace], Array]

ROOT = Path(__file__).resolve().parent.parent


def fit_spinode(device: Device, seed: int, **settings: Any) -> tuple[Run, dict[str, Any]]:
    """Fit with the defaults of `spinode.fit`, unless settings are passed."""
    began, wall = process_seconds(), time.perf_counter()
    surrogate = spinode.fit(list(device.train), seed=seed, **settings)
    record = surrogate.record
    notes = {
        "cpu_seconds": process_seconds() - began,
        "wall_seconds": time.perf_counter() - wall,
        "embedding": surrogate.embedding.kind,
        "order": surrogate.embedding.order,
        "interval": surrogate.interval,
        "validation": record.get("validation"),
        "linear_validation": record.get("linear_validation"),
        "choice": record.get("choice"),
        "search": [[entry.get("name"), entry.get("error")] for entry in record.get("search") or ()],
    }
    notes["tests"] = {test: evaluation_notes(surrogate, trace) for test, trace in device.tests.items()}
    return (lambda test: run_freely(surrogate, test, device.washout)), notes


def evaluation_notes(surrogate: Surrogate, trace: Trace) -> dict[str, Any]:
    """Return coverage and verdict of `spinode.evaluate`, which starts from and scores the recording by its own rules."""
    try:
        scores = spinode.evaluate(surrogate, trace)
        assessment = assess(surrogate, scores)
    except spinode.SpinodeError as error:
        return {"error": str(error)}
    return {
        "nrmse": scores.nrmse,
        "coverage": scores.coverage,
        "outside": scores.outside_domain,
        "grade": assessment.grade,
        "headline": assessment.headline,
    }


def run_freely(surrogate: Surrogate, test: Trace, washout: int) -> Array:
    """Run a surrogate along a recording from a state that the first `washout` outputs alone determine.

    The later outputs are replaced by the last known one before anything sees the recording, resampling included. The run is
    on the grid of the surrogate and interpolated back to the samples of the recording.

    Args:
        surrogate: The model.
        test: The recording.
        washout: Number of its outputs that may be used.

    Returns:
        Outputs at the samples of the recording, SI units, shape (time, outputs).
    """
    output = {
        name: np.where(np.arange(len(test)) < washout, values, values[washout - 1]) for name, values in test.output.items()
    }
    grid, _ = resample_for_surrogate(surrogate, match_channels(surrogate, replace(test, output=output)))
    known = int(np.searchsorted(grid.time, test.time[washout - 1] + 1e-6 * surrogate.interval, side="right"))
    drive = torch.as_tensor(np.stack([np.array(grid.drive[name]) for name in surrogate.ports.drive], -1))
    starts = torch.stack([_initial_state(surrogate, grid, known, member) for member in range(len(surrogate.members))])
    with torch.no_grad():
        outputs, _, _ = surrogate.run_members(drive, starts, grid.parameters, dict(grid.interpolation), "rk4", per_member=True)
    run: Array = median_of_members(outputs).numpy()
    if len(grid.time) == len(test) and np.allclose(grid.time, test.time, rtol=0, atol=1e-3 * surrogate.interval):
        return run
    if not np.isfinite(run).all():
        return np.full((len(test), run.shape[1]), np.nan)
    interpolated: Array = make_interp_spline(grid.time, run, k=3)(np.clip(test.time, grid.time[0], grid.time[-1]))
    return interpolated


def _initial_state(surrogate: Surrogate, grid: Trace, known: int, member: int) -> torch.Tensor:
    """Estimate the state from the first `known` samples: as the package does if they are enough, else as far as they go."""
    if known > WARM_UP:
        beginning = grid.between(None, float(grid.time[known - 1]))
        try:
            return estimate_initial_state(surrogate, beginning, member=member)
        except spinode.SpinodeError:
            pass  # the embedding needs more samples
    return _state_of_few_samples(surrogate, grid, known, member)


def _state_of_few_samples(surrogate: Surrogate, grid: Trace, known: int, member: int) -> torch.Tensor:
    """Fit a state to a few outputs, with the fitted states under a similar drive as the prior.

    Gauss-Newton from the embedded padded samples, and for a rectified output from either sign.
    """
    padded, drive = (
        torch.as_tensor(np.stack([np.array(getattr(grid, role)[name]) for name in getattr(surrogate.ports, role)], -1))
        for role in ("output", "drive")
    )
    interpolation = dict(grid.interpolation)
    settings = {"parameters": grid.parameters, "interpolation": interpolation}
    level = torch.as_tensor(surrogate.record.get("residual_level") or 0.0, dtype=padded.dtype)
    noise = torch.maximum(surrogate.noise, torch.clamp(level, min=1e-3) * surrogate.scales.output_scale)
    inputs, _ = surrogate.assemble_inputs(drive[:1], grid.parameters, interpolation)
    mean, whitening = _prior(surrogate.domain.points, surrogate.scales.drive(inputs)[0].detach())
    # An embedding that looks ahead needs the drive behind the fitted samples.
    ahead = drive[: known + 64]

    def residuals(state: torch.Tensor) -> torch.Tensor:
        starts = state.expand(len(surrogate.members), -1)
        outputs, _, _ = surrogate.run_members(ahead, starts, *settings.values(), "rk4", per_member=True)
        return torch.cat([((outputs[member][:known] - padded[:known]) / noise).flatten(), whitening @ (state - mean)])

    fits = []
    for signs in possible_signs(surrogate.ports):
        output = with_signs(surrogate.ports, padded, signs)
        start = surrogate.state_from(output, drive, member=member, **settings)[0].detach()
        fits.append(_least_squares(residuals, start))
    return min(fits, key=lambda fit: fit[1])[0]


def _prior(points: torch.Tensor, drive: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the mean of fitted states under a drive, and the matrix that makes deviations from it white.

    Args:
        points: Fitted states and drives in deviations, shape (points, state + drive).
        drive: Shape (drive,).
    """
    states, drives = points[:, : -len(drive)], points[:, -len(drive) :]
    design = torch.cat([drives, torch.ones_like(drives[:, :1])], -1)
    slope = torch.linalg.lstsq(design, states).solution
    deviations = states - design @ slope
    covariance = deviations.T @ deviations / len(points) + 1e-4 * torch.eye(states.shape[-1], dtype=points.dtype)
    return torch.cat([drive, torch.ones_like(drive[:1])]) @ slope, torch.linalg.inv(torch.linalg.cholesky(covariance))


def _least_squares(residuals: Callable[[torch.Tensor], torch.Tensor], state: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Return the minimum of the squared residuals by damped Gauss-Newton steps, and their sum."""
    damping, cost = 1e-3, float(residuals(state).detach().square().sum())
    for _ in range(20):
        error = residuals(state).detach()
        jacobian = torch.autograd.functional.jacobian(residuals, state)
        normal = jacobian.T @ jacobian
        step = torch.linalg.solve(normal + damping * torch.diag(normal.diagonal()), -jacobian.T @ error)
        trial = float(residuals(state + step).detach().square().sum())
        if trial < cost:
            state, damping, finished, cost = state + step, damping / 10, trial > (1 - 1e-6) * cost, trial
            if finished:
                break
        else:
            damping *= 10
    return state, cost


def spinode_version() -> str:
    """Return the version of the package and a hash of the sources that shape a fit."""
    digest = hashlib.sha256()
    for folder in ("spinode/traces", "spinode/dynamics", "spinode/kernels", "surrogates/neural_ode"):
        for file in sorted((ROOT / folder).rglob("*")):
            if file.suffix in (".py", ".cpp", ".hpp", ".h"):
                digest.update(file.read_bytes())
    return f"{installed('spinode')}+{digest.hexdigest()[:8]}"


def training_pairs(device: Device) -> list[tuple[Array, Array]]:
    """Return (drive, output) of each training recording, each of shape (time, channels)."""
    return [(columns(trace, "drive"), columns(trace, "output")) for trace in device.train]


def split(device: Device) -> tuple[list[tuple[Array, Array]], list[tuple[Array, Array]]]:
    """Return (drive, output) of each training recording without its last part, and those parts, which validate.

    The part is a tenth, and of short recordings 500 samples, but at most three tenths.
    """
    pairs = training_pairs(device)
    cuts = [len(y) - round(min(max(0.1 * len(y), 500), 0.3 * len(y))) for _, y in pairs]
    fitted = [(u[:cut], y[:cut]) for (u, y), cut in zip(pairs, cuts, strict=True)]
    return fitted, [(u[cut:], y[cut:]) for (u, y), cut in zip(pairs, cuts, strict=True)]
