"""The examples run unchanged; each contains an assertion of its own."""

import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = (
    "fit_a_trace",
    "optimise_a_drive",
    "known_physics",
    "train_on_devices",
    "learn_in_sequence",
    "noisy_reservoir",
    "own_network",
)


@pytest.mark.parametrize("name", NAMES)
def test_example_runs(name, capsys):
    path = EXAMPLES / f"{name}.py"
    if not path.exists():
        pytest.skip("the examples are not in this checkout")
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out


def test_every_example_is_run():
    if not EXAMPLES.exists():
        pytest.skip("the examples are not in this checkout")
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(NAMES)
