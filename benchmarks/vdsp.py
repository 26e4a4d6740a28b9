"""Voltage-dependent plasticity: cost of the spiking loop, and the choice of currents on a validation set, as JSON lines.

    python benchmarks/vdsp.py [--only speed choose] [--neurons 100] [--rounds 3] [--images FOLDER] [--quick]

speed: processor milliseconds per image of 350 ms, learning by the ideal law and by that of TiO2, compiled and in plain torch,
one after the other on one core in each of `--rounds` rounds; medians with quartiles, ratios round by round. `minutes of 60 000`
is the compiled time of an epoch. `deviation` is the largest difference of the weights after the images of plain torch.

choose: accuracy on the last 10 000 training images of MNIST, which are not learned, for each gain and bias of the input
currents (ideal law), or each gain of the output (laws of devices, with 50 % variation from pulse to pulse and from device to
device), after `--learned` of the other 50 000. The test set is not read. What the recipe has, and what
it was compared with, is in docs/decisions.md: short runs rank the values otherwise than long ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from _measure import emit, machine, native, pin, spread, timed
from torch import Tensor

from spinode import kernels
from spinode.datasets import Images, made_digits, mnist
from spinode.training import DeviceVariation, SpikingNetwork
from spinode.training.rules.vdsp import LAWS
from spinode.training.spiking.loop import SpikingLoop
from spinode.training.spiking.network import DEVICE_NETWORK, SpikingState

#: Variability of the published runs on devices.
VARIATION = DeviceVariation(cycle_spread=0.5, device_spread=0.5)
#: Images of the validation set, and those by which neurons are labelled.
VALIDATION, LABELLING = 10_000, 5000


def pixels(images: Images) -> Tensor:
    """Return the training images as rows of features 0 .. 1."""
    rows = images.train_images.flatten(1)
    return rows.float() / 255 if rows.dtype == torch.uint8 else rows


def speed(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    images = pixels(made_digits(train=options.speed_images, test=10))
    initial = torch.rand(images.shape[1], options.neurons, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for law, variation in (("ideal", DeviceVariation()), ("tio2", VARIATION)):
        loop = SpikingLoop(SpikingNetwork(), LAWS[law], variation)

        def run(mode: str, count: int, loop: SpikingLoop = loop) -> Tensor:
            state = SpikingState.at_rest(initial.clone())
            with kernels.use(mode):
                loop.run(state, images[:count])
            return state.weights

        times: dict[str, list[float]] = {"native": [], "plain": []}
        for turn in range(options.rounds + 1):
            for name, mode, count in (("native", "native", len(images)), ("plain", "torch", options.plain_images)):
                cpu = timed(lambda mode=mode, count=count: run(mode, count), 0.0)[0][0]  # type: ignore[misc]
                if turn:  # the first round warms up
                    times[name].append(1e3 * cpu / count)
        ratios = [plain / ours for plain, ours in zip(times["plain"], times["native"], strict=True)]
        compiled, plain = (run(mode, options.plain_images) for mode in ("native", "torch"))
        yield {
            "part": "speed",
            "law": law,
            "neurons": options.neurons,
            "ms_per_image": {name: spread(values) for name, values in times.items()},
            "ratio": spread(ratios),
            "minutes of 60 000": spread(times["native"])["median"],  # ms per image times 60 000 images, in minutes
            "deviation": float((compiled - plain).abs().max()),
        }


def choose(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    images = made_digits() if options.quick else mnist(options.images)
    inputs, labels = pixels(images), images.train_labels
    held = VALIDATION if not options.quick else 50
    gains, biases = (1.5, 2.0, 3.0), (0.8, 0.85, 0.9)
    trials: list[tuple[str, SpikingNetwork, DeviceVariation, dict[str, float]]] = [
        (
            "ideal",
            SpikingNetwork(input_gain=gain, input_bias=bias),
            DeviceVariation(),
            {"input_gain": gain, "input_bias": bias},
        )
        for gain in gains
        for bias in biases
    ]
    trials += [
        (law, replace(DEVICE_NETWORK, output_gain=gain), VARIATION, {"output_gain": gain})
        for law in ("tio2", "hzo", "hfo2")
        for gain in (0.1, 0.15, 0.25)
    ]
    for law, network, variation, values in trials[:1] if options.quick else trials:
        generator = torch.Generator().manual_seed(options.seed)
        weights = torch.rand(inputs.shape[1], options.neurons, generator=generator, dtype=torch.float64)
        strength = variation.factors(weights, generator)
        order = torch.randperm(len(inputs) - held, generator=generator)[: options.learned]
        loop = SpikingLoop(network, LAWS[law], variation, options.seed)
        loop.run(SpikingState.at_rest(weights), inputs[order], strength=strength)

        def respond(rows: Tensor, loop: SpikingLoop = loop, weights: Tensor = weights) -> Tensor:
            return loop.run(SpikingState.at_rest(weights), rows, plasticity="frozen", testing=True)[0].double()

        shown, classes = respond(inputs[order[:LABELLING]]), labels[order[:LABELLING]]
        of_neurons = torch.stack([shown[classes == label].mean(0) for label in range(10)]).argmax(0)
        spikes = respond(inputs[-held:])
        votes = torch.stack([spikes[:, of_neurons == label].sum(1) for label in range(10)], 1)
        accuracy = float((votes.argmax(1) == labels[-held:]).double().mean())
        yield {"part": "choose", "law": law, **values, "learned": len(order), "seed": options.seed, "validation": accuracy}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts: dict[str, Callable[[argparse.Namespace], Iterator[dict[str, Any]]]] = {"speed": speed, "choose": choose}
    parser.add_argument("--only", nargs="+", choices=parts, default=list(parts))
    parser.add_argument("--neurons", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speed-images", type=int, default=200)
    parser.add_argument("--plain-images", type=int, default=5)
    parser.add_argument("--learned", type=int, default=10_000, help="images that are learned before a validation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", metavar="FOLDER", help="folder of the files of MNIST")
    parser.add_argument("--quick", action="store_true", help="few images, which test that everything runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.speed_images, options.plain_images, options.neurons, options.learned = 1, 20, 1, 10, 100
    emit(machine=machine(), cores=pin(1))
    if not native():
        emit(skipped="no compiled kernels are available here to compare with")
        return
    for part in options.only:
        for line in parts[part](options):
            emit(**line)


if __name__ == "__main__":
    main()
