"""Published experiments of continual learning, run from their recipes; one JSON line per seed.

    python benchmarks/continual.py RECIPE[:VARIANT] ... [--seeds 0 1 2] [--images FOLDER] [--results FILE] [--again]
    python benchmarks/continual.py --list
    python benchmarks/continual.py --table

Lines are added to benchmarks/results/continual.jsonl: recipe, seed, figures, seconds, machine, commit. A run that was stopped
resumes from its checkpoint below build/continual when it is started again; one that has its line is skipped, unless
`--again` is given, which also deletes its checkpoint. One thread, so that two runs can share a machine of two cores.
`--table` writes docs/results/recipes.md from the lines, as benchmarks/continual_table.py does.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from _measure import machine
from continual_table import RESULTS, fingerprint, write_table

from spinode.experiments.compose import run_recipe
from spinode.training.recipe import Recipe, load_recipe, recipe_names

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("SPINODE_SHARED", ROOT.parent / "shared")) / "data" / "images"


def main() -> None:
    options = arguments()
    torch.set_num_threads(1)
    if options.list:
        for name in recipe_names():
            for recipe in load_recipe(name).expanded():
                print(f"{recipe.name:36} {recipe.title}")
    for name in options.recipes:
        recipe = load_recipe(name)
        for seed in options.seeds or recipe.seeds:
            if options.again or not is_done(options.results, recipe, seed):
                run(recipe, seed, options)
            else:
                print(f"{recipe.name}, seed {seed}: already has a line in {options.results.name}", flush=True)
    if options.table:
        write_table(options.results)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipes", nargs="*", metavar="RECIPE[:VARIANT]")
    parser.add_argument("--seeds", type=int, nargs="+", help="seeds; those of the recipe if omitted")
    parser.add_argument("--images", default=str(SHARED) if SHARED.is_dir() else None, help="folder of the image files")
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--checkpoints", type=Path, default=ROOT / "build" / "continual")
    parser.add_argument("--again", action="store_true", help="also run seeds that already have a line")
    parser.add_argument("--list", action="store_true", help="list recipes and variants")
    parser.add_argument("--table", action="store_true", help="write docs/results/recipes.md at the end")
    return parser.parse_args()


def run(recipe: Recipe, seed: int, options: argparse.Namespace) -> None:
    """Run one seed and append its line."""
    # A recipe that was changed must not resume from its old checkpoint.
    folder = options.checkpoints / recipe.name.replace(":", "-") / fingerprint(recipe) / f"seed-{seed}"
    print(f"{recipe.name}, seed {seed}", flush=True)
    if options.again:
        shutil.rmtree(folder, ignore_errors=True)
    wall, processor = time.monotonic(), time.process_time()
    result = run_recipe(
        recipe, seed, images=options.images, checkpoint=folder, progress=lambda line: print(f"  {line}", flush=True)
    )
    seconds = {"wall": time.monotonic() - wall, "processor": time.process_time() - processor}
    line = {
        "recipe": recipe.name,
        "fingerprint": fingerprint(recipe),
        "seed": seed,
        "figures": {name: round(value, 5) for name, value in result.figures().items()},
        "accuracies at the end": {
            view: [round(float(each), 4) for each in matrix.values[-1]] for view, matrix in result.accuracies.items()
        },
        # Of the last start only, if the run was resumed; "seconds of learning" counts all of them.
        "seconds of this start": {name: round(value, 1) for name, value in seconds.items()},
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
    }
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    result.save(folder)
    print(f"  {json.dumps(line['figures'])}", flush=True)


def is_done(results: Path, recipe: Recipe, seed: int) -> bool:
    """Return True if the results contain a line of this recipe and seed."""
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    key = (recipe.name, fingerprint(recipe), seed)
    return any((line["recipe"], line["fingerprint"], line["seed"]) == key for line in lines)


def commit() -> dict[str, Any]:
    """Return the commit, and "changed" if files of the package differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True).stdout.strip()

    differences = git("status", "--porcelain", "--untracked-files=no", "--", "spinode", "datasets", "surrogates", "training")
    return {"id": git("rev-parse", "--short", "HEAD"), "changed": bool(differences)}


if __name__ == "__main__":
    main()
