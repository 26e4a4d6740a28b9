"""`Member`: one vector field of a surrogate, with its feedthrough."""

from __future__ import annotations

from torch import Tensor, nn


class Member(nn.Module):
    """One vector field of a surrogate, with its feedthrough.

    Args:
        vector_field: Module f(x, u) in deviations and samples: (..., state), (..., drive) -> (..., state).
        feedthrough: D in y = b_0 + D u, in deviations per deviation, shape (outputs, drives).
    """

    field: nn.Module
    feedthrough: nn.Parameter

    def __init__(self, vector_field: nn.Module, feedthrough: Tensor) -> None:
        super().__init__()
        self.field = vector_field
        self.feedthrough = nn.Parameter(feedthrough.detach().clone())
