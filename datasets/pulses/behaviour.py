"""Reads that contradict their pulses: a RESET that raises the conductance, or a conductance that behaves like a resistance."""

from __future__ import annotations

import numpy as np

from ...typing import Array
from .reads import Reads

# A mean change counts from this many pulses on, and from this many of its standard errors.
_MIN_PULSES, _MIN_ERRORS = 6, 4.0


def contradictions(reads: Reads) -> list[str]:
    """Return sentences about pulses whose mean effect has the wrong sign.

    The change of the conductance from read to read is averaged over the pulses of one polarity; its standard error is that
    of independent changes.
    """
    change = np.diff(reads.conductance)
    within = np.ones(len(change), dtype=np.bool_)
    within[reads.edges[1:-1] - 1] = False
    count = reads.count[1:]
    effects = {word: _effect(change[within & (np.sign(count) == sign)], sign) for word, sign in (("SET", 1.0), ("RESET", -1.0))}
    wrong = [word for word, effect in effects.items() if effect < 0]
    if len(wrong) == 2:
        return [
            "SET pulses lower the conductance and RESET pulses raise it, on average: is the column a resistance "
            "(PulseLayout(columns={'resistance': ...})), or are the polarities exchanged?"
        ]
    if wrong == ["RESET"] and effects["SET"] == 0:
        return ["RESET pulses raise the conductance, on average: are they SET pulses, or is the column a resistance?"]
    if wrong == ["SET"] and effects["RESET"] == 0:
        return ["SET pulses lower the conductance, on average: are they RESET pulses, or is the column a resistance?"]
    verbs = {"SET": "SET pulses lower the conductance", "RESET": "RESET pulses raise the conductance"}
    return [
        f"{verbs[word]}, on average, as those of the other polarity do: is the polarity of all pulses right?" for word in wrong
    ]


def _effect(changes: Array, sign: float) -> float:
    """Return 1 if the mean change has the sign of the pulses, -1 if it has the other, 0 if it is not clear."""
    largest = float(np.max(np.abs(changes), initial=0.0))
    if len(changes) < _MIN_PULSES or not 0 < largest < np.inf:
        return 0.0
    changes = changes / largest  # squares of very large values overflow
    mean, error = float(np.mean(changes)), float(np.std(changes)) / np.sqrt(len(changes))
    return float(np.sign(mean) * sign) if abs(mean) > _MIN_ERRORS * error and mean != 0 else 0.0
