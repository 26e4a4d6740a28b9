"""The general training route: multiple shooting by Adam, carried by Lightning.

Gauss-Newton (`spinode.surrogates.neural_ode.fitting.gauss_newton`) needs fields that `torch.func` can differentiate sample by sample, and a matrix
of weights by weights. This route needs neither: any `torch.nn.Module` of any size trains here, with Lightning's
progress bar, loggers, callbacks and checkpoints. `fit(..., method="adam")` takes it; by hand it is composed as

    prepared = prepare(on_common_grid(traces, config), Embedding("derivative", 2), config)
    member = new_member(prepared, default_field(config), seed=0)
    data = WindowData(prepared, windows=(1, 8, 40))
    task = SurrogateTask(member, prepared, epochs=data.epochs)
    trainer_for(data, logger=CSVLogger("runs"), callbacks=[EarlyStopping("val/nrmse")]).fit(task, datamodule=data)
    task.keep_best()

Only the function that trains imports this module: Lightning takes seconds to load.
"""

from __future__ import annotations

import copy
import logging
import math
import os
import signal
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from ....dynamics.rollout import rollout
from ....errors import ConfigError, FitError
from ..member import Member
from .checkpoint import Checkpoint
from .config import FitConfig
from .gauss_newton import Samples
from .prepare import Prepared
from .stages import FEEDTHROUGH_RIDGE, FREE_FROM, Candidate, compare_weights, free_run_error, new_member, stage_lengths

#: Fewest updates of an epoch. There are few long windows; one pass over them would hardly move the weights.
FEWEST_UPDATES = 20


class Windows(NamedTuple):
    """A batch of shooting windows, in deviations.

    Attributes:
        first: Measured state at the start, shape (windows, state).
        first_jacobian: d first / d feedthrough, shape (windows, state, feedthrough).
        stages: Drive in each step, shape (windows, steps, 3, inputs).
        targets: Measured states after each step, shape (windows, steps, state).
        target_jacobian: d targets / d feedthrough, shape (windows, steps, state, feedthrough).
    """

    first: Tensor
    first_jacobian: Tensor
    stages: Tensor
    targets: Tensor
    target_jacobian: Tensor


def gather(samples: Samples, starts: Tensor, length: int) -> Windows:
    """The windows of `length` steps that begin at these samples."""
    steps = starts[:, None] + torch.arange(length)
    return Windows(
        first=samples.states[starts],
        first_jacobian=samples.feedthrough_jacobian[starts],
        stages=samples.stages[steps],
        targets=samples.states[steps + 1],
        target_jacobian=samples.feedthrough_jacobian[steps + 1],
    )


def shooting_loss(member: Member, windows: Windows, weights: Tensor) -> Tensor:
    """Mean over the steps of the weighted squared error of free runs through windows: the cost of Gauss-Newton.

    Args:
        member: Field and feedthrough D.
        windows: What is run through and compared with.
        weights: Weight of each state value, shape (state,).

    Returns:
        Scalar.
    """
    through = member.feedthrough.reshape(-1)[: windows.first_jacobian.shape[-1]]
    states = rollout(member.field, windows.first + windows.first_jacobian @ through, windows.stages)
    errors = (states[..., 1:, :] - windows.target_jacobian @ through - windows.targets) * weights
    return errors.square().sum(-1).mean()


class _Batches(Dataset[Windows]):
    """Whole batches by number: gathering a batch at once costs as little as gathering one window."""

    def __init__(self, samples: Samples, starts: Sequence[Tensor], length: int) -> None:
        self.samples, self.starts, self.length = samples, starts, length

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Windows:
        return gather(self.samples, self.starts[index], self.length)


class WindowData(LightningDataModule):
    """Shooting windows in stages of growing length, each `epochs` long.

    The order of the batches follows from seed and epoch alone: a resumed run sees what an uninterrupted one sees.

    Args:
        prepared: Embedded recordings.
        windows: Length of the windows of each stage, in samples; cut to what the recordings allow.
        epochs: Epochs of each stage. An epoch is as many passes over the windows as make 20 updates, one at least.
        batch_size: Windows per batch.
        seed: Seed of the order.
    """

    def __init__(
        self,
        prepared: Prepared,
        *,
        windows: Sequence[int] = (1, 8, 40, 160),
        epochs: int = 20,
        batch_size: int = 64,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.prepared, self.epochs, self.batch_size, self.seed = prepared, epochs, batch_size, seed
        self.lengths = stage_lengths(windows, prepared.samples)

    @property
    def total_epochs(self) -> int:
        """Epochs of all stages together."""
        return self.epochs * len(self.lengths)

    def length(self, epoch: int) -> int:
        """Window length in an epoch; the last stage goes on for as long as the trainer does."""
        return self.lengths[min(epoch // self.epochs, len(self.lengths) - 1)]

    def batches(self, epoch: int) -> list[Tensor]:
        """First samples of the windows of each batch of an epoch, in the order in which they are seen."""
        starts = self.prepared.samples.windows(self.length(epoch))
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + epoch)
        passes = math.ceil(FEWEST_UPDATES / math.ceil(len(starts) / self.batch_size))
        orders = [torch.randperm(len(starts), generator=generator) for _ in range(passes)]
        return [part for order in orders for part in starts[order].split(self.batch_size)]

    def train_dataloader(self) -> DataLoader[Windows]:
        """Batches of the trainer's current epoch.

        Raises:
            ConfigError: the trainer would keep the windows of the first epoch for good.
        """
        epoch = 0
        if self.trainer is not None:
            every = getattr(self.trainer, "reload_dataloaders_every_n_epochs", 0)  # Lightning sets it out of mypy's sight
            if every != 1:
                raise ConfigError(
                    "the windows grow and are shuffled from epoch to epoch, but the trainer has "
                    f"reload_dataloaders_every_n_epochs={every}; use trainer_for(data), or pass "
                    "reload_dataloaders_every_n_epochs=1 to Trainer."
                )
            epoch = self.trainer.current_epoch
        batches = _Batches(self.prepared.samples, self.batches(epoch), self.length(epoch))
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Any]:
        """One item: first and last sample of every validation stretch, shape (stretches, 2)."""
        return DataLoader([torch.tensor(self.prepared.validation)], batch_size=None)  # type: ignore[arg-type]


class SurrogateTask(LightningModule):
    """What Lightning trains: the loss over shooting windows, Adam, and the free run that validates.

    The loss is that of Gauss-Newton with the measured initial states: short windows compare all state values, windows
    of 20 samples and more the outputs only. The learning rate decays as half a cosine over each stage. Logged are
    `train/loss` and `val/nrmse`, the NRMSE of free runs over the validation stretches.

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
        """Loss of a batch of windows, with the penalty on the weights."""
        self._window = batch.stages.shape[1]
        weights = self.outputs_only if self._window >= FREE_FROM else self.all_values
        loss = shooting_loss(self.member, Windows(*batch), weights) + self.ridge * self._penalty()
        self._losses.append(loss.detach())
        self.log("train/loss", loss, batch_size=len(batch.first), on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def _penalty(self) -> Tensor:
        penalty = FEEDTHROUGH_RIDGE * self.member.feedthrough.square().sum()
        for value in self.member.field.parameters():
            if value.requires_grad:
                penalty = penalty + value.square().sum()
        return penalty

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """NRMSE of free runs over the validation stretches; the best weights are remembered."""
        member = self.member if self.device.type == "cpu" else copy.deepcopy(self.member).cpu()
        score = free_run_error(member, self.prepared, [(int(first), int(last)) for first, last in batch])
        self.log("val/nrmse", score, batch_size=1, prog_bar=True)
        if self._losses and not self.trainer.sanity_checking:
            self._remember(score)

    def _remember(self, score: float) -> None:
        if score <= self.best[0]:
            self.best = (score, _snapshot(self.member))
        loss = float(torch.stack(self._losses).mean())
        self._losses.clear()
        self.history.append(
            {
                "epoch": self.current_epoch,
                "window": self._window,
                "updates": self.global_step,
                "loss": loss,
                "validation": score,
            }
        )

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam; another optimiser needs no more than an override of this, the decay below works on any."""
        return torch.optim.Adam([p for p in self.parameters() if p.requires_grad], lr=self.learning_rate, fused=True)

    def on_train_batch_start(self, batch: Windows, batch_idx: int) -> None:
        """Set the learning rate by the place in the stage, which a resumed run knows without a scheduler's state."""
        place = self.current_epoch % self.epochs + batch_idx / max(1, self.trainer.num_training_batches)
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * 0.5 * (1 + math.cos(math.pi * place / self.epochs))

    def keep_best(self) -> float:
        """Put the weights that validated best into the member, ready for use, and return their error."""
        self.member.load_state_dict(self.best[1])
        self.member.eval()
        return self.best[0]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what resuming needs beyond the weights."""
        checkpoint["spinode"] = {"error": self.best[0], "best": self.best[1], "history": self.history}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back."""
        stored = checkpoint["spinode"]
        self.best, self.history = (stored["error"], stored["best"]), list(stored["history"])


def _snapshot(member: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().clone() for name, value in member.state_dict().items()}


def trainer_for(data: WindowData, **arguments: Any) -> Trainer:
    """A trainer with the settings that the windows need and that suit small nets.

    It runs on the CPU, writes no file and draws no bar.

    Args:
        data: The windows; they set the number of epochs.
        **arguments: Arguments of `lightning.Trainer`, such as `logger`, `callbacks`, `enable_progress_bar=True` or
            `accelerator="auto"`; they go before the settings made here.

    Returns:
        The trainer, for `trainer.fit(task, datamodule=data)`.
    """
    callbacks = arguments.get("callbacks") or []
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    settings: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "max_epochs": data.total_epochs,
        "reload_dataloaders_every_n_epochs": 1,
        "gradient_clip_val": 1.0,  # a window that runs away must not throw the weights after it
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "logger": False,
        "enable_checkpointing": any(isinstance(one, LightningCheckpoint) for one in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with _quiet():
        return Trainer(**(settings | arguments))


def fit_adam(
    prepared: Prepared,
    config: FitConfig,
    build: Callable[[int, int, int, torch.Generator], nn.Module],
    restart: int,
    note: Checkpoint,
    say: Callable[[str], None],
) -> Candidate:
    """One restart: Adam through all stages; the epoch that validates best is kept.

    With a checkpoint file, Lightning's checkpoints go into a folder beside it, one after each epoch; a run that was
    killed resumes from the last one and ends with the same result.

    Args:
        prepared: Embedded recordings.
        config: Settings.
        build: Makes the vector field.
        restart: Number of this restart, counted from zero.
        note: Checkpoint of the whole fit.
        say: Receives one line of text after each epoch.

    Returns:
        The member, its validation error and one history entry per stage.

    Raises:
        FitError: the checkpoint of this restart cannot be read.
    """
    seed = config.seed * 1000 + restart
    data = WindowData(prepared, windows=config.windows, epochs=config.epochs, batch_size=config.batch_size, seed=seed)
    file = _checkpoint_file(note, restart)
    after = _AfterEpoch(data, file, lambda line: say(f"restart {restart + 1}/{config.restarts}  {line}"))
    with _quiet(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for fields that draw their first weights from the global generator
        member = new_member(prepared, build, seed)
        task = SurrogateTask(member, prepared, epochs=config.epochs, learning_rate=config.learning_rate, ridge=config.ridge)
        with _signals():
            trainer = trainer_for(data, callbacks=[after])
            trainer.fit(task, datamodule=data, ckpt_path=_readable(file), weights_only=True)
    score = task.keep_best()
    say(f"restart {restart + 1}/{config.restarts}: validation NRMSE {score:.4f}")
    return Candidate(member, score, _stages(task.history, data, restart))


def _checkpoint_file(note: Checkpoint, restart: int) -> Path | None:
    """Where this restart keeps its state; what an older fit left there is removed."""
    if note.path is None:
        return None
    folder = note.path.with_name(note.path.name + ".lightning")
    folder.mkdir(exist_ok=True)
    file = folder / f"restart-{restart}.ckpt"
    # The note knows data and settings; what it did not announce belongs to another fit.
    if not note.read(f"lightning.{restart}"):
        file.unlink(missing_ok=True)
        note.write(f"lightning.{restart}", True)
    return file


def _readable(file: Path | None) -> Path | None:
    """The file if it is there, after a look into it."""
    if file is None or not file.exists():
        return None
    try:
        found = torch.load(file, weights_only=True)["spinode"]
    except Exception as error:  # zip, pickle and tensors can be broken in many ways
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise FitError(f"{file} cannot be read ({reason}). Delete it to start this restart afresh.") from None
    return file if found else None


def _stages(history: list[dict[str, Any]], data: WindowData, restart: int) -> list[dict[str, Any]]:
    """One entry per stage, in the form of the Gauss-Newton route."""
    entries: list[dict[str, Any]] = []
    for stage, length in enumerate(data.lengths):
        epochs = [entry for entry in history if entry["epoch"] // data.epochs == stage]
        if epochs:
            entries.append(
                {
                    "restart": restart,
                    "stage": stage,
                    "window": length,
                    "validation": epochs[-1]["validation"],
                    "residual": epochs[-1]["loss"] ** 0.5,
                    "steps": epochs[-1]["updates"] - (entries[-1]["updates"] if entries else 0),
                    "updates": epochs[-1]["updates"],
                    "start": epochs[0]["loss"] ** 0.5,
                }
            )
    return entries


class _AfterEpoch(Callback):
    """Says how it goes, and keeps the state of the run in one file that is replaced as a whole."""

    def __init__(self, data: WindowData, file: Path | None, say: Callable[[str], None]) -> None:
        self.data, self.file, self.say = data, file, say

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # A field that draws random numbers (dropout) draws the same ones in a resumed run.
        torch.manual_seed(self.data.seed * 1_000_003 + trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.file is not None:
            partial = self.file.with_name(f".{self.file.name}.{os.getpid()}.partial")
            trainer.save_checkpoint(partial)
            os.replace(partial, self.file)
        assert isinstance(pl_module, SurrogateTask)
        last, epochs = pl_module.history[-1], self.data.epochs
        stage, epoch = divmod(last["epoch"], epochs)
        self.say(
            f"stage {stage + 1}/{len(self.data.lengths)} (window {last['window']})  epoch {epoch + 1}/{epochs}  "
            f"residual {last['loss'] ** 0.5:.3e}  validation {last['validation']:.4f}"
        )


#: What Lightning says of matters that are not the user's: workers (the windows are in memory), an idle GPU, and its own
#: use of a class that newer versions of torch deprecate.
_NOISE = (".*does not have many workers", ".*available but not used", ".*LeafSpec")


@contextmanager
def _quiet() -> Iterator[None]:
    """No tips and no advice."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            for message in _NOISE:
                warnings.filterwarnings("ignore", message=message)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _signals() -> Iterator[None]:
    """Interruptions stay what they are.

    Lightning turns Ctrl-C into an exit and leaves the signal ignored for good; it ends on SIGTERM with exit code 0, which
    a batch system would take for success.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as stop:
        if not isinstance(stop.__context__, KeyboardInterrupt):
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
