"""Neural SDEs on the command line: fit-stochastic, and simulate with every kind of model that runs under a drive in time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import spinode
from spinode.datasets import read_trace
from spinode.datasets.write import write_csv
from spinode.surrogates import WithFastResponse

QUICK = ["-k", "1", "--hidden", "4", "--iterations", "20", "--quiet"]


@pytest.fixture(scope="module")
def noisy_file(tmp_path_factory):
    """Write y[k + 1] = 0.8 y[k] + 0.2 u[k] + 0.05 xi under held random steps u."""
    rng = np.random.default_rng(0)
    u = np.repeat(rng.uniform(-1, 1, 120), 5)
    y = np.zeros(len(u))
    for k in range(len(u) - 1):
        y[k + 1] = 0.8 * y[k] + 0.2 * u[k] + 0.05 * rng.standard_normal()
    path = tmp_path_factory.mktemp("noisy") / "noisy.csv"
    write_csv(path, spinode.Trace(1e-9 * np.arange(len(u)), {"u": u}, {"y": y}, units={"u": "V", "y": "V"}))
    return path


@pytest.fixture(scope="module")
def stochastic_file(noisy_file):
    path = noisy_file.with_name("noisy.safetensors")
    trace = read_trace(noisy_file, drive="u", output="y")
    spinode.surrogates.fit_stochastic(trace, order=1, hidden=(4,), iterations=20).save(path)
    return path


@pytest.mark.filterwarnings("ignore::spinode.DomainWarning")
def test_fit_stochastic_equals_the_function(run, here, noisy_file, stochastic_file):
    code, out, err = run("fit-stochastic", noisy_file, "--drive", "u", "--output", "y", *QUICK, "--save", "m.safetensors")
    assert (code, err) == (0, "")
    assert "order 1" in out
    assert out.endswith("saved m.safetensors\n")
    assert [path.name for path in here.iterdir()] == ["m.safetensors"]
    drive = torch.linspace(-1, 1, 20, dtype=torch.float64)[:, None]
    fitted, expected = spinode.load("m.safetensors"), spinode.load(stochastic_file)
    assert torch.equal(fitted.simulate(drive), expected.simulate(drive))


def test_simulate_runs_a_neural_sde(run, here, noisy_file, stochastic_file):
    assert run("simulate", stochastic_file, noisy_file, "--save", "o.csv")[0] == 0
    result = read_trace("o.csv", drive="u", output="y")
    drive = torch.tensor(np.array(result.drive["u"]))[:, None]
    expected = spinode.load(stochastic_file).simulate(torch.cat([drive[:1], drive[:-1]])).detach()
    np.testing.assert_allclose(result.output["y"], expected[:, 0], atol=1e-9)
    # Row k belongs to time k: the mean response follows the exact recursion of the device.
    exact = np.zeros(len(drive))
    exact[0] = result.output["y"][0]
    for k in range(len(drive) - 1):
        exact[k + 1] = 0.8 * exact[k] + 0.2 * float(drive[k, 0])
    assert np.corrcoef(result.output["y"], exact)[0, 1] > 0.99


def test_noise_of_a_neural_sde_follows_the_seed(run, here, noisy_file, stochastic_file):
    texts = []
    for words in (("--noise", "--seed", "1"), ("--noise", "--seed", "1"), ("--noise", "--seed", "2"), ()):
        assert run("simulate", stochastic_file, noisy_file, *words, "--save", "o.csv")[0] == 0
        texts.append(Path("o.csv").read_text())
    assert texts[0] == texts[1]
    assert len(set(texts)) == 3


@pytest.mark.filterwarnings("ignore::spinode.DomainWarning")
def test_simulate_runs_a_surrogate_with_a_fast_response(run, here, fitted, drive_file):
    kernel = torch.full((3, 1, 1), 0.01, dtype=torch.float64)
    WithFastResponse(fitted, kernel).save("fast.safetensors")
    code, out, _ = run("simulate", "fast.safetensors", drive_file, "--save", "o.csv")
    assert code == 0
    assert "401 samples every 1e-11 s" in out
    result = read_trace("o.csv", drive="Ku", output="mz")
    drive = torch.tensor(np.array(result.drive["Ku"]))[:, None]
    expected = spinode.load("fast.safetensors").simulate(torch.cat([drive[:1], drive[:-1]])).detach()
    np.testing.assert_allclose(result.output["mz"], expected[:, 0], atol=1e-9)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "{model}", "{table}"], "expected a surrogate"),
        (["report", "{model}", "{table}", "--save", "r.html"], "expected a surrogate"),
        (["export", "{model}", "m.onnx"], "expected a surrogate"),
        (["simulate", "{model}", "{table}", "--output", "y", "--save", "o.csv"], "starts from rest under the first sample"),
        (["simulate", "{table}", "{table}", "--save", "o.csv"], "cannot be read as"),
        (["fit-stochastic", "{table}", "--drive", "u", "--output", "y", "-k", "99", "--save", "m"], "order is 99"),
        (["fit-stochastic", "{table}", "--drive", "u", "--save", "m"], "no --output was given"),
    ],
)
def test_bad_input_ends_in_one_sentence(run, here, noisy_file, stochastic_file, words, message):
    code, out, err = run(*[word.format(model=stochastic_file, table=noisy_file) for word in words])
    assert (code, out) == (2, "")
    assert err.startswith("spinode: error: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert list(here.iterdir()) == []
