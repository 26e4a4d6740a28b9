"""Shared parts of `spinode evaluate` and `spinode report`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .inputs import load_surrogate, read
from .options import add_channels, add_reading
from .parser import Parser

if TYPE_CHECKING:
    from ..surrogates.neural_ode.evaluation.evaluate import Evaluation
    from ..surrogates.neural_ode.surrogate import Surrogate


def add_evaluation(parser: Parser) -> None:
    """Add surrogate, recording and how both are compared."""
    parser.add_argument("surrogate", metavar="SURROGATE", help="file written by spinode fit")
    parser.add_argument("table", metavar="TABLE", help="measurement file")
    parser.add_argument("--from-rest", action="store_true", help="start from rest instead of the recording's first samples")
    add_channels(parser)
    add_reading(parser)


def evaluate_file(arguments: Any) -> tuple[Surrogate, Evaluation]:
    """Load the surrogate, read the recording and score a free run."""
    from ..surrogates.neural_ode.evaluation.evaluate import evaluate

    surrogate = load_surrogate(arguments.surrogate)
    trace = read(arguments, arguments.table)
    evaluation = evaluate(surrogate, trace, drive=arguments.drive, output=arguments.output, from_rest=arguments.from_rest)
    return surrogate, evaluation
