"""`SpinTorqueOscillator`: amplitude and phase of an auto-oscillator under a current, with thermal noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...contracts.driven_device import Response
from ...errors import ConfigError
from ...traces.trace import Trace
from ..sampled_drive import Values, float64

_LIMITS = {
    "frequency": (0.0, True),
    "shift": (-math.inf, False),
    "damping": (0.0, False),
    "critical": (0.0, False),
    "nonlinear_damping": (0.0, True),
    "noise": (0.0, True),
    "scale": (0.0, False),
    "read_noise": (0.0, True),
    "interval": (0.0, False),
}


@dataclass(frozen=True)
class SpinTorqueOscillator:
    """The auto-oscillator of Slavin and Tiberkevich, of power p and phase phi.

    With c = sqrt(p) exp(i phi),

    dc/dt = i (w0 + N p) c - Gamma (1 + Q p) c + Gamma (I / I_c) (1 - p) c + f(t),    <f(t) f*(t')> = 2 D(p) delta(t - t'),

    D(p) = Gamma (1 + Q p) eta. Between kicks of the noise power and phase follow their closed form under a held current. What
    is recorded is the voltage V = scale sqrt(p), as behind an envelope detector, and the phase in the frame that turns with w0.

    Without a generator the mean response is that of dp/dt = 2 Gamma p [(I / I_c)(1 - p) - (1 + Q p)] + 2 D(p): noise is what
    an oscillation begins with.

    Attributes:
        frequency: w0 / 2 pi [Hz]; of the record alone: the phase is that in its frame.
        shift: N [rad/s], the non-linear frequency shift.
        damping: Gamma [rad/s].
        critical: I_c [A].
        nonlinear_damping: Q.
        noise: eta, thermal energy over that of the oscillation at p = 1.
        scale: V at p = 1 [V].
        read_noise: Deviation of white noise of the recorded voltage [V].
        interval: Length of a sample [s].
        substeps: Kicks of the noise in a sample.

    Raises:
        ConfigError: numbers out of range.

    Source: Slavin and Tiberkevich, IEEE Trans. Magn. 45, 1875 (2009), doi:10.1109/TMAG.2008.2009935. Defaults are of the size
    of the vortex oscillators of Torrejon et al., Nature 547, 428 (2017): a relaxation in some 200 ns around 6.5 mA.
    """

    frequency: float = 300e6
    shift: float = 2 * math.pi * 10e6
    damping: float = 8e6
    critical: float = 5e-3
    nonlinear_damping: float = 1.0
    noise: float = 2e-4
    scale: float = 20e-3
    read_noise: float = 0.0
    interval: float = 20e-9
    substeps: int = 4

    drives = ("I",)
    outputs = ("V", "phase")

    def __post_init__(self) -> None:
        for name, (low, closed) in _LIMITS.items():
            value = getattr(self, name)
            fine = isinstance(value, int | float) and low <= value < math.inf and (closed or value > low)
            if not fine:
                raise ConfigError(
                    f"{name} is {value!r}; expected a number {'from' if closed else 'above'} {low:g}, in SI units."
                )
        if not isinstance(self.substeps, int) or self.substeps < 1:
            raise ConfigError(f"substeps is {self.substeps!r}; expected a positive whole number.")

    def power(self, current: Values) -> Tensor:
        """Stationary p without noise, (I / I_c - 1) / (I / I_c + Q), 0 below I_c."""
        supercritical = float64(current, "current") / self.critical
        return ((supercritical - 1) / (supercritical + self.nonlinear_damping)).clamp_min(0)

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Power and phase, shape (..., 2): at the stationary power, or at the noise below I_c; see `spinode.contracts.driven_device.DrivenDevice`."""
        p = self.power(drive[..., 0]).clamp_min(self.noise)
        phase = torch.zeros_like(p)
        if generator is not None:
            phase = 2 * math.pi * torch.rand(p.shape, generator=generator, dtype=p.dtype)
        return torch.stack([p, phase], -1)

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Go on by a stretch of held currents [A], shape (..., time, 1); see `spinode.contracts.driven_device.DrivenDevice`."""
        drive = float64(drive, "drive")
        if drive.dim() < 2 or drive.shape[-1] != 1:
            raise ConfigError(f"drive has shape {tuple(drive.shape)}; expected (..., time, 1), the current [A].")
        p, phase = memory.unbind(-1)
        step, eta = self.interval / self.substeps, self.damping * self.noise * self.interval / self.substeps
        # dp/dt = growth p - bend p^2 and dphi/dt = N p in closed form: what of it depends on the current alone, for all
        # samples.
        relative = drive[..., 0] / self.critical
        growth, bend = 2 * self.damping * (relative - 1), 2 * self.damping * (relative + self.nonlinear_damping)
        still = growth.abs() * step < 1e-9
        factor = torch.exp(growth * step)
        spread = bend * torch.where(still, step, torch.expm1(growth * step) / torch.where(still, 1.0, growth))
        turn = self.shift / bend
        records = []
        for sample in zip(*(each.unbind(-1) for each in (factor, spread, turn)), strict=True):
            p, phase = self._over(p, phase, sample, eta, generator)
            records.append(torch.stack([p.sqrt(), phase], -1))
        output = torch.stack(records, -2) * torch.tensor([self.scale, 1.0], dtype=p.dtype)
        if generator is not None and self.read_noise:
            noise = torch.randn(output.shape[:-1], generator=generator, dtype=output.dtype)
            output = torch.stack([output[..., 0] + self.read_noise * noise, output[..., 1]], -1)
        return Response(output, torch.stack([p, phase], -1), torch.zeros(drive.shape[:-1], dtype=torch.bool))

    def _over(
        self, p: Tensor, phase: Tensor, sample: tuple[Tensor, ...], eta: float, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Power and phase after one sample."""
        factor, spread, turn = sample
        for _ in range(self.substeps):
            divisor = 1 + spread * p
            phase = phase + turn * torch.log(divisor)
            p = p * factor / divisor
            diffusion = eta * (1 + self.nonlinear_damping * p)
            if generator is None:
                p = p + 2 * diffusion
            else:
                along, across = torch.randn(2, *p.shape, generator=generator, dtype=p.dtype) * diffusion.sqrt()
                along = along + p.sqrt()
                p, phase = along.square() + across.square(), phase + torch.atan2(across, along)
        return p, phase

    def trace(self, current: Values, *, generator: torch.Generator | None = None, output: tuple[str, ...] = ("V",)) -> Trace:
        """One recording under held currents.

        Args:
            current: Samples [A], shape (time,).
            generator: Source of the noise; the mean response if omitted.
            output: Which of "V" [V] and "phase" [rad] to record.

        Raises:
            ConfigError: another shape, or an unknown output.
        """
        values = float64(current, "current")
        if values.dim() != 1 or len(values) < 2:
            raise ConfigError(f"current has shape {tuple(values.shape)}; expected (time,) with at least 2 samples [A].")
        unknown = [name for name in output if name not in self.outputs]
        if unknown or not output:
            raise ConfigError(f"output is {tuple(output)!r}; expected some of {', '.join(self.outputs)}.")
        memory = self.initial_state(values[:1], generator=generator)
        first = torch.stack([self.scale * memory[..., 0].sqrt(), memory[..., 1]], -1)
        # A sample has answered to the currents before it: the first to none, the last current acts on nothing.
        rest = self.step_block(memory, values[:-1, None], generator=generator).output
        found = torch.cat([first[None], rest])
        return Trace(
            time=(torch.arange(len(values), dtype=torch.float64) * self.interval).numpy(),
            drive={"I": values.numpy()},
            output={name: found[:, self.outputs.index(name)].numpy() for name in output},
            units={"time": "s", "I": "A", "V": "V", "phase": "rad"},
            interpolation={"I": "held"},
            provenance={
                "simulator": "spinode.datasets.SpinTorqueOscillator",
                "device": {each.name: getattr(self, each.name) for each in fields(self)},
            },
        )
