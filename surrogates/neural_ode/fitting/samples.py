"""`Samples`: embedded samples of all recordings, end to end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Samples:
    """Embedded samples of all recordings, end to end, in deviations.

    Attributes:
        states: Measured states for zero feedthrough, shape (samples, state).
        stages: What the vector field sees of the drive at the start, middle and end of the step that begins at each sample,
            shape (samples, 3, inputs).
        feedthrough_jacobian: d state / d feedthrough at each sample, shape (samples, state, feedthrough); no columns without
            feedthrough.
        state_noise: Standard deviation of the measured states, shape (state,).
        segments: First and last sample of each contiguous segment that a window may not leave.
        outputs: Number of outputs, which are the first values of a state.
    """

    states: Tensor
    stages: Tensor
    feedthrough_jacobian: Tensor
    state_noise: Tensor
    segments: tuple[tuple[int, int], ...]
    outputs: int

    def windows(self, length: int) -> Tensor:
        """Return the first samples of the windows that tile the segments; segments shorter than a window have none.

        Args:
            length: Steps per window.

        Returns:
            Shape (windows,).
        """
        starts = [torch.arange(first, last - length + 1, length) for first, last in self.segments if last - first >= length]
        return torch.cat(starts) if starts else torch.zeros(0, dtype=torch.long)
