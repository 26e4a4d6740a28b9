"""`LatentMember`: latent modes with their read-out, as one member of a surrogate."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ....kernels import native
from ..member import Member
from .field import LatentField
from .layout import LatentLayout
from .observer import WASHOUT, filtered_states, first_state
from .rollout import native_rollout, torch_rollout


class LatentMember(Member):
    """Latent modes and the read-out y = C x + Y_2 (tanh(Y_1 x + y_b) - tanh(y_b)) + D u + c.

    Args:
        layout: Sizes.
        theta: All weights, shape (layout.weights,); zeros if omitted.
        substeps: Steps of the integrator per sample.
    """

    field: LatentField
    read_matrix: Tensor
    bend: Tensor
    look: Tensor
    look_bias: Tensor
    constant: Tensor

    #: Weights beside those of the field, in the order of the layout.
    NAMES = ("read_matrix", "bend", "look", "look_bias", "feedthrough", "constant")

    def __init__(self, layout: LatentLayout, theta: Tensor | None = None, *, substeps: int = 1) -> None:
        arrays = layout.split(torch.zeros(layout.weights, dtype=torch.float64) if theta is None else theta)
        super().__init__(LatentField(layout, theta, substeps=substeps), arrays["feedthrough"])
        self.layout = layout
        for name in self.NAMES:
            if name != "feedthrough":
                setattr(self, name, nn.Parameter(arrays[name].detach().clone()))

    @property
    def theta(self) -> Tensor:
        """All weights in the order of the layout, detached, shape (layout.weights,)."""
        parts = [getattr(self.field, name) for name in LatentField.NAMES] + [getattr(self, name) for name in self.NAMES]
        return torch.cat([part.detach().reshape(-1) for part in parts])

    def read(self, state: Tensor, settled: Tensor) -> Tensor:
        """Return the outputs in deviations, shape (..., outputs); see `Member.read`."""
        bent = torch.tanh(state @ self.look.T + self.look_bias) - torch.tanh(self.look_bias)
        result: Tensor = state @ self.read_matrix.T + bent @ self.bend.T + settled @ self.feedthrough.T + self.constant
        return result

    def step(self, state: Tensor, stages: Tensor, dt: float = 1.0) -> Tensor:
        """Take one step; see `Member.step`."""
        return self.field.step(state, stages, dt)

    def rollout(self, state: Tensor, stages: Tensor) -> Tensor:
        """Run freely; see `Member.rollout`. By the compiled kernel where no gradient is requested."""
        tracked = torch.is_grad_enabled() and any(value.requires_grad for value in (state, stages, *self.parameters()))
        if tracked or not native.built or torch.compiler.is_compiling() or state.dtype != torch.float64:
            return torch_rollout(self.field, state, stages)
        batch = torch.broadcast_shapes(state.shape[:-1], stages.shape[:-3])
        steps = stages.shape[-3]
        pairs = stages[..., ::2, :].expand(*batch, steps, 2, stages.shape[-1]).reshape(-1, steps, 2, stages.shape[-1])
        starts = state.expand(*batch, state.shape[-1]).reshape(-1, state.shape[-1])
        settled = pairs.new_zeros(len(pairs), steps + 1, self.layout.drives)
        states, _ = native_rollout(self.layout, self.theta, starts, pairs, settled, substeps=self.field.substeps)
        return states.reshape(*batch, steps + 1, state.shape[-1])

    def observe(self, outputs: Tensor, stages: Tensor, settled: Tensor, noise: Tensor, visited: Tensor) -> Tensor:
        """Estimate the states along a recording; see `Member.observe` and `observer`."""
        pairs = stages[:, ::2].detach().contiguous()
        outputs, settled, theta = outputs.detach(), settled.detach().contiguous(), self.theta
        count = min(len(pairs), WASHOUT * self.layout.state)
        start = first_state(
            self.layout, theta, outputs[:count], pairs[:count], settled[:count], noise, visited, substeps=self.field.substeps
        )
        return filtered_states(self.layout, theta, start, outputs, pairs, settled, noise, substeps=self.field.substeps)
