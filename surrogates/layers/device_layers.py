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
from ...tensors import all_finite, has_values, same_values
from ...validation import array_size, describe_type, flag, number, one_of, whole_number
from .convolution import check_arguments, check_image, pair
from .crossbar import Crossbar, seen_latent

#: Entries of a state dict: change of the conductances by line resistance, and programmings since it was solved.
_DROP, _DROP_AGE = "line_drop", "line_drop_age"


class _StraightThrough(torch.autograd.Function):
    """Return the weights that were read; pass their gradient to the handle, times a mask."""

    @staticmethod
    def forward(ctx: Any, handle: Tensor, read: Tensor, mask: Tensor | None) -> Tensor:
        ctx.save_for_backward(mask)
        return read.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        (mask,) = ctx.saved_tensors
        return gradients[0] if mask is None else gradients[0] * mask, None, None


class DeviceLayer(nn.Module):
    """Base of the layers with weights in devices: the handle, reads, and the programmer.

    The parameter `weight` is a handle: its value is that of the weights without read noise, its gradient is that of the loss at
    the weights that were read (straight-through estimator). An optimiser changes only the handle; `DeviceOptimizer` turns the
    change into pulses. The layer computes with the devices, and raises an error if the handle was changed without them.

    Attributes:
        weights: The devices.
        programmer: Rule by which `DeviceOptimizer` chooses pulses for this layer.
        clip: For "sign": the gradient is zero where the magnitude of the latent weight exceeds it; None for no bound.
        crossbar: Effects of the array on the products; None for none.
    """

    weight: Tensor
    bias: Any  # a parameter or None; the two layers of torch annotate it differently
    weights: DeviceWeights
    programmer: Programmer | WriteVerify
    clip: float | None
    crossbar: Crossbar | None
    stuck: Tensor | None  # 0, or 1 or 2 for devices that are stuck at the lower or upper end
    _drop: tuple[int, Tensor | None] | None  # change of the conductances by line resistance, and the version it is for
    _noiseless: Tensor  # the weights without read noise, as the handle should be
    _versions: tuple[int, int]  # of handle and devices when they last agreed

    def _make_devices(
        self,
        synapse: Synapse,
        kind: str,
        programmer: Programmer | WriteVerify | None,
        w_max: float | None,
        policy: str | None,
        noise: Collection[str],
        clip: float | None,
        initial: str | None,
        crossbar: Crossbar | None,
        seed: int | torch.Generator,
    ) -> None:
        """Create the devices and write the initial weights of nn.Linear: uniform on +-1 / sqrt(inputs of a neuron)."""
        one_of("initial", initial, ("write", "devices", None))
        if clip is not None:
            clip = number("clip", clip, 0, above=True)
            if kind != "sign":
                raise ConfigError(f"clip is {clip} for kind={kind!r}; expected kind='sign', or clip=None.")
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
        if crossbar is not None and not isinstance(crossbar, Crossbar):
            raise ConfigError(f"crossbar is {crossbar!r}; expected a Crossbar, such as Crossbar(adc_bits=8, tile=128).")
        self.crossbar, self._drop = crossbar, None
        if crossbar is not None:
            crossbar.check(self.weights)
        self.register_buffer("stuck", None if crossbar is None else crossbar.stuck_cells(self.weights, generator))
        with torch.no_grad():
            if self.bias is not None:
                self.bias.uniform_(-bound, bound, generator=generator)
            if initial == "write" or (initial is None and kind != "sign"):
                self.weights.write(torch.empty_like(self.weight).uniform_(-bound, bound, generator=generator))
        self.register_load_state_dict_post_hook(_sync_loaded)  # type: ignore[no-untyped-call]
        self.sync()

    def reading(self) -> Tensor:
        """Return the weights for one forward pass, read with noise; their gradient goes straight through to the handle.

        An exported program (`torch.export`) contains the weights as they are, and reads them without noise.

        Raises:
            ConfigError: the handle was changed without the devices; or an export whose array has faults or line resistance.
        """
        if torch.compiler.is_exporting():
            if self._array_matters:
                raise ConfigError(f"{self} has stuck cells or line resistance, which an exported program does not contain.")
            return self._noiseless
        self._check_handle()
        read, mask = self._noiseless, None  # a read without noise would return the same as the last one
        if self.weights.noisy or self.clip is not None or self._array_matters:
            with torch.no_grad():
                latent = seen_latent(self.weights, self.stuck, self._line_drop())
                mask = None if self.clip is None else latent.abs() <= self.clip
                read = self.weights.from_latent(latent)
        return cast(Tensor, _StraightThrough.apply(self.weight, read, mask))  # type: ignore[no-untyped-call]

    @property
    def _array_matters(self) -> bool:
        return self.stuck is not None or (self.crossbar is not None and self.crossbar.line_resistance > 0)

    def _line_drop(self) -> Tensor | None:
        """Return the change of the conductances by line resistance, solved again after `Crossbar.refresh` programmings."""
        if self.crossbar is None or not self.crossbar.line_resistance:
            return None
        age = math.inf if self._drop is None else self.weights.version - self._drop[0]
        if age and (not self.training or age >= self.crossbar.refresh):
            self._drop = (self.weights.version, self.crossbar.drop(self.weights, self.stuck))
        assert self._drop is not None
        return self._drop[1]

    def output(self, given: Tensor, weight: Tensor) -> Tensor:
        """Return the layer's output for weights that were read before, through the converters of the array.

        Args:
            given: Inputs of the layer.
            weight: Weights, shape of `weight`.
        """
        raise NotImplementedError

    def _check_input(self, given: Any, shape: tuple[Any, ...], axis: int) -> None:
        """Check an input whose size along an axis is that in `shape`.

        Raises:
            ConfigError: not a tensor, or one of another shape or type, or with NaN.
        """
        expected = f"expected {self.weight.dtype} of shape ({', '.join('...' if size is ... else str(size) for size in shape)})"
        if not isinstance(given, Tensor):
            raise ConfigError(f"the input is {describe_type(given)}; {expected}. torch.from_numpy(array) makes a tensor.")
        is_cast = torch.is_autocast_enabled(given.device.type) and given.is_floating_point()
        if given.dim() < -axis or given.shape[axis] != shape[1] or not (given.dtype == self.weight.dtype or is_cast):
            raise ConfigError(f"the input is {given.dtype} of shape {tuple(given.shape)}; {expected}.")
        if not all_finite(given):
            raise ConfigError("the input contains NaN or infinite values; replace or cut them.")

    @torch.inference_mode(mode=False)
    def sync(self) -> None:
        """Set the handle to the weights without read noise."""
        with torch.no_grad():
            self._noiseless = self.weights.read(noisy=False)
            self.weight.copy_(self._noiseless)
        self._versions = (self.weight._version, self.weights.version)

    def _check_handle(self) -> None:
        """Update the handle if the devices were programmed, and check that nothing else has changed it."""
        handle, devices = self._versions
        if self.weights.version != devices:
            self.sync()
        # Values are compared: changes by `weight.data`, or a parameter that was replaced, leave the version as it was.
        elif self.weight._version != handle or has_values(self.weight):
            if not same_values(self.weight.detach(), self._noiseless):
                raise ConfigError(
                    f"the handle `weight` of {self} was changed without the devices; wrap the optimiser in "
                    "DeviceOptimizer, or call layer.weights.write(target)."
                )
            self._versions = (self.weight._version, devices)

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if self._drop is not None and self._drop[1] is not None and self.crossbar is not None and self.crossbar.refresh > 1:
            # Without it, training that goes on from the dict would solve it again at another time.
            age = torch.tensor(self.weights.version - self._drop[0])
            destination[f"{prefix}{_DROP}"], destination[f"{prefix}{_DROP_AGE}"] = self._drop[1], age

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        drop, age = (state_dict.pop(f"{prefix}{name}", None) for name in (_DROP, _DROP_AGE))
        if drop is not None and age is not None:
            check_entry(f"{prefix}{_DROP}", drop, self.weights.conductance(noisy=False))
        # Check everything before torch copies the bias: the devices are loaded after it.
        own = {f"{prefix}{name}": value for name, value in self._parameters.items()}
        devices = f"{prefix}weights."
        if any(name in state_dict or name.startswith(devices) for name in (*own, *state_dict)):
            for name, value in own.items():
                if (value is None) == (name in state_dict):
                    problem = "has" if value is None else "lacks"
                    raise ConfigError(f"the state dict {problem} {name}; build the layer with bias= as it was saved.")
                if value is not None:
                    check_entry(name, state_dict[name], value)
            check_loaded(self.weights, state_dict, devices)
            # Until the devices are loaded it counts from their present version, see `_sync_loaded`.
            self._drop = None if drop is None or age is None else (-int(age), drop.clone())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def reset_parameters(self) -> None:
        """Do nothing within the constructors of torch; refuse to reset a finished layer.

        Raises:
            ConfigError: when called on a finished layer: its devices cannot be replaced.
        """
        if hasattr(self, "weights"):
            raise ConfigError("weights in devices cannot be reset; build a new layer, or call layer.weights.write(target).")

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        module = super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.sync()  # the states may have another type now
        return module


def _check_sizes(dtype: torch.dtype, **sizes: Any) -> None:
    """Check sizes and type before torch creates parameters."""
    for name, size in sizes.items():
        whole_number(name, size, 1)
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise ConfigError(f"dtype is {dtype}; expected a floating-point type, such as torch.float32.")


def _sync_loaded(module: nn.Module, keys: Any) -> None:
    layer = cast(DeviceLayer, module)
    layer.sync()
    if layer._drop is not None and layer._drop[0] <= 0:
        layer._drop = (layer.weights.version + layer._drop[0], layer._drop[1])


class DeviceLinear(DeviceLayer, nn.Linear):
    """A linear layer y = x W^T + b with W in memory devices. See `DeviceLayer` and `DeviceWeights`.

    Args:
        in_features: Size of each input.
        out_features: Size of each output.
        synapse: The device model.
        kind: Encoding of a weight in devices: "single", "pair" or "sign".
        bias: Add b, an ordinary parameter.
        programmer: Rule that turns updates into pulses; if omitted, `StochasticProgrammer` with the step of the weights, and
            for "sign" `ProportionalProgrammer()`, for which updates are numbers of pulses.
        w_max: Weight at the end of the usual conductance range; 4 / sqrt(in_features) if omitted, 1 for "sign".
        policy: Which devices of a pair receive the pulses.
        noise: What is random, some of "devices", "pulses" and "read"; reads are noisy in evaluation as well as in training.
        clip: For "sign", see `DeviceLayer`.
        initial: "write" writes the initial weights of nn.Linear with `WriteVerify`; "devices" keeps the weights of fresh
            devices. If omitted, "devices" for "sign", else "write".
        crossbar: Effects of the array: converters, tiles, line resistance, stuck cells; None for exact products.
        seed: Seed of the layer, or a generator from which it is drawn; pass the same generator to all layers of a network.
        dtype: Floating-point type.

    Raises:
        ConfigError: as `DeviceWeights`; sizes that are not positive, a type that is not floating-point, or an invalid `clip`,
            `initial` or `programmer`.

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> layer = DeviceLinear(4, 2, IdealSynapse(), seed=0)
        >>> layer(torch.ones(3, 4)).shape
        torch.Size([3, 2])
        >>> layer.weights.pulses > 0  # the initial weights were written with pulses
        True
    """

    @torch.inference_mode(mode=False)  # parameters of inference mode could never be trained
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
        crossbar: Crossbar | None = None,
        seed: int | torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        _check_sizes(dtype, in_features=in_features, out_features=out_features)
        array_size("the weights", in_features=in_features, out_features=out_features)
        flag("bias", bias)
        nn.Linear.__init__(self, in_features, out_features, bias=bias, dtype=dtype)
        self._make_devices(synapse, kind, programmer, w_max, policy, noise, clip, initial, crossbar, seed)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Linear
        """Return the layer's output, shape (..., out_features)."""
        self._check_input(input, (..., self.in_features), -1)
        return self.output(input, self.reading())

    def output(self, given: Tensor, weight: Tensor) -> Tensor:
        """Return the output for weights that were read before, see `DeviceLayer.output`."""
        if self.crossbar is None:
            return functional.linear(given, weight, self.bias)
        product = self.crossbar.product(given, weight, functional.linear)
        return product if self.bias is None else product + self.bias


class DeviceConv2d(DeviceLayer, nn.Conv2d):
    """A convolution like nn.Conv2d with its kernels in memory devices; see `DeviceLinear`.

    Args:
        in_channels: As in nn.Conv2d, like the next eight.
        out_channels: Channels of the output.
        kernel_size: Size of the kernels.
        synapse: The device model.
        stride: As in nn.Conv2d.
        padding: As in nn.Conv2d.
        dilation: As in nn.Conv2d.
        groups: As in nn.Conv2d.
        padding_mode: As in nn.Conv2d.
        kind: As in `DeviceLinear`, like all that follow.
        bias: Add a bias.
        programmer: Rule that turns updates into pulses.
        w_max: Weight at the end of the usual conductance range.
        policy: Which devices of a pair receive the pulses.
        noise: What is random.
        clip: Bound of the straight-through gradient.
        initial: "write" or "devices".
        crossbar: Effects of the array.
        seed: Seed, or a generator from which it is drawn.
        dtype: Floating-point type.

    Raises:
        ConfigError: as `DeviceLinear`.

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> DeviceConv2d(1, 2, 3, IdealSynapse(), seed=0)(torch.ones(5, 1, 8, 8)).shape
        torch.Size([5, 2, 6, 6])
    """

    @torch.inference_mode(mode=False)  # parameters of inference mode could never be trained
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
        crossbar: Crossbar | None = None,
        seed: int | torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        _check_sizes(dtype, in_channels=in_channels, out_channels=out_channels)
        kernel_size = pair("kernel_size", kernel_size, 1)
        array_size("the weights", in_channels=in_channels, out_channels=out_channels, kernel=math.prod(kernel_size))
        flag("bias", bias)
        stride, padding, dilation, groups = check_arguments(
            in_channels, out_channels, stride, padding, dilation, groups, padding_mode
        )
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
        self._make_devices(synapse, kind, programmer, w_max, policy, noise, clip, initial, crossbar, seed)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - the name of nn.Conv2d
        """Return the layer's output, shape (..., out_channels, height, width)."""
        self._check_input(input, (..., self.in_channels, "height", "width"), -3)
        check_image(tuple(input.shape), self)
        return self.output(input, self.reading())

    def output(self, given: Tensor, weight: Tensor) -> Tensor:
        """Return the output for weights that were read before, see `DeviceLayer.output`."""
        if self.crossbar is None:
            return cast(Tensor, self._conv_forward(given, weight, self.bias))
        product = self.crossbar.product(given, weight, lambda x, part: cast(Tensor, self._conv_forward(x, part, None)))
        return product if self.bias is None else product + self.bias[:, None, None]
