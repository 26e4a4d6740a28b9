"""The command `train`: options, recipes, what is printed and written, and every mistake as one sentence with exit code 2."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from spinode.cli.commands import train as command

#: Plain gradient descent on small generated images: a second.
SMALL = ["--stream", "made-digits", "--tasks", "3", "--batch-size", "20"]
IMAGES = ["--set-stream", "train=400", "--set-stream", "test=100"]
SMALL += IMAGES


def small_with(*words):
    """Return the words of a small run, without the options that `words` give another value."""
    pairs = zip(SMALL[::2], SMALL[1::2], strict=True)
    return [word for option, value in pairs if option not in words for word in (option, value)] + list(words)


@pytest.fixture
def train(run):
    return lambda *words: run("train", *words)


@pytest.fixture
def small(train):
    return lambda rule, *words: train(rule, *small_with(*words))


# The way through


def test_prints_a_line_for_each_task_and_a_table(small):
    code, out, err = small("sgd", "--seeds", 0, 1, "--set", "rate=0.1")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "sgd on made-digits, ideal weights, seed 0"
    assert [line.split(":")[0] for line in lines[1:4]] == ["task 1 of 3", "task 2 of 3", "task 3 of 3"]
    rows = {line[:30].strip(): line[30:].split() for line in lines}
    assert len(rows["newest"]) == len(rows["all tasks (ACC)"]) == 2  # mean and sd
    assert 20 < float(rows["newest"][0]) <= 100  # percent; chance is 10
    assert lines[-1] == "2 seeds; accuracies in percent of correct answers."


def test_folder_contains_results_plots_and_the_recipe_to_repeat_them(small, train, tmp_path):
    code, out, err = small("sgd", "--save", tmp_path / "run", "--ood", "made-digits", "--log", "csv")
    assert (code, err) == (0, "")
    folder = tmp_path / "run" / "seed-0"
    names = {path.name for path in folder.iterdir()}
    assert {"result.json", "accuracy.csv", "accuracy.npz", "detection.npz", "checkpoint.ckpt", "log-1"} <= names
    assert {"accuracies.png", "tasks.png", "sliding.png"} <= names
    recipe = tmp_path / "run" / "recipe.yaml"
    assert out.splitlines()[-1] == f"saved {tmp_path / 'run'}; again with: spinode train --recipe {recipe}"
    logged = (folder / "log-1" / "metrics.csv").read_text().splitlines()
    assert {"test/newest", "train/loss"} <= set(logged[0].split(","))
    code, again, err = train("--recipe", recipe, "--json")
    assert (code, err) == (0, "")
    first, second = json.loads((folder / "result.json").read_text()), json.loads(again)
    for figure, value in first["figures"].items():
        if "seconds" not in figure:
            assert second["figures"][figure] == value, figure


def test_finished_run_is_returned_and_other_settings_are_refused(small, tmp_path):
    first = small("sgd", "--save", tmp_path)[1]
    again = small("sgd", "--save", tmp_path)[1]
    assert "task 1 of 3" in first
    assert "task 1 of 3" not in again
    assert first.splitlines()[-12:] == again.splitlines()[-12:]
    code, _out, err = small("sgd", "--save", tmp_path, "--set", "rate=0.5")
    assert code == 2
    assert "rate is 0.002 in the checkpoint and 0.5 here" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "rate=0.5"], "rate is 0.002 in the checkpoint and 0.5 here"),
        ([*IMAGES, "--set-stream", "scale=unit"], "stream.scale is 'standard' in the checkpoint and 'unit' here"),
        (["--set-stream", "seed=3"], "stream.seed is 0 in the checkpoint and 3 here"),
        (["--seed", "1", "--set", "rate=0.5"], "contains runs of another recipe: settings.rate is 0.002 in the checkpoint"),
        (["--tasks", "4", "--continue-from", "FOLDER", *IMAGES, "--set-stream", "scale=unit"], "task 0 of the stream"),
    ],
)
def test_a_refused_run_leaves_the_folder_as_it_was(small, tmp_path, words, message):
    assert small("sgd", "--save", tmp_path, "--set", "rate=0.002")[0] == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = [str(tmp_path) if word == "FOLDER" else word for word in words]
    rate = [] if "rate=0.5" in words else ["--set", "rate=0.002"]
    code, _out, err = small("sgd", "--save", tmp_path, *rate, *words)
    assert code == 2
    assert message in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_run_is_continued_with_more_tasks(small, tmp_path):
    small("sgd", "--save", tmp_path, "--tasks", 2)
    code, out, err = small("sgd", "--save", tmp_path, "--tasks", 3, "--continue-from", tmp_path)
    assert (code, err) == (0, "")
    assert "task 2 of 3" not in out
    assert f"again with: spinode train --recipe {tmp_path / 'recipe.yaml'} --continue-from {tmp_path}" in out
    continued = json.loads((tmp_path / "seed-0" / "result.json").read_text())
    assert "stream.tasks 2 -> 3" in continued["continued"][0]
    small("sgd", "--save", tmp_path / "whole", "--tasks", 3)
    whole = json.loads((tmp_path / "whole" / "seed-0" / "result.json").read_text())
    for name, value in whole["figures"].items():
        if "seconds" not in name:
            assert continued["figures"][name] == value, name


def test_one_seed_and_quiet(small):
    code, out, err = small("sgd", "--seed", 3, "--quiet")
    assert (code, err) == (0, "")
    assert "task 1 of 3" not in out
    assert out.splitlines()[-1].startswith("1 seed; ")
    assert json.loads(small("sgd", "--seed", 3, "--json")[1])["seed"] == 3


def test_counts_of_devices_and_pulses_are_not_percent(small):
    code, out, err = small("sgd", "--synapse", "ideal-device", "--hidden", 4, "--json")
    assert (code, err) == (0, "")
    counts = {name: value for name, value in json.loads(out)["figures"].items() if "device" in name or "pulse" in name}
    assert counts
    printed = small("sgd", "--synapse", "ideal-device", "--hidden", 4)[1].splitlines()
    for name, value in counts.items():
        row = next(line for line in printed if line.startswith(f"{name} "))
        assert float(row[len(name) :].split()[0]) == pytest.approx(value, rel=1e-3), name


def test_checkpoint_folder_of_its_own(small, tmp_path):
    code, _, err = small("sgd", "--checkpoint", tmp_path / "kept")
    assert (code, err) == (0, "")
    assert (tmp_path / "kept" / "seed-0" / "checkpoint.ckpt").exists()
    assert "task 1 of 3" not in small("sgd", "--checkpoint", tmp_path / "kept")[1]


def test_json_is_all_that_is_printed(small):
    code, out, err = small("sgd", "--json", "--seeds", 3, 4)
    assert (code, err) == (0, "")
    results = [json.loads(line) for line in out.splitlines()]
    assert [each["seed"] for each in results] == [3, 4]
    assert results[0]["figures"]["newest"] != results[1]["figures"]["newest"]


def test_progress_bar_keeps_lines_intact(small):
    code, out, _err = small("sgd", "--progress")
    assert code == 0
    assert [line for line in out.replace("\r", "\n").splitlines() if line.startswith("task 2 of 3: test/newest")]


def test_rules_that_forget_by_design_are_marked(small):
    code, out, err = small("mesu", "--tasks", 7, "--batch-size", 1)
    assert (code, err) == (0, "")
    assert "mesu forgets by design" in out
    assert "'last 5' is its headline" in out.splitlines()[-1]
    assert "forgets by design" not in small("sgd")[1]


# Mistakes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to train: give a rule (mesu, "),
        (["nope"], "rule is 'nope'; expected one of mesu, "),
        (["sgd", "--recipe", "mesu-size"], "both the rule sgd and --recipe mesu-size were given"),
        (["--recipe", "nope"], "there is no recipe 'nope'; pass a .yaml file, or one of: "),
        (["--recipe", "mesu-size:nope"], "has no variant 'nope'"),
        (["sgd", "--stream", "nope"], "stream is 'nope'; expected one of cifar-10, class-cifar-10, "),
        (["sgd", *small_with("--tasks", "0")], "tasks is 0"),
        (["sgd", *SMALL, "--epochs", "x"], "epochs is 'x'; expected a whole number"),
        (["sgd", *SMALL, "--set", "rate"], "--settings 'rate' has no '='; expected NAME=VALUE"),
        (["sgd", *SMALL, "--set", "=3"], "has no '='"),
        (["sgd", *SMALL, "--set", "rate=[3"], "--settings rate=[3 is"),
        (["sgd", *SMALL, "--set", "nope=3"], "nope"),
        (
            ["sgd", *SMALL, "--set-stream", "nope=3"],
            "stream made-digits: PermutedTasks has no setting nope; its settings are: ",
        ),
        (["sgd", *SMALL, "--synapse", "nope"], "there is no synapse 'nope'; expected ideal, "),
        (["sgd", *SMALL, "--ood", "nope"], "ood is 'nope'; expected one of mnist, "),
        (["sgd", *SMALL, "--log", "csv"], "--log csv needs a folder for its files; pass --save FOLDER too"),
        (["sgd", *SMALL, "--seeds", "1", "1"], "expected each only once"),
        (["sgd", *SMALL, "--seeds", "1", "--seed", "2"], "both --seed 2 and --seeds were given"),
        (["sgd", *SMALL, "--evaluate", "last"], "evaluate is 'last'; expected"),
        (["sgd", *SMALL, "--processes", "0"], "processes is 0; expected a whole number"),
        (["sgd", *small_with("--images", "/nope", "--stream", "permuted-mnist")], "/nope is not a folder"),
    ],
)
def test_mistakes_are_one_sentence(train, words, message):
    code, _out, err = train(*words)
    assert code == 2
    assert message in err
    assert err.startswith("spinode: error: ")
    assert len(err.splitlines()) == 1


def test_folder_that_cannot_be_created(small, tmp_path):
    (tmp_path / "file").write_text("")
    code, _out, err = small("sgd", "--save", tmp_path / "file" / "run")
    assert code == 2
    assert "cannot create the folder" in err


def test_log_without_its_package(small, tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    code, _out, err = small("sgd", "--save", tmp_path / "run", "--log", "tensorboard")
    assert code == 2
    assert "pip install 'spinode[tensorboard]'" in err
    assert not (tmp_path / "run").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals")
@pytest.mark.slow
def test_interrupted_run_resumes(train, tmp_path):
    """Ctrl-C after the first task: exit code 130, and the same command ends with the result of an undisturbed one."""
    words = ["sgd", *small_with("--tasks", "40", "--save", str(tmp_path / "run"))]
    process = subprocess.Popen(
        [sys.executable, "-m", "spinode", "train", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1"},
        # A test run in the background of a shell ignores interrupts, and so would the process it starts.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if line.startswith("task 2 of 40"):
            break
    time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "run the same command again to resume" in err
    assert "Traceback" not in err
    code, out, err = train(*words)
    assert (code, err) == (0, "")
    assert "saved" in out
    assert train(*words[:-1], tmp_path / "undisturbed")[0] == 0
    files = [tmp_path / name / "seed-0" / "result.json" for name in ("run", "undisturbed")]
    resumed, undisturbed = (json.loads(file.read_text())["figures"] for file in files)
    for name, value in resumed.items():
        if "seconds" not in name:
            assert undisturbed[name] == value, name


def test_resumed_run_repeats_no_finished_task(small, tmp_path, monkeypatch):
    """With a checkpoint after each task, a run that is interrupted in the third one resumes there."""

    def interrupt(line):
        if line.startswith("task 2 of"):
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "CHECKPOINT_EVERY", 0.0)
        patch.setattr(command, "_print_line", interrupt)
        code, _, err = small("sgd", "--save", tmp_path / "run")
    assert code == 130
    assert "run the same command again to resume" in err
    code, out, err = small("sgd", "--save", tmp_path / "run")
    assert (code, err) == (0, "")
    assert "task 1 of 3" not in out
    assert "task 3 of 3" in out
    undisturbed = small("sgd", "--save", tmp_path / "undisturbed")[1]
    tables = [[line for line in text.splitlines() if "%" not in line and "." in line[30:]] for text in (out, undisturbed)]
    rows = [[line for line in table if not line.startswith(("seconds", "task ", "saved"))] for table in tables]
    assert len(rows[0]) >= 3
    assert rows[0] == rows[1]
