"""Task streams on the contract of `spinode.contracts.task_stream`: what a network learns in turn."""

from .classes import ClassSplit as ClassSplit
from .continuous import ContinuousTasks as ContinuousTasks
from .listed import TaskList as TaskList
from .permuted import PermutedTasks as PermutedTasks
from .sequence import TaskSequence as TaskSequence
from .subsets import Subsets as Subsets
