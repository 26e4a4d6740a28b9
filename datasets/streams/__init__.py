"""Task streams: sequences of classification tasks that follow the contract of `spinode.contracts.task_stream`.

A new stream needs nothing but its file here: every module of this folder is imported, and each registers its names with
`spinode.contracts.stream_registry`, where the command line and recipes find them.
"""

from importlib import import_module as _import_module
from pkgutil import iter_modules as _iter_modules

from .classes import ClassSplit as ClassSplit
from .continuous import ContinuousTasks as ContinuousTasks
from .permuted import PermutedTasks as PermutedTasks
from .sequence import TaskSequence as TaskSequence
from .subsets import Subsets as Subsets
from .task_list import TaskList as TaskList


def discover() -> None:
    """Import every module of this folder, so that its streams are registered."""
    for module in _iter_modules(__path__):
        _import_module(f"{__name__}.{module.name}")


discover()
