"""The devices of a programming call that receive pulses, so that the others cost nothing."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

#: Above this share of devices with pulses, a selection would cost more than it saves.
_MAX_SHARE = 0.75


class PulsedDevices:
    """Selects the devices with pulses as one flat list, and puts their results back.

    All devices are selected, in their own shape, where most of them have pulses or where the result is differentiated in the
    number of pulses, since dx/dn is not zero at n = 0.

    Args:
        count: Number of pulses, shape (devices...).

    Example:
        >>> active = PulsedDevices(torch.tensor([0.0, 2.0, 0.0, 0.0]))
        >>> active.take(torch.tensor([1.0, 2.0, 3.0, 4.0])), active.put(torch.tensor([9.0]), torch.zeros(4))
        (tensor([2.]), tensor([0., 9., 0., 0.]))
    """

    def __init__(self, count: Tensor) -> None:
        self.shape = count.shape
        self._index: Tensor | None = None
        if count.requires_grad:
            return
        pulsed = (count != 0).reshape(-1).cpu().numpy()
        index = torch.from_numpy(np.flatnonzero(pulsed)).to(count.device)  # four times as fast as torch.nonzero
        if len(index) < _MAX_SHARE * len(pulsed):
            self._index = index

    def take(self, value: Tensor, columns: int = 0) -> Tensor:
        """Return the selected devices of a value that broadcasts to the devices; a single number stays as it is.

        Args:
            value: Shape (devices..., columns...).
            columns: Number of trailing dimensions that are not devices.
        """
        if self._index is None or value.ndim <= columns:
            return value
        trailing = value.shape[value.ndim - columns :]
        return value.expand(*self.shape, *trailing).reshape(self.shape.numel(), *trailing).index_select(0, self._index)

    def put(self, values: Tensor, into: Tensor) -> Tensor:
        """Return a copy of the state of all devices, shape (devices...), with the values of the selected ones."""
        if self._index is None:
            return values
        return into.reshape(-1).index_copy(0, self._index, values).reshape(self.shape)
