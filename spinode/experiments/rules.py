"""Learning rules by name: a class of `spinode.training`, and the recipe whose settings are its defaults."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Rule:
    """A learning rule.

    Attributes:
        learner: Name of the class in `spinode.training`.
        recipe: Recipe whose settings are the defaults.
        fixed: Arguments of the class that make it this rule.
        online: True if `OnlineLearner` has the rule under the same name.
        forgets: True if its memory is limited on purpose, so that accuracy over all tasks is not its headline.
    """

    learner: str
    recipe: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    online: bool = False
    forgets: bool = False


_ONLINE = "mesu-permuted-mnist"
#: Learning rules by name.
RULES: dict[str, Rule] = {
    "mesu": Rule("BayesianLearner", _ONLINE, {"rule": "mesu"}, online=True, forgets=True),
    "torch-mesu": Rule("BayesianLearner", "mesu-200-200:torch-mesu", {"rule": "torch-mesu"}, forgets=True),
    "bgd": Rule("BayesianLearner", f"{_ONLINE}:foo-vb", {"rule": "bgd"}, online=True),
    "foo-vb": Rule("BayesianLearner", f"{_ONLINE}:foo-vb", {"rule": "bgd"}, online=True),
    "bimu": Rule("BayesianLearner", "bimu-1000-tasks", {"rule": "bimu"}, online=True, forgets=True),
    "bnn": Rule("MetaplasticBNN", "bnn-permuted-mnist"),
    "qnn": Rule("MetaplasticQNN", "qnn-mnist-fashion"),
    "real": Rule("MetaplasticReal", "bnn-permuted-mnist:real-m-1.35"),
    "sgd": Rule("PlainLearner", f"{_ONLINE}:sgd", {"rule": "sgd"}, online=True),
    "adam": Rule("PlainLearner", "bnn-permuted-mnist:adam", {"rule": "adam"}),
    "ewc": Rule("PlainLearner", "bnn-permuted-mnist:ewc", {"rule": "ewc"}),
    "ewc-online": Rule("PlainLearner", f"{_ONLINE}:ewc-online", {"rule": "ewc-online"}, online=True),
    "ewc-stream": Rule("PlainLearner", f"{_ONLINE}:ewc-stream", {"rule": "ewc-stream"}, online=True),
    "si": Rule("PlainLearner", f"{_ONLINE}:si", {"rule": "si"}, online=True),
    "vdsp": Rule("VDSPLearner", "vdsp-mnist"),
    "ep": Rule("EquilibriumPropagation", "ep-mnist"),
    "unsupervised": Rule("SelfDefinedTarget", "self-target-mnist"),
}


def _add_plugins() -> None:
    """Add Adam with each plugin of `spinode.training.plugins` under the plugin's name, unless that is a rule already."""
    from ..training.plugins import plugins

    for name in plugins():
        RULES.setdefault(name, Rule("NetworkLearner", "bnn-permuted-mnist:adam", {"rule": "adam", "plugins": (name,)}))


_add_plugins()
