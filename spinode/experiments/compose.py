"""From a recipe to a run: learner, stream and strangers by their names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .registry import make_ood_stream, make_stream, make_synapse

if TYPE_CHECKING:
    from ..contracts.task_stream import TaskStream
    from ..training import Learner, StreamResult
    from ..training.recipe import Recipe


@dataclass(frozen=True)
class Rule:
    """A learning rule of the command line.

    Attributes:
        learner: Name of the class in `spinode.training`.
        recipe: The recipe whose settings are the defaults.
        fixed: Arguments of the class that make it this rule.
        online: `OnlineLearner` knows the rule, under the same name.
    """

    learner: str
    recipe: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    online: bool = False


_ONLINE = "mesu-permuted-mnist"
RULES: dict[str, Rule] = {
    "mesu": Rule("BayesianLearner", _ONLINE, {"rule": "mesu"}, online=True),
    "torch-mesu": Rule("BayesianLearner", "mesu-200-200:torch-mesu", {"rule": "torch-mesu"}),
    "bgd": Rule("BayesianLearner", "mesu-permuted-mnist:foo-vb", {"rule": "bgd"}, online=True),
    "foo-vb": Rule("BayesianLearner", "mesu-permuted-mnist:foo-vb", {"rule": "bgd"}, online=True),
    "bimu": Rule("BayesianLearner", "bimu-1000-tasks", {"rule": "bimu"}, online=True),
    "bnn": Rule("MetaplasticBNN", "bnn-permuted-mnist"),
    "qnn": Rule("MetaplasticQNN", "qnn-mnist-fashion"),
    "real": Rule("MetaplasticReal", "bnn-permuted-mnist:real-m-1.35"),
    "sgd": Rule("PlainLearner", "mesu-permuted-mnist:sgd", {"rule": "sgd"}, online=True),
    "adam": Rule("PlainLearner", "bnn-permuted-mnist:adam", {"rule": "adam"}),
    "ewc": Rule("PlainLearner", "bnn-permuted-mnist:ewc", {"rule": "ewc"}),
    "ewc-online": Rule("PlainLearner", "mesu-permuted-mnist:ewc-online", {"rule": "ewc-online"}, online=True),
    "ewc-stream": Rule("PlainLearner", "mesu-permuted-mnist:ewc-stream", {"rule": "ewc-stream"}, online=True),
    "si": Rule("PlainLearner", "mesu-permuted-mnist:si", {"rule": "si"}, online=True),
}


def default_recipe(rule: str, stream: str | None) -> Recipe:
    """The recipe whose settings are the defaults of a rule; on another stream than its own, without what belongs to its stream.

    Raises:
        ConfigError: no such rule.
    """
    from ..training.recipe import load_recipe

    recipe = load_recipe(_rule(rule).recipe)
    if stream is None or stream == recipe.stream:
        return replace(recipe, rule=rule)
    scale = {key: value for key, value in recipe.stream_settings.items() if key == "scale"}
    run = {key: value for key, value in recipe.run.items() if key != "tasks"}
    return unpublished(replace(recipe, rule=rule, stream=stream, stream_settings=scale, run=run, ood=None))


def unpublished(recipe: Recipe) -> Recipe:
    """A recipe that was changed, and is no longer the published experiment."""
    return replace(recipe, name="", title="", source="", published={}, differences=(), variants={})


def _rule(name: str) -> Rule:
    if name not in RULES:
        raise ConfigError(f"there is no learning rule {name!r}; choose one of: {', '.join(RULES)}.")
    return RULES[name]


def make_learner(recipe: Recipe, stream: TaskStream, seed: int) -> Learner:
    """The learner of a recipe; the compiled one where single samples meet a single hidden layer of exact weights.

    Raises:
        ConfigError: no such rule or synapse, or settings that the rule does not have.
    """
    from .. import training

    rule = _rule(recipe.rule)
    synapse = make_synapse(recipe.synapse)
    hidden = recipe.settings.get("hidden", [0])
    single = isinstance(hidden, int) or len(hidden) == 1
    if rule.online and single and recipe.config.batch_size == 1 and synapse is None:
        return training.OnlineLearner(stream, seed=seed, **rule.fixed, **recipe.settings)
    cls: Callable[..., Learner] = getattr(training, rule.learner)
    try:
        return cls(stream, seed=seed, synapse=synapse, **rule.fixed, **recipe.settings)
    except TypeError as error:
        if "keyword argument" not in str(error):
            raise
        raise ConfigError(
            f"{recipe.rule} has other settings: {str(error).partition(') ')[2] or error}; see docs/continual.md."
        ) from None


def run_recipe(
    recipe: Recipe,
    seed: int,
    *,
    images: str | None = None,
    folder: Any = None,
    say: Callable[[str], None] | None = None,
    **arguments: Any,
) -> StreamResult:
    """Run a recipe with one seed.

    Args:
        recipe: What is run.
        seed: Seed of learner, stream and order.
        images: Folder of the image files.
        folder: Where the checkpoint stands.
        say: Takes a line of progress after each task.
        **arguments: Further ones of `spinode.training.train`.

    Raises:
        ConfigError: names that there are not, settings that do not fit, and what `train` raises.
    """
    from ..training import train

    config = replace(recipe.config, seed=seed)
    stream = make_stream(recipe.stream, recipe.stream_settings, tasks=config.tasks, seed=seed, images=images)
    ood = None
    if recipe.ood is not None:
        tasks = config.tasks or len(stream)
        ood = make_ood_stream(recipe.ood, recipe.stream_settings, tasks=tasks, seed=seed, images=images)
    learner = make_learner(recipe, stream, seed)
    return train(learner, stream, config, ood=ood, folder=folder, say=say, **arguments)
