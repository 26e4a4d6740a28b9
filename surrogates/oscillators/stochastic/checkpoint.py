"""The resumable state of a stochastic fit: one safetensors file, replaced atomically, never pickle."""

from __future__ import annotations

import hashlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from ....errors import FitError
from ....files import check_writable, write_atomically

SCHEMA = 1
_KEY = "spinode-stochastic-checkpoint"
_TENSOR = "tensor:"  # a string that begins so stands for the tensor of that name


class Checkpoint:
    """The finished orders of a fit and the state of the one under way; kept in memory alone without a path.

    Attributes:
        finished: By order: the weights that were kept and their score.
        current: The state of the order under way, None between orders.
    """

    #: Seconds between two writes: the most work that a killed fit loses.
    every = 2.0

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        self.finished: dict[str, Any] = {}
        self.current: dict[str, Any] | None = None
        self._written = 0.0

    @classmethod
    def open(cls, path: str | Path | None, identity: dict[str, Any]) -> Checkpoint:
        """Open a checkpoint, resuming from the file if it exists.

        Args:
            path: File; None keeps everything in memory.
            identity: Everything that determines the result: data, settings.

        Raises:
            FitError: the file is damaged, or belongs to other data or settings.
            TraceError: the file cannot be written.
        """
        checkpoint = cls(None if path is None else Path(path), identity)
        if checkpoint.path is not None:
            if checkpoint.path.exists():
                checkpoint._read(checkpoint.path)
            check_writable(checkpoint.path)
        return checkpoint

    def _read(self, path: Path) -> None:
        remedy = "Delete it to start again, or pass another checkpoint path."
        try:
            with safe_open(path, "pt") as stored:
                meta = json.loads((stored.metadata() or {}).get(_KEY, "null"))
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise FitError(f"the checkpoint {path} cannot be read ({error}). {remedy}") from None
        if not isinstance(meta, dict) or meta.get("schema") != SCHEMA:
            raise FitError(f"{path} is not a checkpoint of a stochastic fit by this version of spinode. {remedy}")
        if meta.get("identity") != self.identity:
            raise FitError(f"the checkpoint {path} belongs to other data or settings. {remedy}")
        if meta.get("digest") != _digest(meta.get("state"), tensors):
            raise FitError(f"the checkpoint {path} is damaged: its contents do not match their digest. {remedy}")
        state = _unpacked(meta["state"], tensors)
        self.finished, self.current = state["finished"], state["current"]

    def update(self, current: dict[str, Any]) -> None:
        """Record the state of the order under way; it is written every few seconds."""
        self.current = current
        if time.monotonic() - self._written >= self.every:
            self._write()

    def finish(self, order: int, result: dict[str, Any]) -> None:
        """Record the result of an order and write the file."""
        self.finished[str(order)] = result
        self.current = None
        self._write()

    def _write(self) -> None:
        if self.path is None:
            return
        tensors: dict[str, Tensor] = {}
        state = _packed({"finished": self.finished, "current": self.current}, tensors)
        meta = {"schema": SCHEMA, "identity": self.identity, "state": state, "digest": _digest(state, tensors)}
        write_atomically(self.path, to_bytes(tensors, {_KEY: json.dumps(meta)}))
        self._written = time.monotonic()


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return a nested value as JSON, its tensors moved to `tensors` and replaced by their names."""
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().clone().contiguous()
        return _TENSOR + name
    if isinstance(value, dict):
        return {str(key): _packed(item, tensors) for key, item in value.items()}
    return [_packed(item, tensors) for item in value] if isinstance(value, (list, tuple)) else value


def _unpacked(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return the nested value that `_packed` has taken apart."""
    if isinstance(value, str) and value.startswith(_TENSOR):
        return tensors[value.removeprefix(_TENSOR)]
    if isinstance(value, dict):
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    return [_unpacked(item, tensors) for item in value] if isinstance(value, list) else value


def _digest(state: Any, tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of everything that a resumed fit reads; safetensors itself has no checksum."""
    digest = hashlib.sha256(json.dumps(state, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(np.ascontiguousarray(tensor.to(torch.float64).numpy()).tobytes())
    return digest.hexdigest()
