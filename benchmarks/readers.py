"""Large files: seconds and memory of read_trace and of the fastest general readers; JSON lines.

    python benchmarks/readers.py [--gigabytes 1.0] [--only csv tdms] [--folder FOLDER] [--rounds 3]

csv     A time and three channels of 17 digits: read_trace with and without polars, polars.read_csv, pandas.read_csv.
tdms    Four channels: read_trace, and TdmsFile.read of npTDMS with all its data.

Each reading is a process of its own, and the readers take turns; memory is its peak minus that after the imports, relative to
the size of the numbers as float64. Needs `pip install 'spinode[formats,tables]' pandas`.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from _measure import emit

_SCRIPT = """
import json, resource, sys, time
{imports}
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, processor = time.perf_counter(), time.process_time()
{body}
seconds, processor = time.perf_counter() - wall, time.process_time() - processor
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({{"seconds": seconds, "processor_seconds": processor, "bytes": 1024 * (peak - before)}}))
"""
_OURS = ("from spinode.datasets import read_trace", "trace = read_trace(sys.argv[1]); assert len(trace) == int(sys.argv[2])")
_WITHOUT_POLARS = (
    "from spinode.datasets import read_trace\nfrom spinode.datasets.parsing import blocks\nblocks._polars = lambda: None",
    _OURS[1],
)
READERS = {
    "csv": {
        "read_trace": _OURS,
        "polars.read_csv": ("import polars", "frame = polars.read_csv(sys.argv[1]); assert len(frame) == int(sys.argv[2])"),
        "pandas.read_csv": ("import pandas", "frame = pandas.read_csv(sys.argv[1]); assert len(frame) == int(sys.argv[2])"),
        "read_trace without polars": _WITHOUT_POLARS,
    },
    "tdms": {
        "read_trace": _OURS,
        "TdmsFile.read": (
            "import nptdms",
            "data = {c.name: c[:] for g in nptdms.TdmsFile.read(sys.argv[1]).groups() for c in g.channels()}; "
            "assert len(data['V']) == int(sys.argv[2])",
        ),
    },
}


def write(kind: str, path: Path, gigabytes: float) -> tuple[int, int]:
    """Write a file of about this size; return its number of rows and the bytes of its numbers."""
    rng = np.random.default_rng(0)
    if kind == "csv":
        block = 500_000
        rows = 0
        with path.open("w") as file:
            file.write("t (s),V (V),I (A),T (K)\n")
            while file.tell() < gigabytes * 1e9:
                t = 1e-9 * np.arange(rows, rows + block)
                _write_rows(file, np.column_stack([t, rng.standard_normal((block, 3))]))
                rows += block
        return rows, rows * 4 * 8
    from nptdms import ChannelObject, TdmsWriter

    rows = int(gigabytes * 1e9 / 32)
    segment = 1_000_000
    rows -= rows % segment
    with TdmsWriter(str(path)) as writer:
        for _ in range(rows // segment):
            channels = [
                ChannelObject("scope", name, rng.standard_normal(segment), properties={"wf_increment": 1e-9}) for name in "VITP"
            ]
            writer.write_segment(channels)
    return rows, rows * 5 * 8  # with the times, which the file stores as an interval


def _write_rows(file: Any, values: np.ndarray) -> None:
    import polars

    file.write(polars.DataFrame(values).write_csv(None, include_header=False))


def main() -> None:
    """Print a line for each reader."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--only", nargs="+", choices=list(READERS), default=list(READERS))
    parser.add_argument("--folder", type=Path, help="for the files; a temporary one if omitted")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for kind in options.only:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            path = Path(folder) / f"large.{kind}"
            rows, numbers = write(kind, path, options.gigabytes)
            size = path.stat().st_size
            measurements: dict[str, list[dict[str, float]]] = {name: [] for name in READERS[kind]}
            for _ in range(options.rounds):
                for name, (imports, body) in READERS[kind].items():
                    # A virtual machine may provide memory slowly at its first use, which happens in this process.
                    subprocess.run([sys.executable, "-c", "b'x' * 4_000_000_000"], check=True)
                    script = _SCRIPT.format(imports=imports, body=body)
                    result = subprocess.run(
                        [sys.executable, "-c", script, str(path), str(rows)], check=True, capture_output=True, text=True
                    )
                    measurements[name].append(json.loads(result.stdout))
            for name, runs in measurements.items():
                emit(
                    part=kind,
                    reader=name,
                    file_bytes=size,
                    rows=rows,
                    seconds=[round(each["seconds"], 2) for each in runs],
                    processor_seconds=[round(each["processor_seconds"], 2) for each in runs],
                    memory_by_numeric_size=[round(each["bytes"] / numbers, 2) for each in runs],
                )


if __name__ == "__main__":
    main()
