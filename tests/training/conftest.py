"""Fixtures of the tests of training."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from lightning.pytorch.callbacks import Callback


class Killed(Exception):
    """Raised in place of a signal that ends the process."""


class Kill(Callback):
    """Ends a run after a number of batches."""

    def __init__(self, batches):
        self.remaining = batches

    def on_train_batch_end(self, *_):
        self.remaining -= 1
        if self.remaining == 0:
            raise Killed


@pytest.fixture(scope="session")
def killed_after():
    """`with killed_after(11) as kill:` expects that a run with the callback `kill` ends at its eleventh batch."""

    @contextmanager
    def expect(batches):
        with pytest.raises(Killed):
            yield Kill(batches)

    return expect
