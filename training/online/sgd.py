"""`OnlineSGD`: gradient descent one sample at a time, alone or with the penalties of online EWC, streaming EWC and SI."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...contracts.task_stream import Task
from ...validation import number
from .learn import learn_online
from .rule import Kernel, OnlineMethod, OnlineRule, State, register

#: Learning rate of the methods of `OnlineLearner`.
DEFAULT_RATE = 0.002
#: Samples of one call that accumulates Fisher information.
FISHER_BLOCK = 2000


@dataclass(frozen=True)
class OnlineSGD(OnlineRule):
    """Gradient descent, with the quadratic penalty of EWC and SI if requested.

    w <- w - rate (g + penalty importance (w - anchor)), with g = dC/dw of the sample.

    State: "weight0" of shape (hidden, features), "weight1" of shape (classes, hidden); with a penalty also "importance0",
    "anchor0", "importance1" and "anchor1" of the same shapes. Accumulated where the state has them: "fisher0", "fisher1" +=
    g^2, the empirical Fisher information; "path0", "path1" -= g (change of w), the path integral of SI.

    Attributes:
        rate: Learning rate.
        penalty: Strength; the importance of EWC, twice the c of SI (whose penalty has no factor 1/2).
        stream_decay: None: importance and anchor are constant. A number d: the streaming EWC of the MESU paper, after each step
            importance <- d importance + g^2 and anchor <- w before the step, so that the penalty pulls back along the last step
            only. (The paper's text does not give this; it is our reading of what its authors ran.)

    Raises:
        ConfigError: a setting outside its range.

    Example:
        >>> import torch
        >>> state = {"weight0": torch.ones(3, 2), "weight1": torch.zeros(2, 3)}
        >>> loss = learn_online(OnlineSGD(rate=0.1), state, torch.ones(1, 2), torch.tensor([1]))
        >>> round(loss.item(), 4), state["weight1"][:, 0].tolist()
        (0.6931, [-0.10000000149011612, 0.10000000149011612])

    Source: Kirkpatrick et al., PNAS 114, 3521 (2017); Zenke et al., ICML (2017); Bonnet et al., arXiv:2504.13569 (2025).
    """

    rate: float
    penalty: float = 0.0
    stream_decay: float | None = None

    def __post_init__(self) -> None:
        decay = self.stream_decay
        self._store(
            rate=number("rate of OnlineSGD", self.rate, 0),
            penalty=number("penalty of OnlineSGD", self.penalty, 0),
            stream_decay=None if decay is None else number("stream_decay of OnlineSGD", decay, 0, 1),
        )

    @property
    def arrays(self) -> tuple[str, ...]:
        """The weight, and with a penalty its importance and anchor."""
        return ("weight", "importance", "anchor") if self.penalty else ("weight",)

    @property
    def optional_arrays(self) -> tuple[str, ...]:
        """Arrays that are accumulated where the state has them."""
        return ("fisher", "path")

    @property
    def kernel(self) -> Kernel:
        """Description for the compiled loop."""
        name = "sgd"
        if self.penalty:
            name = "sgd penalty" if self.stream_decay is None else "sgd stream"
        constants = (self.rate, self.penalty, self.stream_decay or 0.0)
        return Kernel(name, constants, ("weight", "importance", "anchor", "fisher", "path"))

    def update(self, state: State, gradients: Sequence[Tensor]) -> None:
        """Change the weights by one step; see the class."""
        for layer, gradient in enumerate(gradients):
            weight = state[f"weight{layer}"]
            total = gradient
            if self.penalty:
                importance, anchor = state[f"importance{layer}"], state[f"anchor{layer}"]
                total = gradient + self.penalty * importance * (weight - anchor)
                if self.stream_decay is not None:
                    importance.mul_(self.stream_decay).add_(gradient.square())
                    anchor.copy_(weight)
            change = -self.rate * total
            weight += change
            if f"fisher{layer}" in state:
                state[f"fisher{layer}"].add_(gradient.square())
            if f"path{layer}" in state:
                state[f"path{layer}"].sub_(gradient * change)


class _SGD(OnlineMethod):
    def defaults(self) -> dict[str, Any]:
        return {"rate": DEFAULT_RATE, **self.extra}


class _Penalised(_SGD):
    """Importance and anchor of each weight, from the beginning."""

    def build(self, values: Mapping[str, Any], extra: Mapping[str, float]) -> OnlineRule:
        return OnlineSGD(**values, penalty=extra["importance"])

    def initial_state(
        self, rule: OnlineRule, shape: tuple[int, int], generator: torch.Generator, extra: Mapping[str, float]
    ) -> dict[str, Tensor]:
        weight = super().initial_state(rule, shape, generator, extra)["weight"]
        return {"weight": weight, "importance": torch.zeros_like(weight), "anchor": weight.clone()}


class _StreamEWC(_Penalised):
    """F <- decay F + g^2 after every step."""

    def build(self, values: Mapping[str, Any], extra: Mapping[str, float]) -> OnlineRule:
        return OnlineSGD(**values, penalty=extra["importance"], stream_decay=extra["decay"])


class _OnlineEWC(_Penalised):
    """F <- decay F + mean of g^2 over the task, after each task."""

    needs_boundaries = True

    def end_task(self, rule: OnlineRule, state: dict[str, Tensor], task: Task, extra: Mapping[str, float]) -> None:
        accumulated = {name: state[name] for name in ("weight0", "weight1")}
        accumulated |= {f"fisher{layer}": torch.zeros_like(state[f"weight{layer}"]) for layer in (0, 1)}
        motionless = OnlineSGD(rate=0.0)
        for inputs, labels in zip(task.inputs.split(FISHER_BLOCK), task.labels.split(FISHER_BLOCK), strict=True):
            learn_online(motionless, accumulated, inputs.flatten(1).to(state["weight0"]), labels)
        for layer in (0, 1):
            state[f"importance{layer}"].mul_(extra["decay"]).add_(accumulated[f"fisher{layer}"] / len(task.inputs))
            state[f"anchor{layer}"].copy_(state[f"weight{layer}"])


class _SI(_Penalised):
    """F <- F + max(0, path) / ((w - w*)^2 + damping), after each task."""

    needs_boundaries = True

    def build(self, values: Mapping[str, Any], extra: Mapping[str, float]) -> OnlineRule:
        return OnlineSGD(**values, penalty=2 * extra["strength"])  # the penalty of SI has no factor 1/2

    def initial_state(
        self, rule: OnlineRule, shape: tuple[int, int], generator: torch.Generator, extra: Mapping[str, float]
    ) -> dict[str, Tensor]:
        arrays = super().initial_state(rule, shape, generator, extra)
        return {**arrays, "path": torch.zeros_like(arrays["weight"])}

    def end_task(self, rule: OnlineRule, state: dict[str, Tensor], task: Task, extra: Mapping[str, float]) -> None:
        for layer in (0, 1):
            weight, anchor, path = (state[f"{name}{layer}"] for name in ("weight", "anchor", "path"))
            state[f"importance{layer}"].add_(path.clamp(min=0) / ((weight - anchor).square() + extra["damping"]))
            anchor.copy_(weight)
            path.zero_()


register("sgd", _SGD(OnlineSGD))
register("ewc-online", _OnlineEWC(OnlineSGD, importance=2.0, decay=0.2))
register("ewc-stream", _StreamEWC(OnlineSGD, importance=5.0, decay=0.2))
register("si", _SI(OnlineSGD, strength=1e-4, damping=1.0))
