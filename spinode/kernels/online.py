"""Compiled online learning; its twin in plain torch stands in `spinode.training.online.updates` and `spinode.counter_noise`."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..errors import ConfigError
from . import native

#: Rules by the number under which the compiled half knows them.
RULES = (
    "sgd",
    "sgd penalty",
    "sgd stream",
    "mesu",
    "mesu clamp",
    "bgd",
    "bgd published",
    "bimu relu",
    "bimu gate",
    "bimu relu normalised",
    "bimu gate normalised",
    "bimu relu relaxed",
    "bimu gate relaxed",
    "bimu relu normalised relaxed",
    "bimu gate normalised relaxed",
)

#: Arrays of a layer that each rule cannot do without, among its five.
_NEEDED = (1, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1)


def learn(
    rule: str,
    numbers: Sequence[float],
    layers: Sequence[Sequence[Tensor | None]],
    inputs: Tensor,
    labels: Tensor,
    *,
    samples: int,
    noise: Tensor | None = None,
    key: int = 0,
) -> tuple[Tensor, int]:
    """Learn sample after sample, in place.

    Args:
        rule: One of `RULES`.
        numbers: Its constants, six at most, in the order of kernels/online_rules.hpp.
        layers: Up to five arrays for each of the two layers, in that order, shapes (hidden, features) and (classes, hidden).
        inputs: Shape (steps, features).
        labels: Classes, shape (steps,).
        samples: Draws of the weights in each step, 0 for a rule that draws nothing.
        noise: Shape (steps, samples, hidden + classes); None to draw it here.
        key: Of the noise that is drawn here.

    Returns:
        Losses, shape (steps,), and the step whose loss was not finite, where learning ended, or the number of steps.

    Raises:
        ConfigError: shapes, types, or labels that the kernel does not take.
    """
    number = RULES.index(rule)
    first, second = layers[0][0], layers[1][0]
    if first is None or second is None or first.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"the kernel of {rule!r} takes weights of float32 or float64; got {first if first is None else first.dtype}."
        )
    (hidden, features), classes, steps = first.shape, len(second), len(inputs)
    for layer, shape in zip(layers, ((hidden, features), (classes, hidden)), strict=True):
        if any(value is None for value in layer[: _NEEDED[number]]):
            raise ConfigError(f"the kernel of {rule!r} takes {_NEEDED[number]} arrays a layer; got {layer}.")
        native.check(first.dtype, **{f"array {i} of a layer": (value, shape) for i, value in enumerate(layer)})
        if any(value is not None and not value.is_contiguous() for value in layer):
            raise ConfigError(f"the kernel of {rule!r} changes arrays in place; expected contiguous ones.")
    native.check(torch.int64, labels=(labels, (steps,)))
    native.check(first.dtype, inputs=(inputs, (steps, features)), noise=(noise, (steps, samples, hidden + classes)))
    if (samples > 0) != (number >= RULES.index("mesu")) or not min(hidden, features, classes) or len(numbers) > 6:
        raise ConfigError(f"the kernel of {rule!r} does not take {samples} samples of shapes {first.shape}, {second.shape}.")
    if steps and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise ConfigError(f"labels range from {int(labels.min())} to {int(labels.max())}; expected 0 to {classes - 1}.")
    losses = first.new_zeros(steps)
    inputs, labels = inputs.contiguous(), labels.contiguous()
    noise = None if noise is None else noise.contiguous()
    bad = native.library.learn(
        native.simd(),
        first.dtype == torch.float64,
        number,
        (steps, features, hidden, classes, samples),
        (*numbers, *[0.0] * (6 - len(numbers))),
        (_address(inputs), _address(labels), _address(noise), _address(losses)),
        key,
        [_address(value) for value in (*layers[0], *[None] * 5)][:5],
        [_address(value) for value in (*layers[1], *[None] * 5)][:5],
    )
    # Autograd must notice a change between a forward and its backward pass, as it does with torch's own in-place operators.
    for value in (*layers[0], *layers[1]):
        if value is not None:
            torch.autograd.graph.increment_version(value)
    return losses, bad


def normals(key: int, first: int, steps: int, count: int) -> Tensor:
    """The compiled twin of `spinode.counter_noise.normals`.

    Raises:
        ConfigError: a negative key, step or number.
    """
    if min(key, first, steps, count) < 0:
        raise ConfigError(f"key, first, steps and count are {(key, first, steps, count)}; expected none below 0.")
    out = torch.empty(steps, count)
    native.library.noise(native.simd(), False, key, (first, steps, count), out.data_ptr())
    return out


def _address(value: Tensor | None) -> int:
    return 0 if value is None else value.data_ptr()
