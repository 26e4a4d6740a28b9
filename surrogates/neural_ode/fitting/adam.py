"""The general training route: multiple shooting by Adam, run by Lightning.

Gauss-Newton (`spinode.surrogates.neural_ode.fitting.gauss_newton`) needs fields that `torch.func` can differentiate sample by
sample, and a matrix of weights by weights. This route needs neither: any `torch.nn.Module` of any size trains here, with
Lightning's progress bar, loggers, callbacks and checkpoints. `fit(..., method="adam")` takes it; its parts are composed as

    prepared = prepare(on_common_grid(traces, config), Embedding("derivative", 2), config)
    member = new_member(prepared, default_field(config), seed=0)
    data = WindowData(prepared, windows=(1, 8, 40))
    task = SurrogateTask(member, prepared, epochs=data.epochs)
    trainer_for(data, logger=CSVLogger("runs"), callbacks=[EarlyStopping("val/nrmse")]).fit(task, datamodule=data)
    task.keep_best()

Only the function that trains imports this module: Lightning takes seconds to load.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint as LightningCheckpoint

from ....errors import FitError
from ....lightning_environment import local_trainer, ordinary_interrupts, quiet_lightning
from ....typing import Progress
from .checkpoint import Checkpoint
from .config import FitConfig
from .lightning_task import SurrogateTask
from .prepare import Prepared
from .stages import Candidate, FieldBuilder, new_member
from .windows import WindowData


def trainer_for(data: WindowData, **arguments: Any) -> Trainer:
    """Return a trainer with the settings that the windows need and that suit small networks.

    It runs on the CPU, writes no file, shows no progress bar, and does not depend on a scheduler.

    Args:
        data: The windows; they set the number of epochs.
        **arguments: Arguments of `lightning.Trainer` that take precedence, such as `logger`, `callbacks`,
            `enable_progress_bar=True` or `accelerator="auto"`.

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
        "gradient_clip_val": 1.0,  # one window that diverges must not ruin the weights
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 1,
        "logger": False,
        "enable_checkpointing": any(isinstance(each, LightningCheckpoint) for each in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    with quiet_lightning():
        return local_trainer(**(settings | arguments))


def fit_adam(
    prepared: Prepared,
    config: FitConfig,
    build: FieldBuilder,
    restart: int,
    checkpoint: Checkpoint,
    progress: Progress,
) -> Candidate:
    """Run one restart by Adam through all stages and keep the epoch that validates best.

    With a checkpoint file, Lightning's checkpoints go into a folder next to it, one after each epoch; a run that was
    killed resumes from the last one and ends with the same result.

    Args:
        prepared: Embedded recordings.
        config: Settings.
        build: Builds the learned part of the vector field.
        restart: Number of this restart, counted from zero.
        checkpoint: Checkpoint of the whole fit.
        progress: Receives one line of text after each epoch.

    Returns:
        The member, its validation error and one history entry per stage.

    Raises:
        FitError: the checkpoint of this restart cannot be read.
    """
    seed = config.seed * 1000 + restart
    data = WindowData(prepared, windows=config.first_windows, epochs=config.epochs, batch_size=config.batch_size, seed=seed)
    file = _checkpoint_file(checkpoint, restart)
    header = f"restart {restart + 1}/{config.restarts}"
    after_epoch = _AfterEpoch(data, file, lambda line: progress(f"{header}  {line}"))
    with quiet_lightning(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # for fields that sample their first weights from the global generator
        member = new_member(prepared, build, seed)
        task = SurrogateTask(
            member, prepared, epochs=config.epochs, learning_rate=config.learning_rate, ridge=config.first_ridge
        )
        with ordinary_interrupts():
            trainer = trainer_for(data, callbacks=[after_epoch])
            trainer.fit(task, datamodule=data, ckpt_path=_resumable(file), weights_only=True)
    error = task.keep_best()
    progress(f"{header}: validation NRMSE {error:.4f}")
    return Candidate([member], error, _stage_entries(task.history, data, restart), [prepared])


class _AfterEpoch(Callback):
    """Reports progress, and keeps the state of the run in one file that is replaced atomically."""

    def __init__(self, data: WindowData, file: Path | None, progress: Progress) -> None:
        self.data, self.file, self.progress = data, file, progress

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        # A field with random numbers (dropout) gets the same ones in a resumed run.
        torch.manual_seed(self.data.seed * 1_000_003 + trainer.global_step)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.file is not None:
            partial = self.file.with_name(f".{self.file.name}.{os.getpid()}.partial")
            trainer.save_checkpoint(partial)
            os.replace(partial, self.file)
        assert isinstance(pl_module, SurrogateTask)
        last, epochs = pl_module.history[-1], self.data.epochs
        stage, epoch = divmod(last["epoch"], epochs)
        self.progress(
            f"stage {stage + 1}/{len(self.data.lengths)} (window {last['window']})  epoch {epoch + 1}/{epochs}  "
            f"residual {last['loss'] ** 0.5:.3e}  validation {last['validation']:.4f}"
        )


def _checkpoint_file(checkpoint: Checkpoint, restart: int) -> Path | None:
    """Return the file with the state of this restart, after deleting one that belongs to another fit."""
    if checkpoint.path is None:
        return None
    folder = checkpoint.path.with_name(checkpoint.path.name + ".lightning")
    folder.mkdir(exist_ok=True)
    file = folder / f"restart-{restart}.ckpt"
    # The checkpoint of the fit knows data and settings; a file that it does not list belongs to another fit.
    if not checkpoint.load_note(f"lightning.{restart}"):
        file.unlink(missing_ok=True)
        checkpoint.save_note(f"lightning.{restart}", True)
    return file


def _resumable(file: Path | None) -> Path | None:
    """Return the file if it exists and can be read."""
    if file is None or not file.exists():
        return None
    try:
        stored = torch.load(file, weights_only=True)["spinode"]
    except Exception as error:  # zip, pickle and tensors can be broken in many ways
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise FitError(f"{file} cannot be read ({reason}). Delete it to start this restart afresh.") from None
    return file if stored else None


def _stage_entries(history: list[dict[str, Any]], data: WindowData, restart: int) -> list[dict[str, Any]]:
    """Return one entry per stage, in the form of the Gauss-Newton route."""
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
