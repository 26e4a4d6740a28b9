"""`PlainLearner`: gradient descent, alone or with EWC or SI: what the other rules are compared with."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.elastic import EWC, SI, fisher_information
from ..settings import layer_sizes, number, taken
from .stepping import SteppingLearner

#: Settings of the rules and their defaults.
RULES: dict[str, dict[str, float]] = {
    "sgd": {"rate": 0.002},
    "adam": {"rate": 0.001},
    "ewc": {"rate": 0.001, "importance": 5000.0},
    "ewc-online": {"rate": 0.002, "importance": 2.0, "decay": 0.2},
    "ewc-stream": {"rate": 0.002, "importance": 5.0, "decay": 0.2},
    "si": {"rate": 0.002, "strength": 1e-4, "damping": 1.0},
}
_AT_BOUNDARIES = ("ewc", "ewc-online", "si")
_ADAM = ("adam", "ewc")


class PlainLearner(SteppingLearner):
    """A perceptron without biases with ReLU between layers, cross entropy as the mean over a batch.

    The rules, with their settings beside these arguments:
        "sgd", "adam": rate.
        "ewc": Adam with a penalty for each task; rate, importance.
        "ewc-online", "ewc-stream": SGD with `EWC` of these kinds; rate, importance, decay.
        "si": SGD with `SI`; rate, strength, damping.

    Weights begin uniformly within 1 / sqrt(inputs). In devices they live in pairs, and steps become pulses. At batch size 1
    with one hidden layer `OnlineLearner` does the same in compiled code (all but "adam" and "ewc").

    Args:
        stream: What will be learned.
        rule: Name of the rule.
        hidden: Units of each hidden layer.
        synapse: None for exact numbers.
        w_max: Largest weight in devices, in units of 1 / sqrt(inputs).
        seed: Seed of initial weights and devices.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have or out of range, a rule that consolidates where tasks end
            on a stream that does not say where.

    Source: see `EWC` and `SI`.
    """

    def __init__(
        self,
        stream: TaskStream,
        *,
        rule: str = "sgd",
        hidden: Sequence[int] | int = (50,),
        synapse: Synapse | None = None,
        w_max: float = 16.0,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(stream, seed=seed)
        if rule not in RULES:
            raise ConfigError(f"there is no plain rule {rule!r}; choose one of: {', '.join(RULES)}.")
        if rule in _AT_BOUNDARIES and not stream.boundaries:
            raise ConfigError(
                f"{rule} consolidates where a task ends, and the stream {stream.name!r} does not say where; take ewc-stream."
            )
        values = taken(rule, settings, RULES[rule])
        sizes = layer_sizes(self.features, hidden, self.classes)
        self.rule = rule
        self.layers = nn.ModuleList(nn.Linear(*each, bias=False) for each in pairwise(sizes))
        with torch.no_grad():
            for layer in self.layers:
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=self.generator)
        self.optimiser = (torch.optim.Adam if rule in _ADAM else torch.optim.SGD)(
            self.parameters(), lr=number("rate", values["rate"], above=True)
        )
        weights = [layer.weight for layer in self.layers]
        self.elastic: EWC | SI | None = None
        if rule.startswith("ewc"):
            kind = {"ewc": "task", "ewc-online": "online", "ewc-stream": "stream"}[rule]
            self.elastic = EWC(weights, values["importance"], kind=kind, decay=values.get("decay", 1.0))
        elif rule == "si":
            self.elastic = SI(weights, values["strength"], damping=values["damping"])
        self.stores = nn.ModuleList()
        if synapse is not None:
            largest = number("w_max", w_max, above=True)
            for layer in self.layers:
                limit = largest / math.sqrt(layer.in_features)
                self.stores.append(StoredWeights(layer.weight, synapse, kind="pair", w_max=limit, generator=self.generator))
        devices = {"synapse": "ideal"} if synapse is None else {"synapse": repr(synapse), "w_max": w_max}
        self._settings = {"hidden": sizes[1:-1], **values, **devices}

    # --- forward ------------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Logits, and input and output of each layer."""
        traced = []
        for index, layer in enumerate(self.layers):
            weight = layer.weight
            if self.stores:
                weight = weight + (self.stores[index].read() - weight).detach()
            before, x = x, nn.functional.linear(x, weight)
            traced.append((before, x))
            if index + 1 < len(self.layers):
                x = x.relu()
        return x, traced

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy."""
        return nn.functional.cross_entropy(self._forward(inputs)[0], labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Of one read of the weights."""
        with drawing_from(self.stores, generator):
            return self._forward(self.flat(inputs))[0].log_softmax(-1)[None]

    # --- learning -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """The optimiser, after the penalty has added its gradient; devices follow."""
        elastic = self.elastic
        follows = isinstance(elastic, SI) or (isinstance(elastic, EWC) and elastic.kind == "stream")
        before, slopes = [], []
        if follows:
            before = [layer.weight.detach().clone() for layer in self.layers]
            slopes = [_slope(layer.weight).clone() for layer in self.layers]
        if elastic is not None:
            elastic.add_gradient()
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.follow(layer.weight)
        if follows:
            assert elastic is not None
            elastic.after_step(slopes, before)

    def end_task(self, index: int, task: Task) -> None:
        """What the weights of a task are worth, for the rules that hold on to them."""
        if isinstance(self.elastic, SI):
            self.elastic.end_task()
        elif self.elastic is not None and self.elastic.kind != "stream":
            rows, labels = self.flat(task.inputs.to(self.device)), task.labels.to(self.device)
            self.elastic.end_task(fisher_information(self._forward, rows, labels))

    # --- what is kept and told ----------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """All but the stream and the seed."""
        return dict(self._settings)

    def held(self) -> Iterator[tuple[str, Any]]:
        """Optimiser, and penalty if there is one."""
        yield from super().held()
        if self.elastic is not None:
            yield "elastic", self.elastic

    def footprint(self) -> dict[str, float]:
        """Bytes of weights, moments of Adam and what a penalty keeps; devices."""
        weights = sum(each.numel() * each.element_size() for each in self.parameters())
        copies = 1 + (2 if self.rule in _ADAM else 0) + {EWC: 2, SI: 4}.get(type(self.elastic), 0)
        return {"memory [B]": float(weights * copies), **device_footprint(self.stores)}


def _slope(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad
