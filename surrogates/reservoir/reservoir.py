"""`Reservoir`: a device whose answers to a masked input, read one after another, are the nodes of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...contracts.driven_device import DrivenDevice, Memory
from ...errors import ConfigError

#: Samples of the drive that are run at once, which bounds the memory that a long run takes.
_BLOCK = 100_000


def mask(kind: str, nodes: int, inputs: int = 1, *, seed: int = 0) -> Tensor:
    """Weights of the input at each virtual node.

    Args:
        kind: "binary", -1 or 1; "uniform", -1 .. 1; "normal", standard normal.
        nodes: How many virtual nodes.
        inputs: Width of the input.
        seed: Of the draw.

    Returns:
        Shape (nodes, inputs), float64.

    Raises:
        ConfigError: another kind, or numbers that are not positive.
    """
    for name, value in (("nodes", nodes), ("inputs", inputs)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name} is {value!r}; expected a positive whole number.")
    generator = torch.Generator().manual_seed(seed)
    if kind == "binary":
        return 2.0 * torch.randint(2, (nodes, inputs), generator=generator).to(torch.float64) - 1
    if kind == "uniform":
        return 2 * torch.rand(nodes, inputs, generator=generator, dtype=torch.float64) - 1
    if kind == "normal":
        return torch.randn(nodes, inputs, generator=generator, dtype=torch.float64)
    raise ConfigError(f"the mask is {kind!r}; expected 'binary', 'uniform', 'normal', or a tensor of shape (nodes, inputs).")


@dataclass(frozen=True)
class Feedback:
    """The output of a device, delayed and added to its drive.

    Attributes:
        delay: In virtual nodes. A multiple of their number ties each node to itself alone, and the memory stays small; one more
            than their number makes a ring of them.
        gain: Drive for each unit of output, in the drive's unit over the output's.
        rest: Output that adds nothing.

    Source: Appeltant et al., Nat. Commun. 2, 468 (2011), doi:10.1038/ncomms1476; Yamaguchi et al. (2020), arXiv:2006.13404.
    """

    delay: int
    gain: float
    rest: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.delay, int) or isinstance(self.delay, bool) or self.delay < 1:
            raise ConfigError(f"the delay is {self.delay!r} nodes; expected a positive whole number, such as nodes + 1.")
        if not math.isfinite(self.gain) or not math.isfinite(self.rest):
            raise ConfigError(f"gain and rest of the feedback are {self.gain!r} and {self.rest!r}; expected finite numbers.")


class Reservoir(nn.Module):
    """Time multiplexing: for each input x(t) a device is driven with J_k = offset + scale sum_j mask_kj x_j(t), each k held in
    turn.

    Its output at the end of each hold is the state of a virtual node; the state of the reservoir is that of all nodes. Several
    devices stand side by side, each with a mask of its own. Differentiable in mask, scale and offset where the device is.

    Args:
        device: A fitted `Surrogate`, or anything else that is `DrivenDevice`; or a list of them.
        nodes: Virtual nodes of each device.
        mask: A kind that `mask` knows, or a tensor of shape (nodes, inputs), or (devices, nodes, inputs).
        inputs: Width of the input, where the mask is a kind.
        hold: How long each node lasts [s], a multiple of the device's interval; one interval if omitted.
        scale: Drive for each unit of masked input, in the unit of the drive.
        offset: Drive without input.
        drive: Which drive of the device is used; others are held at `others`.
        output: Which of its outputs is read.
        others: Values of the other drives by name.
        feedback: Of each device onto itself.
        trained: Which of "mask", "scale" and "offset" are parameters, to be trained; none if empty.
        seed: Of the mask; device k takes seed + k.

    Raises:
        ConfigError: what is no device, a mask of the wrong shape, a hold that is no multiple of the interval, or names that the
            device does not have.

    Source: Appeltant et al., Nat. Commun. 2, 468 (2011); Torrejon et al., Nature 547, 428 (2017), doi:10.1038/nature23011.
    """

    mask: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(
        self,
        device: DrivenDevice | Sequence[DrivenDevice],
        nodes: int,
        mask: str | Tensor = "binary",
        *,
        inputs: int = 1,
        hold: float | None = None,
        scale: float = 1.0,
        offset: float = 0.0,
        drive: str | None = None,
        output: str | None = None,
        others: dict[str, float] | None = None,
        feedback: Feedback | None = None,
        trained: Sequence[str] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        devices: list[Any] = list(device) if isinstance(device, list | tuple) else [device]
        if not devices or not all(isinstance(each, DrivenDevice) for each in devices):
            raise ConfigError(f"device is {device!r}; expected a fitted Surrogate, or a model with begin and advance.")
        self.devices: list[DrivenDevice] = devices
        self.fitted = nn.ModuleList([each for each in devices if isinstance(each, nn.Module)])
        self.nodes, self.feedback = nodes, feedback
        self.repeats = [_repeats(hold, each) for each in devices]
        self._drive = [_index(drive, each.drives, "drive") for each in devices]
        self._output = [_index(output, each.outputs, "output") for each in devices]
        self.others = [_others(others or {}, each, at) for each, at in zip(devices, self._drive, strict=True)]
        values = _mask(mask, len(devices), nodes, inputs, seed)
        given = {
            "mask": values,
            "scale": torch.tensor(float(scale), dtype=torch.float64),
            "offset": torch.tensor(float(offset), dtype=torch.float64),
        }
        if any(name not in given for name in trained):
            raise ConfigError(f"trained is {tuple(trained)!r}; expected some of {', '.join(given)}.")
        for name, value in given.items():
            if not bool(torch.isfinite(value).all()):
                raise ConfigError(f"{name} holds NaN or infinite values; pass finite numbers.")
            if name in trained:
                self.register_parameter(name, nn.Parameter(value.clone()))
            else:
                self.register_buffer(name, value.clone())

    @property
    def inputs(self) -> int:
        """Width of the input."""
        return self.mask.shape[-1]

    @property
    def width(self) -> int:
        """Number of states: devices times nodes."""
        return len(self.devices) * self.nodes

    def forward(self, x: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """States under an input.

        Args:
            x: Shape (..., time, inputs), or (time,) for one input.
            generator: Source of the devices' noise; their mean response if omitted.

        Returns:
            Shape (..., time, devices * nodes), in the outputs' units. `outside` then holds the share of samples that lay
            outside what the devices are known for.

        Raises:
            ConfigError: an input of another shape, or with NaN.
        """
        return torch.cat(list(self.stream(x, generator=generator)), -2)

    def stream(self, x: Tensor, *, generator: torch.Generator | None = None, block: int | None = None) -> Iterator[Tensor]:
        """The same in blocks of some inputs, so that a long run never stands in memory as a whole.

        Args:
            x: As in `forward`.
            generator: As in `forward`.
            block: Inputs of a block; about 100 000 samples of the drive if omitted.
        """
        x = self._checked(x)
        block = block or max(1, _BLOCK // (self.nodes * max(self.repeats)))
        runs = self.runs(generator)
        for part in x.split(block, -2):
            yield self.over(runs, part)

    def runs(self, generator: torch.Generator | None = None) -> list[Run]:
        """A run of each device that has not begun, for `over`."""
        return [Run(self, index, generator) for index in range(len(self.devices))]

    def over(self, runs: list[Run], x: Tensor) -> Tensor:
        """States under the next inputs (..., time, inputs) of runs that have come so far."""
        masked = self.offset + self.scale * torch.einsum("...ti,dki->d...tk", self._checked(x), self.mask)
        states = torch.cat([run.over(each) for run, each in zip(runs, masked, strict=True)], -1)
        self._count(runs)
        return states

    def _count(self, runs: list[Run]) -> None:
        self._outside = sum(run.outside for run in runs) / max(1, sum(run.samples for run in runs))

    @property
    def outside(self) -> float:
        """Share of the samples of the last run that lay outside what the devices are known for."""
        return float(getattr(self, "_outside", 0.0))

    def drive_range(self, x: Tensor) -> tuple[float, float]:
        """Lowest and highest drive that an input makes, without feedback."""
        x = self._checked(x)
        masked = self.offset + self.scale * torch.einsum("...ti,dki->d...tk", x, self.mask)
        return float(masked.min()), float(masked.max())

    def _checked(self, x: Tensor) -> Tensor:
        x = torch.as_tensor(x)
        x = x.unsqueeze(-1) if x.dim() == 1 else x
        if x.dim() < 2 or x.shape[-1] != self.inputs or not x.shape[-2]:
            raise ConfigError(
                f"the input has shape {tuple(x.shape)}; expected (..., time, {self.inputs}), as wide as the mask."
            )
        x = x.to(self.mask)
        if not bool(torch.isfinite(x).all()):
            raise ConfigError("the input holds NaN or infinite values; replace or cut them.")
        return x


class Run:
    """One device along an input, block after block."""

    def __init__(self, reservoir: Reservoir, index: int, generator: torch.Generator | None) -> None:
        self.device, self.repeat = reservoir.devices[index], reservoir.repeats[index]
        self.at, self.read, self.others = reservoir._drive[index], reservoir._output[index], reservoir.others[index]
        self.feedback, self.offset, self.generator = reservoir.feedback, reservoir.offset, generator
        self.memory: Memory | None = None
        self.late: Tensor | None = None  # outputs of the last nodes, as many as the delay
        self.outside, self.samples = 0.0, 0

    def over(self, masked: Tensor) -> Tensor:
        """Outputs at the end of each node, shape (..., time, nodes), of masked inputs of that shape."""
        flat = masked.flatten(-2)
        if self.memory is None:
            start = self._whole(self.offset.expand(*flat.shape[:-1], 1))[..., 0, :]
            self.memory = self.device.initial_state(start, generator=self.generator)
        if self.feedback is None:
            return self._stretch(flat).reshape(masked.shape)
        parts = []
        for part in flat.split(self.feedback.delay, -1):
            late = (
                flat.new_full((*flat.shape[:-1], self.feedback.delay), self.feedback.rest) if self.late is None else self.late
            )
            out = self._stretch(part + self.feedback.gain * (late[..., : part.shape[-1]] - self.feedback.rest))
            self.late = torch.cat([late, out], -1)[..., -self.feedback.delay :]
            parts.append(out)
        return torch.cat(parts, -1).reshape(masked.shape)

    def _stretch(self, values: Tensor) -> Tensor:
        """Outputs at the end of each held value, shape (..., values)."""
        drive = self._whole(values.repeat_interleave(self.repeat, -1))
        assert self.memory is not None
        answer = self.device.step_block(self.memory, drive, generator=self.generator)
        self.memory = answer.memory
        self.outside += float(answer.outside.sum())
        self.samples += answer.outside.numel()
        return answer.output[..., self.repeat - 1 :: self.repeat, self.read]

    def _whole(self, values: Tensor) -> Tensor:
        """One drive among the others, shape (..., time, drives)."""
        columns = [
            values if k == self.at else values.new_tensor(other).expand_as(values) for k, other in enumerate(self.others)
        ]
        return torch.stack(columns, -1)


def _repeats(hold: float | None, device: DrivenDevice) -> int:
    """Samples of a device in one hold."""
    count = 1 if hold is None else round(hold / device.interval)
    if hold is not None and (count < 1 or abs(count * device.interval - hold) > 1e-6 * hold):
        raise ConfigError(
            f"hold is {hold:g} s and the device's interval {device.interval:g} s; expected a multiple of it. Fit the surrogate "
            f"with a "
            f"sample interval that divides {hold:g} s."
        )
    return count


def _index(name: str | None, names: tuple[str, ...], what: str) -> int:
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        raise ConfigError(f"{what} is {name!r}; the device has {', '.join(names) or 'none'}: pass {what}= one of them.")
    return names.index(name)


def _others(given: dict[str, float], device: DrivenDevice, at: int) -> list[float]:
    """Values of the drives that the input does not use, in their order."""
    wanted = [name for k, name in enumerate(device.drives) if k != at]
    if set(given) != set(wanted):
        raise ConfigError(
            f"others has {', '.join(given) or 'nothing'}; the device's other drives are {', '.join(wanted) or 'none'}."
        )
    return [float(given.get(name, 0.0)) for name in device.drives]


def _mask(given: str | Tensor, devices: int, nodes: int, inputs: int, seed: int) -> Tensor:
    """Shape (devices, nodes, inputs)."""
    if isinstance(given, str):
        return torch.stack([mask(given, nodes, inputs, seed=seed + k) for k in range(devices)])
    values = torch.as_tensor(given).to(torch.float64)
    values = values.unsqueeze(-1) if values.dim() == 1 else values
    if values.shape[-2:-1] != (nodes,) or values.dim() > 3 or (values.dim() == 3 and len(values) != devices):
        raise ConfigError(
            f"the mask has shape {tuple(torch.as_tensor(given).shape)}; expected (nodes, inputs) with {nodes} nodes"
            f"{f', or ({devices}, {nodes}, inputs)' if devices > 1 else ''}."
        )
    return values.expand(devices, *values.shape[-2:]).clone()
