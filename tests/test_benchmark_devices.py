"""The benchmark of devices: what its models may see, how they are scored, and the table of its lines."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import spinode
from spinode.surrogates.testing import resonator

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"

pytestmark = pytest.mark.skipif(not BENCHMARKS.is_dir(), reason="the benchmarks are in the checkout, not in the wheel")


@pytest.fixture(scope="module")
def module():
    """Return a function that imports a script or helper of the benchmarks, as the scripts themselves do."""
    import importlib

    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == BENCHMARKS:
            del sys.modules[name]


def recording(samples: int, seed: int) -> spinode.Trace:
    """Return a run of y_t = 1.5 y_{t-1} - 0.7 y_{t-2} + u_{t-1} under white noise."""
    u = np.random.default_rng(seed).normal(size=samples)
    y = np.zeros(samples)
    for t in range(2, samples):
        y[t] = 1.5 * y[t - 1] - 0.7 * y[t - 2] + u[t - 1]
    units = {"u": "V", "y": "V", "time": "s"}
    return spinode.Trace(1e-3 * np.arange(samples), {"u": u}, {"y": y}, units=units, interpolation={"u": "held"})


@pytest.fixture
def device(module):
    return module("_recordings").make_device("linear", (recording(600, 0),), {"test": recording(200, 1)}, 10, "mV", 1e3)


@pytest.fixture
def data(tmp_path) -> Path:
    """Return a folder with recordings that have the names of those of the buck converter."""
    folder = tmp_path / "data" / "sysid"
    folder.mkdir(parents=True)
    for name, trace in (("train", recording(600, 0)), ("test", recording(200, 1))):
        rows = np.stack([trace.time, trace.drive["u"], trace.output["y"]], -1)
        np.savetxt(
            folder / f"buck_{name}.csv", rows, delimiter=",", header="time (s),input (V),y (V)", comments="", fmt="%.12g"
        )
    return folder.parent


def with_later_outputs(trace: spinode.Trace, washout: int, values: float) -> spinode.Trace:
    """Return the trace with other outputs after the washout."""
    output = {name: np.where(np.arange(len(trace)) < washout, y, values) for name, y in trace.output.items()}
    return replace(trace, output=output)


@pytest.mark.parametrize(("method", "bound"), [("fit_arx", 1e-6), ("fit_subspace", 1e-3)])
def test_linear_models_reproduce_a_linear_device(module, device, method, bound):
    run, notes = getattr(module("_baselines"), method)(device, 0)
    test = device.tests["test"]
    assert device.score("test", run(test)) < bound * 1e3 * device.truth["test"].std()
    assert notes["order"] >= 2
    np.testing.assert_array_equal(run(test), run(with_later_outputs(test, device.washout, 7.0)))


@pytest.mark.parametrize("method", ["fit_gru", "fit_plain_ode"])
def test_networks_use_no_later_outputs(module, device, method):
    run, notes = getattr(module("_baselines"), method)(device, 0, limit=0.05)
    test = device.tests["test"]
    assert run(test).shape == (200, 1)
    assert notes["steps"] >= 1
    np.testing.assert_array_equal(run(test), run(with_later_outputs(test, device.washout, 7.0)))


@pytest.mark.parametrize("washout", [4, 50])
def test_a_run_of_the_true_device_starts_from_the_washout(module, washout):
    """A state is found from the first samples, a few or many, though the device is not at rest."""
    surrogate = resonator()
    voltage = np.repeat(np.random.default_rng(2).normal(size=30), 10)
    start = torch.tensor([0.8, -0.5], dtype=torch.float64)
    with torch.no_grad():
        y = surrogate.simulate(torch.as_tensor(voltage)[:, None], state=start, interpolation={"V": "held"})[:, 0].numpy()
    trace = spinode.Trace(surrogate.interval * np.arange(300), {"V": voltage}, {"y": y}, interpolation={"V": "held"})
    run = module("_device_models").run_freely(surrogate, trace, washout)[:, 0]
    assert np.abs(run - y)[washout:].max() < 0.02 * y.std()
    other = module("_device_models").run_freely(surrogate, with_later_outputs(trace, washout, 7.0), washout)[:, 0]
    np.testing.assert_allclose(run, other, atol=1e-12)


def test_noise_is_added_to_what_models_see_alone(module, device):
    noisy = module("_recordings").noisy(device, 10.0)
    deviation = device.train[0].output["y"].std()
    added = noisy.train[0].output["y"] - device.train[0].output["y"]
    assert added.std() == pytest.approx(0.1 * deviation, rel=0.15)  # five deviations of the estimate from 600 samples
    assert noisy.noise_level == pytest.approx(100 * deviation, rel=0.02)  # in mV
    assert not np.array_equal(noisy.tests["test"].output["y"], device.tests["test"].output["y"])
    np.testing.assert_array_equal(noisy.truth["test"], device.truth["test"])
    assert (noisy.name, noisy.clean) == ("linear@snr10", "linear")


def test_scores_leave_the_washout_out(module, device):
    truth = device.truth["test"]
    run = truth.copy()
    run[:10] += 5
    assert device.score("test", run) == 0
    run[10:] += 0.25
    assert device.score("test", run) == pytest.approx(250)
    assert replace(device, unit="NRMSE").score("test", run) == pytest.approx(0.25 / truth[10:].std())
    run[-1] = np.nan
    assert device.score("test", run) == float("inf")


def run_devices(devices, monkeypatch, capsys, *arguments) -> str:
    threads = torch.get_num_threads()
    monkeypatch.setattr(sys, "argv", ["devices.py", *map(str, arguments)])
    try:
        devices.main()
    finally:
        torch.set_num_threads(threads)
    return capsys.readouterr().out


def test_lines_are_written_once_and_make_a_table(module, data, tmp_path, monkeypatch, capsys):
    devices, results = module("devices"), tmp_path / "lines.jsonl"
    small = {"order": 1, "embedding": "derivative", "hidden": [2], "restarts": 1, "windows": [1, 8], "iterations": 2}
    arguments = ["--only", "buck", "--data", data, "--results", results, "--version", "small", "--settings", json.dumps(small)]
    run_devices(devices, monkeypatch, capsys, *arguments, "--methods", "spinode", "arx", "--seeds", "0")
    lines = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["device"], line["method"], line["version"]) for line in lines] == [
        ("buck", "spinode", "small"),
        ("buck", "arx", devices.BASELINES),
    ]
    assert all(line["scores"]["test"] >= 0 and line["cpu_seconds"] >= 0 for line in lines), lines
    printed = run_devices(devices, monkeypatch, capsys, *arguments, "--methods", "spinode", "arx", "--seeds", "0")
    assert printed.count("already has a line") == 2
    assert len(results.read_text().splitlines()) == 2
    page = module("devices_table").page(results)
    assert "| buck converter, test | V |" in page
    assert "| buck converter, test, over the linear model | <= 1.02 |" in page


def test_missing_recordings_are_named(module, tmp_path, monkeypatch, capsys):
    arguments = ["--only", "ced", "--data", tmp_path, "--results", tmp_path / "lines.jsonl", "--methods", "arx"]
    printed = run_devices(module("devices"), monkeypatch, capsys, *arguments)
    assert "ced: skipped, not found" in printed
    assert "ced_low_train.csv" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--methods", "subnet"), "--python"),
        (("--only", "bukc"), "unknown device 'bukc'"),
        (("--settings", '{"order": 1}'), "--version"),
    ],
)
def test_options_that_cannot_be_run_are_refused(module, tmp_path, monkeypatch, capsys, arguments, message):
    with pytest.raises(SystemExit):
        run_devices(module("devices"), monkeypatch, capsys, *arguments, "--results", tmp_path / "lines.jsonl")
    assert message in capsys.readouterr().err


def test_a_library_in_another_python_is_read_or_its_error_is_the_line(module, device, tmp_path):
    """A script in the place of the other Python: it repeats the given outputs, or fails."""
    external = module("_external_baselines")
    python = tmp_path / "python"
    python.write_text(
        f"#!{sys.executable}\nimport sys, numpy as np\n"
        "given = np.load(sys.argv[3])\n"
        "u, y = given['test/0/u'], given['test/0/y']\n"
        "np.savez(sys.argv[4], **{'test/0': np.resize(y, (len(u), y.shape[1]))})\n"
        "print('{\"order\": 2}')\n"
    )
    python.chmod(0o755)
    run, notes = external.fit_external("subnet", device, 0, python)
    test = device.tests["test"]
    np.testing.assert_array_equal(run(test)[:20, 0], np.resize(test.output["y"][:10], 20))  # it was given the washout alone
    assert notes == {"order": 2}
    python.write_text(f"#!{sys.executable}\nraise ValueError('no such model')\n")
    with pytest.raises(RuntimeError, match="no such model"):
        external.fit_external("subnet", device, 0, python)


def line(method, scores, seed=0, device="silverbox", version="1", **more):
    return {"device": device, "method": method, "seed": seed, "effort": "default", "version": version, "scores": scores,
            "unit": "mV", "cpu_seconds": 1.0 + seed, **more}  # fmt: skip


def test_claims_compare_the_median_of_the_newest_version(module):
    table = module("devices_table")
    lines = [line("spinode", {"multisine": 0.1}, version="old"), line("arx", {"multisine": 6.0}, validation=0.1)]
    lines += [line("spinode", {"multisine": value}, seed) for seed, value in enumerate((0.2, 0.29, 9.0))]
    rows = list(table.claims(table.Lines(lines)))
    assert "| Silverbox, multisine | < 0.3 | 0.29 | pass |" in rows
    assert "| Silverbox, multisine, over the linear model | <= 1.02 | 0.0483 | pass |" in rows
    assert "| Silverbox, multisine, over the reach | <= 1.5 | 1.06 | pass |" in rows
    # A seed again: the later line counts.
    lines += [line("spinode", {"multisine": "inf"}, seed) for seed in (0, 1)]
    rows = list(table.claims(table.Lines(lines)))
    assert "| Silverbox, multisine | < 0.3 | diverged | **fail** |" in rows
    lines.append({"device": "silverbox", "method": "spinode", "seed": 0, "effort": "default", "version": "2", "error": "no"})
    assert "| Silverbox, multisine | < 0.3 |  | not run |" in list(table.claims(table.Lines(lines)))


def test_grade_and_coverage_are_claims(module):
    table = module("devices_table")
    from spinode.reporting.remarks import CARE, GOOD

    notes = {"coverage": 0.9, "grade": GOOD, "nrmse": 0.01, "headline": "Trust it."}
    lines = [line("spinode", {"last 30 %": 0.01}, seed, "macrospin", tests={"last 30 %": notes}) for seed in (0, 1)]
    rows = list(table.claims(table.Lines(lines)))
    assert "| macrospin (demo), last 30 %: coverage | 0.85 .. 0.95 | 0.9 | pass |" in rows
    assert any("grade" in row and row.endswith("| pass |") for row in rows)
    lines[1]["tests"] = {"last 30 %": {**notes, "grade": CARE}}
    rows = list(table.claims(table.Lines(lines)))
    assert any("grade" in row and row.endswith("| **fail** |") for row in rows)


def test_multisine_has_its_band_and_deviation(module):
    films = module("_device_films")
    drive = films.multisine(15e-9, seed=7)
    deviation = (drive - films.MEAN) / films.UNIT
    assert float(deviation.std()) == pytest.approx(0.1, rel=0.1)
    power = np.abs(np.fft.rfft(deviation.numpy() * np.hanning(len(deviation)))) ** 2
    frequency = np.fft.rfftfreq(len(deviation), films.INTERVAL)
    assert power[(frequency > 0.1e9) & (frequency < 12.2e9)].sum() > 0.99 * power.sum()


def test_a_film_run_that_was_stopped_continues(module, tmp_path):
    films, file = module("_device_films"), tmp_path / "run.pt"
    blocks = []

    def run(first, last, m):
        """Count samples; the state is the number of the sample."""
        assert (first if m is None else int(m)) == first
        if len(blocks) == 1 and not file.with_suffix(".stopped").exists():
            file.with_suffix(".stopped").touch()
            raise KeyboardInterrupt
        blocks.append((first, last))
        return torch.arange(first, last, dtype=torch.float64)[:, None].expand(-1, 3), torch.tensor(last - 1)

    with pytest.raises(KeyboardInterrupt):
        films.resumed_run(file, 450, run)
    means = films.resumed_run(file, 450, run)
    assert torch.equal(means[:, 0], torch.arange(450, dtype=torch.float64))
    assert blocks == [(0, 201), (200, 401), (400, 450)]


def test_stored_table_is_that_of_the_stored_lines(module):
    """docs/results/devices.md equals the page that the script writes."""
    table = module("devices_table")
    assert table.page(table.RESULTS) == table.TABLE.read_text()
