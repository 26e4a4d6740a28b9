"""`fit_memristive`: a hidden state with its conductance from recordings on a grid, and the test if they ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....dynamics.scales import Scales
from ....errors import TraceError
from ....traces.trace import Trace, TraceSet
from ....typing import Array, Progress
from ..domain import Domain
from ..drive_interpolation import settled_drive, stage_drive
from ..embedding import Embedding
from ..embeddings.local_polynomial import local_polynomial
from ..latent.problem import Run
from ..memristive.member import MemristiveMember
from ..memristive.training import Trained, Training
from ..ports import Ports
from ..surrogate import Surrogate
from .calibration import calibrate
from .config import FitConfig
from .fit_latent import _finite, _scales, _without_gaps
from .left_out import left_out_block
from .prepare import columns, input_columns, ports_of

#: Widths of the two networks, where the configuration names none.
HIDDEN, READOUT = (8,), (5,)

#: Share of the samples, those of the smallest drive, at which an output must vanish with it.
SMALLEST = 0.1

#: Ratio of an output's share there to the drive's share up to which it vanishes with the drive: proportionally, or nearly so.
VANISHES = 2.0

#: Share of its own root mean square below which a drive is near zero at its smallest samples.
MIN_SHARE = 0.5

#: Share of its own root mean square that a drive has at least at its smallest samples, as far as the ratio is concerned. Pulses
#: with rests have zero there, and an output is never exactly zero.
MIN_SMALL_SHARE = 0.02

#: Fewest samples of which a memristive device is fitted beside the search.
MIN_SAMPLES = 500


def fit_memristive(traces: TraceSet | Sequence[Trace], config: FitConfig, progress: Progress) -> Surrogate:
    """Fit a memristive device to recordings.

    Args:
        traces: Recordings on one grid, from `on_common_grid`.
        config: Settings; of those `order` (number of hidden states, chosen from the data if None), `hidden`, `iterations`,
            `validation` and `seed` count.
        progress: Receives one line of text after each stage.

    Returns:
        The surrogate, calibrated; its record has "history", "validation", "kept", "choice" and "memristive".

    Raises:
        TraceError: no drive.
        FitError: no finite runs.
    """
    traces = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    ports = ports_of(traces)
    if not ports.drive:
        raise TraceError(
            "the recording has no drive; the output of a memristive device is a conductance times a drive. Name a drive "
            "(--drive / drive=), or use embedding='derivative' for a device that moves by itself."
        )
    outputs, inputs = columns(traces, ports.output, "output"), input_columns(traces, ports)
    cuts = [round(len(values) * (1 - config.validation)) for values in outputs]
    fitted_outputs, fitted_inputs = ([part[:cut] for part, cut in zip(parts, cuts, strict=True)] for parts in (outputs, inputs))
    scales = _scales(fitted_outputs, fitted_inputs, len(ports.drive))
    runs = [_run(trace, ports, scales, y, u) for trace, y, u in zip(traces, outputs, inputs, strict=True)]
    ratios, rests = vanishing(traces)
    chosen = ratios.argmin(1)
    for name, ratio in zip(ports.output, ratios.min(1), strict=True):
        if not ratio <= VANISHES:
            progress(
                f"{name} does not vanish with {' or '.join(ports.drive)}, as a conductance times a drive would: the model "
                "cannot describe what is left at zero drive, but for a constant"
            )
    selector = torch.eye(len(ports.drive), dtype=torch.float64)[chosen]
    # Jumps of a held drive look like noise, but not where the output vanishes.
    noise = torch.minimum(_noise(outputs), torch.as_tensor(rests[np.arange(len(chosen)), chosen]))
    trained = Training(
        runs,
        config.validation,
        selector=selector,
        offset=selector @ (scales.drive_mean / scales.drive_scale)[: len(ports.drive)],
        constant=-scales.output_mean / scales.output_scale,
        noise=float((noise / scales.output_scale).max()),
        states=config.order,
        hidden=HIDDEN if config.hidden is None else config.hidden,
        readout=READOUT,
        iterations=config.first_iterations,
        seed=config.seed,
        progress=progress,
    ).run()
    order = trained.states[0][0].shape[-1]

    def surrogate_of(members: Sequence[MemristiveMember], points: Tensor, unseen: Tensor) -> Surrogate:
        return Surrogate(
            ports=ports,
            embedding=Embedding("memristive", order),
            interval=float(traces[0].provenance["resampled"]["to_interval"]),
            scales=scales,
            members=members,
            domain=Domain.around(points, unseen, seed=config.seed, constants=len(ports.parameters)),
            noise=noise,
            spread_floor=trained.error * scales.output_scale,
        )

    points = [[torch.cat([x, run.stages[:, 0]], -1) for x, run in zip(own, runs, strict=True)] for own in trained.states]
    left_out, fitted = [], []
    for member, own, blocks in zip(trained.members, points, trained.blocks, strict=True):
        seen = torch.cat([torch.cat([x[:a], x[b:]]) for x, (a, b) in zip(own, blocks, strict=True)])
        left_out.append(left_out_block(surrogate_of([member], seen, seen[:0]), list(traces), blocks))
        fitted.append(seen)
    several = len(left_out) > 1
    every = torch.cat(points[0])
    unseen = torch.cat([x[a:b] for x, (a, b) in zip(points[0], trained.blocks[0], strict=True)])
    surrogate = surrogate_of(trained.members, every if several else fitted[0], every[:0] if several else unseen)
    surrogate.record.update(_record(trained, order))
    progress(f"kept {order} hidden state{'s' * (order > 1)}: validation NRMSE {trained.error:.4f}")
    calibrate(surrogate, traces, config.validation, left_out if several else ())
    return surrogate


def vanishing(traces: TraceSet | Sequence[Trace]) -> tuple[Array, Array]:
    """Return by how much each output fails to vanish with each drive.

    Both are taken at the samples of the smallest magnitude of the drive. There, an output y = G v with a bounded conductance is
    as small a share of its root mean square as the drive is of its own: the ratio of the shares is one, for a steeper
    characteristic less. A constant offset and the measurement noise do not count.

    Args:
        traces: Recordings with the same channels, on a grid.

    Returns:
        The ratios, shape (outputs, drives), and the root mean square of the outputs at these samples, of the same shape.
    """
    traces = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    ports = ports_of(traces)
    outputs = np.concatenate([_without_gaps(y) for y in columns(traces, ports.output, "output")])
    noise = _noise(columns(traces, ports.output, "output")).numpy()
    settled = []
    for trace, values in zip(traces, columns(traces, ports.drive, "drive"), strict=True):
        kinds = tuple(trace.interpolation.get(name) or ports.interpolation[name] for name in ports.drive)
        settled.append(settled_drive(torch.as_tensor(values), kinds).numpy())
    drives = np.abs(np.concatenate(settled))
    ratios, rests = np.full((2, outputs.shape[1], drives.shape[1]), np.inf)
    for column, drive in enumerate(drives.T):
        small = drive <= np.quantile(drive, SMALLEST)
        rest = outputs - outputs[small].mean(0)
        share = np.sqrt(np.mean(drive[small] ** 2) / max(float(np.mean(drive**2)), 1e-300))
        if share >= MIN_SHARE:  # a drive that never comes near zero shows nothing
            continue
        rests[:, column] = np.sqrt(np.mean(rest[small] ** 2, 0))
        excess = np.sqrt(np.maximum(rests[:, column] ** 2 - noise**2, 0) / np.maximum(np.mean(rest**2, 0), 1e-300))
        ratios[:, column] = excess / max(share, MIN_SMALL_SHARE)
    return ratios, rests


def noise_of_memristive(traces: TraceSet | Sequence[Trace]) -> Array | None:
    """Return a bound on the noise of each output if all of them vanish with a drive, in enough samples; None if they do not."""
    traces = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    if sum(len(trace) for trace in traces) < MIN_SAMPLES:
        return None
    ratios, rests = vanishing(traces)
    return np.asarray(rests.min(1)) if bool((ratios.min(1) <= VANISHES).all()) else None


def _noise(outputs: Sequence[Array]) -> Tensor:
    return torch.as_tensor(np.max([[local_polynomial(column, 1)[2] for column in _without_gaps(y).T] for y in outputs], 0))


def _run(trace: Trace, ports: Ports, scales: Scales, outputs: Array, inputs: Array) -> Run:
    kinds = tuple(trace.interpolation[name] for name in ports.drive) + ("held",) * len(ports.parameters)
    u = scales.drive(torch.as_tensor(inputs))
    stages = stage_drive(u, kinds)
    # One more row than steps, so that every sample has an entry; the last has no effect.
    stages = torch.cat([stages, stages[-1:]]).contiguous()
    known = torch.isfinite(torch.as_tensor(outputs)).to(torch.float64)
    settled = settled_drive(u, kinds)[:, : len(ports.drive)].contiguous()
    return Run(stages, settled, scales.output(torch.as_tensor(_without_gaps(outputs))), known)


def _record(trained: Trained, order: int) -> dict[str, Any]:
    widths = trained.members[0].field.widths
    history = [
        {**entry, "restart": 0, "stage": number, "kind": entry["stage"], "residual": _finite(entry["residual"])}
        | {"validation": _finite(entry["validation"])}
        for number, entry in enumerate(trained.history)
    ]
    return {
        "history": history,
        "validation": [_finite(trained.error)],
        "kept": [0],
        "choice": f"memristive with {order} hidden state{'s' * (order > 1)}, ridge {trained.ridge:g}",
        "splits": len(trained.members),
        "structure": {"embedding": "memristive", "order": order, "hidden": widths, "ridge": trained.ridge},
        "memristive": {"states": order, "ridge": trained.ridge, "hidden": widths},
    }
