"""`DeviceStates`: the states, the wear and the generator of devices, and their state dict."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..contracts.synapse import State, Synapse
from ..errors import ConfigError
from ..random import draw_seed
from .state_dict import check_loaded

_NUMBERS = ("w_max", "scale", "reference", "energy")  # plain numbers in the state dict


class DeviceStates(nn.Module):
    """Base of `DeviceWeights`: what is stored of the devices, and their state dict."""

    wear: Tensor
    synapse: Synapse
    kind: str
    w_max: float
    scale: float
    reference: float
    energy: float | None
    version: int
    _names: tuple[str, ...]
    _generator: torch.Generator
    _rested: Tensor | None = None  # wear of the devices when they drifted

    @property
    def state(self) -> State:
        """States of the devices, shape (devices per weight, *shape, ...): the stored tensors, not copies."""
        return {name: self._buffers[f"state_{name}"] for name in self._names}  # type: ignore[misc]

    @property
    def device(self) -> torch.device:
        """The torch device on which the states are stored."""
        return self.wear.device if "wear" in self._buffers else self._generator.device

    def replace_state(self, state: State) -> None:
        """Take over states that did not come from pulses, such as after a pause; of the same entries, shapes and types."""
        for name, old in self.state.items():
            new = state.get(name)
            if new is None or new.shape != old.shape or new.dtype != old.dtype:
                raise ConfigError(
                    f"the state has no entry {name} of {old.dtype} and shape {tuple(old.shape)}; pass all of them."
                )
        self.version += 1
        self._rested = None
        self._buffers.update({f"state_{name}": state[name] for name in self._names})

    @property
    def drifted(self) -> Tensor:
        """True for devices that have drifted and have had no pulse since, shape of `wear`."""
        if self._rested is None:
            return torch.zeros_like(self.wear, dtype=torch.bool)
        return self.wear == self._rested.to(self.wear.device)

    def rest(self) -> None:
        """Note that all devices have drifted."""
        self._rested = self.wear.clone()

    def _local_generator(self) -> torch.Generator:
        """Return the generator, on the torch device of the states."""
        if self._generator.device != self.device:
            self._generator = torch.Generator(self.device).manual_seed(draw_seed(self._generator))
        return self._generator

    @property
    def stored_tensors(self) -> dict[str, Tensor]:
        """States and wear of the devices, by their name in the state dict."""
        return {name: value for name, value in self._buffers.items() if value is not None}

    @property
    def identity(self) -> dict[str, str]:
        """Kind of the weights, and class and unit of the synapse; a state dict must agree with them."""
        return {"kind": self.kind, "synapse": type(self.synapse).__name__, "unit": self.synapse.unit}

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}wear"] = self.wear.clone()  # the only one that pulses change in place

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if any(name.startswith(prefix) for name in state_dict):  # otherwise torch reports what is missing, if strict
            check_loaded(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the generator, the plain numbers, which devices have drifted, and the identity, for the state dict."""
        numbers = {name: getattr(self, name) for name in _NUMBERS}
        drifted = self.drifted
        entry = drifted if bool(drifted.any()) else False
        return {"generator": self._generator.get_state(), **numbers, "drifted": entry, **self.identity}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore the generator and the plain numbers from a state dict."""
        self._generator.set_state(state["generator"].cpu())
        for name in _NUMBERS:
            setattr(self, name, state[name])
        self.version += 1
        drifted = torch.as_tensor(state.get("drifted", False), device=self.device)  # older dicts have one for all, or none
        self._rested = torch.where(drifted, self.wear, -1) if bool(drifted.any()) else None

    def __getstate__(self) -> dict[str, Any]:
        # Not every supported torch can copy a generator, but all can copy its state.
        return {**self.__dict__, "_generator": (self._generator.device, self._generator.get_state())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device, numbers = state["_generator"]
        super().__setstate__({**state, "_generator": torch.Generator(device).set_state(numbers)})  # type: ignore[no-untyped-call]
