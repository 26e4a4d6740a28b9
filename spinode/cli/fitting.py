"""Shared parts of the fit commands: checkpoint, progress, and resuming after an interrupt."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .inputs import check_target
from .progress import show_progress


def check_targets(arguments: Any, inputs: Sequence[str]) -> None:
    """Check `--save`, `--checkpoint` and `--report` before time is spent on a fit.

    Raises:
        TraceError: a path that cannot be written, or that is read.
        ConfigError: two of them are the same file, or `--save` does not end in .safetensors.
    """
    targets = {"--save": arguments.save, "--checkpoint": str(checkpoint_path(arguments))}
    if getattr(arguments, "report", None):
        targets["--report"] = arguments.report
    for target in targets.values():
        check_target(target, *inputs)
    for option, target in list(targets.items())[1:]:
        if target == arguments.save:
            raise ConfigError(f"--save and {option} both name {target}; choose another name for {option}.")


def checkpoint_path(arguments: Any) -> Path:
    """Return the file in which a fit keeps its progress."""
    return Path(arguments.checkpoint or f"{arguments.save}.checkpoint")


def run_fit(fit: Callable[..., Any], traces: Any, config: Any, arguments: Any) -> Any:
    """Fit and save a surrogate; an interrupted fit resumes from its checkpoint, which is removed at the end.

    Args:
        fit: `fit`, `fit_synapse` or `fit_stochastic`.
        traces: Recordings.
        config: Settings.
        arguments: Parsed options: save, checkpoint, progress, quiet.
    """
    checkpoint = checkpoint_path(arguments)
    resuming = checkpoint.exists()
    with show_progress(arguments) as show:

        def progress(line: str) -> None:
            nonlocal resuming
            if resuming:  # the first line comes after the checkpoint was accepted
                print(f"spinode: resuming from {checkpoint}", file=sys.stderr)
                resuming = False
            show(line)

        try:
            surrogate = fit(traces, config, checkpoint=checkpoint, progress=progress)
        except KeyboardInterrupt:
            if checkpoint.exists():
                print(f"\nspinode: the same command resumes from {checkpoint}.", file=sys.stderr)
            raise
    surrogate.save(arguments.save)
    checkpoint.unlink(missing_ok=True)
    for folder in checkpoint.parent.glob(f"{checkpoint.name}.lightning*"):
        shutil.rmtree(folder, ignore_errors=True)
    return surrogate
