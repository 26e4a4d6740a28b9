"""Facts about an exported program as plain JSON, stored in the file for users who have nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ...dynamics.integrate import STATE_LIMIT
from ...version import __version__
from ..neural_ode.model import SurrogateModel


@dataclass(frozen=True)
class Signature:
    """Arguments and results of a program in their order, each with its shape, units and channels."""

    arguments: dict[str, str]
    results: dict[str, str]


def collect_facts(surrogate: SurrogateModel, interpolation: tuple[str, ...], signature: Signature) -> dict[str, Any]:
    """Return the facts that a user of the program needs.

    Args:
        surrogate: The exported model.
        interpolation: Kind of interpolation of each drive and parameter.
        signature: Arguments and results of the program.

    Returns:
        Arguments, results, names, units, sample interval [s], range of each drive and parameter in the fitted data, and a
        resting state to start from (None if there is none).
    """
    ports, points = surrogate.ports, surrogate.domain.points[:, surrogate.state_size :]
    inputs = points * surrogate.scales.drive_scale + surrogate.scales.drive_mean
    ranges = torch.stack([inputs.amin(0), inputs.amax(0)], -1).tolist()
    return {
        "spinode": __version__,
        "arguments": signature.arguments,
        "results": signature.results,
        "interval": surrogate.interval,
        "drive": list(ports.drive),
        "output": list(ports.output),
        "parameters": list(ports.parameters),
        "units": dict(ports.units),
        "interpolation": dict(zip(ports.drive, interpolation, strict=False)),
        "embedding": {"kind": surrogate.embedding.kind, "order": surrogate.embedding.order},
        "members": len(surrogate.members),
        "state_limit": STATE_LIMIT,
        "ranges": dict(zip(ports.inputs, ranges, strict=True)),
        "rest": _rest(surrogate),
    }


def step_signature(surrogate: SurrogateModel) -> Signature:
    """Return arguments and results of a program that computes one step."""
    ports, state = surrogate.ports, _state_shape(surrogate)
    rows = surrogate.embedding.drive_size(1)
    inputs = f"(batch, {f'{rows}, ' if rows > 1 else ''}{len(ports.inputs)}): {_with_units(surrogate, ports.inputs)}"
    outputs = f"(batch, {len(ports.output)}): {_with_units(surrogate, ports.output)}"
    return Signature(
        {"state": state} | dict.fromkeys(("start", "middle", "end"), inputs),
        {"next_state": state} | dict.fromkeys(("output_at_start", "output_at_end"), outputs),
    )


def rollout_signature(surrogate: SurrogateModel) -> Signature:
    """Return arguments and results of a program that computes whole rollouts."""
    ports, state = surrogate.ports, _state_shape(surrogate)
    interval = f"every {surrogate.interval:.6g} s"
    arguments = {
        "drive": f"(batch, time, {len(ports.drive)}), {interval}: {_with_units(surrogate, ports.drive)}",
        "state": state,
    }
    if ports.parameters:
        arguments["parameters"] = f"(batch, {len(ports.parameters)}): {_with_units(surrogate, ports.parameters)}"
    output = f"(batch, time, {len(ports.output)}), {interval}: {_with_units(surrogate, ports.output)}"
    return Signature(arguments, {"output": output, "last_state": state})


def _state_shape(surrogate: SurrogateModel) -> str:
    return f"(batch, {len(surrogate.members) * surrogate.state_size}): in deviations"


def _with_units(surrogate: SurrogateModel, names: Sequence[str]) -> str:
    return ", ".join(f"{name} [{surrogate.ports.units.get(name) or '1'}]" for name in names) or "none"


def _rest(surrogate: SurrogateModel) -> dict[str, list[float]] | None:
    """Return the resting state under the mean of the fitted drives, or None if there is none."""
    mean, drives = surrogate.scales.drive_mean, len(surrogate.ports.drive)
    constants = mean[drives:].tolist()
    parameters = dict(zip(surrogate.ports.parameters, constants, strict=True))
    try:
        states = [
            surrogate.resting_state(mean[:drives], parameters=parameters, member=index)
            for index in range(len(surrogate.members))
        ]
    except Exception:  # none near the fitted states, or a custom field without a Jacobian or without support for one state
        return None
    return {"drive": mean[:drives].tolist(), "parameters": constants, "state": torch.cat(states).tolist()}
