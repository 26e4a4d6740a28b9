"""The compiled Kalman filter of memory devices; its NumPy twin is `spinode.surrogates.synapses.kalman`."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..typing import Array
from . import native

Mask = npt.NDArray[np.bool_]

#: Input arrays, in the order in which the compiled code takes them.
_ORDER = ("reads", "drift", "slope", "reference", "process", "read", "decay", "memory", "depth", "depth_variance")
#: Those with a row for each read, and those without rows; all others have one row less than reads.
_PER_READ, _PER_LANE = ("reads", "read"), ("memory", "depth", "depth_variance")


def forward(inputs: dict[str, Array], seen: Mask, filled: Mask) -> tuple[Array, Array, Array, Array, Array]:
    """Run the Kalman filter over several recordings at once, one per lane.

    Args:
        inputs: Arrays by name: "reads" and "read" of shape (reads, lanes); "drift", "slope", "reference", "process" and "decay"
            of one row less; "memory", "depth" and "depth_variance" of shape (lanes,).
        seen: True where there is a read, shape (reads, lanes).
        filled: True where the trap is filled, shape (reads, lanes).

    Returns:
        Log likelihood, shape (lanes,); innovation and its variance, shape (reads, lanes); means and gains, shape
        (3, reads, lanes).

    Raises:
        ConfigError: arrays of other shapes.
    """
    count, lanes = seen.shape
    loglik, pair, triple = np.empty(lanes), np.empty((2, count, lanes)), np.empty((2, 3, count, lanes))
    addresses, _arrays = _addresses(inputs, seen, filled, (loglik, pair[0], pair[1], triple[0], triple[1]))
    native.library.filter((count, lanes), addresses)
    return loglik, pair[0], pair[1], triple[0], triple[1]


def gradient(inputs: dict[str, Array], seen: Mask, filled: Mask, innovation: Array, variance: Array, gain: Array) -> Array:
    """Return the derivative d loglik / d drift at constant gains, shape (reads - 1, lanes).

    Args:
        inputs: As for `forward`.
        seen: As for `forward`.
        filled: As for `forward`.
        innovation: Result of `forward`.
        variance: Result of `forward`.
        gain: Result of `forward`.

    Raises:
        ConfigError: arrays of other shapes.
    """
    count, lanes = seen.shape
    result = np.empty((count - 1, lanes))
    outputs = tuple(np.ascontiguousarray(value) for value in (innovation, variance, gain))
    for value, shape in zip(outputs, ((count, lanes), (count, lanes), (3, count, lanes)), strict=True):
        _check("a result of forward", value, shape)
    addresses, _arrays = _addresses(inputs, seen, filled, (None, outputs[0], outputs[1], None, outputs[2]))
    native.library.filter_gradient((count, lanes), addresses, result.ctypes.data)
    return result


def _addresses(
    inputs: dict[str, Array], seen: Mask, filled: Mask, outputs: Sequence[Array | None]
) -> tuple[list[int], list[Array | Mask]]:
    """Return the addresses in the order of the compiled code, and the arrays, which must outlive the call."""
    count, lanes = seen.shape
    arrays: list[Array | Mask] = []
    for name in _ORDER:
        value = np.ascontiguousarray(inputs[name], dtype=np.float64)
        _check(name, value, (lanes,) if name in _PER_LANE else (count - (name not in _PER_READ), lanes))
        arrays.append(value)
    for name, mask in (("seen", seen), ("filled", filled)):
        flags = np.ascontiguousarray(mask, dtype=np.bool_)
        _check(name, flags, (count, lanes))
        arrays.append(flags)
    return [value.ctypes.data for value in arrays] + [0 if value is None else value.ctypes.data for value in outputs], arrays


def _check(name: str, value: Array | Mask, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ConfigError(f"{name} has shape {value.shape}; expected {shape}.")
