"""`DeviceLinear` and `DeviceConv2d`: the layers of torch with weights in memory devices."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...contracts.synapse import Synapse
from ...device_weights.programming import Programmer, ProportionalProgrammer, StochasticProgrammer, check_programmer
from ...device_weights.state_dict import check_entry, check_loaded
from ...device_weights.weights import NOISE, DeviceWeights
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError
from ...random import make_generator


class _StraightThrough(torch.autograd.Function):
    """The weights that were read, whose gradient goes to the handle, where a mask lets it."""

    @staticmethod
    def forward(ctx: Any, handle: Tensor, read: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(mask)
        return read.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] if mask is None else gradients[0] * mask, None, None


class DeviceLayer(nn.Module):
    """What layers with weights in devices share: the handle, reads, and the programmer.

    The parameter `weight` is a handle: its value is the weights without read noise, its gradient is that of the loss at the
    weights that were read (straight through). An optimiser changes the handle alone; `DeviceOptimizer` turns the change into
    pulses. The layer computes with the devices and refuses a handle that was moved without them.

    Attributes:
        weights: The devices.
        programmer: How `DeviceOptimizer` chooses pulses for this layer.
        clip: For "sign": the gradient is zero where the latent weight is beyond it; None for no such bound.
    """

    weight: Tensor
    bias: Any  # a parameter or None; the two layers of torch annotate it differently
    weights: DeviceWeights
    programmer: Programmer | WriteVerify
    clip: float | None
    _clean: Tensor
    _seen: tuple[int, int]

    def _hold(
        self,
        synapse: Synapse,
        kind: str,
        programmer: Programmer | WriteVerify | None,
        w_max: float | None,
        policy: str | None,
        noise: Collection[str],
        clip: float | None,
        initial: str | None,
        seed: int | torch.Generator,
    ) -> None:
        """Make the devices, and write what nn.Linear would begin with: uniform on +-1 / sqrt(inputs of a neuron)."""
        if initial not in (None, "write", "devices"):
            raise ConfigError(f"initial is {initial!r}; expected 'write' or 'devices'.")
        if clip is not None and (kind != "sign" or not clip > 0):
            raise ConfigError(f"clip is {clip} for kind={kind!r}; expected a positive latent weight, and kind='sign'.")
        check_programmer(programmer)
        bound = 1 / math.sqrt(self.weight[0].numel())
        if w_max is None:
            w_max = 1.0 if kind == "sign" else 4 * bound
        generator = make_generator(seed)
        self.clip = clip
        self.weights = DeviceWeights(
            self.weight.shape,
            synapse,
            kind=kind,
            w_max=w_max,
            policy=policy,
            noise=noise,
            seed=generator,
            dtype=self.weight.dtype,
        )
        if programmer is None:
            programmer = ProportionalProgrammer() if kind == "sign" else StochasticProgrammer(self.weights.step)
        self.programmer = programmer
        with torch.no_grad():
            if self.bias is not None:
                self.bias.uniform_(-bound, bound, generator=generator)
            if initial == "write" or (initial is None and kind != "sign"):
                self.weights.write(torch.empty_like(self.weight).uniform_(-bound, bound, generator=generator))
        self.register_load_state_dict_post_hook(_sync_loaded)  # type: ignore[no-untyped-call]
        self.sync()

    def reading(self) -> Tensor:
        """The weights for one pass: read with noise where there is any, the gradient straight through to the handle.

        Raises:
            ConfigError: the handle was changed, and the devices were not.
        """
        self._follow()
        read, mask = self._clean, None  # a read without noise is as good as the last one
        if self.weights.noisy or self.clip is not None:
            with torch.no_grad():
                latent = self.weights.latent()
                mask = None if self.clip is None else latent.abs() <= self.clip
                read = self.weights.from_latent(latent)
        return cast(Tensor, _StraightThrough.apply(self.weight, read, mask))  # type: ignore[no-untyped-call]

    def sync(self) -> None:
        """Set the handle to the weights without read noise."""
        with torch.no_grad():
            self._clean = self.weights.read(noisy=False)
            self.weight.copy_(self._clean)
        self._seen = (self.weight._version, self.weights.version)

    def _follow(self) -> None:
        """Follow the devices if they were programmed, and see that nobody else moved the handle."""
        handle, devices = self._seen
        if self.weights.version != devices:
            self.sync()
        elif self.weight._version != handle:
            if not torch.equal(self.weight.detach(), self._clean):
                raise ConfigError(
                    f"the handle `weight` of {self} was changed and the devices were not; wrap the optimiser in "
                    "DeviceOptimizer, or call layer.weights.write(target)."
                )
            self._seen = (self.weight._version, devices)

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        # Before torch copies the bias: devices are loaded after it.
        own = {f"{prefix}{name}": value for name, value in self._parameters.items()}
        inside = f"{prefix}weights."
        if any(name in state_dict or name.startswith(inside) for name in (*own, *state_dict)):
            for name, value in own.items():
                if (value is None) == (name in state_dict):
                    there = "has" if value is None else "lacks"
                    raise ConfigError(f"the state dict {there} {name}; build the layer with bias= as it was saved.")
                if value is not None:
                    check_entry(name, state_dict[name], value)
            check_loaded(self.weights, state_dict, inside)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def reset_parameters(self) -> None:
        """Part of torch's constructors. Later there is no such thing: fresh weights are fresh devices.

        Raises:
            ConfigError: when called on a finished layer.
        """
        if hasattr(self, "weights"):
            raise ConfigError("weights in devices cannot be reset; make a new layer, or call layer.weights.write(target).")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        moved = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.sync()  # the type of the states may be another one now
        return moved


def _check_sizes(dtype: torch.dtype, **sizes: Any) -> None:
    """Before torch makes parameters of them."""
    for name, size in sizes.items():
        each = size if isinstance(size, tuple | list) else (size,)
        if not all(isinstance(one, int) and one >= 1 for one in each):
            raise ConfigError(f"{name} is {size!r}; expected a positive whole number.")
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ConfigError(f"dtype is {dtype}; expected a floating-point type, such as torch.float32.")


def _sync_loaded(module: nn.Module, keys: Any) -> None:
    cast(DeviceLayer, module).sync()


class DeviceLinear(DeviceLayer, nn.Linear):
    """y = x W^T + b, W in devices; nn.Linear otherwise. See `DeviceLayer` and `DeviceWeights`.

    Args:
        in_features: Size of each input.
        out_features: Size of each output.
        synapse: The kind of device.
        kind: How devices make a weight: "single", "pair" or "sign".
        bias: With b, which is an ordinary parameter.
        programmer: How updates become pulses; if omitted, `StochasticProgrammer` by the step of the weights, and for "sign"
            `ProportionalProgrammer()`, for which updates are numbers of pulses.
        w_max: Largest weight that the usual conductance range gives; 4 / sqrt(in_features) if omitted, 1 for "sign".
        policy: Which devices of a pair take the pulses.
        noise: What is random, some of "devices", "pulses" and "read"; reads are noisy in evaluation as in training.
        clip: For "sign", see `DeviceLayer`.
        initial: "write" for the weights that nn.Linear begins with, by `WriteVerify`; "devices" for what fresh devices give.
            "devices" for "sign" if omitted, else "write".
        seed: Seed of the layer, or a generator that it is drawn from: pass the same generator to all layers of a net.
        dtype: Floating-point type.

    Raises:
        ConfigError: as `DeviceWeights`, sizes that are not positive, a type that is not floating-point, and a `clip`,
            `initial` or `programmer` that has no meaning.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        synapse: Synapse,
        *,
        kind: str = "pair",
        bias: bool = True,
        programmer: Programmer | WriteVerify | None = None,
        w_max: float | None = None,
        policy: str | None = None,
        noise: Collection[str] = NOISE,
        clip: float | None = None,
        initial: str | None = None,
        seed: int | torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        _check_sizes(dtype, in_features=in_features, out_features=out_features)
        nn.Linear.__init__(self, in_features, out_features, bias=bias, dtype=dtype)
        self._hold(synapse, kind, programmer, w_max, policy, noise, clip, initial, seed)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Linear
        """The layer's output, shape (..., out_features)."""
        return functional.linear(input, self.reading(), self.bias)


class DeviceConv2d(DeviceLayer, nn.Conv2d):
    """nn.Conv2d with its kernels in devices; arguments of both, see `DeviceLinear`.

    Args:
        in_channels: As in nn.Conv2d, like the next eight.
        out_channels: Channels of the output.
        kernel_size: Size of the kernels.
        synapse: The kind of device.
        stride: As in nn.Conv2d.
        padding: As in nn.Conv2d.
        dilation: As in nn.Conv2d.
        groups: As in nn.Conv2d.
        padding_mode: As in nn.Conv2d.
        kind: As in `DeviceLinear`, like all that follow.
        bias: With a bias.
        programmer: How updates become pulses.
        w_max: Largest weight of the usual conductance range.
        policy: Which devices of a pair take the pulses.
        noise: What is random.
        clip: Bound of the straight-through gradient.
        initial: "write" or "devices".
        seed: Seed, or a generator that it is drawn from.
        dtype: Floating-point type.

    Raises:
        ConfigError: as `DeviceLinear`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        synapse: Synapse,
        *,
        stride: int | tuple[int, int] = 1,
        padding: str | int | tuple[int, int] = 0,
        dilation: int | tuple[int, int] = 1,
        groups: int = 1,
        padding_mode: str = "zeros",
        kind: str = "pair",
        bias: bool = True,
        programmer: Programmer | WriteVerify | None = None,
        w_max: float | None = None,
        policy: str | None = None,
        noise: Collection[str] = NOISE,
        clip: float | None = None,
        initial: str | None = None,
        seed: int | torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        _check_sizes(dtype, in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        nn.Conv2d.__init__(
            self,
            in_channels,
            out_channels,
            kernel_size,
            stride,
            padding,
            dilation,
            groups,
            bias,
            cast(Any, padding_mode),
            dtype=dtype,
        )
        self._hold(synapse, kind, programmer, w_max, policy, noise, clip, initial, seed)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Conv2d
        """The layer's output, shape (..., out_channels, height, width)."""
        return cast(Tensor, self._conv_forward(input, self.reading(), self.bias))
