"""`Pulses` and the checks of `SynapseModel`; the device models are tested in `tests/datasets/devices`."""

import numpy as np
import pytest
import torch

from spinode import ConfigError, DomainError, DomainWarning, Pulses, Synapse, SynapseModel
from spinode.contracts.synapse import MAX_PULSES, check_synapse
from spinode.testing import SynapseContract


class Ramp(SynapseModel):
    """Conductance g + 0.1 n V, in 0 .. 1."""

    unit = "S"
    voltage = (1.0, 2.0)
    width = 1e-6
    voltage_range = (0.5, 4.0)

    def _initial(self, shape, generator, dtype):
        return {"g": torch.full(shape, 0.5, dtype=dtype)}

    def _program(self, state, pulses, generator):
        return {"g": (state["g"] + 0.1 * pulses.count * pulses.voltage).clamp(0, 1)}

    def _read(self, state, generator):
        return state["g"]


class SetOnly(Ramp):
    polarities = ("SET",)


class TestRamp(SynapseContract):
    pulses = 2

    def make(self):
        return Ramp()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": [1.0]}, "the number of pulses is a list; expected a tensor"),
        ({"count": torch.tensor([True])}, r"are torch\.bool; expected whole numbers"),
        ({"count": torch.tensor([0.5, 1.0])}, r"1 of 2 devices are given 0\.5 pulses"),
        ({"count": torch.tensor([float("nan")])}, "are given nan pulses"),
        ({"count": torch.tensor([MAX_PULSES + 1.0])}, r"expected whole numbers of at most 1e\+06"),
        ({"count": torch.ones(2), "voltage": -1.0}, "the voltage of a pulse is -1 V; expected a positive number"),
        ({"count": torch.ones(2), "width": torch.tensor([1e-6, 0.0])}, "the width of a pulse is 0 s"),
        ({"count": torch.ones(2), "voltage": float("nan")}, "the voltage of a pulse is nan V"),
    ],
)
def test_invalid_pulses_are_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        Pulses(**arguments)


@pytest.mark.parametrize("shape", [(0,), (2.0,), (True, 2), None, "12", (3, -1)])
def test_invalid_shapes_are_refused(shape):
    with pytest.raises(ConfigError, match=r"(a value of )?shape is .*; expected (a )?whole number"):
        Ramp().initial(shape)


@pytest.mark.parametrize("shape", [(2, 3), [2, 3], np.array([2, 3]), torch.Size([2, 3]), (np.int64(2), 3)])
def test_shapes_of_all_libraries_are_accepted(shape):
    assert Ramp().initial(shape)["g"].shape == (2, 3)


def test_integer_state_is_refused():
    with pytest.raises(ConfigError, match=r"dtype is torch\.int64; expected a floating-point type"):
        Ramp().initial((2,), dtype=torch.int64)


def test_pulses_must_fit_the_devices():
    device = SetOnly()
    state = device.initial((2,))
    with pytest.raises(ConfigError, match=r"the pulses have shape \(3,\), the devices \(2,\)"):
        device.program(state, Pulses(torch.ones(3)))
    with pytest.raises(ConfigError, match="1 devices are given RESET pulses, but this device responds to SET only"):
        device.program(state, Pulses(torch.tensor([1.0, -1.0])))
    with pytest.raises(ConfigError, match=r"voltage has shape \(3,\), the devices \(2,\)"):
        device.program(state, Pulses(torch.ones(2), voltage=torch.ones(3)))
    with pytest.raises(ConfigError, match=r"pulses is a Tensor; expected spinode\.Pulses"):
        device.program(state, torch.ones(2))
    with pytest.raises(ConfigError, match="the state has x but not 'g': it belongs to another synapse"):
        device.program({"x": torch.ones(2)}, Pulses(torch.ones(2)))


def test_own_amplitude_depends_on_the_polarity():
    device = Ramp()
    after = device.program(device.initial((3,)), Pulses(torch.tensor([1.0, -1.0, 0.0])))
    torch.testing.assert_close(device.read(after), torch.tensor([0.6, 0.3, 0.5]))


def test_voltage_outside_the_range_is_clipped_with_one_warning_or_refused():
    device, beyond = Ramp(), Pulses(torch.ones(1), voltage=9.0)
    with pytest.warns(DomainWarning, match=r"1 pulses have a voltage such as 9 V, outside the range 500 mV \.\. 4 V"):
        after = device.program(device.initial((1,)), beyond)
    torch.testing.assert_close(device.read(after), torch.tensor([0.9]))
    device.program(device.initial((1,)), beyond)  # a second warning would be an error here
    device.strict = True
    with pytest.raises(DomainError, match="Program inside that range, or set strict = False"):
        device.program(device.initial((1,)), beyond)


def test_unchecked_pulses_keep_their_values():
    count = torch.tensor([0.5])
    assert Pulses.unchecked(count).count is count
    assert Pulses.unchecked(count, 2.0, 1e-6).width == 1e-6


@pytest.mark.parametrize("value", [None, "weak-reset", Ramp, 3])
def test_check_synapse_refuses_other_objects(value):
    with pytest.raises(ConfigError, match=r"synapse is .*; expected a device model"):
        check_synapse(value)
    device = Ramp()
    assert check_synapse(device) is device
    assert isinstance(device, Synapse)
