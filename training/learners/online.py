"""`OnlineLearner`: rules that learn one sample at a time, compiled, with a single hidden layer; a million steps in seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, replace
from itertools import pairwise
from typing import Any, TypeAlias

import torch
from torch import Tensor

from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError, FitError
from ..online.learn import OnlineBGD, OnlineBiMU, OnlineMESU, OnlineRule, OnlineSGD, run_online
from ..settings import number, taken
from .learner import Learner, check_sizes, sizes

#: Steps of one call: a call copies the weights once, and a checkpoint can be written after it.
BLOCK = 2000
#: Initial means are uniform within this over the root of the inputs of a unit, as Bonnet et al. have it.
LIMIT = 4.0

_Made: TypeAlias = tuple[OnlineRule, dict[str, float]]


class OnlineLearner(Learner):
    """Learns sample by sample: features -> hidden units (ReLU) -> classes, without biases.

    The rules, with their settings and defaults beside these arguments:
        "mesu": those of `spinode.training.online.learn.OnlineMESU`, and spread, 0.5.
        "bgd": those of `OnlineBGD`, and spread, 0.5. Also known as FOO-VB, diagonal.
        "bimu": those of `OnlineBiMU`.
        "sgd": rate, 0.002: w <- w - rate g.
        "ewc-online": rate, importance, 2, decay, 0.2. After each task F <- decay F + mean of g^2 over the task, at its last
            weights w*; penalty importance / 2 sum F (w - w*)^2.
        "ewc-stream": the same, with F <- decay F + g^2 and w* the weights before, at every step.
        "si": rate, strength c, 1e-4, damping, 1. After each task F <- F + max(0, path) / ((w - w*)^2 + damping), with path the
            sum of -g dw over it; penalty c sum F (w - w*)^2.

    Gaussian weights begin with means uniform within +-4 / sqrt(inputs) and sigma at spread times this limit; others, and
    lambda of "bimu", within +-1 / sqrt(inputs). Answers of the Bayesian rules to a test come from `test_samples` draws of the
    weights: of Gaussian ones for each input, by way of its pre-activations, which have the same distribution; of binary ones
    for all inputs of a batch.

    Args:
        stream: What will be learned; its number of features and classes is taken.
        rule: Name of the rule.
        hidden: Units of the only hidden layer, [50] or 50.
        test_samples: Draws in tests; unused by rules without samples.
        seed: Seed of the initial weights and all draws.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have, more than one hidden layer, a rule that needs the
            boundaries of tasks on a stream without; while learning, batches of more than one sample.
        FitError: weights that diverge.

    Source: the classes named above; Schwarz et al., ICML (2018) for "ewc-online"; Zenke et al., ICML (2017) for "si".
    """

    block = BLOCK

    def __init__(
        self,
        stream: TaskStream,
        *,
        rule: str = "mesu",
        hidden: int | list[int] | tuple[int, ...] = (50,),
        test_samples: int = 10,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(seed=seed)
        if rule not in RULES:
            raise ConfigError(f"there is no online rule {rule!r}; choose one of: {', '.join(RULES)}.")
        features, classes = sizes(stream)
        units = _one_layer(hidden)
        if not isinstance(test_samples, int) or isinstance(test_samples, bool) or test_samples < 1:
            raise ConfigError(f"test_samples is {test_samples!r}; expected a whole number of at least 1.")
        if rule in _CONSOLIDATES and not stream.boundaries:
            raise ConfigError(
                f"{rule} consolidates where a task ends, and the stream {stream.name!r} does not say where; take ewc-stream, "
                "mesu or bgd, which need no boundaries."
            )
        self.rule = rule
        self._rule, self._rest = _made(rule, settings)
        self._test_samples = test_samples if self._rule.samples else 1
        self._set_up([features, units, classes])

    # --- weights ------------------------------------------------------------------------------------------------------

    def _set_up(self, sizes: list[int]) -> None:
        for layer, (inputs, units) in enumerate(pairwise(sizes)):
            limit = (LIMIT if "sigma" in self._rule.needs else 1.0) / math.sqrt(inputs)
            drawn = (2 * torch.rand(units, inputs, generator=self.generator) - 1) * limit
            held = {self._rule.needs[0]: drawn}
            if "sigma" in self._rule.needs:
                held["sigma"] = torch.full_like(drawn, self._rest["spread"] * limit)
            if self.rule in ("ewc-online", "ewc-stream", "si"):
                held |= {"importance": torch.zeros_like(drawn), "anchor": drawn.clone()}
            if self.rule == "si":
                held["path"] = torch.zeros_like(drawn)
            for name, value in held.items():
                self.register_buffer(f"{name}{layer}", value)

    def weights(self) -> dict[str, Tensor]:
        """The tensors that `spinode.training.online.learn` names, such as "mean0": what learning changes."""
        return dict(self.named_buffers())

    def settings(self) -> dict[str, Any]:
        """Units, and the settings of the rule."""
        sizes = {f"units {layer}": units for layer, units in enumerate(self._sizes())}
        return {**sizes, **asdict(self._rule), **self._rest, "test_samples": self._test_samples}

    def _sizes(self) -> list[int]:
        first, second = (self.get_buffer(f"{self._rule.needs[0]}{layer}") for layer in (0, 1))
        return [first.shape[1], first.shape[0], second.shape[0]]

    def check(self, stream: TaskStream) -> None:
        """See that the stream has the features and classes that the learner was made for."""
        features, _, classes = self._sizes()
        check_sizes(stream, features, classes)

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """One update after each sample."""
        if batch_size != 1:
            raise ConfigError(
                f"OnlineLearner learns one sample at a time, and batch_size is {batch_size}; pass StreamConfig(batch_size=1), "
                "or take BayesianLearner or PlainLearner for mini-batches."
            )
        return self._run(self._rule, self.weights(), inputs, labels).mean()

    def _run(self, rule: OnlineRule, state: dict[str, Tensor], inputs: Tensor, labels: Tensor) -> Tensor:
        like = next(iter(state.values()))
        return run_online(rule, state, inputs.flatten(1).to(like), labels, generator=self.generator)

    def end_task(self, index: int, task: Task) -> None:
        """What the weights of a task are worth, for the rules that hold on to them."""
        if self.rule == "ewc-online":
            self._consolidate_fisher(task)
        elif self.rule == "si":
            self._consolidate_path()
        else:
            return
        if not any(bool(self.get_buffer(f"importance{layer}").any()) for layer in (0, 1)):
            raise FitError(
                f"after task {index} ({task.name}) no weight has any importance: {self.rule} would be plain gradient descent. "
                "The gradients of all its samples are zero; look at its inputs."
            )

    def _consolidate_fisher(self, task: Task) -> None:
        held = self.weights()
        state = {name: held[name] for name in ("weight0", "weight1")}
        state |= {f"fisher{layer}": torch.zeros_like(held[f"weight{layer}"]) for layer in (0, 1)}
        still = OnlineSGD(rate=0.0)  # only adds up the squares of gradients
        for inputs, labels in zip(task.inputs.split(BLOCK), task.labels.split(BLOCK), strict=True):
            self._run(still, state, inputs, labels)
        for layer in (0, 1):
            held[f"importance{layer}"].mul_(self._rest["decay"]).add_(state[f"fisher{layer}"] / len(task.inputs))
            held[f"anchor{layer}"].copy_(held[f"weight{layer}"])

    def _consolidate_path(self) -> None:
        held = self.weights()
        for layer in (0, 1):
            weight, anchor, path = (held[f"{name}{layer}"] for name in ("weight", "anchor", "path"))
            held[f"importance{layer}"].add_(path.clamp(min=0) / ((weight - anchor).square() + self._rest["damping"]))
            anchor.copy_(weight)
            path.zero_()

    # --- answers ------------------------------------------------------------------------------------------------------

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Answers of `test_samples` draws of the weights, or of the weights where they are exact."""
        held = self.weights()
        flat = inputs.flatten(1).to(next(iter(held.values())))
        if "lambda" in self._rule.needs:
            return torch.stack([self._binary(held, flat, generator) for _ in range(self._test_samples)])
        if "sigma" not in self._rule.needs:
            logits = (flat @ held["weight0"].T).relu() @ held["weight1"].T
            return logits.log_softmax(-1)[None]
        for layer in (0, 1):
            mean, sigma = held[f"mean{layer}"], held[f"sigma{layer}"]
            centre, width = flat @ mean.T, (flat.square() @ sigma.square().T).sqrt()
            shape = (self._test_samples, *centre.shape[-2:])
            noise = torch.randn(shape, generator=generator, dtype=flat.dtype)
            flat = centre + width * noise.to(width.device)
            if layer == 0:
                flat = flat.relu()
        return flat.log_softmax(-1)

    def _binary(self, held: Mapping[str, Tensor], flat: Tensor, generator: torch.Generator) -> Tensor:
        rule = self._rule
        assert isinstance(rule, OnlineBiMU)
        for layer in (0, 1):
            spin = held[f"lambda{layer}"]
            up = torch.rand(spin.shape, generator=generator, dtype=spin.dtype).to(spin.device) < torch.sigmoid(2 * spin)
            flat = flat @ torch.where(up, 1.0, -1.0).to(spin).T
            if rule.normalise:
                flat = torch.nn.functional.layer_norm(flat, flat.shape[-1:])
            if layer == 0:
                flat = flat.relu() if rule.activation == "relu" else (flat.abs() > 1).to(flat)
        return flat.log_softmax(-1)


# --- rules by name ----------------------------------------------------------------------------------------------------

_GAUSSIAN = {"spread": 0.5}
#: What each rule is made of, and its settings beyond those of that class, with their defaults.
RULES: dict[str, tuple[type[OnlineRule], dict[str, float]]] = {
    "mesu": (OnlineMESU, _GAUSSIAN),
    "bgd": (OnlineBGD, _GAUSSIAN),
    "bimu": (OnlineBiMU, {}),
    "sgd": (OnlineSGD, {}),
    "ewc-online": (OnlineSGD, {"importance": 2.0, "decay": 0.2}),
    "ewc-stream": (OnlineSGD, {"importance": 5.0, "decay": 0.2}),
    "si": (OnlineSGD, {"strength": 1e-4, "damping": 1.0}),
}
_CONSOLIDATES = ("ewc-online", "si")
_RATE = 0.002


def _made(name: str, settings: Mapping[str, Any]) -> _Made:
    """The rule of `spinode.training.online.learn`, and the settings that are not its own."""
    cls, rest = RULES[name]
    own = {} if cls is OnlineSGD else {each.name: each.default for each in fields(cls) if each.default is not MISSING}
    defaults = {**({"rate": _RATE} if cls is OnlineSGD else own), **rest}
    values = taken(name, settings, defaults)
    try:
        made = cls(**{key: value for key, value in values.items() if key not in rest})
    except TypeError as error:
        raise ConfigError(f"settings of {name} of a wrong kind: {error}. Expected numbers.") from None
    extra = {key: number(f"{key} of {name}", values[key]) for key in rest}
    if isinstance(made, OnlineSGD):
        made = replace(made, penalty=extra.get("importance", 2 * extra.get("strength", 0.0)))  # SI has no half in front
        if name == "ewc-stream":
            made = replace(made, stream_decay=extra["decay"])
    return made, extra


def _one_layer(hidden: Any) -> int:
    units = list(hidden) if isinstance(hidden, list | tuple) else [hidden]
    if len(units) != 1 or isinstance(units[0], bool) or not isinstance(units[0], int) or units[0] < 1:
        raise ConfigError(
            f"hidden is {hidden!r}; expected one hidden layer, such as [50]. More of them learn in BayesianLearner, "
            "PlainLearner and the metaplastic learners."
        )
    return units[0]
