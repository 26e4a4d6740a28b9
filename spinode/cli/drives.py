"""The command `design-drive`: what to drive a device with, so that its surrogate holds under other drives."""

from __future__ import annotations

import argparse
from typing import Any

from ..errors import ConfigError
from ..traces.trace import Trace
from ..units import to_si
from .inputs import check_target
from .options import command


def add_commands(commands: Any) -> None:
    """Register it."""
    design = command(
        commands, "design-drive", _design, "write a drive for a laboratory or a simulator: random steps to fit from"
    )
    design.description = (
        "Writes random levels, each held for a time, as a table of time and drive. Levels fill the range of later use evenly. "
        "Hold them for "
        "about the period or the relaxation time of the device: of a skyrmion at 14 GHz, 10 ns of steps held 50 ps made a "
        "surrogate that "
        "four times as long a trace of mixed or shorter holds did not. Record the answer beside it and fit: `spinode fit`."
    )
    design.add_argument("--low", type=float, required=True, metavar="VALUE", help="lowest level")
    design.add_argument("--high", type=float, required=True, metavar="VALUE", help="highest level")
    design.add_argument("--duration", type=float, required=True, metavar="SECONDS", help="of the whole drive")
    design.add_argument("--interval", type=float, required=True, metavar="SECONDS", help="between two samples")
    design.add_argument("--hold", type=float, metavar="SECONDS", help="of a level (ten samples if omitted)")
    design.add_argument(
        "--longest", type=float, metavar="SECONDS", help="longest hold, for times drawn between the two (all alike)"
    )
    design.add_argument("--name", default="drive", metavar="NAME", help="of the column (default %(default)s)")
    design.add_argument("--unit", default="", metavar="UNIT", help="of the levels, such as V, mA or J/m3")
    design.add_argument("--seed", type=int, default=0, help="of levels and times (default 0)")
    design.add_argument("--save", required=True, metavar="FILE", help="where the drive goes (.csv)")


def _design(arguments: argparse.Namespace) -> None:
    import torch

    from ..datasets import random_steps, write_csv

    check_target(arguments.save)
    if arguments.name in ("", "time"):
        raise ConfigError(f"--name is {arguments.name!r}; expected a name for the drive's column, such as V.")
    shortest = 10 * arguments.interval if arguments.hold is None else arguments.hold
    longest = shortest if arguments.longest is None else arguments.longest
    levels = random_steps(
        arguments.low,
        arguments.high,
        duration=arguments.duration,
        interval=arguments.interval,
        hold=(shortest, longest),
        generator=torch.Generator().manual_seed(arguments.seed),
    )
    values, unit = to_si(levels.numpy(), arguments.unit) if arguments.unit else (levels.numpy(), "")
    time = torch.arange(len(levels), dtype=torch.float64) * arguments.interval
    write_csv(
        arguments.save,
        Trace(
            time.numpy(),
            {arguments.name: values},
            {},
            units={"time": "s", arguments.name: unit},
            interpolation={arguments.name: "held"},
        ),
    )
    steps = int((levels.diff() != 0).sum()) + 1
    held = f"{steps} levels held {shortest:g} s" + (f" .. {longest:g} s" if longest > shortest else "")
    print(f"saved {arguments.save}: {len(levels)} samples every {arguments.interval:g} s, {held}")
