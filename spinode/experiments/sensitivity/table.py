"""`SensitivityTable`: what each imperfection costs, with intervals over seeds."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import stats

from .variants import EVERYTHING, NOTHING, is_part


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds.

    Attributes:
        mean: The mean; NaN without values.
        half: Half of its 95 % interval (Student's t); NaN for fewer than two seeds, and for a difference that is zero in each.
        seeds: Number of seeds.
    """

    mean: float
    half: float
    seeds: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Estimate:
        """Return mean and interval of values.

        Example:
            >>> estimate = Estimate.of([0.8, 0.9, 1.0])
            >>> round(estimate.mean, 3), round(estimate.half, 3)
            (0.9, 0.248)
        """
        count = len(values)
        mean = float(np.mean(values)) if count else math.nan
        half = float(stats.t.ppf(0.975, count - 1) * np.std(values, ddof=1) / math.sqrt(count)) if count > 1 else math.nan
        return cls(mean, half, count)

    def with_spread(self, deviation: float, freedom: int) -> Estimate:
        """Return the mean with the interval of a standard deviation that is known from `freedom` degrees of freedom."""
        if math.isnan(self.half) or not freedom:
            return self
        return Estimate(self.mean, float(stats.t.ppf(0.975, freedom) * deviation / math.sqrt(self.seeds)), self.seeds)


@dataclass(frozen=True)
class Row:
    """One imperfection.

    Attributes:
        name: Its name.
        alone: Accuracy with only this imperfection.
        removed: Accuracy with all others.
        cost: Accuracy that it costs alone: nothing - alone, over the seeds that have both.
        gain: Accuracy that its removal gains: removed - everything.
        part: True for one parameter of the device-to-device spread.
    """

    name: str
    alone: Estimate
    removed: Estimate
    cost: Estimate
    gain: Estimate
    part: bool

    @property
    def score(self) -> float:
        """Mean of cost and gain, by which the imperfections are sorted; only one of them if the other is not known."""
        known = [each.mean for each in (self.cost, self.gain) if each.seeds]
        return float(np.mean(known)) if known else -math.inf


@dataclass
class SensitivityTable:
    """Accuracies of all variants of a device by seed, and the table that follows from them.

    Attributes:
        device: Name of the device.
        imperfections: Names of its imperfections.
        accuracy: Share of correct answers by variant and seed.
        chance: Share of correct answers of a network that has learned nothing; None if not known.
    """

    device: str
    imperfections: tuple[str, ...]
    chance: float | None = None
    accuracy: dict[str, dict[int, float]] = field(default_factory=dict)

    def add(self, variant: str, seed: int, accuracy: float) -> None:
        """Add the result of a run."""
        self.accuracy.setdefault(variant, {})[seed] = accuracy

    def mean(self, variant: str) -> Estimate:
        """Return the accuracy of a variant."""
        return Estimate.of(list(self.accuracy.get(variant, {}).values()))

    def difference(self, better: str, worse: str) -> Estimate:
        """Return the difference of two variants, paired by seed.

        The interval is that of the deviation between seeds over all differences of the table: that of a few seeds of one row
        says little.
        """
        values = self._differences(better, worse)
        estimate = Estimate.of(values)
        if len(values) > 1 and not any(values):
            return Estimate(0.0, math.nan, len(values))
        return estimate.with_spread(*self._spread())

    def _differences(self, better: str, worse: str) -> list[float]:
        first, second = self.accuracy.get(better, {}), self.accuracy.get(worse, {})
        return [first[seed] - second[seed] for seed in first if seed in second]

    def _spread(self) -> tuple[float, int]:
        """Return the standard deviation between seeds of the differences of all rows, and its degrees of freedom."""
        pairs = [(NOTHING, f"only {name}") for name in self.imperfections]
        pairs += [(f"without {name}", EVERYTHING) for name in self.imperfections]
        values = [each for each in (self._differences(*pair) for pair in pairs) if len(each) > 1 and any(each)]
        freedom = sum(len(each) - 1 for each in values)
        squares = sum(float(np.var(each)) * len(each) for each in values)
        return math.sqrt(squares / max(1, freedom)), freedom

    def rows(self) -> list[Row]:
        """Return a row for each imperfection, the most expensive first."""
        rows = []
        for name in self.imperfections:
            only, without = f"only {name}", f"without {name}"
            cost, gain = self.difference(NOTHING, only), self.difference(without, EVERYTHING)
            rows.append(Row(name, self.mean(only), self.mean(without), cost, gain, is_part(name)))
        return sorted(rows, key=lambda row: -row.score)

    def lines(self) -> list[str]:
        """Return the table as text, in percent and percentage points."""
        width = max(len("with everything"), *(len(row.name) for row in self.rows()), 0)
        lines = [f"{'':{width}}  {'alone':>6}  {'removed':>7}  {'cost alone':>14}  {'gain by removal':>15}"]
        for row in self.rows():
            lines.append(
                f"{row.name:{width}}  {_percent(row.alone):>6}  {_percent(row.removed):>7}  {_points(row.cost):>14}  "
                f"{_points(row.gain):>15}"
            )
        for name, variant in (("with everything", EVERYTHING), ("with nothing", NOTHING)):
            value = self.mean(variant)
            interval = "" if math.isnan(value.half) else f" +- {100 * value.half:.1f}"
            lines.append(f"{name:{width}}  {_percent(value):>6}{interval}")
        return [*lines, self.summary()]

    def summary(self) -> str:
        """Return one sentence: what to improve in the device first."""
        rows = [row for row in self.rows() if not row.part and row.cost.seeds and row.gain.seeds]
        if not rows:
            return "Not enough runs for a comparison yet; run the same command again to continue."
        nothing = self.mean(NOTHING).mean
        if self.chance is not None and nothing < min(2 * self.chance, 0.5 * (1 + self.chance)):
            return (
                f"Nothing can be compared: the network reaches {100 * nothing:.0f} % with a perfect device, where chance "
                f"gives {100 * self.chance:.0f} %. Train it for longer (--epochs, --train) or change --rate."
            )
        seeds = min(rows[0].cost.seeds, rows[0].gain.seeds)
        said = (
            f"{rows[0].name} (costs {_points(rows[0].cost)} alone, its removal gains {_points(rows[0].gain)}; points of "
            f"accuracy, {seeds} seed{'s' if seeds > 1 else ''})"
        )
        lows = [each.mean - each.half for each in (rows[0].cost, rows[0].gain)]
        if all(low > 0 for low in lows):
            return f"Improve first: {said}."
        if any(low > 0 for low in lows):
            return f"Improve first: {said}; one of the two is not distinguishable from zero."
        return (
            f"The imperfections are not distinguishable from no effect; the first is {said}. More --seeds, --epochs or --test "
            "show more."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as plain JSON; what is not known is None."""

        def plain(estimate: Estimate) -> dict[str, float | int | None]:
            return {
                "mean": None if math.isnan(estimate.mean) else estimate.mean,
                "half_interval": None if math.isnan(estimate.half) else estimate.half,
                "seeds": estimate.seeds,
            }

        rows = [
            {"name": row.name, **{each: plain(getattr(row, each)) for each in ("alone", "removed", "cost", "gain")}}
            for row in self.rows()
        ]
        ends = {name: plain(self.mean(name)) for name in (EVERYTHING, NOTHING)}
        accuracy = {name: {str(seed): value for seed, value in values.items()} for name, values in self.accuracy.items()}
        return {"device": self.device, **ends, "imperfections": rows, "accuracy": accuracy, "summary": self.summary()}

    def as_csv(self) -> str:
        """Return the table as CSV: shares of one, with half of the 95 % intervals."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        columns = ("alone", "removed", "cost", "gain")
        writer.writerow(["imperfection", *(word for each in columns for word in (each, f"{each} +-")), "seeds"])
        for row in self.rows():
            values = [getattr(row, each) for each in columns]
            numbers = [number for each in values for number in (each.mean, each.half)]
            writer.writerow(
                [row.name, *("" if math.isnan(n) else f"{n:.5f}" for n in numbers), min(each.seeds for each in values)]
            )
        return text.getvalue()


def _percent(value: Estimate) -> str:
    return "" if math.isnan(value.mean) else f"{100 * value.mean:.1f}"


def _points(value: Estimate) -> str:
    if math.isnan(value.mean):
        return ""
    return f"{100 * value.mean + 0.0:+.1f}".replace("-0.0", "+0.0") + (
        "" if math.isnan(value.half) else f" +- {100 * value.half:.1f}"
    )
