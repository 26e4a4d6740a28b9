"""`load` and `save`: every kind of artifact that this room writes.

Each kind is defined by a file `serialization.py` beside its class, which registers it; those files are found by their name.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from .. import artifact

_HERE = Path(__file__).parent


def load(path: str | Path, **options: Any) -> Any:
    """Read a surrogate of any kind from a file written by its `save`.

    Args:
        path: A safetensors file.
        **options: Options of its kind: `field=` for a `Surrogate` whose vector field is a module of your own.

    Returns:
        A `Surrogate`, `SynapseSurrogate`, `StochasticSurrogate` or `WithFastResponse`.

    Raises:
        FileFormatError: no such file, damaged or truncated, of a newer schema, or not an artifact.
        ConfigError: the file contains a vector field of the user's own and `field` was not given.

    Example:
        >>> import spinode
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> surrogate.ports.output
        ('mz',)
    """
    discover()
    return artifact.load(path, **options)


def save(surrogate: object, path: str | Path) -> None:
    """Write a surrogate of any kind to one file, completely or not at all; see `spinode.artifact.save`."""
    discover()
    artifact.save(surrogate, path)


def discover() -> None:
    """Import every `serialization.py` below this folder, so that its kind is registered."""
    package = __name__.rpartition(".")[0]
    for file in sorted(_HERE.rglob("serialization.py")):
        import_module(".".join([package, *file.relative_to(_HERE).with_suffix("").parts]))
