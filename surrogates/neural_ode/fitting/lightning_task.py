"""`SurrogateTask`: the loss over shooting windows, Adam and validation, as a Lightning module."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from ....dynamics.rollout import rollout
from ..member import Member
from .prepare import Prepared
from .samples import known_errors
from .stages import FEEDTHROUGH_RIDGE, MIN_FREE_WINDOW, compare_weights, free_run_error
from .windows import Windows


def shooting_loss(member: Member, windows: Windows, weights: Tensor) -> Tensor:
    """Compute the weighted squared error of free runs through windows, mean over the steps: the cost of Gauss-Newton.

    Args:
        member: Field and feedthrough D.
        windows: Initial states, drives and measured states.
        weights: Weight of each state value, shape (state,).

    Returns:
        Scalar.
    """
    feedthrough = member.feedthrough.reshape(-1)[: windows.first_jacobian.shape[-1]]
    states = rollout(member.field, windows.first + windows.first_jacobian @ feedthrough, windows.stages)
    difference = states[..., 1:, :] - windows.target_jacobian @ feedthrough - windows.targets
    errors = known_errors(difference, windows.status) * weights
    return errors.square().sum(-1).mean()


class SurrogateTask(LightningModule):
    """The training task: the loss over shooting windows, Adam, and the free run that validates.

    The loss is that of Gauss-Newton with the measured initial states: short windows compare all state values, windows
    of 20 samples and more the outputs only. The learning rate decays as half a cosine over each stage. Logged are
    `train/loss` and `val/nrmse`, the NRMSE of free runs over the validation segments.

    Args:
        member: Field and feedthrough; trained in place.
        prepared: Embedded recordings.
        epochs: Epochs of each stage, as in `WindowData`.
        learning_rate: First learning rate of each stage.
        ridge: Penalty on the squared weights over the mean squared residual; more on the feedthrough, as in Gauss-Newton.

    Attributes:
        best: Lowest validation error so far, and the state of the member that had it.
        history: One entry per validated epoch: epoch, window, updates, loss, validation.
    """

    all_values: Tensor
    outputs_only: Tensor

    def __init__(
        self,
        member: Member,
        prepared: Prepared,
        *,
        epochs: int = 20,
        learning_rate: float = 1e-2,
        ridge: float = 3e-7,
    ) -> None:
        super().__init__()
        # Plain numbers only: anything else would make the checkpoints unreadable without pickle.
        self.save_hyperparameters({"epochs": epochs, "learning_rate": learning_rate, "ridge": ridge})
        self.member, self.prepared = member, prepared
        self.epochs, self.learning_rate, self.ridge = epochs, learning_rate, ridge
        self.register_buffer("all_values", compare_weights(prepared.samples, False), persistent=False)
        self.register_buffer("outputs_only", compare_weights(prepared.samples, True), persistent=False)
        if not prepared.samples.feedthrough_jacobian.shape[-1]:
            member.feedthrough.requires_grad_(False)
        self.best: tuple[float, dict[str, Tensor]] = (float("inf"), _snapshot(member))
        self.history: list[dict[str, Any]] = []
        self._losses: list[Tensor] = []
        self._window = 0

    def training_step(self, batch: Windows, batch_idx: int) -> Tensor:
        """Compute the loss of a batch of windows, with the penalty on the weights."""
        self._window = batch.stages.shape[1]
        weights = self.outputs_only if self._window >= MIN_FREE_WINDOW else self.all_values
        loss = shooting_loss(self.member, Windows(*batch), weights) + self.ridge * self._squared_weights()
        self._losses.append(loss.detach())
        self.log("train/loss", loss, batch_size=len(batch.first), on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def _squared_weights(self) -> Tensor:
        total = FEEDTHROUGH_RIDGE * self.member.feedthrough.square().sum()
        for value in self.member.field.parameters():
            if value.requires_grad:
                total = total + value.square().sum()
        return total

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """Compute the NRMSE of free runs over the validation segments, and store the best weights."""
        member = self.member if self.device.type == "cpu" else copy.deepcopy(self.member).cpu()
        error = free_run_error(member, self.prepared, [(int(first), int(last)) for first, last in batch])
        self.log("val/nrmse", error, batch_size=1, prog_bar=True)
        if self._losses and not self.trainer.sanity_checking:
            self._record_epoch(error)

    def _record_epoch(self, error: float) -> None:
        if error <= self.best[0]:
            self.best = (error, _snapshot(self.member))
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.history.append(
            {
                "epoch": self.current_epoch,
                "window": self._window,
                "updates": self.global_step,
                "loss": loss,
                "validation": error,
            }
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam. Override this for another optimizer; the decay below works with any."""
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.learning_rate, fused=True)

    def on_train_batch_start(self, batch: Windows, batch_idx: int) -> None:
        """Set the learning rate from the position in the stage, so that resuming needs no scheduler state."""
        position = self.current_epoch % self.epochs + batch_idx / max(1, self.trainer.num_training_batches)
        decay = 0.5 * (1 + math.cos(math.pi * position / self.epochs))
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * decay

    def keep_best(self) -> float:
        """Load the weights that validated best into the member, in evaluation mode; return their error."""
        self.member.load_state_dict(self.best[1])
        self.member.eval()
        return self.best[0]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs beyond the weights."""
        checkpoint["spinode"] = {"error": self.best[0], "best": self.best[1], "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore what `on_save_checkpoint` added."""
        stored = checkpoint["spinode"]
        self.best, self.history = (stored["error"], stored["best"]), list(stored["history"])


def _snapshot(member: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in member.state_dict().items()}
