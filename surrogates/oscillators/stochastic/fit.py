"""Fit of a `StochasticSurrogate`: likelihood of the recorded increments, order and length of training by held-out
likelihood.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from ....errors import ConfigError, FitError, TraceError
from ....traces.trace import Trace
from ...neural_ode.domain import Domain
from ...neural_ode.ports import Ports
from .model import ConditionalDensity, StochasticSurrogate, log_density, regression

#: Fewer samples do not tell drift from noise.
_FEWEST = 200


@dataclass(frozen=True)
class StochasticConfig:
    """Settings of `fit_stochastic`.

    Attributes:
        order: Outputs that the state reaches back; None to choose from 1 .. 4 by held-out likelihood.
        hidden: Widths of the hidden layers.
        iterations: Most steps of L-BFGS.
        held_out: Share at the end of each recording that stops the fit and chooses the order.
        ridge: Penalty on the weights, per sample.
        seed: Of the first weights.

    Raises:
        ConfigError: numbers out of range.
    """

    order: int | None = None
    hidden: tuple[int, ...] = (24, 24)
    iterations: int = 300
    held_out: float = 0.15
    ridge: float = 1e-6
    seed: int = 0

    def __post_init__(self) -> None:
        if self.order is not None and (not isinstance(self.order, int) or not 1 <= self.order <= 16):
            raise ConfigError(f"order is {self.order!r}; expected 1 .. 16, or None to choose it.")
        if not self.hidden or any(not isinstance(width, int) or width < 1 for width in self.hidden):
            raise ConfigError(f"hidden is {self.hidden!r}; expected positive whole numbers.")
        if not isinstance(self.iterations, int) or self.iterations < 1:
            raise ConfigError(f"iterations is {self.iterations!r}; expected a positive whole number.")
        if not 0.02 <= self.held_out <= 0.5 or not 0 <= self.ridge < math.inf:
            raise ConfigError(
                f"held_out and ridge are {self.held_out!r} and {self.ridge!r}; expected 0.02 .. 0.5, and 0 or more."
            )


@dataclass(frozen=True, eq=False)
class _Data:
    """Recordings in deviations, cut in two."""

    fitted: list[tuple[Tensor, Tensor]]
    unseen: list[tuple[Tensor, Tensor]]
    drive_scale: Tensor
    output_scale: Tensor


def fit_stochastic(
    traces: Trace | Sequence[Trace], config: StochasticConfig | None = None, **settings: object
) -> StochasticSurrogate:
    """Learn drift and noise of a device from its noisy recording.

    Args:
        traces: One recording or several, with the same channels, each uniformly sampled at one interval; drives count as held.
        config: Settings.
        **settings: Settings by name, which override those of `config`.

    Returns:
        The surrogate; its record holds the held-out log likelihood of each order that was tried.

    Raises:
        TraceError: no drive or output, channels that differ, times that are not uniform, or too few samples.
        FitError: a likelihood that is not finite.
        ConfigError: settings out of range, or unknown.
    """
    config = _settings(config, settings)
    traces = [traces] if isinstance(traces, Trace) else list(traces)
    interval = _checked(traces)
    data = _data(traces, config)
    scores: dict[int, float] = {}
    best: StochasticSurrogate | None = None
    ports = _ports(traces[0])
    for order in [config.order] if config.order else range(1, 5):
        made, score = _fit(data, order, config)
        scores[order] = score
        # Another order must foretell the data noticeably better: by a hundredth of a nat for each sample.
        if best is None or score > scores[best.order] + 0.01:
            best = _surrogate(made, data, order, ports, interval)
    assert best is not None
    best.record = {
        "config": {**asdict(config), "hidden": list(config.hidden)},
        "held-out log likelihood by order": {str(order): score for order, score in scores.items()},
        "samples": int(sum(len(trace.time) for trace in traces)),
        "fitted_on": [dict(trace.provenance) for trace in traces],
    }
    return best


def _settings(config: StochasticConfig | None, settings: dict[str, object]) -> StochasticConfig:
    known = asdict(StochasticConfig())
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise ConfigError(f"fit_stochastic has no setting {unknown[0]!r}; it has {', '.join(known)}.")
    base = config or StochasticConfig()
    return StochasticConfig(**{**{name: getattr(base, name) for name in known}, **settings})


def _checked(traces: Sequence[Trace]) -> float:
    """The sample interval [s] of all."""
    if not traces:
        raise TraceError("no trace was given; pass one recording, or a list of them.")
    first, intervals = traces[0], []
    for trace in traces:
        if tuple(trace.drive) != tuple(first.drive) or tuple(trace.output) != tuple(first.output):
            raise TraceError(
                f"the traces have channels {tuple(first.channels)} and {tuple(trace.channels)}; expected the same."
            )
        if not trace.drive or not trace.output:
            raise TraceError("the trace has no drive, or no output; name them when it is read, drive=... and output=....")
        if len(trace.time) < _FEWEST:
            raise TraceError(f"the trace has {len(trace.time)} samples; drift and noise need at least {_FEWEST}.")
        if not all(bool(np.isfinite(values).all()) for values in trace.channels.values()):
            raise TraceError("the trace holds NaN or infinite values; cut or replace them.")
        steps = np.diff(trace.time)
        if np.ptp(steps) > 0.01 * np.median(steps):
            raise TraceError(
                f"the sample interval varies from {steps.min():.4g} to {steps.max():.4g} s; resample the trace first, with "
                "spinode.resample."
            )
        intervals.append(float(np.median(steps)))
    if max(intervals) > 1.01 * min(intervals):
        raise TraceError(f"the traces are sampled every {min(intervals):.4g} .. {max(intervals):.4g} s; expected one interval.")
    return intervals[0]


def _data(traces: Sequence[Trace], config: StochasticConfig) -> _Data:
    pairs = [
        tuple(torch.tensor(np.stack(list(channels.values()), -1)) for channels in (trace.output, trace.drive))
        for trace in traces
    ]
    scales = []
    for part in (0, 1):
        values = torch.cat([pair[part] for pair in pairs])
        spread = values.std(0)
        if part == 0 and bool((spread == 0).any()):
            raise TraceError("an output is constant; there is nothing to learn from it.")
        scales.append(torch.stack([values.mean(0), torch.where(spread > 0, spread, 1.0)]))
    output_scale, drive_scale = scales
    fitted, unseen = [], []
    for output, drive in pairs:
        y, u = (output - output_scale[0]) / output_scale[1], (drive - drive_scale[0]) / drive_scale[1]
        cut = round(len(y) * (1 - config.held_out))
        fitted.append((y[:cut], u[:cut]))
        unseen.append((y[cut:], u[cut:]))
    return _Data(fitted, unseen, drive_scale, output_scale)


def _fit(data: _Data, order: int, config: StochasticConfig) -> tuple[tuple[ConditionalDensity, Tensor, Tensor], float]:
    """The law, the scale of its steps and its points; and the mean held-out log likelihood of a sample."""
    x, increments = (torch.cat(parts) for parts in zip(*(regression(y, u, order) for y, u in data.fitted), strict=True))
    xs, others = (torch.cat(parts) for parts in zip(*(regression(y, u, order) for y, u in data.unseen), strict=True))
    step_scale = increments.std(0)
    torch_state = torch.get_rng_state()
    torch.manual_seed(config.seed)
    law = ConditionalDensity(x.shape[-1], increments.shape[-1], config.hidden)
    torch.set_rng_state(torch_state)
    _linear_start(law, x, increments / step_scale)
    optimizer = torch.optim.LBFGS(
        law.parameters(), max_iter=10, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0.0, tolerance_grad=0.0
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        penalty = config.ridge * sum(p.square().sum() for p in law.parameters())
        loss: Tensor = penalty - log_density(law, x, increments, step_scale).sum(-1).mean()
        loss.backward()
        return loss

    best, kept, waited = -math.inf, copy.deepcopy(law.state_dict()), 0
    for _ in range(math.ceil(config.iterations / 10)):
        optimizer.step(closure)
        with torch.no_grad():
            score = float(log_density(law, xs, others, step_scale).sum(-1).mean())
        if not math.isfinite(score):
            break
        waited = 0 if score > best + 1e-4 else waited + 1
        if score > best:
            best, kept = score, copy.deepcopy(law.state_dict())
        if waited >= 3:
            break
    if not math.isfinite(best):
        raise FitError(
            f"the likelihood of order {order} is not finite; is an output quantised, or held? Pass a longer interval."
        )
    law.load_state_dict(kept)
    return (law.requires_grad_(False), step_scale, x), best


def _linear_start(law: ConditionalDensity, x: Tensor, increments: Tensor) -> None:
    """Begin with the best linear drift, and its residual as the noise."""
    rows = torch.cat([x, torch.ones(len(x), 1, dtype=x.dtype)], 1)
    solved = torch.linalg.lstsq(rows, increments, driver="gelsd").solution
    residual = (increments - rows @ solved).std(0)
    with torch.no_grad():
        law.skip.weight.copy_(solved[:-1].T)
        law.mean.weight.mul_(0.1)
        law.mean.bias.copy_(solved[-1])
        law.spread.weight.mul_(0.1)
        law.spread.bias.copy_(residual.clamp_min(1e-12).log())


def _surrogate(
    made: tuple[ConditionalDensity, Tensor, Tensor], data: _Data, order: int, ports: Ports, interval: float
) -> StochasticSurrogate:
    law, step_scale, points = made
    unseen = torch.cat([regression(y, u, order)[0] for y, u in data.unseen])
    return StochasticSurrogate(
        ports=ports,
        interval=interval,
        order=order,
        law=law,
        drive_scale=data.drive_scale,
        output_scale=data.output_scale,
        step_scale=step_scale,
        domain=Domain.around(points, unseen),
        rest=data.output_scale[0],
    )


def _ports(trace: Trace) -> Ports:
    return Ports(
        drive=tuple(trace.drive),
        output=tuple(trace.output),
        units={name: trace.units.get(name, "") for name in trace.channels},
        interpolation=dict.fromkeys(trace.drive, "held"),
    )
