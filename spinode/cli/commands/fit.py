"""Fit a Neural-ODE surrogate to a device that is driven in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "fit a surrogate to one or several recordings of a driven device"
#: Free-run NRMSE on the validation part above which another embedding is suggested.
POOR = 0.3


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ..options import add_channels, add_checkpoint, add_progress, add_reading, add_save
    from ..settings import add_settings

    parser.add_argument(
        "tables", metavar="TABLE", nargs="+", help="measurement file, folder or pattern; several make a set of recordings"
    )
    add_save(parser, "file of the surrogate (.safetensors)")
    add_checkpoint(parser, "FILE", "the name of --save followed by .checkpoint")
    parser.add_config()
    add_channels(parser)
    add_settings(parser, FitConfig, "settings of the fit", short={"order": "-k"})
    add_reading(parser, pattern=True)
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ...surrogates.neural_ode.fitting.fit import fit
    from ..fitting import check_targets, run_fit
    from ..inputs import read_with_roles
    from ..settings import read_settings

    config = read_settings(arguments, FitConfig)
    check_targets(arguments, arguments.tables)
    surrogate = run_fit(fit, read_with_roles(arguments), config, arguments)
    print(surrogate.describe())
    for sentence in _validation(surrogate, names_of_fit(arguments)):
        print(sentence)
    print(f"saved {arguments.save}")


def names_of_fit(arguments: Any) -> Any:
    """Return what the command line knows for the commands of remedies."""
    from ...surrogates.neural_ode.evaluation.remedies import Names
    from ...surrogates.neural_ode.fitting.config import FitConfig
    from ..inputs import another_name, grouped_options
    from ..settings import settings_options

    reading, channels = grouped_options(arguments), grouped_options(arguments, channels=True)
    files = tuple((table,) for table in arguments.tables)
    return Names(
        fitted=(*files, *channels, *settings_options(arguments, FitConfig), *reading),
        table=(files[0], *reading),
        channels=channels,
        surrogate=arguments.save,
        save=another_name(arguments.save),
    )


def _validation(surrogate: Any, names: Any = None) -> list[str]:
    from ...surrogates.neural_ode.evaluation.assessment import assess_fit

    kept = [surrogate.record["validation"][index] for index in surrogate.record["kept"]]
    where = "on the last part, not fitted"
    if surrogate.record.get("splits", 1) > 1:
        where = "on parts left out in turn; the saved members went on through all samples"
    lines = ["validation: free-run NRMSE " + ", ".join(f"{value:.4f}" for value in kept) + f" {where}"]
    if min(kept) > POOR and surrogate.record["config"]["embedding"] == "derivative":
        lines.append("That is poor. Where the drive moves the output within a sample, try --embedding delay.")
    return [*lines, *(remark.sentence for remark in assess_fit(surrogate, names=names))]
