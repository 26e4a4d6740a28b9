"""How far to trust a synapse surrogate: its predictions beside recordings, and what follows from them in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from ...reporting.remarks import BAD, CARE, GOOD, NOTE, Remark
from ...traces.trace import Trace, TraceSet
from ...typing import Array
from ...units import readable
from .model import SynapseSurrogate
from .predict import OneStepPrediction, predict_one_step, prediction_interval
from .pulse_summary import not_known

#: Deviation of standardised innovations about one: a tenth is a noise that is a tenth wrong; at a quarter intervals mislead.
CALIBRATED, MISLEADING = 0.1, 0.25
#: Correlation of neighbouring innovations: what one step leaves the next could have known.
WHITE, COLOURED = 0.1, 0.2
#: Coverage of the 90 % band. Reads of one run hang together, so that some points up or down are chance.
COVERAGE, FAIR, NARROW = 0.9, 0.06, 0.7
#: Upper over lower end of a 95 % interval beyond which a noise is hardly known: a factor of three either way.
UNCERTAIN = 10.0
#: Share of reads outside the states that the fit has seen.
SOME_OUTSIDE, MANY_OUTSIDE = 0.02, 0.2

#: Recordings that get a free-run band, longest stretch of each, runs and posterior draws.
BANDS, STRETCH, SAMPLES, DRAWS = 3, 400, 200, 8


@dataclass(frozen=True, eq=False)
class Assessment:
    """A surrogate beside recordings.

    Attributes:
        traces: The recordings.
        fitted: Whether they are those of the fit.
        steps: Their one-step predictions.
        shown: Which recordings have a band.
        bands: 5 and 95 % quantiles of free runs along each of them, shape (2, reads).
        coverage: Share of the reads of these recordings within the band; NaN where none could be judged.
        outside: Share of all reads outside the states that the fit has seen.
    """

    traces: TraceSet
    fitted: bool
    steps: OneStepPrediction
    shown: tuple[int, ...]
    bands: tuple[Array, ...]
    coverage: float
    outside: float

    @property
    def innovation(self) -> Array:
        """Standardised innovations of all reads that took no part in finding latents, in one dimension."""
        return np.asarray(self.steps.innovation.T[self.steps.held.T & np.isfinite(self.steps.innovation.T)])

    def correlation(self, lag: int) -> float:
        """Correlation of innovations so many reads apart, about zero; NaN where there are none."""
        z = np.where(self.steps.held, self.steps.innovation, np.nan)
        pair = z[lag:] * z[:-lag] if lag < len(z) else np.zeros(0)
        there = np.isfinite(pair)
        return float(pair[there].mean() / np.nanmean(z**2)) if there.any() else math.nan


def assess(surrogate: SynapseSurrogate, traces: TraceSet | Sequence[Trace] | Trace, *, seed: int = 0) -> Assessment:
    """Predict recordings read by read, and some of them in free runs from their first read.

    Args:
        surrogate: The model.
        traces: Recordings; best some that the fit has not seen.
        seed: Of the free runs.

    Raises:
        TraceError: recordings that are not pulse by pulse, or lack a voltage or width that the surrogate needs.
    """
    recordings = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    generator = torch.Generator().manual_seed(seed)
    shown = tuple(int(k) for k in np.unique(np.linspace(0, len(recordings) - 1, min(BANDS, len(recordings))).round()))
    bands, inside = [], []
    for index in shown:
        trace = stretch(recordings[index])
        found = prediction_interval(surrogate, trace, samples=SAMPLES, draws=DRAWS, generator=generator)
        reads = trace.output["conductance"]
        bands.append(found)
        inside.append(((reads >= found[0]) & (reads <= found[1]))[1:])
    values = np.concatenate([trace.output["conductance"] for trace in recordings])
    return Assessment(
        recordings,
        recordings.fingerprint() == surrogate.record.get("fingerprint"),
        predict_one_step(surrogate, recordings),
        shown,
        tuple(bands),
        float(np.concatenate(inside).mean()),
        float(((values < surrogate.low) | (values > surrogate.high)).mean()),
    )


def stretch(trace: Trace) -> Trace:
    """The first reads of a recording, as many as a band is worth."""
    if len(trace) <= STRETCH:
        return trace
    cut = slice(0, STRETCH)
    return Trace(
        time=trace.time[cut],
        drive={name: values[cut] for name, values in trace.drive.items()},
        output={name: values[cut] for name, values in trace.output.items()},
        parameters=trace.parameters,
        units=trace.units,
        interpolation=trace.interpolation,
        provenance=trace.provenance,
    )


def remarks(surrogate: SynapseSurrogate, assessment: Assessment) -> list[Remark]:
    """What is to be said, the worst first."""
    about = (_about_innovations, _about_bands, _about_devices, _about_noise, _about_domain, _about_waiting)
    found = [remark for ask in about for remark in ask(surrogate, assessment)]
    return sorted(found, key=lambda remark: -max(remark.grade, NOTE))


def headline(surrogate: SynapseSurrogate, found: Sequence[Remark]) -> tuple[int, str]:
    """Grade and first sentence."""
    worst = max(remark.grade for remark in found)
    whose = "the spread of devices and of cycles" if surrogate.of_devices else "this one device, cycle by cycle"
    if worst < CARE:
        return GOOD, f"Trust it for {whose}, within the conductances and pulses that were seen: no score speaks against it."
    reasons = "; ".join(remark.reason for remark in found if remark.grade == worst and remark.reason)
    word = "Use it with care" if worst == CARE else "Do not rely on it"
    return worst, f"{word} for {whose}: {reasons}."


# --- one thing each ---------------------------------------------------------------------------------------------------


def _about_innovations(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    z = assessment.innovation
    which = "the fitted recordings" if assessment.fitted else "these recordings"
    if len(z) < 20:
        yield Remark(CARE, f"There are only {len(z)} reads to judge predictions by.", "too few reads to judge it by")
        return
    deviation, chance = float(z.std()), 3 / math.sqrt(2 * len(z))
    off = max(abs(deviation - 1) - chance, 0.0)
    text = f"One step ahead, the reads of {which} lie {deviation:.2f} predicted deviations from their predictions (1 is right)"
    if off <= CALIBRATED:
        yield Remark(GOOD, f"{text}: the noise is calibrated.")
    else:
        wrong = "too small" if deviation > 1 else "too large"
        grade = CARE if off <= MISLEADING else BAD
        yield Remark(grade, f"{text}: the predicted noise is {wrong}.", f"its noise is {wrong} one step ahead")
    lag = assessment.correlation(1)
    if not math.isfinite(lag):
        return
    left = max(abs(lag) - 3 / math.sqrt(len(z)), 0.0)
    text = f"Neighbouring errors of prediction have a correlation of {lag:+.2f} (0 is right)"
    if left <= WHITE:
        yield Remark(GOOD, f"{text}: nothing is left that one read tells of the next.")
    else:
        grade = CARE if left <= COLOURED else BAD
        yield Remark(grade, f"{text}: the drift, or the memory of the noise, is not described in full.", "errors hang together")


def _about_bands(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    count, share = len(assessment.shown), assessment.coverage
    text = f"In free runs from the first read, {100 * share:.0f} % of the reads of {count} recording(s) lie in the 90 % band"
    if share < NARROW:
        yield Remark(BAD, f"{text}: the band is too narrow.", "free runs promise more than they hold")
    elif share < COVERAGE - FAIR:
        yield Remark(CARE, f"{text}: the band is somewhat narrow.", "free runs are somewhat too sure")
    elif share > COVERAGE + FAIR:
        yield Remark(NOTE, f"{text}: the band is wider than it need be.")
    else:
        yield Remark(GOOD, f"{text}.")


def _about_devices(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    devices = surrogate.record.get("devices")
    if surrogate.of_devices and surrogate.population is not None:
        yield Remark(NOTE, f"It draws virtual devices, from what {devices} that were measured may have been.")
        return
    for sentence in not_known(int(devices) if isinstance(devices, int) else 1):
        yield Remark(NOTE, f"{sentence[0].upper()}{sentence[1:]}.")


def _about_noise(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    unit = surrogate.unit if surrogate.scale.kind == "linear" else ""
    relative = "" if surrogate.scale.kind == "linear" else " of the conductance, relative"
    for name, (value, low, high) in surrogate.uncertainty().items():
        text = (
            f"Noise {name}: {readable(value, unit)}{relative}, within {readable(low, unit)} .. {readable(high, unit)} "
            "with 95 % probability"
        )
        if not high <= UNCERTAIN * low:
            yield Remark(NOTE, f"{text}; the data tell its upper end at most.")
        else:
            yield Remark(NOTE, f"{text}.")
    if surrogate.trap is not None:
        yield Remark(NOTE, f"Random telegraph noise was found: a trap, filled {surrogate.trap.occupancy:.0%} of the time.")


def _about_domain(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    low, high = (readable(each, surrogate.unit) for each in (surrogate.low, surrogate.high))
    text = f"The fit has seen conductances from {low} to {high}"
    if assessment.outside > MANY_OUTSIDE:
        share = f"{100 * assessment.outside:.0f} %"
        yield Remark(BAD, f"{text}; {share} of the reads lie outside.", f"{share} of the reads lie outside what it has seen")
    elif assessment.outside > SOME_OUTSIDE:
        yield Remark(CARE, f"{text}; {100 * assessment.outside:.0f} % of the reads lie outside.", "reads lie outside of it")
    else:
        yield Remark(NOTE, f"{text}; beyond, its drift is an extrapolation.")
    for name, unit, what in (("voltage", "V", "voltages"), ("width", "s", "widths")):
        if name not in surrogate.inputs.ranges:
            yield Remark(NOTE, f"The recordings do not tell the {name} of the pulses: it holds for the one they had.")
            continue
        least, most = surrogate.inputs.ranges[name]
        if name in surrogate.inputs.names:
            yield Remark(NOTE, f"It holds for {what} of pulses from {readable(least, unit)} to {readable(most, unit)}.")
        else:
            yield Remark(NOTE, f"All pulses had the {name} {readable(least, unit)}: what another does is not known.")
    for name in ("SET", "RESET"):
        if name not in surrogate.polarities:
            yield Remark(NOTE, f"No {name} pulse was seen: it knows none.")


def _about_waiting(surrogate: SynapseSurrogate, assessment: Assessment) -> Iterator[Remark]:
    if surrogate.retention is None:
        yield Remark(NOTE, "The recordings have no pauses: how long the device keeps its state is not known.")
    else:
        relative = " (relative)" if surrogate.scale.kind == "log" else ""
        yield Remark(NOTE, f"Retention: {surrogate.retention.describe(surrogate.scale.spread)}{relative}.")
