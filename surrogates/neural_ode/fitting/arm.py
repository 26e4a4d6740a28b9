"""What races in a search: fits of one structure to all splits of the recordings, and the result of the race."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..member import Member
from .config import FitConfig
from .gauss_newton import Climb
from .prepare import Prepared
from .stages import Candidate
from .structure import Structure


@dataclass
class Arm:
    """One candidate of the race: fits of one structure to all splits of the recordings."""

    structure: Structure
    start: str
    climbs: list[Climb]
    diverged: bool = False

    @property
    def climb(self) -> Climb:
        """The fit of the first split, whose validation segments are the ends of the recordings."""
        return self.climbs[0]

    @property
    def error(self) -> float:
        """Geometric mean of the validation errors of all splits.

        The block that is least like the others, of which no fit can know much, would decide a mean of squares.
        """
        return float(np.exp(np.mean(np.log([max(climb.error, 1e-300) for climb in self.climbs]))))

    @property
    def rank(self) -> tuple[bool, float]:
        """Key by which arms are sorted: those that do not diverge first, then by error."""
        return self.diverged or not np.isfinite(self.error), self.error


@dataclass(frozen=True)
class SearchResult:
    """The structure that was chosen, with its fits.

    Attributes:
        config: Settings with the structure filled in.
        structures: The structure of each candidate.
        prepared: Recordings in their embedding.
        candidates: One fit per restart, the best one first.
        record: Entries for the record of the fit: "search", "linear_validation", "search_choice", "effort".
        members: Returns the members that a candidate contributes to the surrogate, by its number.
    """

    config: FitConfig
    structures: list[Structure]
    prepared: Prepared
    candidates: list[Candidate]
    record: dict[str, Any]
    members: Callable[[int], list[Member]]
