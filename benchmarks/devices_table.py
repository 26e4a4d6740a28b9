"""Write docs/results/devices.md from the lines of benchmarks/devices.py: scores, times, and claims with pass or fail.

    python benchmarks/devices_table.py [--results FILE] [--table FILE] [--effort default] [--print]

Scores are medians over seeds with their range. Of each device and method, the lines of the newest version count.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from _device_figures import CLAIMS, FIGURES, NAMES, PUBLICATIONS, Claim

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results" / "devices.jsonl"
TABLE = HERE.parent / "docs" / "results" / "devices.md"

#: Methods in the order of the columns.
METHODS = {
    "arx": "ARX", "subspace": "subspace", "jax-sysid": "jax-sysid, linear", "subnet": "SUBNET (deepSI)", "gru": "GRU",
    "neural-ode": "plain Neural ODE",
}  # fmt: skip

#: Largest ratio to the linear model, and to what settings chosen on the tests reach.
LINEAR_RATIO, REACH_RATIO = 1.02, 1.5

HEAD = """# Free runs along recordings of many devices

Written by `python benchmarks/devices_table.py` from the lines of `python benchmarks/devices.py`; do not edit.

Each model is fitted on the training recordings alone. Score: root mean square error of a free run over a test recording without
its first W samples (50; 4 for CED, 10 for MR damper and buck converter, 200 for devices with many modes), whose outputs are the
only ones that a model is given, to find the initial state. NRMSE: divided by the standard deviation of the test. Median over
seeds, smallest .. largest in parentheses; a number without them is that of one seed, which shows a direction and not a size,
or of a method without random numbers. "diverged" is a free run that is not finite. spinode runs with its defaults; seconds
are processor time of one fit.

ARX and subspace identification choose their order (to 16) by a free run over the last part of the training recordings (a
tenth, of short ones up to three tenths). GRU (32 units) and plain Neural ODE (torchdiffeq, state = output and its derivative,
Adam) stop and choose by it, and end after 60 s, as does SUBNET (deepSI 0.4.4, state of 4, its default networks). jax-sysid fits
linear models of order 2 and 4 to the simulation error. These are short programs, `benchmarks/_baselines.py` and
`benchmarks/_external_baselines.py`, not tuned for each device, as spinode is not. "Of linear" is relative to the best linear
score on this test: of ARX, subspace and the published model. "Reach" is what settings of spinode gave that were chosen on the
test files: a bound, not a fair score.
"""


class Lines:
    """Lines of results by device and method, those of the newest version.

    Args:
        lines: All lines, in the order in which they were written.
        effort: Effort of spinode.
    """

    def __init__(self, lines: list[dict[str, Any]], effort: str = "default") -> None:
        self._lines: dict[tuple[str, str], dict[int, dict[str, Any]]] = {}
        versions: dict[tuple[str, str], str] = {}
        for line in lines:
            if line["effort"] != (effort if line["method"] == "spinode" else "default"):
                continue
            key = line["device"], line["method"]
            if versions.get(key) != line["version"]:
                self._lines[key], versions[key] = {}, line["version"]
            self._lines[key][line["seed"]] = line

    def of(self, device: str, method: str) -> list[dict[str, Any]]:
        """Return the lines of a method on a device without errors, one of each seed."""
        return [line for line in self._lines.get((device, method), {}).values() if "error" not in line]

    def devices(self) -> list[str]:
        """Return the names of all devices in the order of `NAMES`, each followed by its noisy versions."""
        known = {device for device, _ in self._lines}
        return sorted(known, key=self._place)

    @staticmethod
    def _place(name: str) -> tuple[int, float]:
        clean, _, ratio_name = name.partition("@snr")
        return list(NAMES).index(clean), -float(ratio_name or "inf")

    def tests(self, device: str) -> list[str]:
        """Return the names of the tests of a device."""
        found = [line for (name, _), lines in self._lines.items() if name == device for line in lines.values()]
        return list(dict.fromkeys(test for line in found for test in line.get("scores", {})))

    def scores(self, device: str, method: str, test: str) -> list[float]:
        """Return the scores of a test, one of each seed."""
        return [float(line["scores"][test]) for line in self.of(device, method) if test in line["scores"]]

    def median(self, device: str, method: str, test: str) -> float | None:
        """Return the median score, or None without a line."""
        scores = self.scores(device, method, test)
        return statistics.median(scores) if scores else None

    def linear(self, device: str, test: str) -> float | None:
        """Return the lowest score of a linear model: ARX, subspace, published."""
        found = [line for method in ("arx", "subspace") for line in self.of(device, method) if test in line["scores"]]
        scores = [float(line["scores"][test]) for line in found]
        published = FIGURES.get((device, test), {}).get("linear")
        return min(scores + ([published] if published is not None else []), default=None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--table", type=Path, default=TABLE)
    parser.add_argument("--effort", default="default", choices=["quick", "default", "long"])
    parser.add_argument("--print", action="store_true", help="print the page instead of writing it")
    options = parser.parse_args()
    text = page(options.results, options.effort)
    if options.print:
        print(text, end="")
    else:
        options.table.write_text(text)


def page(results: Path, effort: str = "default") -> str:
    """Return the whole page as markdown."""
    stored = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    lines = Lines(stored, effort)
    parts = [HEAD, "\n## Scores\n", *scores(lines), "\n" + PUBLICATIONS, "\n## Claims\n", *claims(lines)]
    parts += ["\n## Noisy versions\n", NOISY, *noise(lines), "\n## Seconds\n", *seconds(lines), *verdicts(lines)]
    return "\n".join(parts).rstrip() + "\n"


def scores(lines: Lines) -> Iterator[str]:
    """Yield the table of the devices without added noise."""
    yield (
        "| device, test | unit | spinode | s | "
        + " | ".join(METHODS.values())
        + " | published: linear | GRU / LSTM | best | reach | of reach | of linear |"
    )
    yield "|" + "---|" * (10 + len(METHODS))
    for device in filter(lambda name: "@" not in name, lines.devices()):
        for test in lines.tests(device):
            known = FIGURES.get((device, test), {})
            own = lines.median(device, "spinode", test)
            cells = [f"{NAMES[device]}, {test}", known.get("unit", "NRMSE"), spread(lines.scores(device, "spinode", test))]
            cells.append(median_seconds(lines, device, "spinode"))
            cells += [spread(lines.scores(device, method, test)) for method in METHODS]
            cells += [figure(known.get(column)) for column in ("linear", "network")]
            cells += [known.get("best_text", figure(known.get("best"))), figure(known.get("reach"))]
            cells += [ratio(own, known.get("reach")), ratio(own, lines.linear(device, test))]
            yield f"| {' | '.join(cells)} |"


NOISY = """White noise of 1/20 and 1/10 of the deviation of each output on training and test recordings; scored against the
outputs without it. In the units above.
"""


def noise(lines: Lines) -> Iterator[str]:
    """Yield the table of the noisy versions."""
    others = [method for method in METHODS if any(lines.of(d, method) for d in lines.devices() if "@" in d)]
    yield f"| device, test | added noise | spinode without | spinode | {' | '.join(METHODS[m] for m in others)} | of linear |"
    yield "|" + "---|" * (5 + len(others))
    for device in filter(lambda name: "@" in name, lines.devices()):
        clean, _, ratio_name = device.partition("@")
        for test in lines.tests(device):
            level = next((line.get("noise") for method in ("spinode", *METHODS) for line in lines.of(device, method)), None)
            cells = [f"{NAMES[clean]}, {test}, {ratio_name.upper().replace('SNR', 'SNR ')}", figure(level)]
            cells += [spread(lines.scores(name, "spinode", test)) for name in (clean, device)]
            cells += [spread(lines.scores(device, method, test)) for method in others]
            cells.append(ratio(lines.median(device, "spinode", test), lines.linear(device, test)))
            yield f"| {' | '.join(cells)} |"


def seconds(lines: Lines) -> Iterator[str]:
    """Yield the table of processor seconds of one fit, medians over seeds."""
    methods = {"spinode": "spinode"} | METHODS
    yield f"| device | {' | '.join(methods.values())} |"
    yield "|" + "---|" * (1 + len(methods))
    for device in filter(lambda name: "@" not in name, lines.devices()):
        yield f"| {NAMES[device]} | {' | '.join(median_seconds(lines, device, method) for method in methods)} |"


def verdicts(lines: Lines) -> Iterator[str]:
    """Yield coverage and verdict of `spinode.evaluate` on each test, of the first seed."""
    rows = []
    for device in lines.devices():
        for line in lines.of(device, "spinode")[:1]:
            for test, notes in line.get("tests", {}).items():
                if "coverage" in notes:
                    clean, _, ratio_name = device.partition("@")
                    name = f"{NAMES[clean]}, {test}{', ' + ratio_name if ratio_name else ''}"
                    chosen = f"{line.get('embedding')}, order {line.get('order')}"
                    rows.append(
                        f"| {name} | {chosen} | {figure(notes['nrmse'])} | {notes['coverage']:.0%} | {notes['headline']} |"
                    )
    if rows:
        yield from (
            "\n## Verdicts (first seed)\n",
            "| device, test | state | NRMSE | coverage of 90 % | verdict |",
            "|---|---|---|---|---|",
        )
        yield from rows


# Claims


def claims(lines: Lines) -> Iterator[str]:
    """Yield the table of claims: those of single tests, then the ratios to the linear model and to the reach."""
    yield "| claim | limit | measured | |"
    yield "|---|---|---|---|"
    for claim in CLAIMS:
        yield claim_row(claim, lines)
    for device in lines.devices():
        for test in lines.tests(device):
            own, linear = lines.median(device, "spinode", test), lines.linear(device, test)
            if linear is not None:
                yield ratio_row(device, test, own, linear, LINEAR_RATIO, "linear model")
            reach = FIGURES.get((device, test), {}).get("reach")
            if reach is not None:
                yield ratio_row(device, test, own, reach, REACH_RATIO, "reach")


def claim_row(claim: Claim, lines: Lines) -> str:
    """Return the row of a claim about one test."""
    name = f"{NAMES[claim.device]}{', ' if claim.test else ''}{claim.test}"
    if claim.what == "cpu_seconds":
        times = [float(line["cpu_seconds"]) for line in lines.of(claim.device, "spinode")]
        measured = statistics.median(times) if times else None
    elif claim.what == "score":
        measured = lines.median(claim.device, "spinode", claim.test)
    else:
        tests = [line.get("tests", {}).get(claim.test, {}) for line in lines.of(claim.device, "spinode")]
        values = [float(notes[claim.what]) for notes in tests if claim.what in notes]
        # A verdict must be right in each fit, the coverage in the median one.
        measured = (max if claim.what == "grade" else statistics.median)(values) if values else None
    passed = None if measured is None else claim.met(measured)
    what = {"score": "", "cpu_seconds": ": seconds of one fit"}.get(claim.what, f": {claim.what}")
    return f"| {name}{what} | {claim.limit_text} | {figure(measured)} | {outcome(passed)} |"


def ratio_row(device: str, test: str, own: float | None, other: float, largest: float, name: str) -> str:
    """Return the row of a ratio."""
    clean, _, ratio_name = device.partition("@")
    where = f"{NAMES[clean]}, {test}{', ' + ratio_name if ratio_name else ''}"
    # Scores are compared as they are shown; an exact copy of the linear model must not fail by rounding.
    passed = None if own is None else own <= largest * other
    return f"| {where}, over the {name} | <= {largest:g} | {ratio(own, other)} | {outcome(passed)} |"


def outcome(passed: bool | None) -> str:
    """Return the last cell of a claim."""
    return "not run" if passed is None else ("pass" if passed else "**fail**")


# Cells


def median_seconds(lines: Lines, device: str, method: str) -> str:
    """Return the median processor seconds of a fit, as text."""
    times = [float(line["cpu_seconds"]) for line in lines.of(device, method)]
    return f"{statistics.median(times):.3g}" if times else ""


def spread(values: list[float]) -> str:
    """Return median and range as text: "0.3 (0.28 .. 0.4)", or nothing without values."""
    if not values:
        return ""
    middle = figure(statistics.median(values))
    return middle if len(values) == 1 else f"{middle} ({figure(min(values))} .. {figure(max(values))})"


def figure(value: float | None) -> str:
    """Return three significant digits."""
    if value is None:
        return ""
    return f"{value:.3g}" if abs(value) < 1e5 else "diverged"


def ratio(own: float | None, other: float | None) -> str:
    """Return own / other as text."""
    return "" if own is None or other is None else figure(own / other)


if __name__ == "__main__":
    main()
