"""`BayesianLearner`: Bayesian perceptrons of any depth, in mini-batches, on exact weights or in devices."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, distributed, nn

from ...contracts.synapse import Synapse
from ...contracts.task_stream import TaskStream
from ...errors import ConfigError
from ...validation import number, one_of, whole_number
from ..layers.bayesian import INITIAL_LIMIT, BayesianLinear, BinaryBayesianLinear, GateActivation, gaussian_pairs
from ..layers.storage import StoredWeights, device_footprint, drawing_from
from ..rules.bayesian import BGD, MESU, BiMU, TorchMESU
from ..settings import layer_sizes, merge_defaults
from .learner import count_bytes
from .stepping import SteppingLearner

#: Optimiser of each rule; the keyword arguments of the optimiser are settings of the learner.
RULES: dict[str, Callable[..., torch.optim.Optimizer]] = {"mesu": MESU, "torch-mesu": TorchMESU, "bgd": BGD, "bimu": BiMU}


def _keyword_defaults(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is inspect.Parameter.KEYWORD_ONLY}


class BayesianLearner(SteppingLearner):
    """Learn distributions of weights of a perceptron without biases; the loss is summed over a batch.

    The rules, with their settings besides these arguments:
        "mesu", "torch-mesu", "bgd": those of `MESU`, `TorchMESU`, `BGD`; and spread, 0.5, and sampling, "weights", of
            `BayesianLinear`. ReLU between layers.
        "bimu": those of `BiMU`, and temperature, 1, of `BinaryBayesianLinear`. Each layer is followed by a layer norm without
            gains, and between them is a `GateActivation`.

    With a synapse ("mesu", "torch-mesu", "bgd") the means are stored in pairs of devices, steps become pulses, and each draw of
    the weights is a noisy read. Where sigma exceeds the read noise, digital noise adds the difference; where it is below, the
    weight is drawn with the read noise of the device, and the footprint reports the share of such weights. At batch size 1 with
    one hidden layer `OnlineLearner` does the same in compiled code.

    Args:
        stream: What will be learned.
        rule: Name of the rule.
        hidden: Units of each hidden layer.
        samples: Draws of the weights in each step.
        test_samples: Draws of the weights in tests.
        synapse: Model of the memory devices; None for exact weights.
        w_max: Largest mean that the devices can store, as a multiple of the largest initial mean, 4 / sqrt(inputs).
        seed: Seed of initial weights, draws and devices.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have or out of range, binary weights in devices; while learning,
            local draws shared among processes.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> stream = PermutedTasks(made_digits(train=20, test=10), tasks=2)
        >>> BayesianLearner(stream, rule="bgd", hidden=[6, 5], samples=2).layers
        ModuleList(
          (0): BayesianLinear(784, 6, sampling='weights')
          (1): BayesianLinear(6, 5, sampling='weights')
          (2): BayesianLinear(5, 10, sampling='weights')
        )

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
        self.rule: str = one_of("rule", rule, RULES)
        self.samples, self.test_samples = whole_number("samples", samples, 1), whole_number("test_samples", test_samples, 1)
        sizes = layer_sizes(self.features, hidden, self.classes)
        optimiser_defaults = _keyword_defaults(RULES[rule])
        is_binary = rule == "bimu"
        layer_defaults: dict[str, Any] = {"temperature": 1.0} if is_binary else {"spread": 0.5, "sampling": "weights"}
        values = merge_defaults(rule, settings, {**optimiser_defaults, **layer_defaults})
        layer = BinaryBayesianLinear if is_binary else BayesianLinear
        for name in ("temperature", "spread"):
            if name in layer_defaults:
                values[name] = number(name, values[name], 0, above=True)
        layer_settings = {name: values[name] for name in layer_defaults}
        self.layers = nn.ModuleList(layer(*shape, **layer_settings, generator=self.generator) for shape in pairwise(sizes))
        self.activation = GateActivation() if is_binary else nn.ReLU()
        parameters = [layer.field for layer in self.layers] if is_binary else gaussian_pairs(self)
        self.optimiser = RULES[rule](parameters, **{name: values[name] for name in optimiser_defaults})
        self.stores = nn.ModuleList()
        w_max = number("w_max", w_max, 0, above=True)
        if synapse is not None:
            self._to_devices(synapse, w_max)
        values |= {name: self.optimiser.defaults[name] for name in optimiser_defaults}  # as plain numbers
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        devices = {"synapse": "ideal"} if synapse is None else {"synapse": repr(synapse), "w_max": w_max}
        draws = {"samples": self.samples, "test_samples": self.test_samples}
        self._settings = {"hidden": sizes[1:-1], **draws, **plain, **devices}

    def _to_devices(self, synapse: Synapse, w_max: float) -> None:
        if self.rule == "bimu":
            raise ConfigError("bimu cannot store its weights in devices; use mesu or bgd there, or bnn for binary weights.")
        for layer in self.layers:
            limit = w_max * INITIAL_LIMIT / math.sqrt(layer.mean.shape[1])
            store = StoredWeights(layer.mean, synapse, kind="pair", w_max=limit, generator=self.generator)
            self.stores.append(store)
            object.__setattr__(layer, "store", store)  # registered in `stores` only, so that it is saved once

    # --- forward ------------------------------------------------------------------------------------------------------

    def _forward(self, x: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Return the logits of each draw, shape (samples, batch, classes)."""
        for index, layer in enumerate(self.layers):
            x = layer(x, samples, generator=generator)
            if self.rule == "bimu":
                x = nn.functional.layer_norm(x, x.shape[-1:])
            if index + 1 < len(self.layers):
                x = self.activation(x)
        return x

    def loss(self, inputs: Tensor, labels: Tensor) -> Tensor:
        """Return -log p(label), mean over draws, sum over the batch."""
        log_p = self._forward(inputs, self.samples, self.generator).log_softmax(-1)
        log_p_label = log_p.gather(-1, labels.expand(len(log_p), -1)[..., None])
        return -log_p_label.sum() / len(log_p)

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Take one step, on the sum over the batch of all processes."""
        processes = 1
        if distributed.is_available() and distributed.is_initialized():
            processes = distributed.get_world_size()
        if processes > 1 and (self.stores or getattr(self.layers[0], "sampling", "weights") == "local"):
            raise ConfigError("draws for each sample, and devices, cannot be shared by several processes; use processes=1.")
        loss = self.finite(self.loss(self.flat(inputs), labels), inputs)
        self.optimiser.zero_grad()
        self.manual_backward(loss * processes)  # gradients are averaged over processes, but the loss is a sum
        self.optimiser.step()
        for layer, store in zip(self.layers, self.stores, strict=False):
            store.update(layer.mean)
        return loss.detach() / len(labels)

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses of `test_samples` draws of the weights."""
        with drawing_from(self.stores, generator):
            return self._forward(self.flat(inputs), self.test_samples, generator).log_softmax(-1)

    # --- settings and cost --------------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def default_settings(self) -> dict[str, Any]:
        """Return the defaults of the rule."""
        return _keyword_defaults(RULES[self.rule])

    def footprint(self) -> dict[str, float]:
        """Return the bytes of the distributions and the cost of the devices."""
        figures = {"memory [B]": float(count_bytes(self.parameters()))}
        if self.stores:
            below = sum(int((layer.sigma < store.noise).sum()) for layer, store in zip(self.layers, self.stores, strict=True))
            weights = sum(layer.sigma.numel() for layer in self.layers)
            figures |= {"weights with sigma below read noise [share]": below / weights, **device_footprint(self.stores)}
        return figures
