"""From recordings to embedded, scaled samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....dynamics.scales import Scales
from ....errors import TraceError
from ....traces.resample import check_samples, interval_of, recorded_interpolation, resample
from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..drive_interpolation import stage_drive
from ..embedding import BLOCK_FLOOR, OUTPUT_FLOOR, Embedding
from ..ports import Ports
from .config import FitConfig
from .gauss_newton import Samples

#: Fewest samples of a stretch that a fit accepts; below, neither scales nor validation mean anything.
FEWEST = 200


def on_common_grid(traces: TraceSet, config: FitConfig) -> TraceSet:
    """Check the recordings and put them on the grid of the fit.

    Raises:
        TraceError: no output, unusable samples, a constant drive or output, a stretch that is too short, or an interval
            finer than the recording's own.
    """
    for trace in traces:
        check_samples(trace, FEWEST)
        if not trace.output:
            raise TraceError("no output channel was chosen; name at least one, e.g. output=['mz'].")
    steps = [interval_of(trace) for trace in traces]
    interval = config.sample_interval or float(np.median(steps))
    for index, own in enumerate(steps):
        if interval < 0.5 * own:
            which = f"trace {index}'s" if len(steps) > 1 else "the recording's"
            raise TraceError(
                f"the sample interval {interval:.4g} s is finer than {which} own {own:.4g} s; "
                "resampling cannot add what was not recorded. Pass an interval of at least the recorded one."
            )
    on_grid = TraceSet([resample(trace, interval, method=config.resampling) for trace in traces])
    for trace in on_grid:
        if len(trace) < FEWEST:
            raise TraceError(
                f"the stretch holds {len(trace)} samples of {interval:.4g} s; a fit needs at least {FEWEST}. "
                "Take a longer stretch, or a finer sample interval."
            )
    for role in ("drive", "output"):
        for name in getattr(on_grid[0], role):
            values = np.concatenate([getattr(trace, role)[name] for trace in on_grid])
            if np.ptp(values) <= 1e-12 * np.max(np.abs(values)):
                hint = (
                    "leave it out, or pass it as a parameter" if role == "drive" else "choose a channel that answers the drive"
                )
                raise TraceError(f"{role} {name!r} is constant ({values[0]:.6g}) in the chosen stretch; {hint}.")
    return on_grid


def ports_of(traces: TraceSet) -> Ports:
    """Names, units and interpolation, from the first recording."""
    first = traces[0]
    kinds = {}
    for name in first.drive:
        # A drive at rest says nothing about how it runs when it moves; another recording of the set may.
        moving = [trace for trace in traces if np.ptp(trace.drive[name]) > 0] or [first]
        kinds[name] = moving[0].interpolation.get(name) or recorded_interpolation(moving[0].drive[name])
    names = (*first.drive, *first.output, *first.parameters)
    return Ports(
        drive=tuple(first.drive),
        output=tuple(first.output),
        parameters=tuple(first.parameters),
        units={"time": first.unit("time")} | {name: first.units.get(name, "") for name in names},
        interpolation=kinds,
    )


@dataclass(frozen=True)
class Prepared:
    """What a fit works on.

    Attributes:
        ports: Names and units.
        embedding: Kind and order.
        interval: Sample interval [s].
        scales: Means and deviations.
        samples: Embedded samples of the fitted stretches and the validation stretches.
        validation: First and last sample of each stretch kept from the fit.
        drive: Scaled drive and parameter samples, shape (samples, inputs), for the domain.
        outputs: Recorded outputs in deviations, not smoothed, shape (samples, outputs): what a run is held against.
        noise: Deviation of the measurement noise of each output, SI units.
    """

    ports: Ports
    embedding: Embedding
    interval: float
    scales: Scales
    samples: Samples
    validation: tuple[tuple[int, int], ...]
    drive: Tensor
    outputs: Tensor
    noise: Tensor


def columns(traces: TraceSet, names: tuple[str, ...], role: str) -> list[np.ndarray]:
    """Channels or parameters of each recording side by side, shape (time, names)."""
    if role == "parameters":
        return [np.tile([trace.parameters[name] for name in names], (len(trace), 1)) for trace in traces]
    return [
        np.stack([getattr(trace, role)[name] for name in names], -1) if names else np.zeros((len(trace), 0)) for trace in traces
    ]


def prepare(traces: TraceSet, embedding: Embedding, config: FitConfig) -> Prepared:
    """Embed and scale recordings that are on a common grid.

    The last `config.validation` of each recording is set aside: it gives neither scales nor residuals.
    """
    ports = ports_of(traces)
    outputs = columns(traces, ports.output, "output")
    drives = columns(traces, ports.drive, "drive")
    constants = columns(traces, ports.parameters, "parameters")
    blocks = [embedding.embed(values) for values in outputs]
    lengths = [len(block.values) for block in blocks]
    cuts = [round(length * (1 - config.validation)) for length in lengths]

    def fitted(parts: list[Array]) -> Array:
        return np.concatenate([part[:cut] for part, cut in zip(parts, cuts, strict=True)])

    inputs = [np.concatenate(pair, -1) for pair in zip(drives, constants, strict=True)]
    scales = _scales(fitted(outputs), fitted([block.values for block in blocks]), fitted(inputs))

    feedthrough = config.feedthrough if config.feedthrough is not None else embedding.method.feedthrough
    states, stages, feedthrough_jacobian, scaled = [], [], [], []
    for trace, block, values, length in zip(traces, blocks, inputs, lengths, strict=True):
        # Each recording as it was driven: held steps and smooth drives may stand in one set.
        kinds = tuple(trace.interpolation[name] for name in ports.drive)
        all_kinds = kinds + ("held",) * len(ports.parameters)
        u = scales.drive(torch.as_tensor(values))
        steps = embedding.field_drive(stage_drive(u, all_kinds))
        # One more row than steps, so that every sample has an entry; no window uses the last.
        stages.append(torch.cat([steps, steps[-1:]])[:length])
        states.append(scales.blocks(torch.as_tensor(block.values)))
        jet = embedding.drive_blocks(u[:, : len(kinds)], kinds)
        taken = scales.feedthrough_blocks(jet)
        feedthrough_jacobian.append(taken if feedthrough else taken[..., :0])
        scaled.append(u[:length])
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    segments = tuple((int(o), int(o) + cut - 1) for o, cut in zip(offsets[:-1], cuts, strict=True))
    validation = tuple((int(o) + cut, int(o) + n - 1) for o, cut, n in zip(offsets[:-1], cuts, lengths, strict=True))
    noise = np.max([block.noise for block in blocks], 0)  # (order, outputs)
    floor = np.full(noise.shape, BLOCK_FLOOR)
    floor[0] = OUTPUT_FLOOR
    relative = torch.as_tensor(np.hypot(noise / scales.state_scale.numpy(), floor)).flatten()
    samples = Samples(
        torch.cat(states), torch.cat(stages), torch.cat(feedthrough_jacobian), relative, segments, len(ports.output)
    )
    return Prepared(
        ports=ports,
        embedding=embedding,
        interval=float(traces[0].provenance["resampled"]["to_interval"]),
        scales=scales,
        samples=samples,
        validation=validation,
        drive=torch.cat(scaled),
        outputs=torch.cat(
            [scales.output(torch.as_tensor(values))[:length] for values, length in zip(outputs, lengths, strict=True)]
        ),
        noise=torch.as_tensor(np.max([block.recorded_noise for block in blocks], 0)),
    )


def _scales(outputs: np.ndarray, blocks: np.ndarray, inputs: np.ndarray) -> Scales:
    deviation = inputs.std(0)
    # What is the same throughout carries no information, and its computed deviation is rounding. On a scale of a hundredth
    # of itself another value lies outside the domain.
    same = np.ptp(inputs, 0) <= 1e-12 * np.abs(inputs).max(0)
    deviation[same] = np.where(inputs[0] == 0, 1.0, 1e-2 * np.abs(inputs[0]))[same]
    still = np.ptp(outputs, 0) <= 1e-12 * np.abs(outputs).max(0)
    if still.any():
        raise TraceError(
            f"output {int(np.flatnonzero(still)[0])} moves in the validation stretch at the end alone; "
            "take a stretch in which it moves throughout, or a smaller validation share."
        )
    state = blocks.std(0)
    state[0] = outputs.std(0)
    return Scales(
        output_mean=torch.as_tensor(outputs.mean(0)),
        output_scale=torch.as_tensor(outputs.std(0)),
        state_scale=torch.as_tensor(np.maximum(state, 1e-30)),
        drive_mean=torch.as_tensor(inputs.mean(0)),
        drive_scale=torch.as_tensor(deviation),
    )


def single(trace: Trace | TraceSet) -> TraceSet:
    """A set from one recording or from a set."""
    return trace if isinstance(trace, TraceSet) else TraceSet(trace)
