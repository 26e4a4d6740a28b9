"""The order of setting a held drive and reading the outputs: it is recognised, and put right."""

import numpy as np
import pytest

from spinode import Trace, diagnose
from spinode.datasets import read_trace
from spinode.errors import TraceError
from spinode.traces.read_order import drives_read_after, in_order, reads_after, set_before_read


def recording(seed: int, *, after: bool, direct: float = 1.0, hold: int = 8, rows: int = 400, noise: float = 0.0) -> dict:
    """Return a table of a held drive and the output of a low-pass with a direct path, read before or after the drive is set."""
    rng = np.random.default_rng(seed)
    drive = np.repeat(rng.normal(size=rows // hold + 1), hold)[: rows + 1]
    slow = np.zeros(rows + 1)
    for k in range(rows):
        slow[k + 1] = slow[k] + 0.1 * (drive[k] - slow[k])
    response = slow[1:] + direct * drive[:-1] + noise * rng.normal(size=rows)  # at the end of step k, under drive k
    return {"t (s)": np.arange(rows), "V (V)": drive[:-1] if after else drive[1:], "I (A)": response}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("after", "direct"), [(True, 1.0), (True, 3.0), (False, 1.0), (False, 3.0)])
def test_an_output_that_jumps_with_its_drive_was_read_after_it(seed, after, direct):
    table = recording(seed, after=after, direct=direct, noise=0.05)
    assert reads_after(table["V (V)"], table["I (A)"]) is after


@pytest.mark.parametrize("seed", range(5))
def test_an_output_without_a_direct_path_shows_no_order(seed):
    for after in (True, False):
        table = recording(seed, after=after, direct=0.0, noise=0.02)
        assert not reads_after(table["V (V)"], table["I (A)"])


def test_noise_or_few_changes_show_no_order():
    rng = np.random.default_rng(0)
    assert not reads_after(np.repeat(rng.normal(size=50), 8), rng.normal(size=400))
    assert not reads_after(np.repeat([0.0, 1.0, 0.0, 1.0], 10), np.repeat([0.0, 1.0, 0.0, 1.0], 10))


def test_a_recording_read_after_its_drive_becomes_that_of_the_same_device_read_before():
    late = read_trace(recording(1, after=True), drive="V", output="I", reads="after")
    early = read_trace(recording(1, after=False), drive="V", output="I")
    np.testing.assert_array_equal(late.drive["V"][:-1], early.drive["V"][:-1])
    assert not drives_read_after(late)
    assert late.interpolation["V"] == "held"


def test_a_recording_without_roles_is_put_in_order_once_it_has_them():
    late = in_order(read_trace(recording(1, after=True), reads="after").assign("V", "I"))
    assert (
        late.drive["V"].tolist()
        == read_trace(recording(1, after=True), drive="V", output="I", reads="after").drive["V"].tolist()
    )
    assert in_order(late) is late  # not twice


def test_inspection_names_the_option_and_is_silent_where_it_was_given():
    raw = read_trace(recording(2, after=True), drive="V", output="I")
    assert [issue.code for issue in diagnose(raw)] == ["read-order"]
    assert "--reads after" in diagnose(raw)[0].message
    assert not diagnose(read_trace(recording(2, after=True), drive="V", output="I", reads="after"))


def test_smooth_drives_and_other_words_are_refused():
    time = np.arange(200.0)
    with pytest.raises(TraceError, match=r"reads='after' is about drives that hold .*V \(spline\)"):
        set_before_read(Trace(time, {"V": np.sin(time)}, {"I": np.cos(time)}))
    with pytest.raises(TraceError, match="reads is 'late'; expected 'before' or 'after'"):
        read_trace(recording(0, after=True), reads="late")
