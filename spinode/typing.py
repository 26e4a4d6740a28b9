"""Types of the signatures of the whole package."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Real numbers in double precision, as recordings are stored.
Array: TypeAlias = npt.NDArray[np.float64]

#: A function that receives one line of text about the progress of a computation.
Progress: TypeAlias = Callable[[str], None]
