"""`load` and `save`: every kind of artifact that this room writes.

Each kind is defined and registered by a file `serialization.py` next to its class; these files are found by their name.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar, overload

from .. import artifact

_FOLDER = Path(__file__).parent

Kind = TypeVar("Kind")


@overload
def load(path: str | Path, *, expected: type[Kind], **options: Any) -> Kind: ...
@overload
def load(path: str | Path, **options: Any) -> Any: ...


def load(path: str | Path, **options: Any) -> Any:
    """Read an object of any registered kind from a file written by its `save`.

    Args:
        path: A safetensors file.
        **options: Options of its kind, such as `field=` for a `Surrogate` whose vector field is a module of your own; and
            `expected=`, a class that the object must be of.

    Returns:
        A `Surrogate`, `SynapseSurrogate`, `StochasticSurrogate`, `WithFastResponse`, or an object of a kind of your own.

    Raises:
        FileFormatError: no such file, damaged or truncated, of a newer schema, of another kind than expected, or not an
            artifact.
        ConfigError: the file contains a vector field of your own and `field` was not given.

    Example:
        >>> import spinode
        >>> surrogate = spinode.load(spinode.surrogates.zoo.path("macrospin"))
        >>> surrogate.ports.output
        ('mz',)
    """
    discover()
    return artifact.load(path, **options)


def save(surrogate: object, path: str | Path) -> None:
    """Write an object of any registered kind to one file, atomically; see `spinode.artifact.save`."""
    discover()
    artifact.save(surrogate, path)


def discover() -> None:
    """Import every `serialization.py` below this folder, so that its kind is registered."""
    package = __name__.rpartition(".")[0]
    for file in sorted(_FOLDER.rglob("serialization.py")):
        import_module(".".join([package, *file.relative_to(_FOLDER).with_suffix("").parts]))
