"""Checks of arguments that contain numbers: tensors, NumPy arrays and sequences."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from .errors import ConfigError, SpinodeError
from .validation import describe_type


def real_tensor(name: str, value: Any, error: type[SpinodeError] = ConfigError) -> Tensor:
    """Return a value as a tensor of real numbers; a tensor keeps its type and its graph.

    Args:
        name: Name of the value in messages.
        value: Anything.
        error: Class of the error.

    Raises:
        SpinodeError: an object of class `error`, for a value that is not an array of real numbers: None, text, objects, complex
            numbers, or a tensor without values in memory (sparse, quantised, or on the "meta" device).

    Example:
        >>> real_tensor("state", "x")
        Traceback (most recent call last):
        ...
        spinode.errors.ConfigError: state is a str; expected a tensor or array of real numbers.
    """
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        kind = f"an array of {value.dtype}" if hasattr(value, "dtype") else describe_type(value)
        raise error(f"{name} is {kind}; expected a tensor or array of real numbers.") from None
    if tensor.is_complex() or tensor.is_quantized or tensor.is_meta or tensor.layout != torch.strided:
        raise error(
            f"{name} is a tensor of {tensor.dtype} with layout {tensor.layout} on the device {tensor.device}; expected a dense "
            "tensor of real numbers."
        )
    return tensor


def has_values(tensor: Tensor) -> bool:
    """Return False where the values of a tensor cannot decide anything: while a program is compiled or exported, and in `vmap`.

    Example:
        >>> has_values(torch.zeros(2)), torch.func.vmap(lambda row: row + has_values(row))(torch.zeros(2))
        (True, tensor([0., 0.]))
    """
    if torch.compiler.is_compiling():
        return False
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(tensor):
        if functorch.is_batchedtensor(tensor):
            return False
        tensor = functorch.get_unwrapped(tensor)
    return not tensor.is_meta


def all_finite(values: Tensor) -> bool:
    """Return True if no value is NaN or infinite, and where values cannot be seen, see `has_values`.

    A finite sum shows it twenty times as fast as a look at each value.

    Example:
        >>> all_finite(torch.tensor([1.0, 2.0])), all_finite(torch.tensor([1.0, float("nan")]))
        (True, False)
    """
    if not has_values(values):
        return True
    values = values.detach()
    return bool(torch.isfinite(values.sum())) or bool(torch.isfinite(values).all())


def same_values(a: Tensor, b: Tensor) -> bool:
    """Return True if two tensors have the same shape and values, as torch.equal, but several times as fast on the CPU.

    Example:
        >>> same_values(torch.ones(2), torch.ones(2)), same_values(torch.ones(2), torch.ones(1, 2))
        (True, False)
    """
    try:
        return bool(np.array_equal(a.detach().numpy(), b.detach().numpy()))
    except (RuntimeError, TypeError):  # another torch device, a type that NumPy does not have, or a tensor of torch.func
        return torch.equal(a, b)
