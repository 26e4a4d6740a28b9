"""Memristive devices: hidden states that set a conductance, estimated along a recording by the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ....artifact import shaped
from ....dynamics.field import MLPField
from ....errors import ConfigError
from ....typing import Array
from ..member import Member
from ..memristive.member import MemristiveMember
from .base import Blocks, EmbeddingKind, Sizes, register


class MemristiveEmbedding(EmbeddingKind):
    """Hidden states behind an output that vanishes with a drive, the current of a memristor; the order is their number.

    At zero drive such an output says nothing about the state, and neither do its derivatives and delays. The read-out and the
    estimate of the state are those of `MemristiveMember`.
    """

    name = "memristive"
    summary = "conductance times drive, with a hidden state"
    max_order = 6
    recursive = True

    def state_size(self, order: int, outputs: int) -> int:
        """Return one value per hidden state, whatever the number of outputs."""
        return order

    def embed(self, outputs: Array, order: int) -> Blocks:
        """Raise an error: outputs alone do not show the state.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "the state of a memristive device follows from outputs and drives together; use `state_from` of a fitted surrogate."
        )

    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
        """Raise an error: there are no blocks.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("a memristive device has no blocks of outputs and drives.")

    def pack_member(self, member: Member) -> dict[str, Any] | None:
        """Return the widths of both networks."""
        if not isinstance(member, MemristiveMember):
            raise ConfigError(f"the member is {type(member).__name__}; expected a MemristiveMember for a memristive device.")
        return {"hidden": member.field.widths, "conductance": member.conductance.widths}

    def unpack_member(self, stored: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: str, sizes: Sizes) -> Member:
        """Build a member after a check of all tensors of the file."""
        order, outputs, drives = sizes.order, sizes.outputs, sizes.drives
        field = _network(tensors, f"{prefix}field.", order, sizes.inputs, order, stored["hidden"])
        conductance = _network(tensors, f"{prefix}conductance.", order, drives, outputs, stored["conductance"])
        for name, shape in {"feedthrough": (outputs, drives), "constant": (outputs,)}.items():
            shaped(tensors, f"{prefix}{name}", shape)
        selector = shaped(tensors, f"{prefix}selector", (outputs, drives))
        return MemristiveMember(field, conductance, selector, shaped(tensors, f"{prefix}offset", (outputs,)))


def _network(tensors: Mapping[str, Tensor], prefix: str, state: int, drive: int, rates: int, hidden: Any) -> MLPField:
    """Build a network whose widths the tensors of the file have."""
    if not isinstance(hidden, list) or not hidden or not all(type(width) is int and width > 0 for width in hidden):
        raise ValueError(f"hidden widths {hidden!r}")
    # A header can claim any size at no cost, tensors take space in the file: they say how large the network may be.
    widths = [state + drive, *hidden]
    layers = {f"layers.{i}": (hidden[i], widths[i]) for i in range(len(hidden))}
    for name, shape in {**layers, "out": (rates, widths[-1]), "skip": (rates, widths[0])}.items():
        shaped(tensors, f"{prefix}{name}.weight", shape)
        shaped(tensors, f"{prefix}{name}.bias", shape[:1])
    return MLPField(state, drive, rates, hidden=hidden, generator=torch.Generator().manual_seed(0))


register(MemristiveEmbedding())
