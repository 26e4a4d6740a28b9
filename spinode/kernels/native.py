"""The door to the compiled half: what it is, which instruction set runs, and how tensors reach it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..dynamics.field import ACTIVATIONS
from ..dynamics.layout import DEEPEST, WIDEST, Layout
from ..errors import ConfigError

try:
    import spinode.kernels._native as library  # absolute: its message names the file that is missing or does not load
except ImportError as error:
    library = None  # type: ignore[assignment]
    reason = str(error)
else:
    reason = ""

__all__ = ["FACTS", "METHODS", "built", "call", "check", "library", "reason", "simd", "tape_length"]

#: Whether there is a compiled half; `reason` says why not.
built = not reason

_NOT_BUILT: dict[str, Any] = {"compiler": "", "standard": 0, "simd_built": [], "simd_offered": []}

#: What was built and what the machine offers.
FACTS: dict[str, Any] = library.info() if built else _NOT_BUILT


def simd() -> str:
    """The instruction set in use: the best offered, or what the environment variable SPINODE_SIMD asks for.

    Raises:
        ConfigError: the variable names what is not built, or not offered by this machine.
    """
    offered: list[str] = FACTS["simd_offered"]
    wanted = os.environ.get("SPINODE_SIMD", "")
    if not wanted or not offered:
        return offered[-1] if offered else ""
    if wanted not in offered:
        raise ConfigError(f"SPINODE_SIMD is {wanted!r}; this build on this machine offers {', '.join(offered)}.")
    return wanted


#: Methods by the number under which the compiled half knows them.
METHODS = ("euler", "heun", "rk4")


@functools.lru_cache
def _weights(layout: tuple[int, ...], method: int) -> int:
    """Length of theta, of numbers that describe a run; the compiled half trusts them."""
    if (
        len(layout) < 6
        or not 1 <= layout[2] <= layout[0]
        or not (layout[1] >= 0 and 0 <= layout[3] < len(ACTIVATIONS) and 0 <= layout[4] <= 1)
        or not (min(layout[5:]) >= 1 and max(layout[5:]) <= WIDEST and len(layout) - 5 <= DEEPEST)
    ):
        raise ConfigError(
            f"the layout {layout} describes no field; expected (state, drive, rates, activation, skip, widths of at least one "
            "hidden layer), see `spinode.dynamics.layout`."
        )
    if not 0 <= method < len(METHODS):
        raise ConfigError(f"method {method} is unknown; expected one of 0 .. {len(METHODS) - 1} for {', '.join(METHODS)}.")
    return Layout.decode(list(layout), 1).weights


def tape_length(layout: list[int], method: int, f64: bool, sizes: tuple[int, int, int]) -> int:
    """Elements that a run of (members, lanes, steps) leaves for its gradient, if any; the last is a mark."""
    _weights(tuple(layout), method)
    return 1 + library.tape(simd(), f64, layout, method, sizes)


_threads: int | None = None


def threads() -> int:
    """Threads that a kernel may use: torch's number, or what it was before `alone`."""
    return _threads or torch.get_num_threads()


@contextmanager
def alone(wanted: bool = True) -> Iterator[None]:
    """Keep the threads for the kernels; torch's own operators run on one.

    Between kernels they work on matrices too small to share: torch's threads would spin beside those of the kernels, and on a
    busy machine take many times the time.
    """
    global _threads
    if not wanted or _threads is not None:
        yield
        return
    _threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(_threads)
        _threads = None


#: Dimensions of each tensor among (member, lane, time, stage, feature).
_THETA, _STATE, _STAGES, _SERIES = (0,), (0, 1, 4), (0, 1, 2, 3, 4), (0, 1, 2, 4)


def _address(value: Tensor | None, dims: tuple[int, ...]) -> tuple[int, ...]:
    strides = [0] * 5
    if value is None or not value.numel():
        return (0, *strides)
    for dim, stride in zip(dims, value.stride(), strict=False):
        strides[dim] = stride
    return (value.data_ptr(), *strides)


def _from_one(states: Tensor, initial: bool) -> tuple[int, ...]:
    """Address of a series of states; where it begins after the first step, as if the state before were there."""
    address, *strides = _address(states, _SERIES)
    return (address if initial else address - strides[2] * states.element_size(), *strides)


def check(dtype: torch.dtype, **expected: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Compare tensors with the shapes that a kernel will take them for.

    Raises:
        ConfigError: another shape or type, or not on the CPU.
    """
    for what, (value, shape) in expected.items():
        if value is not None and (value.shape != shape or value.dtype != dtype or value.device.type != "cpu"):
            raise ConfigError(
                f"{what} is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected {dtype} of shape {shape} "
                "on the CPU."
            )


def call(
    layout: list[int],
    ratios: Tensor,
    method: int,
    dt: float,
    limit: float,
    theta: Tensor,
    state: Tensor,
    stages: Tensor,
    noise: Tensor | None,
    states: Tensor,
    tape: Tensor,
    initial: bool,
    gradients: tuple[Tensor, ...] = (),
) -> None:
    """Run a kernel. Shapes and types are those of `spinode.dynamics.operators`, and checked once more: beyond here is memory."""
    weights = _weights(tuple(layout), method)
    size, drive, rates = layout[:3]
    members, lanes, steps = stages.shape[:3]
    check(
        theta.dtype,
        theta=(theta, (members, weights)),
        state=(state, (members, lanes, size)),
        stages=(stages, (members, lanes, steps, 3, drive)),
        noise=(noise, (members, lanes, steps, size)),
        states=(states, (members, lanes, steps + initial, size)),
        ratios=(ratios, (size - rates,)),
        grad=(gradients[0] if gradients else None, (members, lanes, steps + initial, size)),
    )
    sets = simd()
    if tape.dtype != theta.dtype or not tape.is_contiguous():
        raise ConfigError(f"the tape is {tape.dtype} with strides {tape.stride()}; expected {theta.dtype}, contiguous.")
    if tape.numel():
        mark = FACTS["simd_built"].index(sets)
        if gradients and (
            tape.numel() != tape_length(layout, method, theta.dtype == torch.float64, (members, lanes, steps))
            or int(tape[-1]) != mark
        ):
            tape = tape[:0]  # of another instruction set, whose tiles differ: the stages are evaluated anew
        elif not gradients:
            tape[-1] = mark
    arguments = (
        sets,
        theta.dtype == torch.float64,
        layout,
        ratios.tolist(),
        method,
        (members, lanes, steps),
        dt,
        limit,
        threads(),
        (
            _address(theta, _THETA),
            _address(state, _STATE),
            _address(stages, _STAGES),
            _address(noise, _SERIES),
            _from_one(states, initial),
        ),
        initial,
        tape.data_ptr() if tape.numel() else 0,
    )
    if not gradients:
        if not library.forward(*arguments):
            raise ConfigError("the field's weights hold NaN or infinite values: a diverged fit, or a damaged file?")
        return
    grad, *found = gradients
    shapes = (_THETA, _STATE, _STAGES, _SERIES)
    library.backward(
        *arguments,
        (_from_one(grad, initial), *(_address(value, dims) for value, dims in zip(found, shapes, strict=True))),
    )
