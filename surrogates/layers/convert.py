"""`to_devices`: conversion of a trained model to weights in memory devices."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from ...contracts.synapse import Synapse
from ...device_weights.programming import Programmer
from ...device_weights.weights import NOISE
from ...device_weights.write_verify import WriteVerify
from ...errors import ConfigError, DeviceWarning
from ...random import make_generator
from ...typing import Progress
from .crossbar import Crossbar
from .device_layers import DeviceConv2d, DeviceLayer, DeviceLinear


@dataclass(frozen=True)
class WriteError:
    """Difference between the weights of a layer and their targets after writing, without read noise.

    Attributes:
        rms: Root mean square of (weight - target), in units of the weight.
        largest: Largest magnitude of the difference.
        relative: rms relative to that of the targets.
        unreached: Share of weights that are still outside the tolerance of the write; 1 if nothing was written.
        pulses: Number of pulses of the write.
    """

    rms: float
    largest: float
    relative: float
    unreached: float
    pulses: int


@torch.inference_mode(mode=False)
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
    crossbar: Crossbar | None = None,
    seed: int | torch.Generator,
    progress: Progress | None = None,
) -> tuple[nn.Module, dict[str, WriteError]]:
    """Return a copy of a model with the weights of its nn.Linear and nn.Conv2d in devices; the model itself is unchanged.

    Each layer has its own scale: w_max is its largest weight, and for "sign" mean |w|, for which w_max sign(w) is closest
    to w in the least-squares sense. Biases and all other parameters are copied. Where weights of other layers, such as those of
    a recurrent one, stay digital without being named in `skip`, a `DeviceWarning` lists them. Few devices of a population reach
    both ends of the usual range, to which the largest weights belong; `unreached` is the share that did not reach its target.

    Args:
        model: The trained model.
        synapse: The device model.
        kind: Encoding of a weight in devices: "single", "pair" or "sign".
        programmer: Programmer for training afterwards; that of `DeviceLinear` if omitted.
        skip: Names of modules to leave in floating point with all that they contain, such as ("head",).
        write: Write the weights; a `WriteVerify` sets the tolerance, False leaves fresh devices.
        policy: Which devices of a pair receive the pulses.
        noise: What is random, some of "devices", "pulses" and "read".
        crossbar: Effects of the array on the products of all layers.
        seed: Seed, or a generator from which it is drawn; each layer has its own, drawn from it.
        progress: Receives a line of text before and after the write of each layer, such as `print`.

    Returns:
        The copy, and the error of the write for each converted layer by name.

    Raises:
        ConfigError: not a module, nothing to convert, a name that no module has, a layer of a class derived from nn.Linear or
            nn.Conv2d (its forward may differ), weights shared by two layers, weights or biases that are not finite.

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> converted, errors = to_devices(model, IdealSynapse(), seed=0)
        >>> list(errors), errors["0"].relative < 0.05
        (['0', '2'], True)

    Source: the magnitude of binary weights, Rastegari et al., ECCV (2016), arXiv 1603.05279.
    """
    if not isinstance(model, nn.Module):
        raise ConfigError(f"model is a {type(model).__name__}; expected an nn.Module, such as nn.Sequential(...).")
    copy = deepcopy(model)
    source = make_generator(seed)
    verify = write if isinstance(write, WriteVerify) else None
    errors: dict[str, WriteError] = {}
    converted: dict[int, DeviceLayer] = {}
    for name, layer in _convertible(copy, skip).items():
        if id(layer) not in converted:
            w_max = _largest_weight(name, layer, kind)
            replacement = _replacement(layer, synapse, kind, programmer, w_max, policy, noise, crossbar, source)
            if progress is not None and write:
                progress(f"{name or 'the model'}: writing {layer.weight.numel()} weights")
            errors[name] = error = _write(replacement, layer, bool(write), verify)
            if progress is not None and write:
                progress(
                    f"{name or 'the model'}: {error.pulses} pulses, relative error {error.relative:.3g}, "
                    f"{100 * error.unreached:.2g} % outside the tolerance"
                )
            converted[id(layer)] = replacement
        copy = _replace(copy, name, converted[id(layer)])
    if digital := _digital_weights(copy, skip):
        warnings.warn(
            f"weights of {', '.join(digital)} stay digital: only nn.Linear and nn.Conv2d are converted. Name them in skip= to "
            "accept it, or use these layers instead.",
            DeviceWarning,
            stacklevel=2,
        )
    return copy, errors


def _digital_weights(model: nn.Module, skip: Sequence[str]) -> list[str]:
    """Return modules outside of `skip` that have matrices of weights but are no device layers."""
    found = []
    for name, module in model.named_modules():
        skipped = any(name == each or name.startswith(f"{each}.") for each in skip)
        own = [parameter for parameter in module.parameters(recurse=False) if parameter.ndim > 1]
        if own and not skipped and not isinstance(module, DeviceLayer):
            found.append(f"{name or 'the model'} ({type(module).__name__}, {sum(each.numel() for each in own)})")
    return found


def _convertible(model: nn.Module, skip: Sequence[str]) -> dict[str, nn.Linear | nn.Conv2d]:
    """Return the layers to convert, by every name that they have."""
    if isinstance(skip, str):
        raise ConfigError(f"skip is the string {skip!r}; expected names in a sequence, ({skip!r},).")
    modules = dict(model.named_modules(remove_duplicate=False))
    unknown = [name for name in skip if name not in modules]
    if unknown:
        raise ConfigError(f"skip names {', '.join(map(repr, unknown))}; the model has {', '.join(filter(None, modules))}.")
    layers: dict[str, nn.Linear | nn.Conv2d] = {}
    owner: dict[int, nn.Module] = {}
    for name, module in modules.items():
        if any(name == each or name.startswith(f"{each}.") for each in skip) or isinstance(module, DeviceLayer):
            continue
        if not isinstance(module, nn.Linear | nn.Conv2d):
            continue
        if type(module) not in (nn.Linear, nn.Conv2d):
            raise ConfigError(
                f"{name or 'the model'} is a {type(module).__name__}, derived from {type(module).__mro__[1].__name__}: its own "
                f"forward would be lost. Add it to skip=({name!r},), or use the layers of torch."
            )
        if owner.setdefault(id(module.weight), module) is not module:
            raise ConfigError(
                f"{name} shares its weights with another layer, which is not possible in devices; add one of them to skip=."
            )
        layers[name] = module
    if not layers:
        raise ConfigError("there is nothing to convert: no nn.Linear or nn.Conv2d outside of skip=.")
    return layers


def _largest_weight(name: str, layer: nn.Linear | nn.Conv2d, kind: str) -> float:
    """Return the weight at the end of the conductance range; 1 if all weights are zero."""
    weight = layer.weight.detach()
    if layer.bias is not None and not bool(layer.bias.isfinite().all()):
        raise ConfigError(f"{name or 'the model'}.bias contains NaN or infinity; fix the model before writing it into devices.")
    largest = float(weight.abs().mean() if kind == "sign" else weight.abs().max())
    if not largest < float("inf"):
        raise ConfigError(
            f"{name or 'the model'}.weight contains NaN or infinity; fix the model before writing it into devices."
        )
    return largest or 1.0


def _replacement(
    layer: nn.Linear | nn.Conv2d,
    synapse: Synapse,
    kind: str,
    programmer: Programmer | WriteVerify | None,
    w_max: float,
    policy: str | None,
    noise: Collection[str],
    crossbar: Crossbar | None,
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
            crossbar=crossbar,
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
        crossbar=crossbar,
        seed=source,
        dtype=dtype,
    )


def _write(new: DeviceLayer, layer: nn.Linear | nn.Conv2d, write: bool, verify: WriteVerify | None) -> WriteError:
    """Copy the bias, write the weights into the new layer, and return the remaining error."""
    target = layer.weight.detach()
    unreached, pulses = 1.0, 0
    with torch.no_grad():
        if new.bias is not None and layer.bias is not None:
            new.bias.copy_(layer.bias)
            new.bias.requires_grad_(layer.bias.requires_grad)
        new.weight.requires_grad_(layer.weight.requires_grad)
        new.to(target.device)
        if write:
            result = new.weights.write(target, verify)
            unreached, pulses = float(result.unreached.double().mean()), result.pulses
            new.sync()
        error = (new.weight - target).double()
        rms, target_rms = float(error.square().mean().sqrt()), float(target.double().square().mean().sqrt())
    new.train(layer.training)
    return WriteError(rms, float(error.abs().max()), rms / target_rms if target_rms else 0.0, unreached, pulses)


def _replace(model: nn.Module, name: str, layer: nn.Module) -> nn.Module:
    """Put a layer in place of the module of this name, and return the model."""
    if not name:
        return layer
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, layer)
    return model
