"""Write random steps to drive a device with in a laboratory or a simulator, as a table of time and drive.

Levels fill the range of later use evenly; each is held for a time. Choose about the period or the relaxation time of the
device: of a skyrmion at 14 GHz, 10 ns of steps held 50 ps gave a surrogate that a recording four times as long, with mixed or
shorter hold times, did not. Record the response and fit both: spinode fit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...errors import ConfigError

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "write a drive for a laboratory or a simulator: random steps to fit from"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    from ..options import add_save, add_seed
    from ..settings import parse_value

    for name, metavar, text in (
        ("low", "VALUE", "lowest level"),
        ("high", "VALUE", "highest level"),
        ("duration", "SECONDS", "duration of the drive"),
        ("interval", "SECONDS", "time between two samples"),
    ):
        parser.add_argument(f"--{name}", type=parse_value, required=True, metavar=metavar, help=text)
    parser.add_argument("--hold", type=parse_value, metavar="SECONDS", help="hold time of a level (default: ten samples)")
    parser.add_argument(
        "--longest",
        type=parse_value,
        metavar="SECONDS",
        help="longest hold time; hold times are then drawn between the two (default: all equal to --hold)",
    )
    parser.add_argument(
        "--ramp",
        action="store_true",
        help="raise the amplitude from 3 %% over 18 %% (a sixth of the duration each) to the whole range, "
        "for devices with many modes (spinode fit --embedding latent)",
    )
    parser.add_argument("--name", default="drive", metavar="NAME", help="name of the column (default: drive)")
    parser.add_argument("--unit", default="", metavar="UNIT", help="unit of the levels, such as V, mA or J/m3")
    add_seed(parser, "seed of levels and hold times")
    add_save(parser, "file of the drive (.csv)")


def run(arguments: Any) -> None:
    """Run the command."""
    import torch

    from ...datasets import ramped_steps, random_steps, write_csv
    from ...random import seeded_generator
    from ...traces.trace import Trace
    from ...units import to_si
    from ...validation import number
    from ..inputs import check_target

    check_target(arguments.save)
    if arguments.name in ("", "time"):
        raise ConfigError(f"name is {arguments.name!r}; expected a name for the drive's column, such as V.")
    low, high = number("low", arguments.low), number("high", arguments.high)
    interval = number("interval", arguments.interval, 0, above=True, unit="s")
    shortest = 10 * interval if arguments.hold is None else number("hold", arguments.hold, 0, above=True, unit="s")
    longest = shortest if arguments.longest is None else number("longest", arguments.longest, 0, above=True, unit="s")
    levels = (ramped_steps if arguments.ramp else random_steps)(
        low,
        high,
        duration=number("duration", arguments.duration, 0, above=True, unit="s"),
        interval=interval,
        hold=(shortest, longest),
        generator=seeded_generator(arguments.seed),
    )
    values, unit = to_si(levels.numpy(), arguments.unit) if arguments.unit else (levels.numpy(), "")
    time = torch.arange(len(levels), dtype=torch.float64) * interval
    trace = Trace(
        time.numpy(),
        {arguments.name: values},
        {},
        units={"time": "s", arguments.name: unit},
        interpolation={arguments.name: "held"},
    )
    write_csv(arguments.save, trace)
    count = int((levels.diff() != 0).sum()) + 1
    hold = f"{shortest:g} s" + (f" .. {longest:g} s" if longest > shortest else "")
    print(f"saved {arguments.save}: {len(levels)} samples every {interval:g} s, {count} levels held {hold}")
