"""Task streams on the contract of `spinode.stream`: what a network learns in turn."""

from .permuted import PermutedTasks as PermutedTasks
from .sequence import TaskSequence as TaskSequence
