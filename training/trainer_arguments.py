"""The arguments that `train` passes to `lightning.Trainer`, and those that it refuses because they cannot act."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lightning.pytorch import Callback, Trainer

from ..errors import ConfigError
from ..lightning_environment import local_trainer

_ENDS_STREAM = "it would end the stream before its last task; use epochs and tasks, or EarlyStopping, which ends a task"
_NO_VALIDATION = "there is no validation loop; the tests follow from evaluate"
_OWN_STEPS = "the learners step their optimisers themselves"
#: Arguments of the Trainer that do nothing here or that break a run, with the reason.
REFUSED = {
    **dict.fromkeys(("max_steps", "min_steps", "min_epochs", "max_time", "fast_dev_run"), _ENDS_STREAM),
    **dict.fromkeys(
        ("limit_val_batches", "limit_test_batches", "limit_predict_batches", "val_check_interval", "check_val_every_n_epoch"),
        _NO_VALIDATION,
    ),
    **dict.fromkeys(("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"), _OWN_STEPS),
    "overfit_batches": "each pass contains all samples of a task; make a stream of fewer samples",
    "barebones": "it would turn off checkpoints and logs",
}
#: Arguments that follow from stream and config.
_FIXED = {"reload_dataloaders_every_n_epochs": 1, "num_sanity_val_steps": 0, "enable_checkpointing": True}
_DEFAULTS = {
    "accelerator": "cpu",
    "devices": 1,
    "logger": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
    "log_every_n_steps": 1,
    "use_distributed_sampler": False,
}


def check_trainer_arguments(arguments: Mapping[str, Any]) -> None:
    """Check the argument `trainer` of `train`.

    Raises:
        ConfigError: arguments that follow from stream and config, or that cannot act.
    """
    conflicts = sorted({"max_epochs", *_FIXED} & set(arguments))
    if conflicts:
        raise ConfigError(f"trainer contains {', '.join(conflicts)}, which follow from stream and config; remove them.")
    for name in sorted(set(REFUSED) & set(arguments)):
        raise ConfigError(f"trainer contains {name}={arguments[name]!r}, which cannot act: {REFUSED[name]}.")


def make_trainer(loop: Callback, epochs: int, arguments: Mapping[str, Any]) -> Trainer:
    """Return the Trainer of a run.

    Args:
        loop: The callback that leads through the stream; it is called last.
        epochs: Passes over all tasks.
        arguments: Arguments that take precedence over the defaults.

    Raises:
        ConfigError: arguments that the Trainer refuses.
    """
    callbacks = arguments.get("callbacks") or []
    callbacks = [callbacks] if isinstance(callbacks, Callback) else callbacks
    try:
        return local_trainer(**{**_DEFAULTS, **arguments, **_FIXED, "max_epochs": epochs, "callbacks": [*callbacks, loop]})
    except TypeError as error:
        raise ConfigError(f"lightning.Trainer refuses the arguments in trainer: {error}") from None


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return the callbacks of a Trainer."""
    return list(trainer.callbacks)  # type: ignore[attr-defined]
