"""The structure search: which embedding, order, penalty and size describe a device best.

Candidates race in rounds of growing cost (successive halving). All are judged by one figure, the error of free runs over the
validation segments, which is also the one by which the verdict judges the fit.

1. Linear models of all embeddings. The best is the bar that a network must clear, and the point where it can start.
2. Networks, from the linear model of their embedding and from random weights, through short windows on a part of the samples.
3. The best of them on all samples, up to the longest window.
4. The winner with other penalties and longer windows, restarts of it, and further iterations while they help.

The number of candidates in a round follows from the time that `effort` grants. It is counted in estimated operations, not by
the clock, so that a search ends with the same result on a slow machine; without the compiled kernels it tries less. Short
recordings are split in several ways (cross-validation), since one validation segment of a few hundred samples ranks
structures by chance. The fits of all splits become the members of the surrogate (see `committee`).

Sources: Jamieson & Talwalkar, AISTATS 2016 (successive halving); Krogh & Vedelsby, NIPS 1994 (ensembles by cross-validation).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ....errors import FitError
from ....traces.trace import TraceSet
from ....typing import Progress
from ..embedding import Embedding
from ..fit_record import runner_up
from ..member import Member
from .arm import Arm, SearchResult
from .checkpoint import Checkpoint
from .committee import committee
from .config import FitConfig
from .consensus import diverges, runs_in_kernel
from .gauss_newton import Climb
from .prepare import Prepared, prepare
from .splits import splits
from .stages import MIN_FREE_WINDOW, Candidate, FieldBuilder, default_field, linear_field, stage_lengths
from .structure import RIDGE_FACTORS, WIDTHS, Structure, embeddings_to_try, variants_to_try

#: Estimated seconds that the networks of a search of 10 000 samples may take, apart from what each round runs at least.
SECONDS = {"quick": 8.0, "default": 32.0, "long": 200.0}

#: Smallest and largest share of these seconds, for shorter and longer recordings.
MIN_SCALE, MAX_SCALE = 0.6, 2.0

#: Share of these seconds beyond which the winner is no longer improved by further iterations.
POLISH = 1.5

#: Shares of the time for the rounds of many short fits and of few full ones; variants and restarts of the winner take the rest.
SHORT, FULL = 0.35, 0.35

#: Fewest orders of each embedding in the short round.
MIN_ORDERS = 2

#: Share of the time beyond which one short fit is costly.
COSTLY = 0.08

#: Fewest embeddings in which further variants are tried.
MIN_EMBEDDINGS = 2

#: Fewest arms that are continued on all samples, and the error over the lowest beyond which no others are.
MIN_FULL, HOPELESS = 3, 3.0

#: Samples of a short fit, its shortest window from a linear start, and the share of the iterations of a full one.
SHORT_SAMPLES, FIRST_WINDOW, SHORT_ITERATIONS = 6000, 4, 0.5

#: Structures whose errors are within this factor, or both below a thousandth, are equally good. The linear model is taken then,
#: or the smallest state, of equal size that of derivatives, which needs no drive of later samples.
EQUALLY_GOOD, NEGLIGIBLE = 1.1, 1e-3

#: Ratio of the error after a variation to that before, below which the variation is kept.
IMPROVED = 0.97

#: Estimated seconds of one Gauss-Newton iteration: n samples, w weights, d state values of which c are compared take
#: n (PRODUCTS c w^2 + SLOPES w d^2) + SOLUTION w^3 + OVERHEAD.
PRODUCTS, SLOPES, SOLUTION, OVERHEAD = 1e-10, 7e-10, 6e-11, 5e-3

#: Time in plain torch, as fields of the user's own need it, over that of the kernels.
TORCH_SLOWNESS = 80.0


class Search:
    """A race of structures; see the head of this file.

    Args:
        traces: Recordings on a common grid.
        config: Settings; what they leave open is searched.
        build: Builder of the user's own field, or None for the default network.
        checkpoint: Checkpoint of the whole fit; a resumed search loads finished stages from it.
        progress: Receives lines of text.
    """

    def __init__(
        self, traces: TraceSet, config: FitConfig, build: FieldBuilder | None, checkpoint: Checkpoint, progress: Progress
    ) -> None:
        self.traces, self.config, self.build = traces, config, build
        self.checkpoint, self.progress = checkpoint, progress
        self.entries: list[dict[str, Any]] = []
        self.linear: dict[Embedding, Arm] = {}
        self.splits: dict[Embedding, list[Prepared]] = {}
        self._numbers = itertools.count()
        samples = sum(len(trace) for trace in traces)
        self.seconds = SECONDS[config.effort] * float(np.clip(samples / 10_000, MIN_SCALE, MAX_SCALE))
        self.spent = 0.0
        self._begun = time.monotonic()

    def run(self) -> SearchResult:
        """Run all rounds.

        Raises:
            FitError: no candidate gave a finite free run.
        """
        embeddings = embeddings_to_try(self.config, len(self.traces[0].output))
        if self.build is None:
            for embedding in embeddings:
                self._fit_linear(embedding)
            self.spent, self._begun = 0.0, time.monotonic()  # the time is for networks
        if len(embeddings) == 1 and self.config.ridge is not None:
            only = Structure(embeddings[0].kind, embeddings[0].order, self.config.first_hidden, self.config.ridge)
            arms = self._restarts(only, [])
        else:
            arms = self._race(embeddings)
        arms = self._polish(arms)
        best = arms[0]
        linear = min(self.linear.values(), key=lambda arm: arm.rank) if self.linear else None
        if linear is not None and not linear.rank[0] and (best.rank[0] or linear.error <= _limit(EQUALLY_GOOD, best.error)):
            arms = [linear]
            if self.config.members > 1:
                self.progress(f"kept 1 member of {self.config.members}: all fits of the linear model have the same minimum")
        elif best.rank[0]:
            raise FitError("no structure gave a finite free run; check the recording with `spinode inspect`.")
        return self._result(arms, linear)

    # --- rounds ----------------------------------------------------------------------------------------------------------

    def _race(self, embeddings: list[Embedding]) -> list[Arm]:
        """Return fits of the best structure, the best one first."""
        full = self._full_round(self._short_round(embeddings))
        best = self._simplest_of_equals(full)
        if best is None:
            return full
        best = self._vary(best)
        same = [arm for arm in full if arm.structure == best.structure and arm is not best]
        return self._restarts(best.structure, [best, *same])

    def _fit_linear(self, embedding: Embedding) -> None:
        structure = Structure(embedding.kind, embedding.order, (), self.config.first_ridge)
        arm = self._arm(structure, "linear")
        lengths = stage_lengths(self.config.first_windows, arm.climb.prepared.samples)
        self._climb(arm, sorted({lengths[0], lengths[-1]}), 0, SHORT_SAMPLES, 1.0)
        self.linear[embedding] = arm

    def _short_round(self, embeddings: list[Embedding]) -> list[Arm]:
        """Run as many short fits as their share of the time allows.

        The first variant is tried in all embeddings, where they are costly or the time is over only in higher orders that
        help; each further one in the better half of those that the one before it was tried in.
        """
        limit = self.spent + SHORT * self.seconds
        arms: list[Arm] = []
        for number, variant in enumerate(variants_to_try(self.config, linear=bool(self.linear))):
            tried: list[Arm] = []
            for embedding in embeddings:
                structure = variant.structure(embedding)
                if self.spent > limit and (number or not self._promising(structure, tried)):
                    continue
                arm = self._arm(structure, variant.start)
                windows = self._ladder(arm)[:-1] or self._ladder(arm)
                costly = self._cost(arm, windows, SHORT_SAMPLES, SHORT_ITERATIONS) > COSTLY * self.seconds
                if costly and not self._promising(structure, tried):
                    continue
                self._climb(arm, windows, 1, SHORT_SAMPLES, SHORT_ITERATIONS)
                tried.append(arm)
            arms = sorted([*arms, *tried], key=lambda arm: arm.rank)
            ranked = list(dict.fromkeys(arm.climb.prepared.embedding for arm in arms))
            embeddings = ranked[: max(MIN_EMBEDDINGS, len(embeddings) // 2)]
        return arms

    def _promising(self, structure: Structure, arms: Sequence[Arm]) -> bool:
        """Return True if the order is new for its embedding, and the last order tried was better than the ones before it."""
        lowest: dict[int, float] = {}
        for arm in arms:
            if arm.structure.embedding == structure.embedding:
                order = arm.structure.order
                lowest[order] = min(lowest.get(order, np.inf), arm.error)
        if structure.order in lowest:
            return False
        errors = [lowest[order] for order in sorted(lowest)]
        return len(errors) < MIN_ORDERS or errors[-1] < min(errors[:-1])

    def _full_round(self, arms: Sequence[Arm]) -> list[Arm]:
        """Continue the best arms on all samples: three, and more while there is time and hope."""
        limit = self.spent + FULL * self.seconds
        continued: list[Arm] = []
        for arm in arms:
            over = self.spent + self._cost(arm, self._ladder(arm)[-2:], None, 1.0) > limit
            if len(continued) >= MIN_FULL and (over or arm.rank[0] or arm.error > HOPELESS * arms[0].error):
                continue
            self._climb(arm, self._ladder(arm)[-2:], 2, None, 1.0)
            continued.append(arm)
        return sorted(continued, key=lambda arm: arm.rank)

    def _vary(self, arm: Arm) -> Arm:
        """Continue the winner with other penalties and longer windows; keep what lowers its error."""
        if self.config.ridge is None:
            for ridge in [self.config.first_ridge * factor for factor in RIDGE_FACTORS]:
                if ridge > arm.structure.ridge:
                    variant = self._variant(arm, replace(arm.structure, ridge=ridge), self._ladder(arm)[-1:])
                    if variant is arm:
                        break
                    arm = variant
        if self.config.windows is None:
            longest = self._ladder(arm)[-1]
            longer = stage_lengths((4 * longest,), arm.climb.prepared.samples)
            if longer[0] > 1.5 * longest:
                arm = self._variant(arm, arm.structure, longer)
        return arm

    def _polish(self, arms: list[Arm]) -> list[Arm]:
        """Run further iterations of the best arm while they lower its error and there is time, unless their number is given."""
        best, *others = sorted(arms, key=lambda arm: arm.rank)
        if self.config.iterations is not None:
            return [best, *others]
        while not best.rank[0] and best.error > NEGLIGIBLE and self.spent < POLISH * self.seconds:
            variant = self._variant(best, best.structure, [max(entry["window"] for entry in best.climb.history)], 1.0)
            if variant is best:
                break
            best = variant
        return [best, *others]

    def _variant(self, arm: Arm, structure: Structure, windows: Sequence[int], share: float = SHORT_ITERATIONS) -> Arm:
        variant = self._arm(structure, "winner", template=arm)
        self._climb(variant, windows, 3, None, share)
        better = not variant.rank[0] and variant.error < IMPROVED * arm.error
        return variant if better else arm

    def _restarts(self, structure: Structure, arms: list[Arm]) -> list[Arm]:
        """Add fits from other starts and of other widths, as many as the settings name and the time allows.

        Returns:
            All of them, the best one first.
        """
        arms = arms[: self.config.restarts]
        fewest = max(2, self.config.members)
        widths = [structure.hidden, *(hidden for hidden in self._widths() if hidden != structure.hidden)]
        starts = ("random", "linear") if self.linear else ("random",)
        cycle = itertools.cycle((hidden, start) for hidden in widths for start in starts)
        while len(arms) < self.config.restarts and (self.spent < self.seconds or len(arms) < fewest):
            hidden, start = next(cycle) if arms else (structure.hidden, starts[-1])
            arm = self._arm(replace(structure, hidden=hidden), start)
            self._climb(arm, self._ladder(arm), 4, None, 1.0)
            arms.append(arm)
        return sorted(arms, key=lambda arm: arm.rank)

    def _widths(self) -> Sequence[tuple[int, ...]]:
        """Return the widths of restarts; the members of an ensemble have one."""
        return WIDTHS[self.config.effort] if self.config.hidden is None and self.config.members == 1 else ()

    # --- parts of a round ------------------------------------------------------------------------------------------------

    def _arm(self, structure: Structure, start: str, template: Arm | None = None) -> Arm:
        embedding = Embedding(structure.embedding, structure.order)
        config = structure.settle(self.config)
        if embedding not in self.splits:
            self.splits[embedding] = self._split(prepare(self.traces, embedding, config))
        build = linear_field(config) if structure.linear else self.build or default_field(config)
        linear = self.linear.get(embedding) if start == "linear" else None
        climbs = []
        for index, prepared in enumerate(self.splits[embedding]):
            member = None if linear is None else linear.climbs[index].member
            climb = Climb(prepared, config, build, next(self._numbers), self.checkpoint, start=member)
            if template is not None:
                climb.go_on_from(template.climbs[index])
            climbs.append(climb)
        return Arm(structure, start, climbs)

    def _split(self, prepared: Prepared) -> list[Prepared]:
        # In plain torch, as a field of the user's own needs it, several fits would take minutes.
        return [prepared] if self.config.effort == "quick" or self.build is not None else splits(prepared)

    def _ladder(self, arm: Arm) -> list[int]:
        """Return the windows of an arm; a linear start needs no one-step fit, in which noise biases the result."""
        windows = self.config.first_windows
        if arm.start == "linear" and self.config.windows is None:
            windows = tuple(max(window, FIRST_WINDOW) for window in windows)
        return stage_lengths(windows, arm.climb.prepared.samples)

    def _climb(self, arm: Arm, windows: Sequence[int], number: int, samples: int | None, share: float) -> None:
        """Run stages of an arm and record the result; a failed fit has an infinite error."""
        config = self.config
        most = config.max_samples if samples is None else min(samples, config.max_samples)
        iterations = max(2, round(share * config.first_iterations))
        seconds = 0.0
        try:
            for climb in arm.climbs:
                climb.config = replace(climb.config, max_samples=most, iterations=iterations)
                for window in windows:
                    climb.stage(window, lambda line: self.progress(f"{self._name(arm.structure)}  {line}"))
                    seconds += climb.history[-1]["steps"] * self._iteration_seconds(climb, window, most)
            diverging = sum(diverges(climb.member, climb.prepared, seed=config.seed) for climb in arm.climbs)
            arm.diverged = 2 * diverging > len(arm.climbs)
        except FitError as error:
            self.progress(f"{self._name(arm.structure)} failed: {error}")
            arm.diverged = True
        self.spent += seconds
        entry = {
            "structure": arm.structure.to_dict(),
            "name": self._name(arm.structure),
            "start": arm.start,
            "rung": number,
            "error": arm.error if np.isfinite(arm.error) else None,
            "diverged": arm.diverged,
            "seconds": round(seconds, 3),
        }
        self.entries.append(entry)
        if not number:
            self.progress(f"search 0 %, linear models first  {self._name(arm.structure)}: error {arm.error:.4f}")
            return
        done = min(0.99, self.spent / self.seconds)
        left = (time.monotonic() - self._begun) * (1 - done) / max(done, 1e-3)
        self.progress(f"search {100 * done:.0f} %, about {left:.0f} s left  {self._name(arm.structure)}: error {arm.error:.4f}")

    def _name(self, structure: Structure) -> str:
        if self.build is None or structure.linear:
            return structure.name
        return f"{structure.embedding} order {structure.order}, own field, ridge {structure.ridge:.0e}"

    def _cost(self, arm: Arm, windows: Sequence[int], samples: int | None, share: float) -> float:
        """Return the estimated seconds of some stages, if they take all their iterations."""
        most = self.config.max_samples if samples is None else samples
        by_window = [self._iteration_seconds(arm.climb, window, most) for window in windows]
        return len(arm.climbs) * sum(by_window) * share * self.config.first_iterations

    @staticmethod
    def _iteration_seconds(climb: Climb, window: int, samples: int) -> float:
        """Return the estimated seconds of one iteration of a stage that may use a number of samples."""
        prepared, weights = climb.prepared, len(climb.theta)
        states, outputs = prepared.samples.states.shape[-1], prepared.samples.outputs
        available = sum(last - first for first, last in prepared.samples.segments)
        used = min(available, samples / (8 if window == 1 else 4 if window < MIN_FREE_WINDOW else 1))
        compared = outputs if window >= MIN_FREE_WINDOW else states
        products = used * (PRODUCTS * compared * weights**2 + SLOPES * weights * states**2)
        slowness = 1.0 if runs_in_kernel(climb.member.field) else TORCH_SLOWNESS
        return slowness * products + SOLUTION * weights**3 + OVERHEAD

    def _simplest_of_equals(self, arms: Sequence[Arm]) -> Arm | None:
        usable = [arm for arm in arms if not arm.rank[0]]
        if not usable:
            return None
        limit = _limit(EQUALLY_GOOD, min(arm.error for arm in usable))
        equal = [arm for arm in usable if arm.error <= limit]
        return min(equal, key=lambda arm: (arm.structure.order, arm.structure.embedding != "derivative", arm.error))

    def _result(self, arms: Sequence[Arm], linear: Arm | None) -> SearchResult:
        best = arms[0]
        reason = self._reason(best, linear)
        self.progress(reason)
        record = {
            "search": self.entries,
            "linear_validation": None if linear is None else linear.error,
            "search_choice": reason,
            "effort": self.config.effort,
        }
        candidates = [
            Candidate(
                [climb.member for climb in arm.climbs],
                arm.error,
                arm.climb.earlier + arm.climb.history,
                [climb.prepared for climb in arm.climbs],
                arm.diverged,
                "the linear model" if arm.structure.linear else "",
            )
            for arm in arms
        ]

        def members(index: int) -> list[Member]:
            climbs = arms[index].climbs
            found = committee(climbs, [next(self._numbers) for _ in climbs], self.progress)
            return found[:1] if arms[index].structure.linear else found  # there is one minimum

        structures = [arm.structure for arm in arms]
        return SearchResult(best.structure.settle(self.config), structures, best.climb.prepared, candidates, record, members)

    def _reason(self, best: Arm, linear: Arm | None) -> str:
        count = len({entry["name"] for entry in self.entries})
        text = f"chose {self._name(best.structure)} of {count} structures: validation NRMSE {best.error:.4f}"
        second = runner_up(self.entries, best.structure.embedding, best.structure.order)
        if second is not None:
            text += f", {second[0]} {second[1]:.4f}"
        return text if linear is None or linear is best else f"{text}, linear {linear.error:.4f}"


def _limit(factor: float, error: float) -> float:
    return max(factor * error, NEGLIGIBLE)
