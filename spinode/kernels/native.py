"""Access to the compiled code: whether it was built, which instruction set runs, and how tensors are passed to it."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..errors import ConfigError
from . import field_encoding
from .field_encoding import METHODS

try:
    import spinode.kernels._native as library  # absolute: its message names the file that is missing or does not load
except ImportError as error:
    library = None  # type: ignore[assignment]
    reason = str(error)
else:
    reason = ""

__all__ = [
    "BUILD_INFO",
    "METHODS",
    "built",
    "check_tensors",
    "library",
    "reason",
    "reserve_threads",
    "run_rollout",
    "simd",
    "tape_length",
    "threads",
]

#: True if the compiled code can be used; `reason` says why not.
built = not reason

_NOT_BUILT: dict[str, Any] = {"compiler": "", "standard": 0, "simd_built": [], "simd_offered": []}

#: Compiler and instruction sets of the build, and the instruction sets that this machine offers.
BUILD_INFO: dict[str, Any] = library.info() if built else _NOT_BUILT


def simd() -> str:
    """Return the instruction set in use: the best one offered, or the one that the environment variable SPINODE_SIMD names.

    Raises:
        ConfigError: the variable names an instruction set that was not built, or that this machine does not offer.
    """
    offered: list[str] = BUILD_INFO["simd_offered"]
    requested = os.environ.get("SPINODE_SIMD", "")
    if not requested or not offered:
        return offered[-1] if offered else ""
    if requested not in offered:
        raise ConfigError(f"SPINODE_SIMD is {requested!r}; expected one of {', '.join(offered)} on this machine.")
    return requested


@functools.lru_cache
def _weight_count(layout: tuple[int, ...], method: int) -> int:
    """Check an encoded field and method, which the compiled code trusts, and return the number of weights."""
    if not field_encoding.is_valid(layout):
        raise ConfigError(
            f"the layout {layout} does not describe a field; expected (state, drive, rates, activation, skip, widths of at "
            "least one hidden layer), see `spinode.dynamics.layout`."
        )
    if not 0 <= method < len(METHODS):
        raise ConfigError(f"method {method} is unknown; expected one of 0 .. {len(METHODS) - 1} for {', '.join(METHODS)}.")
    state, drive, rates, _, skip, *hidden = layout
    return field_encoding.weight_count(state, drive, rates, hidden, bool(skip))


def tape_length(layout: list[int], method: int, f64: bool, sizes: tuple[int, int, int]) -> int:
    """Return the number of values that a run of (members, lanes, steps) keeps for its gradient.

    The last value marks the instruction set that wrote the tape.
    """
    _weight_count(tuple(layout), method)
    return 1 + library.tape(simd(), f64, layout, method, sizes)


_threads: int | None = None


def threads() -> int:
    """Return the number of threads that a kernel may use: torch's, or torch's before `reserve_threads`."""
    return _threads or torch.get_num_threads()


@contextmanager
def reserve_threads(active: bool = True) -> Iterator[None]:
    """Reserve the threads for the kernels within a `with` block; torch's own operators run on one thread.

    Between kernels, torch works on matrices too small to share. Its idle threads would compete with those of the kernels and
    slow both down many times on a busy machine.

    Args:
        active: If False, the block changes nothing.
    """
    global _threads
    if not active or _threads is not None:
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


def _view(value: Tensor | None, dims: tuple[int, ...]) -> tuple[int, ...]:
    """Return the address of a tensor and its strides along the five dimensions."""
    strides = [0] * 5
    if value is None or not value.numel():
        return (0, *strides)
    for dim, stride in zip(dims, value.stride(), strict=False):
        strides[dim] = stride
    return (value.data_ptr(), *strides)


def _view_from_first_step(states: Tensor, initial: bool) -> tuple[int, ...]:
    """Return the view of a series of states; without the initial one, its address is that of the missing state."""
    address, *strides = _view(states, _SERIES)
    return (address if initial else address - strides[2] * states.element_size(), *strides)


def check_tensors(dtype: torch.dtype, **expected: tuple[Tensor | None, tuple[int, ...]]) -> None:
    """Check that tensors have the type and the shapes that a kernel reads.

    Args:
        dtype: Expected type of all of them.
        expected: Tensor and expected shape by name; None in place of a tensor is accepted.

    Raises:
        ConfigError: another shape or type, or a tensor that is not on the CPU.
    """
    for name, (value, shape) in expected.items():
        if value is not None and (value.shape != shape or value.dtype != dtype or value.device.type != "cpu"):
            raise ConfigError(
                f"{name} is {value.dtype} of shape {tuple(value.shape)} on {value.device}; expected {dtype} of shape {shape} "
                "on the CPU."
            )


def run_rollout(
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
    """Run the rollout kernel, or its gradient where `gradients` are given, and write the results in place.

    Shapes are those of `spinode.dynamics.operators`. They are checked again here, because the compiled code does not check.

    Raises:
        ConfigError: shapes or types that the kernel does not take, or weights that are NaN or infinite.
    """
    weights = _weight_count(tuple(layout), method)
    size, drive, rates = layout[:3]
    members, lanes, steps = stages.shape[:3]
    check_tensors(
        theta.dtype,
        theta=(theta, (members, weights)),
        state=(state, (members, lanes, size)),
        stages=(stages, (members, lanes, steps, 3, drive)),
        noise=(noise, (members, lanes, steps, size)),
        states=(states, (members, lanes, steps + initial, size)),
        ratios=(ratios, (size - rates,)),
        grad=(gradients[0] if gradients else None, (members, lanes, steps + initial, size)),
    )
    instruction_set = simd()
    if tape.dtype != theta.dtype or not tape.is_contiguous():
        raise ConfigError(f"the tape is {tape.dtype} with strides {tape.stride()}; expected {theta.dtype}, contiguous.")
    if tape.numel():
        mark = BUILD_INFO["simd_built"].index(instruction_set)
        if gradients and (
            tape.numel() != tape_length(layout, method, theta.dtype == torch.float64, (members, lanes, steps))
            or int(tape[-1]) != mark
        ):
            tape = tape[:0]  # written by another instruction set, whose tiles differ: the stages are evaluated again
        elif not gradients:
            tape[-1] = mark
    arguments = (
        instruction_set,
        theta.dtype == torch.float64,
        layout,
        ratios.tolist(),
        method,
        (members, lanes, steps),
        dt,
        limit,
        threads(),
        (
            _view(theta, _THETA),
            _view(state, _STATE),
            _view(stages, _STAGES),
            _view(noise, _SERIES),
            _view_from_first_step(states, initial),
        ),
        initial,
        tape.data_ptr() if tape.numel() else 0,
    )
    if not gradients:
        if not library.forward(*arguments):
            raise ConfigError("the field's weights contain NaN or infinite values: a diverged fit, or a damaged file?")
        return
    grad, *results = gradients
    dims = (_THETA, _STATE, _STAGES, _SERIES)
    library.backward(
        *arguments,
        (_view_from_first_step(grad, initial), *(_view(value, each) for value, each in zip(results, dims, strict=True))),
    )
