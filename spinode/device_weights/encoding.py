"""The encoding of a weight in one or two memory devices, and of pulses for a weight in pulses for its devices."""

from __future__ import annotations

import torch
from torch import Tensor

from ..contracts.synapse import RESET, SET, Synapse
from ..errors import ConfigError
from ..validation import one_of

#: Number of devices for each weight, by kind.
KINDS = {"single": 1, "pair": 2, "sign": 2}
#: Which devices of a pair receive the pulses.
POLICIES = ("both", "set", "reset")


def choose_policy(synapse: Synapse, kind: str, policy: str | None) -> str:
    """Return the policy of a pair: the given one, or the one that suits the polarities of the device.

    Args:
        synapse: The device.
        kind: One of `KINDS`.
        policy: One of `POLICIES`, or None.

    Returns:
        The policy; "set" for single devices, whose pulses are those of the weight.

    Raises:
        ConfigError: a policy that the device cannot follow, a policy for a single device, or a single device that responds
            to one polarity only.
    """
    polarities = set(synapse.polarities)
    if kind == "single":
        if polarities != {SET, RESET}:
            raise ConfigError(
                f"the device responds to {', '.join(synapse.polarities)} pulses only, so a weight of one device could never "
                "move back; use kind='pair' or kind='sign'."
            )
        if policy is not None:
            raise ConfigError(f"policy is {policy!r}, which applies to two devices only; leave it out for kind='single'.")
        return "set"
    suited = "both" if polarities == {SET, RESET} else "set" if SET in polarities else "reset"
    chosen: str = one_of("policy", suited if policy is None else policy, POLICIES)
    required = {"both": {SET, RESET}, "set": {SET}, "reset": {RESET}}[chosen]
    if not required <= polarities:
        raise ConfigError(
            f"policy is {chosen!r}, but the device responds to {', '.join(synapse.polarities)} only; use {suited!r}."
        )
    return chosen


def latent_weight(conductance: Tensor, kind: str, scale: float, reference: float) -> Tensor:
    """Return the latent weight, shape (weights...), of conductances, shape (devices per weight, weights...)."""
    minus = reference if kind == "single" else conductance[1]
    return (conductance[0] - minus).mul_(scale)


def sign_weight(latent: Tensor, w_max: float) -> Tensor:
    """Return +-w_max with the sign of the latent weight; the gradient is passed to the latent weight unchanged."""
    binary = torch.copysign(torch.tensor(w_max, dtype=latent.dtype, device=latent.device), latent.detach())
    return binary + (latent - latent.detach()) if latent.requires_grad else binary


def device_pulses(counts: Tensor, kind: str, policy: str) -> Tensor:
    """Return the pulses of the devices for the pulses of their weights.

    Args:
        counts: Pulses of each weight, above zero where it grows, shape (weights...).
        kind: One of `KINDS`.
        policy: One of `POLICIES`.

    Returns:
        Pulses of each device, above zero for SET, shape (devices per weight, weights...).

    Example:
        >>> device_pulses(torch.tensor([3.0, -2.0]), "pair", "set").tolist()
        [[3.0, 0.0], [0.0, 2.0]]
    """
    if kind == "single":
        return counts.unsqueeze(0)
    if policy == "both":
        return torch.stack((counts, -counts))
    # G+ takes the counts of one sign; the others go to G- with the sign reversed. One of the two passes the derivative.
    low, high = (0, None) if policy == "set" else (None, 0)
    if counts.requires_grad and torch.is_grad_enabled():
        plus = counts.clamp(low, high)
        return torch.stack((plus, plus - counts))
    devices = counts.new_empty((2, *counts.shape))
    torch.clamp(counts, low, high, out=devices[0])
    torch.sub(devices[0], counts, out=devices[1])
    return devices
