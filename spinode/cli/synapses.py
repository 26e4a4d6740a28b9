"""Commands for memory devices that are read pulse by pulse: fit-synapse, simulate-synapse, and `inspect` of pulse files."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from ..errors import ConfigError
from .inputs import check_target, polarity_of, read_pulses
from .messages import Progress, counted, in_options
from .options import command, pulse_reading, pulsed

#: Most reads that `simulate-synapse` writes: a file of some 50 MB.
MOST_READS = 10**6


def add_commands(commands: Any) -> None:
    """Register them."""
    synapse = command(commands, "fit-synapse", _fit_synapse, "fit a memory device that was read pulse by pulse", in_options)
    synapse.add_argument(
        "tables",
        metavar="[SET=|RESET=]FILE",
        nargs="+",
        help="pulse file; several make one set of recordings. A polarity before the name holds for that file alone",
    )
    pulse_reading(synapse)
    pulsed(synapse, "auto")
    synapse.add_argument("--separate", action="store_true", help="each file holds other devices, whatever their numbers")
    synapse.add_argument("--scale", choices=("linear", "log"), help="of the conductance (what the data suggest)")
    synapse.add_argument("--seed", type=int, default=0, help="default 0")
    synapse.add_argument("--save", required=True, metavar="FILE", help="where the surrogate goes (.safetensors)")
    synapse.add_argument("--report", metavar="FILE", help="page that says how far to trust it (.html)")
    synapse.add_argument("--quiet", action="store_true", help="print nothing but the result")

    pulsing = command(
        commands, "simulate-synapse", _simulate_synapse, "pulse virtual devices and write what reads would be", in_options
    )
    pulsing.add_argument("surrogate", metavar="SURROGATE", help="file written by `spinode fit-synapse`, or a name of the zoo")
    pulsing.add_argument("--pulses", type=int, required=True, metavar="N", help="number of pulses, each followed by a read")
    pulsing.add_argument("--polarity", choices=("SET", "RESET"), help="of the pulses (that which the device knows)")
    pulsing.add_argument("--voltage", type=float, metavar="VOLTS", help="of the pulses (the usual one)")
    pulsing.add_argument("--width", type=float, metavar="SECONDS", help="of the pulses (the usual one)")
    pulsing.add_argument("--devices", type=int, default=1, metavar="N", help="number of devices (default 1)")
    pulsing.add_argument("--seed", type=int, default=0, help="of devices and noise (default 0)")
    pulsing.add_argument("--save", required=True, metavar="FILE", help="where the reads go (.csv)")


def inspect_pulses(arguments: argparse.Namespace) -> None:
    """Say what is in a file of pulses, and how to fit it."""
    from ..surrogates.synapses.pulse_summary import pulse_summary

    if arguments.start is not None or arguments.stop is not None:
        raise ConfigError("--start and --stop have no place beside --layout: a file of pulses is read whole.")
    traces = read_pulses(arguments, [arguments.table])
    print(pulse_summary(traces))
    words = ["spinode", "fit-synapse", arguments.table, "--layout", arguments.layout]
    for option in ("polarity", "read_voltage", "conductance_unit", "time"):
        if getattr(arguments, option) is not None:
            words += [f"--{option.replace('_', '-')}", str(getattr(arguments, option))]
    for option in ("column", "unit", "parameter"):
        words += [word for value in getattr(arguments, option) for word in (f"--{option}", value)]
    print(f"To fit a model:\n  {shlex.join([*words, '--save', 'device.safetensors'])}")


def _fit_synapse(arguments: argparse.Namespace) -> None:
    from ..surrogates.synapses.fit import SynapseConfig, fit_synapse
    from ..surrogates.synapses.pulse_summary import not_known

    files = [file for _, file in map(polarity_of, arguments.tables)]
    targets = [arguments.save] + ([arguments.report] if arguments.report else [])
    for target in targets:
        check_target(target, *files)
    if len(set(targets)) < len(targets):
        raise ConfigError(f"--save and --report both name {arguments.save}; give the page a name of its own.")
    if Path(arguments.save).suffix.lower() != ".safetensors":
        raise ConfigError(f"--save is {arguments.save}; expected a name that ends in .safetensors, as surrogates have.")
    config = SynapseConfig(scale=arguments.scale, seed=arguments.seed)
    traces = read_pulses(arguments, arguments.tables)
    progress = Progress(arguments.quiet)
    surrogate = fit_synapse(traces, config, progress=progress)
    progress.end()
    surrogate.save(arguments.save)
    print(surrogate.describe())
    for sentence in not_known(int(surrogate.record["devices"])):
        print(f"not known:  {sentence}")
    print(f"saved {arguments.save}")
    if arguments.report:
        from ..surrogates.synapses.report import synapse_report

        synapse_report(surrogate, traces, arguments.report)
        print(f"saved {arguments.report}")


def _simulate_synapse(arguments: argparse.Namespace) -> None:
    import torch

    from ..datasets import write_pulses
    from ..datasets.pulses import simulated as pulse_traces
    from ..surrogates.zoo import open_synapse

    check_target(arguments.save, arguments.surrogate)
    surrogate = open_synapse(arguments.surrogate)
    for name in ("pulses", "devices"):
        if getattr(arguments, name) < 1:
            raise ConfigError(f"--{name} is {getattr(arguments, name)}; expected a whole number of at least 1.")
    if arguments.pulses * arguments.devices > MOST_READS:
        raise ConfigError(
            f"--pulses {arguments.pulses} for --devices {arguments.devices} make {arguments.pulses * arguments.devices} reads; "
            f"expected at most {MOST_READS} in one file. Take fewer, or call `pulse_traces` in Python."
        )
    polarity = arguments.polarity or surrogate.polarities[0]
    traces = pulse_traces(
        surrogate,
        torch.full((arguments.pulses,), 1.0 if polarity == "SET" else -1.0),
        devices=arguments.devices,
        voltage=arguments.voltage,
        width=arguments.width,
        generator=torch.Generator().manual_seed(arguments.seed),
    )
    write_pulses(arguments.save, traces)
    if arguments.devices > 1 and not surrogate.of_devices:
        print("spinode: warning: the surrogate knows no spread between devices; these differ by noise only.", file=sys.stderr)
    print(
        f"saved {arguments.save}: {counted(arguments.devices, 'device')}, {counted(arguments.pulses, f'{polarity} pulse')} each"
    )
