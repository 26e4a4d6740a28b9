"""`WithFastResponse`: a surrogate whose feedthrough has a memory, for drives that change faster than its modes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import scipy.fft
import torch
from torch import Tensor, nn

from ...contracts.driven_device import Response
from ...errors import ConfigError, TraceError
from ...traces.resample import resample
from ...traces.trace import Trace
from .. import artifacts
from ..neural_ode.evaluation.matching import match_channels
from ..neural_ode.surrogate import Surrogate
from ..reservoir.readout import RidgeStatistics

#: Lengths that are tried, in samples.
_TAPS = (0, 15, 30, 60, 120)
#: Largest number of taps.
MAX_TAPS = 100_000


class WithFastResponse(nn.Module):
    """A surrogate and what is left of its answers, as far as that is linear in the drive.

    y(t_k) = y_surrogate(t_k) + sum_{j = 1 .. taps} h_j u(t_{k - j}),

    with u the held drive in deviations. Modes well above those that the surrogate follows ring after each step of the drive;
    under drives that are held shorter than they ring, a feedthrough without memory misses them. h is found by `fast_response`.

    Attributes:
        surrogate: The slow part.
        kernel: h, shape (taps, outputs, drives), SI outputs for a deviation of the drive.

    Raises:
        ConfigError: a kernel of another shape.
    """

    kernel: Tensor

    def __init__(self, surrogate: Surrogate, kernel: Tensor) -> None:
        super().__init__()
        expected = (len(surrogate.ports.output), len(surrogate.ports.drive))
        if kernel.dim() != 3 or kernel.shape[1:] != expected or not len(kernel) or not bool(torch.isfinite(kernel).all()):
            raise ConfigError(
                f"the kernel has shape {tuple(kernel.shape)}; expected finite values of shape (taps, *{expected})."
            )
        self.surrogate = surrogate
        self.register_buffer("kernel", kernel.detach().to(surrogate.noise).clone())

    @property
    def interval(self) -> float:
        """Length of a sample [s]."""
        return self.surrogate.interval

    @property
    def drives(self) -> tuple[str, ...]:
        """Names of the drives."""
        return self.surrogate.drives

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.surrogate.outputs

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Resting state, and a past in which the drive has always been that; see `spinode.contracts.driven_device.DrivenDevice`."""
        memory = self.surrogate.initial_state(drive, generator=generator)
        past = self._scaled(drive).unsqueeze(-2).expand(*drive.shape[:-1], len(self.kernel), drive.shape[-1])
        return self._packed(memory, past)

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Go on by a stretch of held samples; see `spinode.contracts.driven_device.DrivenDevice`."""
        width = self.surrogate.state_size
        taps, _, drives = self.kernel.shape
        answer = self.surrogate.step_block(memory[..., :width], drive, generator=generator)
        past = memory[0, ..., width:].unflatten(-1, (taps, drives))
        line = torch.cat([past, self._scaled(drive).expand(*past.shape[:-2], *drive.shape[-2:])], -2)
        output = answer.output + _filtered(line, self.kernel)[..., 1:, :]
        return Response(output, self._packed(answer.memory, line[..., -taps:, :]), answer.outside)

    def simulate(self, drive: Tensor) -> Tensor:
        """Outputs at the end of each sample of a held drive, shape (..., time, outputs), from rest under the first sample, in
        SI units.
        """
        drive = torch.as_tensor(drive)
        return self.step_block(self.initial_state(drive[..., 0, :]), drive).output

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata, completely or not at all; `spinode.load` reads it.

        Raises:
            TraceError: the path cannot be written.
            ConfigError: the surrogate contains NaN or infinite numbers.
        """
        artifacts.save(self, path)

    def _scaled(self, drive: Tensor) -> Tensor:
        scales, count = self.surrogate.scales, len(self.surrogate.ports.drive)
        result: Tensor = (drive.to(self.kernel) - scales.drive_mean[:count]) / scales.drive_scale[:count]
        return result

    def _packed(self, memory: Tensor, past: Tensor) -> Tensor:
        flat = past.flatten(-2)
        return torch.cat([memory, flat.expand(*memory.shape[:-1], flat.shape[-1])], -1)


def fast_response(
    surrogate: Surrogate, traces: Trace | Sequence[Trace], *, taps: Sequence[int] = _TAPS
) -> Surrogate | WithFastResponse:
    """Find what of a surrogate's error is linear in its drive.

    The error of free runs along recordings is regressed on the last held drives; ridge and length by cross-validation over
    stretches of time.

    Args:
        surrogate: Fitted, with the derivative embedding and no parameters.
        traces: Recordings under held drives as fast as those to come; those of the fit may be among them.
        taps: Lengths that are tried, in samples; 0 stands for none.

    Returns:
        The surrogate with its fast response, or as it was where no length lowers the error by a tenth.

    Raises:
        ConfigError: lengths that are negative, or a surrogate that cannot be run in stretches.
        TraceError: recordings that are too short, or have other channels.
    """
    if surrogate.embedding.lookahead or surrogate.ports.parameters:
        raise ConfigError("a fast response needs a surrogate with the derivative embedding and without parameters.")
    lengths = sorted({int(each) for each in taps})
    if not lengths or lengths[0] < 0 or lengths[-1] > MAX_TAPS:
        raise ConfigError(f"taps is {tuple(taps)!r}; expected lengths from 0 on, in samples.")
    traces = [traces] if isinstance(traces, Trace) else list(traces)
    errors, drives = [], []
    skipped = max(lengths[-1], 20)
    for trace in traces:
        grid = resample(match_channels(surrogate, trace), surrogate.interval)
        if len(grid) < 3 * skipped:
            raise TraceError(
                f"a recording has {len(grid)} samples; {lengths[-1]} taps need {3 * skipped}: pass fewer, taps=(0, 15)."
            )
        run = surrogate.run(grid)
        measured = torch.stack([torch.tensor(grid.output[name]) for name in surrogate.ports.output], -1)
        errors.append(measured - run.output)
        columns = torch.stack([torch.tensor(grid.drive[name]) for name in surrogate.ports.drive], -1)
        count = len(surrogate.ports.drive)
        drives.append((columns - surrogate.scales.drive_mean[:count]) / surrogate.scales.drive_scale[:count])
    total = sum(float(error[skipped:].square().sum()) for error in errors)
    best: tuple[float, Tensor] | None = None
    for length in lengths[1:] if lengths[0] == 0 else lengths:
        found = _regressed(errors, drives, length, skipped)
        if best is None or found[0] < best[0]:
            best = found
    if best is None or best[0] > 0.9**2 * total:
        return surrogate
    return WithFastResponse(surrogate, best[1])


def _regressed(errors: list[Tensor], drives: list[Tensor], length: int, skipped: int) -> tuple[float, Tensor]:
    """Cross-validated sum of squared errors that is left, and the kernel of all samples."""
    outputs, count = errors[0].shape[-1], drives[0].shape[-1]
    sums = RidgeStatistics(length * count, outputs, stretch=200)
    for error, drive in zip(errors, drives, strict=True):
        rows = drive.unfold(0, length, 1).flip(-1).transpose(-1, -2).flatten(1)  # row k: drives k + length - 1, ..., k
        sums.add(rows[skipped - length : -1], error[skipped:])
    readout = sums.solve()
    spread = sum(float(((error[skipped:] - error[skipped:].mean(0)) ** 2).sum(0).max()) for error in errors)
    left = float((readout.validation.square()).max()) * spread
    return left if math.isfinite(left) else math.inf, readout.weight.T.unflatten(0, (length, count)).transpose(
        1, 2
    ).contiguous()


def _filtered(line: Tensor, kernel: Tensor) -> Tensor:
    """sum_j h_j u(t_{k - j}) for k = taps .., shape (..., time - taps + 1, outputs), of drives (..., time, drives); by FFT."""
    taps, time = len(kernel), line.shape[-2]
    length = scipy.fft.next_fast_len(time, real=True)  # what wraps around falls on the first taps - 1 values, which are cut
    spectrum = torch.einsum("...kd,kod->...ko", torch.fft.rfft(line, length, dim=-2), torch.fft.rfft(kernel, length, dim=0))
    result: Tensor = torch.fft.irfft(spectrum, length, dim=-2)[..., taps - 1 : time, :]
    return result
