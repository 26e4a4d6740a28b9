"""`SpinTorqueOscillator`: amplitude and phase of an auto-oscillator driven by a current, with thermal noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from ...contracts.driven_device import Response
from ...errors import ConfigError
from ...traces.trace import Trace
from ...validation import number, whole_number
from ..sampled_drive import Values, float64

#: Units of the parameters that must be above zero, and of those that may be zero.
_POSITIVE = {"damping": "rad/s", "critical": "A", "scale": "V", "interval": "s"}
_NOT_NEGATIVE = {"frequency": "Hz", "nonlinear_damping": "", "noise": "", "read_noise": "V"}


@dataclass(frozen=True)
class SpinTorqueOscillator:
    """The auto-oscillator of Slavin and Tiberkevich, with power p and phase phi.

    With c = sqrt(p) exp(i phi),

    dc/dt = i (w0 + N p) c - Gamma (1 + Q p) c + Gamma (I / I_c) (1 - p) c + f(t),    <f(t) f*(t')> = 2 D(p) delta(t - t'),

    D(p) = Gamma (1 + Q p) eta. Noise is added at discrete instants; between them power and phase follow their closed form
    under a constant current. The outputs are the voltage V = scale sqrt(p), as behind an envelope detector, and the phase in
    the frame rotating with w0.

    Without a generator the mean response follows dp/dt = 2 Gamma p [(I / I_c)(1 - p) - (1 + Q p)] + 2 D(p), in which the noise
    term lets an oscillation start.

    Attributes:
        frequency: w0 / 2 pi [Hz]; it does not affect the outputs, since the phase is relative to it.
        shift: N [rad/s], the nonlinear frequency shift.
        damping: Gamma [rad/s], the linear damping rate.
        critical: I_c [A], the critical current.
        nonlinear_damping: Q, the nonlinear damping coefficient.
        noise: eta, thermal energy relative to the energy of the oscillation at p = 1.
        scale: Voltage V at p = 1 [V].
        read_noise: Standard deviation of white noise on the recorded voltage [V].
        interval: Length of a sample [s].
        substeps: Number of noise instants per sample.

    Raises:
        ConfigError: numbers out of range.

    Example:
        >>> oscillator = SpinTorqueOscillator()
        >>> [round(p, 2) for p in oscillator.power([4e-3, 6.5e-3, 8e-3]).tolist()]
        [0.0, 0.13, 0.23]
        >>> trace = oscillator.trace([6.5e-3] * 100, generator=torch.Generator().manual_seed(0))
        >>> trace.output["V"].shape
        (100,)

    Source: Slavin and Tiberkevich, IEEE Trans. Magn. 45, 1875 (2009), doi:10.1109/TMAG.2008.2009935. The defaults
    correspond to the vortex oscillators of Torrejon et al., Nature 547, 428 (2017): relaxation in about 200 ns around 6.5 mA.
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
        checked: dict[str, float] = {"shift": number("shift", self.shift, unit="rad/s")}
        for names, above in ((_POSITIVE, True), (_NOT_NEGATIVE, False)):
            checked |= {name: number(name, getattr(self, name), 0, above=above, unit=unit) for name, unit in names.items()}
        for name, value in {**checked, "substeps": whole_number("substeps", self.substeps, 1)}.items():
            object.__setattr__(self, name, value)

    def power(self, current: Values) -> Tensor:
        """Return the stationary power p without noise, (I / I_c - 1) / (I / I_c + Q), 0 below I_c."""
        supercritical = float64(current, "current") / self.critical
        return ((supercritical - 1) / (supercritical + self.nonlinear_damping)).clamp_min(0)

    def initial_state(self, drive: Tensor, *, generator: torch.Generator | None = None) -> Tensor:
        """Return power and phase, shape (..., 2): the stationary power, or that of the noise below I_c.

        See `spinode.contracts.driven_device.DrivenDevice`.
        """
        p = self.power(drive[..., 0]).clamp_min(self.noise)
        phase = torch.zeros_like(p)
        if generator is not None:
            phase = 2 * math.pi * torch.rand(p.shape, generator=generator, dtype=p.dtype)
        return torch.stack([p, phase], -1)

    def step_block(self, memory: Tensor, drive: Tensor, *, generator: torch.Generator | None = None) -> Response:
        """Continue by a block of currents [A], shape (..., time, 1); see `spinode.contracts.driven_device.DrivenDevice`."""
        drive = float64(drive, "drive")
        if drive.dim() < 2 or drive.shape[-1] != 1:
            raise ConfigError(f"drive has shape {tuple(drive.shape)}; expected (..., time, 1), the current [A].")
        p, phase = memory.unbind(-1)
        step, eta = self.interval / self.substeps, self.damping * self.noise * self.interval / self.substeps
        # dp/dt = growth p - bend p^2 and dphi/dt = N p have a closed form; the factors that depend on the current alone are
        # computed for all samples at once.
        relative = drive[..., 0] / self.critical
        growth, bend = 2 * self.damping * (relative - 1), 2 * self.damping * (relative + self.nonlinear_damping)
        stationary = growth.abs() * step < 1e-9
        factor = torch.exp(growth * step)
        spread = bend * torch.where(stationary, step, torch.expm1(growth * step) / torch.where(stationary, 1.0, growth))
        turn = self.shift / bend
        records = []
        for sample in zip(*(each.unbind(-1) for each in (factor, spread, turn)), strict=True):
            p, phase = self._after_sample(p, phase, sample, eta, generator)
            records.append(torch.stack([p.sqrt(), phase], -1))
        output = torch.stack(records, -2) * torch.tensor([self.scale, 1.0], dtype=p.dtype)
        if generator is not None and self.read_noise:
            noise = torch.randn(output.shape[:-1], generator=generator, dtype=output.dtype)
            output = torch.stack([output[..., 0] + self.read_noise * noise, output[..., 1]], -1)
        return Response(output, torch.stack([p, phase], -1), torch.zeros(drive.shape[:-1], dtype=torch.bool))

    def _after_sample(
        self, p: Tensor, phase: Tensor, sample: tuple[Tensor, ...], eta: float, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor]:
        """Return power and phase after one sample."""
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
        """Return one recording under a piecewise constant current.

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
        # A sample responds to the currents before it: the first to none, and the last current has no effect.
        later = self.step_block(memory, values[:-1, None], generator=generator).output
        outputs = torch.cat([first[None], later])
        return Trace(
            time=(torch.arange(len(values), dtype=torch.float64) * self.interval).numpy(),
            drive={"I": values.numpy()},
            output={name: outputs[:, self.outputs.index(name)].numpy() for name in output},
            units={"time": "s", "I": "A", "V": "V", "phase": "rad"},
            interpolation={"I": "held"},
            provenance={
                "simulator": "spinode.datasets.SpinTorqueOscillator",
                "device": {each.name: getattr(self, each.name) for each in fields(self)},
            },
        )
