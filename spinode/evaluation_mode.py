"""`evaluation_mode`: evaluate a network without changing which of its parts are being trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def evaluation_mode(module: nn.Module) -> Iterator[None]:
    """Set a module to evaluation mode within the block; afterwards each of its submodules has its own mode again.

    `module.train(was_training)` would not do: it sets all submodules alike, and unfreezes a batch norm that is in evaluation
    mode on purpose.

    Args:
        module: The module.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2).eval())
        >>> with evaluation_mode(network):
        ...     network[0].training
        False
        >>> network[0].training, network[1].training
        (True, False)
    """
    modes = [(each, each.training) for each in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for each, training in modes:
            each.training = training
