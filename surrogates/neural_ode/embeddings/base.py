"""`EmbeddingKind`: how a state is built from recorded outputs, and what a vector field of that state sees of the drive.

A new kind is one file in this folder: a subclass with its constants and methods, and one call of `register`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ....errors import ConfigError
from ....typing import Array
from ....validation import one_of
from ..member import Member


@dataclass(frozen=True)
class Blocks:
    """Embedded outputs of one uniformly sampled recording.

    Attributes:
        values: b_j for zero feedthrough, in units per sample, shape (time - lookahead, order, outputs).
        noise: Standard deviation of the measurement noise in each block, shape (order, outputs).
        recorded_noise: Standard deviation of the measurement noise in the samples themselves, shape (outputs,). Smoothing may
            have lowered it in the blocks.
    """

    values: Array
    noise: Array
    recorded_noise: Array


@dataclass(frozen=True)
class Sizes:
    """Sizes of a member in a file.

    Attributes:
        order: Order of the embedding.
        inputs: Number of drives and parameters.
        outputs: Number of outputs.
        drives: Number of drives.
    """

    order: int
    inputs: int
    outputs: int
    drives: int


class EmbeddingKind(ABC):
    """One way to build the state x = (b_0, ..., b_{order-1}) from outputs y and drives u, with b_0 = y - D u.

    Row t of everything belongs to sample t. Orders are checked before they come here.

    Attributes:
        name: Name by which `Embedding` and `FitConfig` select it.
        summary: A few words on it, for the help of `FitConfig`.
        max_order: Largest order.
        chain: True if each block is the rate of the one before it, so that only the rate of the last block is learned.
        feedthrough: True if a fit learns the feedthrough D by default.
        recursive: True if the state is not read from outputs: a member estimates it along a recording, from outputs and drives.
        own_coordinates: True if each member of an ensemble describes the same state by other numbers.
        search_orders: Orders that the structure search tries, by effort; none if empty.
    """

    name: ClassVar[str]
    summary: ClassVar[str] = ""
    max_order: ClassVar[int]
    chain: ClassVar[bool] = False
    feedthrough: ClassVar[bool] = False
    recursive: ClassVar[bool] = False
    own_coordinates: ClassVar[bool] = False
    search_orders: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    @abstractmethod
    def embed(self, outputs: Array, order: int) -> Blocks:
        """Embed uniformly sampled outputs, shape (time, outputs)."""

    @abstractmethod
    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...], order: int) -> Tensor:
        """Apply to the drive what `embed` applies to the outputs: this is how D u enters each block.

        Args:
            drive: Samples, shape (time, channels).
            interpolation: "held", "linear" or "spline" of each channel.
            order: Number of blocks.

        Returns:
            Shape (time - lookahead, order, channels).
        """

    def state_size(self, order: int, outputs: int) -> int:
        """Return the number of state values."""
        return order * outputs

    def lookahead(self, order: int) -> int:
        """Return how many samples after the present one the state and the vector field need; 0 if it is causal."""
        return 0

    def drive_size(self, channels: int, order: int) -> int:
        """Return the number of drive values that the vector field sees at one instant."""
        return channels

    def field_drive(self, stages: Tensor, order: int) -> Tensor:
        """Return what the vector field sees of a drive in each step.

        Args:
            stages: Drive at the start, middle and end of each step, shape (..., steps, 3, channels).
            order: Number of blocks.

        Returns:
            Shape (..., steps, 3, drive_size).
        """
        return stages

    def constant_field_drive(self, drive: Tensor, order: int) -> Tensor:
        """Return what the vector field sees of a drive that stays constant, shape (..., drive_size)."""
        return drive

    def pack_member(self, member: Member) -> dict[str, Any] | None:
        """Return the layout of a member as plain JSON, where it is not the default network of a vector field."""
        return None

    def unpack_member(
        self, stored: Mapping[str, Any], tensors: Mapping[str, Tensor], prefix: str, sizes: Sizes
    ) -> Member | None:
        """Build a member from the result of `pack_member`, after a check of the sizes against the tensors of the file.

        Args:
            stored: From `pack_member`.
            tensors: Tensors of the file by name.
            prefix: Beginning of the names of the member's tensors.
            sizes: Sizes by the file's metadata.

        Returns:
            A member, or None for the default network.

        Raises:
            ValueError, KeyError, TypeError: metadata and tensors contradict each other.
        """
        return None


_KINDS: dict[str, EmbeddingKind] = {}


def register(kind: EmbeddingKind) -> EmbeddingKind:
    """Add a kind to the registry and return it.

    Raises:
        ConfigError: another class is registered under the same name.
    """
    known = _KINDS.get(kind.name)
    if known is not None and type(known) is not type(kind):
        raise ConfigError(f"the embedding name {kind.name!r} belongs to {type(known).__name__}; choose another one.")
    _KINDS[kind.name] = kind
    return kind


def embedding_names() -> list[str]:
    """Return the names of the registered kinds, sorted."""
    return sorted(_KINDS)


def embedding_kind(name: str) -> EmbeddingKind:
    """Return the kind of a name.

    Raises:
        ConfigError: no kind of this name is registered.
    """
    return _KINDS[one_of("embedding", name, embedding_names())]
