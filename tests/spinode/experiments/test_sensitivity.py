"""The sensitivity experiment: its variants, its table, and what a second call does and refuses."""

from __future__ import annotations

import json
import math

import pytest

from spinode import ConfigError
from spinode.cli import main
from spinode.contracts.imperfections import imperfections
from spinode.datasets import WeakReset, made_digits
from spinode.experiments.sensitivity import study
from spinode.experiments.sensitivity.config import SensitivityConfig
from spinode.experiments.sensitivity.plot import plot_sensitivity
from spinode.experiments.sensitivity.table import Estimate, SensitivityTable
from spinode.experiments.sensitivity.trial import make_crossbar, run_trial
from spinode.experiments.sensitivity.variants import Variant, all_imperfections, reduced, variants

TINY = {"network": (4,), "train": 60, "test": 30, "epochs": 1, "batch_size": 20}


def made_table(seeds=(0, 1, 2)) -> SensitivityTable:
    """Return a table in which "a" costs 20 points and "b" costs 5, with noise of 1 that all variants of a seed share."""
    table = SensitivityTable("device", ("b", "a"))
    accuracies = {"everything": 0.7, "nothing": 0.95, "only a": 0.75, "without a": 0.9, "only b": 0.9, "without b": 0.75}
    for seed in seeds:
        for name, value in accuracies.items():
            table.add(name, seed, value + 0.01 * seed)
    return table


# Variants


def test_every_imperfection_is_alone_once_and_removed_once():
    names = imperfections(WeakReset())
    listed = {variant.name: variant.removed for variant in variants(names)}
    assert len(listed) == 2 + 2 * len(names)
    assert listed["everything"] == ()
    assert listed["without telegraph noise"] == ("telegraph noise",)
    assert "telegraph noise" not in listed["only telegraph noise"]
    assert {"device-to-device", "cycle-to-cycle", "nonlinearity"} <= set(listed["only telegraph noise"])
    corner = listed["only device-to-device corner"]
    assert "device-to-device m1" in corner
    assert "device-to-device corner" not in corner
    assert "device-to-device" not in corner


def test_nothing_leaves_nothing():
    names = imperfections(WeakReset())
    ideal, _ = reduced(WeakReset(), None, variants(names)[1].removed)
    assert imperfections(ideal) == ()


def test_the_crossbar_has_variants_like_the_device():
    config = SensitivityConfig(adc_bits=4, stuck_low=0.1)
    crossbar = make_crossbar(config)
    names = all_imperfections(WeakReset(), crossbar)
    assert names[-2:] == ("output converters", "stuck cells")
    device, left = reduced(WeakReset(), crossbar, ("stuck cells", "telegraph noise"))
    assert not device.rtn
    assert (left.adc_bits, left.stuck_low) == (4, 0.0)
    assert make_crossbar(SensitivityConfig()) is None


# The table


def test_costs_are_paired_by_seed():
    rows = made_table().rows()
    assert [row.name for row in rows] == ["a", "b"]
    assert rows[0].cost.mean == pytest.approx(0.2)
    assert rows[0].gain.mean == pytest.approx(0.2)
    assert rows[0].cost.half == pytest.approx(0, abs=1e-12)  # the noise of a seed cancels
    assert rows[0].alone.half > 0.02
    assert made_table().summary().startswith("Improve first: a (costs +20.0")


def test_intervals_are_those_of_student():
    estimate = Estimate.of([1.0, 2.0, 4.0])
    assert estimate.half == pytest.approx(4.302653 * math.sqrt(7 / 3 / 3), rel=1e-6)
    assert math.isnan(Estimate.of([1.0]).half)
    assert Estimate.of([]).seeds == 0


def test_intervals_of_few_seeds_share_the_spread_of_all_rows():
    """A row whose two seeds happen to agree is not more certain than the others; one without any effect has no interval."""
    table = SensitivityTable("device", ("a", "b", "c"))
    for seed, (a, b) in enumerate([(0.8, 0.9), (0.8, 0.7)]):
        values = {"nothing": 1.0, "everything": 0.5, "only a": a, "only b": b, "only c": 1.0}
        for name, value in {**values, "without a": 0.6, "without b": 0.5, "without c": 0.5}.items():
            table.add(name, seed, value)
    rows = {row.name: row for row in table.rows()}
    # Deviations of the differences: 0 (a), 0.1414 (b), 0 (gain of a); three degrees of freedom.
    expected = 3.182446 * math.sqrt(0.02 / 3) / math.sqrt(2)
    assert rows["a"].cost.half == rows["b"].cost.half == pytest.approx(expected, rel=1e-6)
    assert rows["c"].cost.mean == 0
    assert math.isnan(rows["c"].cost.half)


def test_a_network_that_has_learned_nothing_compares_nothing():
    table = made_table()
    assert table.summary().startswith("Improve first")
    dull = SensitivityTable("device", table.imperfections, 0.95)
    dull.accuracy.update(table.accuracy)
    assert "Nothing can be compared" in dull.summary()


def test_an_unfinished_table_says_so():
    table = SensitivityTable("device", ("a",))
    assert "Not enough runs" in table.summary()
    table.add("everything", 0, 0.5)
    json.dumps(table.as_dict(), allow_nan=False)
    assert table.lines()


def test_one_seed_is_called_doubtful():
    assert "not distinguishable" in made_table((0,)).summary()


def test_the_picture_has_two_bars_for_each_imperfection():
    ax = plot_sensitivity(made_table())
    assert len(ax.patches) == 4
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b"]


# Runs


@pytest.fixture
def trials(monkeypatch):
    """Replace the training by a count of its calls."""
    calls: list[tuple[str, int]] = []

    def trial(device, config, variant, seed, folder):
        calls.append((variant.name, seed))
        return 0.5 + 0.01 * seed

    monkeypatch.setattr(study, "run_trial", trial)
    return calls


def test_a_second_call_runs_only_what_is_missing(trials, tmp_path):
    study.sensitivity("ideal", folder=tmp_path, seeds=(0,))
    assert len(trials) == 6
    (file,) = tmp_path.glob("only-range-*-seed-0.json")
    file.unlink()
    table = study.sensitivity("ideal", folder=tmp_path, seeds=(0, 1))
    assert trials[6:] == [("only range", 0)] + [(name, 1) for name, _ in trials[:6]]
    assert table.accuracy["everything"] == {0: 0.5, 1: 0.51}


def test_an_interrupted_call_keeps_its_results(monkeypatch, trials, tmp_path):
    def stop(line):
        if len(trials) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        study.sensitivity("ideal", folder=tmp_path, seeds=(0,), progress=stop)
    study.sensitivity("ideal", folder=tmp_path, seeds=(0,))
    assert len(trials) == 6


def test_results_of_other_settings_are_refused_with_the_difference(trials, tmp_path):
    study.sensitivity("ideal", folder=tmp_path, seeds=(0,))
    with pytest.raises(ConfigError, match="epochs is 5 in the checkpoint and 9 here"):
        study.sensitivity("ideal", folder=tmp_path, epochs=9)
    with pytest.raises(ConfigError, match=r"device is .*IdealSynapse .* in the checkpoint and .*TiO2 .* here"):
        study.sensitivity("tio2", folder=tmp_path)
    assert len(trials) == 6


def test_results_of_other_images_are_refused(trials, monkeypatch, tmp_path):
    study.sensitivity("ideal", folder=tmp_path, seeds=(0,))
    monkeypatch.setattr(study, "open_images", lambda *given: made_digits(train=1500, test=500, seed=1))
    with pytest.raises(ConfigError, match=r"images.* has other values"):
        study.sensitivity("ideal", folder=tmp_path, seeds=(0,))
    assert len(trials) == 6


def test_no_run_starts_after_the_time_is_over(trials, monkeypatch):
    clock = iter(range(0, 1000, 50))
    monkeypatch.setattr(study.time, "monotonic", lambda: float(next(clock)))
    table = study.sensitivity("ideal", seeds=(0,), minutes=2.0)
    assert [name for name, _ in trials] == ["everything", "nothing"]  # begun after 50 and 100 s
    assert "Not enough runs" in table.summary()


def test_a_trial_is_repeatable_and_depends_on_the_seed():
    config = SensitivityConfig(**TINY)
    variant = Variant("everything", ())
    first = run_trial("weak-reset", config, variant, 0, None)
    assert first == run_trial("weak-reset", config, variant, 0, None)
    assert 0 <= first <= 1


@pytest.mark.parametrize("device", ["weak-reset", pytest.param("reram-retention", marks=pytest.mark.long)])
def test_all_variants_of_a_device_run(device):
    config = SensitivityConfig(**{**TINY, "train": 20}, adc_bits=6, stuck_high=0.01)
    names = all_imperfections(study.open_device(device), make_crossbar(config))
    chosen = [
        variant for variant in variants(names) if variant.name.startswith(("only", "nothing")) and "[" not in variant.name
    ]
    for variant in chosen:
        assert 0 <= run_trial(device, config, variant, 0, None) <= 1


def test_the_command_writes_table_and_picture(trials, tmp_path, capsys):
    assert main(["sensitivity", "ideal", "--seeds", "0", "1", "--save", str(tmp_path), "--processes", "1", "--quiet"]) == 0
    printed = capsys.readouterr().out
    assert {file.name for file in tmp_path.glob("sensitivity.*")} == {"sensitivity.csv", "sensitivity.json", "sensitivity.png"}
    lines = (tmp_path / "sensitivity.csv").read_text().splitlines()
    assert lines[0].split(",")[0] == "imperfection"
    assert len(lines) == 3
    assert main(["sensitivity", "ideal", "--seeds", "0", "1", "--save", str(tmp_path), "--processes", "1", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["device"] == "ideal"
    assert content["summary"] in printed
    assert len(trials) == 12


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": 0}, "network"),
        ({"data": "cats"}, "data"),
        ({"kind": "single"}, "kind"),
        ({"seeds": (-1,)}, "seeds"),
        ({"seeds": (0, 0)}, "each only once"),
        ({"seeds": ()}, "at least one"),
        ({"batch_size": 1}, "batch_size is 1; expected a whole number of at least 2"),
        ({"train": 1}, "train is 1; expected a whole number of at least 2"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        SensitivityConfig(**settings)


@pytest.mark.parametrize(
    "content",
    [
        "5",
        "[]",
        "{}",
        "abc",
        '{"accuracy": "x"}',
        '{"accuracy": null}',
        '{"accuracy": NaN}',
        '{"accuracy": 7}',
        '{"accuracy": true}',
    ],
)
@pytest.mark.parametrize("kind", ["only-range-*-seed-0.json", "settings.json"])
def test_damaged_files_are_refused(trials, tmp_path, kind, content):
    study.sensitivity("ideal", folder=tmp_path, seeds=0)
    (file,) = tmp_path.glob(kind)
    run = "" if kind == "settings.json" else '"variant": "only range", "seed": 0, '
    file.write_text(content.replace("{", "{" + run) if content != "{}" else content)
    with pytest.raises(ConfigError, match=r"cannot read|expected the variant 'only range', seed 0 and|of another experiment"):
        study.sensitivity("ideal", folder=tmp_path, seeds=0)
    assert len(trials) == 6


def test_results_of_another_run_are_refused(trials, tmp_path):
    study.sensitivity("ideal", folder=tmp_path, seeds=0)
    (file,) = tmp_path.glob("only-range-*-seed-0.json")
    (other,) = tmp_path.glob("everything-*-seed-0.json")
    file.write_bytes(other.read_bytes())
    with pytest.raises(
        ConfigError, match=r"has variant 'everything', seed 0, accuracy 0\.5; expected the variant 'only range'"
    ):
        study.sensitivity("ideal", folder=tmp_path, seeds=0)
    (tmp_path / "settings.json").unlink()
    with pytest.raises(ConfigError, match=r"has results but no settings\.json"):
        study.sensitivity("ideal", folder=tmp_path, seeds=0)


def test_a_folder_that_is_none_is_refused(trials, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "runs", "/proc/x", "a\0b"):
        with pytest.raises(ConfigError, match=r"cannot create the folder|is not the path of a file"):
            study.sensitivity("ideal", folder=folder, seeds=0)
    with pytest.raises(ConfigError, match="folder is 3"):
        study.sensitivity("ideal", folder=3, seeds=0)
    assert trials == []
