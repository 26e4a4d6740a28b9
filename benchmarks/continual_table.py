"""Write docs/results/recipes.md from the lines of benchmarks/results/continual.jsonl and the recipes.

python benchmarks/continual_table.py [--results FILE] [--table FILE]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
from pathlib import Path
from typing import Any

from spinode.experiments.table import format_figure
from spinode.training.recipe import Recipe, load_recipe, recipe_names

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "continual.jsonl"
TABLE = HERE.parent / "docs" / "results" / "recipes.md"

HEAD = """# Continual learning: published experiments, and the results of this package

Written by `python benchmarks/continual_table.py`; do not edit. Each row is a recipe of `training/recipes/`, run by `python
benchmarks/continual.py RECIPE`, or by the command below its title; `benchmarks/results/continual.jsonl` has one line per seed.

Accuracies are percent of correct answers on test sets, mean +- standard deviation over seeds. "last 5": the five newest tasks
at the end; "newest": the task just learned; "first": the first task at the end; "all tasks (ACC)": the mean over all tasks at
the end, shown next to every headline, since some rules forget by design. "(task)": with the batch norms of the tested task,
which requires its identity; "(shared)": with the newest ones. "auc": area under the ROC curve of out-of-distribution detection
by this uncertainty. Tolerances were set before the runs. Seconds are those of learning for one seed, on one core of a shared
machine.
"""

#: Figures that are shown for every recipe that has them, in addition to the published ones.
ALWAYS_SHOWN = (
    *("last ", "newest", "first", "all tasks (ACC)", "auc epistemic", "auc aleatoric"),
    *("levels in use", "weights at ", "most pulses of a device", "mean pulses of a device", "writes"),
    *("flips in devices", "flips that failed", "SET pulses", "RESET pulses", "energy [J]"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    options = parser.parse_args()
    write_table(options.results, options.table)


def write_table(results: Path, table: Path = TABLE) -> None:
    """Write the table of all recipes."""
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    text = [HEAD]
    for name in recipe_names():
        base = load_recipe(name)
        text += [f"\n## {base.title}\n", f"{base.source}.\n" if base.source else ""]
        text += ["| experiment | figure | published | ours | seeds | seconds per seed |", "|---|---|---|---|---|---|"]
        for recipe in base.expanded():
            recorded = [line for line in lines if (line["recipe"], line["fingerprint"]) == (recipe.name, fingerprint(recipe))]
            text += rows(recipe, list({line["seed"]: line for line in recorded}.values()))
        text += ["", *notes(base)]
    table.write_text("\n".join(text).rstrip() + "\n")


def fingerprint(recipe: Recipe) -> str:
    """Return a hash, eight characters, of all that shapes the result; titles and published numbers do not."""
    fields = ("rule", "settings", "stream", "stream_settings", "run", "synapse", "ood")
    values = {name: value for name, value in recipe.as_dict().items() if name in fields}
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def rows(recipe: Recipe, lines: list[dict[str, Any]]) -> list[str]:
    """Return the rows of one recipe or variant, one figure in each."""
    title = f"{recipe.title}<br>`spinode train --recipe {recipe.name}`"
    figures = [line["figures"] for line in lines]
    measured = [name for name in figures[0] if all(name in each for each in figures)] if figures else []
    shown = [name for name in measured if name.startswith(ALWAYS_SHOWN) or name in recipe.published]
    shown += [name for name in recipe.published if name not in shown]
    if not shown:
        return [f"| {title} | | | not run | | |"]
    seconds = f"{statistics.mean(each['seconds of learning'] for each in figures):.0f}" if figures else ""
    seeds = " ".join(str(line["seed"]) for line in sorted(lines, key=lambda line: line["seed"]))
    table_rows = []
    for index, name in enumerate(shown):
        cells = (title, seeds, seconds) if index == 0 else ("", "", "")
        table_rows.append(
            f"| {cells[0]} | {name} | {published(recipe, name)} | {ours(recipe, name, figures)} | {cells[1]} | {cells[2]} |"
        )
    return table_rows


def published(recipe: Recipe, name: str) -> str:
    """Return the published number, with its standard deviation over seeds if there is one."""
    known = recipe.published.get(name)
    if known is None:
        return ""
    return format_figure(name, known.value) + (f" +- {format_figure(name, known.spread)}" if known.spread is not None else "")


def ours(recipe: Recipe, name: str, figures: list[dict[str, float]]) -> str:
    """Return mean and standard deviation, and whether the mean is within the tolerance of the published number."""
    values = [each[name] for each in figures if name in each]
    if not values:
        return "not run"
    mean = statistics.mean(values)
    spread = f" +- {format_figure(name, statistics.stdev(values))}" if len(values) > 1 else ""
    known = recipe.published.get(name)
    assessment = ""
    if known is not None:
        # The sum of 0.9134 and 0.01 is not exact.
        within = abs(mean - known.value) <= known.tolerance + 1e-9
        assessment = (
            f" (within {format_figure(name, known.tolerance)})"
            if within
            else f" (**not** within {format_figure(name, known.tolerance)})"
        )
    return f"{format_figure(name, mean)}{spread}{assessment}"


def notes(base: Recipe) -> list[str]:
    """Return the differences from the published protocol as a list."""
    recipes_of: dict[str, list[str]] = {}
    for recipe in base.expanded():
        for sentence in recipe.differences:
            recipes_of.setdefault(sentence, []).append(recipe.name)
    variants = len(base.expanded())
    lines = [
        f"- {sentence}" + ("" if len(names) == variants else f" ({', '.join(names)})") for sentence, names in recipes_of.items()
    ]
    return ["Differences from the published protocol:\n", *lines] if lines else []


if __name__ == "__main__":
    main()
