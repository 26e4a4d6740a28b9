import numpy as np
import pytest
from scipy.signal import lfilter

from spinode import Trace
from spinode.traces.change_point import detect_statistics_change
from spinode.traces.inspect import Issue, diagnose, summary

TIME = 1e-12 * np.arange(1000)
SINE = np.sin(0.13 * np.arange(1000))


def codes(trace):
    return [finding.code for finding in diagnose(trace)]


def found(trace, code):
    (finding,) = [finding for finding in diagnose(trace) if finding.code == code]
    return finding


# --- the times --------------------------------------------------------------------------------------------------------


def test_a_clean_trace_has_no_findings():
    assert diagnose(Trace(TIME, {"V": np.cos(0.1 * np.arange(1000))}, {"m": SINE})) == []


def test_too_short():
    assert codes(Trace(TIME[:1], {}, {"m": SINE[:1]})) == ["too-short"]
    assert "Mend the errors above" in summary(Trace(TIME[:1], {}, {"m": SINE[:1]}))


def test_jitter_is_measured():
    rng = np.random.default_rng(0)
    steps = 1e-12 * (1 + 0.01 * rng.normal(size=1000))
    finding = found(Trace(np.cumsum(steps), {}, {"m": SINE}), "jitter")
    assert finding.severity == "note"
    # The deviation of 1000 normal numbers is known to 2.2 % (one sigma).
    percent = float(finding.message.split("(")[1].split(" ")[0])
    assert percent == pytest.approx(1.0, rel=0.1)


def test_strong_jitter_is_a_warning():
    steps = np.tile([1e-12, 3e-12], 500)
    assert found(Trace(np.cumsum(steps), {}, {"m": SINE}), "jitter").severity == "warning"


def test_rounded_times_are_no_jitter():
    assert diagnose(Trace(np.round(TIME, 17), {}, {"m": SINE})) == []


def test_gap():
    time = TIME.copy()
    time[600:] += 50e-12
    finding = found(Trace(time, {}, {"m": SINE}), "gap")
    assert finding.at == pytest.approx(599e-12)
    assert "1 gap " in finding.message
    assert "51 ps" in finding.message


def test_times_that_repeat_or_run_back():
    repeated = TIME.copy()
    repeated[10] = repeated[9]
    assert found(Trace(repeated, {}, {"m": SINE}), "duplicate-time").severity == "error"
    back = np.concatenate([TIME[:500], TIME[:500]])
    finding = found(Trace(back, {}, {"m": SINE}), "time-runs-back")
    assert (finding.severity, finding.at) == ("error", TIME[499])


def test_a_time_that_is_missing():
    time = TIME.copy()
    time[3] = np.nan
    assert codes(Trace(time, {}, {"m": SINE})) == ["time-missing"]


# --- the channels -----------------------------------------------------------------------------------------------------


def test_missing_values_are_counted():
    values = SINE.copy()
    values[[20, 30]] = np.nan
    values[40] = np.inf
    finding = found(Trace(TIME, {}, {"m": values}), "missing")
    assert finding.message == "m has 2 missing (NaN) and 1 infinite of 1000 values, first at 20 ps."
    assert (finding.channel, finding.at) == ("m", TIME[20])


def test_constant_channels():
    assert codes(Trace(TIME, {"V": np.full(1000, 0.3)}, {"m": SINE})) == ["constant"]
    assert "0.3" in diagnose(Trace(TIME, {"V": np.full(1000, 0.3)}, {"m": SINE}))[0].message


def test_a_channel_of_nothing_but_nan():
    assert codes(Trace(TIME, {}, {"m": np.full(1000, np.nan)})) == ["missing"]


@pytest.mark.parametrize(("low", "high", "ends"), [(-2, 0.9, ["maximum"]), (-0.9, 2, ["minimum"]), (-0.8, 0.8, ["max", "min"])])
@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_clipping(low, high, ends, noise):
    signal = SINE + noise * np.random.default_rng(0).normal(size=1000)
    messages = [f.message for f in diagnose(Trace(TIME, {}, {"m": np.clip(signal, low, high)})) if f.code == "clipped"]
    assert len(messages) == len(ends)
    for end, message in zip(ends, messages, strict=True):
        assert end in message


def test_clipping_of_a_signal_that_a_converter_rounded():
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
def test_signals_that_rest_by_nature_are_not_clipped(signal):
    for seed in range(20):
        assert "clipped" not in codes(Trace(TIME, {"u": signal(np.random.default_rng(seed))}, {}))


# --- a change of regime -----------------------------------------------------------------------------------------------


def resonator(drive, period=50.0, quality=15.0):
    """A damped oscillator under a drive, both in samples."""
    radius = np.exp(-np.pi / (period * quality))
    return lfilter([1.0], [1.0, -2 * radius * np.cos(2 * np.pi / period), radius**2], drive)


def telegraph(rng, length, dwell):
    return np.cumsum(rng.random(length) < 1 / dwell) % 2 * 1.0


def modulated(rng, length):
    return steps(rng, length, 50) * np.sin(0.12 * np.arange(length))


ONE_REGIME = {
    "white noise": lambda rng, n: (rng.normal(size=n), []),
    "heavy tails": lambda rng, n: (rng.standard_t(2, size=n), []),
    "random walk": lambda rng, n: (np.cumsum(rng.normal(size=n)), []),
    "beat": lambda rng, n: (np.sin(0.13 * np.arange(n)) + np.sin(rng.uniform(0.128, 0.132) * np.arange(n)), []),
    "telegraph": lambda rng, n: (telegraph(rng, n, 200), []),
    "slow telegraph with noise": lambda rng, n: (telegraph(rng, n, 1000) + 0.05 * rng.normal(size=n), []),
    "held": lambda rng, n: (steps(rng, n, 40), []),
    "resonator under modulation": lambda rng, n: (resonator(modulated(rng, n)), []),
    "resonator under steps": lambda rng, n: (resonator(steps(rng, n, 40)), []),
    "resonator under slow steps": lambda rng, n: (resonator(steps(rng, n, 400)), []),
    "resonator under telegraph": lambda rng, n: (resonator(telegraph(rng, n, 300)), []),
    "ring-down": lambda rng, n: (np.exp(-np.arange(n) * 5 / n) * np.sin(0.13 * np.arange(n)), []),
    "louder drive": lambda rng, n: (lambda u: (resonator(u), [u]))(
        steps(rng, n, 10) * np.where(np.arange(n) < n * rng.uniform(0.2, 0.8), 1.0, 0.25)
    ),
}


@pytest.mark.parametrize("kind", ONE_REGIME)
def test_false_alarms(kind):
    """At most 1 of 100 in the long run: of 60 recordings 4 or more would then come with a probability of 0.3 %."""
    alarms = 0
    for seed in range(30):
        for length in (3000, 8000):
            output, drives = ONE_REGIME[kind](np.random.default_rng(seed), length)
            alarms += detect_statistics_change(np.arange(length) * 1.0, output, drives) is not None
    assert alarms <= 3


def test_a_collapse_is_found_where_it_is():
    """A resonator whose swing falls to a tenth: found in at least 9 of 10, to a block of 1/60 of the recording."""
    places, length = [], 6000
    for seed in range(30):
        rng = np.random.default_rng(seed)
        place = int(length * rng.uniform(0.2, 0.8))
        output = resonator(steps(rng, length, 10)) * np.where(np.arange(length) < place, 1.0, 0.1)
        change = detect_statistics_change(np.arange(length) * 1e-12, output)
        if change is not None:
            places.append(change.at / 1e-12 - place)
            assert 0.03 < change.amplitude < 0.4
    assert len(places) >= 27
    assert np.median(np.abs(places)) < length / 60


def test_a_change_of_frequency_is_found():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        place = rng.uniform(0.3, 0.7) * 6000
        phase = np.cumsum(np.where(np.arange(6000) < place, 0.06, 0.18))
        change = detect_statistics_change(np.arange(6000) * 1.0, np.sin(phase) + 0.02 * rng.normal(size=6000))
        assert change is not None
        assert change.at == pytest.approx(place, abs=300)
        assert change.speed == pytest.approx(3.0, rel=0.3)


def test_the_drive_explains_a_change_that_it_makes_itself():
    rng = np.random.default_rng(0)
    drive = steps(rng, 6000, 10) * np.where(np.arange(6000) < 3000, 1.0, 0.1)
    output = resonator(drive)
    time = np.arange(6000) * 1e-12
    assert detect_statistics_change(time, output) is not None
    assert detect_statistics_change(time, output, [drive]) is None
    assert codes(Trace(time, {"u": drive}, {"m": output})) == []


@pytest.mark.parametrize("scale", [1e-30, 1e-9, 1.0, 1e12])
def test_scales_and_offsets_do_not_matter(scale):
    rng = np.random.default_rng(1)
    output = resonator(steps(rng, 6000, 10)) * np.where(np.arange(6000) < 4000, 1.0, 0.05)
    time = np.arange(6000) * 1.0
    plain = detect_statistics_change(time, output)
    other = detect_statistics_change(1e-12 * time + 5.0, scale * (output - 3.0))
    assert plain is not None
    assert other is not None
    assert other.at - 5.0 == pytest.approx(1e-12 * plain.at, abs=1e-14)


@pytest.mark.parametrize("output", [np.zeros(6000), np.full(6000, np.nan), np.zeros(3), np.zeros(0)])
def test_nothing_to_find(output):
    assert detect_statistics_change(np.arange(len(output)) * 1.0, output) is None


@pytest.mark.parametrize(
    ("file", "at"),
    [
        ("1skyrmion_voltage_table.txt", None),
        ("1skyrmion_PMA_DMI_train_table.txt", None),
        ("1skyrmion_test_Ku_ext_DMI_table.txt", None),
        ("llg_held_50ps_30ns.csv", None),
        ("llg_held_10ps_30ns.csv", 10.9e-9),
    ],
)
def test_the_skyrmion_that_collapses(shared, file, at):
    from spinode.datasets import read_trace

    issues = [f for f in diagnose(read_trace(shared / "data" / "spin_neural_ode" / file)) if f.code == "regime-change"]
    if at is None:
        assert issues == []
    else:
        (finding,) = issues
        assert finding.channel == "mz"
        assert finding.at == pytest.approx(at, abs=0.1e-9)


# --- the text ---------------------------------------------------------------------------------------------------------


def test_summary_of_a_clear_file():
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
    assert "no unit for 't'; it is taken as seconds" in text
    assert "Nothing odd was found." in text
    assert "spinode fit 'my table.txt' --drive Ku1.region1 --output mz --save device.safetensors" in text


def test_summary_says_what_must_be_chosen():
    text = summary(Trace(TIME, {}, {"a": SINE, "b": SINE**2}), file="x.csv")
    assert "say which channels drive the device" in text
    assert "spinode fit x.csv --drive CHANNEL --output CHANNEL" in text
    assert "channels: a, b" in text


def test_summary_of_a_broken_time_offers_no_fit():
    assert "Mend the errors above" in summary(Trace(TIME[::-1], {}, {"m": SINE}))


def test_summary_suggests_to_stop_before_the_change():
    output = resonator(steps(np.random.default_rng(0), 6000, 10)) * np.where(np.arange(6000) < 3000, 1.0, 0.05)
    text = summary(Trace(1e-12 * np.arange(6000), {"u": steps(np.random.default_rng(1), 6000, 10)}, {"m": output}))
    assert "--drive u --output m --stop " in text


def test_findings_are_values():
    assert Issue("note", "jitter", "x") == Issue("note", "jitter", "x")
