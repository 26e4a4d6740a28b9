"""Write one HTML page that shows how far to trust a surrogate, from a recording that it was not fitted on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "write one HTML page that shows how far to trust a surrogate"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..evaluating import add_evaluation
    from ..options import add_save

    add_save(parser, "file of the report (.html)")
    parser.add_argument("--title", metavar="TEXT", help="heading of the page (default: the names of the channels)")
    add_evaluation(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates.neural_ode.report import report
    from ..evaluating import evaluate_file, names_of
    from ..inputs import check_target

    check_target(arguments.save, *filter(None, [arguments.table, arguments.surrogate]))
    surrogate, evaluation = evaluate_file(arguments)
    report(surrogate, evaluation, arguments.save, title=arguments.title, names=names_of(arguments, surrogate))
    print(f"saved {arguments.save}")
