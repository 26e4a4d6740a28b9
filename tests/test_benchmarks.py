"""The benchmarks run, print JSON lines, and compare only what agrees. How fast anything is, is no matter of a test."""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import kstest, truncnorm


@pytest.fixture(scope="session")
def folder(root) -> Path:
    return root / "benchmarks"


@pytest.fixture
def module(folder, monkeypatch):
    """Import a script or helper of the benchmarks, as the scripts themselves do."""
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == folder:
            del sys.modules[name]


def lines(script: Path, *arguments: str) -> list[dict]:
    """Run a script as a user types it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    run = subprocess.run([sys.executable, script, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "NaN" not in run.stdout
    return [json.loads(line) for line in run.stdout.splitlines()]


def assert_agreement(printed: list[dict], implementations: set[str], workloads: set[str]) -> None:
    assert [line for line in printed if "error" in line] == []
    checked = [line for line in printed if "agrees" in line]
    assert {line["implementation"] for line in checked} == implementations
    assert {line["workload"] for line in checked} == workloads
    assert all(line["agrees"] and max(line["deviations"].values()) < 1e-5 for line in checked)
    timed = {(line["workload"], line["implementation"]) for line in printed if "cpu" in line}
    assert timed == {(line["workload"], line["implementation"]) for line in checked}
    assert all(line["cpu"] > 0 and line["repetitions"] > 0 for line in printed if "cpu" in line)


WORKLOADS = {"A", "B", "C", "D forward", "D forward+backward"}


@pytest.mark.slow
def test_rollout_compares_every_library_that_is_installed(folder):
    printed = lines(folder / "rollout.py", "--quick")
    skipped = {line["implementation"] for line in printed if "skipped" in line}
    assert skipped <= {"jax", "diffrax"}
    wanted = {"spinode", "torchdiffeq", "torchdiffeq-chunks", "eager", "jax", "diffrax"} - skipped
    assert_agreement(printed, wanted, WORKLOADS)
    ratios = {(line["workload"], line["ratio"]) for line in printed if "ratio" in line}
    assert ("A", "torchdiffeq / spinode") in ratios
    assert ("D forward", "torchdiffeq-chunks / spinode") in ratios
    assert not any("against" in line for line in printed), "figures of the full size, beside a small one"


@pytest.mark.slow
def test_rollout_compares_a_compiled_loop(folder):
    printed = lines(folder / "rollout.py", "--quick", "--workloads", "A", "--only", "spinode", "compile")
    assert_agreement(printed, {"spinode", "compile"}, {"A"})
    compiled = next(line for line in printed if line.get("implementation") == "compile" and "cpu" in line)
    assert compiled["first_call_seconds"]["wall"] > 0


@pytest.mark.slow
def test_rollout_measures_threads_and_memory(folder):
    printed = lines(folder / "rollout.py", "--quick", "--threads", "2", "--workloads", "B", "D")
    assert [line["workload"] for line in printed[1:]] == ["B", "D forward", "D forward+backward"]
    assert all(line["threads"] == [1, 2] and line["speed_up"] > 0 for line in printed[1:])
    printed = lines(folder / "rollout.py", "--memory", "--steps", "2000")
    assert printed[-1]["steps_run"] == 2000
    assert printed[-1]["finite"]
    assert printed[-1]["growth_MB"] >= 0


@pytest.mark.slow
def test_scaling_agrees_with_plain_torch_everywhere(folder):
    printed = lines(folder / "scaling.py", "--quick")[1:]
    assert {line["vary"] for line in printed} == {
        "steps", "batch", "width", "depth", "activation", "dtype", "method", "threads",
    }  # fmt: skip
    assert {line["what"] for line in printed} == {"forward", "gradient"}
    assert all(line["ns_per_device_step"] > 0 for line in printed)
    compared = [line for line in printed if "deviation" in line]
    assert all(line["deviation"] < 1e-5 for line in compared)
    # Without compiled kernels there is nothing to compare.
    assert len(compared) > 10 or all(line["twin"].startswith("the same") for line in printed)


@pytest.mark.slow
def test_online_learning_agrees_with_plain_torch(folder):
    printed = lines(folder / "online.py", "--quick")[1:]
    if "skipped" in printed[0]:
        pytest.skip("without compiled kernels there is nothing to compare")
    assert [line["part"] for line in printed] == ["learn"] * 7 + ["noise"] + ["adam"] * 2
    assert all(line["deviation"] < 1e-4 for line in printed)
    assert all(ratio["median"] > 0 for line in printed for ratio in line["ratio"].values())


@pytest.mark.slow
def test_fit_runs_both_sides(folder, shared):
    printed = lines(folder / "fit.py", "--quick", "--data", str(shared / "data/spin_neural_ode"))
    assert [line for line in printed if "error" in line] == []
    released, ours, recipe = (
        next(line for line in printed if line.get("fit") == name) for name in ("authors' released weights", "spinode", "recipe")
    )
    assert 0 < released["nrmse"] < 0.1
    assert ours["nrmse"] > 0
    assert recipe["iterations"] > 0
    assert set(recipe["wall_seconds_to"]) == {"0.033", "0.012"}
    assert [line["target_nrmse"] for line in printed if "target_nrmse" in line] == [0.033, 0.012]


@pytest.mark.slow
def test_domain_walls_print_what_they_cost(folder, shared):
    printed = lines(folder / "synapses.py", "--only", "domain-wall", "--epochs", "1", "--seeds", "0", "--shared", str(shared))
    runs = [line for line in printed if "devices" in line]
    asked = {(mode, states, sigma) for mode in ("in-situ", "ex-situ") for states in (2, 3, 5) for sigma in (0, 0.05, 0.1, 0.2)}
    assert {(line["mode"], line["states"], line["sigma"]) for line in runs} == asked
    for line in runs:
        assert 0.5 < line["accuracy"] <= 1  # a network that learned nothing has 0.1
        assert line["energy_J"] == pytest.approx(3e-15 * line["writes"], rel=1e-3)
        assert line["writes_per_device"] == pytest.approx(line["writes"] / line["devices"], rel=1e-3)
        if line["sigma"] == 0:
            assert line["rewrites_per_device"] == line["beyond_margin"] == 0
            assert line["mode"] == "in-situ" or line["accuracy"] == line["precursor"]
    written = {(line["mode"], line["states"], line["sigma"]): line["writes_per_device"] for line in runs}
    assert all(written["ex-situ", states, 0.2] > written["ex-situ", states, 0] for states in (2, 3, 5))


@pytest.mark.parametrize(("sigma", "seed"), [(0.01, 0), (0.05, 1), (0.1, 2), (0.2, 3)])
def test_a_precursor_errs_as_walls_that_were_written_until_within_the_margin(module, sigma, seed):
    """One-sample test against the cut normal distribution for the model, two-sample test for the walls; 1e-4 each."""
    walls = module("_domain_wall")
    device = walls.DomainWall(states=3, sigma=sigma, margin=0.25, low=-1.0, high=1.0)
    layer = walls.Precursor(200, 100, device, walls.torch.Generator().manual_seed(seed))
    exact = layer.eval().weights()
    drawn = ((layer.train().weights() - exact) / 2).flatten().numpy()
    assert kstest(drawn, truncnorm(-0.25 / sigma, 0.25 / sigma, scale=sigma).cdf).pvalue > 1e-4
    # Fresh walls were placed without a look at the margin; those beyond it are written again, even where their level is right.
    layer.deploy()
    assert layer.beyond() == 0
    lie = ((layer.weights() - exact) / 2).flatten().numpy()
    assert kstest(lie, drawn).pvalue > 1e-4


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('echo \'{"part": "speed", "cpu": 1}\'', {"part": "speed", "cpu": 1}),
        ("echo 'first' >&2; echo 'No module named aihwkit' >&2; exit 1", "No module named aihwkit"),
        ("exit 3", "code 3"),
        (None, "No such file"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script plays the other Python")
def test_another_python_is_asked_and_its_failure_named(module, tmp_path, script, line):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    (printed,) = module("_aihwkit").aihwkit_step(python)
    assert printed == line if isinstance(line, dict) else line in printed["error"]


def test_a_simulator_that_was_not_measured_is_named(module):
    (printed,) = module("_aihwkit").aihwkit_step(None)
    assert "not measured" in printed["skipped"]


# The referee


def test_the_reference_solves_the_equation(module):
    """Against an adaptive solver restarted at every sample; what is left is the error of the step, of order dt^5."""
    problems = module("_problems")
    problem = problems.make_problem("B", 20, 2)

    def rate(t, x, u):
        z = np.concatenate([x, u])
        for weight, bias in problem.layers[:-1]:
            z = np.tanh(weight @ z + bias)
        return problem.layers[-1][0] @ z + problem.layers[-1][1]

    for state, drive, states in zip(problem.state, problem.drive, problem.answers["states"], strict=True):
        for index, u in enumerate(drive):
            state = solve_ivp(rate, (0, problems.DT), state, args=(u,), rtol=1e-10, atol=1e-12).y[:, -1]
            np.testing.assert_allclose(states[index + 1], state, atol=1e-6)


@pytest.mark.parametrize("name", ["C", "D forward+backward"])
def test_gradients_of_the_reference_are_slopes(module, name):
    """Central differences along a random direction in the weights."""
    problems = module("_problems")
    problem = problems.make_problem(name, 3 if name == "C" else 1, 5)
    random = np.random.default_rng(1)
    direction = [tuple(random.normal(size=value.shape) for value in layer) for layer in problem.layers]

    def goal(step):
        layers = [
            (weight + step * dw, bias + step * db) for (weight, bias), (dw, db) in zip(problem.layers, direction, strict=True)
        ]
        answers = problems.answers_of(problems.replace(problem, layers=layers))
        return answers["loss"] if name == "C" else np.sum(answers["states"][:, -1] * problem.towards)

    slope = (goal(1e-5) - goal(-1e-5)) / 2e-5
    flat = np.concatenate([value.ravel() for layer in direction for value in layer])
    assert problem.answers["gradient"] @ flat == pytest.approx(slope, rel=1e-6)


class Faulty:
    """A worker whose implementation is wrong by a little, or fails."""

    def __init__(self, deviation):
        self.deviation = deviation

    def ask(self, method, *arguments):
        assert method == "check", "what does not agree must not be timed"
        if self.deviation is None:
            raise sys.modules["_measure"].WorkerError("it fell over")
        return {"deviations": {"states": self.deviation}, "first_call_seconds": None}


@pytest.mark.parametrize("deviation", [2e-5, float("inf"), None])
def test_an_implementation_that_disagrees_or_fails_is_not_timed(module, capsys, deviation):
    rollout = module("rollout")
    options = rollout.argparse.Namespace(rounds=1, seconds=0.0, steps=10, devices=10)
    problem = module("_problems").make_problem("A", 10, 1)
    assert rollout.compare(problem, {"eager": Faulty(deviation)}, options) is False
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 2
    assert "it fell over" in printed[1]["error"] if deviation is None else printed[1]["agrees"] is False


def trained(seconds):
    clocks = {f"{clock}_seconds_to": {"0.03": seconds} for clock in ("wall", "cpu")}
    return {**clocks, "wall_seconds": 600.0, "cpu_seconds": 600.0}


@pytest.mark.parametrize(
    ("seconds", "ratio"),
    [([300.0, None, 310.0], 62.0), ([300.0, None, None], "more than 120"), ([None], "more than 120"), ([200.0], 40.0)],
)
def test_the_quickest_fit_that_meets_the_target_is_compared(module, capsys, seconds, ratio):
    """A training that never met it counts as a lower bound; so does the ratio, once half of them did not."""
    fits = {
        "good": [{"wall_seconds": 50.0, "cpu_seconds": 50.0, "nrmse": 0.005}],
        "quick": [{"wall_seconds": 5.0, "cpu_seconds": 5.0, "nrmse": 0.02}],
        "bad": [{"wall_seconds": 1.0, "cpu_seconds": 1.0, "nrmse": 0.2}],
    }
    module("fit").compare(0.03, fits, [trained(value) for value in seconds])
    line = json.loads(capsys.readouterr().out)
    assert line["spinode"] == "quick"
    assert line["wall_ratio recipe / spinode"] == ratio


def test_a_library_that_is_not_installed_is_named(module, monkeypatch, capsys):
    rollout = module("rollout")
    monkeypatch.setattr(rollout, "installed", lambda name: None if name == "optax" else "1")
    options = rollout.argparse.Namespace(only=["jax"], workloads=[])
    assert rollout.compare_all(options)
    assert "not installed: optax" in json.loads(capsys.readouterr().out)["skipped"]


def test_a_wrong_implementation_is_noticed(module):
    """A bias that is off by 1e-3 must be seen in states and gradients."""
    rollout, problems = module("rollout"), module("_problems")
    for name in ("A", "C", "D forward+backward"):
        problem = problems.make_problem(name, 1 if name.startswith("D") else 10, 1 if name == "A" else 6)
        served = rollout.Served("eager")
        assert max(served.check(problem)["deviations"].values()) < 1e-5
        weight, bias = problem.layers[0]
        layers = [(weight, bias + 1e-3), *problem.layers[1:]]
        deviations = served.check(problems.replace(problem, layers=layers))["deviations"]
        assert all(value > 1e-5 for value in deviations.values()), (name, deviations)


def test_lines_are_json_whatever_the_numbers(module, capsys):
    module("_measure").emit(a=float("nan"), b=[float("inf"), 1 / 3], c={"d": None})
    assert json.loads(capsys.readouterr().out) == {"a": "nan", "b": ["inf", 0.3333], "c": {"d": None}}


# Continual learning

RECIPE = """
title: A test
source: nobody
rule: sgd
settings: {hidden: [8], rate: 0.1}
stream: made-digits
stream_settings: {train: 200, test: 100}
run: {tasks: 2, batch_size: 20}
seeds: [0, 1]
published: {newest: {value: 0.5, tolerance: 0.5}, last 2: {value: 2.0, tolerance: 0.1}, other: {value: 0.3, tolerance: 0.1}}
differences: [smaller]
variants: {slow: {settings: {rate: 0.01}}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def test_continual_writes_a_line_a_seed_once(folder, recipe, tmp_path):
    results = tmp_path / "results" / "lines.jsonl"
    command = [sys.executable, folder / "continual.py", recipe, "--results", results, "--checkpoints", tmp_path / "points"]
    # The script finds its neighbours in its own folder.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    called = {"capture_output": True, "text": True, "env": environment}
    run = subprocess.run(command, **called)
    assert run.returncode == 0, run.stderr
    written = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["recipe"], line["seed"]) for line in written] == [("small", 0), ("small", 1)]
    assert all(0 <= line["figures"]["newest"] <= 1 for line in written)
    again = subprocess.run([*command, "--seeds", "1"], **called)
    assert "small, seed 1: has its line" in again.stdout
    recipe.write_text(RECIPE.replace("rate: 0.1}", "rate: 0.2}"))  # another experiment, whatever its name
    subprocess.run([*command, "--seeds", "1"], **called, check=True)
    assert len(results.read_text().splitlines()) == 3


def test_table_of_continual_learning(module, recipe):
    table = module("continual_table")
    from spinode.training.recipe import load_recipe

    known = load_recipe(recipe)
    lines = [
        {"seed": seed, "figures": {"newest": 0.4 + 0.2 * seed, "last 2": 0.5, "BWT": -0.1, "seconds of learning": 3.0 + seed}}
        for seed in (1, 0)
    ]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.rows(known, lines)]
    assert rows[0] == [
        "A test<br>`spinode train --recipe small`",
        "newest",
        "50.00",
        "50.00 +- 14.14 (within 50.00)",
        "0 1",
        "4",
    ]
    assert rows[1] == ["", "last 2", "200.00", "50.00 +- 0.00 (**not** within 10.00)", "", ""]
    assert rows[2] == ["", "other", "30.00", "not run", "", ""]
    assert "not run" in table.rows(known.variant("slow"), [])[0]
    assert table.notes(known) == ["Differences from the published protocol:\n", "- smaller"]
    assert table.fingerprint(known) != table.fingerprint(known.variant("slow"))


def test_table_is_that_of_the_lines(module, tmp_path, root):
    """docs/results/recipes.md is what the script writes."""
    table = module("continual_table")
    table.write_table(table.RESULTS, tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() == (root / "docs" / "results" / "recipes.md").read_text()
