"""Shared parts of `spinode evaluate` and `spinode report`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .inputs import another_name, grouped_options, load_surrogate, read
from .options import add_channels, add_reading
from .parser import Parser

if TYPE_CHECKING:
    from ..surrogates.neural_ode.evaluation.evaluate import Evaluation
    from ..surrogates.neural_ode.evaluation.remedies import Names
    from ..surrogates.neural_ode.surrogate import Surrogate


def add_evaluation(parser: Parser) -> None:
    """Add surrogate, recording and how both are compared."""
    parser.add_argument("surrogate", metavar="SURROGATE", help="file written by spinode fit")
    parser.add_argument("table", metavar="TABLE", nargs="?", help="measurement file, of a recording that the fit has not used")
    parser.add_argument("--from-rest", action="store_true", help="start from rest instead of the recording's first samples")
    add_channels(parser)
    add_reading(parser)


def _used(part: Mapping[str, Any]) -> str:
    file = (part.get("provenance") or {}).get("file", "a recording")
    return f"{file} from {part['start']:.6g} to {part['stop']:.6g} s"


def names_of(arguments: Any, surrogate: Surrogate) -> Names:
    """Return what the command line knows for the commands of remedies."""
    from ..surrogates.neural_ode.evaluation.remedies import Names

    channels = grouped_options(arguments, channels=True)
    given = {option for option, _ in channels}
    fitted = (("--drive", surrogate.ports.drive), ("--output", surrogate.ports.output))
    usual = tuple((option, name) for option, names in fitted if option not in given for name in names)
    return Names(
        table=((arguments.table,), *grouped_options(arguments)),
        channels=(*channels, *usual),
        surrogate=arguments.surrogate,
        save=another_name(arguments.surrogate),
    )


def evaluate_file(arguments: Any) -> tuple[Surrogate, Evaluation]:
    """Load the surrogate, read the recording and score a free run.

    Raises:
        ConfigError: no recording was given.
    """
    from ..surrogates.neural_ode.evaluation.evaluate import evaluate

    surrogate = load_surrogate(arguments.surrogate)
    if arguments.table is None:
        used = ", ".join(_used(part) for part in surrogate.record.get("data") or ())
        raise ConfigError(
            "no TABLE was given: a surrogate is scored on a recording that the fit has not used"
            + (f" (it used {used})" if used else "")
            + ". Pass another one; if there is none, fit a part of this one (spinode fit ... --stop TIME) and pass its rest "
            "(TABLE --start TIME)."
        )
    trace = read(arguments, arguments.table)
    evaluation = evaluate(surrogate, trace, drive=arguments.drive, output=arguments.output, from_rest=arguments.from_rest)
    return surrogate, evaluation
