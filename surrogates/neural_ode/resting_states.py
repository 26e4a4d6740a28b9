"""Resting states of a surrogate under the first samples of its drives."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ...dynamics.fixed_points import fixed_points
from ...dynamics.scales import Scales
from ...errors import DomainError
from ...tensors import has_values
from .domain import Domain
from .embedding import Embedding
from .ports import Ports


@dataclass(frozen=True, eq=False)
class RestingStates:
    """Finds the resting states of a surrogate with these parts."""

    ports: Ports
    embedding: Embedding
    scales: Scales
    domain: Domain

    def of_batch(self, field: Callable[[Tensor, Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return the resting state of each batch element under its first input; one for all if there are no inputs.

        Args:
            field: Vector field of a member.
            inputs: Drives and parameters in SI units, shape (..., time, inputs).

        Returns:
            Shape (..., state), or (state,) without inputs.

        Raises:
            DomainError: as `under`.
        """
        if not inputs.shape[-1]:
            return self.under(field, inputs.new_zeros(1, 0))[0]
        first = inputs[..., 0, :].reshape(-1, inputs.shape[-1])
        if has_values(first):
            unique, inverse = torch.unique(first.detach(), dim=0, return_inverse=True)
            states = self.under(field, unique)[inverse]
        else:
            states = self.under(field, first)
        return states.reshape(*inputs.shape[:-2], states.shape[-1])

    def under(self, field: Callable[[Tensor, Tensor], Tensor], inputs: Tensor) -> Tensor:
        """Return the resting states under constant inputs.

        Args:
            field: Vector field of a member.
            inputs: Drives and parameters in SI units, shape (batch, inputs).

        Returns:
            Shape (batch, state).

        Raises:
            DomainError: inputs far outside the fitted ones, or no stable resting state.
        """
        u = self.scales.drive(inputs).detach()
        size = self.embedding.state_size(len(self.ports.output))
        fitted = self.domain.points[:, size:]
        beyond = (u < fitted.amin(0) - 1) | (u > fitted.amax(0) + 1)
        if has_values(beyond) and bool(beyond.any()):
            row, column = (int(index) for index in beyond.nonzero()[0])
            raise DomainError(
                f"{self.ports.inputs[column]!r} begins at {float(inputs[row, column]):.6g}, far outside what the surrogate was "
                "fitted on; its resting state there is unknown. Begin within the fitted range, or pass an initial state."
            )
        states = fixed_points(field, self.domain.points, self.embedding.constant_field_drive(u), size)
        return torch.where(beyond.any(-1, keepdim=True), torch.nan, states)
