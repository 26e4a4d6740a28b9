"""Pulse virtual memory devices and write what their reads would be."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "pulse virtual memory devices and write their reads"
#: Most reads in one file, some 50 MB.
MAX_READS = 10**6


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_save, add_seed
    from ..settings import parse_value

    parser.add_argument("surrogate", metavar="SURROGATE", help="file written by spinode fit-synapse, or a name of the zoo")
    add_save(parser, "file of the reads (.csv)")
    parser.add_argument(
        "--pulses", type=parse_value, required=True, metavar="N", help="number of pulses, each followed by a read"
    )
    parser.add_argument(
        "--polarity", choices=("SET", "RESET"), help="polarity of the pulses (default: the first that was fitted)"
    )
    parser.add_argument("--voltage", type=parse_value, metavar="VOLTS", help="voltage of the pulses (default: the usual one)")
    parser.add_argument("--width", type=parse_value, metavar="SECONDS", help="width of the pulses (default: the usual one)")
    parser.add_argument("--devices", type=parse_value, default=1, metavar="N", help="number of devices (default: 1)")
    add_seed(parser, "seed of devices and noise")


def run(arguments: Any) -> None:
    """Run the command."""
    import torch

    from ...datasets import pulse_traces, write_pulses
    from ...random import seeded_generator
    from ...surrogates.zoo import open_synapse
    from ...validation import whole_number
    from ..inputs import check_target

    check_target(arguments.save, arguments.surrogate)
    surrogate = open_synapse(arguments.surrogate)
    pulses, devices = whole_number("pulses", arguments.pulses, 1), whole_number("devices", arguments.devices, 1)
    if pulses * devices > MAX_READS:
        raise ConfigError(
            f"pulses times devices is {pulses} * {devices} = {pulses * devices} reads; expected at most {MAX_READS} in one "
            "file. Take fewer, or call `spinode.datasets.pulse_traces` in Python."
        )
    polarity = arguments.polarity or surrogate.polarities[0]
    if polarity not in surrogate.polarities:
        raise ConfigError(
            f"--polarity is {polarity}, but this device responds to {', '.join(surrogate.polarities)} pulses only; leave "
            "--polarity out."
        )
    traces = pulse_traces(
        surrogate,
        torch.full((pulses,), 1.0 if polarity == "SET" else -1.0),
        devices=devices,
        voltage=arguments.voltage,
        width=arguments.width,
        generator=seeded_generator(arguments.seed),
    )
    write_pulses(arguments.save, traces)
    if devices > 1 and not surrogate.of_devices:
        print(
            "spinode: warning: the surrogate was fitted on too few devices to draw different ones; these differ by noise only.",
            file=sys.stderr,
        )
    print(f"saved {arguments.save}: {_counted(devices, 'device')}, {_counted(pulses, f'{polarity} pulse')} each")


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
