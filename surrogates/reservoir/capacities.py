"""Information-processing capacity: which functions of its past inputs a reservoir computes, and how many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import torch
from torch import Tensor

from ...errors import ConfigError
from ...tensors import all_finite, real_tensor
from ...validation import number, whole_number

#: Largest number of target functions.
MAX_TERMS = 4000

#: Highest autocorrelation of an input that passes as independent, in standard deviations of that of independent values.
CORRELATION_LIMIT = 5.0


@dataclass(frozen=True, eq=False)
class InformationCapacity:
    """The capacities of a reservoir for functions of its past inputs.

    Attributes:
        terms: Each target function as the delays that it multiplies: (0, 3) is x(t) x(t - 3), (2, 2) the square of x(t - 2).
        values: Capacity for each, 0 .. 1, shape (terms,); 0 where it is not significant.
        threshold: Capacity below which a term is not significant.
        rank: Number of linearly independent states, which bounds the total.
        states: Number of states.
    """

    terms: tuple[tuple[int, ...], ...]
    values: Tensor
    threshold: float
    rank: int
    states: int

    @property
    def total(self) -> float:
        """Return the sum of all capacities, at most `rank`."""
        return float(self.values.sum())

    @property
    def linear(self) -> float:
        """Return the capacity for the inputs themselves, the linear memory."""
        return self._sum([len(term) == 1 for term in self.terms])

    @property
    def nonlinear(self) -> float:
        """Return the capacity for nonlinear functions of one input."""
        return self._sum([len(term) > 1 and len(set(term)) == 1 for term in self.terms])

    @property
    def cross(self) -> float:
        """Return the capacity for products of inputs at different times."""
        return self._sum([len(set(term)) > 1 for term in self.terms])

    def _sum(self, chosen: list[bool]) -> float:
        return float(self.values[torch.tensor(chosen, dtype=torch.bool)].sum())

    def summary(self) -> str:
        """Return the capacities as one sentence."""
        return (
            f"{self.states} states, {self.rank} of them independent: capacity {self.total:.2f} = {self.linear:.2f} linear + "
            f"{self.nonlinear:.2f} nonlinear + {self.cross:.2f} cross terms (each counted above {self.threshold:.2g})."
        )


def information_capacity(
    states: Tensor, x: Tensor, *, delays: Sequence[int] = (50, 12, 6), washout: int = 0, false_alarm: float = 1e-4
) -> InformationCapacity:
    """Return the capacities of recorded states for polynomials of the past inputs.

    The capacity for a target z(t) is C = 1 - min_W mean (z - W s)^2 / mean z^2. The targets of degree d are all products of d
    inputs among the last delays[d - 1], built from polynomials that are orthonormal under the inputs recorded. The targets are
    made orthonormal over the recording, in the order of their degree, so the total cannot exceed the number of states. Without
    any relation C has the beta distribution of a squared multiple correlation; its quantile is the threshold.

    Args:
        states: Shape (time, states); from a surrogate, physics or a measured file.
        x: Inputs, independent random values of any distribution, shape (time,).
        delays: Number of past inputs, the present one included, that products of 1, 2, ... factors are made of.
        washout: Number of first samples that are left out.
        false_alarm: Probability that one term without any relation counts.

    Raises:
        ConfigError: other shapes, too few samples, too many terms, or inputs that are not independent.

    Example:
        >>> x = 2 * torch.rand(2000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - 1
        >>> states = torch.stack([x, x.roll(1), x.roll(2) ** 2], 1)  # two linear, one nonlinear
        >>> found = information_capacity(states, x, delays=(5, 5), washout=5)
        >>> round(found.linear, 1), round(found.nonlinear, 1), round(found.cross, 1)
        (2.0, 1.0, 0.0)

    Source: Dambre et al., Sci. Rep. 2, 514 (2012), doi:10.1038/srep00514.
    """
    states, x = real_tensor("states", states).to(torch.float64), real_tensor("the input", x).to(torch.float64).squeeze(-1)
    if states.dim() != 2 or not states.numel() or x.shape != states.shape[:1]:
        raise ConfigError(
            f"states and input have shapes {tuple(states.shape)} and {tuple(x.shape)}; expected (time, states) and (time,)."
        )
    if not all_finite(states) or not all_finite(x):
        raise ConfigError("states or the input contain NaN or infinite values; leave out those samples.")
    spans = _spans(delays)
    first = max(whole_number("washout", washout, 0), max(spans) - 1)
    kept = len(x) - first
    false_alarm = number("false_alarm", false_alarm, 0, 1, above=True, below=True)
    basis = _orthonormal(states.detach()[first:])
    powers = _polynomials(x.detach(), len(spans))
    terms = [
        term
        for degree, span in enumerate(spans, 1)
        for term in combinations_with_replacement(range(span), degree)
        if max(term.count(delay) for delay in term) <= powers.shape[1]
    ]
    if len(terms) > MAX_TERMS or kept < 2 * max(len(terms), states.shape[1]) + 2:
        raise ConfigError(
            f"{len(terms)} terms and {states.shape[1]} states of {max(kept, 0)} samples after {first}; expected at most "
            f"{MAX_TERMS} terms, and two samples for each of both. Record longer, or shorten delays ({tuple(spans)})."
        )
    _check_independent(x.detach(), max(spans))
    targets = torch.ones(kept, len(terms), dtype=torch.float64)
    for column, term in enumerate(terms):
        for delay in set(term):
            targets[:, column] *= powers[first - delay : len(x) - delay, term.count(delay) - 1]
    targets = torch.linalg.qr(targets - targets.mean(0)).Q
    values = (basis.T @ targets).square().sum(0)
    threshold = _threshold(basis.shape[1], kept, false_alarm)
    return InformationCapacity(
        tuple(terms), torch.where(values > threshold, values.clamp(max=1.0), 0.0), threshold, basis.shape[1], states.shape[1]
    )


def effective_rank(states: Tensor, *, share: float = 0.01) -> int:
    """Return the number of singular values of states above a share of the largest.

    Of the last states under many different inputs it is the kernel rank; of those under inputs that differ in the distant past
    alone, the generalisation rank. A good reservoir has a high kernel rank and a low generalisation rank.

    Args:
        states: Shape (runs, states), or (time, states) of one run.
        share: Share of the largest singular value; no lower than the noise.

    Raises:
        ConfigError: another shape, values that are not finite, or a share outside 0 .. 1.

    Example:
        >>> effective_rank(torch.tensor([[1.0, 2.0], [2.0, 4.0], [3.0, 6.0]]))
        1

    Source: Legenstein and Maass, Neural Netw. 20, 323 (2007), doi:10.1016/j.neunet.2007.04.017.
    """
    states = real_tensor("states", states).to(torch.float64)
    if states.dim() != 2 or not states.numel() or not all_finite(states):
        raise ConfigError(f"states have shape {tuple(states.shape)}; expected (runs, states), all finite.")
    values = torch.linalg.svdvals(states.detach())
    return int((values > number("share", share, 0, 1, below=True) * values[0]).sum())


def _spans(delays: Sequence[int]) -> list[int]:
    given: object = delays
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise ConfigError(f"delays is {delays!r}; expected numbers of past inputs for degrees 1, 2, ..., such as (50, 12, 6).")
    return [whole_number("a number of delays", span, 1) for span in delays]


def _orthonormal(states: Tensor) -> Tensor:
    """Return orthonormal columns that span the states about their mean, shape (time, rank)."""
    if len(states) < 2:
        raise ConfigError(f"{len(states)} samples are left after the washout and the delays; record longer.")
    centred = states - states.mean(0)
    spread = centred.norm(dim=0)
    # A state that is constant up to rounding contains nothing.
    moving = spread > 1e-12 * states.norm(dim=0)
    if not bool(moving.any()):
        raise ConfigError("all states are constant; check that the input reaches the device.")
    vectors, values, _ = torch.linalg.svd(centred[:, moving] / spread[moving], full_matrices=False)
    kept: Tensor = vectors[:, values > 1e-10 * values[0]]
    return kept


def _polynomials(x: Tensor, degree: int) -> Tensor:
    """Return polynomials of the input of degree 1, 2, ..., orthonormal over the recording, shape (time, degrees)."""
    distinct = len(x.unique())
    if distinct < 2:
        raise ConfigError("the input is constant; expected independent random values.")
    highest = min(degree, distinct - 1)
    scaled = (x - x.mean()) / (x - x.mean()).abs().max()
    columns = torch.stack([scaled**power for power in range(highest + 1)], 1)
    basis: Tensor = torch.linalg.qr(columns).Q[:, 1:] * math.sqrt(len(x))
    return basis


def _check_independent(x: Tensor, lags: int) -> None:
    centred = x - x.mean()
    for lag in range(1, lags + 1):
        correlation = float((centred[lag:] * centred[:-lag]).sum() / centred.square().sum())
        if abs(correlation) > CORRELATION_LIMIT / math.sqrt(len(x)):
            raise ConfigError(
                f"the input is correlated with itself {lag} samples before ({correlation:.2f}); expected independent random "
                "values, one for each row of the states. Drive the device with such, or take one row for each."
            )


def _threshold(rank: int, samples: int, false_alarm: float) -> float:
    """Return the quantile of the capacity without any relation, by the Wilson-Hilferty approximation of chi-square."""
    deviate = math.sqrt(2) * float(torch.erfinv(torch.tensor(1 - 2 * false_alarm, dtype=torch.float64)))
    part = 2 / (9 * rank)
    odds = rank * (1 - part + deviate * math.sqrt(part)) ** 3
    return odds / (odds + max(1, samples - 1 - rank))
