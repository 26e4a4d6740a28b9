"""`OscillatorNetwork`: devices that drive each other, trained by gradients through the devices."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.driven_device import DrivenDevice
from ...errors import ConfigError
from ...random import check_generator, seeded_generator
from ...tensors import real_tensor
from ...validation import array_size, flag, is_number, number, whole_number
from ..extrapolation import warn_of_extrapolation
from ..frozen_device import frozen_devices


class OscillatorNetwork(nn.Module):
    """Devices of one kind, coupled by their outputs; couplings, operating points and input weights are trainable.

    The drive of device i is

    J_i(t) = bias_i + sum_k W_ik x_k(t) + sum_j K_ij (y_j(t - dt) - rest),

    constant for `hold` samples, where y_j is the output of device j one hold before. For a self-sustained oscillator the bias
    sets the frequency and the damping. Gradients pass through the devices. A surrogate is copied and its weights are not
    trained, unless `train_device` is set.

    A run in which devices leave the domain they were fitted on causes one `DomainWarning`, later ones only if more than twice
    the share lies outside.

    Args:
        device: A fitted surrogate, or any other `DrivenDevice`, with one drive.
        size: Number of devices.
        inputs: Width of the input.
        bias: Initial operating point, in the unit of the drive.
        spread: Standard deviation of the initial operating points, in that unit.
        input_scale: Standard deviation of the sum of the initial input weights, drive per unit of input.
        coupling_scale: Standard deviation of the sum of the initial couplings, drive per unit of output.
        rest: Output at which the coupling is zero.
        output: Output that couples and is returned; the only one if omitted.
        hold: Number of device samples in each step.
        limits: Lowest and highest drive; larger values are limited smoothly by a tanh. None for no limits.
        train_device: Run the given device itself instead of a copy, so that an optimizer of `parameters()` trains it.
        seed: Seed of the weights.

    Raises:
        ConfigError: not a device, a device of several drives, or numbers out of range.

    Example:
        >>> from spinode.datasets import SpinTorqueOscillator
        >>> network = OscillatorNetwork(
        ...     SpinTorqueOscillator(), size=3, inputs=1, bias=6.5e-3, input_scale=1e-3, coupling_scale=0.1, output="V"
        ... )
        >>> network(torch.tensor([[0.1], [0.5]])).shape
        torch.Size([2, 3])

    Source: Romera et al., Nature 563, 230 (2018), doi:10.1038/s41586-018-0632-y, train four coupled oscillators on vowels.
    """

    def __init__(
        self,
        device: DrivenDevice,
        size: int,
        inputs: int,
        *,
        bias: float,
        spread: float = 0.0,
        input_scale: float = 0.0,
        coupling_scale: float = 0.0,
        rest: float = 0.0,
        output: str | None = None,
        hold: int = 1,
        limits: tuple[float, float] | None = None,
        train_device: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(device, DrivenDevice) or len(device.drives) != 1:
            raise ConfigError(
                f"device is {device!r}; expected a fitted Surrogate, or a model with initial_state and step_block, with one "
                "drive."
            )
        size, inputs = whole_number("size", size, 1), whole_number("inputs", inputs, 1)
        array_size("the couplings", rows=size, columns=size)
        array_size("the input weights", size=size, inputs=inputs)
        bias, spread = number("bias", bias), number("spread", spread, 0)
        input_scale = number("input_scale", input_scale, 0)
        coupling_scale = number("coupling_scale", coupling_scale, 0)
        if output is None and len(device.outputs) == 1:
            output = device.outputs[0]
        if output not in device.outputs:
            raise ConfigError(f"output is {output!r}; the device has {', '.join(device.outputs)}: pass output= one of them.")
        if limits is not None and not _encloses(limits, bias):
            raise ConfigError(f"limits are {limits!r}; expected a lower and a higher drive around the bias, {bias:g}.")
        [self.device] = frozen_devices([device], flag("train_device", train_device))
        self.hold = whole_number("hold", hold, 1)
        self.rest, self.limits = number("rest", rest), limits
        self._outside = 0.0
        self._output = device.outputs.index(output)
        generator = seeded_generator(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.bias = nn.Parameter(bias + spread * normal(size))
        self.input_weight = nn.Parameter(input_scale * normal(size, inputs) / math.sqrt(inputs))
        self.coupling = nn.Parameter(coupling_scale * normal(size, size) / math.sqrt(size))

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None, strict: bool = False) -> Tensor:
        """Return the outputs of all devices.

        Args:
            x: Input, shape (..., time, inputs).
            generator: Source of the devices' noise; their mean response if omitted.
            strict: Raise an error where devices leave the domain they were fitted on, instead of a warning.

        Returns:
            Outputs, shape (..., time, size), in the output's unit.

        Raises:
            ConfigError: an input of another shape, or with NaN.
            DomainError: `strict` is set and devices left the domain they were fitted on.

        Warns:
            DomainWarning: devices left the domain they were fitted on.
        """
        check_generator(generator)
        x = real_tensor("the input", x)
        if x.dim() < 2 or x.shape[-1] != self.input_weight.shape[1] or not x.numel():
            raise ConfigError(f"the input has shape {tuple(x.shape)}; expected (..., time, {self.input_weight.shape[1]}).")
        if not bool(torch.isfinite(x).all()):
            raise ConfigError("the input contains NaN or infinite values; replace or cut them.")
        uncoupled = self.bias + x.to(self.bias) @ self.input_weight.T
        start = self._limited(self.bias).expand(*uncoupled.shape[:-2], -1)
        memory = self.device.initial_state(start.unsqueeze(-1), generator=generator)
        previous = torch.full_like(start, self.rest)
        outputs, outside = [], 0.0
        for drives in uncoupled.unbind(-2):
            drive = self._limited(drives + (previous - self.rest) @ self.coupling.T)
            constant = drive[..., None, None].expand(*drive.shape, self.hold, 1)
            response = self.device.step_block(memory, constant, generator=generator)
            memory, previous = response.memory, response.output[..., -1, self._output]
            outputs.append(previous)
            outside += float(response.outside.double().mean())
        self._outside = outside / len(outputs)
        warn_of_extrapolation(
            self,
            self._outside,
            "the domain that the device of the network was fitted on",
            "Pass limits=, or fit the device on a trace that covers the drive.",
            strict=strict,
            stacklevel=5,
        )
        return torch.stack(outputs, -2)

    @property
    def outside(self) -> float:
        """Return the share of the samples of the last run that lay outside the domain of the device."""
        return self._outside

    def _limited(self, drive: Tensor) -> Tensor:
        """Return the drive, smoothly bounded by the limits."""
        if self.limits is None:
            return drive
        low, high = self.limits
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + half * torch.tanh((drive - middle) / half)


def _encloses(limits: Any, bias: float) -> bool:
    """Return True if the limits are a lower and a higher number around the bias."""
    if not isinstance(limits, tuple | list) or len(limits) != 2 or not all(is_number(limit) for limit in limits):
        return False
    return bool(limits[0] < bias < limits[1])
