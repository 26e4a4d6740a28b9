"""The compiled Kalman filter of memory devices; its NumPy twin is `spinode.surrogates.synapses.kalman`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError
from ..typing import Array
from . import native

Mask = npt.NDArray[np.bool_]

#: Input arrays.
_INPUTS = ("reads", "drift", "slope", "reference", "process", "read", "decay", "memory", "depth", "depth_variance")
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
    arrays = _arrays(inputs, seen, filled)
    native.library.filter(**arrays, loglik=loglik, innovation=pair[0], variance=pair[1], mean=triple[0], gain=triple[1])
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
    arrays = _arrays(inputs, seen, filled)
    outputs = {"innovation": innovation, "variance": variance, "gain": gain}
    outputs = {name: np.ascontiguousarray(value) for name, value in outputs.items()}
    for (name, value), shape in zip(outputs.items(), ((count, lanes), (count, lanes), (3, count, lanes)), strict=True):
        _check(name, value, shape)
    used = {name: arrays[name] for name in ("slope", "decay", "seen", "filled")}
    native.library.filter_gradient(**used, **outputs, gradient=result)
    return result


def _arrays(inputs: dict[str, Array], seen: Mask, filled: Mask) -> dict[str, Array | Mask]:
    """Return the arrays by the names that the compiled code gives them, contiguous and of matching shapes."""
    count, lanes = seen.shape
    arrays: dict[str, Array | Mask] = {}
    for name in _INPUTS:
        value = np.ascontiguousarray(inputs[name], dtype=np.float64)
        _check(name, value, (lanes,) if name in _PER_LANE else (count - (name not in _PER_READ), lanes))
        arrays[name] = value
    for name, mask in (("seen", seen), ("filled", filled)):
        flags = np.ascontiguousarray(mask, dtype=np.bool_)
        _check(name, flags, (count, lanes))
        arrays[name] = flags
    return arrays


def _check(name: str, value: Array | Mask, shape: tuple[int, ...]) -> None:
    if value.shape != shape:
        raise ConfigError(f"{name} has shape {value.shape}; expected {shape}.")
