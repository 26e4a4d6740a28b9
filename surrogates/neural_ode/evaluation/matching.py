"""Recordings brought to the channel names and the time grid of a surrogate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import TraceError
from ....traces.read_order import describe_order, drives_read_after, in_order
from ....traces.resample import resample_with_mask
from ....traces.sampling import base_interval
from ....traces.trace import Trace
from ....traces.usable import check_usable
from ....typing import Array
from ....units import readable
from ..model import SurrogateModel
from ..ports import check_unit

#: Minimum samples, on the grid of the surrogate, of a recording that is scored.
MIN_SAMPLES = 50


def match_channels(surrogate: SurrogateModel, trace: Trace, drive: Sequence[str] = (), output: Sequence[str] = ()) -> Trace:
    """Return a recording with the channel names of the surrogate.

    Args:
        surrogate: The model.
        trace: The recording.
        drive: Channels to use as the drives of the surrogate, in its order. If omitted, the channels with the names of its
            drives are used, whether they are drives or outputs of the recording.
        output: Likewise for the outputs.

    Raises:
        TraceError: a channel is missing, the number of names differs, or a unit differs from that of the surrogate.
    """
    ports = surrogate.ports
    matched: dict[str, dict[str, Array]] = {}
    units: dict[str, str] = {name: trace.units.get(name, "") for name in trace.parameters}
    interpolation: dict[str, str] = {}
    time_unit = ports.units.get("time", "s")
    if trace.unit("time") != time_unit:
        raise TraceError(
            f"the time of the recording is in {trace.unit('time')!r}, that of the surrogate in {time_unit!r}; "
            "convert the recording to the unit of the surrogate."
        )
    units["time"] = time_unit
    available = trace.channels
    for role, own_names, requested in (("drive", ports.drive, tuple(drive)), ("output", ports.output, tuple(output))):
        complete = all(name in available for name in own_names)
        by_own_name = complete or role == "drive" or trace.output.keys() & set(own_names)
        names = requested or (own_names if by_own_name else ())
        if names and len(names) != len(own_names):
            raise TraceError(
                f"{len(names)} {role} channels were named ({', '.join(names)}), but the surrogate has {len(own_names)}: "
                f"{', '.join(own_names)}; name one channel for each, in this order."
            )
        matched[role] = {}
        for own_name, name in zip(own_names, names, strict=False):
            if name not in available:
                raise TraceError(
                    f"the recording has no channel {name!r} for the {role} {own_name!r}; its channels are: "
                    f"{', '.join(available) or 'none'}. Name the channel to use instead with --{role} / {role}=."
                )
            check_unit(name, trace.units.get(name), own_name, ports.units.get(own_name))
            matched[role][own_name] = available[name]
            units[own_name] = ports.units.get(own_name, "")
            if name in trace.interpolation:
                interpolation[own_name] = trace.interpolation[name]
    named = replace(trace, drive=matched["drive"], output=matched["output"], units=units, interpolation=interpolation)
    return in_order(named)


def resample_for_surrogate(surrogate: SurrogateModel, trace: Trace) -> tuple[Trace, list[str]]:
    """Return a recording on the time grid of the surrogate, and notes on what the resampling changed.

    Args:
        surrogate: The model.
        trace: Recording with the channel names of the surrogate.

    Raises:
        TraceError: NaN, a recording that is too short to be scored, or one sampled too coarsely.
    """
    check_usable(trace, 8)
    step = base_interval(trace)
    count = trace.duration / surrogate.interval
    if count < MIN_SAMPLES:
        raise TraceError(
            f"the recording lasts {trace.duration:.4g} s, {count:.0f} steps of the surrogate's {surrogate.interval:.4g} s; "
            f"at least {MIN_SAMPLES} are needed for a score. Use a longer part of the recording."
        )
    if step > 2.5 * surrogate.interval:
        raise TraceError(
            f"the recording is sampled every {step:.4g} s, the surrogate steps every {surrogate.interval:.4g} s; the values "
            "between the samples are unknown. Record at a shorter interval, or fit a surrogate with a longer sample_interval."
        )
    # The method of the fit: a surrogate of band-limited data does not describe the frequencies that were filtered out.
    method = _resampling_of_fit(surrogate.record)
    start = first_known(trace)
    if start > trace.time[0]:
        trace = trace.between(start, None)
    grid, known = resample_with_mask(trace, surrogate.interval, method=method)
    grid = replace(grid, missing="refuse")
    details: Mapping[str, Any] = grid.provenance["resampled"]
    notes = [f"order of reads: {describe_order(names)}"] if (names := drives_read_after(trace)) else []
    if abs(step / surrogate.interval - 1) > 0.02:
        notes.append(
            f"resampled from {readable(step, 's')} to {readable(surrogate.interval, 's')} by {method} (held drives averaged); "
            "scored at the recorded samples."
        )
    if details["longest_gap"] is not None:
        start, stop = details["longest_gap"]
        notes.append(f"no samples from {start:.6g} s to {stop:.6g} s: the values there are interpolated.")
    missing = int((~known).any(1).sum())
    if missing and details["longest_gap"] is None:
        notes.append(f"{missing} of {len(known)} samples are missing and have no part in the scores.")
    for name, share in details["variance_above_nyquist"].items():
        if share > 1e-3:
            notes.append(f"{share:.2%} of the variance of {name!r} lies above the new Nyquist frequency.")
    return grid, notes


def _resampling_of_fit(record: Mapping[str, Any]) -> str:
    """Return the method by which the fitted recordings were resampled."""
    for entry in record.get("data") or ():
        method = entry.get("provenance", {}).get("resampled", {}).get("method")
        if method in ("spline", "band-limited"):
            return str(method)
    return str(record.get("config", {}).get("resampling", "spline"))


def first_known(trace: Trace, samples: int = 12) -> float:
    """Return the time from which an initial state can be estimated: that of the first sample followed by few missing ones.

    Args:
        trace: The recording.
        samples: Samples that the estimate needs, of which six in ten must be present.
    """
    known = trace.present.all(1)
    share = np.convolve(known, np.ones(samples) / samples, mode="full")[samples - 1 :]
    good = np.flatnonzero(known & (share >= 0.6))
    first = good[0] if len(good) else np.argmax(known)
    return float(trace.time[first])
