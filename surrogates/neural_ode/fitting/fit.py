"""`fit`: from recordings to a surrogate, in stages, with restarts, validation and a resumable state."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....errors import ConfigError, FitError
from ....traces.trace import Trace, TraceSet
from ..domain import Domain
from ..embedding import Embedding
from ..evaluation.linear_baseline import fit_arx
from ..evaluation.short_runs import choose_short_run_steps, short_run_steps
from ..free_run import short_run_errors
from ..surrogate import Surrogate
from .calibration import calibrate, visited_states
from .checkpoint import Checkpoint
from .config import FitConfig
from .consensus import choose, probe_runs
from .gauss_newton_stages import fit_gauss_newton
from .order import choose_order
from .prepare import Prepared, columns, on_common_grid, prepare, single
from .stages import Builder, Candidate, Progress, default_field, free_run


def fit(
    traces: Trace | TraceSet | Sequence[Trace],
    config: FitConfig | None = None,
    *,
    vector_field: Builder | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Surrogate:
    """Fit a Neural-ODE surrogate to recordings.

    Stages of multiple shooting with growing windows: one-step collocation first, free runs through windows of hundreds of
    samples last. Several restarts; among those that validate equally well the one closest to the others under a probe
    drive of held steps is kept, since fits that are equal on the training drive differ off it.

    Args:
        traces: One recording or several with the same channels, their roles assigned (drives, outputs, parameters).
        config: Settings; or pass them as keywords.
        vector_field: Builds the learned part in place of the default network: called as (state, drive, rates, generator),
            returns a module f(x, u) in dimensionless units. For "derivative" embeddings it gives the rate of the last
            block only (rates = outputs); for "delay" all rates.
        checkpoint: File that holds the progress; if it exists and belongs to the same data and settings, the fit resumes
            from it and ends with the same result. Removed at the end by nobody: the caller decides.
        progress: Receives one line of text after each step.
        **settings: Fields of `FitConfig`, e.g. `order=2, sample_interval=5e-12, seed=1`.

    Returns:
        The surrogate; its `record` tells data, settings, history and validation.

    Raises:
        TraceError: a recording that cannot be fitted (too short, NaN, constant drive, ...).
        ConfigError: a setting outside its range.
        FitError: no restart gave a finite free run; or the checkpoint belongs to another fit.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022); the stages and their reasons are in docs/decisions.md.
    """
    if config is not None and settings:
        raise ConfigError("pass either config= or single settings, not both.")
    chosen = config if config is not None else FitConfig.of(**settings)
    originals = single(traces) if isinstance(traces, (Trace, TraceSet)) else TraceSet(traces)
    say = progress or (lambda line: None)
    on_grid = on_common_grid(originals, chosen)
    build = vector_field or default_field(chosen)
    note = Checkpoint.open(
        checkpoint,
        {
            "data": originals.fingerprint(),
            "interpolation": [dict(trace.interpolation) for trace in originals],
            # The fingerprint of the data does not count the order of the channels; the weights do.
            "channels": [list(getattr(originals[0], role)) for role in ("drive", "output", "parameters")],
            "config": chosen.to_dict(),
            "field": _layout(build),
        },
    )

    order, scan = choose_order(on_grid, chosen, say, note)
    prepared = prepare(on_grid, Embedding(chosen.embedding, order), chosen)
    if chosen.method == "adam":
        from .adam import fit_adam as fit_one
    else:
        fit_one = fit_gauss_newton
    candidates = []
    for restart in range(chosen.restarts):
        try:
            candidates.append(fit_one(prepared, chosen, build, restart, note, say))
        except FitError as error:
            # One unlucky start must not take the others with it.
            say(f"restart {restart + 1}/{chosen.restarts} failed: {error}")
            failed = error
    if not candidates:
        raise failed
    surrogate = _assemble(prepared, chosen, candidates, say)
    recorded = np.concatenate(columns(on_grid, prepared.ports.output, "output"))
    surrogate.record["residual_steps"] = choose_short_run_steps(recorded, prepared.noise.numpy())
    surrogate.record["residual_level"] = residual_level(surrogate, on_grid, chosen)
    surrogate.record["arx"] = _linear_baseline(on_grid, surrogate, chosen)
    surrogate.record.update(
        {
            "config": chosen.to_dict(),
            "order_scan": scan,
            "fingerprint": originals.fingerprint(),
            "data": [_data_record(trace) for trace in on_grid],
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }
    )
    return surrogate


def _layout(build: Builder) -> str:
    """What a builder makes, in words: the same for two runs of one program, another for another network."""
    with torch.random.fork_rng(devices=[]):
        made = build(2, 1, 1, torch.Generator().manual_seed(0))
    shapes = {name: list(value.shape) for name, value in made.state_dict().items()}
    activation = [getattr(module, "activation", None) for module in made.modules()]
    return f"{getattr(build, '__qualname__', type(build).__qualname__)} {made!r} {shapes} {activation}"


def _assemble(prepared: Prepared, config: FitConfig, candidates: list[Candidate], say: Progress) -> Surrogate:
    """Choose among the restarts, calibrate, and describe the domain."""
    probes = probe_runs([candidate.member for candidate in candidates], prepared, seed=config.seed)
    ranking = choose([candidate.validation for candidate in candidates], probes)
    if not np.isfinite(candidates[ranking.order[0]].validation):
        raise FitError("no restart gave a finite free run over the validation stretch; try more restarts or a larger ridge.")
    kept = [candidates[index].member for index in ranking.order[: config.members]]
    runs = torch.stack(
        [torch.cat([free_run(member, prepared, *segment) for segment in prepared.validation]) for member in kept]
    )
    truth = torch.cat([prepared.outputs[a : b + 1] for a, b in prepared.validation])
    factor, floor = calibrate(runs, truth)
    points = torch.cat([visited_states(kept, prepared), prepared.drive], -1)
    seen = torch.cat([points[a : b + 1] for a, b in prepared.samples.segments])
    unseen = torch.cat([points[a : b + 1] for a, b in prepared.validation])
    for index in ranking.order[: config.members]:
        say(f"kept restart {index + 1}: validation NRMSE {candidates[index].validation:.4f}")
    return Surrogate(
        ports=prepared.ports,
        embedding=prepared.embedding,
        interval=prepared.interval,
        scales=prepared.scales,
        members=kept,
        domain=Domain.around(seen, unseen, seed=config.seed, constants=len(prepared.ports.parameters)),
        noise=prepared.noise,
        spread_factor=factor,
        spread_floor=floor * prepared.scales.output_scale,
        record={
            "history": [entry for candidate in candidates for entry in candidate.history],
            "validation": [candidate.validation for candidate in candidates],
            "disagreement": ranking.disagreement,
            "kept": ranking.order[: config.members],
        },
    )


def residual_level(surrogate: Surrogate, traces: TraceSet, config: FitConfig) -> list[float]:
    """Root mean square of the short-run errors on the fitted stretches, per output, in deviations."""
    errors = [short_run_errors(surrogate, _fitted_part(trace, config), short_run_steps(surrogate)) for trace in traces]
    return [float(value) for value in np.sqrt(np.mean(np.concatenate(errors) ** 2, 0))]


def _fitted_part(trace: Trace, config: FitConfig) -> Trace:
    last = round(len(trace) * (1 - config.validation)) - 1
    return trace.between(float(trace.time[0]), float(trace.time[last]))


def _linear_baseline(traces: TraceSet, surrogate: Surrogate, config: FitConfig) -> dict[str, Any] | None:
    ports = surrogate.ports
    outputs = columns(traces, ports.output, "output")
    drives, constants = columns(traces, ports.drive, "drive"), columns(traces, ports.parameters, "parameters")
    inputs = [np.concatenate(pair, -1) for pair in zip(drives, constants, strict=True)]
    return fit_arx(outputs, inputs, [round(len(trace) * (1 - config.validation)) for trace in traces])


def _data_record(trace: Trace) -> dict[str, Any]:
    return {
        "start": float(trace.time[0]),
        "stop": float(trace.time[-1]),
        "samples": len(trace),
        "provenance": dict(trace.provenance),
    }
