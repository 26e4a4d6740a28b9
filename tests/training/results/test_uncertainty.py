"""Entropies of responses and their identities; the area under the ROC curve by counting pairs."""

import math

import pytest
import torch

from spinode.errors import ConfigError
from spinode.training import roc_auc, uncertainty


def responses(samples, inputs, classes, seed=0, sharp=3.0):
    generator = torch.Generator().manual_seed(seed)
    return (sharp * torch.randn(samples, inputs, classes, generator=generator, dtype=torch.float64)).log_softmax(-1)


def test_entropies_equal_their_definition_as_loops():
    log_p = responses(4, 6, 3)
    parts = uncertainty(log_p)
    for n in range(6):
        p = log_p[:, n].exp()
        entropy = lambda q: -sum(float(x) * math.log2(float(x)) for x in q)  # noqa: E731
        assert float(parts.total[n]) == pytest.approx(entropy(p.mean(0)))
        assert float(parts.aleatoric[n]) == pytest.approx(sum(entropy(q) for q in p) / 4)


def test_parts_add_up_and_epistemic_is_a_divergence():
    log_p = responses(7, 50, 10)
    total, aleatoric, epistemic = uncertainty(log_p)
    assert torch.allclose(total, aleatoric + epistemic, atol=1e-12)
    mean = log_p.exp().mean(0)
    divergence = (log_p.exp() * (log_p - mean.log())).sum(-1).mean(0) / math.log(2)
    assert torch.allclose(epistemic, divergence, atol=1e-10)
    assert float(epistemic.min()) > 0


def test_limiting_cases():
    """Samples that agree have no epistemic part, certain samples that differ no other one; a uniform response has all bits."""
    same = responses(1, 5, 4).repeat(6, 1, 1)
    assert float(uncertainty(same).epistemic.max()) < 1e-12
    certain = torch.full((2, 1, 2), -math.inf, dtype=torch.float64)
    certain[0, 0, 0] = certain[1, 0, 1] = 0.0
    assert [float(part) for part in uncertainty(certain)] == pytest.approx([1.0, 0.0, 1.0])
    uniform = torch.full((3, 1, 8), math.log(1 / 8))
    assert [float(part) for part in uncertainty(uniform)] == pytest.approx([3.0, 3.0, 0.0], abs=1e-6)


def test_order_of_classes_and_samples_does_not_matter():
    log_p = responses(5, 9, 6)
    shuffled = log_p[torch.tensor([3, 0, 4, 1, 2])][..., torch.tensor([5, 1, 0, 2, 4, 3])]
    for one, other in zip(uncertainty(log_p), uncertainty(shuffled), strict=True):
        assert torch.allclose(one, other, atol=1e-12)


def test_other_shapes_are_refused():
    with pytest.raises(ConfigError, match=r"expected \(samples, inputs, classes\)"):
        uncertainty(torch.zeros(4, 3))


@pytest.mark.parametrize("levels", [3, 1000])
def test_auc_equals_counting_pairs(levels):
    """With three levels most pairs are ties, which count half."""
    generator = torch.Generator().manual_seed(levels)
    in_distribution = torch.randint(levels, (40,), generator=generator).double()
    ood = torch.randint(levels, (60,), generator=generator).double() + 0.3 * levels // 1
    pairs = [(float(a), float(b)) for a in in_distribution for b in ood]
    expected = sum((b > a) + 0.5 * (b == a) for a, b in pairs) / len(pairs)
    assert roc_auc(in_distribution, ood) == pytest.approx(expected, abs=1e-12)


def test_auc_is_antisymmetric_and_invariant_to_monotonic_functions():
    generator = torch.Generator().manual_seed(4)
    in_distribution, ood = torch.randn(30, generator=generator), torch.randn(20, generator=generator) + 1
    area = roc_auc(in_distribution, ood)
    assert roc_auc(ood, in_distribution) == pytest.approx(1 - area)
    assert roc_auc(in_distribution.double().exp(), ood.double().exp()) == pytest.approx(area)
    assert roc_auc(in_distribution, in_distribution.max() + 1 + ood.abs()) == 1.0
    assert roc_auc(torch.zeros(5), torch.zeros(7)) == 0.5


@pytest.mark.parametrize("in_distribution", [[], [float("nan")]])
def test_auc_needs_numbers(in_distribution):
    with pytest.raises(ConfigError, match="expected some of each, none of them NaN"):
        roc_auc(torch.tensor(in_distribution), torch.ones(3))
