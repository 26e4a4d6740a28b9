"""A `Reservoir` as a node of reservoirpy, to be linked, fitted and scored with its tools."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from ...errors import ConfigError
from .reservoir import Reservoir, Run


def reservoirpy_node(reservoir: Reservoir, *, seed: int | None = None) -> Any:
    """The reservoir as a `reservoirpy.node.Node`: `node >> Ridge(1e-6)`.

    Its state goes on from run to run, and begins anew after `reset()`.

    Args:
        reservoir: Of any devices.
        seed: Of the devices' noise; their mean response if None.

    Raises:
        ConfigError: reservoirpy is not installed, or older than 0.4.

    Source: Trouvain et al., LNCS 12397, 494 (2020), doi:10.1007/978-3-030-61616-8_40.
    """
    try:
        base: Any = importlib.import_module("reservoirpy.node").Node
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"reservoirpy from 0.4 on is not installed ({error}); run pip install 'spinode[reservoirpy]'."
        ) from None
    generator = None if seed is None else torch.Generator().manual_seed(seed)

    class DeviceNode(base):  # type: ignore[misc]
        """A reservoir of devices, as a node."""

        def initialize(self, x: Any, y: Any = None) -> None:
            """Fix the dimensions; nothing is drawn."""
            self._set_input_dim(x)
            self.output_dim = reservoir.width
            self.state = {"out": np.zeros(reservoir.width), "begun": np.zeros(1)}
            self.initialized = True

        def _step(self, state: dict[str, Any], x: Any) -> dict[str, Any]:
            return self._run(state, np.asarray(x)[None])[0]

        def _run(self, state: dict[str, Any], x: Any) -> tuple[dict[str, Any], Any]:
            runs = reservoir.runs(generator)
            if state["begun"][0]:  # reset() sets all to zero
                _restore(runs, state)
            with torch.no_grad():
                states = reservoir.over(runs, torch.as_tensor(np.array(x, dtype=float))).numpy()
            return {"out": states[-1], "begun": np.ones(1), **_kept(runs)}, states

    return DeviceNode()


def _kept(runs: list[Run]) -> dict[str, Any]:
    """Where runs stand, as arrays."""
    arrays = {}
    for k, run in enumerate(runs):
        arrays[f"memory {k}"] = run.memory.numpy() if run.memory is not None else np.zeros(0)
        if run.late is not None:
            arrays[f"late {k}"] = run.late.numpy()
    return arrays


def _restore(runs: list[Run], state: dict[str, Any]) -> None:
    for k, run in enumerate(runs):
        run.memory = torch.from_numpy(state[f"memory {k}"])
        if f"late {k}" in state:
            run.late = torch.from_numpy(state[f"late {k}"])
