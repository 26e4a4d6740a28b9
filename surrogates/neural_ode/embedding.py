"""`Embedding`: how the state of a device is read from the few outputs that a recording contains.

A device has few outputs and a larger state. By Takens' theorem, delayed samples or derivatives of the outputs can stand in
for the state. Every kind numbers the state as `order` blocks of one value per output,

    x = (b_0, b_1, ..., b_{order-1}),   b_0 = y - D u,

so that the read-out is always y = b_0 + D u. The kinds differ in the blocks above the first; each is one file in
`spinode.surrogates.neural_ode.embeddings`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...dynamics.field import ChainField
from ...typing import Array
from ...validation import whole_number
from .embeddings.base import Blocks, EmbeddingKind, embedding_kind

#: Standard deviation that is granted to measured outputs beyond their noise, in deviations of the output.
OUTPUT_FLOOR = 1e-3

#: The same for all other blocks, in deviations of the block: fast motion that the embedding leaves out shows up there.
BLOCK_FLOOR = 2e-2

#: Samples at the beginning of a drive that determine its blocks there.
START_SAMPLES = 32


@dataclass(frozen=True)
class Embedding:
    """Kind and order of an embedding.

    Attributes:
        kind: "derivative" (causal, the default), "delay" (forward samples, as in Chen et al. 2022), "latent" (complex modes
            behind the outputs; `order` of them) or "memristive" (`order` hidden states that set a conductance).
        order: Number of blocks; the state has `order` values per output.

    Raises:
        ConfigError: an unknown kind, or an order outside 1 .. 6 ("delay": 1 .. 24).

    Example:
        >>> Embedding("delay", 3).lookahead, Embedding("derivative", 3).lookahead
        (2, 0)
        >>> Embedding("derivative", 9)
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: embedding order is 9; expected a whole number from 1 to 6.
    """

    kind: str = "derivative"
    order: int = 2

    def __post_init__(self) -> None:
        order = whole_number("embedding order", self.order, 1, self.method.max_order)
        object.__setattr__(self, "order", order)

    @property
    def method(self) -> EmbeddingKind:
        """Registered kind of this name, which does the computations."""
        return embedding_kind(self.kind)

    @property
    def chain(self) -> bool:
        """True if each block is the rate of the one before it, so that only the rate of the last block is learned."""
        return self.method.chain

    @property
    def lookahead(self) -> int:
        """Number of samples after the present one that the state and the vector field need; 0 if it is causal."""
        return self.method.lookahead(self.order)

    @property
    def recursive(self) -> bool:
        """True if a member estimates its state along a recording, from outputs and drives; then there are no blocks."""
        return self.method.recursive

    def state_size(self, outputs: int) -> int:
        """Return the number of state values."""
        return self.method.state_size(self.order, outputs)

    def blocks(self) -> int:
        """Return the number of blocks that have scales of their own."""
        return 1 if self.recursive else self.order

    def embed(self, outputs: Array) -> Blocks:
        """Embed uniformly sampled outputs.

        Args:
            outputs: Samples, shape (time, outputs).

        Returns:
            Blocks of `time - lookahead` samples.

        Raises:
            TraceError: fewer than 8 samples.
        """
        return self.method.embed(outputs, self.order)

    def drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...]) -> Tensor:
        """Return how a drive enters each block through the feedthrough, shape (time - lookahead, order, channels)."""
        return self.method.drive_blocks(drive, interpolation, self.order)

    def first_drive_blocks(self, drive: Tensor, interpolation: tuple[str, ...]) -> Tensor:
        """Return row 0 of `drive_blocks` for each of a batch of drives, shape (..., order, channels).

        Args:
            drive: Samples, shape (..., time, channels).
            interpolation: That of each channel.
        """
        held_on = drive[..., -1:, :].expand(*drive.shape[:-2], self.order, drive.shape[-1])
        first = torch.cat([drive[..., :START_SAMPLES, :], held_on], -2).movedim(-2, 0)
        blocks = self.drive_blocks(first.flatten(1), interpolation * math.prod(first.shape[1:-1]))[0]
        result: Tensor = blocks.unflatten(-1, first.shape[1:]).movedim(0, -2)
        return result

    def drive_size(self, channels: int) -> int:
        """Return the number of drive values that the vector field sees at one instant."""
        return self.method.drive_size(channels, self.order)

    def field_drive(self, stages: Tensor) -> Tensor:
        """Return what the vector field sees of a drive in each step.

        Args:
            stages: Drive at the start, middle and end of each step, shape (..., steps, 3, channels).

        Returns:
            Shape (..., steps, 3, drive_size(channels)).
        """
        return self.method.field_drive(stages, self.order)

    def constant_field_drive(self, drive: Tensor) -> Tensor:
        """Return what the vector field sees of a drive that stays constant, shape (..., drive_size(channels))."""
        return self.method.constant_field_drive(drive, self.order)

    def rates(self, outputs: int) -> int:
        """Return the number of rates that the learned part has to return."""
        return outputs if self.chain else self.order * outputs

    def vector_field(self, learned: nn.Module, ratios: Tensor) -> nn.Module:
        """Return the vector field of the whole state.

        Args:
            learned: Module f(x, u) that returns `rates(outputs)` values.
            ratios: Scale of each block over that of the one before it, from `Scales.ratios`.
        """
        return ChainField(learned, ratios) if self.chain else learned
