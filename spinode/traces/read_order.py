"""Whether an instrument reads the outputs of a row before or after it sets the held drive of that row.

In this package a sample of a held drive acts from its instant on: the output in the same row has responded to the sample before
it. A source-measure unit sets its source first and reads afterwards, so that its rows show the response to their own drive.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..errors import TraceError
from ..typing import Array
from .held_drives import infer_interpolation
from .trace import Trace

#: The orders: outputs read before the drive of their row acts, or after it.
READS = ("before", "after")

#: Mark of a recording whose drives are not known yet.
PENDING = "after the drives"

#: Fewest changes of a drive that show the order, and the correlation of the jumps of an output with those of the drive.
MIN_CHANGES, MIN_CORRELATION = 8, 0.5

#: Ratio of the rms jump in the rows of the changes to that in the rows after them and to that in all other rows.
MIN_JUMP = 2.0


def reads_after(drive: Array, output: Array) -> bool:
    """Return True if an output jumps in the rows in which a held drive does, and not in the rows after them.

    Args:
        drive: Samples of a held drive, shape (time,).
        output: Samples of an output in the same rows, shape (time,); NaN where there is none.

    Example:
        >>> steps = np.repeat(np.random.default_rng(0).normal(size=20), 10)
        >>> reads_after(steps, 3 * steps), reads_after(steps, 3 * np.roll(steps, 1))
        (True, False)
    """
    jump, moved = np.diff(drive), np.diff(output)
    real = np.abs(jump) > 1e-4 * np.ptp(drive)
    usable = np.isfinite(moved[:-1]) & np.isfinite(moved[1:])
    alone = real[:-1] & ~real[1:] & usable
    alone[1:] &= ~real[:-2]  # a change in the row before would show here as well
    still = ~real[:-1] & usable
    still[1:] &= ~real[:-2]
    if alone.sum() < MIN_CHANGES or not still.any():
        return False
    there, next_row, elsewhere = moved[:-1][alone], moved[1:][alone], moved[:-1][still]
    if not there.std() > 0:
        return False
    correlation = abs(float(np.corrcoef(there, jump[:-1][alone])[0, 1]))
    others = max(float(np.mean(next_row**2)), float(np.mean(elsewhere**2)))
    return correlation >= MIN_CORRELATION and float(np.mean(there**2)) >= MIN_JUMP**2 * others


def drives_read_after(trace: Trace) -> tuple[str, ...]:
    """Return the held drives to which an output has responded in their own rows already."""
    held = [n for n, v in trace.drive.items() if (trace.interpolation.get(n) or infer_interpolation(v)) == "held"]
    return tuple(
        name
        for name in held
        if np.isfinite(trace.drive[name]).all() and any(reads_after(trace.drive[name], y) for y in trace.output.values())
    )


def describe_order(names: tuple[str, ...]) -> str:
    """Return a sentence about drives to which outputs respond in their own rows."""
    several = len(names) > 1
    return (
        f"outputs jump in the very rows in which the held drive{'s' * several} {', '.join(names)} "
        f"{'do' if several else 'does'}, as if the instrument had set the drive and read afterwards: pass --reads after "
        '(reads="after" in Python); otherwise a row is taken as read before its drive acts.'
    )


def set_before_read(trace: Trace) -> Trace:
    """Return a recording whose rows were read after their drive was set, in the order of this package.

    Each sample of a held drive moves to the row before it, from where it acts on the output with which it was recorded. What
    comes after the last row is not known; its drive stays. A recording without drives is marked, and `in_order` moves them once
    they have their roles.

    Args:
        trace: The recording.

    Raises:
        TraceError: it has drives, and none of them is held between samples.

    Example:
        >>> trace = Trace(np.arange(6.0), {"V": [0, 0, 1, 1, 0, 0]}, {"I": [0, 0, 5, 5, 0, 0]}, interpolation={"V": "held"})
        >>> set_before_read(trace).drive["V"].tolist()
        [0.0, 1.0, 1.0, 0.0, 0.0, 0.0]
    """
    if not trace.drive:
        return replace(trace, provenance={**trace.provenance, "reads": PENDING})
    kinds = {name: trace.interpolation.get(name) or infer_interpolation(values) for name, values in trace.drive.items()}
    if "held" not in kinds.values():
        raise TraceError(
            f"reads='after' is about drives that hold their values between samples; the drives of this recording are "
            f"{', '.join(f'{name} ({kind})' for name, kind in kinds.items())}. Leave it out, or name another drive."
        )
    moved = {
        name: np.append(values[1:], values[-1:]) if kinds[name] == "held" else values for name, values in trace.drive.items()
    }
    return replace(trace, drive=moved, interpolation=kinds, provenance={**trace.provenance, "reads": "after"})


def in_order(trace: Trace) -> Trace:
    """Return a recording that `set_before_read` has marked in the order of this package, others as they are."""
    return set_before_read(trace) if trace.provenance.get("reads") == PENDING and trace.drive else trace
