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
from .levenberg_marquardt import Damping

SCHEMA = 1


class Checkpoint:
    """Progress of a fit by (restart, stage): finished stages, the unfinished one, and small notes.

    Without a path everything stays in memory.

    Args:
        path: File, or None.
        identity: What shaped the result (data, settings, field), as plain JSON; a file with another identity is refused.

    Attributes:
        every: Seconds between two writes of an unfinished stage, and so the largest loss of a killed run.
    """

    every = 2.0

    def __init__(self, path: Path | None, identity: dict[str, Any]) -> None:
        self.path = path
        self.identity = json.dumps(identity, sort_keys=True)
        self.notes: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self._last_write = 0.0

    @classmethod
    def open(cls, path: str | Path | None, identity: dict[str, Any]) -> Checkpoint:
        """Open a checkpoint; resume from the file if it exists.

        Raises:
            FitError: the file is damaged, or belongs to other data or settings.
        """
        checkpoint = cls(None if path is None else Path(path), identity)
        if checkpoint.path is not None and checkpoint.path.exists():
            checkpoint._load(checkpoint.path)
        return checkpoint

    def _load(self, path: Path) -> None:
        remedy = "Delete it to start afresh, or pass another checkpoint path."
        try:
            with safe_open(path, "pt") as stored:
                meta = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            notes = json.loads(meta.get("notes", "null"))
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise FitError(f"the checkpoint {path} cannot be read ({error}). {remedy}") from None
        if meta.get("schema") != str(SCHEMA) or not isinstance(notes, dict):
            raise FitError(f"{path} is not a fit checkpoint of this version (schema {meta.get('schema')}). {remedy}")
        if meta.get("identity") != self.identity:
            raise FitError(f"the checkpoint {path} belongs to other data or settings. {remedy}")
        tensors.pop("empty", None)
        if meta.get("digest") != _digest(notes, tensors):
            raise FitError(f"the checkpoint {path} is damaged: its contents do not match their digest. {remedy}")
        self.notes, self.tensors = notes, tensors

    @property
    def resumed(self) -> bool:
        """True if there is anything to resume from."""
        return bool(self.notes)

    def load_note(self, name: str) -> Any:
        """Return a note, or None."""
        return self.notes.get(name)

    def save_note(self, name: str, value: Any) -> None:
        """Store a note, as plain JSON."""
        self.notes[name] = value
        self._write(force=True)

    def load_stage(self, restart: int, stage: int) -> tuple[Tensor, dict[str, Any]] | None:
        """Return weights and history entry of a finished stage, or None."""
        key = f"{restart}.{stage}"
        entry = self.notes.get(f"stage.{key}")
        return None if entry is None else (self.tensors[f"theta.{key}"], entry)

    def save_stage(self, restart: int, stage: int, theta: Tensor, entry: dict[str, Any]) -> None:
        """Store the result of a finished stage."""
        key = f"{restart}.{stage}"
        self.tensors[f"theta.{key}"] = theta.detach().clone()
        self.notes[f"stage.{key}"] = entry
        self.notes.pop("under_way", None)
        for name in ("now.theta", "now.shifts"):
            self.tensors.pop(name, None)
        self._write(force=True)

    def load_progress(self, restart: int, stage: int) -> tuple[Tensor, Tensor, Damping] | None:
        """Return weights, shifts and damping of an interrupted stage, or None."""
        unfinished = self.notes.get("under_way")
        if unfinished is None or unfinished["where"] != [restart, stage]:
            return None
        return self.tensors["now.theta"], self.tensors["now.shifts"], Damping(**unfinished["damping"])

    def save_progress(self, restart: int, stage: int, theta: Tensor, shifts: Tensor, damping: Damping) -> None:
        """Store the state of an unfinished stage; it is written to the file every few seconds."""
        self.notes["under_way"] = {"where": [restart, stage], "damping": dict(vars(damping))}
        self.tensors["now.theta"] = theta.detach().clone()
        self.tensors["now.shifts"] = shifts.detach().clone()
        self._write(force=False)

    def _write(self, *, force: bool) -> None:
        if self.path is None or (not force and time.monotonic() - self._last_write < self.every):
            return
        meta = {
            "schema": str(SCHEMA),
            "identity": self.identity,
            "notes": json.dumps(self.notes),
            "digest": _digest(self.notes, self.tensors),
        }
        tensors = self.tensors or {"empty": torch.zeros(0)}
        write_atomically(self.path, to_bytes({name: value.contiguous() for name, value in tensors.items()}, meta))
        self._last_write = time.monotonic()

    def remove(self) -> None:
        """Delete the file, if it exists."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def _digest(notes: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    """Return the SHA-256 of all that a resumed fit reads; safetensors itself has no checksum."""
    digest = hashlib.sha256(json.dumps(notes, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).tobytes())
    return digest.hexdigest()
