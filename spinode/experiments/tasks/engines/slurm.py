"""SLURM by submitit: each task is a job, or an element of a job array.

submitit waits for ever for a job that was killed on a cluster without accounting (`sacct`). Here a job has ended when its
result pickle exists, or `squeue` does not list it any more; whether its task is done, its result file decides.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from ....errors import ConfigError, FitError

#: Seconds between two calls of `squeue`, and after its submission for which a job counts as queued in any case.
ASK_EVERY, GRACE = 5.0, 20.0


class SlurmEngine:
    """Jobs of a SLURM cluster, or processes by submitit's own "local" executor.

    Args:
        folder: Folder for the scripts and outputs of the jobs, on a file system that the nodes share.
        cluster: "slurm", or "local" to try it without a cluster.
        parameters: Of `submitit.AutoExecutor.update_parameters`, such as slurm_partition="cpu", timeout_min=60, mem_gb=4,
            slurm_array_parallelism=100.

    Raises:
        ConfigError: submitit is not installed.
    """

    def __init__(self, folder: str | Path, cluster: str = "slurm", **parameters: Any) -> None:
        try:
            submitit = import_module("submitit")
        except ImportError:
            raise ConfigError("SLURM jobs need submitit; pip install 'spinode[slurm]'.") from None
        self.folder, self.cluster = Path(folder), cluster
        self._executor = submitit.AutoExecutor(folder=self.folder, cluster=cluster)
        given = {"timeout_min": 60, "cpus_per_task": 1, **parameters}
        self._executor.update_parameters(**given)
        self._listed: set[str] = set()
        self._asked = 0.0

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> SlurmJob:
        """Submit one job."""
        return SlurmJob(self, self._executor.submit(function, *arguments))

    def submit_many(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[SlurmJob]:
        """Submit a job array, one element for each call."""
        jobs = self._executor.map_array(function, *zip(*calls, strict=True))
        return [SlurmJob(self, job) for job in jobs]

    def is_listed(self, job_id: str) -> bool:
        """Return True if `squeue` lists a job, which is asked every few seconds for all jobs."""
        if time.monotonic() - self._asked > ASK_EVERY:
            command = ["squeue", "--noheader", "--array", "--me", "--format=%i"]
            asked = subprocess.run(command, capture_output=True, text=True, check=False)
            if asked.returncode:  # the controller does not answer: nothing is known
                return True
            self._asked, self._listed = time.monotonic(), set(asked.stdout.split())
        return job_id in self._listed


class SlurmJob:
    """One job."""

    def __init__(self, engine: SlurmEngine, job: Any) -> None:
        self._engine, self._job, self._begun = engine, job, time.monotonic()

    def done(self) -> bool:
        """Return True if the job has left a result, or the queue."""
        if self._job.paths.result_pickle.exists():
            return True
        if self._engine.cluster != "slurm":
            return bool(self._job.done())
        return time.monotonic() - self._begun > GRACE and not self._engine.is_listed(str(self._job.job_id))

    def result(self) -> Any:
        """Return what the task returned.

        Raises:
            FitError: the job ended without a result.
        """
        if not self._job.paths.result_pickle.exists():
            raise FitError(f"job {self._job.job_id} ended without a result; its messages are in {self._job.paths.stderr}.")
        return self._job.result()
