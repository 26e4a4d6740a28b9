"""The learner of spiking neurons: it learns without labels, resumes exactly, and programs devices by potentials."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.contracts.synapse import Pulses
from spinode.datasets import VTEAM, ClassSplit, TaskSequence, TiO2, WeakReset, made_digits
from spinode.errors import ConfigError, FitError
from spinode.kernels import native
from spinode.surrogates import IdealSynapse
from spinode.training import StreamConfig, VDSPLearner, train
from spinode.training.learners.labelled import draw_labelled
from spinode.training.spiking.devices import ProgrammedSynapses

needs_kernels = pytest.mark.skipif(not native.built, reason=f"this installation has no compiled kernels: {native.reason}")
#: Shorter images than the published ones, and larger currents for fewer of them.
SHORT = {"presentation": 0.1, "output_gain": 0.3, "rate": 0.02}


@pytest.fixture(scope="module")
def stream():
    return TaskSequence([made_digits(train=300, test=100)], scale="unit")


@pytest.fixture
def tiny():
    return TaskSequence([made_digits(train=20, test=10)], scale="unit")


@needs_kernels
def test_it_learns_and_is_reproducible(stream):
    first, second = (train(VDSPLearner(stream, hidden=30, seed=1, **SHORT), stream, epochs=2) for _ in range(2))
    assert first.accuracy.newest > 0.5  # chance is 0.1
    np.testing.assert_array_equal(first.accuracy.values, second.accuracy.values)


@needs_kernels
def test_the_batch_size_does_not_matter(stream):
    weights = []
    for batch_size in (7, 50):
        learner = VDSPLearner(stream, hidden=10, seed=1, **SHORT)
        train(learner, stream, batch_size=batch_size)
        weights.append(learner.weights)
    assert torch.equal(*weights)


@needs_kernels
def test_a_killed_run_resumes_to_the_same_weights(stream, tmp_path):
    class Killed(Exception):
        pass

    class Killing(VDSPLearner):
        left = 3

        def learn(self, inputs, labels, batch_size):
            self.left -= 1
            if self.left == 0:
                raise Killed
            return super().learn(inputs, labels, batch_size)

    config = StreamConfig(batch_size=5, epochs=2)
    whole = VDSPLearner(stream, hidden=10, law="tio2", cycle_spread=0.5, device_spread=0.5)
    train(whole, stream, config)
    killed = Killing(stream, hidden=10, law="tio2", cycle_spread=0.5, device_spread=0.5)
    with pytest.raises(Killed):
        train(killed, stream, config, checkpoint=tmp_path, checkpoint_every=0)
    killed.left = -1
    result = train(killed, stream, config, checkpoint=tmp_path)
    assert torch.equal(killed.weights, whole.weights)
    assert torch.equal(killed.rates, whole.rates)
    assert result.footprint["updates"] == whole.footprint()["updates"]


@needs_kernels
def test_another_epoch_continues_a_finished_run(stream, tmp_path):
    twice = VDSPLearner(stream, hidden=10, **SHORT)
    train(twice, stream, epochs=2)
    train(VDSPLearner(stream, hidden=10, **SHORT), stream, epochs=1, checkpoint=tmp_path)
    learner = VDSPLearner(stream, hidden=10, **SHORT)
    result = train(learner, stream, epochs=2, checkpoint=tmp_path, continue_from=tmp_path)
    assert torch.equal(learner.weights, twice.weights)
    assert result.continued


@needs_kernels
def test_classes_that_come_later_get_neurons_of_their_own():
    stream = ClassSplit(made_digits(train=300, test=100), groups=2, scale="unit")
    learner = VDSPLearner(stream, hidden=30, **SHORT)
    result = train(learner, stream)
    assert bool((learner.neuron_labels >= 5).any())
    assert result.accuracy.newest > 0.4  # of ten classes


def test_labels_are_the_largest_responses(tiny):
    learner = VDSPLearner(tiny, hidden=4)
    learner.rates[3, 0] = learner.rates[7, 1] = 2.0
    learner.rates[5, 1] = 1.0
    assert learner.neuron_labels.tolist() == [3, 7, -1, -1]


@needs_kernels
def test_votes_are_sums_of_spikes(tiny):
    learner = VDSPLearner(tiny, hidden=4)
    learner.rates[3, :2] = learner.rates[7, 2] = 1.0
    inputs = tiny[0].test_inputs
    spikes = learner._respond(learner._rows(inputs), learner.weights).double()
    before = [value.clone() for value in learner.state.tensors().values()]
    found = learner.log_probabilities(inputs, generator=torch.Generator(), task=0, view="shared")[0].exp()
    votes = torch.zeros(10, 10, dtype=torch.float64)
    votes[:, 3], votes[:, 7] = spikes[:, :2].sum(1), spikes[:, 2]
    torch.testing.assert_close(found, (votes + 0.1) / (votes.sum(1, keepdim=True) + 1))
    assert all(torch.equal(old, new) for old, new in zip(before, learner.state.tensors().values(), strict=True))


@needs_kernels
@pytest.mark.parametrize("law", ["tio2", "hzo", "hfo2"])
def test_the_laws_of_devices_learn(stream, law):
    learner = VDSPLearner(stream, hidden=30, law=law, presentation=0.1, cycle_spread=0.5, device_spread=0.5, stuck_low=0.02)
    result = train(learner, stream, epochs=2)
    assert result.accuracy.newest > 0.4
    assert min(result.footprint["SET pulses"], result.footprint["RESET pulses"]) > 0
    assert float((learner.weights[learner.strength == 0]).max()) == 0.0


# --- devices ----------------------------------------------------------------------------------------------------------


@needs_kernels
def test_pulses_and_energy_of_devices_are_counted(tiny):
    learner = VDSPLearner(tiny, hidden=3, synapse=TiO2(), width=1e-3, presentation=0.05, output_gain=0.3)
    before = learner.weights.clone()
    energy = float(learner.footprint()["energy [J]"])
    figures = train(learner, tiny).footprint
    assert figures["updates"] == figures["spikes per image"] * 20 > 0
    assert figures["SET pulses"] > 0
    assert figures["RESET pulses"] > 0
    learned = figures["SET pulses"] + figures["RESET pulses"]
    assert learned + figures["pulses of initial writes"] == float(learner.synapses.array.wear.sum())
    assert figures["energy [J]"] > energy
    assert 0 < float((learner.weights - before).abs().max()) < 1


def test_the_potential_is_the_programming_voltage():
    """The same pulses, applied by hand."""
    synapse, generator = TiO2(), torch.Generator().manual_seed(0)
    weights = torch.full((4, 2), 0.5, dtype=torch.float64)
    synapses = ProgrammedSynapses(synapse, weights, voltages=(1.3, 1.2), generator=generator)
    state = {name: value[0, 1].clone() for name, value in synapses.array.state.items()}
    potential = torch.tensor([-1.0, -0.8, 0.9, -0.1], dtype=torch.float64)
    pulses = Pulses(torch.tensor([1.0, 1.0, -1.0, 0.0]), voltage=torch.tensor([1.3, 1.04, 1.08, 1.0]))
    expected = (synapse.read(synapse.program(state, pulses)) - synapse.low) / (synapse.high - synapse.low)
    first = weights[:, 0].clone()
    synapses.program(1, potential, weights)
    torch.testing.assert_close(weights[:, 1].float(), expected)
    assert torch.equal(weights[:, 0], first)
    assert synapses.pulsed.tolist() == [2, 1]  # 0.13 V is below the range of the model: no pulse


def test_a_share_of_the_largest_conductance_remains():
    weights = torch.full((4, 2), 0.5, dtype=torch.float64)
    synapse = VTEAM()
    synapses = ProgrammedSynapses(synapse, weights, generator=torch.Generator().manual_seed(0))
    assert synapses.low == pytest.approx(synapse.low / synapse.high)
    assert synapses.voltages == synapse.voltage


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"synapse": IdealSynapse()}, "IdealSynapse does not depend on the voltage of its pulses"),
        ({"synapse": WeakReset()}, "WeakReset does not depend on the voltage"),
        ({"synapse": TiO2(), "law": "tio2"}, "law can only be set for a switching law, but the synapse, TiO2, has steps"),
        ({"synapse": TiO2(), "levels": 4}, "levels can only be set for a switching law"),
        ({"synapse": TiO2(), "voltages": (1.0,)}, "voltages is .*; expected two amplitudes"),
        ({"voltages": (1.0, 1.0)}, "voltages belong to pulses of a device model"),
        ({"synapse": TiO2(), "voltages": (1.3, 0.1)}, r"TiO2 is valid from 0.8 V on: a potential of 1 would give no pulse"),
        ({"label_images": 9}, "label_images is 9; expected a whole number of at least 10"),
        ({"hidden": [20, 10]}, "expected one layer of output neurons"),
        ({"law": "tio3"}, "law is 'tio3'.*Did you mean 'tio2'"),
        ({"tau": 1.0}, "vdsp has no setting tau"),
    ],
)
def test_mistakes(tiny, settings, message):
    with pytest.raises(ConfigError, match=message):
        VDSPLearner(tiny, **{"hidden": 3, **settings})


@pytest.mark.parametrize(("value", "found"), [(1.5, "0 .. 1.5"), (-0.5, "-0.5 .. 0.8"), (float("nan"), "nan .. nan")])
def test_features_of_another_range_are_refused(tiny, value, found):
    inputs, labels = tiny[0].inputs[:2].clone(), tiny[0].labels[:2]
    inputs[0, 0] = value
    with pytest.raises(ConfigError, match=rf"features are in {found}.*; expected 0 .. 1.*scale='unit'"):
        VDSPLearner(tiny, hidden=3).learn(inputs, labels, 2)


@needs_kernels
def test_a_silent_network_is_an_error(tiny):
    with pytest.raises(FitError, match=r"no output neuron has fired during 20 images.*raise output_gain"):
        train(VDSPLearner(tiny, hidden=3, output_gain=1e-6), tiny)


def test_few_images_label_neurons_of_all_classes_on_one_scale():
    """Those that are not shown have no response; the running means of learning, with weaker currents, do not stand beside."""
    stream = TaskSequence([made_digits(train=60, test=20)], scale="unit")
    learner = VDSPLearner(stream, hidden=20, label_images=10, **SHORT)
    train(learner, stream)
    shown = draw_labelled(stream[0], 10, 10, 0)
    spikes = learner._respond(learner._rows(stream[0].inputs[shown]), learner.weights).double()
    expected = torch.stack([spikes[stream[0].labels[shown] == label].mean(0) for label in range(10)])
    torch.testing.assert_close(learner.rates, expected)
