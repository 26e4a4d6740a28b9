"""Native kernels. Each has a plain-PyTorch twin, which is its test oracle and takes over where nothing was compiled."""

from __future__ import annotations

from typing import Any

_NOT_BUILT: dict[str, Any] = {"compiler": "", "standard": 0, "simd_built": [], "simd_offered": []}

try:
    import spinode.kernels._native as _native  # absolute: its message names the file that is missing or does not load
except ImportError as error:
    _native = None  # type: ignore[assignment]
    _reason = str(error)
else:
    _reason = ""


def info() -> dict[str, Any]:
    """Say whether the compiled kernels are in use, and what they were built for.

    Returns:
        `native`: whether the compiled kernels are in use; `reason`: why not, "" if they are; `compiler` and `standard`
        (the value of `__cplusplus`) of the build; `simd_built`: instruction sets the build needs; `simd_offered`: those
        that this machine has and a kernel may choose. The last four are empty or 0 without compiled kernels.
    """
    return {"native": _native is not None, "reason": _reason, **(_native.info() if _native else _NOT_BUILT)}
