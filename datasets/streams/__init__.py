"""Task streams: sequences of classification tasks that follow the contract of `spinode.contracts.task_stream`."""

from .classes import ClassSplit as ClassSplit
from .continuous import ContinuousTasks as ContinuousTasks
from .permuted import PermutedTasks as PermutedTasks
from .sequence import TaskSequence as TaskSequence
from .subsets import Subsets as Subsets
from .task_list import TaskList as TaskList
