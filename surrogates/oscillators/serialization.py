"""Files of surrogates with a fast response: the contents of the surrogate's own file, and the kernel of the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...artifact import Kind, Metadata, Tensors, register
from ..neural_ode import serialization as neural_ode
from .fast_response import MAX_TAPS, WithFastResponse

KEY = "spinode-fast-response"


def pack(device: WithFastResponse) -> tuple[Metadata, Tensors]:
    """Return metadata and tensors of a surrogate with a fast response."""
    meta, tensors = neural_ode.pack(device.surrogate)
    return {"surrogate": meta}, {**tensors, "fast_response": device.kernel}


def unpack(meta: Mapping[str, Any], tensors: Tensors) -> WithFastResponse:
    """Build a surrogate with a fast response from a file's metadata and tensors.

    Raises:
        ValueError, KeyError, TypeError: the two contradict each other.
    """
    kernel = tensors.pop("fast_response")
    if not 0 < len(kernel) <= MAX_TAPS:
        raise ValueError(f"a fast response of {len(kernel)} taps")
    return WithFastResponse(neural_ode.unpack(meta["surrogate"], tensors), kernel)


register(Kind(key=KEY, title="a surrogate with a fast response", cls=WithFastResponse, pack=pack, unpack=unpack))
