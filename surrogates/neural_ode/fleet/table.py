"""The table of a fleet: a line for each device, as CSV or Parquet; and the devices that stand apart."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....files import as_path, write_atomically

Rows = Mapping[str, Mapping[str, Any]]

#: Distance from the median, in robust deviations, from which on a device stands apart in a figure. Of ten thousand normal
#: values one in a hundred tables has one so far out.
APART = 5.0

#: Fewest devices of which a distribution is known.
MIN_DEVICES = 8

#: Columns that are no property of the device.
_NO_PROPERTY = ("samples", "radius", "outside", "seconds")


def columns_of(rows: Rows) -> list[str]:
    """Return the names of the columns, in the order in which they occur first."""
    return list(dict.fromkeys(name for row in rows.values() for name in row))


def as_csv(rows: Rows) -> str:
    """Return the table as CSV, with the name of the device in the first column.

    Example:
        >>> print(as_csv({"a": {"verdict": "good", "nrmse": 0.01}, "b": {"verdict": "failed"}}), end="")
        device,verdict,nrmse
        a,good,0.01
        b,failed,
    """
    text = io.StringIO()
    names = columns_of(rows)
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["device", *names])
    for device, row in rows.items():
        writer.writerow([device, *("" if row.get(name) is None else row[name] for name in names)])
    return text.getvalue()


def write_table(rows: Rows, path: str | Path) -> None:
    """Write the table atomically, as Parquet where the name ends in .parquet and as CSV otherwise.

    Raises:
        ImportError: Parquet without polars (`pip install 'spinode[tables]'`).
    """
    target = as_path(path, "path")
    if target.suffix != ".parquet":
        write_atomically(target, as_csv(rows).encode())
        return
    import polars

    names = columns_of(rows)
    columns: dict[str, list[Any]] = {"device": list(rows)}
    columns |= {name: [row.get(name) for row in rows.values()] for name in names}
    buffer = io.BytesIO()
    polars.DataFrame(columns, strict=False).write_parquet(buffer)
    write_atomically(target, buffer.getvalue())


def figures_of(rows: Rows) -> dict[str, np.ndarray]:
    """Return the numeric columns that describe the devices, by name, with NaN where a device has no value."""
    found = {}
    for name in columns_of(rows):
        values = [row.get(name) for row in rows.values()]
        if name not in _NO_PROPERTY and all(_is_number(value) for value in values if value is not None):
            found[name] = np.array([np.nan if value is None else float(value) for value in values])
    return found


def outliers(rows: Rows, *, apart: float = APART, ignore: tuple[str, ...] = ()) -> dict[str, list[str]]:
    """Return the devices that stand apart from the others, by name, each with its reasons.

    A figure stands apart if |value - median| exceeds `apart` robust deviations, 1.4826 times the median distance from the
    median. Devices that failed, or whose verdict is "bad", stand apart as well.

    Args:
        rows: Lines of the table.
        apart: Robust deviations.
        ignore: Columns that are not compared, such as the position on the wafer.

    Source: Hampel, J. Am. Stat. Assoc. 69, 383 (1974).

    Example:
        >>> rows = {str(n): {"verdict": "good", "f": 1.0 + 0.01 * (n % 3)} for n in range(12)}
        >>> rows["7"]["f"] = 2.0
        >>> outliers(rows)
        {'7': ['f is 2, 67 robust deviations above the median 1.01']}
    """
    found: dict[str, list[str]] = {name: [] for name in rows}
    for name, row in rows.items():
        if row.get("verdict") in ("failed", "bad"):
            found[name].append(f"{row['verdict']}: {row.get('reason') or 'no reason given'}")
    names = list(rows)
    for figure, values in figures_of(rows).items():
        known = np.isfinite(values)
        if figure in ignore or known.sum() < MIN_DEVICES:
            continue
        median = float(np.median(values[known]))
        deviation = 1.4826 * float(np.median(np.abs(values[known] - median)))
        if deviation <= 1e-12 * abs(median):
            continue
        for index in np.flatnonzero(known & (np.abs(values - median) > apart * deviation)):
            distance = (values[index] - median) / deviation
            side = "above" if distance > 0 else "below"
            found[names[index]].append(
                f"{figure} is {values[index]:.4g}, {abs(distance):.0f} robust deviations {side} the median {median:.4g}"
            )
    return {name: reasons for name, reasons in found.items() if reasons}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
