"""Compiled kernels. Each has a plain-PyTorch twin, which is its test oracle and runs where nothing was compiled."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch

from ..errors import ConfigError, KernelWarning
from ..validation import one_of
from . import native

#: How `use` lets rollouts run.
MODES = ("auto", "native", "torch")

_mode = ContextVar("mode of the kernels", default=os.environ.get("SPINODE_KERNELS") or "auto")


#: Most recent mode set in any thread; read while `torch.compile` traces, which cannot read the variable above.
_latest: str = _mode.get()


def info() -> dict[str, Any]:
    """Return what runs a rollout, and how the compiled kernels were built.

    Returns:
        `native`: True if there are compiled kernels; `reason`: why not, "" if there are; `mode`: "auto", "native" or
        "torch", see `use`; `simd`: the instruction set in use, "" without kernels; `compiler` and `standard` (the value of
        `__cplusplus`) of the build; `simd_built`: instruction sets that were built; `simd_offered`: those that this machine
        can run.

    Example:
        >>> with use("torch"):
        ...     info()["mode"]
        'torch'
    """
    return {"native": native.built, "reason": native.reason, "mode": mode(), "simd": native.simd(), **native.BUILD_INFO}


def mode() -> str:
    """Return how rollouts run: one of `MODES`, see `use`.

    Raises:
        ConfigError: the environment variable SPINODE_KERNELS contains something else.
    """
    chosen = _latest if torch.compiler.is_compiling() else _mode.get()  # `torch.compile` cannot trace the variable
    if chosen not in MODES:
        raise ConfigError(f"SPINODE_KERNELS is {chosen!r}; expected one of {', '.join(MODES)}.")
    return chosen


@contextmanager
def use(mode: str) -> Iterator[None]:
    """Choose how all rollouts within a `with` block run; the environment variable SPINODE_KERNELS sets the default.

    The choice is valid in the thread (more precisely, in the context of `contextvars`) that makes it.

    Args:
        mode: "auto": compiled kernels for the fields that they support, plain torch for all others. "native": compiled
            kernels, or an error that says why not. "torch": plain torch.

    Raises:
        ConfigError: an unknown mode; "native" where no kernels were built.

    Example:
        >>> with use("torch"):
        ...     available()
        False
    """
    one_of("mode of the kernels", mode, MODES)
    if mode == "native" and not native.built:
        raise ConfigError(_MISSING.format(native.reason))
    global _latest
    before, _latest = _latest, mode
    token = _mode.set(mode)
    try:
        yield
    finally:
        _mode.reset(token)
        _latest = before


_MISSING = "there are no compiled kernels here ({}); use 'auto' or 'torch'."

_warned = False


def available() -> bool:
    """Return True if kernels may be used; warn once if the mode is "auto" and they were not built.

    Raises:
        ConfigError: the mode is "native", and no kernels were built.
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
