"""`WithFastResponse`: a surrogate with a linear filter in parallel, for drives that change faster than its modes."""

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
from ...validation import whole_numbers
from .. import artifacts
from ..extrapolation import FITTED_DOMAIN, REDUCE_DRIVE, warn_of_extrapolation
from ..neural_ode.evaluation.matching import match_channels
from ..neural_ode.surrogate import Surrogate
from ..reservoir.readout import RidgeStatistics

#: Filter lengths that are tried, in samples.
TAPS = (0, 15, 30, 60, 120)
#: Largest number of taps.
MAX_TAPS = 100_000


class WithFastResponse(nn.Module):
    """A surrogate plus a linear response to the recent drive, which the surrogate itself does not reproduce.

    y(t_k) = y_surrogate(t_k) + sum_{j = 1 .. taps} h_j u(t_{k - j}),

    where u is the drive in standard units. Modes well above those of the surrogate ring after each step of the drive; if the
    drive changes before they have decayed, a feedthrough without memory misses them. `fast_response` fits h.

    Attributes:
        surrogate: The slow part.
        kernel: h, shape (taps, outputs, drives), outputs in SI units per standard deviation of the drive.

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
        """Return the length of a sample [s]."""
        return self.surrogate.interval

    @property
    def drives(self) -> tuple[str, ...]:
        """Return the names of the drives."""
        return self.surrogate.drives

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the names of the outputs."""
        return self.surrogate.outputs

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return the resting state under a drive that has always been constant.

        See `spinode.contracts.driven_device.DrivenDevice`.
        """
        memory = self.surrogate.initial_state(drive, generator=generator)
        past = self._scaled(drive).unsqueeze(-2).expand(*drive.shape[:-1], len(self.kernel), drive.shape[-1])
        return self._packed(memory, past)

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue by a block of samples; see `spinode.contracts.driven_device.DrivenDevice`."""
        taps, _, drives = self.kernel.shape
        own, past = memory[..., : -taps * drives], memory[0, ..., -taps * drives :].unflatten(-1, (taps, drives))
        response = self.surrogate.step_block(own, drive, generator=generator)
        line = torch.cat([past, self._scaled(drive).expand(*past.shape[:-2], *drive.shape[-2:])], -2)
        output = response.output + _filtered(line, self.kernel)[..., 1:, :]
        return Response(output, self._packed(response.memory, line[..., -taps:, :]), response.outside)

    def simulate(self, drive: Tensor) -> Tensor:
        """Return the outputs at the end of each sample of the drive, shape (..., time, outputs), in SI units.

        Args:
            drive: Samples, each constant for `interval`, shape (..., time, drives), in SI units. The run begins at rest under
                the first sample.

        Warns:
            DomainWarning: the run leaves the domain that the surrogate was fitted on; once for each object.
        """
        drive = torch.as_tensor(drive)
        response = self.step_block(self.initial_state(drive[..., 0, :]), drive)
        warn_of_extrapolation(self, float(response.outside.double().mean()), FITTED_DOMAIN, REDUCE_DRIVE)
        return response.output

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with JSON metadata, atomically; `spinode.load` reads it.

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
    surrogate: Surrogate, traces: Trace | Sequence[Trace], *, taps: Sequence[int] = TAPS
) -> Surrogate | WithFastResponse:
    """Fit the part of a surrogate's error that is linear in its recent drive.

    The error of free runs along recordings is regressed on the last drive samples; penalty and length are chosen by
    cross-validation over segments of time.

    Args:
        surrogate: A fitted surrogate without parameters.
        traces: Recordings under piecewise constant drives, as fast as those of later use; those of the fit may be among them.
        taps: Filter lengths that are tried, in samples; 0 stands for no filter.

    Returns:
        The surrogate with its fast response; the surrogate itself if no length reduces the error by at least a tenth.

    Raises:
        ConfigError: lengths that are negative, or a surrogate that cannot be run in blocks.
        TraceError: recordings that are too short, or have other channels.
    """
    if surrogate.ports.parameters:
        raise ConfigError("a fast response needs a surrogate without parameters, which runs in blocks.")
    lengths = sorted(set(whole_numbers("taps", taps, 0, MAX_TAPS, example=TAPS)))
    traces = [traces] if isinstance(traces, Trace) else list(traces)
    errors, drives = [], []
    skipped = max(lengths[-1], 20)
    for trace in traces:
        grid = resample(match_channels(surrogate, trace), surrogate.interval)
        if len(grid) < 3 * skipped:
            raise TraceError(
                f"a recording has {len(grid)} samples; {lengths[-1]} taps need {3 * skipped}: pass fewer, taps=(0, 15)."
            )
        free_run = surrogate.run(grid)
        measured = torch.stack([torch.tensor(grid.output[name]) for name in surrogate.ports.output], -1)
        errors.append(measured - free_run.output)
        columns = torch.stack([torch.tensor(grid.drive[name]) for name in surrogate.ports.drive], -1)
        count = len(surrogate.ports.drive)
        drives.append((columns - surrogate.scales.drive_mean[:count]) / surrogate.scales.drive_scale[:count])
    total = sum(float(error[skipped:].square().sum()) for error in errors)
    best: tuple[float, Tensor] | None = None
    for length in lengths[1:] if lengths[0] == 0 else lengths:
        candidate = _regress(errors, drives, length, skipped)
        if best is None or candidate[0] < best[0]:
            best = candidate
    if best is None or best[0] > 0.9**2 * total:
        return surrogate
    return WithFastResponse(surrogate, best[1])


def _regress(errors: list[Tensor], drives: list[Tensor], length: int, skipped: int) -> tuple[float, Tensor]:
    """Return the remaining sum of squared errors, cross-validated, and the kernel fitted to all samples."""
    outputs, count = errors[0].shape[-1], drives[0].shape[-1]
    sums = RidgeStatistics(length * count, outputs, segment=200)
    for error, drive in zip(errors, drives, strict=True):
        rows = drive.unfold(0, length, 1).flip(-1).transpose(-1, -2).flatten(1)  # row k: drives k + length - 1, ..., k
        sums.add(rows[skipped - length : -1], error[skipped:])
    readout = sums.solve()
    spread = sum(float(((error[skipped:] - error[skipped:].mean(0)) ** 2).sum(0).max()) for error in errors)
    remaining = float((readout.validation.square()).max()) * spread
    kernel = readout.weight.T.unflatten(0, (length, count)).transpose(1, 2).contiguous()
    return remaining if math.isfinite(remaining) else math.inf, kernel


def _filtered(line: Tensor, kernel: Tensor) -> Tensor:
    """Return the convolution of drives with a kernel by FFT.

    Args:
        line: Drives, shape (..., time, drives).
        kernel: h, shape (taps, outputs, drives).

    Returns:
        sum_j h_j u(t_{k - j}) for k = taps, taps + 1, ..., shape (..., time - taps + 1, outputs).
    """
    taps, time = len(kernel), line.shape[-2]
    length = scipy.fft.next_fast_len(
        time, real=True
    )  # the wrap-around affects only the first taps - 1 values, which are dropped
    spectrum = torch.einsum("...kd,kod->...ko", torch.fft.rfft(line, length, dim=-2), torch.fft.rfft(kernel, length, dim=0))
    result: Tensor = torch.fft.irfft(spectrum, length, dim=-2)[..., taps - 1 : time, :]
    return result
