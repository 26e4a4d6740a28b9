"""The command `train`: options, recipes, what is printed and written, and every mistake as one sentence with exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import warnings

import numpy as np
import pytest

from spinode.cli import main
from spinode.cli.train import shown, table
from spinode.errors import ConfigError
from spinode.experiments import compose
from spinode.experiments.registry import STREAMS, make_ood_stream, make_stream, make_synapse
from spinode.training import AccuracyMatrix
from spinode.training.recipe import Recipe, load_recipe, recipe_names
from spinode.training.results.result import StreamResult

#: Plain gradient descent on small images that are made: a second.
SMALL = ["--stream", "made-digits", "--tasks", "3", "--batch-size", "20"]
SMALL += ["--set-stream", "train=400", "--set-stream", "test=100"]


@pytest.fixture
def run(capsys):
    """Call the command line in this process: exit code, standard output, standard error."""

    def called(*words):
        shown = warnings.showwarning
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            try:
                code = main(["train", *map(str, words)])
            except SystemExit as stop:  # argparse ends so
                code = stop.code
            finally:
                warnings.showwarning = shown
        out, err = capsys.readouterr()
        return code, out, err

    return called


@pytest.fixture
def small(run):
    def called(rule, *words):
        return run(rule, *SMALL, *words)

    return called


# The way through


def test_prints_a_line_a_task_and_a_table(small):
    code, out, err = small("sgd", "--seeds", 0, 1, "--set", "rate=0.1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "sgd on made-digits, ideal weights, seed 0"
    assert [line.split(":")[0] for line in lines[1:4]] == ["task 1 of 3", "task 2 of 3", "task 3 of 3"]
    rows = {line[:30].strip(): line[30:].split() for line in lines}
    assert len(rows["newest"]) == len(rows["all tasks (ACC)"]) == 2  # mean and sd
    assert 20 < float(rows["newest"][0]) <= 100  # percent; chance is 10
    assert lines[-1] == "2 seeds; accuracies in percent of correct answers."


def test_folder_holds_results_figures_and_what_makes_them_again(small, run, tmp_path):
    code, out, err = small("sgd", "--save", tmp_path / "run", "--strangers", "made-digits", "--log", "csv")
    assert (code, err) == (0, "")
    folder = tmp_path / "run" / "seed-0"
    names = {path.name for path in folder.iterdir()}
    assert {"result.json", "accuracy.csv", "accuracy.npz", "detection.npz", "checkpoint.ckpt", "log-1"} <= names
    assert {"accuracies.png", "tasks.png", "sliding.png"} <= names
    config = tmp_path / "run" / "config.yaml"
    assert out.splitlines()[-1] == f"saved {tmp_path / 'run'}; again with: spinode train --recipe {config}"
    logged = (folder / "log-1" / "metrics.csv").read_text().splitlines()
    assert {"test/newest", "train/loss"} <= set(logged[0].split(","))
    code, again, err = run("--recipe", config, "--json")
    assert (code, err) == (0, "")
    first, second = json.loads((folder / "result.json").read_text()), json.loads(again)
    for figure, value in first["figures"].items():
        if "seconds" not in figure:
            assert second["figures"][figure] == value, figure


def test_same_command_returns_what_is_finished_and_refuses_what_is_another(small, tmp_path):
    first = small("sgd", "--save", tmp_path)[1]
    again = small("sgd", "--save", tmp_path)[1]
    assert "task 1 of 3" in first
    assert "task 1 of 3" not in again
    assert first.splitlines()[-12:] == again.splitlines()[-12:]
    code, _out, err = small("sgd", "--save", tmp_path, "--set", "rate=0.5")
    assert code == 2
    assert "belongs to other settings: rate = 0.002 there, 0.5 here" in err


def test_json_alone(small):
    code, out, err = small("sgd", "--json", "--seeds", 3, 4)
    assert (code, err) == (0, "")
    results = [json.loads(line) for line in out.splitlines()]
    assert [each["seed"] for each in results] == [3, 4]
    assert results[0]["figures"]["newest"] != results[1]["figures"]["newest"]


def test_bar_disturbs_no_line(small):
    code, out, _err = small("sgd", "--progress")
    assert code == 0
    assert [line for line in out.replace("\r", "\n").splitlines() if line.startswith("task 2 of 3: test/newest")]


def test_rules_that_forget_say_so(small):
    code, out, err = small("mesu", "--tasks", 7, "--batch-size", 1)
    assert (code, err) == (0, "")
    assert "mesu forgets by design" in out
    assert "'last 5' is its headline" in out.splitlines()[-1]
    assert "forgets by design" not in small("sgd")[1]


def test_published_numbers_stand_beside_ours():
    recipe = load_recipe("mesu-permuted-mnist")
    values = np.full((6, 6), 0.9)
    result = StreamResult("mesu", "permuted MNIST", 0, 5, {"shared": AccuracyMatrix(values, np.full(6, np.nan))})
    lines = table(recipe, [result, result])
    row = next(line for line in lines if line.startswith("last 5"))
    assert row.split()[2:] == ["90.00", "0.00", "91.34", "(1.00)"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("last 5", 0.9134, "91.34"), ("auc total", 0.94, "0.9400"), ("memory [B]", 158800.0, "1.588e+05")],
)
def test_figures_as_they_are_printed(name, value, text):
    assert shown(name, value) == text


# Mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to train: give a rule (mesu, "),
        (["nope"], "there is no learning rule 'nope'; choose one of: mesu, "),
        (["sgd", "--recipe", "mesu-size"], "both the rule sgd and --recipe mesu-size were given"),
        (["--recipe", "nope"], "there is no recipe 'nope'; pass a .yaml file, or one of: "),
        (["--recipe", "mesu-size:nope"], "has no variant 'nope'"),
        (["sgd", "--stream", "nope"], "there is no stream 'nope'; choose one of: permuted-mnist, "),
        (["sgd", *SMALL, "--tasks", "0"], "tasks is 0"),
        (["sgd", *SMALL, "--epochs", "x"], "argument --epochs: invalid int value: 'x'"),
        (["sgd", *SMALL, "--set", "rate"], "--set 'rate' has no '='; expected NAME=VALUE"),
        (["sgd", *SMALL, "--set", "=3"], "has no '='"),
        (["sgd", *SMALL, "--set", "rate=[3"], "--set rate=[3 is no YAML"),
        (["sgd", *SMALL, "--set", "nope=3"], "nope"),
        (["sgd", *SMALL, "--set-stream", "nope=3"], "the stream made-digits has no setting nope; its settings are: "),
        (["sgd", *SMALL, "--synapse", "nope"], "there is no synapse 'nope'; pass ideal, "),
        (["sgd", *SMALL, "--strangers", "nope"], "there are no strangers 'nope'; choose one of: mnist, "),
        (["sgd", *SMALL, "--log", "csv"], "--log csv needs a place for its files; pass --save FOLDER too"),
        (["sgd", *SMALL, "--seeds", "1", "1"], "expected each once"),
        (["sgd", *SMALL, "--processes", "0"], "processes is 0; expected a whole number"),
        (["sgd", *SMALL, "--images", "/nope", "--stream", "permuted-mnist"], "/nope is no folder"),
    ],
)
def test_mistakes_are_one_sentence(run, words, message):
    code, _out, err = run(*words)
    assert code == 2
    assert message in err
    assert err.startswith("spinode: error: ")
    assert len(err.splitlines()) == 1


def test_folder_that_cannot_be_made(small, tmp_path):
    (tmp_path / "file").write_text("")
    code, _out, err = small("sgd", "--save", tmp_path / "file" / "run")
    assert code == 2
    assert "cannot make the folder" in err


def test_log_without_its_package(small, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _out, err = small("sgd", "--save", tmp_path / "run", "--log", "tensorboard")
    assert code == 2
    assert "pip install 'spinode[tensorboard]'" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
def test_interrupted_run_goes_on(tmp_path):
    """Ctrl-C after the first task: exit code 130, and the same command ends with the result of an undisturbed one."""
    words = [sys.executable, "-m", "spinode", "train", "sgd", *SMALL, "--tasks", "40", "--save", str(tmp_path / "run")]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    # Tests that run in the background of a shell ignore interrupts, and hand that on to what they start.
    process = subprocess.Popen(words, **pipes, env=environment, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    for line in process.stdout:
        if line.startswith("task 2 of 40"):
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again to go on" in err
    assert "Traceback" not in err
    resumed = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert resumed.returncode == 0, resumed.stderr
    whole = subprocess.run([*words[:-1], str(tmp_path / "whole")], capture_output=True, text=True, env=environment)
    figures = [json.loads((tmp_path / name / "seed-0" / "result.json").read_text())["figures"] for name in ("run", "whole")]
    for name, value in figures[0].items():
        if "seconds" not in name:
            assert figures[1][name] == value, name
    assert whole.returncode == 0


# Names


@pytest.mark.parametrize("name", STREAMS)
def test_streams_by_name(name, monkeypatch):
    """With made digits in place of the sets of images, which may not be on this machine."""
    from spinode.datasets import made_digits

    monkeypatch.setattr("spinode.experiments.registry._images", lambda *_: made_digits(train=400, test=100))
    settings = {"parts": 5} if name == "stream-fashion" else {}
    stream = make_stream(name, {"scale": "standard", **settings}, tasks=None, seed=3)
    task = stream[len(stream) - 1]
    assert task.inputs.shape[1:] == stream.shape == (784,)
    assert stream.boundaries is (name not in ("stream-fashion", "continuous-mnist"))
    for ood in ("mnist", "permuted-fashion"):
        other = make_ood_stream(ood, {"scale": "standard", **settings}, tasks=len(stream), seed=3)
        assert len(other) >= len(stream)
        assert other.shape == stream.shape


def test_strangers_as_they_are_and_permuted_as_the_stream_is(monkeypatch):
    """Permuted alike, the image and not its permutation is what is strange."""
    from spinode.datasets import made_digits

    images = made_digits(train=40, test=20)
    monkeypatch.setattr("spinode.experiments.registry._images", lambda *_: images)
    for settings in ({}, {"seed": 2}):
        stream = make_stream("permuted-mnist", settings, tasks=3, seed=7)
        alike, plain = (make_ood_stream(name, settings, tasks=3, seed=7) for name in ("permuted-fashion", "fashion-mnist"))
        for index in range(3):
            assert (stream.test(index)[0] == alike.test(index)[0]).all()
            assert (plain.test(index)[0] == plain.test(0)[0]).all()
            assert not (plain.test(index)[0] == alike.test(index)[0]).all()


def test_settings_of_a_stream_reach_it():
    stream = make_stream("made-digits", {"seed": 5, "first_identity": True, "train": 100}, tasks=4, seed=0)
    assert (len(stream), stream.seed, stream.first_identity, len(stream[0])) == (4, 5, True, 100)


@pytest.mark.parametrize("name", ["weak-reset", "tio2", "stanford-pku", "domain-wall", "stt-mram", "ideal-device", "ReRamSB"])
def test_physical_models_by_name(name):
    assert make_synapse(name).initial((3,)) is not None


@pytest.mark.parametrize("name", ["hfox-weak-reset", "soft-bounds", "tio2-nili", "vteam"])
def test_zoo_and_the_models_behind_it(name):
    surrogate, physical = make_synapse(name), make_synapse(f"physical:{name}")
    assert surrogate.unit == physical.unit
    assert type(surrogate).__name__ == "SynapseSurrogate" != type(physical).__name__


def test_ideal_weights_are_no_device():
    assert make_synapse("ideal") is None
    with pytest.raises(ConfigError, match="there is no synapse 'physical:macrospin'"):
        make_synapse("physical:macrospin")


# Recipes


def test_every_rule_has_a_recipe_with_its_settings():
    for rule in compose.RULES:
        recipe = compose.default_recipe(rule, None)
        assert recipe.rule == rule
    for rule in compose.RULES:
        assert compose.default_recipe(rule, "split-mnist").stream == "split-mnist"


def test_changed_recipe_claims_no_publication():
    recipe = compose.default_recipe("mesu", None)
    assert recipe.published
    other = compose.default_recipe("mesu", "split-mnist")
    assert (other.published, other.source, other.run.get("tasks"), other.stream_settings) == (
        {},
        "",
        None,
        {"scale": "standard"},
    )


@pytest.mark.parametrize("name", [recipe.name for name in recipe_names() for recipe in load_recipe(name).expanded()])
def test_shipped_recipe_composes_and_runs(name, monkeypatch):
    """On two tasks of a few made digits: all names are known, and all settings are those of the learner."""
    from spinode.datasets import made_digits

    monkeypatch.setattr("spinode.experiments.registry._images", lambda *_: made_digits(train=40, test=20))
    recipe = load_recipe(name)
    stream = {"permuted": 2, "sequence": None, "subsets": 1}[STREAMS[recipe.stream][1]]
    run = {**recipe.run, "epochs": 1, "tasks": stream, "batch_size": min(recipe.run["batch_size"], 20)}
    small = Recipe(
        **{
            **{key: getattr(recipe, key) for key in ("rule", "stream", "synapse", "ood")},
            "run": run,
            "settings": {**recipe.settings, "hidden": [6] * len(recipe.settings["hidden"])},
            "stream_settings": {key: (1 if key == "parts" else value) for key, value in recipe.stream_settings.items()},
        }
    )
    result = compose.run_recipe(small, 0)
    figures = result.figures()
    assert not np.isnan(result.accuracy.values[-1]).any()
    tasks = len(result.accuracy)
    for figure in recipe.published:
        known = figure.replace(f"last {recipe.run.get('recent', 5)}", f"last {min(recipe.run.get('recent', 5), tasks)}")
        assert known in figures, f"{figure} is published, and the run has {list(figures)}"
