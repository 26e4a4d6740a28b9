"""Generated images: reproducible, and as difficult to learn as documented."""

from __future__ import annotations

import pytest
import torch

from spinode.datasets import made_digits
from spinode.errors import ConfigError


def test_generated_images_follow_the_seed():
    first, same, other = made_digits(3, train=50, test=20), made_digits(3, train=50, test=20), made_digits(4, train=50, test=20)
    assert torch.equal(first.train_images, same.train_images)
    assert torch.equal(first.test_labels, same.test_labels)
    assert not torch.equal(first.train_images, other.train_images)
    assert first.train_images.dtype == torch.uint8
    assert torch.bincount(first.train_labels).tolist() == [5] * 10
    assert torch.bincount(made_digits(0, train=30, test=7, classes=4).test_labels).tolist() == [2, 2, 2, 1]


def test_a_network_learns_generated_images_better_than_class_means():
    """The bounds were chosen before the images: 90 % for a network of 100 hidden units, less for the nearest class mean."""
    images = made_digits(0)
    (x, y), (a, b) = images.train_set(), images.test_set()
    means = torch.stack([x[y == c].mean(0) for c in range(10)])
    assert 0.3 < float((torch.cdist(a, means).argmin(1) == b).float().mean()) < 0.9
    source = torch.Generator().manual_seed(0)
    hidden = (torch.randn(784, 100, generator=source) / 28).requires_grad_()
    out = (torch.randn(100, 10, generator=source) / 10).requires_grad_()
    optimizer = torch.optim.Adam([hidden, out], lr=2e-3)
    for _ in range(8):
        for batch in torch.randperm(len(x), generator=source).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(torch.relu(x[batch] @ hidden) @ out, y[batch]).backward()
            optimizer.step()
    assert float(((torch.relu(a @ hidden) @ out).argmax(1) == b).float().mean()) > 0.9


def test_generated_images_refuse_invalid_counts():
    with pytest.raises(ConfigError, match="2000 training and 9 test images in 10 classes"):
        made_digits(test=9)
    with pytest.raises(ConfigError, match="classes is 1; expected a whole number of at least 2"):
        made_digits(classes=1)
    with pytest.raises(ConfigError, match="seed is -1"):
        made_digits(-1)
