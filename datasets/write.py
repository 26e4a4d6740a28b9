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
from .readers.optional import library
from .readers.own import KEY


def write_trace(path: str | Path, trace: Trace) -> None:
    """Write a trace: times, drives, outputs, units, parameters, how drives run between samples, and provenance.

    `read_trace` gives the same numbers to the last bit, with the same roles and units. CSV leaves the provenance out.

    Args:
        path: Ends in .csv, .npz, .h5, .hdf5 or .nc; HDF5 and netCDF need `pip install 'spinode[hdf5]'` and
            `pip install 'spinode[xarray]'`. The file appears whole or not at all.
        trace: What to write.

    Raises:
        TraceError: another ending, a library that is missing, a place that cannot be written, or a channel called "time".
    """
    endings = {".csv": write_csv, ".npz": _write_npz, ".h5": _write_hdf5, ".hdf5": _write_hdf5, ".nc": _write_netcdf}
    write = endings.get(Path(path).suffix.casefold())
    if write is None:
        raise TraceError(f"{path} ends in {Path(path).suffix!r}; expected one of {', '.join(endings)}.")
    if "time" in trace.channels:
        raise TraceError("a channel is called 'time', like the column of the instants; give it another name.")
    write(path, trace)


def write_csv(path: str | Path, trace: Trace) -> None:
    """Write time, drives and outputs as columns with their SI units; parameters and roles as comments.

    The header is `time (s),V (V),m ()`; numbers have all the digits of float64. The file appears whole or not at all.

    Raises:
        TraceError: the place cannot be written, or a channel is called "time" as well.
    """
    if "time" in trace.channels:
        raise TraceError("a channel is called 'time', like the column of the instants; give it another name.")
    text = io.StringIO(newline="")
    for name, value in trace.parameters.items():
        text.write(f"# parameter {_header(trace, name)} = {value!r}\n")
    for role in ("drive", "output"):
        for name in getattr(trace, role):
            course = trace.interpolation.get(name)
            text.write(f"# {role} {' '.join(name.split())}{f', {course} between samples' if course else ''}\n")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f"time ({trace.unit('time')})", *(_header(trace, name) for name in trace.channels)])
    writer.writerows(_rows(trace))
    write_atomically(path, text.getvalue().encode())


def _header(trace: Trace, name: str) -> str:
    # One line per row: a line break inside a name would make two of it.
    return f"{' '.join(name.split())} ({trace.units.get(name, '')})"


def _rows(trace: Trace) -> Iterator[tuple[str, ...]]:
    columns = (trace.time, *trace.channels.values())
    return zip(*(map(repr, column.tolist()) for column in columns), strict=True)


def _arrays(trace: Trace) -> dict[str, Any]:
    """Times and channels under names that any format takes; `_about` holds the names of the channels."""
    return {"time": trace.time, **{f"c{place}": values for place, values in enumerate(trace.channels.values())}}


def _about(trace: Trace) -> str:
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
    """What JSON does not know: mappings that are no dict, NumPy's numbers and arrays."""
    if hasattr(value, "items"):
        return dict(value)
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else str(value)


def _write_npz(path: str | Path, trace: Trace) -> None:
    buffer = io.BytesIO()
    members: dict[str, Any] = {**_arrays(trace), KEY: np.array(_about(trace))}
    np.savez(buffer, **members)
    write_atomically(path, buffer.getvalue())


def _write_hdf5(path: str | Path, trace: Trace) -> None:
    h5py = library("h5py", "hdf5", "an HDF5 file")
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        names = ["time", *trace.channels]
        for name, (key, values) in zip(names, _arrays(trace).items(), strict=True):
            file[key] = values
            file[key].attrs.update({"long_name": name, "units": trace.unit(name)})
        file.create_dataset(KEY, data=_about(trace))
    write_atomically(path, buffer.getvalue())


def _write_netcdf(path: str | Path, trace: Trace) -> None:
    xarray = library("xarray", "xarray", "a netCDF file")
    library("h5netcdf", "xarray", "a netCDF file")
    names = ["time", *trace.channels]
    variables = {
        key: (("time",), values, {"long_name": name, "units": trace.unit(name)})
        for name, (key, values) in zip(names, _arrays(trace).items(), strict=True)
    }
    clock = variables.pop("time")
    dataset = xarray.Dataset(variables, coords={"time": clock}, attrs={KEY: _about(trace)})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.nc"
        try:
            dataset.to_netcdf(file, engine="h5netcdf", encoding={key: {"_FillValue": None} for key in dataset.variables})
        except OSError as error:
            raise TraceError(f"cannot write {path}: {error.strerror or error}. Choose a place with free space.") from None
        write_atomically(path, file.read_bytes())
