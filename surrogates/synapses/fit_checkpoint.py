"""The checkpoint of a synapse fit: the steps that are finished, and the state of each fit after its last one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...checkpoint import CheckpointFile
from .state_space_fit import StateFit
from .telegraph import TelegraphNoise

#: Arrays of `StateFit` that a step may change.
ARRAYS = ("latents", "spread", "middle", "covariance", "noise", "reference", "filled")


class FitCheckpoint:
    """Runs the steps of a fit, skips those that a checkpoint contains, and saves after each of the others.

    A fit is a fixed sequence of named steps, each of which changes a `StateFit` and returns a number. On resuming, the sequence
    is repeated: finished steps return their stored number, and the last finished step of each fit restores its state. Which
    steps follow may therefore depend on the numbers, but not on the state of the fit.

    Args:
        path: File of the checkpoint; None to run every step and save nothing.
        identity: What shapes the result: data and settings.

    Raises:
        FitError: the file is damaged, or belongs to other data or settings.
        TraceError: the path cannot be written.
    """

    def __init__(self, path: str | Path | None, identity: Mapping[str, Any]) -> None:
        self._file = CheckpointFile(path, identity)
        self._results: dict[str, float] = self._file.notes.setdefault("results", {})
        self._fits: dict[str, dict[str, Any]] = self._file.notes.setdefault("fits", {})

    def step(self, fit: StateFit, label: str, name: str, action: Callable[[], float | None]) -> float:
        """Run one step of a fit, or restore its result.

        Args:
            fit: The fit that the step changes.
            label: Name of the fit, the same for all of its steps.
            name: Name of the step, unique within the fit.
            action: The step.

        Returns:
            Result of the step; zero if it has none.
        """
        key = f"{label}: {name}"
        if key in self._results:
            if self._fits[label]["step"] == key:
                self._restore(fit, label)
            return self._results[key]
        result = float(action() or 0.0)
        if self._file.path is not None:
            self._results[key] = result
            self._store(fit, label, key)
            self._file.write()
        return result

    def _store(self, fit: StateFit, label: str, key: str) -> None:
        tensors = {name: torch.from_numpy(np.array(getattr(fit, name))) for name in ARRAYS}
        tensors |= {f"drift.{name}": value.detach().clone() for name, value in fit.drift.state_dict().items()}
        self._file.tensors.update({f"{label}/{name}": value for name, value in tensors.items()})
        self._fits[label] = {
            "step": key,
            "memory": fit.noise_model.memory,
            "telegraph": None if fit.telegraph is None else asdict(fit.telegraph),
            "telegraph noise": fit.noise_model.telegraph,
            "relative": fit.noise_model.relative,
            "pure": fit.noise_model.pure,
            "limits": None if fit.drift.limits is None else list(fit.drift.limits),
            "history": [dict(entry) for entry in fit.history],
        }

    def _restore(self, fit: StateFit, label: str) -> None:
        stored = self._fits[label]

        def tensor(name: str) -> Tensor:
            return self._file.tensors[f"{label}/{name}"]

        for name in ARRAYS:
            setattr(fit, name, tensor(name).numpy().copy())
        fit.drift.load_state_dict({name: tensor(f"drift.{name}") for name in fit.drift.state_dict()})
        kinds = {name: stored[name] for name in ("memory", "relative", "pure")}
        fit.noise_model = replace(fit.noise_model, telegraph=stored["telegraph noise"], **kinds)
        fit.drift.limits = None if stored["limits"] is None else (float(stored["limits"][0]), float(stored["limits"][1]))
        fit.telegraph = None if stored["telegraph"] is None else TelegraphNoise(**stored["telegraph"])
        fit.history = [dict(entry) for entry in stored["history"]]
