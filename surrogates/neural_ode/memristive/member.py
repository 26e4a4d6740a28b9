"""`MemristiveMember`: a hidden state with its conductance, as one member of a surrogate.

With v the drive at which the output vanishes, in units of its deviation and counted from zero volts,

    x' = f(x, u),   y = c + v g(x, u),

where f and g are networks. At v = 0 the output says nothing about x; so x is not read from outputs, but estimated from a
stretch of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from ....dynamics.field import MLPField
from ....errors import DomainWarning
from ..member import Member
from .observer import WASHOUT, filtered_states, first_state

#: Magnitude of v, in deviations of the drive, from which on a sample shows the state.
SHOWING = 0.2

#: Condition of an affine map between the states of two members beyond which they are not related.
MAX_CONDITION = 1e3


class MemristiveMember(Member):
    """A hidden state x' = f(x, u) and the read-out y = c + v g(x, u).

    Args:
        vector_field: Network f in deviations and samples.
        conductance: Network g(x, u), one value per output.
        selector: One where an output vanishes with a drive, zero elsewhere, shape (outputs, drives).
        offset: Value of that drive at its mean, in deviations from zero volts, shape (outputs,).
    """

    field: MLPField
    conductance: MLPField
    selector: Tensor
    offset: Tensor

    def __init__(self, vector_field: MLPField, conductance: MLPField, selector: Tensor, offset: Tensor) -> None:
        super().__init__(vector_field, torch.zeros_like(selector))  # g contains the direct path
        self.conductance = conductance
        self.constant = nn.Parameter(torch.zeros_like(offset))
        self.register_buffer("selector", selector.detach().clone())
        self.register_buffer("offset", offset.detach().clone())

    @property
    def parts(self) -> list[nn.Parameter]:
        """Weights that are fitted: those of f, of g, and c."""
        return [*self.field.parameters(), *self.conductance.parameters(), self.constant]

    @property
    def theta(self) -> Tensor:
        """These weights as one vector, detached."""
        return parameters_to_vector(self.parts).detach()

    def set_theta(self, theta: Tensor) -> None:
        """Set the weights from one vector."""
        with torch.no_grad():
            vector_to_parameters(theta.clone(), self.parts)

    def voltage(self, settled: Tensor) -> Tensor:
        """Return v of each output, shape (..., outputs)."""
        result: Tensor = settled @ self.selector.T + self.offset
        return result

    def read(self, state: Tensor, settled: Tensor) -> Tensor:
        """Return the outputs in deviations, shape (..., outputs); see `Member.read`."""
        batch = torch.broadcast_shapes(state.shape[:-1], settled.shape[:-1])
        drive = settled.expand(*batch, settled.shape[-1])
        conductance: Tensor = self.conductance(state.expand(*batch, state.shape[-1]), drive)
        return self.constant + self.voltage(settled) * conductance

    def samples_of_start(self, settled: Tensor) -> int:
        """Return how many samples it takes until enough of them are away from zero drive, all if there are fewer."""
        showing = (self.voltage(settled).abs() > SHOWING).any(-1).nonzero()[:WASHOUT]
        return int(showing[-1]) + 1 if len(showing) == WASHOUT else len(settled)

    def observe(self, outputs: Tensor, stages: Tensor, settled: Tensor, noise: Tensor, visited: Tensor) -> Tensor:
        """Estimate the states along a recording; see `Member.observe` and `observer`."""
        outputs, stages, settled = outputs.detach(), stages.detach(), settled.detach()
        count = self.samples_of_start(settled)
        if not bool((self.voltage(settled[:count]).abs() > SHOWING).any()):
            warnings.warn(
                f"the drive stays near zero in all {len(outputs)} samples, where the output says nothing about the state; took "
                "the mean of the fitted states. Use samples under a drive, or pass `state`.",
                DomainWarning,
                stacklevel=2,
            )
        start, covariance = first_state(self, outputs[:count], stages[: count - 1], settled[:count], noise, visited)
        return filtered_states(self, start, covariance, outputs, stages, settled, noise, visited)

    @torch.no_grad()
    def change_states(self, matrix: Tensor, shift: Tensor) -> None:
        """Describe the same device by the states P x + b.

        Args:
            matrix: P, shape (state, state).
            shift: b, shape (state,).
        """
        size, inverse = len(shift), torch.linalg.inv(matrix)
        for network in (self.field, self.conductance):
            for layer in (network.layers[0], network.skip):
                assert isinstance(layer, nn.Linear)
                layer.weight[:, :size] = layer.weight[:, :size] @ inverse
                layer.bias.sub_(layer.weight[:, :size] @ shift)
        for layer in (self.field.out, self.field.skip):
            assert isinstance(layer, nn.Linear)
            layer.weight.copy_(matrix @ layer.weight)
            layer.bias.copy_(matrix @ layer.bias)


def align_states(members: Sequence[MemristiveMember], states: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    """Describe all members by the states of the first one, scaled to mean 0 and deviation 1, as nearly as an affine map can.

    Args:
        members: Members of a surrogate; changed in place.
        states: States of each along the same recordings, shape (samples, state).

    Returns:
        P, shape (state, state), and b, shape (state,), for each member; see `MemristiveMember.change_states`.
    """
    size = states[0].shape[-1]
    scaled = (states[0] - states[0].mean(0)) / states[0].std(0).clamp_min(1e-9)
    maps = []
    for member, own in zip(members, states, strict=True):
        columns = torch.cat([own, torch.ones(len(own), 1, dtype=own.dtype)], -1)
        solution = torch.linalg.lstsq(columns, scaled).solution
        related = float(torch.linalg.cond(solution[:size])) < MAX_CONDITION
        matrix, shift = (solution[:size].T, solution[size]) if related else (torch.eye(size).to(own), own.new_zeros(size))
        member.change_states(matrix, shift)
        maps.append((matrix, shift))
    return maps
