"""Fit of a `StochasticSurrogate`: maximum likelihood of the recorded increments, stopped by validation samples.

The order of the state is chosen by the same validation samples, unless it is given.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ....errors import FitError, TraceError
from ....traces.trace import Trace, TraceSet, as_traces
from ....typing import Progress
from ....validation import merge_settings
from ...neural_ode.domain import Domain
from ...neural_ode.ports import Ports
from .checkpoint import Checkpoint
from .config import StochasticConfig
from .model import ConditionalDensity, StochasticSurrogate, log_density, regression

#: Drift and noise cannot be distinguished in fewer samples.
MIN_SAMPLES = 200
#: Orders that are tried where none is given.
ORDERS = (1, 2, 3, 4)
#: A higher order must predict better by so much [nat per sample].
MIN_GAIN = 0.01
#: L-BFGS steps between two evaluations of the validation samples, and how many evaluations without improvement end a fit.
BLOCK, PATIENCE = 10, 3


@dataclass(frozen=True, eq=False)
class _Data:
    """Recordings in standard units, each split into samples that are fitted and samples that validate."""

    fitted: list[tuple[Tensor, Tensor]]
    validation: list[tuple[Tensor, Tensor]]
    drive_scale: Tensor
    output_scale: Tensor


@dataclass(frozen=True, eq=False)
class _Fitted:
    """The result for one order: density, scale of the increments, inputs of the fit, validation score [nat per sample]."""

    density: ConditionalDensity
    step_scale: Tensor
    inputs: Tensor
    score: float


def fit_stochastic(
    data: Trace | TraceSet | Sequence[Trace],
    config: StochasticConfig | None = None,
    *,
    checkpoint: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> StochasticSurrogate:
    """Fit drift and noise of a device to its noisy recording.

    Args:
        data: One recording or several, with the same channels, each uniformly sampled at one interval. Drives count as
            constant from each sample to the next.
        config: Settings.
        checkpoint: File of the progress. If it exists and belongs to the same data and settings, the fit resumes from it and
            ends with the same result. It is not deleted at the end.
        progress: Receives one line of text about how far the fit has got.
        **settings: Fields of `StochasticConfig` by name, which override those of `config`.

    Returns:
        The surrogate; its record contains the validation log likelihood of each order that was tried.

    Raises:
        TraceError: no drive or output, channels that differ, times that are not uniform, or too few samples.
        FitError: a likelihood that is not finite, or a checkpoint of another fit.
        ConfigError: settings out of range, or unknown.

    Example:
        >>> import torch
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> from spinode.surrogates import fit_stochastic
        >>> generator = torch.Generator().manual_seed(0)
        >>> trace = SpinTorqueOscillator().trace(6e-3 + 1e-3 * torch.rand(400, generator=generator), generator=generator)
        >>> fit_stochastic(trace, order=1, hidden=(4,), iterations=10).outputs
        ('V',)
    """
    config = merge_settings(StochasticConfig, config, settings, what="fit_stochastic")
    report = progress or (lambda line: None)
    traces = TraceSet(_checked(data))
    interval = _sample_interval(traces)
    split = _split(traces, config)
    store = Checkpoint(checkpoint, {"config": config, "data": traces})
    scores: dict[int, float] = {}
    chosen: tuple[int, _Fitted] | None = None
    for order in ORDERS if config.order is None else (config.order,):
        fitted = _fit_order(split, order, config, store, report)
        scores[order] = fitted.score
        if chosen is None or fitted.score > chosen[1].score + MIN_GAIN:
            chosen = (order, fitted)
    assert chosen is not None
    surrogate = _surrogate(*chosen, split, _ports(traces[0]), interval)
    surrogate.record = {
        "config": config.to_dict(),
        "validation log likelihood by order": {str(order): score for order, score in scores.items()},
        "samples": int(sum(len(trace.time) for trace in traces)),
        "fitted_on": [dict(trace.provenance) for trace in traces],
    }
    return surrogate


# --- the recordings -------------------------------------------------------------------------------------------------------


def _checked(data: Trace | TraceSet | Sequence[Trace]) -> list[Trace]:
    """Return the recordings as a list, each one checked."""
    traces = as_traces(data)
    if not traces:
        raise TraceError("no trace was given; pass one recording, or a list of them.")
    for index, trace in enumerate(traces):
        if not isinstance(trace, Trace):
            raise TraceError(f"trace {index} is a {type(trace).__name__}; expected a spinode.Trace.")
        if tuple(trace.drive) != tuple(traces[0].drive) or tuple(trace.output) != tuple(traces[0].output):
            raise TraceError(
                f"the traces have channels {tuple(traces[0].channels)} and {tuple(trace.channels)}; expected the same."
            )
        if not trace.drive or not trace.output:
            raise TraceError("the trace has no drive, or no output; name them when it is read, drive=... and output=....")
        if len(trace.time) < MIN_SAMPLES:
            raise TraceError(f"the trace has {len(trace.time)} samples; drift and noise need at least {MIN_SAMPLES}.")
        if not all(bool(np.isfinite(values).all()) for values in trace.channels.values()):
            raise TraceError("the trace contains NaN or infinite values; cut or replace them.")
        steps = np.diff(trace.time)
        if np.ptp(steps) > 0.01 * np.median(steps):
            raise TraceError(
                f"the sample interval varies from {steps.min():.4g} to {steps.max():.4g} s; resample the trace first, with "
                "spinode.resample."
            )
    return traces


def _sample_interval(traces: TraceSet) -> float:
    """Return the sample interval [s] that all recordings share."""
    intervals = [float(np.median(np.diff(trace.time))) for trace in traces]
    if max(intervals) > 1.01 * min(intervals):
        raise TraceError(f"the traces are sampled every {min(intervals):.4g} .. {max(intervals):.4g} s; expected one interval.")
    return intervals[0]


def _split(traces: TraceSet, config: StochasticConfig) -> _Data:
    """Return the recordings in standard units, split into fitted and validation samples."""
    pairs = [
        tuple(torch.tensor(np.stack(list(channels.values()), -1)) for channels in (trace.output, trace.drive))
        for trace in traces
    ]
    scales = []
    for part in (0, 1):
        values = torch.cat([pair[part] for pair in pairs])
        deviation = values.std(0)
        if part == 0 and bool((deviation == 0).any()):
            raise TraceError("an output is constant; there is nothing to learn from it.")
        scales.append(torch.stack([values.mean(0), torch.where(deviation > 0, deviation, 1.0)]))
    output_scale, drive_scale = scales
    fitted, validation = [], []
    for output, drive in pairs:
        y, u = (output - output_scale[0]) / output_scale[1], (drive - drive_scale[0]) / drive_scale[1]
        cut = round(len(y) * (1 - config.validation))
        fitted.append((y[:cut], u[:cut]))
        validation.append((y[cut:], u[cut:]))
    return _Data(fitted, validation, drive_scale, output_scale)


def _regressions(parts: list[tuple[Tensor, Tensor]], order: int) -> tuple[Tensor, Tensor]:
    """Return inputs and increments of several recordings, concatenated."""
    inputs, increments = zip(*(regression(y, u, order) for y, u in parts), strict=True)
    return torch.cat(inputs), torch.cat(increments)


# --- the fit of one order -------------------------------------------------------------------------------------------------


def _fit_order(data: _Data, order: int, config: StochasticConfig, checkpoint: Checkpoint, progress: Progress) -> _Fitted:
    """Fit the density of one order; resume from the checkpoint if it has this order."""
    inputs, increments = _regressions(data.fitted, order)
    unseen = _regressions(data.validation, order)
    step_scale = increments.std(0)
    density = _initial_density(inputs, increments / step_scale, config)
    finished = checkpoint.finished.get(str(order))
    if finished is None:
        finished = _maximise(density, (inputs, increments), unseen, step_scale, order, config, checkpoint, progress)
        checkpoint.finish(order, finished)
    progress(f"order {order}: validation log likelihood {finished['score']:.4f} per sample")
    density.load_state_dict(finished["weights"])
    return _Fitted(density.requires_grad_(False), step_scale, inputs, finished["score"])


def _maximise(
    density: ConditionalDensity,
    fitted: tuple[Tensor, Tensor],
    unseen: tuple[Tensor, Tensor],
    step_scale: Tensor,
    order: int,
    config: StochasticConfig,
    checkpoint: Checkpoint,
    progress: Progress,
) -> dict[str, Any]:
    """Maximise the likelihood by L-BFGS and return the weights with the best validation score, and that score."""
    optimizer = torch.optim.LBFGS(
        density.parameters(),
        max_iter=BLOCK,
        history_size=20,
        line_search_fn="strong_wolfe",
        tolerance_change=0.0,
        tolerance_grad=0.0,
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = config.ridge * sum(p.square().sum() for p in density.parameters())
        loss: Tensor = penalty - log_density(density, *fitted, step_scale).sum(-1).mean()
        loss.backward()
        return loss

    best: dict[str, Any] = {"score": -math.inf, "weights": _weights(density)}
    begin, waited = 0, 0
    current = checkpoint.current
    if current is not None and current["order"] == order:
        best, begin, waited = current["best"], current["blocks"], current["waited"]
        density.load_state_dict(current["weights"])
        _load_optimizer(optimizer, current["optimizer"])
        progress(f"order {order}: resumed after {BLOCK * begin} iterations")
    for block in range(begin, math.ceil(config.iterations / BLOCK)):
        if waited >= PATIENCE:
            break
        optimizer.step(closure)
        with torch.no_grad():
            score = float(log_density(density, *unseen, step_scale).sum(-1).mean())
        progress(f"order {order}, iteration {BLOCK * (block + 1)}: validation log likelihood {score:.4f} per sample")
        if not math.isfinite(score):
            break
        waited = 0 if score > best["score"] + 1e-4 else waited + 1
        if score > best["score"]:
            best = {"score": score, "weights": _weights(density)}
        checkpoint.update(
            {
                "order": order,
                "blocks": block + 1,
                "waited": waited,
                "best": best,
                "weights": _weights(density),
                "optimizer": _optimizer_state(optimizer),
            }
        )
    if not math.isfinite(best["score"]):
        raise FitError(
            f"the likelihood of order {order} is not finite; is an output quantised, or constant over many samples? Pass a "
            "longer sample interval."
        )
    return best


def _weights(density: ConditionalDensity) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in density.state_dict().items()}


def _optimizer_state(optimizer: torch.optim.LBFGS) -> dict[str, Any]:
    """Return the state of L-BFGS, without its scratch space."""
    (state,) = optimizer.state_dict()["state"].values()
    return {name: value for name, value in state.items() if name != "al"}


def _load_optimizer(optimizer: torch.optim.LBFGS, state: dict[str, Any]) -> None:
    optimizer.load_state_dict({"state": {0: state}, "param_groups": optimizer.state_dict()["param_groups"]})


def _initial_density(inputs: Tensor, increments: Tensor, config: StochasticConfig) -> ConditionalDensity:
    """Return a density that begins with the best linear drift, and the residual of that drift as the noise."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        density = ConditionalDensity(inputs.shape[-1], increments.shape[-1], config.hidden)
    rows = torch.cat([inputs, torch.ones(len(inputs), 1, dtype=inputs.dtype)], 1)
    linear = torch.linalg.lstsq(rows, increments, driver="gelsd").solution
    residual = (increments - rows @ linear).std(0)
    with torch.no_grad():
        density.skip.weight.copy_(linear[:-1].T)
        density.mean.weight.mul_(0.1)
        density.mean.bias.copy_(linear[-1])
        density.spread.weight.mul_(0.1)
        density.spread.bias.copy_(residual.clamp_min(1e-12).log())
    return density


# --- the result -----------------------------------------------------------------------------------------------------------


def _surrogate(order: int, fitted: _Fitted, data: _Data, ports: Ports, interval: float) -> StochasticSurrogate:
    unseen, _ = _regressions(data.validation, order)
    return StochasticSurrogate(
        ports=ports,
        interval=interval,
        order=order,
        density=fitted.density,
        drive_scale=data.drive_scale,
        output_scale=data.output_scale,
        step_scale=fitted.step_scale,
        domain=Domain.around(fitted.inputs, unseen),
        rest=data.output_scale[0],
    )


def _ports(trace: Trace) -> Ports:
    return Ports(
        drive=tuple(trace.drive),
        output=tuple(trace.output),
        units={name: trace.units.get(name, "") for name in trace.channels},
        interpolation=dict.fromkeys(trace.drive, "held"),
    )
