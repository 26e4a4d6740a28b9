"""`SteppingLearner`: the base of learners with layers and an optimiser of torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...contracts.task_stream import TaskStream
from ...errors import ConfigError, FitError
from .diverged import likely_cause
from .learner import Learner, check_sizes, stream_sizes


class SteppingLearner(Learner):
    """A learner whose rule is an optimiser: a member sets `optimiser` and writes `loss` and what `Learner` requires.

    Optimiser and penalties are part of its checkpoints.

    Args:
        stream: What will be learned.
        seed: Seed of all randomness.
    """

    optimiser: torch.optim.Optimizer
    layers: Any  # nn.ModuleList, whose element type is unknown to type checkers
    stores: Any  # likewise, one for each layer, or none on exact numbers

    def __init__(self, stream: TaskStream, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.features, self.classes = stream_sizes(stream)

    def check(self, stream: TaskStream) -> None:
        """Check that the stream has the features and classes for which the learner was made."""
        check_sizes(stream, self.features, self.classes)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch, mean over its samples, with its graph.

        Args:
            inputs: Shape (samples, features), of the type of the weights.
            labels: Classes, shape (samples,).
        """
        raise NotImplementedError

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Take one step of the optimiser."""
        loss = self.finite(self.loss(self.flat(inputs), labels), inputs)
        self.optimiser.zero_grad()
        self.manual_backward(loss)  # averages gradients over processes
        self.step()
        return loss.detach()

    def finite(self, loss: Tensor, inputs: Tensor) -> Tensor:
        """Return the loss of a batch of inputs if it is finite.

        Raises:
            FitError: it is not; the weights are those before the step. The setting most likely to blame is named.
        """
        value = float(loss.detach())
        if not math.isfinite(value):
            raise FitError(f"{self.rule} diverged: the loss of a batch is {value}. {self.likely_cause(inputs)}")
        return loss

    def likely_cause(self, inputs: Tensor) -> str:
        """Return a sentence that names the setting to change after a loss that was not finite."""
        elastic = getattr(self, "elastic", None)
        if elastic is None or not isinstance(self.optimiser, torch.optim.SGD):
            return super().likely_cause(inputs)
        largest = max(float(each.max()) for each in elastic.importance)
        stiffness = float(self.optimiser.param_groups[0]["lr"]) * elastic.strength * largest
        return likely_cause(self.settings(), inputs, stiffness=stiffness, defaults=self.default_settings())

    def step(self) -> None:
        """Apply the gradients."""
        self.optimiser.step()

    def flat(self, inputs: Tensor) -> Tensor:
        """Return the inputs as rows, in the dtype of the weights.

        Raises:
            ConfigError: another number of features than the stream has, or values that are not finite, which a sign activation
                would turn into finite ones.
        """
        rows = inputs.flatten(1).to(next(self.parameters()))
        if rows.shape[1] != self.features:
            raise ConfigError(f"inputs have {rows.shape[1]} features; expected {self.features}, those of the stream.")
        if not math.isfinite(float(rows.sum())):
            bad = int((~torch.isfinite(rows)).sum())
            raise ConfigError(f"{bad} of {rows.numel()} inputs are NaN or infinite; expected finite numbers of moderate size.")
        return rows

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the parts with a `state_dict` of their own besides the module's, by name."""
        yield "optimiser", self.optimiser

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the states of optimiser and penalty."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["learner"]["parts"] = {name: part.state_dict() for name, part in self.stateful_parts()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the states of optimiser and penalty."""
        super().on_load_checkpoint(checkpoint)
        for name, part in self.stateful_parts():
            part.load_state_dict(checkpoint["learner"]["parts"][name])
