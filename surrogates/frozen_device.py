"""`frozen_devices`: devices as reservoirs and networks keep them, so that training changes nothing of the caller's."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

from torch import nn

from ..contracts.driven_device import DrivenDevice


def frozen_devices(devices: Sequence[DrivenDevice], train: bool) -> list[Any]:
    """Return devices whose weights are not trained.

    Args:
        devices: Fitted surrogates or physical models.
        train: Return the devices themselves, so that an optimizer of the owner trains the weights they already have.

    Returns:
        Copies of the modules among the devices, none of whose weights requires a gradient; the other devices unchanged. A
        device that occurs twice is copied once.
    """
    if train:
        return list(devices)
    copies: dict[int, Any] = {}
    return [deepcopy(device, copies).requires_grad_(False) if isinstance(device, nn.Module) else device for device in devices]
