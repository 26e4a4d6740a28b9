"""Fit a surrogate to a memory device that was read pulse by pulse."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "fit a memory device that was read pulse by pulse"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ...surrogates import SynapseConfig
    from ..options import add_checkpoint, add_progress, add_pulse_layout, add_reading, add_save
    from ..settings import add_settings

    parser.add_argument(
        "tables",
        metavar="[SET=|RESET=]FILE",
        nargs="+",
        help="pulse file; several make one set of recordings. A polarity before the name is that of this file alone",
    )
    add_save(parser, "file of the surrogate (.safetensors)")
    parser.add_argument("--report", metavar="FILE", help="page that shows how far to trust the surrogate (.html)")
    parser.add_argument("--separate", action="store_true", help="each file contains other devices, whatever their numbers")
    add_checkpoint(parser, "FILE", "the name of --save followed by .checkpoint")
    parser.add_config()
    add_settings(parser, SynapseConfig, "settings of the fit")
    add_pulse_layout(parser, "auto")
    add_reading(parser, span=False)
    add_progress(parser)


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates import SynapseConfig, fit_synapse, synapse_report
    from ...surrogates.synapses.assessment import assess
    from ..fitting import check_targets, run_fit
    from ..inputs import read_pulses, split_polarity
    from ..settings import read_settings

    config = read_settings(arguments, SynapseConfig)
    check_targets(arguments, [file for _, file in map(split_polarity, arguments.tables)])
    if Path(arguments.save).suffix.lower() != ".safetensors":
        raise ConfigError(f"--save is {arguments.save}; expected a name that ends in .safetensors.")
    traces = read_pulses(arguments, arguments.tables)
    surrogate = run_fit(fit_synapse, traces, config, arguments)
    print(surrogate.describe())
    for sentence in assess(surrogate, traces).sentences:
        print(f"- {sentence}")
    print(f"saved {arguments.save}")
    if arguments.report:
        synapse_report(surrogate, traces, arguments.report)
        print(f"saved {arguments.report}")
