"""Digests of files: safetensors has no checksum, so a flipped bit would be read as another number."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


def content_digest(text: str, tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of a text and of tensors with their names, shapes and types.

    Example:
        >>> content_digest("{}", {"a": torch.zeros(2)})[:8]
        '509b1ced'
    """
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode())
        # A copy, because a view as bytes needs a stride of 1, which `contiguous` does not give to a single value.
        copy = tensor.detach().cpu().clone(memory_format=torch.contiguous_format).reshape(-1)
        digest.update(copy.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
