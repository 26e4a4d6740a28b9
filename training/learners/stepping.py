"""`SteppingLearner`: what learners with layers and an optimiser of torch share."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ...contracts.task_stream import TaskStream
from ...errors import ConfigError, FitError
from .learner import Learner, check_sizes, sizes


class SteppingLearner(Learner):
    """A learner whose rule is an optimiser: a member sets `optimiser` and writes `loss` and what `Learner` asks for.

    Optimiser and penalties are in its checkpoints.

    Args:
        stream: What will be learned.
        seed: Seed of all randomness.
    """

    optimiser: torch.optim.Optimizer
    layers: Any  # nn.ModuleList, of which type checkers do not know what it holds
    stores: Any  # likewise, one for each layer, or none on exact numbers

    def __init__(self, stream: TaskStream, *, seed: int = 0) -> None:
        super().__init__(seed=seed)
        self.features, self.classes = sizes(stream)

    def check(self, stream: TaskStream) -> None:
        """See that the stream has the features and classes that the learner was made for."""
        check_sizes(stream, self.features, self.classes)

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Loss of a batch, mean over its samples, with its graph.

        Args:
            inputs: Shape (samples, features), of the type of the weights.
            labels: Classes, shape (samples,).
        """
        raise NotImplementedError

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """One step of the optimiser."""
        loss = self.finite(self.loss(self.flat(inputs), labels))
        self.optimiser.zero_grad()
        self.manual_backward(loss)  # averages gradients over processes
        self.step()
        return loss.detach()

    def finite(self, loss: Tensor) -> Tensor:
        """The loss, if it is a number.

        Raises:
            FitError: it is not; the weights are as before the step.
        """
        if not math.isfinite(float(loss.detach())):
            raise FitError(
                f"{self.rule} diverged: the loss of a batch is {float(loss.detach())}. Take smaller rates; look at the inputs."
            )
        return loss

    def step(self) -> None:
        """What follows the gradients."""
        self.optimiser.step()

    def flat(self, inputs: Tensor) -> Tensor:
        """Inputs as rows of the weights' type.

        Raises:
            ConfigError: inputs of another size than the stream said, or not finite: a sign would make numbers of them again.
        """
        rows = inputs.flatten(1).to(next(self.parameters()))
        if rows.shape[1] != self.features:
            raise ConfigError(f"inputs have {rows.shape[1]} features; expected {self.features}, as the stream has.")
        if not math.isfinite(float(rows.sum())):
            bad = int((~torch.isfinite(rows)).sum())
            raise ConfigError(f"{bad} of {rows.numel()} inputs are NaN or infinite; expected finite numbers of moderate size.")
        return rows

    def held(self) -> Iterator[tuple[str, Any]]:
        """What has a `state_dict` of its own beside the module's, by name."""
        yield "optimiser", self.optimiser

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the optimiser."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["learner"]["held"] = {name: each.state_dict() for name, each in self.held()}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """With the optimiser."""
        super().on_load_checkpoint(checkpoint)
        for name, each in self.held():
            each.load_state_dict(checkpoint["learner"]["held"][name])
