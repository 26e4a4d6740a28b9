"""The compiled loop of a spiking network; its plain-torch twin is `spinode.training.spiking.plain`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from ..errors import ConfigError
from . import native

#: What happens to the synapses of a neuron that fires, in the order in which the compiled code numbers them.
PLASTICITY = ("frozen", "switching", "pausing")
_TIMES, _LAW = 11, 13


def run(
    state: Mapping[str, Tensor],
    currents: Tensor,
    spikes: Tensor,
    times: Sequence[float],
    law: Sequence[float],
    *,
    steps: int,
    plasticity: str,
    strength: Tensor | None,
    key: int,
    position: int,
) -> int:
    """Run images through a network, in place, and return the step that comes next.

    Args:
        state: "pre" of shape (2, inputs), "post" of shape (5, outputs) and "weights" of shape (inputs, outputs), float64;
            "counts", int64, shape (4,).
        currents: Currents of the input neurons, float64, shape (images, inputs).
        spikes: Spikes of each output neuron during each image, counted up, int64, shape (images, outputs).
        times: Constants of the network, in the order of kernels/spiking.cpp.
        law: Constants of the plasticity, likewise.
        steps: Steps for which an image is shown.
        plasticity: One of `PLASTICITY`; "pausing" returns after each output spike.
        strength: Factor of each device's steps, shape (inputs, outputs); None for 1.
        key: Key of the random numbers.
        position: Step at which to begin, image * steps + step.

    Raises:
        ConfigError: shapes or types that the kernel does not take.
    """
    (inputs, outputs), images = state["weights"].shape, len(currents)
    native.check_tensors(
        torch.float64,
        currents=(currents, (images, inputs)),
        pre=(state["pre"], (2, inputs)),
        post=(state["post"], (5, outputs)),
        weights=(state["weights"], (inputs, outputs)),
        strength=(strength, (inputs, outputs)),
    )
    native.check_tensors(torch.int64, spikes=(spikes, (images, outputs)), counts=(state["counts"], (4,)))
    tensors = (currents, spikes, *state.values(), *(() if strength is None else (strength,)))
    if not all(value.is_contiguous() for value in tensors) or len(times) != _TIMES or len(law) != _LAW:
        raise ConfigError(
            f"the kernel takes contiguous arrays, {_TIMES} constants of the network and {_LAW} of the law; got {len(times)} "
            f"and {len(law)}."
        )
    if steps < 1 or position < 0 or key < 0 or not outputs or plasticity not in PLASTICITY:
        raise ConfigError(
            f"steps, position, key and plasticity are {(steps, position, key, plasticity)}; expected at least 1, 0 and 0, and "
            f"one of {', '.join(PLASTICITY)}."
        )
    return native.library.spiking(
        steps=steps,
        plasticity=PLASTICITY.index(plasticity),
        time=times,
        law=law,
        currents=currents,
        strength=strength,
        key=key,
        spikes=spikes,
        position=position,
        **state,
    )
