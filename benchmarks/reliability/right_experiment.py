"""Does a checkpoint ever return the result of another experiment? Pairs of runs that differ in one thing, as one JSON line.

    python benchmarks/reliability/right_experiment.py [--every N] [--only train online ...] [--list]

For each pair the first run leaves its checkpoint, and the second one is called with it. Pairs that differ in what shapes the
result (data, seeds, settings, arguments of the stream, the user's own code) must be refused with a message that contains the
name of the difference. Pairs that differ in nothing that matters (new but equal objects, comments, provenance, how often a
checkpoint is written), and runs that are continued on purpose, must be accepted. `unnamed` counts refusals whose message
does not name the difference, `config_changed` refused commands that changed a file in their folder. `--every N` tries each N-th
pair.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

from _pairs import KINDS, Pair

from spinode.errors import SpinodeError


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--every", type=int, default=1, help="try each N-th pair of a kind")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--list", action="store_true", help="print each pair and its message")
    options = parser.parse_args()
    counts = dict.fromkeys(
        ("pairs", "refused", "accepted", "wrongly_accepted", "wrongly_refused", "unnamed", "config_changed"), 0
    )
    wrong: list[str] = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.only:
            first = Path(folder) / kind
            first.mkdir()
            base, pairs = KINDS[kind]()
            base(first)
            for number, pair in enumerate(pairs[:: options.every]):
                copy = Path(folder) / f"{kind}-{number}"
                shutil.copytree(first, copy)
                outcome, message = attempt(pair, copy)
                counts["pairs"] += 1
                for name in outcome:
                    counts[name] += 1
                    if name not in ("refused", "accepted"):
                        wrong.append(f"{kind}: {pair.change} ({name}): {message}")
                if options.list:
                    print(f"{kind:12} {pair.change:40} {' '.join(outcome)}: {message}")
                shutil.rmtree(copy)
    seconds = round(time.monotonic() - started, 1)
    print(json.dumps({"kind": "right_experiment", **counts, "wrong": wrong, "seconds": seconds}))


def attempt(pair: Pair, folder: Path) -> tuple[list[str], str]:
    """Return which counts the second run of a pair adds to, and its message."""
    before = contents(folder)
    try:
        pair.run(folder)
    except SpinodeError as error:
        message = str(error)
        if pair.names is None:
            return ["wrongly_refused"], message
        unnamed = [] if pair.names in message else ["unnamed"]
        changed = [] if contents(folder) == before else ["config_changed"]
        return ["refused", *unnamed, *changed], message
    return ["accepted" if pair.names is None else "wrongly_accepted"], ""


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


if __name__ == "__main__":
    main()
