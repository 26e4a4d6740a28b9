"""Networks trained on a surrogate and on its device, paired by seed; one JSON line per run and one per comparison.

    python benchmarks/devices_in_loop.py [RULE ...] [--seeds 0 1 2 3 4] [--surrogate NAME-OR-FILE] [--epochs N] [--results FILE]

Runs the pairs RULE-physical and RULE-surrogate of the recipe devices-mnist-fashion (bnn, qnn, mesu, sgd; and weak-reset, whose
devices wear out): the same network, data, order and seeds. A comparison has the mean difference of each figure, surrogate minus
device, with the 95 % interval of paired differences (Student's t): they agree if it is within 0.5 points, or within its own
interval. One seed shows nothing: repeats of one device differ by two points. Runs that have a line are not repeated.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from _measure import machine
from continual import SHARED, commit
from scipy.stats import t as student

from spinode.digest import content_digest
from spinode.experiments.compose import run_recipe
from spinode.surrogates import zoo
from spinode.training.recipe import load_recipe

RECIPE = "devices-mnist-fashion"
RULES = ("bnn", "qnn", "mesu", "sgd")
RESULTS = Path(__file__).parent / "results" / "devices-in-loop.jsonl"
#: Difference of means, in points, that counts as agreement whatever its interval.
AGREEMENT = 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rules", nargs="*", default=list(RULES), metavar="RULE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--surrogate", help="synapse in place of the recipe's, a name of the zoo or a file")
    parser.add_argument("--epochs", type=int, help="in place of the recipe's")
    parser.add_argument("--images", default=str(SHARED) if SHARED.is_dir() else None, help="folder of the image files")
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    for rule in options.rules:
        pairs = []
        for seed in options.seeds:
            pairs.append(tuple(run(rule, side, seed, options) for side in ("physical", "surrogate")))
            print(json.dumps(compare(rule, options.seeds[: len(pairs)], pairs)), flush=True)


def run(rule: str, side: str, seed: int, options: argparse.Namespace) -> dict[str, float]:
    """Return the accuracies [%] of each task at the end of one run; a run that has a line is read from it."""
    recipe = load_recipe(f"{RECIPE}:{rule}-{side}")
    if options.epochs is not None:
        recipe = replace(recipe, run={**recipe.run, "epochs": options.epochs})
    if side == "surrogate" and options.surrogate is not None:
        recipe = replace(recipe, synapse=options.surrogate)
    key = {"rule": rule, "side": side, "seed": seed, "epochs": recipe.config.epochs}
    if side == "surrogate":
        shipped = recipe.synapse in zoo.available()
        file = zoo.path(recipe.synapse) if shipped else Path(recipe.synapse)
        key["surrogate"] = content_digest(file.read_bytes().hex(), {})
    for line in options.results.read_text().splitlines() if options.results.exists() else []:
        stored = json.loads(line)
        if all(stored.get(name) == value for name, value in key.items()):
            return dict(stored["accuracies"])
    result = run_recipe(recipe, seed, images=options.images)
    found = {
        f"{view}, task {index + 1}": round(100 * float(value), 2)
        for view, matrix in result.accuracies.items()
        for index, value in enumerate(matrix.values[-1])
    }
    line = {**key, "accuracies": found, "commit": commit(), "machine": machine()}
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a") as file:
        file.write(json.dumps(line) + "\n")
    print(json.dumps(line), flush=True)
    return found


def compare(rule: str, seeds: list[int], pairs: list[tuple[dict[str, float], ...]]) -> dict[str, Any]:
    """Return the mean paired difference of each figure, surrogate minus device, and its interval."""
    differences = {}
    for name in pairs[0][0]:
        values = np.array([surrogate[name] - physical[name] for physical, surrogate in pairs])
        count = len(values)
        half = float(student.ppf(0.975, count - 1) * values.std(ddof=1) / np.sqrt(count)) if count > 1 else None
        mean = float(values.mean())
        agrees = None if half is None else abs(mean) <= max(AGREEMENT, half)
        differences[name] = {"mean": round(mean, 2), "interval": half and round(half, 2), "agrees": agrees}
    return {"rule": rule, "seeds": seeds, "surrogate minus device, points": differences}


if __name__ == "__main__":
    main()
