"""Small traces that the package ships, so that examples run without a measurement.

`macrospin.csv` and `macrospin_held.csv` are two recordings of one device: a perpendicular magnet in a tilted field,
whose anisotropy a voltage sets, once as a sine of random amplitude, once as random steps with a zero-order hold. A surrogate
fitted on the first can be tested on the second. `make_macrospin` contains the device, the drives and the program that wrote
the files.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from ...errors import TraceError

_ENDINGS = (".csv", ".txt", ".npz")


def sample_names() -> tuple[str, ...]:
    """Return the names of the shipped traces, sorted.

    Example:
        >>> sample_names()
        ('macrospin.csv', 'macrospin_held.csv')
    """
    return tuple(sorted(file.name for file in files(__name__).iterdir() if file.name.endswith(_ENDINGS)))


def sample_path(name: str) -> Path:
    """Return the path of a shipped trace, for `read_trace`.

    Args:
        name: One of `sample_names()`, such as "macrospin.csv"; the ending may be omitted.

    Raises:
        TraceError: there is no such sample.

    Example:
        >>> from spinode.datasets import read_trace
        >>> trace = read_trace(sample_path("macrospin"), drive="Ku", output="mz")
        >>> len(trace.time), list(trace.drive), list(trace.output)
        (5000, ['Ku'], ['mz'])
    """
    known = {key: each for each in sample_names() for key in (each, Path(each).stem)}
    if name not in known:
        raise TraceError(f"there is no sample {name!r}; the samples are: {', '.join(sample_names())}.")
    return Path(str(files(__name__) / known[name]))
