"""Trainers of networks that learn task after task, on exact weights and on memory devices."""

from importlib import import_module as _import_module
from typing import Any as _Any

# A relative import: `import training` from the repository root must fail loudly instead of loading a second copy.
from ..errors import SpinodeError as _SpinodeError  # noqa: F401
from .metrics import AccuracyMatrix as AccuracyMatrix
from .uncertainty import Uncertainty as Uncertainty, roc_auc as roc_auc, uncertainty as uncertainty

#: Names whose modules import Lightning, which takes seconds to load: they are imported when they are first asked for.
_LATER = {
    "Learner": "learner",
    "OnlineLearner": "online",
    "BayesianLearner": "bayesian_learner",
    "PlainLearner": "plain",
    "BayesianLinear": "bayesian",
    "BinaryBayesianLinear": "bayesian",
    "GateActivation": "bayesian",
    "gaussian_pairs": "bayesian",
    "MESU": "bayesian_rules",
    "TorchMESU": "bayesian_rules",
    "BGD": "bayesian_rules",
    "BiMU": "bayesian_rules",
    "MetaplasticBNN": "binary",
    "MetaplasticQNN": "binary",
    "MetaplasticReal": "binary",
    "MetaplasticAdam": "metaplastic",
    "BinaryLinear": "quantised",
    "QuantisedLinear": "quantised",
    "SignActivation": "quantised",
    "TaskNorm": "norm",
    "EWC": "elastic",
    "SI": "elastic",
    "fisher_information": "elastic",
    "StreamConfig": "run",
    "StreamResult": "run",
    "train": "run",
    "train_seeds": "run",
}


def __getattr__(name: str) -> _Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(_import_module(f".{_LATER[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})
