"""`Replay`: a reservoir of samples of the past, which are learned again with each batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ...validation import whole_number
from .plugin import Batch, Plugin, register_plugin


@register_plugin
@dataclass
class Replay(Plugin):
    """Learn old samples with each batch, from a buffer that is a uniform sample of all data seen so far.

    The n-th sample enters a full buffer with probability buffer / n, in place of a random one (reservoir sampling). Where the
    stream has boundaries the samples of a task enter when it ends, so that the buffer contains earlier tasks only; else those
    of each batch enter after it. The loss is that of the joined batch.

    Attributes:
        buffer: Number of samples of the buffer.
        replayed: Samples added to each batch; as many as the batch has if None.

    Raises:
        ConfigError: numbers below one.

    Source: Vitter, ACM Trans. Math. Softw. 11, 37 (1985); in sequences of tasks: Chaudhry et al., arXiv:1902.10486 (2019).
    """

    name: ClassVar[str] = "replay"
    buffer: int = 500
    replayed: int | None = None

    def __post_init__(self) -> None:
        self.buffer = whole_number("buffer of replay", self.buffer, 1)
        self.replayed = None if self.replayed is None else whole_number("replayed of replay", self.replayed, 1)
        self._stored: Batch | None = None
        self._seen = 0

    def extend(self, batch: Batch) -> Batch:
        """Return the batch with samples of the buffer."""
        joined = batch
        if self._stored is not None:
            count = len(batch.inputs) if self.replayed is None else self.replayed
            chosen = torch.randperm(len(self._stored.inputs), generator=self.context.generator)[:count]
            joined = batch.joined(Batch(*(each[chosen].to(batch.inputs.device) for each in self._stored)))
        if not self.context.boundaries:
            self._enter(batch)
        return joined

    def end_task(self, task: Batch) -> None:
        """Let the samples of a task enter the buffer."""
        self._enter(task)

    def _enter(self, batch: Batch) -> None:
        count = len(batch.inputs)
        position = self._seen + torch.arange(count)
        # Sample number n (from 0) takes place n while there is room, then place floor(u (n + 1)) if that exists.
        drawn = (torch.rand(count, generator=self.context.generator, dtype=torch.float64) * (position + 1)).long()
        place = torch.where(position < self.buffer, position, drawn)
        size = min(self.buffer, self._seen + count)
        source = torch.full((size,), -1)
        for index in (place < self.buffer).nonzero()[:, 0].tolist():  # in order: a later sample replaces an earlier one
            source[place[index]] = index
        self._stored = Batch(
            *(_merged(old, new.cpu(), source) for old, new in zip(self._stored or (None,) * 3, batch, strict=True))
        )
        self._seen += count

    def state_dict(self) -> dict[str, Any]:
        """Return the buffer and the number of samples seen."""
        return {"seen": self._seen, "stored": None if self._stored is None else list(self._stored)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the buffer."""
        self._seen = int(state["seen"])
        self._stored = None if state["stored"] is None else Batch(*state["stored"])

    def memory(self) -> int:
        """Return the bytes of the buffer."""
        return sum(each.numel() * each.element_size() for each in self._stored or ())


def _merged(old: Tensor | None, new: Tensor, source: Tensor) -> Tensor:
    """Return the buffer after new samples: row i is new[source[i]], or the old one where source is -1."""
    merged = new.new_empty((len(source), *new.shape[1:]))
    if old is not None:
        merged[: len(old)] = old
    merged[source >= 0] = new[source[source >= 0]]
    return merged
