"""Fit a neural SDE to a driven device whose noise is part of its dynamics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "fit a neural SDE to a driven device with noise in its dynamics"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...surrogates import StochasticConfig
    from ..options import add_channels, add_checkpoint, add_progress, add_reading, add_save
    from ..settings import add_settings

    parser.add_argument(
        "tables", metavar="TABLE", nargs="+", help="measurement file, folder or pattern; several make a set of recordings"
    )
    add_save(parser, "file of the surrogate (.safetensors)")
    add_checkpoint(parser, "FILE", "the name of --save followed by .checkpoint")
    parser.add_config()
    add_channels(parser)
    add_settings(parser, StochasticConfig, "settings of the fit", short={"order": "-k"})
    add_reading(parser, pattern=True)
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates import StochasticConfig, fit_stochastic
    from ..fitting import check_targets, run_fit
    from ..inputs import read_with_roles
    from ..settings import read_settings

    config = read_settings(arguments, StochasticConfig)
    check_targets(arguments, arguments.tables)
    surrogate = run_fit(fit_stochastic, list(read_with_roles(arguments)), config, arguments)
    print(f"neural SDE: {', '.join(surrogate.drives)} -> {', '.join(surrogate.outputs)}, steps of {surrogate.interval:.6g} s")
    print(f"order {surrogate.order}; log likelihood of a validation sample by order:")
    for order, score in _scores(surrogate).items():
        print(f"  {order}: {score:.4f}")
    print(f"saved {arguments.save}")


def _scores(surrogate: Any) -> dict[str, float]:
    return next(value for name, value in surrogate.record.items() if "log likelihood by order" in name)
