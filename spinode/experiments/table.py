"""Figures of runs as text, for the command line and the table of benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .rules import RULES

if TYPE_CHECKING:
    from ..training import StreamResult
    from ..training.recipe import Recipe

#: How the names of accuracies begin; other figures are no shares of one.
_ACCURACIES = ("last ", "newest", "first", "all tasks", "BWT", "FWT", "forgetting", "rigidity")


def summary_table(recipe: Recipe, results: Sequence[StreamResult]) -> list[str]:
    """Return lines with mean and standard deviation over seeds of each figure, and the published numbers."""
    from ..training.results.result import summary

    figures = summary(results)
    width = max(len(name) for name in figures)
    lines = [f"{'':{width}}  {'mean':>9}  {'sd':>7}" + ("  published (tolerance)" if recipe.published else "")]
    for name, (mean, deviation) in figures.items():
        known = recipe.published.get(name)
        published = f"  {format_figure(name, known.value)} ({format_figure(name, known.tolerance)})" if known else ""
        spread = "" if math.isnan(deviation) else format_figure(name, deviation)
        lines.append(f"{name:{width}}  {format_figure(name, mean):>9}  {spread:>7}{published}")
    recent = results[0].recent
    lines.append(f"{len(results)} seed{'s' if len(results) > 1 else ''}; accuracies in percent of correct answers.")
    if recipe.rule in RULES and RULES[recipe.rule].forgets and len(results[0].accuracy) > recent:
        lines.append(
            f"{recipe.rule} forgets by design what is older than its memory: 'last {recent}' is its headline, and "
            "'all tasks (ACC)' is what remains of everything that it learned."
        )
    return lines


def format_figure(name: str, value: float) -> str:
    """Return a figure as text: accuracies in percent, counts and times as numbers.

    Example:
        >>> format_figure("last 5", 0.9134), format_figure("devices", 158800.0)
        ('91.34', '158800')
    """
    if name.startswith("auc"):
        return f"{value:.4f}"
    if name.startswith(_ACCURACIES):
        return f"{100 * value:.2f}"
    return f"{value:.4g}" if "[" in name or name.startswith("seconds") else f"{value:.6g}"
