"""Lightning on the local machine: no scheduler detection, no advice, ordinary signals.

Lightning is imported when one of these functions is called, since that takes seconds. Both training routes use them alike:

    with quiet_lightning(), ordinary_interrupts():
        local_trainer(max_epochs=10, accelerator="cpu").fit(module, datamodule=data)
"""

from __future__ import annotations

import logging
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lightning.pytorch import Trainer

#: Advice that does not concern data in memory on a CPU: workers, an idle GPU, and a class that Lightning takes from torch
#: although newer versions of torch deprecate it.
IRRELEVANT_WARNINGS = (".*does not have many workers", ".*available but not used", ".*LeafSpec")


def local_trainer(**arguments: Any) -> Trainer:
    """Return a `lightning.Trainer` that starts its processes itself, whatever scheduler the machine has.

    Lightning looks for SLURM, torchrun, LSF and MPI by environment variables and by programs on the PATH, and would take the
    number of processes from them. An environment among `plugins` takes precedence.

    Args:
        **arguments: Arguments of `lightning.Trainer`.
    """
    from lightning.fabric.plugins.environments.cluster_environment import ClusterEnvironment
    from lightning.fabric.plugins.environments.lightning import LightningEnvironment
    from lightning.pytorch import Trainer

    plugins = arguments.pop("plugins", None) or []
    plugins = list(plugins) if isinstance(plugins, (list, tuple)) else [plugins]
    if not any(isinstance(plugin, ClusterEnvironment) for plugin in plugins):
        plugins.append(LightningEnvironment())
    return Trainer(plugins=plugins, **arguments)


@contextmanager
def quiet_lightning(*patterns: str) -> Iterator[None]:
    """Run the block without Lightning's tips, advice and scheduler detection.

    `Trainer.fit` without a checkpoint checks for SLURM a second time: it warns where `srun` is installed, and in a SLURM job
    it would resume from any `hpc_ckpt_*.ckpt` of the working directory. Both are off inside the block.

    Args:
        *patterns: Regular expressions of further warnings to ignore, matched from the beginning of the message.
    """
    from lightning.fabric.plugins.environments.slurm import SLURMEnvironment

    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    detect = SLURMEnvironment.__dict__["detect"]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    SLURMEnvironment.detect = staticmethod(lambda: False)  # type: ignore[method-assign]
    try:
        with warnings.catch_warnings():
            for pattern in (*IRRELEVANT_WARNINGS, *patterns):
                warnings.filterwarnings("ignore", message=pattern)
            yield
    finally:
        SLURMEnvironment.detect = detect  # type: ignore[method-assign]
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def ordinary_interrupts() -> Iterator[None]:
    """Let Ctrl-C raise `KeyboardInterrupt` and SIGTERM end the process with exit code 143, as without Lightning.

    Lightning turns Ctrl-C into an exit and ignores the signal from then on. On SIGTERM it exits with code 0, which a batch
    system would take for success.
    """
    from lightning.pytorch.utilities.exceptions import SIGTERMException

    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SIGTERMException:
        raise SystemExit(128 + signal.SIGTERM) from None
    except SystemExit as stop:
        if isinstance(stop.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        raise
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGINT, handler)
