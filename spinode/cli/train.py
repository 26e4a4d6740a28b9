"""The command `train`: a learning rule, a stream and a synapse by their names, or a recipe."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..experiments.compose import RULES, default_recipe, run_recipe, unpublished
from ..experiments.registry import IMAGES, STREAMS
from .options import command

if TYPE_CHECKING:
    from ..training import StreamResult
    from ..training.recipe import Recipe

#: Seconds between two checkpoints: what an interrupt costs at most.
CHECKPOINT_EVERY = 10.0
#: Rules whose memory is limited on purpose, and what a reader of their figures must know.
FORGETS = ("mesu", "torch-mesu", "bimu")


def add_commands(commands: Any) -> None:
    """Register it."""
    train = command(commands, "train", _train, "let a network learn a stream of tasks, on exact weights or on devices")
    train.add_argument("rule", metavar="RULE", nargs="?", help=f"learning rule: {', '.join(RULES)}")
    train.add_argument("--recipe", metavar="NAME", help="a shipped recipe, NAME:VARIANT, or a .yaml file; options go before it")
    train.add_argument("--stream", metavar="NAME", help=f"{', '.join(STREAMS)} (that of the rule's recipe)")
    train.add_argument("--tasks", type=int, metavar="N", help="number of tasks")
    train.add_argument("--synapse", metavar="WHAT", help="ideal, a .safetensors file, or a device by name (default ideal)")
    train.add_argument("--seeds", type=int, nargs="+", metavar="SEED", help="default 0")
    train.add_argument("--epochs", type=int, metavar="N", help="passes over each task")
    train.add_argument("--batch-size", type=int, metavar="N", help="samples of a batch")
    train.add_argument("--hidden", type=int, nargs="+", metavar="N", help="units of each hidden layer")
    train.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="setting of the learner; may be repeated"
    )
    train.add_argument(
        "--set-stream", action="append", default=[], metavar="NAME=VALUE", help="setting of the stream, such as scale=unit"
    )
    train.add_argument("--evaluate", choices=("newest", "recent", "seen", "all"), help="which tasks are tested after each task")
    train.add_argument("--images", metavar="FOLDER", help="where the image files are")
    train.add_argument(
        "--strangers", metavar="NAME", help=f"test how strangers are told: {', '.join(IMAGES)}, permuted-mnist, ..."
    )
    train.add_argument("--save", metavar="FOLDER", help="where results, figures, checkpoints and config.yaml go")
    train.add_argument("--log", choices=("csv", "tensorboard"), help="losses and accuracies as they come, into --save")
    train.add_argument("--progress", action="store_true", help="show a bar")
    train.add_argument("--processes", type=int, default=1, metavar="N", help="processes that share each batch (default 1)")
    train.add_argument("--json", action="store_true", help="print one JSON object for each seed, and nothing else")


def _train(arguments: argparse.Namespace) -> None:
    recipe = _recipe(arguments)
    folder = None if arguments.save is None else Path(arguments.save)
    if arguments.log:
        _check_log(arguments.log, folder)
    if folder is not None:
        _make(folder)
        recipe.save(folder / "config.yaml")
    results = []
    try:
        for seed in recipe.seeds:
            results.append(_seed(recipe, seed, folder, arguments))
    except KeyboardInterrupt:
        again = "run the same command again to go on" if folder else "with --save FOLDER the same command would go on from here"
        print(f"\nspinode: {again}.", file=sys.stderr)
        raise
    if not arguments.json:
        print()
        for line in table(recipe, results):
            print(line)
        if folder is not None:
            print(f"saved {folder}; again with: spinode train --recipe {folder / 'config.yaml'}")


def _seed(recipe: Recipe, seed: int, folder: Path | None, arguments: argparse.Namespace) -> StreamResult:
    place = None if folder is None else folder / f"seed-{seed}"
    if not arguments.json:
        print(f"{recipe.rule} on {recipe.stream}, {recipe.synapse} weights, seed {seed}", flush=True)
    trainer: dict[str, Any] = {"processes": arguments.processes, "checkpoint_every": CHECKPOINT_EVERY}
    say: Callable[[str], None] | None = _say
    if arguments.log and place is not None:
        trainer["logger"] = _logger(arguments.log, place)
    if arguments.progress:
        from lightning.pytorch.callbacks import TQDMProgressBar
        from tqdm import tqdm

        trainer |= {"enable_progress_bar": True, "callbacks": [TQDMProgressBar(refresh_rate=50)]}
        say = tqdm.write
    result = run_recipe(recipe, seed, images=arguments.images, folder=place, say=None if arguments.json else say, **trainer)
    if arguments.json:
        print(json.dumps(result.as_dict()), flush=True)
    if place is not None:
        from ..training.results.plots import save_plots

        result.save(place)
        save_plots(result, place)
    return result


def _say(line: str) -> None:
    print(line, flush=True)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make the folder {folder}: {error.strerror or error}. Pass another --save.") from None


# --- what is run --------------------------------------------------------------------------------------------------------


def _recipe(arguments: argparse.Namespace) -> Recipe:
    """The recipe that the options describe: the named one, or that of the rule, changed by what was given."""
    from ..training.recipe import load_recipe

    if arguments.recipe is None and arguments.rule is None:
        raise ConfigError(f"nothing to train: give a rule ({', '.join(RULES)}) or --recipe NAME.")
    if arguments.recipe is not None and arguments.rule is not None:
        raise ConfigError(f"both the rule {arguments.rule} and --recipe {arguments.recipe} were given; a recipe has its rule.")
    if arguments.recipe is not None:
        recipe, seeds = load_recipe(arguments.recipe), arguments.seeds
    else:
        recipe, seeds = default_recipe(arguments.rule, arguments.stream), arguments.seeds or [0]
    run = {**recipe.run, **_given(arguments, "tasks", "epochs", "batch_size", "evaluate")}
    settings = {**recipe.settings, **_given(arguments, "hidden"), **_settings("--set", arguments.set)}
    stream_settings = {**recipe.stream_settings, **_settings("--set-stream", arguments.set_stream)}
    own = _given(arguments, "stream", "synapse", "strangers")
    changed = replace(recipe, run=run, settings=settings, stream_settings=stream_settings, variants={}, **own)
    if changed != replace(recipe, variants={}):
        changed = unpublished(changed)
    return changed if seeds is None else replace(changed, seeds=tuple(seeds))


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}


def _settings(option: str, words: Sequence[str]) -> dict[str, Any]:
    from ..training.recipe import parse_yaml

    found = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {word!r} has no '='; expected NAME=VALUE, such as {option} memory=3e5.")
        found[name.replace("-", "_")] = parse_yaml(text, f"{option} {word}")
    return found


def _check_log(kind: str, folder: Path | None) -> None:
    """Before hours are spent on what cannot be written."""
    from importlib.util import find_spec

    if folder is None:
        raise ConfigError(f"--log {kind} needs a place for its files; pass --save FOLDER too.")
    if kind == "tensorboard" and not (find_spec("tensorboardX") or find_spec("tensorboard")):
        raise ConfigError("--log tensorboard needs the package tensorboardX: pip install 'spinode[tensorboard]'.")


def _logger(kind: str, place: Path) -> Any:
    from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger

    # A run that goes on has a log of its own: Lightning would delete the one there is.
    number = len(list(place.glob("log-*"))) + 1
    return (CSVLogger if kind == "csv" else TensorBoardLogger)(place.parent, name=place.name, version=f"log-{number}")


# --- what is printed ----------------------------------------------------------------------------------------------------


def table(recipe: Recipe, results: Sequence[StreamResult]) -> list[str]:
    """Mean and standard deviation over seeds of each figure, beside what was published."""
    from ..training.results.result import summary

    found = summary(results)
    width = max(len(name) for name in found)
    lines = [f"{'':{width}}  {'mean':>9}  {'sd':>7}" + ("  published (tolerance)" if recipe.published else "")]
    for name, (mean, sd) in found.items():
        known = recipe.published.get(name)
        beside = f"  {shown(name, known.value)} ({shown(name, known.tolerance)})" if known else ""
        spread = "" if sd != sd else shown(name, sd)
        lines.append(f"{name:{width}}  {shown(name, mean):>9}  {spread:>7}{beside}")
    recent = results[0].recent
    lines.append(f"{len(results)} seed{'s' if len(results) > 1 else ''}; accuracies in percent of correct answers.")
    if recipe.rule in FORGETS and len(results[0].accuracy) > recent:
        lines.append(
            f"{recipe.rule} forgets by design what lies further back than its memory: 'last {recent}' is its headline, and "
            "'all tasks (ACC)' is what is left of all that it learned."
        )
    return lines


def shown(name: str, value: float) -> str:
    """A figure as it is printed: accuracies in percent."""
    if name.startswith("auc"):
        return f"{value:.4f}"
    if "[" in name or name.startswith("seconds"):
        return f"{value:.4g}"
    return f"{100 * value:.2f}"
