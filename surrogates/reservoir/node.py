"""A `Reservoir` as a node of reservoirpy, to be connected, fitted and scored with its tools."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from ...errors import ConfigError
from ...random import seeded_generator
from .device_run import DeviceRun
from .time_multiplexed import Reservoir


def reservoirpy_node(reservoir: Reservoir, *, seed: int | None = None) -> Any:
    """Return the reservoir as a `reservoirpy.node.Node`, for models such as `node >> Ridge(1e-6)`.

    Each run continues from the state of the last one; `reset()` starts from the resting state again.

    Args:
        reservoir: A reservoir of any devices.
        seed: Seed of the devices' noise; their mean response if None.

    Raises:
        ConfigError: reservoirpy is not installed, or older than 0.4.

    Source: Trouvain et al., LNCS 12397, 494 (2020), doi:10.1007/978-3-030-61616-8_40.
    """
    try:
        base: Any = importlib.import_module("reservoirpy.node").Node
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"reservoirpy 0.4 or later is not installed ({error}); run pip install 'spinode[reservoirpy]'."
        ) from None
    generator = None if seed is None else seeded_generator(seed)

    class DeviceNode(base):  # type: ignore[misc]
        """A reservoir of devices as a node."""

        def initialize(self, x: Any, y: Any = None) -> None:
            """Set the dimensions; no random numbers are drawn."""
            self._set_input_dim(x)
            self.output_dim = reservoir.width
            self.state = {"out": np.zeros(reservoir.width), "begun": np.zeros(1)}
            self.initialized = True

        def _step(self, state: dict[str, Any], x: Any) -> dict[str, Any]:
            return self._run(state, np.asarray(x)[None])[0]

        def _run(self, state: dict[str, Any], x: Any) -> tuple[dict[str, Any], Any]:
            runs = reservoir.start(generator)
            if state["begun"][0]:  # reset() sets all to zero
                _restore(runs, state)
            with torch.no_grad():
                states = reservoir.continue_runs(runs, torch.as_tensor(np.array(x, dtype=float))).numpy()
            return {"out": states[-1], "begun": np.ones(1), **_stored(runs)}, states

    return DeviceNode()


def _stored(runs: list[DeviceRun]) -> dict[str, Any]:
    """Return the state of some runs as arrays."""
    arrays = {}
    for index, run in enumerate(runs):
        arrays[f"memory {index}"] = run.memory.numpy() if run.memory is not None else np.zeros(0)
        if run.recent is not None:
            arrays[f"recent {index}"] = run.recent.numpy()
    return arrays


def _restore(runs: list[DeviceRun], state: dict[str, Any]) -> None:
    for index, run in enumerate(runs):
        run.memory = torch.from_numpy(state[f"memory {index}"])
        if f"recent {index}" in state:
            run.recent = torch.from_numpy(state[f"recent {index}"])
