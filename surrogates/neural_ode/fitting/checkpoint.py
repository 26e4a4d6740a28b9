"""The resumable state of a fit: one safetensors file, replaced atomically, never pickle."""

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
from ....files import write_atomically
from .gauss_newton import Damping

SCHEMA = 1


def _digest(notes: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """SHA-256 of all that a resumed fit reads; safetensors itself has no checksum."""
    made = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        made.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        made.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return made.hexdigest()


class Checkpoint:
    """Progress of a fit by (restart, stage): finished stages, the one under way, and small notes.

    Without a path everything stays in memory.
    """

    #: Seconds between two writes: what a killed run loses at most.
    every = 2.0

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = json.dumps(identity, sort_keys=True)
        self.notes: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self.last_entry: dict[str, Any] = {}
        self._written = 0.0

    @classmethod
    def open(cls, path: str | Path | None, identity: dict[str, Any]) -> Checkpoint:
        """Open a checkpoint, resuming from the file if there is one.

        Raises:
            FitError: the file is damaged, or belongs to other data or settings.
        """
        made = cls(None if path is None else Path(path), identity)
        if made.path is not None and made.path.exists():
            made._read(made.path)
        return made

    def _read(self, path: Path) -> None:
        remedy = "Delete it to start afresh, or pass another checkpoint path."
        try:
            with safe_open(path, "pt") as stored:
                meta = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            notes = json.loads(meta.get("notes", "null"))
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise FitError(f"the checkpoint {path} cannot be read ({error}). {remedy}") from None
        if meta.get("schema") != str(SCHEMA) or not isinstance(notes, dict):
            raise FitError(f"{path} is no fit checkpoint of this version (schema {meta.get('schema')}). {remedy}")
        if meta.get("identity") != self.identity:
            raise FitError(f"the checkpoint {path} belongs to other data or settings. {remedy}")
        tensors.pop("empty", None)
        if meta.get("digest") != _digest(notes, tensors):
            raise FitError(f"the checkpoint {path} is damaged: its contents do not match their digest. {remedy}")
        self.notes, self.tensors = notes, tensors

    @property
    def resumed(self) -> bool:
        """Whether there is anything to resume from."""
        return bool(self.notes)

    def read(self, name: str) -> Any:
        """A note, or None."""
        return self.notes.get(name)

    def write(self, name: str, value: Any) -> None:
        """Keep a note."""
        self.notes[name] = value
        self._flush(force=True)

    def finished(self, restart: int, stage: int) -> tuple[Tensor, dict[str, Any]] | None:
        """Weights and history entry of a finished stage, or None."""
        key = f"{restart}.{stage}"
        entry = self.notes.get(f"stage.{key}")
        return None if entry is None else (self.tensors[f"theta.{key}"], entry)

    def finish(self, restart: int, stage: int, theta: Tensor, entry: dict[str, Any]) -> None:
        """Keep the result of a stage."""
        key = f"{restart}.{stage}"
        self.tensors[f"theta.{key}"] = theta.detach().clone()
        self.notes[f"stage.{key}"] = entry
        self.notes.pop("under_way", None)
        for name in ("now.theta", "now.shifts"):
            self.tensors.pop(name, None)
        self._flush(force=True)

    def unfinished(self, restart: int, stage: int) -> tuple[Tensor, Tensor, Damping] | None:
        """Weights, shifts and damping of this stage where it was interrupted, or None."""
        now = self.notes.get("under_way")
        if now is None or now["where"] != [restart, stage]:
            return None
        return self.tensors["now.theta"], self.tensors["now.shifts"], Damping(**now["damping"])

    def progress(self, restart: int, stage: int, theta: Tensor, shifts: Tensor, damping: Damping) -> None:
        """Keep where a stage stands; written to the file every few seconds."""
        self.notes["under_way"] = {"where": [restart, stage], "damping": dict(vars(damping))}
        self.tensors["now.theta"] = theta.detach().clone()
        self.tensors["now.shifts"] = shifts.detach().clone()
        self._flush(force=False)

    def _flush(self, *, force: bool) -> None:
        if self.path is None or (not force and time.monotonic() - self._written < self.every):
            return
        meta = {
            "schema": str(SCHEMA),
            "identity": self.identity,
            "notes": json.dumps(self.notes),
            "digest": _digest(self.notes, self.tensors),
        }
        tensors = self.tensors or {"empty": torch.zeros(0)}
        write_atomically(self.path, to_bytes({k: v.contiguous() for k, v in tensors.items()}, meta))
        self._written = time.monotonic()

    def remove(self) -> None:
        """Delete the file, if there is one."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)
