"""Figures of runs as text."""

from __future__ import annotations

import numpy as np
import pytest

from spinode.experiments.table import format_figure, summary_table
from spinode.training import AccuracyMatrix, StreamResult
from spinode.training.recipe import load_recipe


def test_published_numbers_are_listed():
    recipe = load_recipe("mesu-permuted-mnist")
    values = np.full((6, 6), 0.9)
    result = StreamResult("mesu", "permuted MNIST", 0, 5, {"shared": AccuracyMatrix(values, np.full(6, np.nan))})
    lines = summary_table(recipe, [result, result])
    row = next(line for line in lines if line.startswith("last 5"))
    assert row.split()[2:] == ["90.00", "0.00", "91.34", "(1.00)"]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("last 5", 0.9134, "91.34"),
        ("auc total", 0.94, "0.9400"),
        ("memory [B]", 158800.0, "1.588e+05"),
        ("devices", 158800.0, "158800"),
    ],
)
def test_figures_as_text(name, value, text):
    assert format_figure(name, value) == text
