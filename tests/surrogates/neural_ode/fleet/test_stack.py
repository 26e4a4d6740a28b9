"""The stacked optimisation takes the steps that the single one takes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode import Trace
from spinode.errors import ConfigError
from spinode.surrogates.neural_ode.fitting.config import FitConfig
from spinode.surrogates.neural_ode.fitting.gauss_newton import stage_problem
from spinode.surrogates.neural_ode.fitting.levenberg_marquardt import minimise
from spinode.surrogates.neural_ode.fitting.shooting import ParameterVector
from spinode.surrogates.neural_ode.fitting.stages import default_field, new_member
from spinode.surrogates.neural_ode.fleet.finish import grade_of
from spinode.surrogates.neural_ode.fleet.fit_many import _free_initial_states, _problem, fit_many
from spinode.surrogates.neural_ode.fleet.small_signal import small_signal
from spinode.surrogates.neural_ode.fleet.start import FleetStart, with_ratios
from spinode.surrogates.neural_ode.fleet.table import as_csv, outliers, write_table
from spinode.surrogates.testing import resonator

SETTINGS = {"embedding": "derivative", "order": 2, "hidden": 3, "ridge": 1e-7, "windows": (8, 40), "restarts": 1}


def recording(gain: float, samples: int = 400, seed: int = 0) -> Trace:
    voltage = np.repeat(np.random.default_rng(seed).uniform(-1, 1, size=samples // 10), 10)
    output = resonator(gain=gain).simulate(torch.as_tensor(voltage)[:, None], interpolation={"V": "held"}).detach().numpy()
    noise = 1e-3 * np.random.default_rng(seed + 1).normal(size=samples)
    return Trace(1e-11 * np.arange(samples), {"V": voltage}, {"y": output[:, 0] + noise}, interpolation={"V": "held"})


@pytest.fixture(scope="module")
def start() -> FleetStart:
    config = FitConfig(**SETTINGS, sample_interval=1e-11, output_map=())
    return FleetStart(config, False, torch.tensor([[0.35]], dtype=torch.float64), torch.zeros(0), (), ())


@pytest.mark.parametrize("window", [8, 40])
def test_steps_are_those_of_the_single_optimisation(start: FleetStart, window: int) -> None:
    batch = [start.prepare(recording(gain, seed=seed))[1] for seed, gain in enumerate((0.4, 0.5, 0.9))]
    members = [new_member(each, default_field(start.config), seed) for seed, each in enumerate(batch)]
    vectors = [ParameterVector(member.field, member.feedthrough) for member in members]
    theta = torch.stack([vector.start for vector in vectors])

    class Climb:
        member, layout = members[0], vectors[0]

    problem = _problem(batch, Climb, start, window, 1)  # type: ignore[arg-type]
    _free_initial_states(problem, batch, theta, window)
    stacked = problem.minimise(problem.begin(theta), iterations=4, patience=3)
    for index, (each, vector) in enumerate(zip(batch, vectors, strict=True)):
        single = stage_problem(each.samples, vector, theta[index], window, start.config, 0)
        point = minimise(single, theta[index], single.no_shifts(), iterations=4)
        assert float(stacked.cost[index]) == pytest.approx(point.cost, rel=1e-6)
        torch.testing.assert_close(stacked.theta[index], point.theta, rtol=1e-4, atol=1e-6)


def test_scales_in_given_ratios_describe_the_same_samples(start: FleetStart) -> None:
    _, prepared = start.prepare(recording(0.5))
    other = with_ratios(prepared, 2 * start.ratios)
    torch.testing.assert_close(other.scales.ratios, 2 * start.ratios)
    back = other.samples.states * other.scales.state_scale.flatten()
    torch.testing.assert_close(back, prepared.samples.states * prepared.scales.state_scale.flatten())


@pytest.fixture(scope="module")
def fleet():  # type: ignore[no-untyped-def]
    traces = {f"d{n}": recording(0.4 + 0.05 * n, seed=n) for n in range(5)}
    traces["short"] = recording(0.4, samples=100)
    traces["longer"] = recording(0.7, samples=440)
    return fit_many(traces, pilots=2, iterations=12, **SETTINGS)


def test_each_device_gets_a_surrogate_with_its_own_gain(fleet) -> None:  # type: ignore[no-untyped-def]
    assert list(fleet.rows) == [*(f"d{n}" for n in range(5)), "short", "longer"]
    assert fleet.rows["short"]["verdict"] == "failed"
    assert "at least 200" in fleet.rows["short"]["reason"]
    for name, gain in (("d0", 0.4), ("d4", 0.6), ("longer", 0.7)):
        assert fleet.rows[name]["d y / d V"] == pytest.approx(gain, rel=0.05)
        assert fleet.rows[name]["verdict"] == "good"


def test_surrogates_are_those_of_any_fit(fleet, tmp_path) -> None:  # type: ignore[no-untyped-def]
    import spinode

    path = tmp_path / "d0.safetensors"
    fleet.surrogates["d0"].save(path)
    surrogate = spinode.load(path)
    assert spinode.evaluate(surrogate, recording(0.4, seed=9)).nrmse < 0.1
    assert float(surrogate.domain.radius) > 0
    assert float(surrogate.spread.curve.min()) > 0
    assert "y" in surrogate.describe()


def test_the_batches_do_not_change_the_result(fleet) -> None:  # type: ignore[no-untyped-def]
    alone = fit_many({"d3": recording(0.55, seed=3)}, start=fleet.start)
    assert alone.rows["d3"]["nrmse"] == pytest.approx(fleet.rows["d3"]["nrmse"], rel=1e-6)


def test_a_resonator_is_linearised_exactly() -> None:
    device = resonator(gain=0.8)
    figures = small_signal(device, [0.0])
    assert float(figures.sensitivity) == pytest.approx(0.8)
    ringing = device.simulate(torch.zeros(200, 1, dtype=torch.float64), state=None).detach()
    assert torch.isfinite(ringing).all()
    assert figures.frequency > 0
    assert figures.damping > 0


@pytest.mark.parametrize(
    "settings", [{"embedding": "latent"}, {"method": "adam"}, {"members": 2}], ids=["latent", "adam", "members"]
)
def test_settings_without_a_stacked_fit_are_refused(settings) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ConfigError, match="side by side"):
        fit_many([recording(0.5)], **settings)


def test_devices_with_other_channels_are_refused() -> None:
    other = recording(0.5)
    renamed = Trace(other.time, {"I": other.drive["V"]}, dict(other.output), interpolation={"I": "held"})
    with pytest.raises(ConfigError, match="same drives"):
        fit_many([other, renamed], **SETTINGS)
    with pytest.raises(ConfigError, match="no devices"):
        fit_many([])


def test_verdicts_follow_from_the_error_beyond_the_noise() -> None:
    assert [grade_of(beyond, False)[1][:10] for beyond in (0.01, 0.1, 0.5, float("nan"))] == [
        "",
        "validation",
        "validation",
        "validation",
    ]
    assert grade_of(0.001, True)[1].startswith("runs away")


def test_tables_contain_every_device(tmp_path) -> None:  # type: ignore[no-untyped-def]
    rows = {"a": {"verdict": "good", "f": 1.0}, "b": {"verdict": "failed", "reason": "x, y"}}
    assert as_csv(rows).splitlines() == ["device,verdict,f,reason", "a,good,1.0,", 'b,failed,,"x, y"']
    write_table(rows, tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == as_csv(rows)
    polars = pytest.importorskip("polars")
    write_table(rows, tmp_path / "t.parquet")
    assert polars.read_parquet(tmp_path / "t.parquet")["device"].to_list() == ["a", "b"]


def test_equal_devices_have_no_outlier() -> None:
    rows = {str(n): {"verdict": "good", "f": 2.0, "x": float(n)} for n in range(20)}
    assert outliers(rows, ignore=("x",)) == {}
    rows["3"] = {"verdict": "bad", "reason": "runs away"}
    assert outliers(rows, ignore=("x",)) == {"3": ["bad: runs away"]}
