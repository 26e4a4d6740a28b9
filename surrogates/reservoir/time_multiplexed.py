"""`Reservoir`: a device whose responses to a masked input, read one after another, are the nodes of a network."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...contracts.driven_device import DrivenDevice
from ...errors import ConfigError
from ...random import check_generator
from ...tensors import all_finite, real_tensor
from ...validation import flag, number, whole_number
from ..extrapolation import warn_of_extrapolation
from ..frozen_device import frozen_devices
from .device_run import DeviceRun, Feedback, Wiring
from .masks import device_masks

#: Samples of the drive that are simulated at once, which bounds the memory that a long run takes.
BLOCK_SAMPLES = 100_000

_DOMAIN = "the domain that the device of the reservoir was fitted on"
_REMEDY = "Reduce scale, or fit the device on a trace that covers the drive; `outside_mask` shows where."


class Reservoir(nn.Module):
    """A time-multiplexed reservoir: each input drives a device with a sequence of values, one for each virtual node.

    For the input x(t) the drive is J_k = offset + scale sum_j mask_kj x_j(t), each k held for a time `hold` in turn. The output
    of the device at the end of each hold is the state of a virtual node; the state of the reservoir is that of all nodes.
    Several devices run in parallel, each with its own mask. Differentiable in mask, scale and offset where the device is. A
    surrogate is copied and its weights are not trained, unless `train_device` is set.

    A run in which a device leaves the domain it was fitted on causes one `DomainWarning`, later ones only if more than twice
    the share lies outside; `outside` and `outside_mask` describe the last run.

    Args:
        device: A fitted `Surrogate`, any other `DrivenDevice`, or a list of them.
        nodes: Number of virtual nodes of each device.
        mask: A kind of `spinode.surrogates.mask`, or a tensor of shape (nodes, inputs) or (devices, nodes, inputs).
        inputs: Width of the input, if the mask is given as a kind.
        hold: Duration of each node [s], a multiple of the device's interval; one interval if omitted.
        scale: Drive per unit of masked input, in the unit of the drive.
        offset: Drive without input.
        drive: Drive of the device that carries the input; the only one if omitted.
        output: Output of the device that is read; the only one if omitted.
        others: Constant values of the other drives by name.
        feedback: Feedback of each device onto itself.
        trained: Which of "mask", "scale" and "offset" are trainable parameters.
        train_device: Run the given devices themselves instead of copies, so that an optimizer of `parameters()` trains them.
        seed: Seed of the mask; device k takes seed + k.

    Raises:
        ConfigError: an object that is not a device, a mask of the wrong shape, a hold that is not a multiple of the interval,
            or names that the device does not have.

    Example:
        >>> import torch
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> reservoir = Reservoir(SpinTorqueOscillator(), nodes=8, scale=1e-3, offset=6.5e-3, output="V")
        >>> reservoir(torch.tensor([0.1, -0.2, 0.3])).shape
        torch.Size([3, 8])

    Source: Appeltant et al., Nat. Commun. 2, 468 (2011); Torrejon et al., Nature 547, 428 (2017), doi:10.1038/nature23011.
    """

    mask: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        device: DrivenDevice | Sequence[DrivenDevice],
        nodes: int,
        mask: str | Tensor = "binary",
        *,
        inputs: int = 1,
        hold: float | None = None,
        scale: float | Tensor = 1.0,
        offset: float | Tensor = 0.0,
        drive: str | None = None,
        output: str | None = None,
        others: dict[str, float] | None = None,
        feedback: Feedback | None = None,
        trained: Sequence[str] = (),
        train_device: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        devices: list[Any] = list(device) if isinstance(device, list | tuple) else [device]
        if not devices or not all(isinstance(each, DrivenDevice) for each in devices):
            raise ConfigError(
                f"device is {device!r}; expected a fitted Surrogate, or a model with initial_state and step_block."
            )
        devices = frozen_devices(devices, flag("train_device", train_device))
        self.devices: list[DrivenDevice] = devices
        self.fitted = nn.ModuleList([each for each in devices if isinstance(each, nn.Module)])
        if not isinstance(feedback, Feedback | None):
            raise ConfigError(f"feedback is {feedback!r}; expected a Feedback(delay=..., gain=...), or None.")
        self.nodes, self.feedback = whole_number("nodes", nodes, 1), feedback
        self.wirings = [Wiring.of(each, hold, drive, output, others or {}) for each in devices]
        values = {
            "mask": device_masks(mask, len(devices), self.nodes, inputs, seed),
            "scale": torch.tensor(number("scale", _plain(scale)), dtype=torch.float64),
            "offset": torch.tensor(number("offset", _plain(offset)), dtype=torch.float64),
        }
        if (
            isinstance(trained, str)
            or not isinstance(trained, Collection)
            or any(name not in tuple(values) for name in trained)
        ):
            raise ConfigError(f"trained is {trained!r}; expected a tuple of some of {', '.join(values)}.")
        if not all_finite(values["mask"]):
            raise ConfigError("the mask contains NaN or infinite values; pass finite numbers.")
        for name, value in values.items():
            if name in trained:
                self.register_parameter(name, nn.Parameter(value.clone()))
            else:
                self.register_buffer(name, value.clone())
        self._outside_share = 0.0
        self._outside_mask = torch.zeros(0, self.width, dtype=torch.bool)

    @property
    def inputs(self) -> int:
        """Return the width of the input."""
        return self.mask.shape[-1]

    @property
    def width(self) -> int:
        """Return the number of states: devices times nodes."""
        return len(self.devices) * self.nodes

    @property
    def outside(self) -> float:
        """Return the share of the samples of the last run that lay outside the domain of the devices."""
        return self._outside_share

    @property
    def outside_mask(self) -> Tensor:
        """Return where the states returned last are extrapolated: bool, of their shape (..., time, devices * nodes).

        A state is marked if the device left its domain during the hold of that node.
        """
        return self._outside_mask

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None, strict: bool = False) -> Tensor:
        """Return the states under an input.

        Args:
            x: Input, shape (..., time, inputs), or (time,) for one channel.
            generator: Source of the devices' noise; their mean response if omitted.
            strict: Raise an error where a device leaves the domain it was fitted on, instead of a warning.

        Returns:
            States, shape (..., time, devices * nodes), in the outputs' units.

        Raises:
            ConfigError: an input of another shape, or with NaN.
            DomainError: `strict` is set and a device left the domain it was fitted on.

        Warns:
            DomainWarning: a device left the domain it was fitted on.
        """
        states, outside = [], []
        for block in self._blocks(x, generator, None):
            states.append(block)
            outside.append(self._outside_mask)
        self._outside_mask = torch.cat(outside, -2)
        warn_of_extrapolation(self, self._outside_share, _DOMAIN, _REMEDY, strict=strict, stacklevel=5)
        return torch.cat(states, -2)

    def stream(
        self, x: Tensor, *, generator: torch.Generator | None = None, block: int | None = None, strict: bool = False
    ) -> Iterator[Tensor]:
        """Yield the states in blocks of some inputs, so that a long run is never in memory as a whole.

        Args:
            x: As in `forward`.
            generator: As in `forward`.
            block: Number of inputs in a block; about 100 000 samples of the drive if omitted.
            strict: As in `forward`; the error comes with the block that leaves the domain.

        Warns:
            DomainWarning: as `forward`, with the share of the steps so far.
        """
        warned = False
        for states in self._blocks(x, generator, block):
            if not warned:
                warned = warn_of_extrapolation(self, self._outside_share, _DOMAIN, _REMEDY, strict=strict, stacklevel=3)
            yield states

    def start(self, generator: torch.Generator | None = None) -> list[DeviceRun]:
        """Return a run of each device that has not begun, for `continue_runs`."""
        check_generator(generator)
        return [DeviceRun(wiring, self.feedback, self.offset, generator) for wiring in self.wirings]

    def continue_runs(self, runs: list[DeviceRun], x: Tensor, *, strict: bool = False) -> Tensor:
        """Return the states under the next inputs of some runs.

        Args:
            runs: As `start` returned them; they are updated.
            x: Next inputs, shape (..., time, inputs).
            strict: As in `forward`.
        """
        states = self._continue(runs, self._checked(x))
        warn_of_extrapolation(self, self._outside_share, _DOMAIN, _REMEDY, strict=strict, stacklevel=3)
        return states

    def drive_range(self, x: Tensor) -> tuple[float, float]:
        """Return the lowest and the highest drive under an input, without feedback."""
        drives = self._drives(self._checked(x))
        return float(drives.min()), float(drives.max())

    def _blocks(self, x: Tensor, generator: torch.Generator | None, block: int | None) -> Iterator[Tensor]:
        x = self._checked(x)
        if block is None:
            block = max(1, BLOCK_SAMPLES // (self.nodes * max(wiring.repeat for wiring in self.wirings)))
        runs = self.start(generator)
        for part in x.split(whole_number("block", block, 1), -2):
            yield self._continue(runs, part)

    def _continue(self, runs: list[DeviceRun], x: Tensor) -> Tensor:
        states = [run.continue_with(drives) for run, drives in zip(runs, self._drives(x), strict=True)]
        self._outside_mask = torch.cat([run.outside for run in runs], -1)
        self._outside_share = sum(run.steps_outside for run in runs) / max(1, sum(run.steps for run in runs))
        return torch.cat(states, -1)

    def _drives(self, x: Tensor) -> Tensor:
        """Return the drive of each node, shape (devices, ..., time, nodes)."""
        return self.offset + self.scale * torch.einsum("...ti,dki->d...tk", x, self.mask)

    def _checked(self, x: Tensor) -> Tensor:
        x = real_tensor("the input", x)
        x = x.unsqueeze(-1) if x.dim() == 1 else x
        if x.dim() < 2 or x.shape[-1] != self.inputs or not x.numel():
            raise ConfigError(
                f"the input has shape {tuple(x.shape)}; expected (..., time, {self.inputs}), as wide as the mask."
            )
        x = x.to(self.mask)
        if not all_finite(x):
            raise ConfigError("the input contains NaN or infinite values; replace or cut them.")
        return x


def _plain(value: Any) -> Any:
    """Return the number in a tensor or array of one value; another object unchanged."""
    return value.item() if isinstance(value, Tensor | np.ndarray) and math.prod(value.shape) == 1 else value
