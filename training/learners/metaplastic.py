"""`MetaplasticBNN`, `MetaplasticQNN`, `MetaplasticReal`: perceptrons whose hidden weights hold on to what they have learned."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError
from ..layers.norm import TaskNorm
from ..layers.quantised import QuantisedLinear, SignActivation, through
from ..layers.storage import StoredLevels, StoredWeights, device_footprint, drawing_from
from ..rules.elastic import EWC, fisher_information
from ..rules.metaplastic import MetaplasticAdam
from ..settings import layer_sizes, number
from .stepping import SteppingLearner

#: Samples from which the Fisher information of a task is taken, as Laborieux et al. do.
FISHER_SAMPLES = 5000


class MetaplasticReal(SteppingLearner):
    """A perceptron with metaplastic Adam on real weights: the control that the rule does not help.

    Layers without biases, each followed by a `TaskNorm`; between them ReLU. Cross entropy. Where the stream has boundaries each
    task begins with a new Adam, as published; else one goes on throughout. It is tested in two views: "task", with the norms of
    the tested task, which needs to know the task, and "shared", with the newest ones.

    Args:
        stream: What will be learned.
        hidden: Units of each hidden layer.
        metaplasticity: m, one number, or one for each layer.
        rate: Learning rate.
        weight_decay: L2 penalty on hidden weights.
        init_width: Hidden weights begin uniformly within half of it on both sides of zero.
        norm: "batch"; or "none", which divides pre-activations by the root of the number of inputs instead, and learns from
            single samples too.
        ewc: Strength of EWC by task on what the network sees of the weights; 0 for none. Fisher information of 5000 samples,
            with the norms' mean and variance held.
        synapse: None for exact numbers.
        seed: Seed of initial weights, devices and noise.

    Raises:
        ConfigError: settings out of range, or devices, which real weights here do not take.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021).
    """

    rule = "real"
    norms: Any  # nn.ModuleList or None
    _levels: int | None = None
    _width = 0.1

    def __init__(
        self,
        stream: TaskStream,
        *,
        hidden: Sequence[int] = (512, 512),
        metaplasticity: float | Sequence[float] = 1.35,
        rate: float = 0.005,
        weight_decay: float = 1e-7,
        init_width: float | None = None,
        norm: str = "batch",
        ewc: float = 0.0,
        synapse: Synapse | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(stream, seed=seed)
        sizes = layer_sizes(self.features, hidden, self.classes)
        if norm not in ("batch", "none"):
            raise ConfigError(f"norm is {norm!r}; expected 'batch' or 'none'.")
        if synapse is not None and self._levels is None:
            raise ConfigError("real weights with metaplastic Adam are a control on exact numbers; take bnn or qnn for devices.")
        self._m = _per_layer(metaplasticity, len(sizes) - 1)
        self._settings: dict[str, Any] = {
            "hidden": sizes[1:-1],
            "metaplasticity": self._m,
            "rate": number("rate", rate, above=True),
            "weight_decay": number("weight_decay", weight_decay),
            "init_width": number("init_width", self._width if init_width is None else init_width, above=True),
            "norm": norm,
            "ewc": number("ewc", ewc),
            "synapse": "ideal" if synapse is None else repr(synapse),
        }
        self._boundaries = bool(stream.boundaries)
        if ewc and not self._boundaries:
            raise ConfigError(f"EWC holds on where a task ends, and the stream {stream.name!r} does not say where; pass ewc=0.")
        self.views = ("task", "shared") if norm == "batch" and self._boundaries else ("shared",)
        self.layers = nn.ModuleList(self._layer(*each) for each in pairwise(sizes))
        tasks = len(stream) if self._boundaries else 0
        self.norms = nn.ModuleList(TaskNorm(each, tasks) for each in sizes[1:]) if norm == "batch" else None
        self.activation = nn.ReLU() if self._levels is None else SignActivation()
        self.stores = nn.ModuleList()
        self._renew()
        self.elastic = EWC([layer.weight for layer in self.layers], ewc) if ewc else None

    def _layer(self, inputs: int, outputs: int) -> nn.Module:
        width = self._settings["init_width"]
        if self._levels is not None:
            return QuantisedLinear(inputs, outputs, levels=self._levels, init_width=width, generator=self.generator)
        layer = nn.Linear(inputs, outputs, bias=False)
        with torch.no_grad():
            layer.weight.uniform_(-width / 2, width / 2, generator=self.generator)
        return layer

    def _renew(self) -> None:
        groups: list[dict[str, Any]] = [
            {"params": [layer.weight], "m": m, "interval": getattr(layer, "interval", None)}
            for layer, m in zip(self.layers, self._m, strict=True)
        ]
        if self.norms is not None:
            groups.append({"params": list(self.norms.parameters())})
        settings = self._settings
        self.optimiser = MetaplasticAdam(groups, lr=settings["rate"], weight_decay=settings["weight_decay"])

    # --- forward ------------------------------------------------------------------------------------------------------

    def _seen(self, index: int) -> Tensor:
        """Weights of a layer as the network sees them, with the gradient to the hidden ones."""
        layer = self.layers[index]
        if len(self.stores):
            return through(layer.weight, self.stores[index].read())
        weight: Tensor = layer.weight
        return through(weight, layer.seen()) if isinstance(layer, QuantisedLinear) else weight

    def _forward(
        self, x: Tensor, task: int | None = None, *, still: bool = False
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """Logits, and input and output of each layer."""
        traced = []
        for index in range(len(self.layers)):
            weight = self._seen(index)
            before, x = x, nn.functional.linear(x, weight)
            traced.append((before, x))
            x = x / weight.shape[1] ** 0.5 if self.norms is None else self.norms[index](x, task, still=still)
            if index + 1 < len(self.layers):
                x = self.activation(x)
        return x, traced

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Cross entropy."""
        return nn.functional.cross_entropy(self._forward(inputs)[0], labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Of one read of the weights."""
        with drawing_from(self.stores, generator):
            logits, _ = self._forward(self.flat(inputs), task if view == "task" else None)
        return logits.log_softmax(-1)[None]

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """One step; with batch norms a last batch of one sample, which has no variance, is left out."""
        if len(inputs) == 1 < batch_size and self.norms is not None:
            return torch.zeros(())
        return super().learn(inputs, labels, batch_size)

    def step(self) -> None:
        """Metaplastic Adam, after EWC has added its gradient; devices follow."""
        if self.elastic is not None:
            self.elastic.add_gradient([self._exact(index) for index in range(len(self.layers))])
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.follow(layer.weight)

    def _exact(self, index: int) -> Tensor:
        layer = self.layers[index]
        seen: Tensor = layer.seen() if isinstance(layer, QuantisedLinear) else layer.weight.detach()
        return seen

    def begin_task(self, index: int) -> None:
        """A new Adam."""
        self._renew()

    def end_task(self, index: int, task: Task) -> None:
        """Keep the norms of the task, and with EWC its weights."""
        for norm in self.norms or ():
            norm.keep(index)
        if self.elastic is not None:
            chosen = torch.randperm(len(task.inputs), generator=self.generator)[:FISHER_SAMPLES]
            rows, labels = self.flat(task.inputs[chosen].to(self.device)), task.labels[chosen].to(self.device)
            found = fisher_information(lambda x: self._forward(x, still=True), rows, labels)
            self.elastic.end_task(found, [self._exact(index) for index in range(len(self.layers))])

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
        """Bytes of hidden weights, norms and Adam; what the network needs alone; devices."""
        held = [*self.parameters(), *(each for norm in self.norms or () for each in norm.buffers())]
        moments = sum(each.numel() * 8 for each in self.parameters())
        bits = 32 if self._levels is None else (self._levels - 1).bit_length()
        weights = sum(layer.weight.numel() for layer in self.layers)
        return {
            "memory [B]": float(sum(each.numel() * each.element_size() for each in held) + moments),
            "memory of the network alone [B]": weights * bits / 8,
            **device_footprint(self.stores),
        }


class MetaplasticBNN(MetaplasticReal):
    """A binary perceptron with metaplastic hidden weights.

    The network sees the signs of hidden weights, and its activations are signs; otherwise as `MetaplasticReal`. With a synapse
    the signs are those of differences between pairs of devices, read with noise; the hidden weights stand

    - "digital": in memory, and a pair is written when its sign changes; or
    - "devices": in the pairs themselves, as their conductance difference: steps become pulses, and the device's own way of
      changing the less, the further it is gone, adds to the metaplasticity.

    Args:
        storage: "digital" or "devices"; only with a synapse.

    The others are those of `MetaplasticReal`.

    Raises:
        ConfigError: settings out of range; a synapse that cannot do it.

    Source: Laborieux et al., Nat. Commun. 12, 2549 (2021); in devices: Majumdar et al., IEEE Trans. Electron Devices (2021).
    """

    rule = "bnn"
    _levels: int | None = 2

    def __init__(
        self, stream: TaskStream, *, storage: str = "digital", synapse: Synapse | None = None, **settings: Any
    ) -> None:
        super().__init__(stream, synapse=synapse, **settings)
        if storage not in ("digital", "devices"):
            raise ConfigError(f"storage is {storage!r}; expected 'digital' or 'devices'.")
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


class MetaplasticQNN(MetaplasticBNN):
    """A perceptron of few levels with metaplastic hidden weights.

    The network sees the nearest of `levels` levels, evenly spaced from -1 to 1; the rule damps steps towards the next
    transition, its distance taken in units of half the spacing. With two levels it is `MetaplasticBNN`. With a synapse, levels
    are conductance differences of pairs, written by write and verify when they change and read with noise, while the hidden
    weights stay digital.

    Args:
        levels: Number of levels.

    The others are those of `MetaplasticReal`.

    Raises:
        ConfigError: settings out of range; devices whose steps are too coarse for the levels.

    Source: after D'Agostino et al., AICAS (2023), arXiv:2306.12142; layer sizes, levels and the form of the rule are ours.
    """

    rule = "qnn"
    _width = 1.0

    def __init__(self, stream: TaskStream, *, levels: int = 8, synapse: Synapse | None = None, **settings: Any) -> None:
        if not isinstance(levels, int) or isinstance(levels, bool) or levels < 2:
            raise ConfigError(f"levels is {levels!r}; expected a whole number of at least 2.")
        if settings.get("storage", "digital") != "digital":
            raise ConfigError(f"storage is {settings['storage']!r}; the hidden weights of a quantised network are 'digital'.")
        self._levels = levels
        super().__init__(stream, synapse=synapse, **settings)
        self._settings["levels"] = levels


def _per_layer(metaplasticity: Any, layers: int) -> list[float]:
    values = list(metaplasticity) if isinstance(metaplasticity, list | tuple) else [metaplasticity] * layers
    if len(values) != layers:
        raise ConfigError(f"metaplasticity has {len(values)} numbers for {layers} layers; expected one, or one for each.")
    return [number("metaplasticity", each) for each in values]
