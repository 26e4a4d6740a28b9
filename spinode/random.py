"""Fewer draws for the same law: rare events by the gaps between them, and pairs of devices that share what one takes."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def bernoulli_indices(trials: int, probability: float, generator: torch.Generator) -> Tensor:
    """Which of many independent trials succeed, each with the same probability p.

    The failures before the next success are geometric, floor(ln U / ln(1 - p)) with U uniform on 0 .. 1, and independent, so
    that sums of such gaps are the places of a Bernoulli process. That is exact, and takes p draws a trial in place of one.

    Where probabilities differ and p is the largest, a success of probability q in place of p is kept with q / p ("thinning"):
    those kept are the successes of trials with a q of their own.

    Args:
        trials: How many.
        probability: p of each, 0 .. 1.
        generator: Source of the gaps; its device has the result.

    Returns:
        Numbers of the successful trials, 0 .. trials - 1, ascending, int64.

    Source: L. Devroye, Non-Uniform Random Variate Generation (1986), chapter X.2, for the geometric law by inversion.
    """
    place = generator.device
    if probability >= 1:
        return torch.arange(trials, device=place)
    if not (probability > 0 and trials > 0):
        return torch.empty(0, dtype=torch.int64, device=place)
    rate, last, found = 1 / math.log1p(-probability), -1, []
    while last < trials - 1:
        # Enough for the rest but once in some ten thousand calls, which then go round again.
        mean = (trials - 1 - last) * probability
        u = torch.rand(int(mean + 4 * math.sqrt(mean) + 8), generator=generator, dtype=torch.float64, device=place)
        # 1 - U is never zero. A gap beyond the end is as good as any other, and sums of such stay whole numbers.
        gaps = u.neg_().log1p_().mul_(rate).clamp_(max=trials).long().add_(1)
        found.append(gaps.cumsum(0).add_(last))
        last = int(found[-1][-1])
    places = torch.cat(found) if len(found) > 1 else found[0]
    return places[: int(torch.searchsorted(places, trials))]


def in_turn(pulses: Tensor) -> bool:
    """Whether the devices are pairs, shape (2, ...), of which never both get pulses.

    Of what is drawn for pulses such a pair needs one: the device that gets pulses takes it, to the other it is nothing.

    Args:
        pulses: How many each device gets, none below zero.
    """
    if pulses.dim() < 2 or len(pulses) != 2:
        return False
    # A sum of products, each 0 or at least 1: it is zero where all of them are.
    return not float(torch.dot(pulses[0].reshape(-1), pulses[1].reshape(-1)))
