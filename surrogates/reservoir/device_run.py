"""One device of a reservoir along its input: `DeviceRun`, and the delayed `Feedback` onto its drive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...contracts.driven_device import DrivenDevice, Memory
from ...errors import ConfigError
from ...tensors import has_values
from ...validation import number, whole_number

#: Largest number of samples of a device in one hold.
MAX_REPEATS = 10**7


@dataclass(frozen=True)
class Feedback:
    """The output of a device, delayed and added to its drive.

    Attributes:
        delay: Delay in virtual nodes. A multiple of the number of nodes couples each node to itself alone, and the memory
            stays short; one more than the number of nodes makes a ring of them.
        gain: Drive per unit of output, in the drive's unit over the output's.
        rest: Output that adds nothing.

    Raises:
        ConfigError: a delay that is not a positive whole number, or numbers that are not finite.

    Example:
        >>> Feedback(delay=25, gain=0.5).rest
        0.0

    Source: Appeltant et al., Nat. Commun. 2, 468 (2011), doi:10.1038/ncomms1476; Yamaguchi et al. (2020), arXiv:2006.13404.
    """

    delay: int
    gain: float
    rest: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "delay", whole_number("the delay of the feedback, in nodes,", self.delay, 1))
        for name in ("gain", "rest"):
            object.__setattr__(self, name, number(f"the {name} of the feedback", getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Wiring:
    """The connection of one device: which drive carries the input, and which output is read.

    Attributes:
        device: A fitted surrogate or a physical model.
        repeat: Samples of the device for each virtual node.
        drive: Index of the drive that carries the input.
        output: Index of the output that is read.
        constants: Values of all drives, in their order; the one at `drive` is not used.
    """

    device: DrivenDevice
    repeat: int
    drive: int
    output: int
    constants: Sequence[float]

    @classmethod
    def of(
        cls, device: DrivenDevice, hold: float | None, drive: str | None, output: str | None, others: dict[str, float]
    ) -> Wiring:
        """Return the wiring of a device by the names of its channels.

        Raises:
            ConfigError: names that the device does not have, or a hold that is not a multiple of its interval.
        """
        at = _index(drive, device.drives, "drive")
        return cls(device, _repeats(hold, device), at, _index(output, device.outputs, "output"), _constants(others, device, at))

    def full_drive(self, values: Tensor) -> Tensor:
        """Return all drives of the device, shape (..., time, drives), given the one that carries the input."""
        columns = [
            values if index == self.drive else values.new_tensor(constant).expand_as(values)
            for index, constant in enumerate(self.constants)
        ]
        return torch.stack(columns, -1)


class DeviceRun:
    """A run of one device, block after block.

    Attributes:
        memory: State of the device after the last block; None before the first.
        recent: Outputs of the last nodes, as many as the delay of the feedback; None before the first block.
        outside: Nodes of the last block whose hold left the domain of the device, shape (..., time, nodes), bool.
        steps: Number of samples so far.
        steps_outside: Number of samples so far that lay outside the domain.
    """

    def __init__(
        self, wiring: Wiring, feedback: Feedback | None, offset: Tensor, generator: torch.Generator | None = None
    ) -> None:
        self.wiring, self.feedback, self.offset, self.generator = wiring, feedback, offset, generator
        self.memory: Memory | None = None
        self.recent: Tensor | None = None
        self.outside = torch.zeros(0, 0, dtype=torch.bool)
        self.steps, self.steps_outside = 0, 0

    def continue_with(self, masked: Tensor) -> Tensor:
        """Return the output at the end of each virtual node under the next drives, both of shape (..., time, nodes)."""
        drives = masked.flatten(-2)
        if self.memory is None:
            start = self.wiring.full_drive(self.offset.expand(*drives.shape[:-1], 1))[..., 0, :]
            self.memory = self.wiring.device.initial_state(start, generator=self.generator)
        if self.feedback is None:
            outputs, outside = self._run(drives)
        else:
            outputs, outside = self._run_with_feedback(drives, self.feedback)
        self.outside = outside.reshape(masked.shape)
        return outputs.reshape(masked.shape)

    def _run_with_feedback(self, drives: Tensor, feedback: Feedback) -> tuple[Tensor, Tensor]:
        """Run in blocks as long as the delay: what is fed back into a block is known before it begins."""
        blocks = []
        for block in drives.split(feedback.delay, -1):
            recent = self.recent
            if recent is None:
                recent = drives.new_full((*drives.shape[:-1], feedback.delay), feedback.rest)
            outputs, outside = self._run(block + feedback.gain * (recent[..., : block.shape[-1]] - feedback.rest))
            self.recent = torch.cat([recent, outputs], -1)[..., -feedback.delay :]
            blocks.append((outputs, outside))
        return torch.cat([outputs for outputs, _ in blocks], -1), torch.cat([outside for _, outside in blocks], -1)

    def _run(self, drives: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output at the end of each hold, and whether the device left its domain in it; both as the drives."""
        wiring = self.wiring
        assert self.memory is not None
        response = wiring.device.step_block(
            self.memory, wiring.full_drive(drives.repeat_interleave(wiring.repeat, -1)), generator=self.generator
        )
        self.memory = response.memory
        self.steps += response.outside.numel()
        if has_values(response.outside):
            self.steps_outside += int(response.outside.sum())
        outside = response.outside.expand(*drives.shape[:-1], -1).unflatten(-1, (-1, wiring.repeat)).any(-1)
        return response.output[..., wiring.repeat - 1 :: wiring.repeat, wiring.output], outside


def _repeats(hold: float | None, device: DrivenDevice) -> int:
    """Return the number of samples of a device in one hold."""
    if hold is None:
        return 1
    hold = number("hold", hold, None, MAX_REPEATS * device.interval, unit="s")
    count = round(hold / device.interval)
    if count < 1 or abs(count * device.interval - hold) > 1e-6 * hold:
        raise ConfigError(
            f"hold is {hold:g} s and the device's interval {device.interval:g} s; expected a multiple of it. Fit the surrogate "
            f"with a sample interval that divides {hold:g} s."
        )
    return count


def _index(name: str | None, names: tuple[str, ...], what: str) -> int:
    if name is None and len(names) == 1:
        return 0
    if name not in names:
        raise ConfigError(f"{what} is {name!r}; the device has {', '.join(names) or 'none'}: pass {what}= one of them.")
    return names.index(name)


def _constants(given: dict[str, float], device: DrivenDevice, at: int) -> list[float]:
    """Return the values of all drives in their order, 0 for the one that carries the input."""
    if not isinstance(given, Mapping):
        raise ConfigError(f"others is {given!r}; expected constant values by the names of drives.")
    expected = [name for index, name in enumerate(device.drives) if index != at]
    if set(given) != set(expected):
        raise ConfigError(
            f"others has {', '.join(map(str, given)) or 'nothing'}; the device's other drives are "
            f"{', '.join(expected) or 'none'}."
        )
    return [number(f"the drive {name}", given.get(name, 0.0)) for name in device.drives]
