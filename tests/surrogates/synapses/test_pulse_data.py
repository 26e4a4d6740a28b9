"""Pulse-by-pulse recordings as arrays."""

import numpy as np
import pytest

from spinode import Trace, TraceError, TraceSet
from spinode.surrogates.synapses.pulse_data import Scale, pulse_data


def trace(signed, values=None, *, device=0.0, time=None, voltage=None, width=None):
    """Return a recording with `signed[k]` pulses in step k (positive: SET) and one read more than steps."""
    signed = np.append(np.asarray(signed, float), 0.0)
    values = np.linspace(1.0, 2.0, len(signed)) if values is None else np.asarray(values, float)
    drive = {"SET": signed.clip(0), "RESET": (-signed).clip(0)}
    for name, given in (("voltage", voltage), ("width", width)):
        if given is not None:
            drive[name] = np.append(given, given[-1]) * np.ones(len(signed))
    units = {"conductance": "S", "voltage": "V", "width": "s", "time": "" if time is None else "s"}
    units = {name: unit for name, unit in units.items() if name in {*drive, "conductance", "time"}}
    instants = np.cumsum(np.append(0.0, np.abs(signed[:-1]))) if time is None else np.asarray(time, float)
    return Trace(time=instants, drive=drive, output={"conductance": values}, parameters={"device": device}, units=units)


# --- arrays ----------------------------------------------------------------------------------------------------------


def test_recordings_are_padded_to_the_longest():
    data = pulse_data([trace([1, 1, -2, 0], device=0.0), trace([3, -1], device=1.0)])
    np.testing.assert_array_equal(data.seen, np.array([[1, 1], [1, 1], [1, 1], [1, 0], [1, 0]], bool))
    np.testing.assert_array_equal(data.pulses, [[1, 3], [1, 1], [2, 0], [0, 0]])
    np.testing.assert_array_equal(data.polarity, [[1, 1], [1, -1], [-1, 0], [0, 0]])
    assert (data.reads[~data.seen] == 0).all()
    assert data.polarities == ("SET", "RESET")
    assert data.unit == "S"


def test_conductances_are_recovered_from_states():
    values = [1e-6, 2e-6, 8e-6, 5e-6]
    data = pulse_data(trace([1, 1, 1], values), scale="log")
    np.testing.assert_allclose(np.exp(data.scale.centre + data.scale.spread * data.reads[:, 0]), values)
    assert data.reads.mean() == pytest.approx(0, abs=1e-12)
    assert data.reads.std() == pytest.approx(1)


@pytest.mark.parametrize(("factor", "kind"), [(2.9, "linear"), (3.2, "log"), (1e4, "log")])
def test_the_scale_is_logarithmic_above_a_factor_of_three(factor, kind):
    values = np.geomspace(1e-6, factor * 1.03e-6, 1000)
    assert Scale.of(values).kind == kind


def test_a_single_outlier_does_not_determine_the_scale():
    assert Scale.of(np.append(np.linspace(1.0, 1.2, 1000), 50.0)).kind == "linear"


def test_a_negative_conductance_is_linear():
    assert Scale.of(np.array([-1.0, 1.0, 100.0])).kind == "linear"


def test_a_given_scale_is_used():
    scale = Scale("linear", 10.0, 2.0)
    data = pulse_data(trace([1, 1], [10.0, 12.0, 6.0]), scale=scale)
    np.testing.assert_allclose(data.reads[:, 0], [0, 1, -2])


def test_groups_are_devices_or_the_cycles_of_a_single_device():
    several = pulse_data([trace([1, 1], device=7.0), trace([1, 1], device=3.0), trace([1, 1], device=7.0)])
    np.testing.assert_array_equal(several.group, [1, 0, 1])
    assert (several.devices, several.groups) == (2, 2)
    one = pulse_data([trace([1, 1], device=7.0)] * 3)
    np.testing.assert_array_equal(one.group, [0, 1, 2])
    assert (one.devices, one.groups) == (1, 3)


def test_pauses_are_steps_without_pulses_if_time_is_in_seconds():
    data = pulse_data(trace([1, 0, 0, -1], time=[0, 1, 3, 7, 8]))
    np.testing.assert_array_equal(data.pause[:, 0], [0, 2, 4, 0])
    assert (pulse_data(trace([1, 0, 0, -1])).pause == 0).all()


def test_voltage_and_width_are_standardised_if_they_vary():
    voltage, width = np.array([1.0, 2.0, 3.0, 4.0]), np.array([1e-6, 1e-6, 1e-4, 1e-4])
    data = pulse_data(trace([1, 1, -1, -1], voltage=voltage, width=width))
    assert data.inputs.names == ("voltage", "width")
    np.testing.assert_allclose(data.extra[0, :, 0], (voltage - 2.5) / voltage.std())
    np.testing.assert_allclose(data.extra[1, :, 0], [-1, -1, 1, 1], rtol=1e-9)
    assert data.inputs.ranges == {"voltage": (1.0, 4.0), "width": (1e-6, 1e-4)}
    assert data.inputs.usual["voltage"] == (1.5, 3.5)


def test_voltage_and_width_that_do_not_vary_are_recorded_but_are_not_inputs():
    data = pulse_data(trace([1, 1, 1], voltage=[1.5] * 3, width=[1e-6] * 3))
    assert data.inputs.names == ()
    assert data.extra.shape == (0, 3, 1)
    assert data.inputs.ranges["voltage"] == (1.5, 1.5)
    assert data.inputs.usual["voltage"] == (1.5, 1.5)


def test_amplitudes_of_steps_without_pulses_are_ignored():
    """They may be zero, which has no logarithm."""
    data = pulse_data(trace([1, 0, -1, 1], voltage=[1.0, 0.0, 2.0, 3.0], width=[1e-6, 0.0, 1e-5, 1e-6]))
    assert np.isfinite(data.extra).all()
    assert data.inputs.ranges["voltage"] == (1.0, 3.0)


# --- thinning --------------------------------------------------------------------------------------------------------


def test_thinning_counts_the_pulses_between():
    signed = np.r_[np.ones(6), -2 * np.ones(6)]
    data = pulse_data(trace(signed)).thinned(3)
    np.testing.assert_array_equal(data.pulses[:, 0], [3, 3, 6, 6])
    np.testing.assert_array_equal(data.polarity[:, 0], [1, 1, -1, -1])
    assert data.seen.all()
    full = pulse_data(trace(signed))
    np.testing.assert_array_equal(data.reads, full.reads[::3])
    assert full.thinned(1) is full


def test_thinning_keeps_complete_blocks():
    data = pulse_data(trace(np.ones(10))).thinned(4)
    assert data.reads.shape == (3, 1)
    np.testing.assert_array_equal(data.pulses[:, 0], [4, 4])


def test_thinning_a_padded_recording_leaves_its_end_unseen():
    data = pulse_data([trace(np.ones(8), device=0.0), trace(np.ones(5), device=1.0)]).thinned(4)
    np.testing.assert_array_equal(data.seen, [[True, True], [True, True], [True, False]])


def test_thinning_finds_the_polarity_of_a_block_that_starts_with_a_pause():
    signed = [0, -1, -1, 0, 0, 0, 1, 0, 1]
    voltage = [1.0, 2.0, 2.0, 5.0, 5.0, 5.0, 3.0, 1.0, 3.0]
    full = pulse_data(trace(signed, voltage=voltage))
    assert full.can_be_thinned(3)
    data = full.thinned(3)
    np.testing.assert_array_equal(data.pulses[:, 0], [2, 0, 2])
    np.testing.assert_array_equal(data.polarity[:, 0], [-1, 0, 1])
    np.testing.assert_allclose(data.extra[0, [0, 2], 0], full.extra[0, [1, 6], 0])


def test_thinning_adds_up_pauses():
    data = pulse_data(trace([0, 0, 0, 0], time=[0, 1, 3, 7, 15])).thinned(2)
    np.testing.assert_array_equal(data.pause[:, 0], [3, 12])


@pytest.mark.parametrize(
    ("signed", "voltage", "possible"),
    [
        ([1, 1, -1, -1], None, True),
        ([1, -1, 1, -1], None, False),
        ([1, 1, 1, -1], None, False),
        ([1, 0, 0, -1], None, True),
        ([1, 2, -3, -1], None, True),
        ([1, 1, 1, 1], [1, 1, 2, 2], True),
        ([1, 1, 1, 1], [1, 2, 2, 2], False),
        ([1, 0, 1, 1], [1, 9, 2, 2], True),
    ],
)
def test_only_equal_pulses_can_be_combined(signed, voltage, possible):
    assert pulse_data(trace(signed, voltage=voltage)).can_be_thinned(2) is possible


def test_a_recording_shorter_than_a_block_cannot_be_thinned():
    assert not pulse_data(trace([1, 1])).can_be_thinned(5)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_other_channels_are_refused():
    wrong = Trace(time=np.arange(4.0), drive={"current": np.ones(4)}, output={"voltage": np.ones(4)})
    with pytest.raises(TraceError, match=r"drives \['current'\] and outputs \['voltage'\]; expected drives SET and RESET"):
        pulse_data(wrong)


def test_two_reads_are_too_few():
    with pytest.raises(TraceError, match="trace 1 has 2 reads; at least 3"):
        pulse_data([trace([1, 1]), trace([1])])


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(TraceError, match="1 values of 'conductance' that are not finite"):
        pulse_data(trace([1, 1, 1], [1.0, bad, 2.0, 3.0]))


def altered(drive, output=None):
    good = trace([1, 1, 1])
    return Trace(time=good.time, drive={**good.drive, **drive}, output=output or good.output, parameters=good.parameters)


@pytest.mark.parametrize("bad", [-1.0, 0.5])
def test_counts_are_whole_and_not_negative(bad):
    with pytest.raises(TraceError, match="negative or not whole"):
        pulse_data(altered({"RESET": np.array([0, 0, bad, 0])}))


def test_both_polarities_in_one_step_are_refused():
    with pytest.raises(TraceError, match="their order is not known"):
        pulse_data(altered({"RESET": np.array([0, 1.0, 0, 0])}))


@pytest.mark.parametrize("name", ["voltage", "width"])
def test_amplitudes_are_positive(name):
    with pytest.raises(TraceError, match=f"a pulse has the {name} -1"):
        pulse_data(altered({name: np.array([1.0, -1.0, 1.0, 1.0])}))


@pytest.mark.parametrize("scale", ["log", Scale("log", 0.0, 1.0)])
def test_a_logarithm_needs_positive_conductances(scale):
    with pytest.raises(TraceError, match=r"the conductance reaches -1; .* logarithmic scale needs positive values"):
        pulse_data(trace([1, 1], [1.0, -1.0, 2.0]), scale=scale)


def test_a_constant_conductance_is_refused():
    with pytest.raises(TraceError, match="the conductance never changes"):
        pulse_data(trace([1, 1], [1.0, 1.0, 1.0]))


def test_recordings_of_different_devices_need_the_same_channels():
    with pytest.raises(TraceError, match="trace 1 has drive"):
        pulse_data(TraceSet([trace([1, 1]), trace([1, 1], voltage=[1.0, 1.0])]))
