"""Score a surrogate on a recording that it was not fitted on.

NRMSE is the rms error over the standard deviation of the recording, noise included in both. An NRMSE without the noise is the
error beyond the measurement noise over the standard deviation of the output without noise.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "score a surrogate on a recording that it was not fitted on"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..evaluating import add_evaluation

    add_evaluation(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates.neural_ode.evaluation.assessment import assess
    from ..evaluating import evaluate_file, names_of

    surrogate, evaluation = evaluate_file(arguments)
    if arguments.json:
        print(json.dumps(evaluation.to_dict(), allow_nan=False))
        return
    scores = evaluation.to_dict()
    for name in ("nrmse", "baseline_nrmse", "r2", "spectrum_error", "outside_domain", "coverage"):
        print(f"{name:16} {'none' if scores[name] is None else format(scores[name], '.4g')}")
    for name in ("diverged_at", "regime_change_at", "nrmse_before_change"):
        print(f"{name:19} {'none' if scores[name] is None else format(scores[name], '.6g')}")
    horizon = scores["horizon"][:: max(1, len(scores["horizon"]) // 6)]
    print("horizon          " + "  ".join(f"{time:.3g} s: {value:.3g}" for time, value in horizon))
    for sentence in assess(surrogate, evaluation, names=names_of(arguments, surrogate)).sentences:
        print(f"- {sentence}")
