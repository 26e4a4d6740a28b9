"""Small traces that the package ships, so that the main job runs without a measurement at hand.

`macrospin.csv` and `macrospin_held.csv` are two recordings of one device: a perpendicular magnet in a tilted field,
whose anisotropy a voltage sets, once as a sine of random amplitude, once as held random steps. A surrogate fitted on
the first can be tried on the second. Device, drives and the program that wrote the files: `make_macrospin`.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ...errors import TraceError

_ENDINGS = (".csv", ".txt", ".npz")


def samples() -> tuple[str, ...]:
    """Names of the shipped traces, sorted."""
    return tuple(sorted(each.name for each in files(__name__).iterdir() if each.name.endswith(_ENDINGS)))


def sample_path(name: str) -> Path:
    """Path of a shipped trace, to be given to `read_trace`.

    Args:
        name: One of `samples()`, such as "macrospin.csv"; the ending may be left out.

    Raises:
        TraceError: there is no such sample.
    """
    known = {key: each for each in samples() for key in (each, Path(each).stem)}
    if name not in known:
        raise TraceError(f"there is no sample {name!r}; the samples are: {', '.join(samples())}.")
    return Path(str(files(__name__) / known[name]))
