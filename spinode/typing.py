"""Types that signatures of the whole package share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

#: Real numbers in double precision, as recordings are stored.
Array: TypeAlias = npt.NDArray[np.float64]

#: Receives one line of text about how far something has got.
Progress: TypeAlias = Callable[[str], None]
