"""Uncertainty of a network: entropies of its responses, disagreement of weight samples, and detection by the ROC curve."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import ConfigError


class Uncertainty(NamedTuple):
    """Entropies [bit], each of shape (inputs,).

    Attributes:
        total: Entropy of the mean response, total = aleatoric + epistemic.
        aleatoric: Mean entropy of the responses of the weight samples.
        epistemic: Mutual information of response and weights; zero for a network without weight samples.
    """

    total: Tensor
    aleatoric: Tensor
    epistemic: Tensor


def uncertainty(log_probabilities: Tensor) -> Uncertainty:
    """Compute the entropy of a network's responses and split it into its aleatoric and epistemic part.

    With p_s the response of weight sample s: total = H(mean_s p_s), aleatoric = mean_s H(p_s), epistemic = total - aleatoric.

    Args:
        log_probabilities: Natural logarithms, shape (samples, inputs, classes).

    Raises:
        ConfigError: another number of dimensions.

    Example:
        >>> agree = torch.tensor([[[0.5, 0.5]], [[0.5, 0.5]]]).log()
        >>> disagree = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]]).log()
        >>> uncertainty(agree).epistemic.item(), uncertainty(disagree).epistemic.item()
        (0.0, 1.0)

    Source: Depeweg et al., ICML (2018).
    """
    if log_probabilities.ndim != 3:
        raise ConfigError(
            f"log probabilities have shape {tuple(log_probabilities.shape)}; expected (samples, inputs, classes), one sample "
            "for a deterministic network."
        )
    log_p = log_probabilities.double()
    log_mean = log_p.logsumexp(0) - math.log(len(log_p))
    total, aleatoric = _entropy(log_mean), _entropy(log_p).mean(0)
    return Uncertainty(total, aleatoric, (total - aleatoric).clamp(min=0))


def _entropy(log_probabilities: Tensor) -> Tensor:
    """Return the entropy of each distribution, in bits."""
    # p log p is 0 where p is 0, but -inf * 0 is NaN.
    terms = log_probabilities.exp() * log_probabilities.clamp(min=torch.finfo(log_probabilities.dtype).min)
    return -terms.sum(-1) / math.log(2)


def roc_auc(in_distribution: Tensor, ood: Tensor) -> float:
    """Compute the area under the ROC curve of an out-of-distribution detector, exactly, from ranks.

    AUC = P(ood > in distribution) + P(equal) / 2. (`torchmetrics.functional.auroc` passes scores beyond 1, such as entropies,
    through a sigmoid, which makes small ones equal.)

    Args:
        in_distribution: Scores of inputs from the training distribution, any shape.
        ood: Scores of out-of-distribution inputs, any shape; a good detector gives larger ones.

    Raises:
        ConfigError: no scores of one kind, or NaN.

    Example:
        >>> roc_auc(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.9]))
        0.75
    """
    from scipy.stats import rankdata

    in_distribution, ood = in_distribution.detach().reshape(-1), ood.detach().reshape(-1)
    scores = torch.cat([in_distribution, ood]).double().cpu()
    if not len(in_distribution) or not len(ood) or bool(torch.isnan(scores).any()):
        raise ConfigError(
            f"there are {len(in_distribution)} scores in distribution and {len(ood)} out of distribution; expected some of "
            "each, none of them NaN."
        )
    ranks = rankdata(scores.numpy())[len(in_distribution) :]
    return float((ranks.sum() - len(ood) * (len(ood) + 1) / 2) / (len(in_distribution) * len(ood)))
