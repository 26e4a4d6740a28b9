"""What rollout.py expects of a library that it measures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from _problems import Array, Problem

#: Number of devices of D that are processed at once.
CHUNKS = {"torchdiffeq-chunks": 20_000, "eager": 20_000, "compile": 8_000, "jax": 8_000}


class Implementation:
    """One way to compute a workload: `prepare` it, compare its `results`, then time `work`."""

    workloads = "ABCD"
    compiles = False

    def prepare(self, problem: Problem) -> None:
        """Copy the data into the layout of the library and set `work`."""
        raise NotImplementedError

    def results(self) -> dict[str, Array]:
        """Return the results to compare, in the layout of `Problem.expected`."""
        raise NotImplementedError

    work: Callable[[], Any]
