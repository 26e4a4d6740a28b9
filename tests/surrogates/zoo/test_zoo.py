"""The shipped surrogates: each loads, does what its card says, and is small."""

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


def test_there_are_some():
    assert {"hfox-weak-reset", "vteam", "soft-bounds", "macrospin"} <= set(available())
    assert list(available()) == sorted(available())


@pytest.mark.parametrize("name", available())
def test_each_has_a_whole_card_and_is_small(name):
    found = model_card(name)
    assert found["name"] == name
    assert found["licence"] == "MIT"
    assert found["generator"] == "benchmarks/make_zoo.py"
    assert found["verdict"].split(":")[0] in ("close", "loose")
    assert {"summary", "fitted_on", "domain", "units", "seed", "version", "kind"} <= found.keys()
    assert found["scores"]
    assert all(np.isfinite(value) for value in found["scores"].values())
    assert zoo.path(name).stat().st_size < 100_000
    assert isinstance(zoo.open(name), SynapseSurrogate if found["kind"] == "synapse" else Surrogate)


@pytest.mark.parametrize("name", SYNAPSES)
def test_a_synapse_holds_where_its_card_says(name):
    synapse, found = zoo.open(name), model_card(name)
    assert found["domain"]["conductance"] == [synapse.low, synapse.high]
    assert found["domain"]["polarities"] == list(synapse.polarities)
    assert found["units"]["conductance"] == synapse.unit
    for key in ("voltage", "width"):
        assert found["domain"].get(key) == (list(synapse.inputs.ranges[key]) if key in synapse.inputs.ranges else None)
    assert found["fitted_on"]["devices"] == synapse.record["devices"]
    traces = pulse_traces(synapse, -torch.ones(10), devices=200, generator=torch.Generator().manual_seed(0))
    reads = np.stack([trace.output["conductance"] for trace in traces])
    room = synapse.high - synapse.low
    assert np.mean((reads > synapse.low - room) & (reads < synapse.high + room)) > 0.95


@pytest.mark.parametrize("name", SYNAPSES)
def test_a_synapse_keeps_the_contract(name):
    class Named(SynapseContract):
        def make(self):
            return zoo.open(name)

    contract = Named()
    for check in dir(contract):
        # A polarity that a typical device hardly answers is no fault of a surrogate: the card tells how well it does.
        if check.startswith("test_") and check != "test_pulses_change_the_typical_conductance_in_their_direction":
            getattr(contract, check)()


def test_the_macrospin_follows_its_trace_as_the_card_says():
    found = model_card("macrospin")
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    scores = spinode.evaluate(zoo.open("macrospin"), trace.between(found["fitted_on"]["stop"], None))
    assert scores.nrmse == pytest.approx(found["scores"]["nrmse_later"], rel=1e-3)


# Names, paths and kinds


def test_a_copied_file_is_as_good_as_a_name(tmp_path):
    for name in ("macrospin", SYNAPSES[0]):
        copy = tmp_path / "copy.safetensors"
        shutil.copy(zoo.path(name), copy)
        first, second = zoo.open(name).state_dict(), spinode.load(str(copy)).state_dict()
        assert first.keys() == second.keys()
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_a_card_is_the_callers_own():
    model_card("vteam")["scores"].clear()
    assert model_card("vteam")["scores"]


def test_what_is_not_there_is_refused(tmp_path):
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
