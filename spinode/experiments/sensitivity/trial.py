"""One training of the network on one variant of the device."""

from __future__ import annotations

from functools import cache, partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.nn import functional

from ...contracts.synapse import Synapse
from ...device_weights.optimizer import DeviceOptimizer
from ...device_weights.programming import ProportionalProgrammer
from ...device_weights.typical_device import pulse_step
from ...errors import ConfigError
from ..image_sets import load_images
from ..registry import make_synapse
from .config import SensitivityConfig
from .variants import Variant, reduced

if TYPE_CHECKING:
    from ...datasets import Images
    from ...surrogates.layers.crossbar import Crossbar

#: Learning rates where none is given: in pulses for "sign", as published for weak RESET; in weights for "pair".
RATES = {"sign": 100.0, "pair": 0.002}
#: Learning rate of the parameters outside of devices.
OWN_RATE = 0.01
#: Most pulses of one update of a binary weight, in pulses of the unchanged device.
MAX_PULSES = 14.0
#: Programmings after which the line resistance is solved again during training.
REFRESH = 40


def make_crossbar(config: SensitivityConfig) -> Crossbar | None:
    """Return the crossbar of the settings; None if all of its effects are off."""
    from ...surrogates.layers.crossbar import Crossbar

    names = ("dac_bits", "adc_bits", "tile", "line_resistance", "stuck_low", "stuck_high")
    crossbar = Crossbar(**{name: getattr(config, name) for name in names}, refresh=REFRESH)
    return crossbar if crossbar.imperfections() else None


@cache
def open_device(name: str) -> Synapse:
    """Return a device by its name; "ideal" is the device of equal steps."""
    synapse = make_synapse("ideal-device" if name == "ideal" else name)
    assert synapse is not None
    return synapse


@cache
def open_images(name: str, folder: str | None, train: int, test: int) -> Images:
    """Return the first images of a set."""
    return load_images(name, folder).first(train, test)


def run_trial(device: str, config: SensitivityConfig, variant: Variant, seed: int, folder: str | None) -> float:
    """Train the network on one variant of a device, and return its accuracy in the test.

    Args:
        device: Name of the device, see `spinode.experiments.registry.make_synapse`.
        config: Settings.
        variant: What is removed.
        seed: Seed of devices, initial weights and order of the images.
        folder: Folder of the image files.

    Raises:
        ConfigError: there is no such device or image file, or the device cannot store such weights.
    """
    from ...surrogates.layers.drift import drift

    original = open_device(device)
    synapse, crossbar = reduced(original, make_crossbar(config), variant.removed)
    images = open_images(config.data, folder, config.train, config.test)
    inputs, labels = _rows(images.train_images), images.train_labels
    generator = torch.Generator().manual_seed(seed)
    sizes = (inputs.shape[1], *config.network, images.classes)
    model, optimiser = _build(original, synapse, crossbar, sizes, config, generator)
    steps = config.epochs * -(-len(inputs) // config.batch_size)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser.inner, 1.0, 0.0, total_iters=steps)
    for _ in range(config.epochs):
        for batch in torch.randperm(len(inputs), generator=generator).split(config.batch_size):
            if len(batch) < 2:  # batch normalisation needs two
                continue
            optimiser.zero_grad()
            loss = functional.cross_entropy(model(inputs[batch]), labels[batch])
            if not bool(torch.isfinite(loss)):
                raise ConfigError(f"the loss of {variant.name!r} is not finite; choose a smaller --rate.")
            loss.backward()
            optimiser.step()
            schedule.step()
    tested = drift(model, config.seconds, seed=seed) if config.seconds else model
    tested.eval()
    with torch.no_grad():
        answers = tested(_rows(images.test_images)).argmax(1)
    return float((answers == images.test_labels).double().mean())


def _build(
    original: Synapse, synapse: Synapse, crossbar: Any, sizes: Any, config: SensitivityConfig, generator: torch.Generator
) -> tuple[nn.Sequential, DeviceOptimizer]:
    """Return network and optimiser."""
    from ...surrogates.layers.device_layers import DeviceLinear

    kind = config.kind or ("pair" if len(set(original.polarities)) > 1 else "sign")
    rate = RATES[kind] if config.rate is None else config.rate
    programmer = None
    if kind == "sign":
        # The same change of conductance for the same update, whatever the size of the variant's steps.
        finer = partial(pulse_step, both=len(set(original.polarities)) > 1)
        ratio = finer(original) / finer(synapse)
        programmer = ProportionalProgrammer(ratio, max(MAX_PULSES * ratio, 1.0))
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        linear = DeviceLinear(
            inputs, outputs, synapse, kind=kind, bias=False, programmer=programmer, crossbar=crossbar, seed=generator
        )
        linear.weights.energy = None
        if kind == "sign":  # of equal devices all weights would be equal, and all units would learn the same
            start = torch.empty(linear.weight.shape).uniform_(-MAX_PULSES, MAX_PULSES, generator=generator)
            linear.weights.program(start, programmer)
        layers += [linear, nn.BatchNorm1d(outputs), nn.Hardtanh()]
    model = nn.Sequential(*layers[:-1])
    handles = [layer.weight for layer in layers if isinstance(layer, DeviceLinear)]
    known = {id(handle) for handle in handles}
    others = [parameter for parameter in model.parameters() if id(parameter) not in known]
    inner = torch.optim.Adam([{"params": handles, "lr": rate}, {"params": others, "lr": OWN_RATE}])
    return model, DeviceOptimizer(inner, model)


def _rows(images: torch.Tensor) -> torch.Tensor:
    """Return images as rows of numbers between -1 and 1."""
    return images.flatten(1).float() / 127.5 - 1
