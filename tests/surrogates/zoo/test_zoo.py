"""The shipped surrogates: each can be opened, agrees with its model card, and is small."""

import json
import shutil

import numpy as np
import pytest
import torch

import spinode
from spinode import Surrogate
from spinode.datasets import pulse_traces, read_trace, sample_path
from spinode.errors import ConfigError, FileFormatError
from spinode.surrogates import zoo
from spinode.surrogates.synapses.model import SynapseSurrogate
from spinode.surrogates.zoo import available, model_card, open_synapse
from spinode.testing import SynapseContract

SYNAPSES = [name for name in available() if model_card(name)["kind"] == "synapse"]


def test_the_zoo_has_synapses_and_a_surrogate():
    assert {"hfox-weak-reset", "vteam", "soft-bounds", "macrospin"} <= set(available())
    assert list(available()) == sorted(available())


@pytest.mark.parametrize("name", available())
def test_each_has_a_complete_card_and_is_small(name):
    card = model_card(name)
    assert card["name"] == name
    assert card["licence"] == "MIT"
    assert card["generator"] == "benchmarks/make_zoo.py"
    assert card["assessment"].split(":")[0] in ("close", "loose")
    assert {"summary", "fitted_on", "domain", "units", "seed", "version", "kind"} <= card.keys()
    assert card["scores"]
    assert all(np.isfinite(value) for value in card["scores"].values())
    assert zoo.path(name).stat().st_size < 100_000
    assert isinstance(zoo.open(name), SynapseSurrogate if card["kind"] == "synapse" else Surrogate)


@pytest.mark.parametrize("name", SYNAPSES)
def test_a_synapse_is_valid_where_its_card_states(name):
    synapse, card = zoo.open(name), model_card(name)
    assert card["domain"]["conductance"] == [synapse.low, synapse.high]
    assert card["domain"]["polarities"] == list(synapse.polarities)
    assert card["units"]["conductance"] == synapse.unit
    for key in ("voltage", "width"):
        assert card["domain"].get(key) == (list(synapse.inputs.ranges[key]) if key in synapse.inputs.ranges else None)
    assert card["fitted_on"]["devices"] == synapse.record["devices"]
    traces = pulse_traces(synapse, -torch.ones(10), devices=200, generator=torch.Generator().manual_seed(0))
    reads = np.stack([trace.output["conductance"] for trace in traces])
    room = synapse.high - synapse.low
    assert np.mean((reads > synapse.low - room) & (reads < synapse.high + room)) > 0.95


@pytest.mark.parametrize("name", SYNAPSES)
def test_a_synapse_fulfils_the_contract(name):
    class Named(SynapseContract):
        def make(self):
            return zoo.open(name)

    contract = Named()
    for check in dir(contract):
        # A typical device may hardly respond to one polarity: that is not a fault of the surrogate.
        if check.startswith("test_") and check != "test_pulses_change_the_typical_conductance_in_their_direction":
            getattr(contract, check)()


def test_the_macrospin_reproduces_its_trace_as_its_card_states():
    card = model_card("macrospin")
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    scores = spinode.evaluate(zoo.open("macrospin"), trace.between(card["fitted_on"]["stop"], None))
    assert scores.nrmse == pytest.approx(card["scores"]["nrmse_later"], rel=1e-3)


def test_open_sets_the_pulse_of_the_card():
    """The pulse of the device that was fitted; the default of the file has another ratio of SET to RESET."""
    settings = model_card("tio2-nili")["fitted_on"]["settings"]
    synapse = zoo.open("tio2-nili")
    assert (synapse.voltage, synapse.width) == (tuple(settings["voltage"]), settings["width"])
    assert (synapse.voltage, synapse.width) == ((1.2, 1.2), 1e-4)
    stored = spinode.load(zoo.path("tio2-nili"))
    assert (stored.voltage, stored.width) == (synapse.voltage, synapse.width)
    assert open_synapse("tio2-nili").voltage == synapse.voltage


# Names, paths and kinds


def test_a_copied_file_opens_like_its_name(tmp_path):
    for name in ("macrospin", SYNAPSES[0]):
        copy = tmp_path / "copy.safetensors"
        shutil.copy(zoo.path(name), copy)
        first, second = zoo.open(name).state_dict(), spinode.load(str(copy)).state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_card_is_a_copy():
    model_card("vteam")["scores"].clear()
    assert model_card("vteam")["scores"]


def test_unknown_names_and_damaged_files_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"no shipped surrogate 'nothing'.*vteam"):
        zoo.open("nothing")
    with pytest.raises(FileFormatError, match=r"no shipped surrogate of that name.*vteam"):
        open_synapse("nothing")
    with pytest.raises(ConfigError, match=r"no shipped surrogate 'nothing'.*vteam"):
        model_card("nothing")
    with pytest.raises(ConfigError, match="no shipped surrogate"):
        model_card("../../x")
    with pytest.raises(FileFormatError, match="expected one of a memory device"):
        open_synapse("macrospin")
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"nothing of the kind")
    with pytest.raises(FileFormatError, match="cannot be read as a surrogate"):
        spinode.load(bad)
    bad.write_bytes(json.dumps({}).encode())
    with pytest.raises(FileFormatError, match="cannot be read as a surrogate"):
        open_synapse(bad)
