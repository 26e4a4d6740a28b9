"""`BayesianLearner`: perceptrons of drawn weights, in mini-batches, of any depth, on exact weights or in devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ..layers.bayesian import LIMIT, BayesianLinear, BinaryBayesianLinear, GateActivation, gaussian_pairs
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.bayesian import BGD, MESU, BiMU, TorchMESU
from ..settings import layer_sizes, number, taken
from .stepping import SteppingLearner

#: Settings of the rules and their defaults; those of the optimisers of the same names.
RULES: dict[str, tuple[Callable[..., torch.optim.Optimizer], dict[str, Any]]] = {
    "mesu": (
        MESU,
        {"mean_rate": 1.0, "sigma_rate": 1.0, "prior_mean": 0.0, "prior_sigma": 1.0, "memory": 300_000.0, "clamp": 0.0},
    ),
    "torch-mesu": (
        TorchMESU,
        {
            "mean_rate": 1.0,
            "sigma_rate": 1.0,
            "prior_mean": 0.0,
            "prior_sigma": 1.0,
            "memory": 300_000.0,
            "momentum": 0.0,
            "second_order": True,
            "ratio_max": 0.5,
            "bounds": (1e-6, 1.0),
        },
    ),
    "bgd": (BGD, {"mean_rate": 1.0, "published_code": False}),
    "bimu": (BiMU, {"rate": 4.9, "largest_rate": 0.0023, "likelihood": 161.3, "divergence": 3.76, "memory": 700.0}),
}


class BayesianLearner(SteppingLearner):
    """Learns distributions of weights: a perceptron without biases, whose loss is summed over a batch.

    The rules, with their settings beside these arguments:
        "mesu", "torch-mesu", "bgd": those of `MESU`, `TorchMESU`, `BGD`; and spread, 0.5, and sampling, "weights", of
            `BayesianLinear`. ReLU between layers.
        "bimu": those of `BiMU`, and temperature, 1, of `BinaryBayesianLinear`. Each layer is followed by a layer norm without
            gains, and between them is a `GateActivation`.

    In devices ("mesu", "torch-mesu", "bgd") the means live in pairs of them, steps become pulses, and each draw of the weights
    is a noisy read; where sigma is more than the noise of a read, digital noise adds the difference, and where it is less the
    weight is drawn with the noise of the device, whose share the footprint tells. At batch size 1 with one hidden layer
    `OnlineLearner` does the same in compiled code.

    Args:
        stream: What will be learned.
        rule: Name of the rule.
        hidden: Units of each hidden layer.
        samples: Draws in each step.
        test_samples: Draws in tests.
        synapse: None for exact numbers.
        w_max: Largest mean in devices, in units of the limit 4 / sqrt(inputs) of initial means.
        seed: Seed of initial weights, draws, devices.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have or out of range, binary weights in devices; by learning,
            local draws shared among processes.

    Source: those of the rules.
    """

    def __init__(
        self,
        stream: TaskStream,
        *,
        rule: str = "mesu",
        hidden: Sequence[int] | int = (50,),
        samples: int = 10,
        test_samples: int = 10,
        synapse: Synapse | None = None,
        w_max: float = 4.0,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(stream, seed=seed)
        if rule not in RULES:
            raise ConfigError(f"there is no Bayesian rule {rule!r}; choose one of: {', '.join(RULES)}.")
        for name, value in (("samples", samples), ("test_samples", test_samples)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigError(f"{name} is {value!r}; expected a whole number of at least 1.")
        sizes = layer_sizes(self.features, hidden, self.classes)
        optimiser, own = RULES[rule]
        binary = rule == "bimu"
        rest: dict[str, Any] = {"temperature": 1.0} if binary else {"spread": 0.5, "sampling": "weights"}
        values = taken(rule, settings, {**own, **rest})
        self.rule, self.samples, self.test_samples = rule, samples, test_samples
        layer = BinaryBayesianLinear if binary else BayesianLinear
        given = {name: values[name] for name in rest}
        self.layers = nn.ModuleList(layer(*each, **given, generator=self.generator) for each in pairwise(sizes))
        self.activation = GateActivation() if binary else nn.ReLU()
        parameters = [each.field for each in self.layers] if binary else gaussian_pairs(self)
        self.optimiser = optimiser(parameters, **{name: values[name] for name in own})
        self.stores = nn.ModuleList()
        if synapse is not None:
            self._to_devices(synapse, number("w_max", w_max, above=True))
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        devices = {"synapse": "ideal"} if synapse is None else {"synapse": repr(synapse), "w_max": w_max}
        self._settings = {"hidden": sizes[1:-1], "samples": samples, "test_samples": test_samples, **plain, **devices}

    def _to_devices(self, synapse: Synapse, w_max: float) -> None:
        if self.rule == "bimu":
            raise ConfigError("the fields of bimu do not live in devices; take mesu or bgd there, or bnn for binary weights.")
        for layer in self.layers:
            limit = w_max * LIMIT / math.sqrt(layer.mean.shape[1])
            store = StoredWeights(layer.mean, synapse, kind="pair", w_max=limit, generator=self.generator)
            self.stores.append(store)
            object.__setattr__(layer, "store", store)  # it is this module's, and must not be saved twice

    # --- forward ------------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Logits of each draw, shape (samples, batch, classes)."""
        for index, layer in enumerate(self.layers):
            x = layer(x, samples, generator=generator)
            if self.rule == "bimu":
                x = nn.functional.layer_norm(x, x.shape[-1:])
            if index + 1 < len(self.layers):
                x = self.activation(x)
        return x

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """-log p(label), mean over draws, sum over the batch."""
        log_p = self._forward(inputs, self.samples, self.generator).log_softmax(-1)
        picked = log_p.gather(-1, labels.expand(len(log_p), -1)[..., None])
        return -picked.sum() / len(log_p)

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """One step, on the sum over the batch of all processes."""
        processes = 1
        if distributed.is_available() and distributed.is_initialized():
            processes = distributed.get_world_size()
        if processes > 1 and (self.stores or getattr(self.layers[0], "sampling", "weights") == "local"):
            raise ConfigError("draws for each sample, and devices, are not shared by several processes; take processes=1.")
        loss = self.finite(self.loss(self.flat(inputs), labels))
        self.optimiser.zero_grad()
        self.manual_backward(loss * processes)  # gradients are averaged over processes, and here a sum is meant
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.follow(layer.mean)
        return loss.detach() / len(labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Of `test_samples` draws of the weights."""
        with drawing_from(self.stores, generator):
            return self._forward(self.flat(inputs), self.test_samples, generator).log_softmax(-1)

    # --- what is told -------------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """All but the stream and the seed."""
        return dict(self._settings)

    def footprint(self) -> dict[str, float]:
        """Bytes of the distributions; devices."""
        figures = {"memory [B]": float(sum(each.numel() * each.element_size() for each in self.parameters()))}
        if self.stores:
            below = sum(int((layer.sigma < store.noise).sum()) for layer, store in zip(self.layers, self.stores, strict=True))
            weights = sum(layer.sigma.numel() for layer in self.layers)
            figures |= {"weights less certain than sigma says [share]": below / weights, **device_footprint(self.stores)}
        return figures
