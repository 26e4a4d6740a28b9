"""`fit`: from recordings to a surrogate, in stages, with restarts, validation and a resumable state."""

from __future__ import annotations

import platform
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ....errors import ConfigError, DomainError, DomainWarning, FitError, SpinodeError
from ....traces.trace import Trace, TraceSet
from ....typing import Array, Progress
from ....validation import merge_settings
from ..domain import Domain
from ..embedding import Embedding
from ..evaluation.linear_baseline import fit_arx
from ..evaluation.short_runs import choose_short_run_steps, share_of_change, short_run_steps
from ..fit_record import runner_up
from ..free_run import short_run_errors
from ..member import Member
from ..output_map import apply_output_map
from ..surrogate import Surrogate
from .arm import SearchResult
from .calibration import calibrate
from .checkpoint import Checkpoint
from .config import FitConfig
from .consensus import REVERSED, REVERSED_TORCH, Ranking, probe_runs, rank_restarts, runs_away, runs_in_kernel, tolerances
from .fit_latent import fit_latent
from .fit_memristive import fit_memristive, noise_of_memristive
from .left_out import segments_left_out, visited_points
from .prepare import Prepared, columns, input_columns, on_common_grid, prepare
from .search import Search
from .stages import Candidate, FieldBuilder, call_builder, default_field

#: Latent modes are tried where the best structure leaves more than this beyond the noise, and kept where they lower the error
#: by this factor. With fewer samples than the second number their one validation segment says less: a larger gain is asked for;
#: with fewer than the first they are not tried.
POOR, LATENT_GAIN, SHORT_LATENT_GAIN, LATENT_SAMPLES = 0.1, 0.9, 0.5, (2000, 4000)

#: A memristive device is tried where the outputs vanish with a drive and more than this is left beyond the noise, and kept
#: where it lowers the error by this factor.
MEMRISTIVE_POOR, MEMRISTIVE_GAIN = 0.03, 0.9


def fit(
    data: Trace | TraceSet | Sequence[Trace],
    config: FitConfig | None = None,
    *,
    vector_field: FieldBuilder | None = None,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Surrogate:
    """Fit a Neural-ODE surrogate to recordings.

    A structure search chooses embedding, order, penalty and what else the settings leave open (see `FitConfig`): candidates
    race in rounds, judged by free runs over validation segments, and a linear model is one of them. Each is fitted by multiple
    shooting in stages with growing windows, from single steps to free runs through hundreds of samples. Among restarts of the
    winner that validate equally well the one closest to the others under a probe drive of held steps is kept, since fits that
    are equal on the training drive differ off it.

    Args:
        data: One recording or several with the same channels, their roles assigned (drives, outputs, parameters).
        config: Settings; the defaults if omitted.
        vector_field: Builds the learned part instead of the default network: called as (state, drive, rates, generator),
            returns a module f(x, u) in dimensionless units. For "derivative" embeddings it returns the rate of the last
            block only (rates = outputs); for "delay" all rates.
        checkpoint: File for the progress. If it exists and belongs to the same data and settings, the fit resumes from it
            and ends with the same result. It is not deleted at the end. Latent modes and memristive devices have no checkpoint.
        progress: Receives one line of text after each step.
        **settings: Fields of `FitConfig` that take precedence over `config`, e.g. `order=2, sample_interval=5e-12, seed=1`.

    Returns:
        The surrogate; its `record` contains data, settings, history and validation.

    Raises:
        TraceError: a recording that cannot be fitted (too short, NaN, constant drive, ...).
        ConfigError: an unknown setting, one outside its range, or settings that exclude each other.
        FitError: no restart gave a finite free run; or the checkpoint belongs to another fit.

    Source: Chen et al., Nat. Commun. 13, 1016 (2022); the stages and their reasons are in docs/decisions.md.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from spinode import Trace, fit
        >>> from spinode.surrogates.testing import resonator
        >>> voltage = np.repeat(np.random.default_rng(0).normal(size=24), 10)
        >>> output = resonator().simulate(torch.as_tensor(voltage)[:, None], interpolation={"V": "held"}).detach().numpy()
        >>> recording = Trace(1e-11 * np.arange(240), {"V": voltage}, {"y": output[:, 0]}, interpolation={"V": "held"})
        >>> quick = {"embedding": "derivative", "order": 1, "ridge": 1e-6, "windows": (1, 8), "hidden": 2}
        >>> surrogate = fit(recording, effort="quick", restarts=1, iterations=2, **quick)
        >>> surrogate.ports.drive, surrogate.ports.output, surrogate.embedding.order
        (('V',), ('y',), 1)
    """
    config = merge_settings(FitConfig, config, settings, what="fit")
    if config.embedding in ("latent", "memristive") and vector_field is not None:
        raise ConfigError(
            f"vector_field was given with embedding='{config.embedding}', whose field has a form of its own; leave one of them "
            "out, or use embedding='derivative'."
        )
    traces = data if isinstance(data, TraceSet) else TraceSet(data)
    report = progress or (lambda line: None)
    on_grid = on_common_grid(traces, config, report)
    field = {} if vector_field is None else {"vector_field": vector_field, "built": _built(vector_field)}
    stored = Checkpoint(checkpoint, {"config": config, "data": traces, **field})
    if config.embedding == "latent":
        surrogate = fit_latent(on_grid, config, report)
        calibrate(surrogate, on_grid, config.validation)
    elif config.embedding == "memristive":
        surrogate = fit_memristive(on_grid, config, report)
    else:
        surrogate = _fit_fields(on_grid, config, vector_field, stored, report)
    recorded = np.concatenate(columns(on_grid, surrogate.ports.output, "output"))
    surrogate.record["residual_steps"] = choose_short_run_steps(recorded, surrogate.noise.numpy())
    surrogate.record["residual_level"] = residual_level(surrogate, on_grid, config)
    surrogate.record["short_run_share"] = share_of_change(surrogate, recorded)
    surrogate.record["drive_effect"] = drive_effect(surrogate, on_grid)
    surrogate.record["arx"] = _linear_baseline(on_grid, surrogate, config)
    surrogate.record.update(
        {
            "config": config.to_dict(),
            "sampling": list(on_grid.notes),
            "fingerprint": traces.fingerprint(),
            "data": [_data_record(trace) for trace in on_grid],
            "versions": {"torch": torch.__version__, "numpy": np.__version__, "python": platform.python_version()},
        }
    )
    return surrogate


def _fit_fields(
    on_grid: TraceSet, config: FitConfig, vector_field: FieldBuilder | None, stored: Checkpoint, progress: Progress
) -> Surrogate:
    """Search the structure of a vector field over embedded outputs, and return the surrogate of the best fits."""
    if config.method == "adam":
        return _fit_adam_restarts(on_grid, config, vector_field, stored, progress)
    if vector_field is not None and config.embedding is None:
        config = replace(config, embedding="derivative")  # a field of the user's own is written for one kind of state
    found = Search(on_grid, config, vector_field, stored, progress).run()
    if vector_field is None and _leaves_memory(found, config, on_grid):
        memristive = _better_memristive(on_grid, config, found, progress)
        if memristive is not None:
            return memristive
    if vector_field is None and _leaves_modes(found, config):
        latent = _better_latent(on_grid, config, found, progress)
        if latent is not None:
            calibrate(latent, on_grid, config.validation)
            return latent
    surrogate = _assemble(found.prepared, on_grid, config, found.candidates, progress, found.members)
    surrogate.record.update(found.record | {"structure": found.structures[surrogate.record["kept"][0]].to_dict()})
    return surrogate


def _leaves_modes(found: SearchResult, config: FitConfig) -> bool:
    """Return True if the best structure leaves so much beyond the noise that latent modes are worth their time."""
    return (
        config.effort != "quick"
        and len(found.prepared.samples.states) >= LATENT_SAMPLES[0]
        and _left_beyond_noise(found, config) > POOR
    )


def _leaves_memory(found: SearchResult, config: FitConfig, on_grid: TraceSet) -> bool:
    """Return True if the best structure leaves something beyond the noise, and the outputs vanish with a drive."""
    if _left_beyond_noise(found, config, np.zeros(1)) <= MEMRISTIVE_POOR:
        return False
    # Jumps of the output at those of a held drive look like noise; where the output vanishes, there is nothing else.
    noise = noise_of_memristive(on_grid)
    return noise is not None and _left_beyond_noise(found, config, noise) > MEMRISTIVE_POOR


def _left_beyond_noise(found: SearchResult, config: FitConfig, bound: Array | None = None) -> float:
    """Return the error of the best structure beyond the noise, in deviations; 0 where the settings allow no other one.

    Args:
        found: Result of the search.
        config: Settings.
        bound: Bound on the noise of each output in SI units, shape (outputs,).
    """
    if config.embedding is not None or config.order is not None or not found.prepared.ports.drive:
        return 0.0
    noise = found.prepared.noise if bound is None else torch.minimum(found.prepared.noise, torch.as_tensor(bound))
    share = float((noise / found.prepared.scales.output_scale).max())
    return float(max(found.candidates[0].validation ** 2 - share**2, 0) ** 0.5)


def _better_latent(on_grid: TraceSet, config: FitConfig, found: SearchResult, progress: Progress) -> Surrogate | None:
    """Fit latent modes, and return them if they validate better than the best structure of the search."""
    gain = LATENT_GAIN if len(found.prepared.samples.states) >= LATENT_SAMPLES[1] else SHORT_LATENT_GAIN
    return _better("latent", partial(fit_latent, on_grid, config, progress), "latent modes", gain, on_grid, found, progress)


def _better_memristive(on_grid: TraceSet, config: FitConfig, found: SearchResult, progress: Progress) -> Surrogate | None:
    """Fit a memristive device, and return it if it validates better than the best structure of the search."""
    words = "conductances with hidden states"
    fit_candidate = partial(fit_memristive, on_grid, config, progress)
    return _better("memristive", fit_candidate, words, MEMRISTIVE_GAIN, on_grid, found, progress)


def _better(
    kind: str,
    fit_candidate: Callable[[], Surrogate],
    words: str,
    gain: float,
    on_grid: TraceSet,
    found: SearchResult,
    progress: Progress,
) -> Surrogate | None:
    """Fit a candidate beside the search, and return it if its error is below `gain` times that of the best structure."""
    error = found.candidates[0].validation
    progress(f"{found.structures[0].name} leaves {error:.3f}; trying {words}")
    try:
        other = fit_candidate()
    except (SpinodeError, torch.linalg.LinAlgError) as failure:  # type: ignore[attr-defined]  # what was found is not lost
        progress(f"{words} failed: {failure}")
        return None
    reached = other.record["validation"][other.record["kept"][0]]
    if reached is None or reached > gain * error:
        progress(f"{words} reach {'nothing' if reached is None else f'{reached:.4f}'}; kept {found.structures[0].name}")
        return None
    if _runs_away(other, on_grid):
        kept = found.structures[0].name
        progress(f"{words} reach {reached:.4f}, but run away along the recorded drive in reverse; kept {kept}")
        return None
    order = other.embedding.order
    record = other.record.get(kind, {})
    structure = {"embedding": kind, "order": order, "hidden": record.get("hidden", [1]), "ridge": record.get("ridge")}
    name = f"{kind} order {order}"
    entry = {
        "structure": structure,
        "name": name,
        "start": "subspace" if kind == "latent" else "time constants",
        "rung": 5,
        "error": reached,
        "diverged": False,
    }
    search = [*found.record["search"], {**entry, "seconds": 0.0}]
    known = [record.get("linear_validation") for record in (other.record, found.record)]
    linear = min((value for value in known if value is not None), default=error)
    second = runner_up(search, kind, order)
    behind = "" if second is None else f", {second[0]} {second[1]:.4f}"
    choice = f"chose {name}: validation NRMSE {reached:.4f}{behind}, linear {linear:.4f}"
    progress(choice)
    other.record.update(
        found.record | {"search": search, "structure": structure, "linear_validation": linear, "search_choice": choice}
    )
    return other


def drive_effect(surrogate: Surrogate, on_grid: TraceSet) -> float | None:
    """Return the error of a run with the drive at its mean over that with the drive as it was.

    One says that the model makes no use of the drive. Another time order would not do: the drive may be periodic. None without
    a drive, or if samples are missing.
    """
    whole = max(on_grid, key=len)
    longest = REVERSED if all(runs_in_kernel(member.field) for member in surrogate.members) else REVERSED_TORCH
    trace = whole.between(None, float(whole.time[min(longest, len(whole)) - 1]))
    if not surrogate.ports.drive or not all(np.isfinite(values).all() for values in trace.output.values()):
        return None
    outputs = columns(TraceSet([trace]), surrogate.ports.output, "output")[0]
    truth = apply_output_map(surrogate.ports, torch.as_tensor(outputs)).numpy()
    still = {name: np.full_like(values, values.mean()) for name, values in trace.drive.items()}
    kinds = {name: surrogate.ports.interpolation[name] for name in trace.drive}
    errors = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DomainWarning)
        for each in (trace, replace(trace, drive=still, interpolation=kinds)):
            run = surrogate.run(each).output.numpy()
            errors.append(float(np.sqrt(np.mean(((run - truth) / surrogate.scales.output_scale.numpy()) ** 2))))
    # Errors of a ten-thousandth do not differ by more than rounding, nor do ratios in their fourth digit.
    return float(f"{max(errors[1], 1e-4) / max(errors[0], 1e-4):.4g}") if np.isfinite(errors).all() else None


def _runs_away(surrogate: Surrogate, on_grid: TraceSet) -> bool:
    """Return True if a surrogate leaves the range of the outputs along a recorded drive in reverse order of time."""
    for trace in on_grid:
        outputs = {name: np.nan_to_num(values) for name, values in trace.output.items()}
        reverse = replace(trace, drive={name: values[::-1].copy() for name, values in trace.drive.items()}, output=outputs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DomainWarning)
            try:
                run = surrogate.run(reverse, from_rest=True)
            except DomainError:  # there is no resting state
                if surrogate.embedding.kind != "memristive":
                    return True
                run = surrogate.run(reverse)  # a memory rests nowhere; its state is that of the first samples
        recorded = surrogate.scales.output(torch.as_tensor(columns(TraceSet([trace]), surrogate.ports.output, "output")[0]))
        if run.diverged_at is not None or runs_away(surrogate.scales.output(run.output), recorded):
            return True
    return False


def _fit_adam_restarts(
    on_grid: TraceSet, config: FitConfig, vector_field: FieldBuilder | None, stored: Checkpoint, progress: Progress
) -> Surrogate:
    """Fit by Adam, in the embedding that a quick search by Gauss-Newton finds where none is given."""
    record: dict[str, Any] = {}
    kind = config.embedding or ("derivative" if vector_field is not None else None)
    if kind is None or config.order is None:
        quick = replace(config, method="gauss-newton", embedding=kind, effort="quick", hidden=None, windows=None, members=1)
        found = Search(on_grid, quick, None, stored, progress).run()
        record = {name: found.record[name] for name in ("search", "linear_validation", "effort")}
        config = replace(config, embedding=found.structures[0].embedding, order=found.structures[0].order)
    else:
        config = replace(config, embedding=kind)
    assert config.embedding is not None
    assert config.order is not None
    prepared = prepare(on_grid, Embedding(config.embedding, config.order), config)
    candidates = _run_adam(prepared, config, vector_field or default_field(config), stored, progress)
    surrogate = _assemble(prepared, on_grid, config, candidates, progress, lambda index: candidates[index].members)
    surrogate.record.update(record)
    return surrogate


def _built(build: FieldBuilder) -> torch.nn.Module:
    """Return what a builder builds, the same for each call; a builder may choose it in ways that its code does not show."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return call_builder(build, 2, 1, 1, torch.Generator().manual_seed(0))


def _run_adam(
    prepared: Prepared, config: FitConfig, build: FieldBuilder, checkpoint: Checkpoint, progress: Progress
) -> list[Candidate]:
    """Run all restarts by Adam; one that fails does not end the others, unless all do."""
    from .adam import fit_adam  # Lightning takes seconds to import

    candidates = []
    for restart in range(config.restarts):
        try:
            candidates.append(fit_adam(prepared, config, build, restart, checkpoint, progress))
        except FitError as error:
            progress(f"restart {restart + 1}/{config.restarts} failed: {error}")
            failure = error
    if not candidates:
        raise failure
    return candidates


def _assemble(
    prepared: Prepared,
    on_grid: TraceSet,
    config: FitConfig,
    candidates: list[Candidate],
    progress: Progress,
    members_of: Callable[[int], list[Member]],
) -> Surrogate:
    """Choose among the restarts, determine the domain of validity, and calibrate the spread."""
    probes = probe_runs([candidate.member for candidate in candidates], prepared, seed=config.seed)
    ranking = rank_restarts(
        [candidate.validation for candidate in candidates],
        probes,
        tolerance=tolerances([candidate.stretches() for candidate in candidates]),
        diverged=[candidate.diverged for candidate in candidates],
    )
    if not np.isfinite(candidates[ranking.order[0]].validation):
        raise FitError("no restart gave a finite free run over the validation segment; try more restarts or a larger ridge.")
    kept = ranking.order[: config.members]
    members = [member for index in kept for member in members_of(index)]
    for index in kept:
        reason = f"; {ranking.reason}" if index == kept[0] and len(candidates) > 1 else ""
        kind = candidates[index].label or f"restart {index + 1}"
        progress(f"kept {kind}: validation NRMSE {candidates[index].validation:.4f}{reason}")
    fitted = visited_points(members, prepared, prepared.samples.segments)
    unseen = visited_points(members, prepared, prepared.validation)
    splits = candidates[kept[0]].splits
    if len(splits) > 1:  # all samples are fitted in the end
        fitted, unseen = torch.cat([fitted, unseen]), unseen[:0]
    surrogate = Surrogate(
        ports=prepared.ports,
        embedding=prepared.embedding,
        interval=prepared.interval,
        scales=prepared.scales,
        members=members,
        domain=Domain.around(fitted, unseen, seed=config.seed, constants=len(prepared.ports.parameters)),
        noise=prepared.noise,
        record=_choice_record(candidates, ranking, config) | {"splits": len(splits)},
    )
    fits = [
        (split, [candidates[index].members[number] for index in kept]) for number, split in enumerate(splits) if len(splits) > 1
    ]
    calibrate(surrogate, on_grid, config.validation, list(segments_left_out(fits, on_grid)))
    return surrogate


def _choice_record(candidates: list[Candidate], ranking: Ranking, config: FitConfig) -> dict[str, Any]:
    return {
        "history": [
            {**entry, "restart": restart, "stage": stage}
            for restart, candidate in enumerate(candidates)
            for stage, entry in enumerate(candidate.history)
        ],
        "validation": [candidate.validation for candidate in candidates],
        "disagreement": ranking.disagreement,
        "kept": ranking.order[: config.members],
        "choice": ranking.reason,
    }


def residual_level(surrogate: Surrogate, traces: TraceSet, config: FitConfig) -> list[float]:
    """Return the root mean square of the short-run errors on the fitted segments, per output, in deviations."""
    steps = short_run_steps(surrogate)
    errors = [short_run_errors(surrogate, _fitted_part(trace, config), steps) for trace in traces]
    return [float(value) for value in np.sqrt(np.mean(np.concatenate(errors) ** 2, 0))]


def _fitted_part(trace: Trace, config: FitConfig) -> Trace:
    last = round(len(trace) * (1 - config.validation)) - 1
    return trace.between(float(trace.time[0]), float(trace.time[last]))


def _linear_baseline(traces: TraceSet, surrogate: Surrogate, config: FitConfig) -> dict[str, Any] | None:
    outputs = [
        apply_output_map(surrogate.ports, torch.as_tensor(values)).numpy()
        for values in columns(traces, surrogate.ports.output, "output")
    ]
    cuts = [round(len(trace) * (1 - config.validation)) for trace in traces]
    return fit_arx(outputs, input_columns(traces, surrogate.ports), cuts)


def _data_record(trace: Trace) -> dict[str, Any]:
    return {
        "start": float(trace.time[0]),
        "stop": float(trace.time[-1]),
        "samples": len(trace),
        "provenance": dict(trace.provenance),
    }
