"""Digests of tensors: safetensors has no checksum, so a flipped bit would be read as another number."""

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
        digest.update(_bytes(tensor))
    return digest.hexdigest()


def tensor_digest(tensor: Tensor) -> str:
    """Return type and shape of a tensor and a SHA-256 of its values.

    Example:
        >>> tensor_digest(torch.zeros(2))
        'float32 (2,) sha256 af5570f5a1810b7a'
    """
    values = hashlib.sha256(_bytes(tensor)).hexdigest()[:16]
    return f"{tensor.dtype} {tuple(tensor.shape)} sha256 {values}".removeprefix("torch.")


def _bytes(tensor: Tensor) -> bytes:
    dense = tensor.detach().to_dense() if tensor.layout != torch.strided else tensor.detach()
    # A copy, because a view as bytes needs a stride of 1, which `contiguous` does not give to a single value.
    copy = dense.cpu().resolve_conj().clone(memory_format=torch.contiguous_format).reshape(-1)
    return copy.view(torch.uint8).numpy().tobytes()
