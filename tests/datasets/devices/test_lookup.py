"""Look-up tables: reading of files and damaged copies, the sampled distribution against its definition, measured devices."""

import gzip
import math

import numpy as np
import pytest
import torch
from scipy.interpolate import RegularGridInterpolator
from scipy.stats import kstest

from spinode.contracts.synapse import Pulses
from spinode.datasets.devices.lookup import LookUpTable
from spinode.datasets.devices.lookup_file import read_lookup_tables
from spinode.errors import ConfigError, TraceError
from spinode.testing import SynapseContract

BINS = np.array([10e-6, 20e-6, 40e-6, 50e-6])
POINTS = np.array([0.0, 0.1, 0.5, 0.9, 1.0])


def tables(scale=1.0):
    """Return synthetic tables: steps with soft bounds and a skewed distribution."""
    spread = np.array([-1e-6, 0.5e-6, 2e-6, 4e-6, 7e-6])[:, None]
    room = (BINS[-1] - BINS + 5e-6) / 40e-6
    up = scale * spread * room
    return up, -scale * spread[::-1] * room[::-1]


def small(*scales):
    pairs = [tables(scale) for scale in scales or (1.0,)]
    bins = np.stack([BINS] * len(pairs))
    return LookUpTable(bins, POINTS, np.stack([up for up, _ in pairs]), np.stack([down for _, down in pairs]))


def text(bins, points, steps, separator=","):
    rows = [separator.join(f"{value:.12e}" for value in row) for row in (bins, points, *steps)]
    return "\n".join(["1st Row = Gbins, 2nd Row = CDF Points, then dG", *rows, ""])


@pytest.fixture
def files(tmp_path):
    up, down = tmp_path / "dG_increasing.txt", tmp_path / "dG_decreasing.txt"
    up.write_text(text(BINS, POINTS, tables()[0]))
    down.write_text(text(BINS, POINTS, tables()[1]))
    return up, down


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class TestOneDevice(SynapseContract):
    def make(self):
        return small()


class TestSeveralDevices(SynapseContract):
    def make(self):
        return small(0.5, 1.0, 1.7)


# The distribution of steps


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("conductance", [10e-6, 13e-6, 33e-6, 50e-6])
def test_steps_follow_the_interpolated_distribution(sign, conductance):
    """Kolmogorov-Smirnov against the quantile function at that conductance, inverted; false alarm 1e-6 each.

    A wide range of bins keeps the conductance from being clipped: the distribution is that of the steps.
    """
    table = tables()[0 if sign > 0 else 1]
    bins = np.array([1e-6, *BINS, 200e-6])
    wide = [np.hstack([t[:, :1], t, t[:, -1:]]) for t in tables()]
    model = LookUpTable(bins, POINTS, *wide)
    state = {"conductance": torch.full((20_000,), conductance, dtype=torch.float64)}
    after = model.program(state, Pulses(torch.full((20_000,), float(sign))), generator=seeded(0))
    quantiles = np.array([np.interp(conductance, BINS, row) for row in table])
    steps = (after["conductance"] - conductance).numpy()
    assert kstest(steps, lambda x: np.interp(x, quantiles, POINTS)).pvalue > 1e-6


def test_the_mean_step_is_the_integral_over_the_distribution():
    """Against a bilinear interpolator of scipy and its integral by a fine midpoint rule."""
    model = small()
    u = (np.arange(100_000) + 0.5) / 100_000
    for sign, table in zip((1, -1), tables(), strict=True):
        interpolated = RegularGridInterpolator((POINTS, BINS), table)
        for g in (10e-6, 13e-6, 33e-6, 50e-6):
            expected = interpolated(np.column_stack([u, np.full_like(u, g)])).mean()
            found = model.mean_step(torch.tensor([g], dtype=torch.float64), sign)
            assert float(found) == pytest.approx(expected, rel=1e-6)


def test_the_table_is_constant_beyond_its_outermost_probabilities():
    """Points 0.25 .. 0.75: mean of 1, (1 + 3) / 2 and 3 with the weights 1/4, 1/2, 1/4."""
    model = LookUpTable([1.0, 2.0], [0.25, 0.75], [[0.1, 0.1], [0.3, 0.3]], [[-0.3, -0.3], [-0.1, -0.1]])
    assert float(model.mean_step(torch.tensor([1.5]), 1)) == pytest.approx(0.2)
    state = {"conductance": torch.full((4000,), 1.2, dtype=torch.float64)}
    steps = model.program(state, Pulses(torch.ones(4000)), generator=seeded(0))["conductance"] - 1.2
    assert float(steps.min()) == pytest.approx(0.1, abs=1e-9)
    share = float((steps < 0.1 + 1e-9).double().mean())
    assert share == pytest.approx(0.25, abs=5 * math.sqrt(0.25 * 0.75 / 4000))


def test_a_train_is_a_sequence_of_single_pulses():
    model = small()
    count = torch.tensor([0.0, 1.0, -2.0, 3.0, 2.0])
    start = {"conductance": torch.full((5,), 30e-6, dtype=torch.float64)}
    together = model.program(start, Pulses(count))
    state = start
    for k in range(3):
        state = model.program(state, Pulses(torch.where(count.abs() > k, count.sign(), 0.0)))
    torch.testing.assert_close(together["conductance"], state["conductance"], rtol=0, atol=0)
    assert float(together["conductance"][0]) == 30e-6


def test_pulses_are_independent():
    """If steps do not depend on G, the variance of 4 pulses is 4 times that of one, within 5 standard errors."""
    steps = np.array([[0.0, 0.0], [1e-6, 1e-6]])
    model = LookUpTable([0.0, 1e-3], [0.0, 1.0], steps, -steps, start=0.5)
    state = model.initial((20_000,), dtype=torch.float64)
    sums = model.program(state, Pulses(torch.full((20_000,), 4.0)), generator=seeded(0))["conductance"] - 0.5e-3
    assert float(sums.mean()) == pytest.approx(2e-6, abs=5 * 1e-6 * math.sqrt(4 / 12 / 20_000))
    assert float(sums.var()) == pytest.approx(4 / 12 * 1e-12, rel=5 * math.sqrt(2 / 20_000))


def test_conductances_stay_within_the_bins():
    model = small(3.0, 8.0)
    state = model.initial((2000,), generator=seeded(0))
    for sign in (1, -1, 1, 1):
        state = model.program(state, Pulses(torch.full((2000,), 4.0 * sign)), generator=seeded(1))
        assert float(state["conductance"].min()) >= 10e-6 * (1 - 1e-6)
        assert float(state["conductance"].max()) <= 50e-6 * (1 + 1e-6)


# Several devices


def test_each_device_keeps_one_of_the_tables():
    """Numbers of devices per table are binomial within 5 standard errors; the steps are those of the table."""
    scales = (0.5, 1.0, 1.5)
    model = small(*scales)
    assert model.tables == 3
    state = model.initial((30_000,), generator=seeded(0), dtype=torch.float64)
    counts = torch.bincount(state["table"], minlength=3)
    for each in counts.tolist():
        assert each == pytest.approx(10_000, abs=5 * math.sqrt(30_000 * 2 / 9))
    after = model.program(state, Pulses(torch.ones(30_000)))
    assert torch.equal(after["table"], state["table"])
    for k, scale in enumerate(scales):
        step = (after["conductance"] - state["conductance"])[state["table"] == k]
        alone = float(small(scale).mean_step(torch.tensor([10e-6], dtype=torch.float64), 1))
        assert step.tolist() == pytest.approx([alone] * len(step), rel=1e-9)


def test_the_typical_device_is_the_median_of_the_tables():
    state = small(1.6, 0.4, 1.0).initial((2,))
    assert state["table"].tolist() == [2, 2]


def test_one_table_has_no_differences_between_devices():
    assert set(small().initial((3,), generator=seeded(0))) == {"conductance"}


def test_tables_may_have_different_ranges():
    """For devices of tenfold conductance everything is tenfold."""
    up, down = tables()
    model = LookUpTable(np.stack([BINS, 10 * BINS]), POINTS, np.stack([up, 10 * up]), np.stack([down, 10 * down]), start=0.25)
    state = {
        "conductance": torch.tensor([20e-6, 200e-6], dtype=torch.float64),
        "table": torch.tensor([0, 1]),
    }
    after = model.program(state, Pulses(torch.tensor([3.0, 3.0])))["conductance"]
    assert float(after[1]) == pytest.approx(10 * float(after[0]), rel=1e-12)
    full = model.program(state, Pulses(torch.tensor([500.0, 500.0])))["conductance"]
    assert full.tolist() == pytest.approx([50e-6, 500e-6])


# Files


def test_a_table_is_read_with_any_separator_and_gzipped(files, tmp_path):
    up, down = files
    plain = read_lookup_tables(up, str(down))
    np.testing.assert_allclose(np.asarray(plain.bins[0]), BINS)
    np.testing.assert_allclose(np.asarray(plain.increasing[0]), tables()[0])
    np.testing.assert_allclose(np.asarray(plain.decreasing[0]), tables()[1])
    for separator in (" , ", ",\t", "\t", " "):
        other = tmp_path / "other.txt.gz"
        other.write_bytes(gzip.compress(text(BINS, POINTS, tables()[0], separator).encode()))
        assert torch.equal(read_lookup_tables(other, down).increasing, plain.increasing)


def test_a_separator_at_the_end_of_a_line_is_accepted(files):
    up, down = files
    before = read_lookup_tables(up, down)
    up.write_text(up.read_text().replace("\n", ",\n"))
    assert torch.equal(read_lookup_tables(up, down).increasing, before.increasing)


def edited(file, line, change):
    lines = file.read_text().splitlines()
    lines[line - 1] = change(lines[line - 1])
    file.write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("line", "change", "message"),
    [
        (2, lambda row: ",".join(reversed(row.split(","))), "dG_increasing.txt, line 2: expected at least 2 conductances"),
        (3, lambda row: ",".join(reversed(row.split(","))), "line 3: expected at least 2 probabilities, increasing"),
        (3, lambda row: row.replace("1.000000000000e+00", "1.5"), r"line 3: cumulative probabilities from 0 to 1.5"),
        (5, lambda row: row.rpartition(",")[0], "line 5: 3 steps; expected 4, one for each bin"),
        (6, lambda row: row.replace("e-0", "x"), "line 6: could not convert"),
        (7, lambda row: "nan" + row[row.index(",") :], "line 7: value 1 is not finite"),
        (8, lambda row: "", "line 7: the file ends after 4 lines of steps; expected 5"),
    ],
)
def test_damaged_tables_are_refused_with_their_line(files, line, change, message):
    edited(files[0], line, change)
    with pytest.raises(TraceError, match=message):
        read_lookup_tables(*files)


def test_files_without_a_table_are_refused(files, tmp_path):
    up, down = files
    with pytest.raises(TraceError, match="cannot be read: No such file"):
        read_lookup_tables(tmp_path / "missing.txt", down)
    short = tmp_path / "short.txt"
    short.write_text("comment\n1,2\n")
    with pytest.raises(TraceError, match="has 1 lines of numbers"):
        read_lookup_tables(short, down)
    torn = tmp_path / "torn.txt.gz"
    torn.write_bytes(gzip.compress(up.read_bytes())[:-20])
    with pytest.raises(TraceError, match="or is damaged"):
        read_lookup_tables(torn, down)
    binary = tmp_path / "image.png"
    binary.write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(TraceError, match="is not a look-up table"):
        read_lookup_tables(binary, down)


def test_mismatched_tables_are_refused(files, tmp_path):
    up, down = files
    other = tmp_path / "other.txt"
    other.write_text(text(2 * BINS, POINTS, tables()[1]))
    with pytest.raises(TraceError, match=r"other.txt, line 2: its bins differ from those of dG_increasing.txt"):
        read_lookup_tables(up, other)
    other.write_text(text(BINS, POINTS**2, tables()[1]))
    with pytest.raises(TraceError, match=r"other.txt, line 3: its points"):
        read_lookup_tables(up, other)
    other.write_text(text(BINS[:3], POINTS, tables()[1][:, :3]))
    with pytest.raises(TraceError, match=r"other.txt, line 2: 3 bins, where the others have 4"):
        read_lookup_tables(up, other)
    with pytest.raises(TraceError, match="2 tables of SET and 1 of RESET"):
        read_lookup_tables([up, up], [down])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": BINS[::-1].copy()}, "do not increase"),
        ({"bins": BINS - 20e-6}, "the lowest bin is -1e-05 S"),
        ({"cumulative": 2 * POINTS}, r"runs from 0 to 2; expected 0 \.\. 1"),
        ({"increasing": tables()[0][:, :3]}, r"increasing has shape \(1, 5, 3\).*expected \(1, 5, 4\)"),
        ({"decreasing": tables()[1] * math.nan}, "decreasing contains NaN"),
        ({"start": 2.0}, "start is 2.0"),
        (
            {"bins": np.stack([BINS, BINS**2 * 1e5]), "increasing": [tables()[0]] * 2, "decreasing": [tables()[1]] * 2},
            "spaced differently",
        ),
    ],
)
def test_invalid_tables_are_refused(change, message):
    given = {"bins": BINS, "cumulative": POINTS, "increasing": tables()[0], "decreasing": tables()[1]} | change
    with pytest.raises(ConfigError, match=message):
        LookUpTable(**given)


# Real tables


def of(shared, folder, name, count=1):
    paths = [
        [shared / "data" / "devices" / folder / name.format(k, way) for k in range(count)]
        for way in ("increasing", "decreasing")
    ]
    return read_lookup_tables(*(each if count > 1 else each[0] for each in paths))


def medians(model, share, sign, devices=20_000):
    """Return the median, and the 16 and 84 % quantiles, of a pulse from a share of the range [uS], from the table alone."""
    low, high = float(model.bins[0, 0]), float(model.bins[0, -1])
    table = (model.increasing if sign > 0 else model.decreasing)[0].numpy()
    g = low + share * (high - low)
    steps = [np.interp(g, model.bins[0].numpy(), row) for row in table]
    return [1e6 * float(np.interp(u, model.cumulative.numpy(), steps)) for u in (0.5, 0.16, 0.84)]


def test_domain_walls_at_zero_temperature_take_equal_steps(shared):
    """6.54 uS everywhere, about 15 steps over the range."""
    model = of(shared, "sandia_dwmtj_lut_SIMULATED", "SOT_0K_dG_{1}{0}.txt.gz")
    state = model.initial((1000,), dtype=torch.float64)
    for k in range(1, 15):
        state = model.program(state, Pulses(torch.ones(1000)), generator=seeded(k))
        steps = (state["conductance"] - model.low) / k
        assert steps.numpy() == pytest.approx(6.54e-6, rel=5e-3)
    assert (model.high - model.low) / 6.54e-6 == pytest.approx(15.5, abs=0.1)


def test_domain_walls_at_room_temperature_have_the_described_steps(shared):
    """Median step 3.9 uS in the middle of the range, 3.6 uS from the 16 to the 84 % quantile: sampled, 5 % of either."""
    model = of(shared, "sandia_dwmtj_lut_SIMULATED", "SOT_300K_dG_{1}{0}.txt.gz")
    middle = (model.low + model.high) / 2
    state = {"conductance": torch.full((50_000,), middle, dtype=torch.float64)}
    steps = model.program(state, Pulses(torch.ones(50_000)), generator=seeded(0))["conductance"] - middle
    median, low, high = (1e6 * float(steps.quantile(u)) for u in (0.5, 0.16, 0.84))
    assert median == pytest.approx(3.9, rel=0.05)
    assert high - low == pytest.approx(3.6, rel=0.05)


def test_the_tantalum_oxide_device_sets_abruptly(shared):
    """Device 1: median SET step 152 uS at the lowest conductance, 61 uS in the middle; RESET -12 uS there."""
    folder = shared / "data" / "devices" / "sandia_crosssim_taox_lut"
    model = read_lookup_tables(folder / "dev1_dG_increasing.txt.gz", folder / "dev1_dG_decreasing.txt.gz")
    assert (model.low, model.high) == pytest.approx((18.6e-6, 118.6e-6), rel=5e-3)
    assert medians(model, 0.0, 1)[0] == pytest.approx(152, abs=0.5)
    assert medians(model, 0.5, 1)[0] == pytest.approx(61, abs=0.5)
    assert medians(model, 0.5, -1)[0] == pytest.approx(-12, abs=0.5)
    # A step of 152 uS passes the range of 100 uS: one pulse from the bottom sets nearly all devices fully.
    after = model.program(model.initial((10_000,)), Pulses(torch.ones(10_000)), generator=seeded(0))["conductance"]
    assert float((after >= model.high * (1 - 1e-6)).double().mean()) > 0.9


def test_three_tantalum_oxide_devices_form_a_population(shared):
    folder = shared / "data" / "devices" / "sandia_crosssim_taox_lut"
    paths = [[folder / f"dev{k}_dG_{way}.txt.gz" for k in (1, 20, 41)] for way in ("increasing", "decreasing")]
    model = read_lookup_tables(*paths)
    assert model.tables == 3
    state = model.initial((3000,), generator=seeded(0))
    state = model.program(state, Pulses(torch.full((3000,), 50.0)), generator=seeded(1))
    ends = model.bins[state["table"], -1]
    assert bool((state["conductance"] <= ends * (1 + 1e-6)).all())
    assert bool((state["conductance"] > 0.5 * ends).all())


def test_the_organic_device_has_its_own_grid(shared):
    """ENODe: 48 bins, 122 points that are not equally spaced; median steps 8.0, 5.0 and -3.0 uS."""
    folder = shared / "data" / "devices" / "sandia_crosssim_enode_lut"
    model = read_lookup_tables(folder / "dG_increasing.txt.gz", folder / "dG_decreasing.txt.gz")
    assert tuple(model.increasing.shape) == (1, 122, 48)
    assert (model.low, model.high) == pytest.approx((298e-6, 978e-6), rel=2e-3)
    assert medians(model, 0.0, 1)[0] == pytest.approx(8.0, abs=0.05)
    assert medians(model, 0.5, 1)[0] == pytest.approx(5.0, abs=0.05)
    assert medians(model, 0.5, -1)[0] == pytest.approx(-3.0, abs=0.05)


def test_a_million_devices_in_one_call():
    model = small(0.5, 1.0)
    state = model.initial((1000, 1000), generator=seeded(0))
    count = torch.randint(-2, 3, (1000, 1000), generator=seeded(1)).float()
    after = model.program(state, Pulses(count), generator=seeded(2))["conductance"]
    assert after.shape == (1000, 1000)
    assert torch.equal(after[count == 0], state["conductance"][count == 0])
    assert bool((after[count > 0] != state["conductance"][count > 0]).double().mean() > 0.8)
