"""`OnlineRule` and `OnlineMethod`: what a file of this folder defines, and the registry of methods by name.

To add an online rule, add one file here: a frozen dataclass derived from `OnlineRule` with its settings and its update, and a
line `register("name", OnlineMethod(TheRule))` for `OnlineLearner(stream, rule="name")`. Nothing else needs to change. A rule
without a compiled kernel runs in plain torch. `OnlineSGD` is a short example.
"""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ...contracts.task_stream import Task
from ...errors import ConfigError
from ...validation import number, one_of
from ..settings import merge_defaults
from .gradients import point_gradients

#: Arrays of both layers by name, such as "weight0" and "weight1".
State: TypeAlias = dict[str, Tensor]


class Kernel(NamedTuple):
    """Description of a rule for the compiled loop.

    Attributes:
        name: One of `spinode.kernels.online.RULES`.
        constants: At most six numbers, in the order of `kernels/online_rules.hpp`.
        arrays: Names of the arrays of a layer, at most five, in that order; those that the state lacks are left out.
    """

    name: str
    constants: tuple[float, ...]
    arrays: tuple[str, ...]


@dataclass(frozen=True)
class OnlineRule:
    """Base of the online rules: settings, and the update that follows each sample.

    The network is a perceptron without biases, features -> hidden (ReLU) -> classes. The state of a rule has arrays for both
    layers, such as "weight0" of shape (hidden, features) and "weight1" of shape (classes, hidden).

    A member writes `update`. The defaults of the other methods suit plain weights; `GaussianRule` has those of Gaussian ones.
    """

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays of each layer; the first one determines the sizes of the network."""
        return ("weight",)

    @property
    def optional_arrays(self) -> tuple[str, ...]:
        """Names of arrays that the rule updates only where the state has them for both layers."""
        return ()

    @property
    def draws(self) -> int:
        """Draws of the weights per step; 0 for a rule that uses no noise."""
        return 0

    @property
    def kernel(self) -> Kernel | None:
        """Description for the compiled loop; None to run in plain torch."""
        return None

    def gradients(self, state: State, x: Tensor, label: int, noise: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        """Return the loss of one sample and the gradients that `update` takes.

        Args:
            state: Arrays by name.
            x: One sample, shape (features,).
            label: Its class.
            noise: Standard normal numbers, shape (draws, hidden + classes); None for a rule without draws.
        """
        weight = self.arrays[0]
        return point_gradients(state[f"{weight}0"], state[f"{weight}1"], x, label)

    def update(self, state: State, gradients: Sequence[Tensor]) -> None:
        """Change the tensors of the state in place by one step.

        Args:
            state: Arrays by name.
            gradients: What `gradients` returned.
        """
        raise NotImplementedError

    def log_probabilities(self, state: State, inputs: Tensor, samples: int, generator: torch.Generator) -> Tensor:
        """Return the responses of the network to test inputs, shape (samples, inputs, classes), natural logarithms.

        Args:
            state: Arrays by name.
            inputs: Shape (inputs, features).
            samples: Draws of the weights; a network of plain weights has one response.
            generator: Source of the draws.
        """
        weight = self.arrays[0]
        logits = (inputs @ state[f"{weight}0"].T).relu() @ state[f"{weight}1"].T
        return logits.log_softmax(-1)[None]

    def _store(self, **values: Any) -> None:
        """Set fields in `__post_init__`, such as a checked number in place of a NumPy scalar."""
        for name, value in values.items():
            object.__setattr__(self, name, value)


class OnlineMethod:
    """A learning method of `OnlineLearner`: how it makes its rule, its initial state, and what follows each task.

    Args:
        rule: Class of the rule. Its fields that have defaults are settings of the method.
        **extra: Further settings and their defaults, numbers of at least 0.
    """

    #: True if `end_task` needs to know where tasks end.
    needs_boundaries = False

    def __init__(self, rule: type[OnlineRule], **extra: float) -> None:
        self.rule, self.extra = rule, extra

    def defaults(self) -> dict[str, Any]:
        """Return the settings of the method with their defaults."""
        own = {field.name: field.default for field in fields(self.rule) if field.default is not MISSING}
        return {**own, **self.extra}

    def make(self, name: str, settings: Mapping[str, Any]) -> tuple[OnlineRule, dict[str, float]]:
        """Return the rule and the settings that are not its own.

        Args:
            name: Name of the method, for messages.
            settings: Some of `defaults`.

        Raises:
            ConfigError: a setting that the method does not have or does not accept.
        """
        values = merge_defaults(name, settings, self.defaults())
        extra = {key: number(f"{key} of {name}", values.pop(key), 0) for key in self.extra}
        return self.build(values, extra), extra

    def build(self, values: Mapping[str, Any], extra: Mapping[str, float]) -> OnlineRule:
        """Return the rule with the given settings."""
        return self.rule(**values)

    def initial_state(
        self, rule: OnlineRule, shape: tuple[int, int], generator: torch.Generator, extra: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Return the arrays of one layer: the first uniform within 1 / sqrt(inputs), the others zero.

        Args:
            rule: The rule.
            shape: (units, inputs) of the layer.
            generator: Source of the initial weights.
            extra: Settings that are not the rule's.
        """
        weight = uniform_weights(shape, 1.0, generator)
        return {rule.arrays[0]: weight, **{name: torch.zeros_like(weight) for name in rule.arrays[1:]}}

    def end_task(self, rule: OnlineRule, state: State, task: Task, extra: Mapping[str, float]) -> None:
        """Change the state after a task of a stream with boundaries; do nothing unless the method consolidates."""


def uniform_weights(shape: tuple[int, int], limit: float, generator: torch.Generator) -> Tensor:
    """Return weights drawn uniformly within limit / sqrt(inputs) of zero.

    Args:
        shape: (units, inputs).
        limit: See above.
        generator: Source of the weights.
    """
    return (2 * torch.rand(*shape, generator=generator) - 1) * (limit / math.sqrt(shape[1]))


# --- methods by name --------------------------------------------------------------------------------------------------

_METHODS: dict[str, OnlineMethod] = {}


def register(name: str, method: OnlineMethod) -> None:
    """Make a method available as `OnlineLearner(stream, rule=name)`.

    Raises:
        ConfigError: a method of another module has this name.
    """
    if name in _METHODS and _METHODS[name].rule.__module__ != method.rule.__module__:
        raise ConfigError(f"{_METHODS[name].rule.__name__} is already registered as {name!r}; choose another name.")
    _METHODS[name] = method


def method_names() -> tuple[str, ...]:
    """Return the names of all methods, sorted.

    Example:
        >>> {"bgd", "bimu", "ewc-online", "ewc-stream", "mesu", "sgd", "si"} <= set(method_names())
        True
    """
    for module in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f".{module.name}", __package__)
    return tuple(sorted(_METHODS))


def find_method(name: str) -> OnlineMethod:
    """Return a method by its name.

    Raises:
        ConfigError: there is none; the message lists the names.
    """
    return _METHODS[one_of("rule", name, method_names())]
