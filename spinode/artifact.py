"""Artifacts: the files of models, and the registry of their kinds.

An artifact is one safetensors file. Its numbers are tensors; everything else is JSON under one metadata key, which names the
kind. A SHA-256 of both reveals damage. Nothing is pickled: loading a file executes no code. A kind registers itself where it is
defined:

    artifact.register(Kind(key="my-device", title="a device of mine", cls=MyDevice, pack=pack, unpack=unpack))

From then on `save` and `load` (and `spinode.load`) take its objects and files.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes
from torch import Tensor

from .digest import content_digest
from .errors import ConfigError, FileFormatError
from .files import as_path, write_atomically

Metadata = dict[str, Any]
Tensors = dict[str, Tensor]
T = TypeVar("T")

#: Name of the digest of all other metadata and the tensors, in the JSON.
DIGEST_KEY = "sha256"

#: Largest count (members, names, state values) that is accepted from a file, so that a malicious header cannot exhaust memory.
MAX_COUNT = 4096


@dataclass(frozen=True)
class Kind:
    """One kind of artifact.

    Attributes:
        key: Metadata key under which its JSON is stored, such as "spinode-synapse".
        title: Description for error messages, such as "a surrogate of a memory device".
        cls: Class of the objects that are saved and loaded.
        pack: Returns JSON metadata and tensors of an object.
        unpack: Builds the object from both and the options of `load`; may raise any of the usual errors (KeyError,
            ValueError, ...) where the two contradict each other.
        schema: Version of the metadata's layout.
        oldest: Oldest version that `unpack` reads; `schema` if None.
    """

    key: str
    title: str
    cls: type
    pack: Callable[[Any], tuple[Metadata, Tensors]]
    unpack: Callable[..., Any]
    schema: int = 1
    oldest: int | None = None


_KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> Kind:
    """Add a kind to the registry and return it.

    Raises:
        ConfigError: another class is registered under the same key.
    """
    known = _KINDS.get(kind.key)
    if known is not None and known.cls is not kind.cls:
        raise ConfigError(f"the artifact key {kind.key!r} belongs to {known.cls.__name__}; choose another one.")
    _KINDS[kind.key] = kind
    return kind


def kinds() -> tuple[Kind, ...]:
    """Return the registered kinds."""
    return tuple(_KINDS.values())


def save(artifact: object, path: str | Path) -> None:
    """Write an object of a registered kind to one safetensors file, atomically.

    Raises:
        TraceError: the path cannot be written.
        ConfigError: its class is not registered, it contains NaN or infinite numbers, or `path` is not a path.
    """
    target = as_path(path)
    exact = (each for each in _KINDS.values() if type(artifact) is each.cls)
    kind = next(exact, None) or next((each for each in _KINDS.values() if isinstance(artifact, each.cls)), None)
    if kind is None:
        known = ", ".join(sorted(each.cls.__name__ for each in _KINDS.values()))
        raise ConfigError(f"a {type(artifact).__name__} cannot be saved; expected one of: {known}.")
    meta, tensors = kind.pack(artifact)
    stored = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    bad = [repr(name) for name, value in stored.items() if not bool(torch.isfinite(value).all())]
    try:
        complete = {"schema": kind.schema, **meta}
        complete[DIGEST_KEY] = content_digest(json.dumps(complete, allow_nan=False), stored)
    except ValueError:
        bad.append("the metadata")
    if bad:
        raise ConfigError(
            f"{bad[0]} of the surrogate contains NaN or infinite numbers; `load` would refuse the file. Fit again."
        )
    write_atomically(target, to_bytes(stored, {kind.key: json.dumps(complete)}))


def load(path: str | Path, *, expected: type[T] | None = None, **options: Any) -> T:
    """Read an artifact of any registered kind.

    Args:
        path: File written by `save`.
        expected: Class that the file must contain; any kind if omitted.
        **options: Passed on to the kind, such as `field=` for a surrogate with a vector field of your own.

    Raises:
        FileFormatError: no such file, damaged or truncated, of a newer schema, of another kind than expected, or with metadata
            and tensors that contradict each other.
        ConfigError: an option that the kind does not have, or lacks; or `path` is not a path.
    """
    file = as_path(path)
    kind, meta, tensors = _read(file, expected)
    set_options = {name: value for name, value in options.items() if value is not None}
    _check_options(kind, set_options)
    try:
        artifact: T = kind.unpack(meta, tensors, **set_options)
    except (ConfigError, FileFormatError):
        raise
    except (KeyError, TypeError, ValueError, IndexError, RuntimeError, AttributeError, OverflowError, RecursionError) as error:
        raise FileFormatError(
            f"{file} is damaged: its header and its numbers contradict each other ({type(error).__name__}: {error}). "
            "Get the file again, or fit again."
        ) from None
    return artifact


def _check_options(kind: Kind, options: Mapping[str, Any]) -> None:
    """Refuse options that `unpack` does not take; its TypeError would be mistaken for a damaged file."""
    parameters = list(inspect.signature(kind.unpack).parameters.values())[2:]
    known = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    unknown = [name for name in options if name not in known]
    if unknown and len(known) == len(parameters):
        raise ConfigError(
            f"{kind.title} has no option {unknown[0]!r} for loading; its options are: {', '.join(known) or 'none'}."
        )


def _read(path: Path, expected: type | None) -> tuple[Kind, Metadata, Tensors]:
    """Read kind, metadata and tensors, and check their form."""
    try:
        if not path.is_file():
            raise FileFormatError(f"there is no file {path}; pass the path of a file written by `save`.")
        with safe_open(path, "pt") as stored:
            metadata = stored.metadata() or {}
            kind = _kind_of(path, metadata, expected)
            meta = json.loads(metadata[kind.key], parse_constant=_refuse_constant)
            schema = meta.get("schema") if isinstance(meta, dict) else None
            if isinstance(schema, int) and schema > kind.schema:
                raise FileFormatError(
                    f"{path} has schema {schema}, this version of spinode reads up to {kind.schema}; upgrade spinode."
                )
            oldest = kind.schema if kind.oldest is None else kind.oldest
            if type(schema) is not int or schema < oldest:
                expected_schema = str(kind.schema) if oldest == kind.schema else f"{oldest} .. {kind.schema}"
                raise FileFormatError(f"{path} has schema {schema!r}; expected {expected_schema}. The file is damaged.")
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118 - not a mapping
            expected_digest = meta.pop(DIGEST_KEY, None)  # files of earlier versions have none
            is_intact = expected_digest in (None, content_digest(json.dumps(meta), tensors))
            bad = [name for name, tensor in tensors.items() if not bool(torch.isfinite(tensor).all())]
    except (SafetensorError, OSError, ValueError, RecursionError, RuntimeError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(
            f"{path} cannot be read as a surrogate: it is truncated, damaged or another kind of file ({error})."
        ) from None
    if not is_intact:
        raise FileFormatError(
            f"{path} is damaged: its contents do not match their digest (SHA-256). Get the file again, or fit again."
        )
    if bad:
        raise FileFormatError(f"{path} contains NaN or infinite numbers in {bad[0]!r}; the file is damaged.")
    return kind, meta, tensors


def _kind_of(path: Path, metadata: Mapping[str, str], expected: type | None) -> Kind:
    found = [kind for key, kind in _KINDS.items() if key in metadata]
    if not found:
        raise FileFormatError(
            f"{path} is a safetensors file but not a spinode artifact (its metadata keys are "
            f"{', '.join(sorted(metadata)) or 'none'}; expected one of {', '.join(sorted(_KINDS))})."
        )
    if len(found) > 1:
        raise FileFormatError(f"{path} claims to be {' and '.join(kind.title for kind in found)}; the file is damaged.")
    if expected is not None and not issubclass(found[0].cls, expected):
        title = next((kind.title for kind in _KINDS.values() if issubclass(kind.cls, expected)), expected.__name__)
        raise FileFormatError(
            f"{path} is {found[0].title} ({found[0].cls.__name__}); expected {title}. `spinode.load` opens every kind."
        )
    return found[0]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"its metadata contain {name}, which is not JSON")


# --- for the kinds -----------------------------------------------------------------------------------------------------


def plain(value: Any) -> Any:
    """Return a value as plain JSON: infinities and NaN become None, tuples become lists, other objects text.

    Example:
        >>> import numpy as np
        >>> plain({"order": np.int64(2), "windows": (1, 8), "error": float("inf")})
        {'order': 2, 'windows': [1, 8], 'error': None}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)


def shaped(tensors: Mapping[str, Tensor], name: str, shape: tuple[int, ...]) -> Tensor:
    """Return a float64 tensor of a file by name.

    Raises:
        KeyError: no tensor of this name.
        ValueError: another shape or type.
    """
    tensor = tensors[name]
    if tuple(tensor.shape) != shape or tensor.dtype != torch.float64:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)} and {tensor.dtype}, expected {shape} and float64")
    return tensor
