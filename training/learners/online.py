"""`OnlineLearner`: rules that learn one sample at a time, compiled, with a single hidden layer; a million steps in seconds."""

from __future__ import annotations

from dataclasses import asdict
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError, FitError
from ...validation import whole_number, whole_numbers
from ..online.learn import run_online
from ..online.rule import find_method
from .learner import Learner, check_sizes, stream_sizes


class OnlineLearner(Learner):
    """Learn sample by sample: features -> hidden units (ReLU) -> classes, without biases.

    The rules, with their settings and defaults besides these arguments:
        "mesu": those of `spinode.training.online.OnlineMESU`, and spread, 0.5.
        "bgd": those of `OnlineBGD`, and spread, 0.5. Also known as FOO-VB, diagonal.
        "bimu": those of `OnlineBiMU`.
        "sgd": rate, 0.002: w <- w - rate g.
        "ewc-online": rate, importance, 2, decay, 0.2. After each task F <- decay F + mean of g^2 over the task, at its last
            weights w*; penalty importance / 2 sum F (w - w*)^2.
        "ewc-stream": rate, importance, 5, decay, 0.2. At every step F <- decay F + g^2, and w* are the weights before it.
        "si": rate, strength c, 1e-4, damping, 1. After each task F <- F + max(0, path) / ((w - w*)^2 + damping), with path the
            sum of -g dw over it; penalty c sum F (w - w*)^2.
    `spinode.training.online.method_names()` lists all; a new rule is one file in that folder, see its module `rule`.

    Gaussian weights begin with means uniform within +-4 / sqrt(inputs) and sigma at spread times this limit; others, and
    lambda of "bimu", within +-1 / sqrt(inputs). The Bayesian rules respond to a test with `test_samples` draws of the weights:
    of Gaussian ones for each input, by way of its pre-activations, which have the same distribution; of binary ones for all
    inputs of a batch.

    Args:
        stream: What will be learned; it determines the numbers of features and classes.
        rule: Name of the rule.
        hidden: Units of the only hidden layer, [50] or 50.
        test_samples: Draws in tests; unused by rules without draws.
        seed: Seed of the initial weights and all draws.
        **settings: Those of the rule.

    Raises:
        ConfigError: an unknown rule, settings that it does not have, more than one hidden layer, a rule that needs the
            boundaries of tasks on a stream without; while learning, batches of more than one sample.
        FitError: weights that diverge.

    Example:
        >>> from spinode.datasets import PermutedTasks, made_digits
        >>> learner = OnlineLearner(PermutedTasks(made_digits(train=20, test=10), tasks=2), rule="sgd", hidden=5, rate=0.1)
        >>> learner.settings()["rate"], sorted(learner.weights())
        (0.1, ['weight0', 'weight1'])

    Source: the classes named above; Schwarz et al., ICML (2018) for "ewc-online"; Zenke et al., ICML (2017) for "si".
    """

    #: Steps of one call: a call copies the weights once, and a checkpoint can be written after it.
    block = 2000

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
        self._method = find_method(rule)
        features, classes = stream_sizes(stream)
        units = _single_layer(hidden)
        test_samples = whole_number("test_samples", test_samples, 1)
        if self._method.needs_boundaries and not stream.boundaries:
            raise ConfigError(
                f"{rule} consolidates where a task ends, and the stream {stream.name!r} has no boundaries; use ewc-stream, "
                "mesu or bgd, which need none."
            )
        self.rule = rule
        self._rule, self._extra = self._method.make(rule, settings)
        self._test_samples = test_samples if self._rule.draws else 1
        for layer, (inputs, outputs) in enumerate(pairwise([features, units, classes])):
            arrays = self._method.initial_state(self._rule, (outputs, inputs), self.generator, self._extra)
            for name, value in arrays.items():
                self.register_buffer(f"{name}{layer}", value)

    # --- weights ------------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, Tensor]:
        """Return the tensors that learning changes, such as "mean0", as `spinode.training.online` names them."""
        return dict(self.named_buffers())

    def settings(self) -> dict[str, Any]:
        """Return the number of units of each layer and the settings of the rule."""
        units = {f"units {layer}": units for layer, units in enumerate(self._sizes())}
        return {**units, **asdict(self._rule), **self._extra, "test_samples": self._test_samples}

    def _sizes(self) -> list[int]:
        first, second = (self.get_buffer(f"{self._rule.arrays[0]}{layer}") for layer in (0, 1))
        return [first.shape[1], first.shape[0], second.shape[0]]

    def check(self, stream: TaskStream) -> None:
        """Check that the stream has the features and classes for which the learner was made."""
        features, _, classes = self._sizes()
        check_sizes(stream, features, classes)

    # --- learning -----------------------------------------------------------------------------------------------------

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Make one update after each sample."""
        if batch_size != 1:
            raise ConfigError(
                f"OnlineLearner learns one sample at a time, but batch_size is {batch_size}; pass StreamConfig(batch_size=1), "
                "or use BayesianLearner or PlainLearner for mini-batches."
            )
        rows = self._rows(inputs)
        try:
            return run_online(self._rule, self.weights(), rows, labels, generator=self.generator).mean()
        except FitError as error:
            raise FitError(f"{error} {self.likely_cause(rows)}") from None

    def _rows(self, inputs: Tensor) -> Tensor:
        return inputs.flatten(1).to(next(self.buffers()))

    def end_task(self, index: int, task: Task) -> None:
        """Consolidate the weights, for the rules that do."""
        if not self._method.needs_boundaries:
            return
        state = self.weights()
        self._method.end_task(self._rule, state, task, self._extra)
        importance = [value for name, value in state.items() if name.startswith("importance")]
        if importance and not any(bool(value.any()) for value in importance):
            raise FitError(
                f"after task {index} ({task.name}) no weight has any importance: {self.rule} would be plain gradient descent. "
                "The gradients of all its samples are zero; check its inputs."
            )

    # --- tests --------------------------------------------------------------------------------------------------------

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses of `test_samples` draws of the weights, or of the weights where they are exact."""
        return self._rule.log_probabilities(self.weights(), self._rows(inputs), self._test_samples, generator)


def _single_layer(hidden: Any) -> int:
    units = whole_numbers("hidden", hidden, 1, example=(50,))
    if len(units) != 1:
        raise ConfigError(
            f"hidden is {list(units)}; expected one hidden layer, such as [50]. Use BayesianLearner, PlainLearner or the "
            "metaplastic learners for more."
        )
    return units[0]
