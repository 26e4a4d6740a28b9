"""`Samples`: embedded samples of all recordings, end to end."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: What is known of a recorded value: the value, nothing, or that the true one is at least or at most as large.
KNOWN, MISSING, AT_LEAST, AT_MOST = 0, 1, 2, 3


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
        status: What is known of each state value, shape (samples, state): `KNOWN`, `MISSING`, or a limit that the value has
            reached (`AT_LEAST`, `AT_MOST`); None if all are known.
        startable: True at samples whose state can start a window, shape (samples,); None if all can.
    """

    states: Tensor
    stages: Tensor
    feedthrough_jacobian: Tensor
    state_noise: Tensor
    segments: tuple[tuple[int, int], ...]
    outputs: int
    status: Tensor | None = None
    startable: Tensor | None = None

    def windows(self, length: int) -> Tensor:
        """Return the first samples of the windows that tile the segments; segments shorter than a window have none.

        Where the state of a sample is not known, the window begins at the next one that is.

        Args:
            length: Steps per window.

        Returns:
            Shape (windows,).
        """
        if self.startable is not None:
            return self._windows_from_known(length, self.startable)
        starts = [torch.arange(first, last - length + 1, length) for first, last in self.segments if last - first >= length]
        return torch.cat(starts) if starts else torch.zeros(0, dtype=torch.long)

    def _windows_from_known(self, length: int, startable: Tensor) -> Tensor:
        starts: list[int] = []
        for first, last in self.segments:
            candidates = startable[first : last - length + 1].nonzero()[:, 0] + first
            free_from = first
            for start in candidates.tolist():
                if start >= free_from:
                    starts.append(start)
                    free_from = start + length
        return torch.tensor(starts, dtype=torch.long)

    def errors(self, difference: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        """Return the errors of computed states: their difference from the recorded ones, where that is known.

        The error is zero where a sample is missing, and where a computed value lies beyond a limit that the recorded one has
        reached. Gauss-Newton steps that keep the derivatives of these rows treat them as if they had been predicted exactly
        (expectation-maximisation): the minimum is that of the known samples alone, the step is shorter.

        Args:
            difference: Computed less recorded values, shape (..., columns).
            rows: Number of the sample of each, shape (...).
            columns: Numbers of the state values, shape (columns,).
        """
        return difference if self.status is None else known_errors(difference, self.status[rows][..., columns])


def known_errors(difference: Tensor, status: Tensor) -> Tensor:
    """Return differences where the recorded value is known, zero where they agree with what is known; see `Samples.errors`.

    Args:
        difference: Computed less recorded values.
        status: One of `KNOWN`, `MISSING`, `AT_LEAST`, `AT_MOST` for each.

    Example:
        >>> import torch
        >>> known_errors(torch.tensor([0.5, 0.5, 0.5, -0.5]), torch.tensor([KNOWN, MISSING, AT_LEAST, AT_LEAST])).tolist()
        [0.5, 0.0, 0.0, -0.5]
    """
    zero = torch.zeros((), dtype=difference.dtype, device=difference.device)
    result = torch.where(status == MISSING, zero, difference)
    result = torch.where(status == AT_LEAST, result.clamp(max=0), result)
    return torch.where(status == AT_MOST, result.clamp(min=0), result)
