"""How sure a network is: entropies of its answers, what samples of its weights disagree on, and how they tell strangers."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ...errors import ConfigError


class Uncertainty(NamedTuple):
    """Entropies [bit], each of shape (inputs,).

    Attributes:
        total: H of the mean answer, total = aleatoric + epistemic.
        aleatoric: Mean of the H of each sample's answer.
        epistemic: Mutual information of answer and weights; zero for a network without samples.
    """

    total: Tensor
    aleatoric: Tensor
    epistemic: Tensor


def uncertainty(log_probabilities: Tensor) -> Uncertainty:
    """Split the entropy of a network's answers.

    With p_s the answer of sample s: total = H(mean_s p_s), aleatoric = mean_s H(p_s), epistemic = total - aleatoric.

    Args:
        log_probabilities: log p, natural, shape (samples, inputs, classes).

    Raises:
        ConfigError: another number of dimensions.

    Source: Depeweg et al., ICML (2018).
    """
    if log_probabilities.ndim != 3:
        raise ConfigError(
            f"log probabilities have shape {tuple(log_probabilities.shape)}; expected (samples, inputs, classes), one sample "
            "for a deterministic network."
        )
    each = log_probabilities.double()
    mean = each.logsumexp(0) - math.log(len(each))
    total, aleatoric = _entropy(mean), _entropy(each).mean(0)
    return Uncertainty(total, aleatoric, (total - aleatoric).clamp(min=0))


def _entropy(log_probabilities: Tensor) -> Tensor:
    # p log p is 0 where p is: -inf * 0 is not.
    terms = log_probabilities.exp() * log_probabilities.clamp(min=torch.finfo(log_probabilities.dtype).min)
    return -terms.sum(-1) / math.log(2)


def roc_auc(inside: Tensor, outside: Tensor) -> float:
    """Area under the ROC curve of a detector of strangers: P(outside > inside) + P(equal) / 2, exactly, by ranks.

    Args:
        inside: Scores of what the network was trained for, shape (any,).
        outside: Scores of strangers, which should be larger.

    Raises:
        ConfigError: no scores on one side, or NaN.
    """
    from scipy.stats import rankdata

    inside, outside = inside.detach().reshape(-1), outside.detach().reshape(-1)
    scores = torch.cat([inside, outside]).double().cpu()
    if not len(inside) or not len(outside) or bool(torch.isnan(scores).any()):
        raise ConfigError(f"there are {len(inside)} scores inside and {len(outside)} outside; expected some of each, none NaN.")
    ranks = rankdata(scores.numpy())[len(inside) :]
    return float((ranks.sum() - len(outside) * (len(outside) + 1) / 2) / (len(inside) * len(outside)))
