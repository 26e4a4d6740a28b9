"""Write a surrogate as a program that runs without spinode, and compare it with PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..parser import Parser

SUMMARY = "write a surrogate as a program that runs without spinode"


def add_arguments(parser: Parser) -> None:
    """Add the options."""
    parser.add_argument("surrogate", metavar="SURROGATE", help="file written by spinode fit")
    parser.add_argument(
        "target", metavar="FILE", help="file to write; its suffix selects the target, such as .pt2 (torch) or .onnx (rollouts)"
    )
    parser.add_argument(
        "--interpolation",
        action="append",
        default=[],
        metavar="NAME=KIND",
        help="how a drive runs between samples: held, linear or spline (default: as it was fitted); may be repeated",
    )
    parser.add_argument("--float32", action="store_true", help="in single precision instead of double")


def run(arguments: Any) -> None:
    """Run the command."""
    from ...surrogates.exporters import find_exporter
    from ..inputs import check_target, load_surrogate, pairs

    check_target(arguments.target, arguments.surrogate)
    surrogate = load_surrogate(arguments.surrogate)
    if arguments.float32:
        surrogate = surrogate.float()
    surrogate.export(arguments.target, interpolation=dict(pairs("interpolation", arguments.interpolation)))
    print(f"saved {arguments.target}: {find_exporter(arguments.target).summary}; compared with PyTorch")
