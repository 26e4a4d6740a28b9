"""Train a network on a stream of tasks, on exact weights or on memory devices: a learning rule by its name, or a recipe."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ...training import StreamResult
    from ...training.recipe import Recipe
    from ..parser import Parser

SUMMARY = "train a network on a stream of tasks, on exact weights or on devices"
#: Seconds between two checkpoints: what an interrupt costs at most.
CHECKPOINT_EVERY = 10.0
#: Attributes of a recipe that shape a run.
_SHAPING = ("rule", "stream", "settings", "stream_settings", "run", "synapse", "ood")


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...contracts.stream_registry import registered_streams
    from ...datasets import streams as streams  # registers the streams
    from ...experiments.image_sets import IMAGE_SETS
    from ...experiments.rules import RULES
    from ...training import StreamConfig
    from ..options import add_checkpoint, add_progress
    from ..settings import add_settings, parse_value

    # Without a default, so that a rule that is left out does not replace the one of --config.
    parser.add_argument("rule", metavar="RULE", nargs="?", default=argparse.SUPPRESS, help=f"learning rule: {', '.join(RULES)}")
    parser.add_argument(
        "--recipe", metavar="NAME", help="shipped recipe, NAME:VARIANT, or a .yaml file; other options change it"
    )
    parser.add_argument(
        "--stream", metavar="NAME", help=f"{', '.join(registered_streams())} (default: that of the rule's recipe)"
    )
    parser.add_argument("--synapse", metavar="NAME", help="ideal, a .safetensors file, or a device by name (default: ideal)")
    parser.add_argument(
        "--ood",
        metavar="NAME",
        help=f"test detection of out-of-distribution data: {', '.join(IMAGE_SETS)}, permuted-mnist, ...",
    )
    parser.add_argument(
        "--seeds", type=parse_value, nargs="+", metavar="SEED", help="a run for each seed (default: --seed, or 0)"
    )
    parser.add_argument("--hidden", type=parse_value, nargs="+", metavar="N", help="units of each hidden layer")
    parser.add_argument(
        "--settings", "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the learner; may be repeated"
    )
    parser.add_argument(
        "--stream-settings",
        "--set-stream",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="setting of the stream, such as scale=unit",
    )
    parser.add_argument("--images", metavar="FOLDER", help="folder of the image files")
    parser.add_argument("--save", metavar="FOLDER", help="folder of results, plots, checkpoints and recipe.yaml")
    add_checkpoint(parser, "FOLDER", "that of --save; none without")
    parser.add_argument(
        "--continue-from",
        metavar="FOLDER",
        help="folder of checkpoints, which may be that of --save, to continue with more tasks, more epochs or other settings",
    )
    parser.add_argument("--log", choices=("csv", "tensorboard"), help="log losses and accuracies into --save")
    parser.add_argument(
        "--processes", type=parse_value, default=1, metavar="N", help="processes that share each batch (default: 1)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object for each seed, and nothing else")
    parser.add_config()
    add_settings(parser, StreamConfig, "settings of the run", unset="that of the recipe")
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...experiments.table import summary_table
    from ..inputs import make_folder

    recipe = build_recipe(arguments)
    folder = None if arguments.save is None else Path(arguments.save)
    if arguments.log:
        _check_log(arguments.log, folder)
    if folder is not None:
        make_folder(folder)
    results = []
    try:
        for seed in recipe.seeds:
            results.append(_run_seed(recipe, seed, folder, arguments))
    except KeyboardInterrupt:
        place = arguments.checkpoint if arguments.checkpoint is not None else folder
        if place is None:
            advice = "with --save FOLDER the same command would resume from here"
        elif any(Path(place).glob("seed-*/checkpoint.ckpt")):
            advice = "run the same command again to resume"
        else:
            advice = "interrupted before there was a checkpoint; the same command starts again"
        print(f"\nspinode: {advice}.", file=sys.stderr)
        raise
    if arguments.json:
        return
    print()
    for line in summary_table(recipe, results):
        print(line)
    if folder is not None:
        words = ["spinode", "train", "--recipe", str(folder / "recipe.yaml")]
        words += ["--images", arguments.images] if arguments.images else []
        words += ["--continue-from", arguments.continue_from] if arguments.continue_from else []
        print(f"saved {folder}; again with: {shlex.join(words)}")


def _run_seed(recipe: Recipe, seed: int, folder: Path | None, arguments: Any) -> StreamResult:
    from ...experiments.compose import run_recipe

    place = None if folder is None else folder / f"seed-{seed}"
    checkpoint = place if arguments.checkpoint is None else Path(arguments.checkpoint) / f"seed-{seed}"
    source = None if arguments.continue_from is None else Path(arguments.continue_from) / f"seed-{seed}"
    quiet = arguments.json or arguments.quiet
    if not quiet:
        print(f"{recipe.rule} on {recipe.stream}, {recipe.synapse} weights, seed {seed}", flush=True)
    trainer: dict[str, Any] = {}
    if arguments.log and place is not None:
        trainer["logger"] = _logger(arguments.log, place)
    progress = _print_line
    if not quiet and (arguments.progress or sys.stderr.isatty()):
        from lightning.pytorch.callbacks import TQDMProgressBar
        from tqdm import tqdm

        trainer |= {"enable_progress_bar": True, "callbacks": [TQDMProgressBar(refresh_rate=50)]}
        progress = tqdm.write
    result = run_recipe(
        recipe,
        seed,
        images=arguments.images,
        checkpoint=checkpoint,
        continue_from=source,
        started=None if folder is None else partial(_save_recipe, recipe, folder, source is not None),
        progress=None if quiet else progress,
        checkpoint_every=CHECKPOINT_EVERY,
        processes=arguments.processes,
        trainer=trainer,
    )
    if arguments.json:
        print(json.dumps(result.as_dict()), flush=True)
    if place is not None:
        from ...training.results.plots import save_plots

        result.save(place)
        save_plots(result, place)
    return result


def _save_recipe(recipe: Recipe, folder: Path, is_continued: bool) -> None:
    """Write the recipe of accepted runs into their folder; there is one recipe for the runs of all seeds.

    Raises:
        ConfigError: the folder contains runs of another recipe.
    """
    from ...differences import describe_differences, differences
    from ...identity import identity_of
    from ...training.recipe import load_recipe

    path = folder / "recipe.yaml"
    if path.exists() and not is_continued and any(folder.glob("seed-*/checkpoint.ckpt")):
        before, now = ({name: getattr(each, name) for name in _SHAPING} for each in (load_recipe(path), recipe))
        if different := differences(identity_of(before), identity_of(now)):
            raise ConfigError(
                f"{folder} contains runs of another recipe: {describe_differences(different)}. Pass another folder to --save."
            )
    recipe.save(path)


def _print_line(line: str) -> None:
    print(line, flush=True)


def build_recipe(arguments: Any) -> Recipe:
    """Return the recipe that the options describe: the named one, or that of the rule, with the changes that were given.

    Raises:
        ConfigError: neither a rule nor a recipe was given, or both, or options that contradict each other.
    """
    from ...experiments.compose import default_recipe, inherited_settings, without_publication
    from ...experiments.rules import RULES
    from ...training import StreamConfig
    from ...training.recipe import load_recipe
    from ..settings import given_settings

    rule = getattr(arguments, "rule", None)
    if arguments.recipe is not None and rule is not None:
        raise ConfigError(f"both the rule {rule} and --recipe {arguments.recipe} were given; a recipe has its own rule.")
    if arguments.recipe is not None:
        recipe = load_recipe(arguments.recipe)
    elif rule is not None:
        recipe = default_recipe(rule, arguments.stream)
    else:
        raise ConfigError(f"nothing to train: give a rule ({', '.join(RULES)}) or --recipe NAME.")
    given = given_settings(arguments, StreamConfig)
    seeds = _seeds(arguments, given.pop("seed", None))
    settings = {**_given(arguments, "hidden"), **_named_values("--settings", arguments.settings)}
    inherited = inherited_settings(recipe, settings, arguments.synapse)
    changed = replace(
        recipe,
        run={**recipe.run, **given},
        settings={**inherited, **settings},
        stream_settings={**recipe.stream_settings, **_named_values("--stream-settings", arguments.stream_settings)},
        variants={},
        **_given(arguments, "stream", "synapse", "ood"),
    )
    if changed != replace(recipe, variants={}):
        changed = without_publication(changed)
    if seeds is None:
        seeds = recipe.seeds if arguments.recipe is not None else (0,)
    return replace(changed, seeds=tuple(seeds))


def _seeds(arguments: Any, seed: Any) -> Sequence[Any] | None:
    if seed is not None and arguments.seeds is not None:
        raise ConfigError(f"both --seed {seed} and --seeds were given; give one of them.")
    return arguments.seeds if seed is None else [seed]


def _given(arguments: Any, *names: str) -> Mapping[str, Any]:
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _named_values(option: str, words: Sequence[str]) -> dict[str, Any]:
    from ...training.recipe import parse_yaml

    values = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {word!r} has no '='; expected NAME=VALUE, such as {option} memory=3e5.")
        values[name.replace("-", "_")] = parse_yaml(text, f"{option} {word}")
    return values


def _check_log(kind: str, folder: Path | None) -> None:
    """Check that a log can be written before time is spent on the run."""
    from importlib.util import find_spec

    if folder is None:
        raise ConfigError(f"--log {kind} needs a folder for its files; pass --save FOLDER too.")
    if kind == "tensorboard" and not (find_spec("tensorboardX") or find_spec("tensorboard")):
        raise ConfigError("--log tensorboard needs the package tensorboardX: pip install 'spinode[tensorboard]'.")


def _logger(kind: str, place: Path) -> Any:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    # A resumed run has a log of its own: Lightning would delete the existing one.
    number = len(list(place.glob("log-*"))) + 1
    return (CSVLogger if kind == "csv" else TensorBoardLogger)(place.parent, name=place.name, version=f"log-{number}")
