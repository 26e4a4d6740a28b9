"""The benchmarks run, print JSON lines, and compare only results that agree. Speed itself is not tested."""

import contextlib
import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp
from scipy.stats import kstest, truncnorm


@pytest.fixture(scope="session")
def folder(root) -> Path:
    return root / "benchmarks"


@pytest.fixture(scope="module")
def module(folder):
    """Return a function that imports a script or helper of the benchmarks, as the scripts themselves do."""
    before = set(sys.modules)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setenv("OMP_NUM_THREADS", os.environ.get("OMP_NUM_THREADS", "1"))  # some scripts set it if it is missing
        yield importlib.import_module
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "").parent == folder:
            del sys.modules[name]


class LocalWorker:
    """A worker in the process of the test, without the seconds that a new process needs to import torch."""

    cores = (0,)

    def __init__(self, make, *args, cores=1):
        torch.set_num_threads(cores)  # `run_main` restores the number
        self.served = make(*args)

    def call(self, method, *args):
        return getattr(self.served, method)(*args)

    def close(self):
        pass


def run_main(script, *arguments) -> str:
    """Run the main function of an imported script with these arguments and return what it prints."""
    threads, output = torch.get_num_threads(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.setattr(sys, "argv", [script.__name__, *map(str, arguments)])
        try:
            script.main()
        finally:
            torch.set_num_threads(threads)
    return output.getvalue()


def lines_of(printed: str) -> list[dict]:
    assert "NaN" not in printed
    return [json.loads(line) for line in printed.splitlines()]


def run_script(path: Path, *arguments: str) -> list[dict]:
    """Run a script in a new process, as a user does; return its lines."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONSAFEPATH"}
    run = subprocess.run([sys.executable, path, *arguments], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return lines_of(run.stdout)


# Comparison of rollouts

WORKLOADS = {"A", "B", "C", "D forward", "D forward+backward"}


@pytest.fixture(scope="module")
def rollouts(module) -> list[dict]:
    """Return the lines of one quick run of all implementations; the compiled loop runs workload A only."""
    rollout = module("rollout")
    worker, local = rollout.Worker, ("torchdiffeq", "torchdiffeq-chunks", "eager")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rollout, "Worker", lambda make, name: (LocalWorker if name in local else worker)(make, name))
        return lines_of(run_main(rollout, "--quick", "--only", *rollout.IMPLEMENTATIONS))


@pytest.mark.long
def test_rollout_compares_every_library_that_is_installed(rollouts):
    skipped = {line["implementation"] for line in rollouts if "skipped" in line}
    assert skipped <= {"jax", "diffrax"}
    assert [line for line in rollouts if "error" in line] == []
    checked = [line for line in rollouts if "agrees" in line]
    expected = {"spinode", "torchdiffeq", "torchdiffeq-chunks", "eager", "compile", "jax", "diffrax"} - skipped
    assert {line["implementation"] for line in checked} == expected
    assert {line["workload"] for line in checked if line["implementation"] != "compile"} == WORKLOADS
    assert all(line["agrees"] and max(line["deviations"].values()) < 1e-5 for line in checked)
    timed = {(line["workload"], line["implementation"]) for line in rollouts if "cpu" in line}
    assert timed == {(line["workload"], line["implementation"]) for line in checked}
    assert all(line["cpu"] > 0 and line["repetitions"] > 0 for line in rollouts if "cpu" in line)
    ratios = {(line["workload"], line["ratio"]) for line in rollouts if "ratio" in line}
    assert ("A", "torchdiffeq / spinode") in ratios
    assert ("D forward", "torchdiffeq-chunks / spinode") in ratios
    assert not any("against" in line for line in rollouts), "figures of full-size workloads, compared with small ones"


@pytest.mark.slow
def test_rollout_compares_a_compiled_loop(rollouts):
    checked = [line for line in rollouts if line.get("implementation") == "compile" and "agrees" in line]
    assert [line["workload"] for line in checked] == ["A"]
    compiled = next(line for line in rollouts if line.get("implementation") == "compile" and "cpu" in line)
    assert compiled["first_call_seconds"]["wall"] > 0


@pytest.mark.slow
def test_rollout_measures_threads_and_memory(module, monkeypatch):
    rollout = module("rollout")
    with monkeypatch.context() as patch:
        patch.setattr(rollout, "Worker", LocalWorker)
        printed = lines_of(run_main(rollout, "--quick", "--threads", "2", "--workloads", "B", "D"))
    assert [line["workload"] for line in printed[1:]] == ["B", "D forward", "D forward+backward"]
    assert all(line["threads"] == [1, 2] and line["speed_up"] > 0 for line in printed[1:])
    # The memory of a process in which nothing else has run.
    printed = lines_of(run_main(rollout, "--memory", "--steps", "2000"))
    assert printed[-1]["steps_run"] == 2000
    assert printed[-1]["finite"]
    assert printed[-1]["growth_MB"] >= 0


@pytest.mark.slow
def test_scaling_agrees_with_plain_torch_everywhere(folder):
    printed = run_script(folder / "scaling.py", "--quick")[1:]
    assert {line["vary"] for line in printed} == {
        "steps", "batch", "width", "depth", "activation", "dtype", "method", "threads",
    }  # fmt: skip
    assert {line["what"] for line in printed} == {"forward", "gradient"}
    assert all(line["ns_per_device_step"] > 0 for line in printed)
    compared = [line for line in printed if "deviation" in line]
    assert all(line["deviation"] < 1e-5 for line in compared)
    # Without compiled kernels, both are the plain loop.
    assert len(compared) > 10 or all(line["twin"].startswith("the same") for line in printed)


@pytest.mark.slow
def test_online_learning_agrees_with_plain_torch(folder):
    printed = run_script(folder / "online.py", "--quick")[1:]
    if "skipped" in printed[0]:
        pytest.skip("without compiled kernels there is nothing to compare")
    assert [line["part"] for line in printed] == ["learn"] * 7 + ["noise"] + ["adam"] * 2
    assert all(line["deviation"] < 1e-4 for line in printed)
    assert all(ratio["median"] > 0 for line in printed for ratio in line["ratio"].values())


def test_equilibrium_propagation_is_compared_with_its_products(module):
    rules = module("rules")
    printed = lines_of(run_main(rules, "--quick", "--hidden", "32", "--batch", "8", "--rounds", "2"))
    parts = [line for line in printed if line["part"] != "machine"]
    assert [line["weights"] for line in parts] == ["real", "binary"]
    assert all(line["ratio"]["median"] > 0 for line in parts)


@pytest.mark.slow
def test_fit_runs_surrogates_and_the_published_recipe(module, shared, monkeypatch):
    fit = module("fit")
    monkeypatch.setattr(fit, "Worker", LocalWorker)
    printed = lines_of(run_main(fit, "--quick", "--data", shared / "data/spin_neural_ode"))
    assert [line for line in printed if "error" in line] == []
    released, fitted, recipe = (
        next(line for line in printed if line.get("fit") == name) for name in ("authors' released weights", "spinode", "recipe")
    )
    assert 0 < released["nrmse"] < 0.1
    assert fitted["nrmse"] > 0
    assert recipe["iterations"] > 0
    assert set(recipe["wall_seconds_to"]) == {"0.033", "0.012"}
    assert [line["target_nrmse"] for line in printed if "target_nrmse" in line] == [0.033, 0.012]


@pytest.mark.long
def test_domain_walls_report_their_writes_and_energy(module, shared, monkeypatch):
    synapses, walls = module("synapses"), module("_domain_wall")
    images, labels, test_images, test_labels = walls.mnist(shared)
    subset = (images[:12_000], labels[:12_000], test_images[:1000], test_labels[:1000])
    monkeypatch.setattr(walls, "mnist", lambda _: subset)
    printed = lines_of(run_main(synapses, "--only", "domain-wall", "--epochs", "1", "--seeds", "0", "--shared", shared))
    runs = [line for line in printed if "devices" in line]
    expected = {
        (mode, states, sigma) for mode in ("in-situ", "ex-situ") for states in (2, 3, 5) for sigma in (0, 0.05, 0.1, 0.2)
    }
    assert {(line["mode"], line["states"], line["sigma"]) for line in runs} == expected
    for line in runs:
        assert 0.5 < line["accuracy"] <= 1  # an untrained network has 0.1
        assert line["energy_J"] == pytest.approx(3e-15 * line["writes"], rel=1e-3)
        assert line["writes_per_device"] == pytest.approx(line["writes"] / line["devices"], rel=1e-3)
        if line["sigma"] == 0:
            assert line["rewrites_per_device"] == line["beyond_margin"] == 0
            assert line["mode"] == "in-situ" or line["accuracy"] == line["precursor"]
    written = {(line["mode"], line["states"], line["sigma"]): line["writes_per_device"] for line in runs}
    assert all(written["ex-situ", states, 0.2] > written["ex-situ", states, 0] for states in (2, 3, 5))


@pytest.mark.parametrize(("sigma", "seed"), [(0.01, 0), (0.05, 1), (0.1, 2), (0.2, 3)])
def test_errors_of_a_precursor_are_distributed_as_those_of_written_walls(module, sigma, seed):
    """One-sample test against the truncated normal distribution for the model, two-sample test for the walls; 1e-4 each."""
    walls = module("_domain_wall")
    device = walls.DomainWall(states=3, sigma=sigma, margin=0.25, low=-1.0, high=1.0)
    layer = walls.Precursor(200, 100, device, walls.torch.Generator().manual_seed(seed))
    exact = layer.eval().weights()
    model_errors = ((layer.train().weights() - exact) / 2).flatten().numpy()
    assert kstest(model_errors, truncnorm(-0.25 / sigma, 0.25 / sigma, scale=sigma).cdf).pvalue > 1e-4
    # The initial walls were placed without regard to the margin; those beyond it are written again, even at the right level.
    layer.deploy()
    assert layer.beyond_margin() == 0
    wall_errors = ((layer.weights() - exact) / 2).flatten().numpy()
    assert kstest(wall_errors, model_errors).pvalue > 1e-4


@pytest.mark.parametrize(
    ("script", "line"),
    [
        ('echo \'{"part": "speed", "cpu": 1}\'', {"part": "speed", "cpu": 1}),
        ("echo 'first' >&2; echo 'No module named aihwkit' >&2; exit 1", "No module named aihwkit"),
        ("exit 3", "code 3"),
        (None, "No such file"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands for the other Python")
def test_step_in_another_python_or_its_error_is_printed(module, tmp_path, script, line):
    python = tmp_path / "python"
    if script is not None:
        python.write_text(f"#!/bin/sh\n{script}\n")
        python.chmod(0o755)
    (printed,) = module("_aihwkit").aihwkit_step(python)
    assert printed == line if isinstance(line, dict) else line in printed["error"]


def test_a_simulator_that_was_not_measured_is_reported(module):
    (printed,) = module("_aihwkit").aihwkit_step(None)
    assert "not measured" in printed["skipped"]


# Reference results of the rollouts


def test_the_reference_solves_the_equation(module):
    """Against an adaptive solver restarted at every sample; the difference is the error of the step, of order dt^5."""
    problems = module("_problems")
    problem = problems.make_problem("B", 20, 2)

    def rate(t, x, u):
        z = np.concatenate([x, u])
        for weight, bias in problem.layers[:-1]:
            z = np.tanh(weight @ z + bias)
        return problem.layers[-1][0] @ z + problem.layers[-1][1]

    for state, drive, states in zip(problem.state, problem.drive, problem.expected["states"], strict=True):
        for index, u in enumerate(drive):
            state = solve_ivp(rate, (0, problems.DT), state, args=(u,), rtol=1e-10, atol=1e-12).y[:, -1]
            np.testing.assert_allclose(states[index + 1], state, atol=1e-6)


@pytest.mark.parametrize("name", ["C", "D forward+backward"])
def test_gradients_of_the_reference_match_central_differences(module, name):
    """Central differences along a random direction in the weights."""
    problems = module("_problems")
    problem = problems.make_problem(name, 3 if name == "C" else 1, 5)
    random = np.random.default_rng(1)
    direction = [tuple(random.normal(size=value.shape) for value in layer) for layer in problem.layers]

    def loss(step):
        layers = [
            (weight + step * dw, bias + step * db) for (weight, bias), (dw, db) in zip(problem.layers, direction, strict=True)
        ]
        results = problems.reference_results(problems.replace(problem, layers=layers))
        return results["loss"] if name == "C" else np.sum(results["states"][:, -1] * problem.output_gradient)

    slope = (loss(1e-5) - loss(-1e-5)) / 2e-5
    flat = np.concatenate([value.ravel() for layer in direction for value in layer])
    assert problem.expected["gradient"] @ flat == pytest.approx(slope, rel=1e-6)


class FaultyWorker:
    """A worker whose implementation deviates slightly, or fails."""

    def __init__(self, deviation):
        self.deviation = deviation

    def call(self, method, *arguments):
        assert method == "check", "an implementation that does not agree must not be timed"
        if self.deviation is None:
            raise sys.modules["_measure"].WorkerError("it failed")
        return {"deviations": {"states": self.deviation}, "first_call_seconds": None}


@pytest.mark.parametrize("deviation", [2e-5, float("inf"), None])
def test_an_implementation_that_disagrees_or_fails_is_not_timed(module, capsys, deviation):
    rollout = module("rollout")
    options = rollout.argparse.Namespace(rounds=1, seconds=0.0, steps=10, devices=10, quick=False)
    problem = module("_problems").make_problem("A", 10, 1)
    assert rollout.compare(problem, {"eager": FaultyWorker(deviation)}, options) is False
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(printed) == 2
    assert "it failed" in printed[1]["error"] if deviation is None else printed[1]["agrees"] is False


def training_row(seconds):
    clocks = {f"{clock}_seconds_to": {"0.03": seconds} for clock in ("wall", "cpu")}
    return {**clocks, "wall_seconds": 600.0, "cpu_seconds": 600.0}


@pytest.mark.parametrize(
    ("seconds", "ratio"),
    [([300.0, None, 310.0], 62.0), ([300.0, None, None], "more than 120"), ([None], "more than 120"), ([200.0], 40.0)],
)
def test_the_fastest_fit_that_meets_the_target_is_compared(module, capsys, seconds, ratio):
    """A training that did not meet it counts with its time limit; the ratio is a lower bound if half of them did not."""
    fits = {
        "good": [{"wall_seconds": 50.0, "cpu_seconds": 50.0, "nrmse": 0.005}],
        "quick": [{"wall_seconds": 5.0, "cpu_seconds": 5.0, "nrmse": 0.02}],
        "bad": [{"wall_seconds": 1.0, "cpu_seconds": 1.0, "nrmse": 0.2}],
    }
    module("fit").compare(0.03, fits, [training_row(value) for value in seconds])
    line = json.loads(capsys.readouterr().out)
    assert line["spinode"] == "quick"
    assert line["wall_ratio recipe / spinode"] == ratio


def test_a_library_that_is_not_installed_is_reported(module, monkeypatch, capsys):
    rollout = module("rollout")
    monkeypatch.setattr(rollout, "installed", lambda name: None if name == "optax" else "1")
    options = rollout.argparse.Namespace(only=["jax"], workloads=[], quick=False)
    assert rollout.compare_all(options)
    assert "not installed: optax" in json.loads(capsys.readouterr().out)["skipped"]


def test_a_wrong_implementation_is_detected(module):
    """An error of 1e-3 in a bias must be detected in states and gradients."""
    rollout, problems = module("rollout"), module("_problems")
    for name in ("A", "C", "D forward+backward"):
        problem = problems.make_problem(name, 1 if name.startswith("D") else 10, 1 if name == "A" else 6)
        served = rollout.Served("eager")
        assert max(served.check(problem)["deviations"].values()) < 1e-5
        weight, bias = problem.layers[0]
        layers = [(weight, bias + 1e-3), *problem.layers[1:]]
        deviations = served.check(problems.replace(problem, layers=layers))["deviations"]
        assert all(value > 1e-5 for value in deviations.values()), (name, deviations)


def test_lines_are_valid_json_for_any_numbers(module, capsys):
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
published: {newest: {value: 0.5, tolerance: 0.5}, last 2: {value: 2.0, tolerance: 0.1}, first: {value: 0.3, tolerance: 0.1}}
differences: [smaller]
variants: {slow: {settings: {rate: 0.01}}}
"""


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(RECIPE)
    return path


def test_continual_writes_one_line_per_seed_and_recipe(module, recipe, tmp_path):
    continual, results = module("continual"), tmp_path / "results" / "lines.jsonl"
    arguments = (recipe, "--results", results, "--checkpoints", tmp_path / "points")
    run_main(continual, *arguments)
    written = [json.loads(line) for line in results.read_text().splitlines()]
    assert [(line["recipe"], line["seed"]) for line in written] == [("small", 0), ("small", 1)]
    assert all(0 <= line["figures"]["newest"] <= 1 for line in written)
    assert "small, seed 1: already has a line" in run_main(continual, *arguments, "--seeds", "1")
    recipe.write_text(RECIPE.replace("rate: 0.1}", "rate: 0.2}"))  # another experiment of the same name
    run_main(continual, *arguments, "--seeds", "1")
    assert len(results.read_text().splitlines()) == 3


def test_table_of_continual_learning(module, recipe):
    table = module("continual_table")
    from spinode.training.recipe import load_recipe

    small = load_recipe(recipe)
    lines = [
        {"seed": seed, "figures": {"newest": 0.4 + 0.2 * seed, "last 2": 0.5, "BWT": -0.1, "seconds of learning": 3.0 + seed}}
        for seed in (1, 0)
    ]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.rows(small, lines)]
    assert rows[0] == [
        "A test<br>`spinode train --recipe small`",
        "newest",
        "50.00",
        "50.00 +- 14.14 (within 50.00)",
        "0 1",
        "4",
    ]
    assert rows[1] == ["", "last 2", "200.00", "50.00 +- 0.00 (**not** within 10.00)", "", ""]
    assert rows[2] == ["", "first", "30.00", "not run", "", ""]
    assert "not run" in table.rows(small.variant("slow"), [])[0]
    assert table.notes(small) == ["Differences from the published protocol:\n", "- smaller"]
    assert table.fingerprint(small) != table.fingerprint(small.variant("slow"))


def test_stored_table_is_that_of_the_stored_lines(module, tmp_path, root):
    """docs/results/recipes.md equals the table that the script writes."""
    table = module("continual_table")
    table.write_table(table.RESULTS, tmp_path / "table.md")
    assert (tmp_path / "table.md").read_text() == (root / "docs" / "results" / "recipes.md").read_text()
