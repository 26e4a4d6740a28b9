"""`Trace` and `TraceSet`: construction, roles, parts, fingerprints."""

import copy
import pickle
from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from spinode import Trace, TraceSet, fit
from spinode.errors import SpinodeError, TraceError
from spinode.surrogates import fit_stochastic, fit_synapse


def make_trace(samples: int = 11, step: float = 1e-9, start: float = 0.0, **changes) -> Trace:
    time = start + step * np.arange(samples)
    parts = {
        "drive": {"Ku": np.sin(time / step)},
        "output": {"mz": np.cos(time / step), "mx": np.linspace(0, 1, samples)},
        "parameters": {"thickness": 1e-9},
        "units": {"Ku": "J/m3", "thickness": "m"},
        "provenance": {"file": "table.txt"},
    }
    return Trace(time=time, **(parts | changes))


irregular = hnp.arrays(np.float64, st.integers(3, 40), elements=st.floats(1e-3, 1.0)).map(np.cumsum)


# Construction


def test_stores_read_only_float64_copies():
    source = np.arange(5)
    trace = Trace(time=source, output={"m": [1, 2, 3, 4, 5]})
    source[0] = 99
    assert trace.time[0] == 0
    assert trace.time.dtype == trace.output["m"].dtype == np.float64
    with pytest.raises(ValueError, match="read-only"):
        trace.time[0] = 1
    with pytest.raises(FrozenInstanceError):
        trace.time = source
    for mapping in (trace.drive, trace.output, trace.parameters, trace.units, trace.interpolation, trace.provenance):
        with pytest.raises(TypeError, match="does not support item assignment"):
            mapping["new"] = 1


def test_accepts_tensors_lists_and_other_types_of_numbers():
    trace = Trace(time=torch.arange(3), drive={"u": [True, False, True]}, output={"y": np.float32([1, 2, 3])})
    assert trace.drive["u"].tolist() == [1.0, 0.0, 1.0]
    assert trace.duration == 2.0
    assert len(trace) == 3
    assert list(trace.channels) == ["u", "y"]


def test_keeps_nan_samples_for_diagnose_to_report():
    assert np.isnan(Trace(time=[0, 1], output={"y": [np.nan, 1]}).output["y"][0])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["a", "b"], "not numbers .*<U1"),
        (["1", "2"], "not numbers"),
        (np.array([1, 2j]), "not numbers .*complex128"),
        ([[1, 2], [3]], "not numbers"),
        (np.array(["2026-01-01", "2026-01-02"], dtype="M8[D]"), "not numbers .*datetime64"),
        (torch.ones(2, requires_grad=True), "not numbers"),
        ([[1.0], [2.0]], r"shape \(2, 1\); expected one dimension"),
        (3.0, r"shape \(\)"),
        ([1.0, 2.0, 3.0], "has 3 samples, time has 2"),
    ],
)
def test_refuses_invalid_channels(values, message):
    with pytest.raises(TraceError, match=f"output 'y' .*{message}"):
        Trace(time=[0, 1], output={"y": values})


def test_refuses_an_empty_recording():
    with pytest.raises(TraceError, match="the trace has 0 samples of 1 channels; expected at least one"):
        Trace(time=[], output={"y": []})
    with pytest.raises(TraceError, match="2 samples of 0 channels"):
        Trace(time=[0, 1], parameters={"T": 300})


@pytest.mark.parametrize(
    "parts",
    [
        {"drive": {"a": [1, 2]}, "output": {"a": [1, 2]}},
        {"drive": {"a": [1, 2]}, "parameters": {"a": 1}},
        {"output": {"a": [1, 2]}, "parameters": {"a": 1}},
    ],
)
def test_refuses_a_name_that_is_used_twice(parts):
    with pytest.raises(TraceError, match="the name 'a' is used twice"):
        Trace(time=[0, 1], **parts)


@pytest.mark.parametrize("value", ["hot", "300", [1, 2], None, 1j])
def test_refuses_a_parameter_that_is_not_one_number(value):
    with pytest.raises(TraceError, match=r"parameter 'T' is .*one real number"):
        make_trace(parameters={"T": value})


def test_refuses_an_unknown_interpolation():
    with pytest.raises(TraceError, match="interpolation of 'Ku' is 'cubic'; expected one of held, linear, spline"):
        make_trace(interpolation={"Ku": "cubic"})


def test_trace_error_is_a_value_error_and_a_spinode_error():
    assert issubclass(TraceError, ValueError)
    assert issubclass(TraceError, SpinodeError)


def test_unit_of_the_time_defaults_to_seconds():
    trace = make_trace(units={"Ku": "J/m3"})
    assert [trace.unit(name) for name in ("time", "Ku", "mz")] == ["s", "J/m3", ""]
    assert make_trace(units={"time": "1"}).unit("time") == "1"


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda trace: pickle.loads(pickle.dumps(trace))])
def test_copies_and_pickles_are_equal_and_read_only(duplicate):
    trace = make_trace(interpolation={"Ku": "held"})
    other = duplicate(trace)
    assert other.fingerprint() == trace.fingerprint()
    assert (other.interpolation, other.provenance) == (trace.interpolation, trace.provenance)
    assert not other.time.flags.writeable


# Roles


def test_assign_moves_channels_between_roles_and_drops_the_rest():
    trace = make_trace(drive={}, output={"Ku": np.ones(11), "mz": np.zeros(11), "mx": np.zeros(11)})
    assigned = trace.assign(drive="Ku", output=["mz"])
    assert (list(assigned.drive), list(assigned.output)) == (["Ku"], ["mz"])
    assert assigned.parameters == trace.parameters
    assert assigned.unit("Ku") == "J/m3"


@pytest.mark.parametrize(
    ("drive", "output", "message"),
    [
        ("my", "mz", "no channel 'my'; the channels are: Ku, mz, mx"),
        (["Ku", "Ku"], "mz", "'Ku' is named twice"),
        ("mz", "mz", "'mz' is named twice"),
        ((), (), "11 samples of 0 channels"),
    ],
)
def test_assign_refuses(drive, output, message):
    with pytest.raises(TraceError, match=message):
        make_trace().assign(drive, output)


# Parts


def test_between_includes_both_ends_in_spite_of_rounding():
    trace = make_trace(samples=10001, step=5e-12, start=8.5e-9)
    cut = trace.between(8.5e-9 + 5e-12, 58.5e-9)
    assert len(cut) == 10000
    assert cut.provenance == {"file": "table.txt", "stretch": [8.5e-9 + 5e-12, 58.5e-9]}


def test_between_without_ends_keeps_everything():
    assert make_trace().between().fingerprint() == make_trace().fingerprint()


@given(time=irregular, ends=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_between_returns_exactly_the_samples_within_its_ends(time, ends):
    start, stop = (time[0] + fraction * (time[-1] - time[0]) for fraction in sorted(ends))
    # Only away from the sample times, where the tolerance would decide.
    tolerance = 1e-5 * np.median(np.diff(time))
    inside = (time >= start) & (time <= stop)
    trace = Trace(time=time, output={"number": np.arange(len(time))})
    if np.abs(time[:, None] - [start, stop]).min() < tolerance:
        return
    if not start < stop or inside.sum() < 2:
        with pytest.raises(TraceError, match=r"must lie before stop|at least 2 are needed"):
            trace.between(start, stop)
    else:
        cut = trace.between(start, stop)
        np.testing.assert_array_equal(cut.time, time[inside])
        np.testing.assert_array_equal(cut.output["number"], np.flatnonzero(inside))


@given(time=irregular, split=st.integers(1, 38))
def test_adjacent_parts_contain_every_sample_once(time, split):
    if not 2 <= split <= len(time) - 2:
        return
    trace = Trace(time=time, output={"y": time})
    first, second = trace.between(stop=time[split - 1]), trace.between(start=time[split])
    np.testing.assert_array_equal(np.concatenate([first.time, second.time]), time)


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        (5e-9, 2e-9, "start .5e-09 s. must lie before stop .2e-09 s."),
        (5e-9, 5e-9, "must lie before"),
        (float("nan"), None, "is not a number"),
        (-5e-9, None, "leaves the recording, which lasts from 0 to 1e-08 s"),
        (None, 20e-9, "leaves the recording"),
        (1.2e-9, 1.8e-9, "has 0 samples"),
        (1.2e-9, 2.8e-9, "has 1 samples"),
    ],
)
def test_between_refuses(start, stop, message):
    with pytest.raises(TraceError, match=message):
        make_trace().between(start, stop)


def test_between_refuses_times_that_are_not_finite():
    with pytest.raises(TraceError, match="1 of 4 sample times are not finite"):
        Trace(time=[0, 1, np.nan, 3], output={"y": np.zeros(4)}).between(0, 2)


def test_between_needs_two_samples():
    with pytest.raises(TraceError, match="has 1 samples; at least 2"):
        make_trace(samples=1).between()


# Fingerprints


def test_fingerprint_ignores_what_does_not_change_the_data():
    trace = make_trace()
    assert len(trace.fingerprint()) == 64
    reordered = dict(reversed(trace.output.items()))
    more_units = {**trace.units, "time": "s", "mz": "", "a column left out": "V"}
    for same in (
        replace(trace, output=reordered),
        replace(trace, units=more_units),
        replace(trace, provenance={"file": "moved/table.txt"}),
    ):
        assert same.fingerprint() == trace.fingerprint()


def test_fingerprint_changes_with_the_data():
    trace = make_trace()
    perturbed = np.array(trace.output["mz"])
    perturbed[3] = np.nextafter(perturbed[3], 2)
    changed = [
        trace,
        replace(trace, time=trace.time + 1e-12),
        replace(trace, output={**trace.output, "mz": perturbed}),
        replace(trace, output={"mz": trace.output["mx"], "mx": trace.output["mz"]}),
        replace(trace, drive=trace.output, output=trace.drive),
        replace(trace, parameters={"thickness": 2e-9}),
        replace(trace, units={**trace.units, "Ku": "J"}),
        replace(trace, units={**trace.units, "thickness": "1"}),
        replace(trace, units={**trace.units, "time": "1"}),
        trace.assign("Ku", "mz"),
        trace.between(stop=5e-9),
    ]
    assert len({trace.fingerprint() for trace in changed}) == len(changed)


def test_fingerprint_is_stable():
    """Surrogate files contain it: another algorithm would invalidate all existing files."""
    trace = Trace(time=[0, 1], drive={"u": [0, 1]}, output={"y": [2, 3]}, parameters={"T": 300}, units={"u": "V"})
    assert trace.fingerprint() == "0ae1c479e5383e856d5928eb9db4cf050d8c98640a0884b12f9ccf17f2e40554"


# Sets


def test_set_is_a_sequence_of_traces_of_different_lengths():
    short, long = make_trace(5), make_trace(9, step=2e-9, start=1.0)
    traces = TraceSet([short, long])
    assert len(traces) == 2
    assert traces[1] is long
    assert list(traces) == [short, long]
    assert isinstance(traces[:1], TraceSet)
    assert short in traces
    assert TraceSet(short).traces == (short,)
    assert TraceSet(trace for trace in traces).traces == traces.traces


def test_fingerprint_of_a_set_depends_on_the_order():
    one, two = make_trace(5), make_trace(6)
    assert TraceSet([one, two]).fingerprint() == TraceSet([make_trace(5), make_trace(6)]).fingerprint()
    assert TraceSet([one, two]).fingerprint() != TraceSet([two, one]).fingerprint()
    assert pickle.loads(pickle.dumps(TraceSet([one, two]))).fingerprint() == TraceSet([one, two]).fingerprint()


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (make_trace(drive={"Dind": np.zeros(11)}), r"trace 1 has drive \['Dind'\], trace 0 has \['Ku'\]"),
        (make_trace(output={"mz": np.zeros(11)}), r"trace 1 has output \['mz'\]"),
        (make_trace(parameters={}), r"trace 1 has parameters \[\]"),
        (make_trace(units={"Ku": "J", "thickness": "m"}), "'Ku' is in 'J' in trace 1 and in 'J/m3' in trace 0"),
        (make_trace(units={"Ku": "J/m3"}), "'thickness' is in '' in trace 1"),
        (make_trace(units={"Ku": "J/m3", "thickness": "m", "time": "1"}), "'time' is in '1' in trace 1 and in 's'"),
        ("table.txt", "trace 1 is a str; expected a spinode.Trace"),
    ],
)
def test_set_refuses_traces_with_other_channels_or_units(second, message):
    with pytest.raises(TraceError, match=message):
        TraceSet([make_trace(), second])


def test_empty_set_is_refused():
    with pytest.raises(TraceError, match="at least one trace"):
        TraceSet([])


@pytest.mark.parametrize(("data", "kind"), [(None, "None"), (3, "an int")])
def test_data_that_are_not_recordings_are_refused(data, kind):
    for use in (TraceSet, fit, fit_synapse, fit_stochastic):
        with pytest.raises(TraceError, match=f"the data is {kind}; expected a spinode.Trace, .*or a sequence of them"):
            use(data)
