"""The file of an interrupted computation: notes and tensors in one safetensors file, replaced atomically, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .differences import describe_differences, differences
from .digest import content_digest
from .errors import FitError
from .files import as_path, check_writable, write_atomically
from .identity import identity_of

#: Version of the layout of the file; files of version 1 do not record code and channels, and are refused.
SCHEMA = 2
_REMEDY = "Delete it to start again, or pass another checkpoint path."


class CheckpointFile:
    """Notes (plain JSON) and tensors of a computation, with the identity of everything that shapes its result.

    Attributes:
        path: The file; None to keep everything in memory.
        notes: Plain JSON by name.
        tensors: Tensors by name.

    Args:
        path: File to write and, if it exists, to resume from; None to keep everything in memory.
        identity: What shapes the result, by name: data, settings, fields of the user's own, see `spinode.identity`. A file with
            another identity is refused.

    Raises:
        FitError: the file is damaged, or belongs to other data, settings or code.
        TraceError: the path cannot be written.

    Example:
        >>> import tempfile, pathlib
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "fit.checkpoint"
        >>> first = CheckpointFile(path, {"seed": 0})
        >>> first.notes["round"] = 3
        >>> first.write()
        >>> CheckpointFile(path, {"seed": 0}).notes
        {'round': 3}
        >>> CheckpointFile(path, {"seed": 1})  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        spinode.errors.FitError: the checkpoint ... belongs to another fit: seed is 0 in the checkpoint and 1 here. Delete ...
    """

    def __init__(self, path: str | Path | None, identity: Mapping[str, Any]) -> None:
        self.path = None if path is None else as_path(path, "checkpoint")
        self.notes: dict[str, Any] = {}
        self.tensors: dict[str, Tensor] = {}
        self._identity: Any = None
        if self.path is not None:
            self._identity = identity_of(identity)
            if self.path.exists():
                self._read(self.path)
            check_writable(self.path)

    def write(self) -> None:
        """Write the file atomically; without a path, do nothing.

        Raises:
            TraceError: the path cannot be written.
        """
        if self.path is None:
            return
        meta = {
            "schema": str(SCHEMA),
            "identity": json.dumps(self._identity),
            "notes": json.dumps(self.notes),
            "digest": _digest(self.notes, self.tensors),
        }
        tensors = {name: value.contiguous() for name, value in self.tensors.items()} or {"empty": torch.zeros(0)}
        write_atomically(self.path, to_bytes(tensors, meta))

    def remove(self) -> None:
        """Delete the file if there is one."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)

    def _read(self, path: Path) -> None:
        try:
            with safe_open(path, "pt") as stored:
                meta = stored.metadata() or {}
                tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            notes, identity = json.loads(meta.get("notes", "null")), json.loads(meta.get("identity", "null"))
        except (SafetensorError, OSError, ValueError, RecursionError) as error:
            raise FitError(f"the checkpoint {path} cannot be read ({error}). {_REMEDY}") from None
        if meta.get("schema") != str(SCHEMA) or not isinstance(notes, dict):
            raise FitError(f"{path} is not a checkpoint of this version (schema {meta.get('schema')}). {_REMEDY}")
        if different := differences(identity, self._identity):
            raise FitError(f"the checkpoint {path} belongs to another fit: {describe_differences(different)}. {_REMEDY}")
        tensors.pop("empty", None)
        if meta.get("digest") != _digest(notes, tensors):
            raise FitError(f"the checkpoint {path} is damaged: its contents do not match their digest. {_REMEDY}")
        self.notes, self.tensors = notes, tensors


def _digest(notes: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of notes and tensors."""
    return content_digest(json.dumps(notes, sort_keys=True), tensors)
