"""Native kernels. Each has a plain-PyTorch twin, which is its test oracle and takes over where nothing was compiled."""

from __future__ import annotations

from typing import Any

try:
    from . import _native
except ImportError as error:  # not built, or built for another Python or machine: info() says which
    _native = None  # type: ignore[assignment]
    _missing = str(error)
else:
    _missing = ""


def info() -> dict[str, Any]:
    """What the kernels of this installation are, for reports and bug reports.

    Returns:
        `native`: whether the compiled kernels are in use; `reason`: why not, "" if they are; `compiler` and `standard`:
        what they were built with; `simd_built`: instruction sets the build needs; `simd_offered`: those of them and of
        the ones a kernel could choose that this machine has. The last four are empty or 0 without compiled kernels.
    """
    built = {"compiler": "", "standard": 0, "simd_built": [], "simd_offered": []} if _native is None else _native.info()
    return {"native": _native is not None, "reason": _missing, **built}
