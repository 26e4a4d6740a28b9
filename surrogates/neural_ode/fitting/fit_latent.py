"""`fit_latent`: latent modes from recordings on a common grid."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....dynamics.scales import Scales
from ....errors import FitError, TraceError
from ....traces.trace import Trace, TraceSet
from ....typing import Array, Progress
from ..domain import Domain
from ..drive_interpolation import settled_drive, stage_drive
from ..embedding import Embedding
from ..embeddings.local_polynomial import local_polynomial
from ..latent.amplitude import amplitude_stages
from ..latent.member import LatentMember
from ..latent.problem import Run
from ..latent.rollout import native_rollout
from ..latent.training import Trained, Training
from ..ports import Ports
from ..surrogate import Surrogate
from .config import FitConfig
from .prepare import columns, input_columns, ports_of

#: Widths of the network in the potential, where the configuration names none, and of the bent read-out.
HIDDEN, READOUT = 20, 4


def fit_latent(traces: TraceSet | Sequence[Trace], config: FitConfig, progress: Progress) -> Surrogate:
    """Fit latent modes to recordings.

    Args:
        traces: Recordings on one grid, from `on_common_grid`. Best is a drive whose amplitude is raised, see `design_ramp`.
        config: Settings; of those `order` (number of modes, chosen from the data if None), `hidden` (its sum is the width of
            the network), `feedthrough`, `iterations`, `restarts` with `members`, `validation` and `seed` count.
        progress: Receives one line of text after each stage.

    Returns:
        The surrogate, not yet calibrated; its record has "history", "validation", "kept", "choice" and "latent".

    Raises:
        TraceError: no drive.
        FitError: no restart gave finite runs.
    """
    traces = traces if isinstance(traces, TraceSet) else TraceSet(traces)
    ports = ports_of(traces)
    if not ports.drive:
        raise TraceError(
            "the recording has no drive; latent modes are identified from the response to one. Name a drive (--drive / "
            "drive=), or use embedding='derivative' for a device that moves by itself."
        )
    outputs, inputs = columns(traces, ports.output, "output"), input_columns(traces, ports)
    cuts = [round(len(values) * (1 - config.validation)) for values in outputs]
    fitted_outputs, fitted_inputs = ([part[:cut] for part, cut in zip(parts, cuts, strict=True)] for parts in (outputs, inputs))
    scales = _scales(fitted_outputs, fitted_inputs, len(ports.drive))
    runs = [_run(trace, ports, scales, y, u) for trace, y, u in zip(traces, outputs, inputs, strict=True)]
    noise = torch.as_tensor(np.max([[local_polynomial(column, 1)[2] for column in _without_gaps(y).T] for y in outputs], 0))
    results = _restarts(runs, cuts, noise / scales.output_scale, config, progress)
    order = sorted(range(len(results)), key=lambda index: results[index].error)
    # All members share the order of the embedding.
    kept = [index for index in order if results[index].layout.modes == results[order[0]].layout.modes][: config.members]
    members = [
        LatentMember(result.layout, result.unknowns.theta, substeps=result.substeps) for result in (results[i] for i in kept)
    ]
    best = results[kept[0]]
    points = [torch.cat([states, run.stages[:, 0]], -1) for run, states in zip(runs, _visited(best, runs), strict=True)]
    progress(f"kept {best.layout.modes} latent modes: validation NRMSE {best.error:.4f}, linear modes {best.linear_error:.4f}")
    return Surrogate(
        ports=ports,
        embedding=Embedding("latent", best.layout.modes),
        interval=float(traces[0].provenance["resampled"]["to_interval"]),
        scales=scales,
        members=members,
        domain=Domain.around(
            # The many points of the calm stretches lie close together; the radius is that of the full amplitude.
            torch.cat([part[first:cut] for part, first, cut in zip(points, best.loud, cuts, strict=True)]),
            torch.cat([part[cut:] for part, cut in zip(points, cuts, strict=True)]),
            seed=config.seed,
            constants=len(ports.parameters),
        ),
        noise=noise,
        spread_floor=best.error * scales.output_scale,
        record=_record(results, kept),
    )


def _restarts(runs: Sequence[Run], cuts: Sequence[int], noise: Tensor, config: FitConfig, progress: Progress) -> list[Trained]:
    """Train from different first weights of the network; only an ensemble needs more than one training."""
    results = []
    for restart in range(config.members):
        training = Training(
            runs,
            cuts,
            modes=config.order,
            hidden=HIDDEN if config.hidden is None else sum(config.hidden),
            readout=READOUT,
            feedthrough=config.feedthrough is not False,
            noise=noise,
            iterations=config.first_iterations,
            seed=config.seed + restart,
            progress=progress,
        )
        try:
            results.append(training.run())
        except FitError as error:
            progress(f"restart {restart + 1}/{config.members} failed: {error}")
            failure = error
    if not results:
        raise failure
    return results


def _visited(trained: Trained, runs: Sequence[Run]) -> list[Tensor]:
    """Return the states of the free runs along the recordings."""
    return [
        native_rollout(
            trained.layout,
            trained.unknowns.theta,
            start[None],
            run.stages[None, :-1],
            run.settled[None],
            substeps=trained.substeps,
        )[0][0]
        for run, start in zip(runs, trained.unknowns.starts, strict=True)
    ]


def _run(trace: Trace, ports: Ports, scales: Scales, outputs: Array, inputs: Array) -> Run:
    kinds = tuple(trace.interpolation[name] for name in ports.drive) + ("held",) * len(ports.parameters)
    u = scales.drive(torch.as_tensor(inputs))
    stages = stage_drive(u, kinds)[:, ::2]
    # One more row than steps, so that every sample has an entry; the last has no effect.
    stages = torch.cat([stages, stages[-1:]]).contiguous()
    recorded = torch.as_tensor(outputs)
    missing = ~torch.isfinite(recorded)
    y = scales.output(torch.as_tensor(_without_gaps(outputs)))
    settled = settled_drive(u, kinds)[:, : len(ports.drive)].contiguous()
    return Run(stages, settled, y, (~missing).to(torch.float64))


def _without_gaps(outputs: Array) -> Array:
    """Return outputs with missing samples interpolated: they have no weight, but the first linear model needs all samples."""
    filled = np.array(outputs)
    for column in filled.T:
        known = np.isfinite(column)
        column[~known] = np.interp(np.flatnonzero(~known), np.flatnonzero(known), column[known])
    return filled


def _scales(outputs: list[Array], inputs: list[Array], drives: int) -> Scales:
    """Return scales whose zero is the mean of the smallest amplitude: that is where the device rests."""
    u, y = np.concatenate(inputs), np.concatenate(outputs)
    stages = amplitude_stages([(part - u.mean(0))[:, :drives] for part in inputs])
    calm = np.concatenate([part[:stop] for part, stop in zip(inputs, stages[0], strict=True)])
    deviation = u.std(0)
    constant = np.ptp(u, 0) <= 1e-12 * np.abs(u).max(0)
    deviation[constant] = np.where(u[0] == 0, 1.0, 1e-2 * np.abs(u[0]))[constant]
    scale = torch.as_tensor(np.nanstd(y, 0))
    return Scales(
        output_mean=torch.as_tensor(np.nanmean(y, 0)),
        output_scale=scale,
        state_scale=scale.unsqueeze(0),
        drive_mean=torch.as_tensor(calm.mean(0)),
        drive_scale=torch.as_tensor(deviation),
    )


def _record(results: Sequence[Trained], kept: Sequence[int]) -> dict[str, Any]:
    best = results[kept[0]]
    history = [
        {"restart": restart, "stage": number, **_plain({key: value for key, value in entry.items() if key != "stage"})}
        | {"kind": entry["stage"], "validation": _finite(entry.get("validation")), "residual": _finite(entry.get("residual"))}
        for restart, result in enumerate(results)
        for number, entry in enumerate(result.history)
    ]
    reason = f"{best.layout.modes} latent modes, ridge {best.ridge:g}"
    return {
        "history": history,
        "validation": [_finite(result.error) for result in results],
        "kept": list(kept),
        "choice": reason,
        "linear_validation": _finite(best.linear_error),
        "latent": {"modes": best.layout.modes, "ridge": best.ridge, "substeps": best.substeps},
    }


def _plain(entry: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entry.items() if key not in ("validation", "residual")}


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
