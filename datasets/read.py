"""`read_trace`: a measurement file in, a `Trace` in SI out.

It composes what is below it: `read_pulses` for files of programming pulses, `read_traces` for folders and patterns, and
`read_one` for one recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from ..traces.trace import Trace, TraceSet
from ..typing import Progress
from .parsing.parts import Part
from .pulses.layout import PulseLayout
from .pulses.read import read_pulses, refuse_roles
from .read_many import read_traces
from .readers import series_reader
from .reading.file_names import files_of, is_set_of_files, parameters_from_name
from .reading.one_recording import SPLIT, Source, read_one
from .reading.stretches import split_at_gaps


@overload
def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    part: Part = None,
    pattern: str | None = None,
    progress: Progress | None = None,
    missing: str = "refuse",
    reads: str = "before",
    pulses: None = None,
) -> Trace: ...


@overload
def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,
    part: Part = None,
    pattern: str | None = None,
    progress: Progress | None = None,
    missing: str = "refuse",
    reads: str = "before",
    pulses: str | PulseLayout,
) -> TraceSet: ...


def read_trace(
    path: Source,
    *,
    drive: str | Sequence[str] = (),
    output: str | Sequence[str] = (),
    parameters: Mapping[str, float] | None = None,
    time: str | float | None = None,
    start: float | None = None,
    stop: float | None = None,
    units: Mapping[str, str] | None = None,
    format: str | None = None,  # noqa: A002 - the word that users look for
    part: Part = None,
    pattern: str | None = None,
    progress: Progress | None = None,
    missing: str = "refuse",
    reads: str = "before",
    pulses: str | PulseLayout | None = None,
) -> Trace | TraceSet:
    """Read one recording from a file whose format is recognised by its content.

    Args:
        path: A measurement file; `docs/formats.md` lists the formats. Also a frame of pandas, a dataset of xarray or a
            dictionary of arrays. A folder or a pattern (`"run*.csv"`) gives the `TraceSet` of `read_traces`, or one recording
            if it is a series of vector fields (OVF).
        drive: Names of the columns that drive the device.
        output: Names of the columns with the response of the device. If neither `drive` nor `output` is given, every column
            but the time becomes an output, or has the role that `write_trace` gave it.
        parameters: Constants of the recording in SI, added to those in the file; these take precedence.
        time: Name of the time column, or the sample interval [s] of a file without one, or "sample" to number the samples;
            if omitted, the time column is searched for.
        start: First time to keep [s].
        stop: Last time to keep [s].
        units: Units by column name, where the file gives none or an unknown one: `units={"V": "mV"}`.
        format: Name of the reader, to skip the recognition: "mumax", "delimited", "npz", ...
        part: Which recording of a file that contains several (sheet, group, segment, measurement), by name or number.
        pattern: Parameters in the names of files, "device{device}_{amplitude:mV}.csv"; see `read_traces`.
        progress: Receives lines of text about the progress of reading a large file.
        missing: "mask" if empty or NaN cells of an output are missing samples, which fits and scores leave out; with "refuse" a
            fit reports them as an error. "split" cuts the recording at them and at gaps of the time, into a `TraceSet` of
            stretches, which a fit takes as several recordings.
        reads: "after" if the instrument sets a held drive first and reads the outputs of the same row afterwards, as
            source-measure units do; with "before" an output has responded to the drive of the row before it.
        pulses: For a memory device that was read pulse by pulse: "auto", a layout by name ("long", "up-down", "ramps") or a
            `PulseLayout`. `drive`, `output`, `start`, `stop` and `missing` cannot be given with it.

    Returns:
        The recording in SI. `provenance` contains the file, the units that the file gave, and what the instrument wrote.
        A sweep or a list without times runs over the number of its samples, from 0: `units["time"]` is then "" and
        `provenance["sampled_by"]` is "sample number".

        With `pulses`, a set with one trace for each device and cycle (`parameters`). `output` is the "conductance" ([S], or
        normalised), `drive` the number of "SET" and "RESET" pulses between a read and the next one, and their "voltage" [V]
        and "width" [s] where the file has them; `time` is the number of pulses received, or seconds where the file has a time
        or `time` is given.

    Raises:
        TraceError: the file cannot be read, has no such column, two that can be the time, or several recordings.
        UnitError: a unit is not known, or the time is not in a unit of time.

    Example:
        >>> from spinode.datasets import read_trace, sample_path
        >>> trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz", stop=1e-9)
        >>> len(trace), trace.unit("Ku"), trace.unit("time")
        (101, 'J/m3', 's')
        >>> read_trace({"t (ns)": [0, 1, 2], "V (mV)": [5, 6, 7]}).output["V"].tolist()
        [0.005, 0.006, 0.007]
    """
    if pulses is not None:
        refuse_roles(drive, output, start, stop)
        return read_pulses(path, pulses, format=format, parameters=parameters, time=time, units=units, part=part)
    options: dict[str, Any] = {
        "drive": drive,
        "output": output,
        "time": time,
        "start": start,
        "stop": stop,
        "units": units,
        "format": format,
        "part": part,
        "progress": progress,
        "missing": missing,
        "reads": reads,
    }
    if isinstance(path, str | Path):
        if is_set_of_files(path) and (pattern is not None or series_reader(files_of(path)) is None):
            return read_traces(path, pattern=pattern, parameters=parameters, **options)
        if pattern is not None:
            parameters = {**(parameters or {}), **parameters_from_name(Path(path), pattern)}
    if missing == SPLIT:
        return TraceSet(split_at_gaps(read_one(path, parameters=parameters, **options)))
    return read_one(path, parameters=parameters, **options)
