"""`MetaplasticBNN`, `MetaplasticReal`: perceptrons whose hidden weights resist unlearning; `quantised` has the third one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError
from ...validation import number, one_of
from ..layers.activations import make_activation
from ..layers.norm import TaskNorm
from ..layers.quantised import QuantisedLinear, straight_through
from ..layers.storage import StoredLevels, StoredWeights, device_footprint, drawing_from
from ..rules.elastic import EWC, fisher_information
from ..rules.metaplastic import MetaplasticAdam
from ..settings import layer_sizes
from .learner import count_bytes
from .stepping import SteppingLearner

#: Samples from which the Fisher information of a task is computed, as in Laborieux et al.
FISHER_SAMPLES = 5000


class MetaplasticReal(SteppingLearner):
    """A perceptron with metaplastic Adam on real weights: the control experiment, in which the rule should not help.

    Layers without biases, each followed by a `TaskNorm`; between them an activation. Cross entropy. Where the stream has
    boundaries each task begins with a new Adam, as published; else one Adam is used throughout. It is tested in two views:
    "task", with the norms of the tested task, which requires the identity of the task, and "shared", with the newest ones.

    Args:
        stream: What will be learned.
        hidden: Units of each hidden layer.
        metaplasticity: m, one number, or one for each layer.
        rate: Learning rate of hidden weights.
        norm_rate: Learning rate of the norms; that of the weights if omitted.
        weight_decay: L2 penalty on hidden weights.
        init_width: Width of the uniform distribution of initial hidden weights, centred on zero.
        activation: "relu", the default here; "sign"; or a number of bits, see `QuantisedActivation`.
        norm: "batch"; or "none", which divides pre-activations by the root of the number of inputs instead, and also learns
            from single samples.
        statistics: Mean and variance of the norms in tests: "running" averages of the task, as its authors use for real weights
            and the default there; or those of the tested "batch", as published for binary weights and the default there.
        ewc: Strength of EWC by task on the (quantised) weights; 0 for none. Fisher information of 5000 samples, with mean and
            variance of the norms as constants.
        synapse: Model of the memory devices; None for exact weights.
        seed: Seed of initial weights, devices and noise.

    Raises:
        ConfigError: settings out of range, or a synapse, which this learner does not support.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> learner = MetaplasticReal(PermutedTasks(made_digits(train=20, test=10), tasks=2), hidden=[8])
        >>> learner.views
        ('task', 'shared')

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021).
    """

    rule = "real"
    norms: Any  # nn.ModuleList or None
    _levels: int | None = None
    _activation = "relu"
    _statistics = "running"

    def __init__(
        self,
        stream: TaskStream,
        *,
        hidden: Sequence[int] = (512, 512),
        metaplasticity: float | Sequence[float] = 1.35,
        rate: float = 0.005,
        norm_rate: float | None = None,
        weight_decay: float = 1e-7,
        init_width: float = 0.1,
        activation: str | int | None = None,
        norm: str = "batch",
        statistics: str | None = None,
        ewc: float = 0.0,
        synapse: Synapse | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(stream, seed=seed)
        sizes = layer_sizes(self.features, hidden, self.classes)
        norm = one_of("norm", norm, ("batch", "none"))
        statistics = one_of("statistics", self._statistics if statistics is None else statistics, ("running", "batch"))
        if synapse is not None and self._levels is None:
            raise ConfigError("real weights with metaplastic Adam are a control on exact weights; use bnn or qnn for devices.")
        self._m = _per_layer(metaplasticity, len(sizes) - 1)
        self._settings: dict[str, Any] = {
            "hidden": sizes[1:-1],
            "metaplasticity": self._m,
            "rate": number("rate", rate, 0, above=True),
            "norm_rate": number("norm_rate", rate if norm_rate is None else norm_rate, 0),
            "weight_decay": number("weight_decay", weight_decay, 0),
            "init_width": number("init_width", init_width, 0, above=True),
            "activation": self._activation if activation is None else activation,
            "norm": norm,
            "statistics": statistics,
            "ewc": number("ewc", ewc, 0),
            "synapse": "ideal" if synapse is None else repr(synapse),
        }
        self._boundaries = bool(stream.boundaries)
        if ewc and not self._boundaries:
            raise ConfigError(
                f"EWC consolidates where a task ends, but the stream {stream.name!r} has no boundaries; use ewc=0."
            )
        self.views = ("task", "shared") if norm == "batch" and self._boundaries else ("shared",)
        self.layers = nn.ModuleList(self._layer(*shape) for shape in pairwise(sizes))
        tasks = len(stream) if self._boundaries else 0
        self.norms = None
        if norm == "batch":
            self.norms = nn.ModuleList(TaskNorm(units, tasks, running=statistics == "running") for units in sizes[1:])
        self.activation = make_activation(self._settings["activation"])
        self.stores = nn.ModuleList()
        self._new_optimiser()
        self.elastic = EWC([layer.weight for layer in self.layers], ewc) if ewc else None

    def _layer(self, inputs: int, outputs: int) -> nn.Module:
        width = self._settings["init_width"]
        if self._levels is not None:
            return QuantisedLinear(inputs, outputs, levels=self._levels, init_width=width, generator=self.generator)
        layer = nn.Linear(inputs, outputs, bias=False)
        with torch.no_grad():
            layer.weight.uniform_(-width / 2, width / 2, generator=self.generator)
        return layer

    def _new_optimiser(self) -> None:
        groups: list[dict[str, Any]] = [
            {"params": [layer.weight], "m": m, "interval": getattr(layer, "interval", None)}
            for layer, m in zip(self.layers, self._m, strict=True)
        ]
        if self.norms is not None:
            groups.append({"params": list(self.norms.parameters()), "lr": self._settings["norm_rate"]})
        settings = self._settings
        self.optimiser = MetaplasticAdam(groups, lr=settings["rate"], weight_decay=settings["weight_decay"])

    # --- forward ------------------------------------------------------------------------------------------------------

    def _effective_weight(self, index: int) -> Tensor:
        """Return the weights that the forward pass of a layer uses, with the gradient passed to the hidden ones."""
        layer = self.layers[index]
        if len(self.stores):
            return straight_through(layer.weight, self.stores[index].read())
        weight: Tensor = layer.weight
        return straight_through(weight, layer.quantised()) if isinstance(layer, QuantisedLinear) else weight

    def _forward(
        self, x: Tensor, task: int | None = None, *, detach_moments: bool = False
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Return the logits, and input and output of each layer."""
        traced = []
        for index in range(len(self.layers)):
            weight = self._effective_weight(index)
            layer_input, x = x, nn.functional.linear(x, weight)
            traced.append((layer_input, x))
            if self.norms is None:
                x = x / weight.shape[1] ** 0.5
            else:
                x = self.norms[index](x, task, detach_moments=detach_moments)
            if index + 1 < len(self.layers):
                x = self.activation(x)
        return x, traced

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return the cross entropy, mean over the batch."""
        return nn.functional.cross_entropy(self._forward(inputs)[0], labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses of one read of the weights."""
        with drawing_from(self.stores, generator):
            logits, _ = self._forward(self.flat(inputs), task if view == "task" else None)
        return logits.log_softmax(-1)[None]

    # --- learning -----------------------------------------------------------------------------------------------------

    @property
    def smallest_batch(self) -> int:
        """Two samples with batch norms, which need a variance; else one."""
        return 1 if self.norms is None else 2

    def step(self) -> None:
        """Step metaplastic Adam, after EWC has added its gradient, and update the devices."""
        if self.elastic is not None:
            self.elastic.add_gradient([self._noiseless_weight(index) for index in range(len(self.layers))])
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.update(layer.weight)

    def _noiseless_weight(self, index: int) -> Tensor:
        layer = self.layers[index]
        weight: Tensor = layer.quantised() if isinstance(layer, QuantisedLinear) else layer.weight.detach()
        return weight

    def begin_task(self, index: int) -> None:
        """Start with a new Adam."""
        self._new_optimiser()

    def end_task(self, index: int, task: Task) -> None:
        """Store the norms of the task, and with EWC consolidate its weights."""
        for norm in self.norms or ():
            norm.store(index)
        if self.elastic is not None:
            chosen = torch.randperm(len(task.inputs), generator=self.generator)[:FISHER_SAMPLES]
            rows, labels = self.flat(task.inputs[chosen].to(self.device)), task.labels[chosen].to(self.device)
            fisher = fisher_information(lambda x: self._forward(x, detach_moments=True), rows, labels)
            self.elastic.end_task(fisher, [self._noiseless_weight(index) for index in range(len(self.layers))])

    # --- settings, state and cost -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield the optimiser, and the penalty if there is one."""
        yield from super().stateful_parts()
        if self.elastic is not None:
            yield "elastic", self.elastic

    def footprint(self) -> dict[str, float]:
        """Return the bytes of hidden weights, norms and Adam, those of the network alone, and the cost of the devices."""
        tensors = [*self.parameters(), *(buffer for norm in self.norms or () for buffer in norm.buffers())]
        moments = sum(parameter.numel() * 8 for parameter in self.parameters())
        bits = 32 if self._levels is None else (self._levels - 1).bit_length()
        weights = sum(layer.weight.numel() for layer in self.layers)
        return {
            "memory [B]": float(count_bytes(tensors) + moments),
            "memory of the network alone [B]": weights * bits / 8,
            **device_footprint(self.stores),
        }


class MetaplasticBNN(MetaplasticReal):
    """A binary perceptron with metaplastic hidden weights.

    Its weights are the signs of hidden weights, and its activations are signs by default; otherwise it equals
    `MetaplasticReal`. With a synapse the signs are those of differences between pairs of devices, read with noise; the hidden
    weights are stored

    - "digital": in memory, and a pair is written when its sign changes; or
    - "devices": in the pairs themselves, as their conductance difference: steps become pulses, and the saturation of the
      devices, which change less the further they have moved, adds to the metaplasticity.

    Args:
        storage: "digital" or "devices"; only with a synapse.

    The other arguments are those of `MetaplasticReal`.

    Raises:
        ConfigError: settings out of range; a synapse that cannot store signs.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> learner = MetaplasticBNN(PermutedTasks(made_digits(train=20, test=10), tasks=2), hidden=[8], metaplasticity=2.0)
        >>> sorted(learner.layers[0].quantised().unique().tolist())
        [-1.0, 1.0]

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021); in devices: Majumdar et al., IEEE Trans. Electron Devices (2021).
    """

    rule = "bnn"
    _levels: int | None = 2
    _activation = "sign"
    _statistics = "batch"

    def __init__(
        self, stream: TaskStream, *, storage: str = "digital", synapse: Synapse | None = None, **settings: Any
    ) -> None:
        super().__init__(stream, synapse=synapse, **settings)
        storage = one_of("storage", storage, ("digital", "devices"))
        if synapse is None and storage == "devices":
            raise ConfigError("storage='devices' needs devices; pass a synapse.")
        self._settings["storage"] = storage
        if synapse is None:
            return
        for layer in self.layers:
            self.stores.append(
                StoredLevels(layer.weight, layer.interval, synapse, generator=self.generator)
                if storage == "digital"
                else StoredWeights(layer.weight, synapse, kind="sign", w_max=1.0, generator=self.generator)
            )


def _per_layer(metaplasticity: Any, layers: int) -> list[float]:
    values = list(metaplasticity) if isinstance(metaplasticity, list | tuple) else [metaplasticity] * layers
    if len(values) != layers:
        raise ConfigError(f"metaplasticity has {len(values)} numbers for {layers} layers; expected one, or one per layer.")
    return [number("metaplasticity", value, 0) for value in values]
