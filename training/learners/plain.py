"""`PlainLearner`: gradient descent, alone or with EWC or SI, as the baseline of the other rules."""

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
from ...validation import number, one_of
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.elastic import EWC, SI, fisher_information
from ..rules.optimizer import gradient_of
from ..settings import layer_sizes, merge_defaults
from .learner import count_bytes
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
_NEED_BOUNDARIES = ("ewc", "ewc-online", "si")
_USE_ADAM = ("adam", "ewc")


class PlainLearner(SteppingLearner):
    """A perceptron without biases, with ReLU between layers and the cross entropy as the mean over a batch.

    The rules, with their settings besides these arguments:
        "sgd", "adam": rate.
        "ewc": Adam with a penalty for each task; rate, importance.
        "ewc-online", "ewc-stream": SGD with `EWC` of these kinds; rate, importance, decay.
        "si": SGD with `SI`; rate, strength, damping.

    Initial weights are uniform within 1 / sqrt(inputs). With a synapse they are stored in pairs of devices, and steps become
    pulses. At batch size 1 with one hidden layer `OnlineLearner` does the same in compiled code (all but "adam" and "ewc").

    Args:
        stream: What will be learned.
        rule: Name of the rule.
        hidden: Units of each hidden layer.
        synapse: Model of the memory devices; None for exact weights.
        w_max: Largest weight in devices, in units of 1 / sqrt(inputs).
        seed: Seed of initial weights and devices.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have or out of range, a rule that consolidates where tasks end
            on a stream without boundaries.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> learner = PlainLearner(PermutedTasks(made_digits(train=20, test=10), tasks=2), rule="ewc", hidden=[8])
        >>> learner.settings()
        {'hidden': [8], 'rate': 0.001, 'importance': 5000.0, 'synapse': 'ideal'}

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
        self.rule: str = one_of("rule", rule, RULES)
        if rule in _NEED_BOUNDARIES and not stream.boundaries:
            raise ConfigError(
                f"{rule} consolidates where a task ends, and the stream {stream.name!r} has no boundaries; use ewc-stream."
            )
        values = {name: number(name, value, 0) for name, value in merge_defaults(rule, settings, RULES[rule]).items()}
        sizes = layer_sizes(self.features, hidden, self.classes)
        self.layers = nn.ModuleList(nn.Linear(*shape, bias=False) for shape in pairwise(sizes))
        with torch.no_grad():
            for layer in self.layers:
                bound = 1 / math.sqrt(layer.in_features)
                layer.weight.uniform_(-bound, bound, generator=self.generator)
        self.optimiser = (torch.optim.Adam if rule in _USE_ADAM else torch.optim.SGD)(
            self.parameters(), lr=number("rate", values["rate"], 0, above=True)
        )
        weights = [layer.weight for layer in self.layers]
        self.elastic: EWC | SI | None = None
        if rule.startswith("ewc"):
            kind = {"ewc": "task", "ewc-online": "online", "ewc-stream": "stream"}[rule]
            self.elastic = EWC(weights, values["importance"], kind=kind, decay=values.get("decay", 1.0))
        elif rule == "si":
            self.elastic = SI(weights, values["strength"], damping=values["damping"])
        self.stores = nn.ModuleList()
        w_max = number("w_max", w_max, 0, above=True)
        if synapse is not None:
            for layer in self.layers:
                limit = w_max / math.sqrt(layer.in_features)
                self.stores.append(StoredWeights(layer.weight, synapse, kind="pair", w_max=limit, generator=self.generator))
        devices = {"synapse": "ideal"} if synapse is None else {"synapse": repr(synapse), "w_max": w_max}
        self._settings = {"hidden": sizes[1:-1], **values, **devices}

    # --- forward ------------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the logits, and input and output of each layer."""
        traced = []
        for index, layer in enumerate(self.layers):
            weight = layer.weight
            if self.stores:
                weight = weight + (self.stores[index].read() - weight).detach()
            layer_input, x = x, nn.functional.linear(x, weight)
            traced.append((layer_input, x))
            if index + 1 < len(self.layers):
                x = x.relu()
        return x, traced

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy, mean over the batch."""
        return nn.functional.cross_entropy(self._forward(inputs)[0], labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses of one read of the weights."""
        with drawing_from(self.stores, generator):
            return self._forward(self.flat(inputs))[0].log_softmax(-1)[None]

    # --- learning -----------------------------------------------------------------------------------------------------

    def step(self) -> None:
        """Step the optimiser, after the penalty has added its gradient, and update the devices."""
        elastic = self.elastic
        updates_each_step = isinstance(elastic, SI) or (isinstance(elastic, EWC) and elastic.kind == "stream")
        before, gradients = [], []
        if updates_each_step:
            before = [layer.weight.detach().clone() for layer in self.layers]
            gradients = [gradient_of(layer.weight).clone() for layer in self.layers]
        if elastic is not None:
            elastic.add_gradient()
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.update(layer.weight)
        if updates_each_step:
            assert elastic is not None
            elastic.after_step(gradients, before)

    def end_task(self, index: int, task: Task) -> None:
        """Consolidate the weights of a task, for the rules that do."""
        if isinstance(self.elastic, SI):
            self.elastic.end_task()
        elif self.elastic is not None and self.elastic.kind != "stream":
            rows, labels = self.flat(task.inputs.to(self.device)), task.labels.to(self.device)
            self.elastic.end_task(fisher_information(self._forward, rows, labels))

    # --- settings, state and cost -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def default_settings(self) -> dict[str, Any]:
        """Return the defaults of the rule."""
        return dict(RULES[self.rule])

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the optimiser, and the penalty if there is one."""
        yield from super().stateful_parts()
        if self.elastic is not None:
            yield "elastic", self.elastic

    def footprint(self) -> dict[str, float]:
        """Return the bytes of weights, moments of Adam and tensors of the penalty, and the cost of the devices."""
        copies = 1 + (2 if self.rule in _USE_ADAM else 0) + {EWC: 2, SI: 4}.get(type(self.elastic), 0)
        return {"memory [B]": float(count_bytes(self.parameters()) * copies), **device_footprint(self.stores)}
