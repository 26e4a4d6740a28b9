"""`VDSPLearner`: spiking neurons that learn without labels, by voltage-dependent plasticity of their synapses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import Synapse
from ...contracts.task_stream import Task, TaskStream
from ...errors import ConfigError, FitError
from ...random import draw_seed
from ...validation import one_of, whole_number, whole_numbers
from ..rules.vdsp import LAWS, DeviceVariation, SwitchingLaw
from ..settings import merge_defaults
from ..spiking.devices import ProgrammedSynapses
from ..spiking.loop import SpikingLoop
from ..spiking.network import DEVICE_NETWORK, SpikingNetwork, SpikingState
from .labelled import draw_labelled
from .learner import Learner, check_sizes, count_bytes, stream_sizes

#: Weight of the newest image in the mean response to its class, while it is learned.
RESPONSE_RATE = 0.01
#: Spikes that are added to a response, spread over all classes, so that its probabilities are positive.
PRIOR_SPIKES = 1.0
_VARIATION = tuple(field.name for field in fields(DeviceVariation))
#: Imperfections that follow a law; a synapse has its own.
_OF_A_LAW = ("cycle_spread", "device_spread", "levels")


class VDSPLearner(Learner):
    """Learn features of images without labels: input neurons -> output neurons of which one wins -> classes.

    Inputs are shown one after the other, whatever the size of a batch. When an output neuron fires, its synapses change by the
    membrane potentials of the input neurons, by one of three rules:

    - law="ideal": `SwitchingLaw` with a learning rate
    - law="tio2", "hzo", "hfo2", or a `SwitchingLaw`: the switching of a device is the rule
    - synapse=...: the potential is the programming voltage of a device model, fitted or physical, see `ProgrammedSynapses`

    After each task its training inputs are shown again with constant weights, and each neuron is labelled by the class to
    which it responds most; without boundaries of tasks, by its responses while it learns. A test input is assigned to the
    class whose neurons fire most often together. Labels are used for nothing else.

    Args:
        stream: What will be learned.
        hidden: Number of output neurons.
        law: Name of a law, or a `SwitchingLaw`; "ideal" if omitted.
        rate: Learning rate, in place of that of the law.
        synapse: Model of the memory devices, in place of a law.
        voltages: Amplitudes [V] of SET and RESET pulses at a potential of 1, for a synapse.
        width: Width [s] of the pulses, for a synapse.
        label_images: Training inputs by which neurons are labelled after a task, evenly from all classes, of which there
            must be one each; all of them if None.
        seed: Seed of initial weights and of devices.
        **settings: Fields of `SpikingNetwork`, whose defaults with devices are those of `DEVICE_NETWORK`, and of
            `DeviceVariation`.

    Raises:
        ConfigError: unknown settings or settings out of range, a law and a synapse, a device without voltage.
        ConfigError: while learning, features outside 0 .. 1.
        FitError: no output neuron fires during a task.

    Example:
        >>> from spinode.datasets import TaskSequence, made_digits
        >>> learner = VDSPLearner(TaskSequence([made_digits(train=20, test=10)]), hidden=5, law="tio2")
        >>> learner.settings()["law"], learner.weights.shape
        ('tio2', torch.Size([784, 5]))

    Source: Garg et al., Front. Neurosci. 16, 983950 (2022); Garg et al., arXiv:2510.25787, for devices.
    """

    rule = "vdsp"
    #: Batches of one call, which are not shared among processes: images are learned one after the other.
    block = 10

    pre: Tensor
    post: Tensor
    weights: Tensor
    counts: Tensor
    rates: Tensor
    strength: Tensor | None
    shown: Tensor

    def __init__(
        self,
        stream: TaskStream,
        *,
        hidden: Sequence[int] | int = (100,),
        law: str | SwitchingLaw | None = None,
        rate: float | None = None,
        synapse: Synapse | None = None,
        voltages: Sequence[float] | None = None,
        width: float | None = None,
        label_images: int | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(seed=seed)
        self.features, self.classes = stream_sizes(stream)
        neurons = whole_numbers("hidden", hidden, 1, example=(100,))
        if len(neurons) != 1:
            raise ConfigError(f"hidden is {list(neurons)}; expected one layer of output neurons, such as [100].")
        self._check_synapse_settings(synapse, law, rate, voltages, width, settings)
        self.label_images = None if label_images is None else whole_number("label_images", label_images, self.classes)
        chosen = law if isinstance(law, SwitchingLaw) else LAWS[one_of("law", "ideal" if law is None else law, LAWS)]
        network = SpikingNetwork() if synapse is None and law in (None, "ideal") else DEVICE_NETWORK
        values = merge_defaults(self.rule, settings, {**asdict(network), **asdict(DeviceVariation())})
        network = SpikingNetwork(**{name: value for name, value in values.items() if name not in _VARIATION})
        variation = DeviceVariation(**{name: values[name] for name in _VARIATION})
        if rate is not None:
            chosen = replace(chosen, rate=rate)
        weights = torch.rand(self.features, neurons[0], generator=self.generator, dtype=torch.float64)
        strength = variation.factors(weights, self.generator)
        self.synapses: ProgrammedSynapses | None = None
        if synapse is not None:
            stuck = None if strength is None else strength == 0
            self.synapses = ProgrammedSynapses(
                synapse, weights, voltages=voltages, width=width, stuck=stuck, generator=self.generator
            )
            chosen, strength = replace(chosen, low=self.synapses.low), None
        for name, value in SpikingState.at_rest(weights).tensors().items():
            self.register_buffer(name, value)
        self.register_buffer("strength", strength)
        self.register_buffer("rates", torch.zeros(self.classes, neurons[0], dtype=torch.float64))
        self.register_buffer("shown", torch.zeros(3, dtype=torch.int64))  # images, those without a spike, spikes
        self.loop = SpikingLoop(network, chosen, variation, draw_seed(self.generator))
        self._settings = self._describe(neurons[0], law, synapse)

    def _check_synapse_settings(self, synapse: Any, law: Any, rate: Any, voltages: Any, width: Any, settings: Any) -> None:
        """Check that settings of a law come without a synapse, and the other way round."""
        if synapse is None:
            given = [name for name, value in (("voltages", voltages), ("width", width)) if value is not None]
            if given:
                raise ConfigError(
                    f"{' and '.join(given)} belong to pulses of a device model; pass synapse=, or leave them out."
                )
            return
        given = [name for name, value in (("law", law), ("rate", rate)) if value is not None]
        given += [name for name in _OF_A_LAW if name in settings]
        if given:
            raise ConfigError(
                f"{', '.join(given)} can only be set for a switching law, but the synapse, {type(synapse).__name__}, has steps "
                "and variability of its own; pass one of the two."
            )

    def _describe(self, neurons: int, law: Any, synapse: Any) -> dict[str, Any]:
        """Return all settings as plain values."""
        loop, synapses = self.loop, self.synapses
        own: dict[str, Any] = {"hidden": [neurons], "label_images": self.label_images, **asdict(loop.network)}
        if synapses is not None:
            own |= {"synapse": repr(synapse), "voltages": list(synapses.voltages), "width": synapses.width}
            return own | {name: getattr(loop.variation, name) for name in ("stuck_low", "stuck_high")}
        name = "custom" if isinstance(law, SwitchingLaw) else law or "ideal"
        constants = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(loop.law).items()}
        return {**own, "law": name, **constants, **asdict(loop.variation)}

    def settings(self) -> dict[str, Any]:
        """Return all settings but the stream and the seed."""
        return dict(self._settings)

    def identity_parts(self) -> dict[str, Any]:
        """Return what a checkpoint must agree with; not the labels, which are found again after each task."""
        return {name: value for name, value in super().identity_parts().items() if name != "rates"}

    def check(self, stream: TaskStream) -> None:
        """Check that the stream has the features and classes for which the learner was made."""
        check_sizes(stream, self.features, self.classes)

    # --- learning -----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> SpikingState:
        """Potentials and weights: the stored tensors, not copies."""
        return SpikingState(self.pre, self.post, self.weights, self.counts)

    @torch.no_grad()
    def learn(self, inputs: Tensor, labels: Tensor, batch_size: int) -> Tensor:
        """Show the inputs, and return the mean change of a weight per input."""
        before = self.weights.clone()
        spikes = self._learn_from(self._rows(inputs))
        per_image = spikes.sum(1)
        self.shown += torch.stack([torch.tensor(len(spikes)), (per_image == 0).sum(), per_image.sum()])
        for label in labels.unique().tolist():
            chosen = spikes[labels == label].double()
            self.rates[label].lerp_(chosen.mean(0), 1 - (1 - RESPONSE_RATE) ** len(chosen))
        return (self.weights - before).abs().mean() / len(spikes)

    def _learn_from(self, rows: Tensor) -> Tensor:
        """Return the spikes of the output neurons during each image, shape (images, outputs)."""
        if self.synapses is None:
            return self.loop.run(self.state, rows, strength=self.strength)[0]
        state, synapses = self.state, self.synapses
        currents = self.loop.network.currents(rows)
        spikes = torch.zeros(len(rows), self.weights.shape[1], dtype=torch.int64)
        position = 0
        with synapses.array.editing():
            while True:
                position = self.loop.advance(state, currents, spikes, "pausing", position=position)
                winner = int(state.counts[3])
                if winner < 0:
                    return spikes
                synapses.program(winner, state.pre[0], state.weights)
                state.counts[0] += 1

    def _rows(self, inputs: Tensor) -> Tensor:
        """Return the inputs as rows.

        Raises:
            ConfigError: features outside 0 .. 1, for which the currents of the input neurons are made, or NaN.
        """
        rows = inputs.flatten(1).to(self.weights)
        low, high = (float(each) for each in torch.aminmax(rows))
        if not (low >= 0 and high <= 1):
            raise ConfigError(
                f"features are in {low:.3g} .. {high:.3g}; expected 0 .. 1, from which the currents of input neurons follow: "
                "use scale='unit' for images, or scale the features."
            )
        return rows

    @torch.no_grad()
    def end_task(self, index: int, task: Task) -> None:
        """Find the response of each neuron to the classes of the task, with constant weights.

        Raises:
            FitError: no neuron has fired since the beginning.
        """
        if int(self.shown[0]) and not int(self.shown[2]):
            raise FitError(
                f"no output neuron has fired during {int(self.shown[0])} images, so that nothing was learned; raise "
                f"output_gain ({self.loop.network.output_gain:g}) or input_gain ({self.loop.network.input_gain:g})."
            )
        count = None if self.label_images is None else min(self.label_images, len(task))
        chosen = draw_labelled(task, count, self.classes, self.seed)
        labels = task.labels[chosen]
        spikes = self._respond(self._rows(task.inputs[chosen]), self.weights)
        self.rates[task.labels.unique()] = 0.0  # a class that is not shown has no response, rather than one on another scale
        for label in labels.unique().tolist():
            self.rates[label] = spikes[labels == label].double().mean(0)

    def _respond(self, rows: Tensor, weights: Tensor) -> Tensor:
        """Return the spikes of a network that begins at rest and does not learn, shape (images, outputs)."""
        return self.loop.run(SpikingState.at_rest(weights), rows, plasticity="frozen", testing=True)[0]

    # --- tests --------------------------------------------------------------------------------------------------------

    @property
    def neuron_labels(self) -> Tensor:
        """Class of each output neuron, -1 for one that has not responded to any, int64, shape (outputs,)."""
        return self.rates.argmax(0).masked_fill_(self.rates.amax(0) <= 0, -1)

    @torch.no_grad()
    def log_probabilities(self, inputs: Tensor, *, generator: torch.Generator, task: int, view: str) -> Tensor:
        """Return the shares of the spikes of each class's neurons; devices are read once."""
        weights = self.weights
        if self.synapses is not None:
            with self.synapses.array.drawing_from(generator):
                weights = self.synapses.read(weights)
        spikes = self._respond(self._rows(inputs), weights).double()
        labels = self.neuron_labels
        votes = torch.stack([spikes[:, labels == label].sum(1) for label in range(self.classes)], 1)
        votes += PRIOR_SPIKES / self.classes
        return (votes / votes.sum(1, keepdim=True)).log()[None]

    # --- cost ---------------------------------------------------------------------------------------------------------

    def footprint(self) -> dict[str, float]:
        """Return the bytes of weights and potentials, spikes while learning, and pulses and energy of devices."""
        images, silent, spikes = self.shown.tolist()
        figures = {
            "memory [B]": float(count_bytes((self.pre, self.post, self.weights))),
            "updates": float(self.counts[0]),
            "spikes per image": spikes / max(images, 1),
            "images without a spike [share]": silent / max(images, 1),
            "neurons without a label": float((self.neuron_labels < 0).sum()),
        }
        if self.synapses is not None:
            return figures | self.synapses.footprint()
        return figures | {"SET pulses": float(self.counts[1]), "RESET pulses": float(self.counts[2])}
