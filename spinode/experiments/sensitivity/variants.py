"""The variants of a device and its crossbar that are compared."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...contracts.imperfections import imperfections, own_imperfections, without
from ...contracts.reduced_synapse import D2D
from ...contracts.synapse import Synapse

if TYPE_CHECKING:
    from ...surrogates.layers.crossbar import Crossbar

EVERYTHING, NOTHING = "everything", "nothing"


@dataclass(frozen=True)
class Variant:
    """One variant.

    Attributes:
        name: "everything", "nothing", "only NAME" or "without NAME".
        removed: The imperfections that it does not have.
    """

    name: str
    removed: tuple[str, ...]


def all_imperfections(synapse: Synapse, crossbar: Crossbar | None) -> tuple[str, ...]:
    """Return the names of the imperfections of a device and of its crossbar."""
    return (*imperfections(synapse), *own_imperfections(crossbar))


def variants(names: Sequence[str]) -> list[Variant]:
    """Return the variants: with everything, with nothing, and each imperfection alone and removed.

    Example:
        >>> [variant.name for variant in variants(["read noise"])]
        ['everything', 'nothing', 'only read noise', 'without read noise']
    """
    main = [name for name in names if not is_part(name)]
    listed = [Variant(EVERYTHING, ()), Variant(NOTHING, tuple(main))]
    for name in names:
        listed += [Variant(f"only {name}", _others(name, names)), Variant(f"without {name}", (name,))]
    return listed


def is_part(name: str) -> bool:
    """Return True for a single parameter of the device-to-device spread."""
    return name.startswith(f"{D2D} ")


def _others(name: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return what is removed so that one imperfection remains: of the spread of one parameter, the other parameters."""
    main = [each for each in names if not is_part(each) and each != name and not (each == D2D and is_part(name))]
    return (*main, *(each for each in names if is_part(each) and is_part(name) and each != name))


def reduced(synapse: Synapse, crossbar: Crossbar | None, removed: Sequence[str]) -> tuple[Synapse, Crossbar | None]:
    """Return device and crossbar without some imperfections."""
    of_crossbar = own_imperfections(crossbar)
    for name in removed:
        if name in of_crossbar:
            crossbar = own_imperfections(crossbar)[name]
    return without(synapse, *(name for name in removed if name not in of_crossbar)), crossbar
