"""`Surrogate`: a fitted, differentiable model of one device, with its files and its runs along recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ...traces.trace import Trace
from .. import artifacts
from ..exporters import export
from .free_run import FreeRun, run_along
from .model import SurrogateModel


class Surrogate(SurrogateModel):
    """A Neural-ODE model of a device: dx/dt = f(x, u), y = b_0 + D u, one fourth-order Runge-Kutta step per sample.

    The state x is the embedded output (`spinode.surrogates.neural_ode.embedding`), in deviations. Outputs, drives and parameters are in SI units
    at every public door. Several members make an ensemble: the response is their mean, their spread is calibrated on
    samples that the fit did not see.

    Attributes:
        ports: Names and units of drives, outputs and parameters.
        embedding: Kind and order of the state.
        interval: Sample interval [s] of one step.
        scales: Means and deviations of the fitted data.
        domain: Domain of validity.
        noise: Deviation of the measurement noise of each output, SI units, shape (outputs,).
        spread_factor: Calibration of the ensemble's deviation, shape ().
        spread_floor: Deviation of a free run's error on validation samples, SI units, shape (outputs,).
        record: What it was fitted on and how: configuration, history, scores, data fingerprint, provenance (plain JSON).

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).
    """

    # --- recordings: traces in, runs out -----------------------------------------------------------------------------

    def run(self, trace: Trace, *, from_rest: bool = False, solver: str = "rk4") -> FreeRun:
        """Run the device freely along a recording, started from its first samples; see `free_run.run_along`."""
        return run_along(self, trace, from_rest=from_rest, solver=solver)

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata; see `spinode.artifact`."""
        artifacts.save(self, path)

    @classmethod
    def load(cls, path: str | Path, *, field: nn.Module | None = None) -> Surrogate:
        """Read a file written by `save`; see `spinode.load`."""
        loaded: Surrogate = artifacts.load(path, expected=cls, field=field)
        return loaded

    def export(self, path: str | Path, *, interpolation: Mapping[str, str] | None = None, **options: Any) -> None:
        """Write a program that runs without this package; see `spinode.surrogates.exporters.export`."""
        export(self, path, interpolation=interpolation, **options)
