"""`EquilibriumNetwork`: layers that relax to a fixed point, freely or nudged towards a target."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...validation import one_of, whole_number
from .connections import Connection
from .dynamics import BINARY_THRESHOLD, Dynamics, Equilibrium, Nudge, settle

#: Names times sizes of batches whose buffers are kept: those of learning, the last batch of a task, and tests.
MAX_BUFFERS = 40


class EquilibriumNetwork(nn.Module):
    """Layers with symmetric connections, whose response is the fixed point of a dynamics.

    Buffers are allocated once for each size of batch, and the product of the input, which does not change, is computed once for
    both phases.

    Args:
        connections: From the input to the output.
        dynamics: How states move.
        readout: "state": the last layer is the output, and is nudged by beta (y - s). "softmax": the last connection reads the
            last layer without feedback, p = softmax(W s + b), and nudges that layer by beta W^T (y - p); it is trained by the
            gradient of the cross entropy.

    Raises:
        ConfigError: connections that do not fit each other, or a softmax read-out without a layer that relaxes.

    Example:
        >>> from spinode.training.equilibrium.connections import DenseConnection
        >>> generator = torch.Generator().manual_seed(0)
        >>> network = EquilibriumNetwork(
        ...     [DenseConnection(6, 5, generator=generator), DenseConnection(5, 2, generator=generator)], Dynamics()
        ... )
        >>> free = network.free(torch.rand(3, 6, generator=generator), 50)
        >>> free.response.shape, free.residual < 1e-5
        (torch.Size([3, 2]), True)

    Source: Ernoult et al., NeurIPS 2019, arXiv:1905.13633; softmax: Laborieux et al., Front. Neurosci. 15, 633674 (2021).
    """

    connections: Any  # nn.ModuleList, whose element type is unknown to type checkers

    def __init__(self, connections: Sequence[Connection], dynamics: Dynamics, *, readout: str = "state") -> None:
        super().__init__()
        self.connections = nn.ModuleList(connections)
        self.dynamics = dynamics
        self.readout: str = one_of("readout", readout, ("state", "softmax"))
        if not connections or (readout == "softmax" and len(connections) < 2):
            raise ConfigError("a softmax read-out needs a layer below it that relaxes; pass hidden=[...], or readout='state'.")
        for first, second in pairwise(connections):
            if first.above != second.below and second.below != (torch.Size(first.above).numel(),):
                raise ConfigError(f"a layer has shape {first.above}, and the connection above it expects {second.below}.")
        self._workspace = _Workspace()

    @property
    def relaxing(self) -> Any:
        """Connections to the layers that relax: all but a softmax read-out."""
        return self.connections[:-1] if self.readout == "softmax" else self.connections

    def prepare(self, weights: Sequence[Tensor] | None = None) -> None:
        """Take over the weights for the next phases; to be called after each change of them.

        Args:
            weights: What is used in place of the weights of each connection, such as reads of devices.
        """
        for index, connection in enumerate(self.connections):
            connection.prepare(None if weights is None else weights[index])

    # --- phases -------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def free(self, inputs: Tensor, steps: int, *, masks: Sequence[Tensor | None] = ()) -> Equilibrium:
        """Relax from the start without a target.

        Args:
            inputs: Shape (batch, *input).
            steps: Number of steps, at least 1.
            masks: For each layer that relaxes 0 for units that stay silent and 1 for the others, or None; nothing for none.
        """
        whole_number("steps", steps, 1)
        states = self._workspace.layers("free", inputs, self.relaxing)
        for state in states:
            state.fill_(self.dynamics.start)
        base = self.relaxing[0].drive(inputs, self._workspace.layers("base", inputs, self.relaxing[:1])[0])
        return self._relax("free", inputs, states, base, steps, None, masks)

    @torch.no_grad()
    def nudged(self, nudge: Nudge, steps: int, *, masks: Sequence[Tensor | None] = ()) -> Equilibrium:
        """Relax from the free fixed point under the pull of a target.

        Args:
            nudge: Target, strength and free phase.
            steps: Number of steps, at least 1.
            masks: As for `free`.
        """
        whole_number("steps", steps, 1)
        inputs, name = nudge.free.inputs, "nudged" if nudge.beta > 0 else "opposed"
        states = self._workspace.layers(name, inputs, self.relaxing)
        for state, free in zip(states, nudge.free.states, strict=True):
            state.copy_(free)
        return self._relax(name, inputs, states, nudge.free.base, steps, nudge, masks)

    def _relax(
        self,
        name: str,
        inputs: Tensor,
        states: list[Tensor],
        base: Tensor,
        steps: int,
        nudge: Nudge | None,
        masks: Sequence[Tensor | None],
    ) -> Equilibrium:
        relaxing, step = list(self.relaxing), self.dynamics.step
        drives = self._workspace.layers("drive", inputs, relaxing)
        seen = self._workspace.layers(f"{name} seen", inputs, relaxing) if self.dynamics.is_binary else states
        for index in range(steps):
            self._see(states, seen)
            if index + 1 == steps:
                before = self._workspace.layers("before", inputs, relaxing)
                for old, state in zip(before, states, strict=True):
                    old.copy_(state)
            for layer in range(1, len(relaxing)):
                relaxing[layer].drive(seen[layer - 1], drives[layer])
            for layer in range(len(relaxing) - 1):
                # A state that becomes its drive is written at once: that of the layer above still is the old one, and what the
                # layer gives to it has been computed. A buffer less in the cache is a third of the time of a step.
                drive = states[layer] if step == 1.0 else drives[layer]
                relaxing[layer + 1].feedback(seen[layer + 1], drives[layer] if layer else base, drive)
                settle(states[layer], drive, step)
            if nudge is None and len(relaxing) == 1:
                settle(states[0], base, step)  # nothing feeds back
            else:
                if len(relaxing) == 1:
                    drives[0].copy_(base)
                if nudge is not None:
                    self._pull(states[-1], drives[-1], nudge)
                settle(states[-1], drives[-1], step)
            for state, mask in zip(states, masks, strict=False):
                if mask is not None:
                    state.mul_(mask)
        self._see(states, seen)
        residual = max(float(state.sub(old).norm()) / state.numel() ** 0.5 for state, old in zip(states, before, strict=True))
        logits = self.connections[-1].drive(states[-1]) if self.readout == "softmax" else None
        return Equilibrium(inputs, states, seen, base, residual / step, logits)

    def _see(self, states: list[Tensor], seen: list[Tensor]) -> None:
        """Write what the layers see of each other, if that is not the states themselves."""
        if seen is not states:
            for state, binary in zip(states, seen, strict=True):
                torch.ge(state, BINARY_THRESHOLD, out=binary)

    def _pull(self, state: Tensor, drive: Tensor, nudge: Nudge) -> None:
        """Add the pull of the target to the drive of the last layer."""
        if self.readout == "softmax":
            top = self.connections[-1]
            error = (nudge.target - top.drive(state).softmax(-1)).mul_(nudge.beta)
            top.feedback(error, drive, drive)
            return
        if self.dynamics.kind == "prototypical":
            drive.clamp_(0.0, 1.0)
        reached = nudge.free.states[-1] if self.dynamics.is_binary else state
        drive.add_(nudge.target, alpha=nudge.beta).sub_(reached, alpha=nudge.beta)


class _Workspace:
    """Buffers of the layers, by name and size of the batch; they are no part of what identifies a network."""

    def __init__(self) -> None:
        self._buffers: dict[Any, list[Tensor]] = {}

    def layers(self, name: str, inputs: Tensor, connections: Any) -> list[Tensor]:
        """Return a buffer for the layer above each connection."""
        key = (name, len(inputs), inputs.dtype, inputs.device)
        if key not in self._buffers:
            if len(self._buffers) > MAX_BUFFERS:
                self._buffers.clear()
            self._buffers[key] = [inputs.new_empty(len(inputs), *each.above) for each in connections]
        return self._buffers[key]

    def identity_parts(self) -> dict[str, Any]:
        """Return nothing."""
        return {}

    def __getstate__(self) -> dict[str, Any]:
        return {"_buffers": {}}
