"""`NetworkLearner`: any network of torch, with a rule by name and plugins that preserve the past."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from ...contracts.task_stream import Task, TaskStream
from ...device_weights.layer import device_layers
from ...errors import ConfigError, SpinodeError
from ...evaluation_mode import evaluation_mode
from ...random import draw_seed
from ...validation import is_number, one_of
from ..layers.storage import drawing_from
from ..network_rules import NetworkRule, network_rules
from ..network_rules.rule import layer_types, trained_parameters
from ..plugins import Batch, Plugin, plugins as known_plugins
from ..plugins.plugin import Context
from .heads import Heads
from .learner import count_bytes
from .stepping import SteppingLearner


class NetworkLearner(SteppingLearner):
    """Train a network of your own on a stream; the network is trained in place.

    Rules, whose settings are those of the classes in `spinode.training.network_rules`:
        "sgd", "adam": any network; its layers in devices are programmed by pulses.
        "metaplastic": binary and quantised layers (`to_quantised`), and signs in devices; all other parameters by Adam.
        "real": metaplastic Adam on real weights.
        "mesu", "torch-mesu", "bgd": Bayesian layers (`to_bayesian`), also in devices; all other parameters by Adam.
    Plugins, by name or as objects of `spinode.training.plugins`:
        "replay": learns old samples with each batch; "lwf": keeps old responses; with any rule.
        "ewc", "ewc-online", "si": keep weights; with rules that do not preserve the past themselves.

    What a network draws from the default generator of torch, such as in nn.Dropout, is determined by `seed` too. Its modules
    are trained in the mode in which they are: a batch norm in evaluation mode stays frozen. Batch norms that are trained cannot
    learn from a single sample: a last batch of one joins the batch before.

    Args:
        network: Module that takes inputs of the stream's shape, (samples, *stream.shape), and returns logits, shape (samples,
            outputs): an output for each class of the stream, or for several heads see `heads`.
        stream: What will be learned.
        rule: Name of the rule.
        plugins: Names of plugins, or plugins.
        heads: "single": all classes compete. "multi": those of the task compete, whose identity is then known in tests; a
            stream whose tasks share their classes needs `stream.classes` outputs for each task.
        seed: Seed of all randomness in learning; the initial weights are those of the network.
        **settings: Those of the rule, and of plugins given by name.

    Raises:
        ConfigError: not a network, or one with NaN or infinite parameters, that cannot take the inputs or has another number of
            outputs; layers that the rule
            needs and the network lacks; unknown rules, plugins or settings; a rule or plugin that does not fit the stream.

    Example:
        >>> from torch import nn
        >>> from spinode.datasets import ClassSplit, made_digits
        >>> stream = ClassSplit(made_digits(train=40, test=20), groups=1, flatten=False)
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 5, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> learner = NetworkLearner(network, stream, rule="adam", plugins=["replay"], buffer=20)
        >>> learner.settings()["rate"], learner.settings()["plugins"]
        (0.001, ['replay(buffer=20, replayed=None)'])

    Source: the classes named above; scenarios: van de Ven et al., Nat. Mach. Intell. 4, 1185 (2022).
    """

    def __init__(
        self,
        network: nn.Module,
        stream: TaskStream,
        *,
        rule: str = "adam",
        plugins: Sequence[str | Plugin] = (),
        heads: str = "single",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(stream, seed=seed)
        if not isinstance(network, nn.Module):
            raise ConfigError(f"the network is a {type(network).__name__}; expected an nn.Module, such as nn.Sequential(...).")
        rules = network_rules()
        self.network = network
        self.heads = Heads(stream, heads)
        self.views = self.heads.views
        self.shape = tuple(stream.shape)
        self._method, self.plugins = _parts(rules[one_of("rule", rule, rules)], plugins, settings)
        self.rule: str = "+".join([rule, *(plugin.name for plugin in self.plugins)])
        self._check_fit(stream)
        self._task, self._tasks = 0, len(stream)
        self._boundaries = bool(stream.boundaries)
        self._check_network()
        self._new_optimisers()
        parameters = trained_parameters(network)
        context = Context(network, parameters, self._logits, self.heads.masks, self.generator, self._boundaries)
        for plugin in self.plugins:
            plugin.attach(context)

    def check(self, stream: TaskStream) -> None:
        """Check that the stream has the features and classes of the learner, and that the network is finite."""
        super().check(stream)
        _check_finite(self.network)

    def _check_fit(self, stream: TaskStream) -> None:
        """Check plugins against stream and rule."""
        for plugin in self.plugins:
            if plugin.needs_boundaries and not stream.boundaries:
                raise ConfigError(
                    f"{plugin.name} consolidates where a task ends, and the stream {stream.name!r} has no boundaries; use "
                    "replay, mesu or bgd, which need none."
                )
            if plugin.on_weights and self._method.consolidates:
                raise ConfigError(
                    f"{self._method.name} preserves the past by its distributions of weights, on which {plugin.name} cannot "
                    "act; leave it out, or add replay or lwf."
                )

    def _check_network(self) -> None:
        """Check that the network takes the inputs of the stream and has the outputs of its classes."""
        parameter = next(self.network.parameters(), None)
        if parameter is None:
            raise ConfigError("the network has no parameters: there is nothing to train.")
        _check_finite(self.network)
        try:
            with torch.no_grad(), evaluation_mode(self.network), self._drawing(torch.Generator().manual_seed(0)):
                outputs = self.network(torch.zeros(2, *self.shape).to(parameter))
        except (RuntimeError, TypeError, ValueError, IndexError, SpinodeError) as error:
            advice = "flatten=False" if len(self.shape) == 1 else "flatten=True"
            raise ConfigError(
                f"the network cannot take inputs of shape (samples, {', '.join(map(str, self.shape))}), those of the stream: "
                f"{str(error).splitlines()[0]}. Build it for this shape, or pass {advice} to the stream if it has that setting."
            ) from None
        expected = self.heads.outputs
        given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        if given != (2, expected):
            why = f"{self.classes} classes" if self.heads.kind == "single" else f"the heads of {len(self.heads.offset)} tasks"
            raise ConfigError(
                f"the network returns {given} for two inputs; expected logits of shape (2, {expected}), for {why}."
            )

    def _new_optimisers(self) -> None:
        self.optimisers_of_rule = self._method.optimisers(self.network)
        self.optimiser = self.optimisers_of_rule[0]

    # --- forward ------------------------------------------------------------------------------------------------------

    @contextmanager
    def _drawing(self, generator: torch.Generator) -> Iterator[None]:
        """Take all draws of the network from one generator within the block, those of the default generator included."""
        before = torch.get_rng_state()
        torch.default_generator.manual_seed(draw_seed(generator))  # torch.manual_seed would record a traceback at each call
        try:
            yield
        finally:
            torch.set_rng_state(before)

    def shaped(self, inputs: Tensor) -> Tensor:
        """Return inputs in the stream's shape and the dtype of the network, after checking that they are finite."""
        return self.flat(inputs).view(-1, *self.shape)

    def _raw(self, inputs: Tensor) -> Tensor:
        """Return all outputs of the network, on a copy of the inputs: its first layer may work in place."""
        outputs: Tensor = self.network(inputs.clone())
        return outputs

    def _logits(self, inputs: Tensor, tasks: Tensor) -> Tensor:
        return self.heads.compete(self._raw(inputs), tasks)

    def batch_loss(self, batch: Batch) -> Tensor:
        """Return the loss of a batch, mean over its samples and over draws of the network."""
        total = torch.zeros(())
        for _ in range(self._method.draws):
            raw = self._raw(batch.inputs)
            loss = nn.functional.cross_entropy(self.heads.compete(raw, batch.tasks), batch.outputs)
            for plugin in self.plugins:
                term = plugin.penalty(batch, raw)
                loss = loss if term is None else loss + term
            total = total + loss / self._method.draws
        return total

    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the responses of the rule's number of passes."""
        rows = self.shaped(inputs)
        with self._drawing(generator), drawing_from(device_layers(self.network).values(), generator):
            responses = [
                self.heads.response(self._raw(rows), task, view).log_softmax(-1) for _ in range(self._method.test_draws)
            ]
        return torch.stack(responses)

    # --- learning -----------------------------------------------------------------------------------------------------

    @property
    def smallest_batch(self) -> int:
        """Two samples if the network has batch norms that are trained, which need a variance; else one."""
        return 2 if any(isinstance(each, _BatchNorm) and each.training for each in self.network.modules()) else 1

    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Take one step.

        Raises:
            ConfigError: a single sample for a batch norm.
        """
        self._check_processes()
        batch = self._batch(inputs, labels, self._task)
        for plugin in self.plugins:
            batch = plugin.extend(batch)
        try:
            with self._drawing(self.generator):
                loss = self.finite(self.batch_loss(batch), inputs)
        except ValueError as error:
            if len(batch.inputs) > 1 or self.smallest_batch == 1 or isinstance(error, SpinodeError):
                raise
            raise ConfigError(
                "the batch has one sample, which has no variance for the batch norms of the network; use batches and tasks of "
                "more samples, norms without batch statistics (nn.GroupNorm, nn.LayerNorm), or freeze them with .eval()."
            ) from None
        for optimiser in self.optimisers_of_rule:
            optimiser.zero_grad()
        self.manual_backward(loss * len(batch.inputs) if self._method.summed else loss)
        for plugin in self.plugins:
            plugin.before_step()
        for optimiser in self.optimisers_of_rule:
            optimiser.step()
        for plugin in self.plugins:
            plugin.after_step()
        return loss.detach()

    def _batch(self, inputs: Tensor, labels: Tensor, task: int) -> Batch:
        return Batch(self.shaped(inputs), labels + self.heads.offset[task], torch.full_like(labels, task))

    def _check_processes(self) -> None:
        shared = distributed.is_available() and distributed.is_initialized() and distributed.get_world_size() > 1
        if shared and (self.plugins or self._method.summed or device_layers(self.network)):
            raise ConfigError("plugins, Bayesian rules and devices cannot be shared by several processes; use processes=1.")

    def begin_task(self, index: int) -> None:
        """Note the task, and start with new optimisers if the rule does so."""
        self._task = index
        if self._method.resets:
            self._new_optimisers()

    def end_task(self, index: int, task: Task) -> None:
        """Let the plugins consolidate the task."""
        if self.plugins:
            batch = self._batch(task.inputs.to(self.device), task.labels.to(self.device), index)
            with self._drawing(self.generator):
                for plugin in self.plugins:
                    plugin.end_task(batch)

    # --- settings, state and cost -------------------------------------------------------------------------------------

    def settings(self) -> dict[str, Any]:
        """Return the settings of rule and plugins, the heads, and the layers of the network."""
        parts = [f"{each.name}({', '.join(f'{key}={value}' for key, value in _own(each).items())})" for each in self.plugins]
        return {**_own(self._method), "plugins": parts, "heads": self.heads.kind, "network": layer_types(self.network)}

    def default_settings(self) -> dict[str, Any]:
        """Return the defaults of the rule."""
        return {each.name: each.default for each in fields(cast(Any, self._method)) if is_number(each.default)}

    def likely_cause(self, inputs: Tensor) -> str:
        """Return a sentence that names the setting to change after a loss that was not finite."""
        self.elastic = next((each.elastic for each in self.plugins if hasattr(each, "elastic")), None)
        return super().likely_cause(inputs)

    def stateful_parts(self) -> Iterator[tuple[str, Any]]:
        """Yield optimisers and plugins."""
        for index, optimiser in enumerate(self.optimisers_of_rule):
            yield f"optimiser {index}", optimiser
        for plugin in self.plugins:
            yield f"plugin {plugin.name}", plugin

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the task, whose head is trained."""
        super().on_save_checkpoint(checkpoint)
        checkpoint["learner"]["task"] = self._task

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the task."""
        super().on_load_checkpoint(checkpoint)
        self._task = int(checkpoint["learner"]["task"])

    def footprint(self) -> dict[str, float]:
        """Return the bytes of network, optimisers and plugins, and the cost of the devices."""
        states = [value for each in self.optimisers_of_rule for entry in each.state.values() for value in entry.values()]
        tensors = [*self.network.parameters(), *self.network.buffers(), *(each for each in states if isinstance(each, Tensor))]
        figures = {"memory [B]": float(count_bytes(tensors) + sum(plugin.memory() for plugin in self.plugins))}
        for plugin in self.plugins:
            figures[f"memory of {plugin.name} [B]"] = float(plugin.memory())
        layers = [layer.weights for layer in device_layers(self.network).values()]
        if layers:
            figures["devices"] = float(sum(each.wear.numel() for each in layers))
            figures["pulses"] = float(sum(each.pulses for each in layers))
            figures["most pulses of a device"] = float(max(int(each.wear.max()) for each in layers))
            if all(each.energy is not None for each in layers):
                figures["energy [J]"] = float(sum(each.energy or 0.0 for each in layers))
        return figures


def _check_finite(network: nn.Module) -> None:
    """Raise a `ConfigError` if a parameter or buffer is not finite."""
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        bad = int((~torch.isfinite(value.detach())).sum())
        if bad:
            raise ConfigError(
                f"{bad} of {value.numel()} values of {name!r} of the network are NaN or infinite; expected finite ones: "
                "initialise it again, or load other weights."
            )


def _own(part: Any) -> dict[str, Any]:
    return {each.name: getattr(part, each.name) for each in fields(part)}


def _parts(rule: type[NetworkRule], given: Any, settings: dict[str, Any]) -> tuple[NetworkRule, list[Plugin]]:
    """Return the rule and the plugins, each with its share of the settings."""
    if isinstance(given, str | Plugin) or not isinstance(given, Sequence):
        raise ConfigError(f"plugins is {given!r}; expected a list, such as ['replay'] or [Replay(buffer=200)].")
    known = known_plugins()
    classes: list[Any] = [rule]
    for each in given:
        if not isinstance(each, Plugin):
            classes.append(known[one_of("a plugin", each, known)])
    names = {each: [field.name for field in fields(each)] for each in classes}
    unknown = sorted(set(settings) - {name for own in names.values() for name in own})
    if unknown:
        listed = "; ".join(f"{each.name}: {', '.join(own)}" for each, own in names.items())
        absent = [
            name
            for name, each in known.items()
            if each not in classes and set(unknown) & {field.name for field in fields(cast(Any, each))}
        ]
        hint = f" {unknown[0]} is one of the plugin {absent[0]!r}: plugins=[{absent[0]!r}]." if absent else ""
        raise ConfigError(f"there is no setting {', '.join(unknown)}; the settings are: {listed}.{hint}")
    made = {each: each(**{name: value for name, value in settings.items() if name in own}) for each, own in names.items()}
    parts = [each if isinstance(each, Plugin) else made[known[each]] for each in given]
    if len({each.name for each in parts}) < len(parts):
        raise ConfigError(f"plugins contains a name twice: {', '.join(each.name for each in parts)}; expected each once.")
    return made[rule], parts
