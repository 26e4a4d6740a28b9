"""From recordings to embedded, scaled samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ....dynamics.scales import Scales
from ....errors import TraceError
from ....traces.held_drives import infer_interpolation
from ....traces.recorded import between_steps
from ....traces.trace import Trace, TraceSet
from ....typing import Array
from ..drive_interpolation import stage_drive
from ..embedding import BLOCK_FLOOR, OUTPUT_FLOOR, Embedding
from ..output_map import apply_output_map
from ..ports import Ports
from .config import FitConfig
from .known_samples import Comparison, comparison, sample_status
from .recordings import RecordingsOnGrid as RecordingsOnGrid, on_common_grid as on_common_grid
from .samples import Samples


@dataclass(frozen=True)
class Prepared:
    """Embedded and scaled recordings, as the training methods take them.

    Attributes:
        ports: Names and units.
        embedding: Kind and order.
        interval: Sample interval [s].
        scales: Means and deviations of the fitted segments.
        samples: Embedded samples of the fitted segments and the validation segments.
        validation: First and last sample of each segment kept from the fit.
        drive: Drives and parameters in deviations, shape (samples, inputs), for the domain.
        outputs: Recorded outputs in deviations, not smoothed, shape (samples, outputs); free runs are compared with them. They
            have passed the output map.
        noise: Standard deviation of the measurement noise of each output, SI units.
        comparison: Recorded samples between those of the grid, with which free runs are compared instead of `outputs`; None
            if the recordings were on the grid and complete.
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
    comparison: Comparison | None = None

    def as_recorded(self, outputs: Tensor) -> Tensor:
        """Return outputs of the device as the instrument records them, both in deviations, shape (..., outputs)."""
        if not self.ports.output_map:
            return outputs
        return self.scales.output(apply_output_map(self.ports, self.scales.output_si(outputs)))

    def at_recorded(self, run: Tensor, first: int, last: int) -> tuple[Tensor, Tensor]:
        """Return a free run and the truth at the recorded samples, both in deviations; NaN in the truth where one is missing.

        Args:
            run: Outputs over samples first .. last, shape (time, outputs).
            first: Number of the first sample.
            last: Number of the last one.
        """
        if self.comparison is None:
            return run, self.outputs[first : last + 1]
        positions, truth = self.comparison.within(first, last)
        return torch.as_tensor(between_steps(run.numpy(), positions.numpy())), truth


def ports_of(traces: TraceSet) -> Ports:
    """Return names, units and interpolation, from the first recording."""
    first = traces[0]
    interpolation = {}
    for name in first.drive:
        # The interpolation of a drive at rest cannot be inferred; another recording of the set may contain its motion.
        moving = [trace for trace in traces if np.ptp(trace.drive[name]) > 0] or [first]
        interpolation[name] = moving[0].interpolation.get(name) or infer_interpolation(moving[0].drive[name])
    names = (*first.drive, *first.output, *first.parameters)
    return Ports(
        drive=tuple(first.drive),
        output=tuple(first.output),
        parameters=tuple(first.parameters),
        units={"time": first.unit("time")} | {name: first.units.get(name, "") for name in names},
        interpolation=interpolation,
        output_map=traces.output_map if isinstance(traces, RecordingsOnGrid) else {},
    )


def columns(traces: TraceSet, names: tuple[str, ...], role: str) -> list[Array]:
    """Return channels or parameters of each recording side by side, shape (time, names)."""
    if role == "parameters":
        return [np.tile([trace.parameters[name] for name in names], (len(trace), 1)) for trace in traces]
    return [
        np.stack([getattr(trace, role)[name] for name in names], -1) if names else np.zeros((len(trace), 0)) for trace in traces
    ]


def input_columns(traces: TraceSet, ports: Ports) -> list[Array]:
    """Return drives and parameters of each recording side by side, shape (time, inputs)."""
    drives, constants = columns(traces, ports.drive, "drive"), columns(traces, ports.parameters, "parameters")
    return [np.concatenate(pair, -1) for pair in zip(drives, constants, strict=True)]


def prepare(traces: TraceSet, embedding: Embedding, config: FitConfig) -> Prepared:
    """Embed and scale recordings that are on a common grid.

    The last `config.validation` of each recording is set aside: neither scales nor residuals use it.

    Args:
        traces: From `on_common_grid`.
        embedding: Kind and order.
        config: Settings.
    """
    ports = ports_of(traces)
    outputs, inputs = columns(traces, ports.output, "output"), input_columns(traces, ports)
    blocks = [embedding.embed(values) for values in outputs]
    lengths = [len(block.values) for block in blocks]
    cuts = [round(length * (1 - config.validation)) for length in lengths]

    def fitted(parts: list[Array]) -> Array:
        return np.concatenate([part[:cut] for part, cut in zip(parts, cuts, strict=True)])

    scales = _scales(fitted(outputs), fitted([block.values for block in blocks]), fitted(inputs), ports.output)
    feedthrough = config.feedthrough if config.feedthrough is not None else embedding.method.feedthrough
    stages, jacobians, scaled_inputs = [], [], []
    for trace, values, length in zip(traces, inputs, lengths, strict=True):
        u = scales.drive(torch.as_tensor(values))
        steps, jacobian = _embedded_drive(trace, ports, embedding, scales, u)
        # One more row than steps, so that every sample has an entry; no window uses the last.
        stages.append(torch.cat([steps, steps[-1:]])[:length])
        jacobians.append(jacobian if feedthrough else jacobian[..., :0])
        scaled_inputs.append(u[:length])
    offsets = [int(offset) for offset in np.concatenate([[0], np.cumsum(lengths)])[:-1]]
    noise = np.max([block.noise for block in blocks], 0)  # (order, outputs)
    floor = np.full(noise.shape, BLOCK_FLOOR)
    floor[0] = OUTPUT_FLOOR
    status, startable = sample_status(traces, embedding, lengths)
    segments = tuple((offset, offset + cut - 1) for offset, cut in zip(offsets, cuts, strict=True))
    _check_startable(startable, segments, ports.output)
    recorded = [
        scales.output(apply_output_map(ports, torch.as_tensor(values)))[:length]
        for values, length in zip(outputs, lengths, strict=True)
    ]
    return Prepared(
        ports=ports,
        embedding=embedding,
        interval=float(traces[0].provenance["resampled"]["to_interval"]),
        scales=scales,
        samples=Samples(
            states=torch.cat([scales.blocks(torch.as_tensor(block.values)) for block in blocks]),
            stages=torch.cat(stages),
            feedthrough_jacobian=torch.cat(jacobians),
            state_noise=torch.as_tensor(np.hypot(noise / scales.state_scale.numpy(), floor)).flatten(),
            segments=segments,
            outputs=len(ports.output),
            status=status,
            startable=startable,
        ),
        validation=tuple(
            (_next_startable(o + cut, o + length - 1, startable), o + length - 1)
            for o, cut, length in zip(offsets, cuts, lengths, strict=True)
        ),
        drive=torch.cat(scaled_inputs),
        outputs=torch.cat(recorded),
        noise=torch.as_tensor(np.max([block.recorded_noise for block in blocks], 0)),
        comparison=comparison(traces, ports, scales, lengths),
    )


def _next_startable(first: int, last: int, startable: Tensor | None) -> int:
    """Return the first sample of a segment whose state is known."""
    if startable is None or not bool(startable[first:last].any()):
        return first
    return first + int(startable[first:last].nonzero()[0])


def _embedded_drive(trace: Trace, ports: Ports, embedding: Embedding, scales: Scales, inputs: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the vector field sees of the inputs in each step, and the feedthrough Jacobian of the states."""
    # Each recording has its own interpolation: held steps and smooth drives may be in one set.
    of_drives = tuple(trace.interpolation[name] for name in ports.drive)
    of_inputs = of_drives + ("held",) * len(ports.parameters)
    drive_blocks = embedding.drive_blocks(inputs[:, : len(of_drives)], of_drives)
    return embedding.field_drive(stage_drive(inputs, of_inputs)), scales.feedthrough_blocks(drive_blocks)


def _check_startable(startable: Tensor | None, segments: tuple[tuple[int, int], ...], outputs: tuple[str, ...]) -> None:
    """Refuse recordings in whose fitted segments no window can start."""
    if startable is not None and not any(bool(startable[first:last].any()) for first, last in segments):
        raise TraceError(
            f"the outputs {', '.join(outputs)} are missing or at a limit so often that the fitted segment has no few samples "
            "in a row that are known; record more of them, take a longer sample interval, or correct --output-map."
        )


def _scales(outputs: Array, blocks: Array, inputs: Array, names: tuple[str, ...]) -> Scales:
    """Return means and standard deviations of the fitted segments; `names` are those of the outputs."""
    deviation = inputs.std(0)
    # A constant carries no information, and its computed deviation is rounding. With a hundredth of its value as the scale,
    # another value lies outside the domain.
    constant = np.ptp(inputs, 0) <= 1e-12 * np.abs(inputs).max(0)
    deviation[constant] = np.where(inputs[0] == 0, 1.0, 1e-2 * np.abs(inputs[0]))[constant]
    resting = np.ptp(outputs, 0) <= 1e-12 * np.abs(outputs).max(0)
    if resting.any():
        raise TraceError(
            f"output {names[int(np.flatnonzero(resting)[0])]!r} moves only in the validation segment at the end; "
            "take a segment in which it moves throughout, or a smaller validation share."
        )
    state = blocks.std(0)
    state[0] = outputs.std(0)
    return Scales(
        output_mean=torch.as_tensor(outputs.mean(0)),
        output_scale=torch.as_tensor(outputs.std(0)),
        state_scale=torch.as_tensor(np.maximum(state, 1e-30 * state[0])),  # a block at rest
        drive_mean=torch.as_tensor(inputs.mean(0)),
        drive_scale=torch.as_tensor(deviation),
    )
