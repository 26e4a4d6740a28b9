"""`open_engine`: an engine by its name on the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

from ....errors import ConfigError
from .processes import ProcessEngine
from .slurm import SlurmEngine

#: What names an engine.
NAMES = ("serial", "processes", "slurm", "submitit-local", "dask:ADDRESS")


@contextmanager
def open_engine(
    name: str, *, workers: int = 1, folder: str | Path = ".", options: Mapping[str, Any] | None = None
) -> Iterator[Any]:
    """Open an engine for the time of the block; None for this process.

    Args:
        name: "serial", "processes" (on this machine), "slurm" (by submitit), "submitit-local" (submitit without a cluster) or
            "dask:ADDRESS" of a scheduler that runs, such as dask:tcp://10.0.0.1:8786.
        workers: Number of processes; of jobs at a time with SLURM.
        folder: Where submitit keeps scripts and outputs of jobs.
        options: Further parameters of submitit, such as {"slurm_partition": "cpu", "mem_gb": 4}.

    Raises:
        ConfigError: an unknown name, or a library that is not installed.

    Example:
        >>> with open_engine("serial") as engine:
        ...     print(engine)
        None
    """
    if name == "serial":
        yield None
    elif name == "processes":
        with ProcessEngine(workers) as engine:
            yield engine
    elif name in ("slurm", "submitit-local"):
        cluster = "slurm" if name == "slurm" else "local"
        parallel = {"slurm_array_parallelism": workers} if name == "slurm" else {}
        yield SlurmEngine(Path(folder), cluster, **{**parallel, **(options or {})})
    elif name.startswith("dask:"):
        try:
            distributed = import_module("dask.distributed")
        except ImportError:
            raise ConfigError("a dask cluster needs dask.distributed; pip install 'spinode[dask]'.") from None
        with distributed.Client(name.removeprefix("dask:")) as client:
            yield _Dask(client)
    else:
        raise ConfigError(f"engine is {name!r}; expected one of {', '.join(NAMES)}.")


class _Dask:
    """A dask client whose calls are not taken for pure functions: a task that failed would never be tried again."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def submit(self, function: Any, /, *arguments: Any) -> Any:
        """Submit a call."""
        return self._client.submit(function, *arguments, pure=False)
