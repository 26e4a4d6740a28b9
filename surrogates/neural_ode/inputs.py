"""Inputs of a surrogate: checked drives and parameters side by side, and how each runs between samples."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError, TraceError
from ...tensors import all_finite, real_tensor
from ...traces.trace import INTERPOLATIONS
from ...validation import describe_type, one_of
from .ports import Ports


def assemble_inputs(
    ports: Ports,
    drive: Tensor,
    parameters: Mapping[str, float] | Tensor | None,
    interpolation: Mapping[str, str] | None,
    like: Tensor,
) -> tuple[Tensor, tuple[str, ...]]:
    """Return drives and parameters side by side, and the interpolation of each.

    A batch of parameters under one drive is a batch of devices, and the other way round.

    Args:
        ports: Names of drives and parameters.
        drive: Samples in SI units, shape (..., time, drives).
        parameters: By name, or a tensor of shape (..., parameters), in SI units.
        interpolation: Of some drives, by name; those of `ports` for the others.
        like: Tensor whose type and device the inputs get.

    Returns:
        Inputs, shape (..., time, drives + parameters), and one interpolation for each.

    Raises:
        TraceError: a drive of another shape, or with NaN.
        ConfigError: a missing parameter, an unknown drive or interpolation, or a half precision.
    """
    if like.dtype not in (torch.float32, torch.float64):
        raise ConfigError(
            f"the surrogate is in {like.dtype}, in which the rounding errors of a run exceed its steps; "
            "convert it: surrogate.float() or surrogate.double()."
        )
    drive = real_tensor("drive", drive, TraceError)
    count = len(ports.drive)
    if drive.ndim < 2 or drive.shape[-1] != count or 0 in drive.shape[:-1]:
        raise TraceError(
            f"drive has shape {tuple(drive.shape)}; expected (..., time, {count}) for the drives "
            f"{', '.join(ports.drive) or '(none)'}, in SI units."
        )
    drive = drive.to(like)
    if not all_finite(drive):
        raise TraceError("drive contains NaN or infinite values; replace or cut them before simulating.")
    constants = _constants(ports.parameters, parameters, like)
    batch = broadcast_batches(drive.shape[:-2], "drive", constants.shape[:-1], "parameters")
    drive = drive.expand(*batch, *drive.shape[-2:])
    repeated = constants.unsqueeze(-2).expand(*drive.shape[:-1], constants.shape[-1])
    by_name = {**ports.interpolation, **_checked_interpolation(ports.drive, interpolation)}
    kinds = tuple(by_name.get(name, "spline") for name in ports.drive) + ("held",) * len(ports.parameters)
    return torch.cat([drive, repeated], -1), kinds


def broadcast_batches(first: tuple[int, ...], first_name: str, second: tuple[int, ...], second_name: str) -> tuple[int, ...]:
    """Return the shape of a batch that results from two.

    Raises:
        TraceError: the two do not fit together.
    """
    try:
        return np.broadcast_shapes(first, second)
    except ValueError:
        raise TraceError(
            f"{first_name} is a batch of shape {tuple(first)}, {second_name} one of {tuple(second)}; expected the same "
            "shape, or a single one."
        ) from None


def _checked_interpolation(drives: tuple[str, ...], interpolation: Mapping[str, str] | None) -> dict[str, str]:
    if not isinstance(interpolation, Mapping | None):
        raise ConfigError(
            f"interpolation is {interpolation!r}; expected kinds by the names of drives, such as {{'V': 'held'}}."
        )
    checked = dict(interpolation or {})
    for name, kind in checked.items():
        if name not in drives:
            raise ConfigError(f"interpolation names {name!r}, which is not a drive; the drives are: {', '.join(drives)}.")
        one_of(f"interpolation of {name!r}", kind, INTERPOLATIONS)
    return checked


def _constants(names: tuple[str, ...], parameters: Mapping[str, float] | Tensor | None, like: Tensor) -> Tensor:
    """Return the parameters as a tensor, shape (..., parameters)."""
    if isinstance(parameters, Tensor):
        values = parameters.to(like)
        if not values.ndim or values.shape[-1] != len(names):
            raise ConfigError(
                f"parameters have shape {tuple(values.shape)}; expected (..., {len(names)}) for {', '.join(names) or '(none)'}."
            )
    else:
        if not isinstance(parameters, Mapping | None):
            raise ConfigError(f"parameters is {describe_type(parameters)}; expected numbers by name, or a tensor.")
        given = dict(parameters or {})
        missing = [name for name in names if name not in given]
        if missing:
            raise ConfigError(f"parameter {missing[0]!r} is missing; pass parameters={{{missing[0]!r}: value in SI}}.")
        values = torch.tensor([_as_float(name, given[name]) for name in names], dtype=like.dtype, device=like.device)
    if not all_finite(values):
        raise ConfigError(f"parameters contain NaN or infinite values ({', '.join(names)}); pass finite numbers in SI units.")
    return values


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"parameter {name!r} is {value!r}; expected a number in SI units.") from None
