import numpy as np
import pytest

from spinode import Trace
from spinode.traces.channel_roles import likely_drives
from spinode.traces.inspect import Issue, diagnose, summary

TIME = 1e-12 * np.arange(1000)
SINE = np.sin(0.13 * np.arange(1000))


def codes(trace):
    return [issue.code for issue in diagnose(trace)]


def only_issue(trace, code):
    (issue,) = [issue for issue in diagnose(trace) if issue.code == code]
    return issue


# --- sample times --------------------------------------------------------------------------------------------------------


def test_clean_trace_has_no_issues():
    assert diagnose(Trace(TIME, {"V": np.cos(0.1 * np.arange(1000))}, {"m": SINE})) == []


def test_single_sample_is_too_short():
    assert codes(Trace(TIME[:1], {}, {"m": SINE[:1]})) == ["too-short"]
    assert "Fix the errors above" in summary(Trace(TIME[:1], {}, {"m": SINE[:1]}))


def test_jitter_is_measured():
    rng = np.random.default_rng(0)
    steps = 1e-12 * (1 + 0.01 * rng.normal(size=1000))
    issue = only_issue(Trace(np.cumsum(steps), {}, {"m": SINE}), "jitter")
    assert issue.severity == "note"
    # The standard deviation of 1000 normal numbers has a standard error of 2.2 %.
    percent = float(issue.message.split("(")[1].split(" ")[0])
    assert percent == pytest.approx(1.0, rel=0.1)


def test_strong_jitter_is_a_warning():
    steps = np.tile([1e-12, 3e-12], 500)
    assert only_issue(Trace(np.cumsum(steps), {}, {"m": SINE}), "jitter").severity == "warning"


def test_rounding_of_times_is_not_jitter():
    assert diagnose(Trace(np.round(TIME, 17), {}, {"m": SINE})) == []


def test_gap_is_located():
    time = TIME.copy()
    time[600:] += 50e-12
    issue = only_issue(Trace(time, {}, {"m": SINE}), "gap")
    assert issue.at == pytest.approx(599e-12)
    assert "1 gap " in issue.message
    assert "51 ps" in issue.message


def test_repeated_times_and_times_that_run_backwards():
    repeated = TIME.copy()
    repeated[10] = repeated[9]
    assert only_issue(Trace(repeated, {}, {"m": SINE}), "duplicate-time").severity == "error"
    back = np.concatenate([TIME[:500], TIME[:500]])
    issue = only_issue(Trace(back, {}, {"m": SINE}), "time-runs-back")
    assert (issue.severity, issue.at) == ("error", TIME[499])


def test_missing_time():
    time = TIME.copy()
    time[3] = np.nan
    assert codes(Trace(time, {}, {"m": SINE})) == ["time-missing"]


# --- channels -----------------------------------------------------------------------------------------------------


def test_missing_values_are_counted():
    values = SINE.copy()
    values[[20, 30]] = np.nan
    values[40] = np.inf
    issue = only_issue(Trace(TIME, {}, {"m": values}), "missing")
    assert issue.message == "m has 2 missing (NaN) and 1 infinite of 1000 values, the first at 20 ps."
    assert (issue.channel, issue.at) == ("m", TIME[20])


def test_constant_channels():
    assert codes(Trace(TIME, {"V": np.full(1000, 0.3)}, {"m": SINE})) == ["constant"]
    assert "0.3" in diagnose(Trace(TIME, {"V": np.full(1000, 0.3)}, {"m": SINE}))[0].message


def test_channel_with_nan_only():
    assert codes(Trace(TIME, {}, {"m": np.full(1000, np.nan)})) == ["missing"]


@pytest.mark.parametrize(("low", "high", "ends"), [(-2, 0.9, ["maximum"]), (-0.9, 2, ["minimum"]), (-0.8, 0.8, ["max", "min"])])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_clipping(low, high, ends, noise):
    signal = SINE + noise * np.random.default_rng(0).normal(size=1000)
    messages = [i.message for i in diagnose(Trace(TIME, {}, {"m": np.clip(signal, low, high)})) if i.code == "clipped"]
    assert len(messages) == len(ends)
    for end, message in zip(ends, messages, strict=True):
        assert end in message


def test_clipping_of_a_digitised_signal():
    levels = np.round(np.sin(0.003 * np.arange(20_000)) * 100)
    time = 1e-6 * np.arange(20_000)
    assert codes(Trace(time, {}, {"V": levels})) == []
    assert codes(Trace(time, {}, {"V": np.clip(levels, -300, 70)})) == ["clipped"]


def steps(rng, length, hold):
    return np.repeat(rng.uniform(-1, 1, length // hold + 1), hold)[:length]


@pytest.mark.parametrize(
    "signal",
    [
        lambda rng: steps(rng, 1000, 50),
        lambda rng: steps(rng, 1000, 2),
        lambda rng: (np.cumsum(rng.random(1000) < 0.02) % 2).astype(float),
        lambda rng: rng.integers(0, 4, 1000).astype(float),
        lambda rng: (np.arange(1000) % 100 < 20) * np.repeat(rng.uniform(0.5, 1, 10), 100),
        lambda rng: np.maximum(SINE, 0.0),
        lambda rng: np.cumsum(rng.normal(size=1000)),
    ],
    ids=["held", "held for two samples", "telegraph", "four levels", "pulses", "rectified", "random walk"],
)
def test_signals_that_rest_by_nature_are_not_reported_as_clipped(signal):
    for seed in range(20):
        assert "clipped" not in codes(Trace(TIME, {"u": signal(np.random.default_rng(seed))}, {}))


# --- summary ---------------------------------------------------------------------------------------------------------


def test_summary_of_a_file_with_clear_roles():
    trace = Trace(
        TIME,
        {},
        {"Ku1.region1": 8e5 + SINE, "mx": 1e-9 * SINE, "mz": SINE + 1},
        {"T": 300.0},
        {"Ku1.region1": "J/m3", "T": "K"},
        provenance={"file": "my table.txt", "reader": "mumax", "time": "t", "raw_units": {"t": None}},
    )
    text = summary(trace)
    assert "samples   1000, from 0 s to 999 ps" in text
    assert "parameter T = 300 K" in text
    assert "no unit for 't'; seconds are assumed" in text
    assert "No issues were found." in text
    assert "spinode fit 'my table.txt' --drive Ku1.region1 --output mz --save device.safetensors" in text


def test_summary_names_the_choices_to_make():
    text = summary(Trace(TIME, {}, {"a": SINE, "b": SINE**2}), file="x.csv")
    assert "choose the drive and the output: neither names nor levels show which channel drives the device" in text
    assert "spinode fit x.csv --drive a --output b --save" in text
    assert "spinode fit x.csv --drive b --output a --save" in text
    assert "channels: a, b" in text


def test_summary_suggests_no_fit_of_a_recording_that_fit_refuses():
    short = summary(Trace(TIME[:150], {"V": np.cos(0.1 * np.arange(150))}, {"m": SINE[:150]}))
    assert "150 samples is too short for `spinode fit`; at least 200 are needed" in short
    assert "--save" not in short


def test_summary_suggests_no_fit_if_the_time_has_errors():
    assert "Fix the errors above" in summary(Trace(TIME[::-1], {}, {"m": SINE}))


def test_summary_suggests_to_stop_before_a_change_of_regime():
    rng = np.random.default_rng(0)
    output = rng.normal(size=6000) * np.where(np.arange(6000) < 3000, 1.0, 0.05)
    text = summary(Trace(1e-12 * np.arange(6000), {"u": steps(np.random.default_rng(1), 6000, 10)}, {"m": output}))
    assert "--drive u --output m --stop " in text


def test_issues_compare_by_value():
    assert Issue("note", "jitter", "x") == Issue("note", "jitter", "x")


def test_sweep_of_volts_and_amperes_is_fitted_with_the_voltage_as_drive():
    ramp = np.linspace(0, 1, 240)
    trace = Trace(
        np.arange(240.0),
        output={"out": np.sin(ramp), "set": ramp},
        units={"out": "A", "set": "V", "time": ""},
        provenance={"file": "iv.csv", "sampled_by": "sample number", "metadata": {"header": {"Model": "2450", "Points": 3}}},
    )
    assert likely_drives(trace) == ("set",)
    text = summary(trace, options=["--time", "sample"])
    assert "spinode fit iv.csv --time sample --drive set --output out --save device.safetensors" in text
    assert "recorded  Model: 2450" in text
    assert "the samples are numbered by sample number" in text
    autonomous = summary(Trace(ramp, output={"y": np.sin(9 * ramp)}))
    assert "spinode fit TABLE --output y --save" in autonomous


def test_counters_ramps_and_constants_are_no_outputs():
    count = np.arange(300.0)
    channels = {"index": count, "Potential applied": np.round(np.sin(count / 40), 2), "WE current": np.sin(count / 9)}
    trace = Trace(count, output=channels)
    assert likely_drives(trace) == ("Potential applied",)
    assert "--drive 'Potential applied' --output 'WE current'" in summary(trace)
    assert "nothing for `spinode fit` to learn" in summary(Trace(count, output={"index": count, "set": 0 * count}))


def test_times_that_stand_still_or_repeat_by_rounding():
    still = only_issue(Trace(np.zeros(30), output={"m": SINE[:30]}), "duplicate-time")
    assert "The time stands still" in still.message
    assert "--time sample" in still.message
    rounded = only_issue(Trace(np.round(1e-3 * np.arange(200), 2), output={"m": SINE[:200]}), "duplicate-time")
    assert "pass --time 0.001" in rounded.message


def test_numbers_of_samples_are_not_seconds():
    time = np.arange(100.0)
    time[50:] += 300
    assert " s," not in only_issue(Trace(time, output={"m": SINE[:100]}, units={"time": ""}), "gap").message


def test_an_output_with_missing_samples_is_still_the_output():
    rng = np.random.default_rng(0)
    held = steps(rng, 1000, 20)
    response = np.convolve(held, np.exp(-np.arange(50) / 10))[:1000]
    response[300:320] = np.nan
    text = summary(Trace(TIME, output={"a": held, "b": response}, missing="mask"), file="x.csv")
    assert "spinode fit x.csv --missing mask --drive a --output b --save" in text
