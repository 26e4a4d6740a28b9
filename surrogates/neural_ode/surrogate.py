"""`Surrogate`: a fitted, differentiable model of one device, with its files and its runs along recordings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from ...traces.trace import Trace
from .. import artifacts
from ..exporters import export
from .driven_model import DrivenModel
from .free_run import FreeRun, run_along


class Surrogate(DrivenModel):
    """A Neural-ODE model of a device: dx/dt = f(x, u), y = b_0 + D u, one fourth-order Runge-Kutta step per sample.

    The state x is the embedded output (`spinode.Embedding`), in deviations. Outputs, drives and parameters of all public
    methods are in SI units. Several members make an ensemble: the response is their median, their spread is calibrated on
    samples that the fit did not see. `simulate` runs it under any drive, `run` along a recording.

    Attributes:
        ports: Names and units of drives, outputs and parameters.
        embedding: Kind and order of the state.
        interval: Sample interval [s] of one step.
        scales: Means and deviations of the fitted data.
        domain: Domain of validity.
        noise: Standard deviation of the measurement noise of each output, SI units, shape (outputs,).
        spread_factor: Calibration of the ensemble's standard deviation, shape ().
        spread_floor: Part of the spread that is the same at every step: the measurement noise, SI units, shape (outputs,).
        spread: Part of the spread that grows with the time since the start and the distance from the fitted data.
        record: Data and settings of the fit: configuration, history, scores, data fingerprint, provenance (plain JSON).

    Source: Chen et al., Nat. Commun. 13, 1016 (2022).
    """

    # --- recordings: traces in, runs out -----------------------------------------------------------------------------

    def run(self, trace: Trace, *, from_rest: bool = False, solver: str = "rk4") -> FreeRun:
        """Run the device freely along a recording, started from its first samples.

        Args:
            trace: Recording on `self.interval` (see `spinode.resample`), with its drives under the names in `self.ports`.
            from_rest: Start from the resting state even if the trace contains outputs.
            solver: As in `simulate`.

        Raises:
            TraceError: another sample interval, missing channels, NaN.
            DomainError: no resting state to start from.

        Example:
            >>> import numpy as np
            >>> from spinode import Trace
            >>> from spinode.surrogates.testing import resonator
            >>> recording = Trace(1e-11 * np.arange(50), {"V": np.ones(50)}, {"y": np.full(50, 0.5)})
            >>> resonator(gain=0.5).run(recording).output[-1].round(decimals=6)
            tensor([0.5000], dtype=torch.float64)
        """
        return run_along(self, trace, from_rest=from_rest, solver=solver)

    def _repr_html_(self) -> str:
        """Return the description and the response to a step of the drive, for notebooks."""
        from .notebook import surrogate_html

        return surrogate_html(self)

    # --- files -------------------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata, atomically; see `spinode.artifact.save`."""
        artifacts.save(self, path)

    @classmethod
    def load(cls, path: str | Path, *, field: nn.Module | None = None) -> Surrogate:
        """Read a file written by `save`.

        Args:
            path: A safetensors file.
            field: Module of the same layout as the learned part, for a surrogate with a vector field of your own.

        Raises:
            FileFormatError: no such file, damaged, of another kind, or of a newer schema.
            ConfigError: the file contains a vector field of your own and `field` was not given.

        Example:
            >>> import spinode
            >>> spinode.Surrogate.load(spinode.surrogates.zoo.path("macrospin")).ports.output
            ('mz',)
        """
        loaded: Surrogate = artifacts.load(path, expected=cls, field=field)
        return loaded

    def export(self, path: str | Path, *, interpolation: Mapping[str, str] | None = None, **options: Any) -> None:
        """Write a program that runs without this package; see `spinode.surrogates.exporters.export`."""
        export(self, path, interpolation=interpolation, **options)
