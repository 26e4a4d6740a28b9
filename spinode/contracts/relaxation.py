"""Devices whose conductance drifts between pulses: the optional part of the `Synapse` contract that describes it."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import torch

from .synapse import State


@runtime_checkable
class Relaxing(Protocol):
    """A synapse with retention: `relax` returns the devices after a pause without pulses."""

    def relax(self, state: State, seconds: float, *, generator: torch.Generator | None = None) -> State:
        """Return the devices after a pause; `state` is not changed.

        Args:
            state: Devices as they were programmed.
            seconds: Time since then [s].
            generator: Source of the spread of the drift; its mean if omitted.
        """


def retains(synapse: Any) -> bool:
    """Return True if a synapse has a model of retention: a method `relax`, and a `retention` (if it has one) that is not None.

    Example:
        >>> from spinode.datasets import WeakReset
        >>> retains(WeakReset())
        False
    """
    return isinstance(synapse, Relaxing) and getattr(synapse, "retention", True) is not None
