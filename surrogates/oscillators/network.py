"""`OscillatorNetwork`: devices that drive each other, trained through."""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from ...contracts.driven_device import DrivenDevice
from ...errors import ConfigError


class OscillatorNetwork(nn.Module):
    """Devices of one kind, coupled by their outputs; couplings, operating points and input weights are parameters.

    Device i is driven with

    J_i(t) = bias_i + sum_k W_ik x_k(t) + sum_j K_ij (y_j(t - dt) - rest),

    each sample held for `hold`, where y_j is the output of device j one hold before. Of a self-sustained oscillator the bias
    sets the frequency and the damping. Gradients pass through the devices, whose own weights stay as they were fitted.

    Args:
        device: A fitted surrogate, or anything else that is `DrivenDevice`, with one drive.
        size: Number of devices.
        inputs: Width of the input.
        bias: Operating point at the start, in the unit of the drive.
        spread: Deviation of the operating points from it at the start, in that unit.
        input_scale: Deviation of the sum of input weights at the start, drive for each unit of input.
        coupling_scale: Deviation of the sum of couplings at the start, drive for each unit of output.
        rest: Output that couples nothing.
        output: Which output couples and is returned; the only one if omitted.
        hold: Samples of the device in each step.
        limits: Lowest and highest drive; what would lie beyond is bent to the limit smoothly. None for no limits.
        seed: Of the weights.

    Raises:
        ConfigError: what is no device, a device of several drives, or numbers out of range.

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
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not isinstance(device, DrivenDevice) or len(device.drives) != 1:
            raise ConfigError(
                f"device is {device!r}; expected a fitted Surrogate, or a model with begin and advance, of one drive."
            )
        for name, count in (("size", size), ("inputs", inputs), ("hold", hold)):
            if not isinstance(count, int) or isinstance(count, bool) or count < 1:
                raise ConfigError(f"{name} is {count!r}; expected a positive whole number.")
        numbers = {"bias": bias, "spread": spread, "input_scale": input_scale, "coupling_scale": coupling_scale, "rest": rest}
        bad = [name for name, value in numbers.items() if not math.isfinite(value)]
        if bad:
            raise ConfigError(f"{bad[0]} is {numbers[bad[0]]!r}; expected a finite number.")
        if output is None and len(device.outputs) == 1:
            output = device.outputs[0]
        if output not in device.outputs:
            raise ConfigError(f"output is {output!r}; the device has {', '.join(device.outputs)}: pass output= one of them.")
        if limits is not None and not limits[0] < bias < limits[1]:
            raise ConfigError(f"limits are {limits!r}; expected a lower and a higher drive around the bias, {bias:g}.")
        self.device, self.hold, self.rest, self.limits = device, hold, float(rest), limits
        self._output = device.outputs.index(output)
        if isinstance(device, nn.Module):
            device.requires_grad_(False)
        generator = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64)

        self.bias = nn.Parameter(bias + spread * normal(size))
        self.input_weight = nn.Parameter(input_scale * normal(size, inputs) / math.sqrt(inputs))
        self.coupling = nn.Parameter(coupling_scale * normal(size, size) / math.sqrt(size))

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Outputs of all devices.

        Args:
            x: Shape (..., time, inputs).
            generator: Source of the devices' noise; their mean response if omitted.

        Returns:
            Shape (..., time, size), in the output's unit. `outside` then holds the share of samples outside what the device is
            known for.

        Raises:
            ConfigError: an input of another shape, or with NaN.
        """
        if x.dim() < 2 or x.shape[-1] != self.input_weight.shape[1] or not x.shape[-2]:
            raise ConfigError(f"the input has shape {tuple(x.shape)}; expected (..., time, {self.input_weight.shape[1]}).")
        if not bool(torch.isfinite(x).all()):
            raise ConfigError("the input holds NaN or infinite values; replace or cut them.")
        own = self.bias + x.to(self.bias) @ self.input_weight.T
        start = self._limited(self.bias).expand(*own.shape[:-2], -1)
        memory = self.device.initial_state(start.unsqueeze(-1), generator=generator)
        late = torch.full_like(start, self.rest)
        outputs, outside = [], 0.0
        for now in own.unbind(-2):
            drive = self._limited(now + (late - self.rest) @ self.coupling.T)
            held = drive[..., None, None].expand(*drive.shape, self.hold, 1)
            answer = self.device.step_block(memory, held, generator=generator)
            memory, late = answer.memory, answer.output[..., -1, self._output]
            outputs.append(late)
            outside += float(answer.outside.double().mean())
        self._outside = outside / len(outputs)
        return torch.stack(outputs, -2)

    @property
    def outside(self) -> float:
        """Share of the samples of the last run that lay outside what the device is known for."""
        return cast(float, getattr(self, "_outside", 0.0))

    def _limited(self, drive: Tensor) -> Tensor:
        if self.limits is None:
            return drive
        low, high = self.limits
        middle, half = (low + high) / 2, (high - low) / 2
        return middle + half * torch.tanh((drive - middle) / half)
