"""The compiled Kalman filter of memory devices; its twin in NumPy stands in `spinode.surrogates.synapses.kalman`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..typing import Array
from . import native

Mask = npt.NDArray[np.bool_]

#: Arrays of shape (reads, lanes), of one row less, and of (lanes,), in the order in which the compiled half takes them.
_ORDER = ("reads", "drift", "slope", "reference", "process", "read", "decay", "memory", "depth", "depth_variance")
_READS, _LANES = ("reads", "read"), ("memory", "depth", "depth_variance")


def forward(inputs: dict[str, Array], seen: Mask, filled: Mask) -> tuple[Array, Array, Array, Array, Array]:
    """Filter recordings side by side.

    Args:
        inputs: Arrays by name: "reads" and "read" of shape (reads, lanes); "drift", "slope", "reference", "process" and "decay"
            of one row less; "memory", "depth" and "depth_variance" of shape (lanes,).
        seen: Whether each was read, shape (reads, lanes).
        filled: Whether the trap is filled, likewise.

    Returns:
        Log likelihood (lanes,), innovation and variance (reads, lanes), means and gains (3, reads, lanes).

    Raises:
        ConfigError: arrays of other shapes.
    """
    count, lanes = seen.shape
    loglik, pair, triple = np.empty(lanes), np.empty((2, count, lanes)), np.empty((2, 3, count, lanes))
    at, _kept = _addresses(inputs, seen, filled, (loglik, pair[0], pair[1], triple[0], triple[1]))
    native.library.filter((count, lanes), at)
    return loglik, pair[0], pair[1], triple[0], triple[1]


def gradient(inputs: dict[str, Array], seen: Mask, filled: Mask, innovation: Array, variance: Array, gain: Array) -> Array:
    """Slope d loglik / d drift with the gains held, shape (reads - 1, lanes); arguments as `forward` takes and returns them.

    Raises:
        ConfigError: arrays of other shapes.
    """
    count, lanes = seen.shape
    result = np.empty((count - 1, lanes))
    outputs = tuple(np.ascontiguousarray(value) for value in (innovation, variance, gain))
    for value, shape in zip(outputs, ((count, lanes), (count, lanes), (3, count, lanes)), strict=True):
        _check("a result", value, shape)
    at, _kept = _addresses(inputs, seen, filled, (None, outputs[0], outputs[1], None, outputs[2]))
    native.library.filter_gradient((count, lanes), at, result.ctypes.data)
    return result


def _addresses(
    inputs: dict[str, Array], seen: Mask, filled: Mask, outputs: Sequence[Array | None]
) -> tuple[list[int], list[Array | Mask]]:
    """Addresses in the order of the compiled half, and the arrays that must outlive the call."""
    count, lanes = seen.shape
    kept: list[Array | Mask] = []
    for name in _ORDER:
        value = np.ascontiguousarray(inputs[name], dtype=np.float64)
        _check(name, value, (lanes,) if name in _LANES else (count - (name not in _READS), lanes))
        kept.append(value)
    for name, mask in (("seen", seen), ("filled", filled)):
        flags = np.ascontiguousarray(mask, dtype=np.bool_)
        _check(name, flags, (count, lanes))
        kept.append(flags)
    return [value.ctypes.data for value in kept] + [0 if value is None else value.ctypes.data for value in outputs], kept


def _check(name: str, value: Array | Mask, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ConfigError(f"{name} has shape {value.shape}; expected {shape}.")
