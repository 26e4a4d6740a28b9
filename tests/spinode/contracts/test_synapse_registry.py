"""The registry of synapses: a device defined anywhere is found by its name."""

from dataclasses import dataclass

import pytest
import torch

import spinode.datasets.devices
from spinode import ConfigError, Pulses, Synapse, SynapseModel
from spinode.contracts.synapse_registry import build_synapse, register_synapse, registered_synapses, unregister_synapse
from spinode.datasets import STEP_PRESETS


@pytest.fixture
def toggle():
    """A device of this test, registered while the test runs."""

    @register_synapse("toggle", summary="a bit that a pulse sets or resets")
    @dataclass(frozen=True, eq=False)
    class Toggle(SynapseModel):
        first: float = 0.0
        unit = ""

        def _initial(self, shape, generator, dtype):
            return {"bit": torch.full(shape, self.first, dtype=dtype)}

        def _program(self, state, pulses, generator):
            return {"bit": torch.where(pulses.count == 0, state["bit"], (pulses.count > 0).to(state["bit"]))}

        def _read(self, state, generator):
            return state["bit"]

    register_synapse("toggle-set", Toggle, settings={"first": 1.0}, summary="the same, set")
    yield Toggle
    unregister_synapse("toggle")
    unregister_synapse("toggle-set")


def test_a_device_defined_in_a_test_is_found_by_its_name(toggle):
    synapse = build_synapse("toggle")
    assert isinstance(synapse, toggle)
    state = synapse.program(synapse.initial((3,)), Pulses(torch.tensor([1.0, 0.0, -1.0])))
    assert synapse.read(state).tolist() == [1.0, 0.0, 0.0]
    assert registered_synapses()["toggle"].summary == "a bit that a pulse sets or resets"


def test_settings_of_a_name_are_defaults_that_the_caller_overrides(toggle):
    assert build_synapse("toggle-set").first == 1.0
    assert build_synapse("toggle-set", first=0.5).first == 0.5


@pytest.mark.parametrize(
    "name", ["weak-reset", "tio2", "stanford-pku", "domain-wall", "stt-mram", "vteam-memtorch", *STEP_PRESETS]
)
def test_every_device_of_the_package_is_found_by_its_name(name):
    synapse = build_synapse(name)
    assert isinstance(synapse, Synapse)
    assert synapse.read(synapse.initial((2,))).shape == (2,)
    assert registered_synapses()[name].summary


def test_a_file_added_to_the_folder_of_devices_is_imported(monkeypatch, tmp_path):
    """The list of devices is the folder: nothing else has to name a new file."""
    import importlib
    import sys

    (tmp_path / "spinode_test_device.py").write_text(
        "from spinode.contracts.synapse_registry import register_synapse\n"
        "from spinode.surrogates import IdealSynapse\n"
        'register_synapse("spinode-test-device", IdealSynapse, settings={"step": 0.25})\n'
    )
    package = spinode.datasets.devices
    monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    try:
        package.discover()
        assert build_synapse("spinode-test-device").step == 0.25
    finally:
        unregister_synapse("spinode-test-device")
        sys.modules.pop("spinode.datasets.devices.spinode_test_device", None)
        importlib.invalidate_caches()


def test_unknown_names_and_settings_are_refused(toggle):
    with pytest.raises(ConfigError, match=r"there is no synapse 'togle'.* Did you mean 'toggle'"):
        build_synapse("togle")
    with pytest.raises(ConfigError, match="the synapse toggle has no setting frist; its settings are: first"):
        build_synapse("toggle", frist=1.0)


def test_a_name_belongs_to_one_class(toggle):
    with pytest.raises(ConfigError, match=r"the synapse name 'weak-reset' belongs to .*WeakReset"):
        register_synapse("weak-reset", toggle)
    assert build_synapse("weak-reset").unit == "S"
