"""Latent modes: a state that no few outputs show, estimated along a recording by the model itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ....artifact import shaped
from ....errors import ConfigError
from ....typing import Array
from ..latent.field import LatentField
from ..latent.layout import MAX_STATE, LatentLayout
from ..latent.member import LatentMember
from ..member import Member
from .base import Blocks, EmbeddingKind, Sizes, register

#: Largest number of steps of the integrator per sample that a file may request.
_MAX_SUBSTEPS = 1000


class LatentEmbedding(EmbeddingKind):
    """Complex modes behind the outputs; the order is their number.

    For devices with more modes than derivatives or delays of the outputs can show. The read-out and the estimate of the state
    are those of `LatentMember`.
    """

    name = "latent"
    summary = "many modes behind one output"
    max_order = MAX_STATE // 2
    feedthrough = True
    recursive = True
    own_coordinates = True

    def state_size(self, order: int, outputs: int) -> int:
        """Return two values per mode, whatever the number of outputs."""
        return 2 * order

    def embed(self, outputs: Array, order: int) -> Blocks:
        """Raise an error: outputs alone do not show the state.

        Raises:
            ConfigError: always.
        """
        raise ConfigError(
            "the state of latent modes follows from outputs and drives together; use `state_from` of a fitted surrogate."
        )

    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
        """Raise an error: there are no blocks.

        Raises:
            ConfigError: always.
        """
        raise ConfigError("latent modes have no blocks of outputs and drives.")

    def pack_member(self, member: Member) -> dict[str, Any] | None:
        """Return sizes and steps per sample."""
        if not isinstance(member, LatentMember):
            raise ConfigError(f"the member is {type(member).__name__}; expected a LatentMember for latent modes.")
        layout = member.layout
        return {"hidden": layout.hidden, "readout": layout.readout, "substeps": member.field.substeps}

    def unpack_member(self, stored: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: str, sizes: Sizes) -> Member:
        """Build latent modes after a check of all tensors of the file."""
        counts = [stored[name] for name in ("hidden", "readout", "substeps")]
        if not all(type(count) is int and count >= 0 for count in counts) or not 1 <= counts[2] <= _MAX_SUBSTEPS:
            raise ValueError(f"sizes of latent modes {counts}")
        # A header can claim any size at no cost, tensors take space in the file: they say how large the network may be.
        hidden, readout = (len(tensors[f"{prefix}{name}"]) for name in ("field.height", "look_bias"))
        if [hidden, readout] != counts[:2]:
            raise ValueError(f"sizes of latent modes {counts}, but tensors of {hidden} and {readout}")
        layout = LatentLayout(sizes.order, sizes.inputs, sizes.outputs, sizes.drives, hidden, readout)
        for name, shape in layout.shapes.items():
            shaped(tensors, f"{prefix}{'field.' if name in LatentField.NAMES else ''}{name}", shape)
        return LatentMember(layout, substeps=counts[2])


register(LatentEmbedding())
