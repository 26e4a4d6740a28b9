"""`read_traces`: the files of a folder or a pattern as a `TraceSet`, with parameters from their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import TraceError
from ..traces.trace import Trace, TraceSet
from ..typing import Progress
from .parsing.parts import Part, SeveralParts
from .readers import series_reader
from .reading.file_names import files_of, is_set_of_files, parameters_from_name
from .reading.one_recording import SPLIT, read_one
from .reading.stretches import split_at_gaps


def read_traces(
    paths: str | Path | Sequence[str | Path],
    *,
    pattern: str | None = None,
    parameters: Mapping[str, float] | None = None,
    part: Part = None,
    progress: Progress | None = None,
    **options: Any,
) -> TraceSet:
    r"""Read the recordings of several files: one for each device, drive level or repeat.

    Args:
        paths: A folder, a pattern such as "run*.csv", one file, or a list of any of these. Files are read in the order of
            their names, with numbers in them compared as numbers; hidden files are left out.
        pattern: Parameters in the names of the files: "device{device}_{amplitude:mV}.csv" reads the numbers in the places of
            the fields as parameters, in SI where a unit is given, which may follow the number in the name. A "p" between digits
            is a decimal point, "*" stands for any text. The pattern is compared with the end of the path, folders included.
        parameters: Constants of all recordings in SI; those in the file names take precedence.
        part: Which recording of each file. If omitted, all recordings of a file that contains several are read; the provenance
            of each has its `part`.
        progress: Receives a line of text for each file.
        **options: `drive`, `output`, `time`, `start`, `stop`, `units`, `format`, `missing` and `reads` of `read_trace`; with
            missing="split" each recording is cut at gaps and missing samples, and its stretches are traces of their own.

    Returns:
        The set. A series of vector fields (OVF) of one folder or pattern is a single recording.

    Raises:
        TraceError: no file, a name that does not fit the pattern, recordings with different channels, or any error of
            `read_trace`.

    Example:
        >>> import pathlib, tempfile
        >>> from spinode.datasets import read_traces
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for level in (10, 20):
        ...         _ = pathlib.Path(folder, f"sweep_{level}mV.csv").write_text("t (ns),V (mV)\n0,1\n1,2\n")
        ...     traces = read_traces(folder, pattern="sweep_{amplitude:mV}.csv")
        >>> [trace.parameters["amplitude"] for trace in traces]
        [0.01, 0.02]
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    traces: list[Trace] = []
    for path in given:
        files = files_of(path)
        if pattern is None and is_set_of_files(path) and series_reader(files) is not None:
            traces.append(read_one(path, parameters=parameters, progress=progress, **options))
            continue
        for count, file in enumerate(files, start=1):
            constants = dict(parameters or {})
            if pattern is not None:
                constants |= parameters_from_name(file, pattern)
            if progress:
                progress(f"reading {file.name} ({count} of {len(files)})")
            try:
                traces += _read_all_parts(file, part, parameters=constants, progress=progress, **options)
            except TraceError as error:
                if isinstance(error, SeveralParts) or not Path(path).is_dir():
                    raise
                raise TraceError(f"{error} If this file does not belong to the set, name the others: '{path}/*.csv'.") from None
    _check_same_channels(traces)
    if options.get("missing") == SPLIT:
        traces = [stretch for trace in traces for stretch in split_at_gaps(trace)]
    return TraceSet(traces)


def _read_all_parts(file: Path, part: Part, **options: Any) -> list[Trace]:
    """Return the recordings of a file; several only if they have the same channels."""
    try:
        return [read_one(file, part=part, **options)]
    except SeveralParts as error:
        several = error
    traces = [read_one(file, part=name, **options) for name in several.parts]
    if any(list(trace.channels) != list(traces[0].channels) for trace in traces):
        raise SeveralParts(several.description, several.parts, same_channels=False)
    named = zip(traces, several.parts, strict=True)
    return [replace(trace, provenance={**trace.provenance, "part": name}) for trace, name in named]


def _check_same_channels(traces: Sequence[Trace]) -> None:
    for trace in traces:
        if list(trace.channels) != list(traces[0].channels):
            first, other = traces[0].provenance.get("file"), trace.provenance.get("file")
            raise TraceError(
                f"{other} has the columns {', '.join(trace.channels)}, and {first} has {', '.join(traces[0].channels)}; "
                "name the columns of all with drive= and output=, or leave the file out."
            )
