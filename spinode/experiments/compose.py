"""From a recipe to a run: learner, stream and out-of-distribution stream by their names."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from ..typing import Progress
from ..validation import one_of
from .networks import make_network_learner
from .registry import make_ood_stream, make_stream, make_synapse
from .rules import RULES, Rule

if TYPE_CHECKING:
    from ..contracts.task_stream import TaskStream
    from ..training import Learner, StreamResult
    from ..training.recipe import Recipe


def default_recipe(rule: str, stream: str | None) -> Recipe:
    """Return the recipe whose settings are the defaults of a rule.

    On another stream than the recipe's own, what belongs to that stream alone is left out.

    Raises:
        ConfigError: there is no such rule.

    Example:
        >>> default_recipe("mesu", None).stream
        'permuted-mnist'
    """
    from ..training.recipe import load_recipe

    recipe = load_recipe(RULES[one_of("rule", rule, RULES)].recipe)
    if stream is None or stream == recipe.stream:
        return replace(recipe, rule=rule)
    scale = {key: value for key, value in recipe.stream_settings.items() if key == "scale"}
    run = {key: value for key, value in recipe.run.items() if key != "tasks"}
    return without_publication(replace(recipe, rule=rule, stream=stream, stream_settings=scale, run=run, ood=None))


def without_publication(recipe: Recipe) -> Recipe:
    """Return a changed recipe without the published numbers, which do not apply to it."""
    return replace(recipe, name="", title="", source="", published={}, differences=(), variants={})


def inherited_settings(recipe: Recipe, changes: Mapping[str, Any], synapse: str | None = None) -> dict[str, Any]:
    """Return the settings of a recipe without those that other ones, given in their place, leave without effect.

    A learner refuses a setting without effect; one that the user did not give should not stand in the way of those he did.

    Args:
        recipe: The recipe.
        changes: Settings that were given.
        synapse: Synapse that was given; that of the recipe if None.

    Example:
        >>> recipe = default_recipe("ep", None)
        >>> set(recipe.settings) - set(inherited_settings(recipe, {"weights": "binary"}))
        {'rate'}
    """
    from .. import training
    from ..training.scopes import unused_settings

    learner = getattr(training, RULES[one_of("rule", recipe.rule, RULES)].learner)
    name = recipe.synapse if synapse is None else synapse
    defaults = learner.constructor_defaults()
    values = {**defaults, **recipe.settings, **changes, "synapse": None if name == "ideal" else name}
    unused = unused_settings(learner.scopes, values, defaults)
    return {key: value for key, value in recipe.settings.items() if key not in unused or key in changes}


def make_learner(recipe: Recipe, stream: TaskStream, seed: int) -> Learner:
    """Return the learner of a recipe.

    It is the compiled `OnlineLearner` where single samples meet one hidden layer of exact weights, and a `NetworkLearner` for
    its rules and where the settings contain `network`.

    Raises:
        ConfigError: there is no such rule or synapse, or the rule does not have such settings.
    """
    from .. import training

    rule = RULES[one_of("rule", recipe.rule, RULES)]
    cls: Callable[..., Learner] = getattr(training, rule.learner)
    for name in recipe.settings:
        if name in ("stream", "seed", "synapse", *rule.fixed):
            raise ConfigError(
                f"{name} is not a setting of {recipe.rule}; rule, stream, synapse and seed have options of their own."
            )
    synapse = make_synapse(recipe.synapse)
    if rule.learner == "NetworkLearner" or "network" in recipe.settings:
        return make_network_learner(rule.fixed, recipe.settings, stream, synapse, seed)
    hidden = recipe.settings.get("hidden", [0])
    single = isinstance(hidden, int) or (isinstance(hidden, Sequence) and len(hidden) == 1)
    if rule.online and single and recipe.config.batch_size == 1 and synapse is None:
        return training.OnlineLearner(stream, seed=seed, **rule.fixed, **recipe.settings)
    try:
        return cls(stream, seed=seed, synapse=synapse, **rule.fixed, **recipe.settings)
    except TypeError as error:
        unknown = re.search(r"unexpected keyword argument '(\w+)'", str(error))
        if unknown is None or unknown[1] not in recipe.settings:
            raise
        one_of(f"a setting of {recipe.rule}", unknown[1], _setting_names(cls, rule))
        raise


def _setting_names(cls: Any, rule: Rule) -> list[str]:
    """Return the settings of a learner that have a name in its constructor or in those of its base classes."""
    names = [name for base in cls.__mro__ for name in _keyword_only(base)]
    hidden = ("seed", "synapse", *rule.fixed, *getattr(cls, "replaced_settings", ()))
    return [name for name in dict.fromkeys(names) if name not in hidden]


def _keyword_only(cls: type) -> list[str]:
    """Return the keyword-only arguments of a class's own constructor."""
    constructor = vars(cls).get("__init__")
    if constructor is None or cls is object:
        return []
    return [name for name, each in inspect.signature(constructor).parameters.items() if each.kind is each.KEYWORD_ONLY]


def run_recipe(
    recipe: Recipe,
    seed: int,
    *,
    images: str | None = None,
    started: Callable[[], None] | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> StreamResult:
    """Run a recipe with one seed.

    Args:
        recipe: What is run.
        seed: Seed of learner, stream and order.
        images: Folder of the image files.
        started: Called when all arguments and the checkpoint were accepted, before anything is learned.
        progress: Receives a line after each task.
        **arguments: Further ones of `spinode.training.train`: checkpoint, continue_from, checkpoint_every, processes, trainer.

    Raises:
        ConfigError: unknown names, settings that do not fit, and what `train` raises.
    """
    from ..training.run import prepare

    config = replace(recipe.config, seed=seed)
    stream = make_stream(recipe.stream, recipe.stream_settings, tasks=config.tasks, seed=seed, images=images)
    ood = None
    if recipe.ood is not None:
        tasks = config.tasks or len(stream)
        ood = make_ood_stream(recipe.ood, recipe.stream_settings, tasks=tasks, seed=seed, images=images)
    learner = make_learner(recipe, stream, seed)
    run = prepare(learner, stream, config, ood=ood, **arguments)
    if started is not None:
        started()
    return run.start(progress)
