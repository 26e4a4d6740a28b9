"""`write_trace`: a trace to CSV, .npz, HDF5 or netCDF, which `read_trace` reads back exactly."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import TraceError
from ..files import write_atomically
from ..traces.trace import Trace
from .parsing.libraries import import_library
from .parsing.written_trace import KEY


def write_trace(path: str | Path, trace: Trace) -> None:
    """Write a trace: times, drives, outputs, units, parameters, interpolation of the drives, and provenance.

    `read_trace` returns the same numbers to the last bit, with the same roles and units. CSV does not contain the provenance.

    Args:
        path: Ends in .csv, .npz, .h5, .hdf5 or .nc; HDF5 and netCDF need `pip install 'spinode[hdf5]'` and
            `pip install 'spinode[xarray]'`. The file is written atomically.
        trace: The recording.

    Raises:
        TraceError: another ending, a library that is missing, a file that cannot be written, or a channel called "time".

    Example:
        >>> import pathlib, tempfile
        >>> from spinode import Trace
        >>> from spinode.datasets import read_trace, write_trace
        >>> trace = Trace([0.0, 0.1], {"V": [1.0, 2.0]}, {"m": [0.5, 0.25]}, units={"V": "V"})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "trace.npz")
        ...     write_trace(path, trace)
        ...     same = read_trace(path).fingerprint() == trace.fingerprint()
        >>> same
        True
    """
    endings = {".csv": write_csv, ".npz": _write_npz, ".h5": _write_hdf5, ".hdf5": _write_hdf5, ".nc": _write_netcdf}
    write = endings.get(Path(path).suffix.casefold())
    if write is None:
        raise TraceError(f"{path} ends in {Path(path).suffix!r}; expected one of {', '.join(endings)}.")
    _check_names(trace)
    write(path, trace)


def write_csv(path: str | Path, trace: Trace) -> None:
    """Write time, drives and outputs as columns with their SI units; parameters and roles as comments.

    The header is `time (s),V (V),m ()`; numbers have all the digits of float64. The file is written atomically.

    Args:
        path: File to write, of any ending.
        trace: The recording.

    Raises:
        TraceError: the file cannot be written, or a channel is called "time" as well.

    Example:
        >>> import pathlib, tempfile
        >>> from spinode import Trace
        >>> from spinode.datasets import write_csv
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "trace.csv")
        ...     write_csv(path, Trace([0.0, 0.1], {"V": [1.0, 2.0]}, {"m": [0.5, 0.25]}, units={"V": "V"}))
        ...     print(path.read_text())
        # drive V
        # output m
        time (s),V (V),m ()
        0.0,1.0,0.5
        0.1,2.0,0.25
        <BLANKLINE>
    """
    _check_names(trace)
    text = io.StringIO(newline="")
    for name, value in trace.parameters.items():
        text.write(f"# parameter {_header(trace, name)} = {value!r}\n")
    for role in ("drive", "output"):
        for name in getattr(trace, role):
            interpolation = trace.interpolation.get(name)
            text.write(f"# {role} {' '.join(name.split())}{f', {interpolation} between samples' if interpolation else ''}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"time ({trace.unit('time')})", *(_header(trace, name) for name in trace.channels)])
    writer.writerows(_rows(trace))
    write_atomically(path, text.getvalue().encode())


def _check_names(trace: Trace) -> None:
    if "time" in trace.channels:
        raise TraceError("a channel is called 'time', like the column of the times; give it another name.")


def _header(trace: Trace, name: str) -> str:
    # A line break inside a name would split the line.
    return f"{' '.join(name.split())} ({trace.units.get(name, '')})"


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    columns = (trace.time, *trace.channels.values())
    return zip(*(map(repr, column.tolist()) for column in columns), strict=True)


def _arrays(trace: Trace) -> dict[str, Any]:
    """Return times and channels under names that any format accepts; `_metadata` contains the names of the channels."""
    return {"time": trace.time, **{f"c{index}": values for index, values in enumerate(trace.channels.values())}}


def _metadata(trace: Trace) -> str:
    return json.dumps(
        {
            "channels": {**dict.fromkeys(trace.drive, "drive"), **dict.fromkeys(trace.output, "output")},
            "units": {"time": trace.unit("time"), **trace.units},
            "parameters": dict(trace.parameters),
            "interpolation": dict(trace.interpolation),
            "provenance": dict(trace.provenance),
        },
        default=_plain,
    )


def _plain(value: Any) -> Any:
    """Return a value in types that JSON knows: mappings as dict, NumPy's numbers and arrays as numbers and lists."""
    if hasattr(value, "items"):
        return dict(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _write_npz(path: str | Path, trace: Trace) -> None:
    buffer = io.BytesIO()
    members: dict[str, Any] = {**_arrays(trace), KEY: np.array(_metadata(trace))}
    np.savez(buffer, **members)
    write_atomically(path, buffer.getvalue())


def _write_hdf5(path: str | Path, trace: Trace) -> None:
    h5py = import_library("h5py", "hdf5", "an HDF5 file")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        names = ["time", *trace.channels]
        for name, (key, values) in zip(names, _arrays(trace).items(), strict=True):
            file[key] = values
            file[key].attrs.update({"long_name": name, "units": trace.unit(name)})
        file.create_dataset(KEY, data=_metadata(trace))
    write_atomically(path, buffer.getvalue())


def _write_netcdf(path: str | Path, trace: Trace) -> None:
    xarray = import_library("xarray", "xarray", "a netCDF file")
    import_library("h5netcdf", "xarray", "a netCDF file")
    names = ["time", *trace.channels]
    variables = {
        key: (("time",), values, {"long_name": name, "units": trace.unit(name)})
        for name, (key, values) in zip(names, _arrays(trace).items(), strict=True)
    }
    times = variables.pop("time")
    dataset = xarray.Dataset(variables, coords={"time": times}, attrs={KEY: _metadata(trace)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.nc"
        try:
            dataset.to_netcdf(file, engine="h5netcdf", encoding={key: {"_FillValue": None} for key in dataset.variables})
        except OSError as error:
            raise TraceError(f"cannot write {path}: {error.strerror or error}. Choose a folder with free space.") from None
        write_atomically(path, file.read_bytes())
