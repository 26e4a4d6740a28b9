"""`fit`: from recordings to a surrogate, in stages, with restarts, validation and a resumable state."""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .arx import fit_arx
from .checkpoint import Checkpoint
from .config import FitConfig
from .consensus import choose, probe_runs
from .domain import Domain
from .embedding import HIGHEST, Embedding
from .errors import ConfigError, FitError
from .field import ChainField, MLPField, bind_physics
from .free_run import short_runs
from .gauss_newton import Damping, Point, Samples, Shooting, Theta, minimise
from .prepare import Prepared, columns, on_common_grid, prepare, single
from .residuals import clear_steps, steps_of
from .rollout import rollout
from .surrogate import Member, Surrogate
from .trace import Trace, TraceSet

Progress = Callable[[str], None]

#: From this window length on only the outputs are compared and the initial states are free: over short windows the blocks
#: above the first must be compared too, or the one-step problem is singular.
FREE_FROM = 20

#: Penalty on the feedthrough over that on the weights. A slow drive hardly tells its feedthrough from its force; where the
#: data do not ask for one, it should stay near zero, since held steps expose it.
FEEDTHROUGH_RIDGE = 30.0

#: Least deviation of a validation stretch that an error is held against, in deviations of the fitted part.
RESTING = 0.05

#: Most weights that Gauss-Newton takes: their matrix is in memory several times.
MOST_WEIGHTS = 6000

#: Orders that are tried where none is given.
ORDERS = (1, 2, 3)


@dataclass
class Candidate:
    """One restart: its member, its validation error and how it went."""

    member: Member
    validation: float
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    traces: Trace | TraceSet | Sequence[Trace],
    config: FitConfig | None = None,
    *,
    vector_field: Callable[[int, int, int, torch.Generator], nn.Module] | None = None,
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
        from .lightning import fit_adam as fit_one
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
    surrogate.record["residual_steps"] = clear_steps(recorded, prepared.noise.numpy())
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


def default_field(config: FitConfig) -> Callable[[int, int, int, torch.Generator], nn.Module]:
    """The network that a fit learns if none is given."""

    def build(state: int, drive: int, rates: int, generator: torch.Generator) -> nn.Module:
        return MLPField(state, drive, rates, hidden=config.hidden, activation=config.activation, generator=generator)

    return build


def _layout(build: Callable[[int, int, int, torch.Generator], nn.Module]) -> str:
    """What a builder makes, in words: the same for two runs of one program, another for another network."""
    with torch.random.fork_rng(devices=[]):
        made = build(2, 1, 1, torch.Generator().manual_seed(0))
    shapes = {name: list(value.shape) for name, value in made.state_dict().items()}
    activation = [getattr(module, "activation", None) for module in made.modules()]
    return f"{getattr(build, '__qualname__', type(build).__qualname__)} {made!r} {shapes} {activation}"


def new_member(prepared: Prepared, build: Callable[[int, int, int, torch.Generator], nn.Module], seed: int) -> Member:
    """A member with fresh weights for this embedding."""
    generator = torch.Generator().manual_seed(seed)
    size = prepared.samples.states.shape[-1]
    inputs = prepared.samples.stages.shape[-1]
    outputs = len(prepared.ports.output)
    chain = prepared.embedding.kind == "derivative"
    # A field of the user's own may draw its weights from torch's global generator; it follows the seed all the same.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = build(size, inputs, outputs if chain else size, generator).to(torch.float64)
    bind_physics(made, prepared.scales, prepared.interval)
    drives = len(prepared.ports.drive)
    whole = ChainField(made, prepared.scales.ratios) if chain else made
    with torch.no_grad():
        rates = whole(prepared.samples.states[:4], prepared.samples.stages[:4, 0])
    if rates.shape != (4, size):
        raise ConfigError(
            f"the vector field returned {rates.shape[-1] - (size - outputs if chain else 0)} rates for 4 states; expected "
            f"{(4, outputs) if chain else (4, size)} from (4, {size}) states and (4, {inputs}) drives."
        )
    return Member(whole, torch.zeros(outputs, drives, dtype=torch.float64))


def fit_gauss_newton(
    prepared: Prepared,
    config: FitConfig,
    build: Callable[[int, int, int, torch.Generator], nn.Module],
    restart: int,
    note: Checkpoint,
    say: Progress,
) -> Candidate:
    """One restart: Gauss-Newton through all stages; the stage that validates best is kept."""
    member = new_member(prepared, build, config.seed * 1000 + restart)
    samples = prepared.samples
    through = member.feedthrough if samples.jets.shape[-1] else member.feedthrough[:, :0]
    layout = Theta(member.field, through)
    if len(layout.start) > MOST_WEIGHTS:
        raise ConfigError(
            f"the vector field has {len(layout.start)} weights; Gauss-Newton builds a matrix of that size squared and takes "
            f"up to {MOST_WEIGHTS}. Use a smaller network, such as hidden=(16, 16), or method='adam'."
        )
    best: tuple[float, Tensor] = (float("inf"), layout.start)
    theta, history = layout.start, []
    lengths = stage_lengths(config.windows, samples)
    for stage, length in enumerate(lengths):
        done = note.finished(restart, stage)
        if done is None:
            theta = _run_stage(samples, layout, theta, length, config, (restart, stage), note, say, len(lengths))
            _put(member, layout, theta)
            score = free_run_error(member, prepared, prepared.validation)
            entry = {"restart": restart, "stage": stage, "window": length, "validation": score, **note.last_entry}
            note.finish(restart, stage, theta, entry)
        else:
            theta, entry = done
        history.append(entry)
        if entry["validation"] <= best[0]:
            best = (entry["validation"], theta)
    _put(member, layout, best[1])
    say(f"restart {restart + 1}/{config.restarts}: validation NRMSE {best[0]:.4f}")
    return Candidate(member, best[0], history)


def stage_lengths(windows: Sequence[int], samples: Samples) -> list[int]:
    """Window lengths that fit: no longer than a quarter of the longest stretch, and each once."""
    longest = max(last - first for first, last in samples.segments)
    return sorted({min(length, max(1, longest // 4)) for length in windows})


def _put(member: Member, layout: Theta, theta: Tensor) -> None:
    layout.write(theta)
    _, through = layout.split(theta)
    with torch.no_grad():
        if through.numel():
            member.feedthrough.copy_(through.reshape(member.feedthrough.shape))


def _run_stage(
    samples: Samples,
    layout: Theta,
    theta: Tensor,
    length: int,
    config: FitConfig,
    where: tuple[int, int],
    note: Checkpoint,
    say: Progress,
    stages: int,
) -> Tensor:
    problem = stage_problem(samples, layout, theta, length, config, seed=where[0] * 100 + where[1])
    shifts, damping = problem.no_shifts(), Damping()
    start = problem.evaluate(theta, shifts).cost
    resumed = note.unfinished(*where)
    if resumed is not None:
        theta, shifts, damping = resumed

    def after(point: Point, damping: Damping) -> None:
        note.progress(*where, point.theta, point.shifts, damping)
        say(
            f"restart {where[0] + 1}/{config.restarts}  stage {where[1] + 1}/{stages} (window {length})  "
            f"step {damping.iteration}/{config.iterations}  residual {point.cost**0.5:.3e}"
        )

    point = minimise(problem, theta, shifts, iterations=config.iterations, damping=damping, after=after)
    note.last_entry = {"residual": point.cost**0.5, "steps": damping.iteration, "start": start**0.5}
    return point.theta


def stage_problem(samples: Samples, layout: Theta, theta: Tensor, length: int, config: FitConfig, seed: int) -> Shooting:
    """The shooting problem of one stage.

    Early stages look at a part of the data: they only have to find the basin of the later ones.
    """
    free = length >= FREE_FROM
    budget = config.max_samples if free else config.max_samples // (8 if length == 1 else 4)
    starts = samples.windows(length)
    most = max(8, budget // length)
    if len(starts) > most:
        generator = torch.Generator().manual_seed(config.seed * 7919 + seed)
        starts = starts[torch.randperm(len(starts), generator=generator)[:most].sort().values]
    weights = compare_weights(samples, free)
    ridge = torch.full_like(layout.start, config.ridge)
    ridge[len(ridge) - samples.jets.shape[-1] :] *= FEEDTHROUGH_RIDGE
    if not free:
        return Shooting(samples, layout, length, starts, weights, None, ridge)
    fixed = Shooting(samples, layout, length, starts, weights, None, ridge)
    residual = fixed.evaluate(theta, fixed.no_shifts()).cost ** 0.5
    prior = samples.state_noise / max(min(residual, 0.1), 1e-6)
    return Shooting(samples, layout, length, starts, weights, prior, ridge)


def compare_weights(samples: Samples, outputs_only: bool) -> Tensor:
    """Weight of each state value in the residual: one over the deviation of its increments, together of norm one."""
    moves = torch.cat([samples.states[first : last + 1].diff(dim=0) for first, last in samples.segments])
    weights: Tensor = 1 / moves.std(0).clamp_min(1e-12)
    weights = weights / torch.linalg.vector_norm(weights)
    if outputs_only:
        weights = weights.clone()
        weights[samples.outputs :] = 0
    return weights


def free_run(member: Member, prepared: Prepared, first: int, last: int) -> Tensor:
    """Outputs of a free run over samples first .. last, in deviations, shape (time, outputs)."""
    samples, count = prepared.samples, len(prepared.ports.output)
    jets = samples.jets
    through = member.feedthrough.detach().reshape(-1)[: jets.shape[-1]]
    with torch.no_grad():
        state = samples.states[first] + jets[first] @ through
        run = rollout(member.field, state, samples.stages[first:last])
        outputs: Tensor = run[:, :count] - (jets[first : last + 1] @ through)[:, :count]
        return outputs


def free_run_error(member: Member, prepared: Prepared, segments: Sequence[tuple[int, int]]) -> float:
    """NRMSE of free runs over stretches: rms error over the deviation of the truth, worst output."""
    errors, truths = [], []
    for first, last in segments:
        truth = prepared.outputs[first : last + 1]
        errors.append(free_run(member, prepared, first, last) - truth)
        truths.append(truth)
    error, truth = torch.cat(errors), torch.cat(truths)
    # A device that rests throughout the stretch has no deviation there; that of the fitted part is one.
    return float((error.square().mean(0).sqrt() / truth.std(0).clamp_min(RESTING)).max())


def choose_order(traces: TraceSet, config: FitConfig, say: Progress, note: Checkpoint) -> tuple[int, list[dict[str, Any]]]:
    """Order of the embedding, and the error that each order tried reaches in a quick fit.

    The error is that of free runs through windows of forty samples of the validation stretch. The smallest order wins
    that no larger one beats by a factor of two: an order too low costs far more than that, and quick fits scatter by less.
    Where the order is given, it and the next one are tried, so that the report can say whether it suffices.
    """
    known = note.read("order_scan") or []
    tried = ORDERS if config.order is None else (config.order, min(config.order + 1, HIGHEST[config.embedding]))
    for order in list(dict.fromkeys(tried))[len(known) :]:
        error = quick_error(traces, order, config)
        known = [*known, {"order": order, "error": error}]
        note.write("order_scan", known)
        say(f"order {order}: error of free runs over 40 samples {error:.4f}")
    if config.order is not None:
        return config.order, known
    finite = [entry for entry in known if np.isfinite(entry["error"])]
    if not finite:
        raise FitError("no embedding order gave a finite free run; check the recording with `spinode inspect`.")
    best = min(entry["error"] for entry in finite)
    return next(entry["order"] for entry in finite if entry["error"] <= 2 * best), known


def quick_error(traces: TraceSet, order: int, config: FitConfig) -> float:
    """Error of free runs over forty validation samples after a short fit with a small network, the better of two."""
    quick = replace(
        config,
        hidden=(12,),
        windows=(1, 8, 40),
        iterations=8,
        max_samples=min(config.max_samples, 6000),
        restarts=1,
        members=1,
    )
    prepared = prepare(traces, Embedding(config.embedding, order), quick)
    segments = [
        (first, min(first + 40, last)) for low, last in prepared.validation for first in range(low, max(last - 10, low + 1), 40)
    ]
    errors = [float("inf")]
    for restart in range(2):
        # One quick fit in three or four ends in a poor minimum; an order must not be judged by that.
        silent = Checkpoint.open(None, {})
        with contextlib.suppress(FitError):
            member = fit_gauss_newton(prepared, quick, default_field(quick), restart, silent, lambda line: None).member
            errors.append(free_run_error(member, prepared, segments))
    return min(errors)


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


def visited_states(members: Sequence[Member], prepared: Prepared) -> Tensor:
    """Recorded states as the members count them, less the feedthrough's part (mean over members), shape (samples, state)."""
    jets = prepared.samples.jets
    through = torch.stack([member.feedthrough.detach().reshape(-1)[: jets.shape[-1]] for member in members]).mean(0)
    states: Tensor = prepared.samples.states + jets @ through
    return states


def calibrate(runs: Tensor, truth: Tensor) -> tuple[float, Tensor]:
    """Factor and floor that make sqrt((factor * deviation)^2 + floor^2) cover 90 % of validation errors at 1.645 of it.

    Args:
        runs: Free runs of the members, shape (members, time, outputs).
        truth: Shape (time, outputs).

    Returns:
        Factor, and floor of each output, shape (outputs,).
    """
    error = (runs.mean(0) - truth).abs()
    quantile = torch.quantile(error, 0.9, dim=0) / 1.645
    if len(runs) == 1:
        return 1.0, quantile
    # A floor of half the size leaves the larger part of the spread to where members disagree.
    floor = 0.5 * quantile
    deviation = runs.std(0).clamp_min(1e-12)
    excess = (error / 1.645).square() - floor.square()
    factor = torch.quantile(excess.clamp_min(0).sqrt() / deviation, 0.9)
    return max(1.0, float(factor)), floor


def residual_level(surrogate: Surrogate, traces: TraceSet, config: FitConfig) -> list[float]:
    """Root mean square of the short-run errors on the fitted stretches, per output, in deviations."""
    errors = [short_runs(surrogate, _fitted_part(trace, config), steps_of(surrogate)) for trace in traces]
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
