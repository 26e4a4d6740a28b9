"""`to_devices`: a trained model, its weights written into memory devices."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from ...contracts.synapse import Synapse
from ...device_weights.programming import Programmer
from ...device_weights.weights import NOISE
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError
from ...random import make_generator
from .layers import DeviceConv2d, DeviceLayer, DeviceLinear


@dataclass(frozen=True)
class WriteError:
    """What is left of a layer's weights after writing, without read noise.

    Attributes:
        rms: Root mean square of (weight - wished weight), in units of the weight.
        largest: Largest magnitude of it.
        relative: rms over that of the wished weights.
        unreached: Share of weights that the write left outside its tolerance; 1 where nothing was written.
        pulses: Pulses of the write.
    """

    rms: float
    largest: float
    relative: float
    unreached: float
    pulses: int


def to_devices(
    model: nn.Module,
    synapse: Synapse,
    *,
    kind: str = "pair",
    programmer: Programmer | WriteVerify | None = None,
    skip: Sequence[str] = (),
    write: bool | WriteVerify = True,
    policy: str | None = None,
    noise: Collection[str] = NOISE,
    seed: int | torch.Generator,
) -> tuple[nn.Module, dict[str, WriteError]]:
    """A copy of a model with the weights of its nn.Linear and nn.Conv2d in devices; the model itself is left as it is.

    Each layer has a scale of its own: w_max is its largest weight, and for "sign" mean |w|, the magnitude by which
    w_max sign(w) comes nearest to w in the squares. Biases and all other parameters are copied.

    Args:
        model: The trained model.
        synapse: The kind of device.
        kind: How devices make a weight: "single", "pair" or "sign".
        programmer: For training afterwards; that of `DeviceLinear` if omitted.
        skip: Names of modules to leave in floating point with all that they hold, such as ("head",).
        write: Write the weights; a `WriteVerify` for a tolerance of one's own, False for fresh devices.
        policy: Which devices of a pair take the pulses.
        noise: What is random, some of "devices", "pulses" and "read".
        seed: Seed, or a generator that it is drawn from; each layer has its own, drawn from it.

    Returns:
        The copy, and for each converted layer by name what the write left.

    Raises:
        ConfigError: what is no module, nothing to convert, a name that no module has, a layer of a class derived from
            nn.Linear or nn.Conv2d (its forward may be another), weights shared by two layers, weights or biases that are
            not finite.

    Source: the magnitude of binary weights, Rastegari et al., ECCV (2016), arXiv 1603.05279.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; expected an nn.Module, such as nn.Sequential(...).")
    copy = deepcopy(model)
    source = make_generator(seed)
    verify = write if isinstance(write, WriteVerify) else None
    errors: dict[str, WriteError] = {}
    made: dict[int, DeviceLayer] = {}
    for name, layer in _convertible(copy, skip).items():
        if id(layer) not in made:
            w_max = _span(name, layer, kind)
            new = _replacement(layer, synapse, kind, programmer, w_max, policy, noise, source)
            errors[name] = _fill(new, layer, bool(write), verify)
            made[id(layer)] = new
        copy = _put(copy, name, made[id(layer)])
    return copy, errors


def _convertible(model: nn.Module, skip: Sequence[str]) -> dict[str, nn.Linear | nn.Conv2d]:
    """The layers to convert, by every name that they have."""
    if isinstance(skip, str):
        raise ConfigError(f"skip is the string {skip!r}; expected names in a sequence, ({skip!r},).")
    modules = dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in skip if name not in modules]
    if unknown:
        raise ConfigError(f"skip names {', '.join(map(repr, unknown))}; the model has {', '.join(filter(None, modules))}.")
    found: dict[str, nn.Linear | nn.Conv2d] = {}
    owner: dict[int, nn.Module] = {}
    for name, module in modules.items():
        if any(name == each or name.startswith(f"{each}.") for each in skip) or isinstance(module, DeviceLayer):
            continue
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if type(module) not in (nn.Linear, nn.Conv2d):
            raise ConfigError(
                f"{name or 'the model'} is a {type(module).__name__}, derived from {type(module).__mro__[1].__name__}: its own "
                f"forward would be lost. Put it into skip=({name!r},), or use the layers of torch."
            )
        if owner.setdefault(id(module.weight), module) is not module:
            raise ConfigError(
                f"{name} shares its weights with another layer, which devices cannot; put one of them into skip=."
            )
        found[name] = module
    if not found:
        raise ConfigError("there is nothing to convert: no nn.Linear or nn.Conv2d outside of skip=.")
    return found


def _span(name: str, layer: nn.Linear | nn.Conv2d, kind: str) -> float:
    weight = layer.weight.detach()
    if layer.bias is not None and not bool(layer.bias.isfinite().all()):
        raise ConfigError(f"{name or 'the model'}.bias holds NaN or infinity; mend the model before writing it into devices.")
    size = float(weight.abs().mean() if kind == "sign" else weight.abs().max())
    if not size < float("inf"):
        raise ConfigError(f"{name or 'the model'}.weight holds NaN or infinity; mend the model before writing it into devices.")
    return size or 1.0


def _replacement(
    layer: nn.Linear | nn.Conv2d,
    synapse: Synapse,
    kind: str,
    programmer: Programmer | WriteVerify | None,
    w_max: float,
    policy: str | None,
    noise: Collection[str],
    source: torch.Generator,
) -> DeviceLinear | DeviceConv2d:
    bias, dtype = layer.bias is not None, layer.weight.dtype
    if isinstance(layer, nn.Linear):
        return DeviceLinear(
            layer.in_features,
            layer.out_features,
            synapse,
            kind=kind,
            bias=bias,
            programmer=programmer,
            w_max=w_max,
            policy=policy,
            noise=noise,
            initial="devices",
            seed=source,
            dtype=dtype,
        )
    return DeviceConv2d(
        layer.in_channels,
        layer.out_channels,
        (layer.kernel_size[0], layer.kernel_size[1]),
        synapse,
        stride=(layer.stride[0], layer.stride[1]),
        padding=layer.padding if isinstance(layer.padding, str) else (layer.padding[0], layer.padding[1]),
        dilation=(layer.dilation[0], layer.dilation[1]),
        groups=layer.groups,
        padding_mode=layer.padding_mode,
        kind=kind,
        bias=bias,
        programmer=programmer,
        w_max=w_max,
        policy=policy,
        noise=noise,
        initial="devices",
        seed=source,
        dtype=dtype,
    )


def _fill(new: DeviceLayer, layer: nn.Linear | nn.Conv2d, write: bool, verify: WriteVerify | None) -> WriteError:
    """Biases and weights into the new layer, and what is left of the weights."""
    target = layer.weight.detach()
    unreached, pulses = 1.0, 0
    with torch.no_grad():
        if new.bias is not None and layer.bias is not None:
            new.bias.copy_(layer.bias)
            new.bias.requires_grad_(layer.bias.requires_grad)
        new.weight.requires_grad_(layer.weight.requires_grad)
        new.to(target.device)
        if write:
            written = new.weights.write(target, verify)
            unreached, pulses = float(written.unreached.double().mean()), written.pulses
            new.sync()
        left = (new.weight - target).double()
        rms, size = float(left.square().mean().sqrt()), float(target.double().square().mean().sqrt())
    new.train(layer.training)
    return WriteError(rms, float(left.abs().max()), rms / size if size else 0.0, unreached, pulses)


def _put(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    if not name:
        return layer
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
    return model
