"""Native kernels. Each has a plain-PyTorch twin, which is its test oracle and takes over where nothing was compiled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ConfigError, KernelWarning
from . import native

MODES = ("auto", "native", "torch")

_mode = os.environ.get("SPINODE_KERNELS") or "auto"


def info() -> dict[str, Any]:
    """Say what runs a rollout, and what the compiled kernels were built for.

    Returns:
        `native`: whether there are compiled kernels; `reason`: why not, "" if there are; `mode`: "auto", "native" or
        "torch", see `use`; `simd`: the instruction set in use, "" without kernels; `compiler` and `standard` (the value of
        `__cplusplus`) of the build; `simd_built`: instruction sets it holds; `simd_offered`: those that this machine can run.
    """
    return {"native": native.built, "reason": native.reason, "mode": mode(), "simd": native.simd(), **native.FACTS}


def mode() -> str:
    """Which path rollouts take: see `use`.

    Raises:
        ConfigError: the environment variable SPINODE_KERNELS holds something else.
    """
    if _mode not in MODES:
        raise ConfigError(f"SPINODE_KERNELS is {_mode!r}; expected one of {', '.join(MODES)}.")
    return _mode


@contextmanager
def use(mode: str) -> Iterator[None]:
    """Choose the path of all rollouts within a `with` block; the environment variable SPINODE_KERNELS sets the default.

    It holds for the whole process: threads that choose differently at the same time disturb each other.

    Args:
        mode: "auto": compiled kernels for the fields they take, plain torch for all else. "native": compiled kernels, or an
            error that says why not. "torch": plain torch.

    Raises:
        ConfigError: an unknown mode; "native" where no kernels were built.
    """
    global _mode
    if mode not in MODES:
        raise ConfigError(f"the kernels' mode is {mode!r}; expected one of {', '.join(MODES)}.")
    if mode == "native" and not native.built:
        raise ConfigError(_MISSING.format(native.reason))
    before, _mode = _mode, mode
    try:
        yield
    finally:
        _mode = before


_MISSING = "there are no compiled kernels here ({}); use 'auto' or 'torch'."

_warned = False


def available() -> bool:
    """Whether kernels may be used; warns once, if they might be but were not built.

    Raises:
        ConfigError: SPINODE_KERNELS demands what was not built.
    """
    global _warned
    if mode() == "torch":
        return False
    if mode() == "native" and not native.built:
        raise ConfigError(_MISSING.format(native.reason))
    if not native.built and not _warned:
        _warned = True
        warnings.warn(
            f"spinode runs without its compiled kernels, in plain torch and many times slower: {native.reason}. Install a C++ "
            "compiler and reinstall spinode, or set SPINODE_KERNELS=torch to run without this warning.",
            KernelWarning,
            stacklevel=3,
        )
    return native.built
