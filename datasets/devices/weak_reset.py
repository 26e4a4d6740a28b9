"""`WeakReset`: an HfOx memory whose resistance grows slightly with each weak RESET pulse (Majumdar et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...contracts.synapse import RESET, SET, Pulses, State, SynapseModel
from ...contracts.synapse_registry import register_synapse
from .population import check_numbers, checked_amplitudes
from .pulse_noise import Pink, Telegraph
from .truncated import truncated_exponential, truncated_lognormal, truncated_normal

SLOPE = truncated_exponential(3.7415768e-5, 6.5646780e-4, 3.74e-5, 7.6e-3)
CORNER = truncated_lognormal(542.53852, 0.80338177, 41.0, 2000.0)
OFFSET = truncated_normal(5.2931410e-3, 5.3208042e-2, -0.15, 0.15)
CREEP = truncated_exponential(0.0, 2.8890517e-5, 0.0, 1.3e-4)
FRESH = truncated_normal(6988.0, 381.7, 6252.0, 7897.0)  # ohm
TRAP = Telegraph(fill=0.0008, leave=0.002)
MAX_DEPTH = 0.5  # largest amplitude of random telegraph noise, in w
PINK = Pink()


@register_synapse("weak-reset", summary="HfOx memory under weak RESET pulses, with its spread and noise")
@dataclass(frozen=True, eq=False)
class WeakReset(SynapseModel):
    """An HfOx resistive memory under identical weak RESET pulses, with its device-to-device spread and its noise.

    After N pulses the resistance is R = R0 exp(w), w = w_mean + w_RTN + w_pink, with

    w_mean = c1 + m1 min(N, t*) + m2 max(N - t*, 0):

    that is, fast growth up to the corner t*, then creep. R0, c1, m1, t* and m2 differ from device to device and follow
    truncated distributions (`SLOPE`, `CORNER`, ...). w_RTN is random telegraph noise, `Telegraph`: a trap that fills and
    empties with probabilities of 0.0008 and 0.002 per pulse, and whose amplitude is drawn at each capture as U(0, 0.5) of the
    device times U(0, 1) times U(0, 1). w_pink is pink noise of standard deviation 0.01, `Pink`. Both change with RESET pulses
    only, not with reads. Voltage and width of the pulse are those of the measurement, not variables of the model.

    A fresh device has just been SET, N = 0, and its noise is stationary: the trap is filled with probability 2/7, and pink
    noise has its full variance. The typical device (no generator, or `d2d=False`) has the median of each constant and a trap
    of half the largest amplitude; without a generator the noise does not change.

    States have at least single precision, because the number of pulses must be exact.

    Attributes:
        d2d: True if devices differ; otherwise each has the median constants.
        rtn: Include random telegraph noise.
        pink: Include pink noise.
        set_pulses: SET pulses, one or more, return a device to N = 0 and leave R0, trap and pink noise unchanged (the
            variation of R0 from SET to SET was not published). If False, the device responds to RESET only, as in the
            published code.
        published: Noise as in the published code: pink noise is not centred (mean 0.054 in w), begins at zero and takes 15
            numbers per device; the trap begins empty, and its amplitude is drawn again in each call of `program`, even for
            devices without a pulse. For comparison with published results, not for new work.
        read_noise: Relative standard deviation of a read.
        low: Lower end of the usual range [S], 1 / 40 kohm; 4 % of the devices fall below it within 2000 pulses.
        high: Upper end [S], the largest fresh conductance of the truncated distribution, apart from noise and c1.
        voltage: Amplitudes [V] of SET and RESET pulses, used by `energy` only; without them the energy is None.
        width: Width [s] of a pulse, likewise.

    Raises:
        ConfigError: read noise that is negative or not a number, a range that is not positive, or pulses without a positive
            amplitude or width.

    Example:
        >>> from spinode import Pulses
        >>> synapse = WeakReset()
        >>> state = synapse.program(synapse.initial((2,)), Pulses(torch.tensor([0.0, -100.0])))
        >>> conductance = synapse.read(state)
        >>> bool(conductance[1] < conductance[0])
        True

    Source: A. Majumdar et al., "Model of the weak reset process in HfOx resistive memory for deep learning frameworks",
    IEEE Trans. Electron Devices (2021), arXiv 2107.06064; constants from the authors' code,
    github.com/Atreya95/Learning-with-memory-device-imperfections.
    """

    d2d: bool = True
    rtn: bool = True
    pink: bool = True
    set_pulses: bool = False
    published: bool = False
    read_noise: float = 0.0
    low: float = 1 / 40e3
    high: float = 1 / 6252.0
    voltage: tuple[float, float] | None = None
    width: float | None = None

    def __post_init__(self) -> None:
        check_numbers(self, ("read_noise",), closed=True)
        check_numbers(self, ("low",), closed=True, unit="S")
        check_numbers(self, ("high",), self.low, unit="S")
        if self.voltage is not None:
            object.__setattr__(self, "voltage", checked_amplitudes(self.voltage))
        if self.width is not None:
            check_numbers(self, ("width",), unit="s")
        object.__setattr__(self, "polarities", (SET, RESET) if self.set_pulses else (RESET,))

    def imperfections(self) -> dict[str, WeakReset]:
        """Return the device without each of its own imperfections, see `spinode.contracts.imperfections`."""
        off: dict[str, dict[str, Any]] = {
            "device-to-device": {"d2d": False},
            "cycle-to-cycle": {"pink": False},
            "telegraph noise": {"rtn": False},
            "read noise": {"read_noise": 0.0},
        }
        return {name: replace(self, **one) for name, one in off.items() if any(getattr(self, each) for each in one)}

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        dtype = torch.promote_types(dtype, torch.float32)
        differences = generator if self.d2d else None
        state = {"pulses": torch.zeros(shape, dtype=dtype)}
        for name, distribution in (("R0", FRESH), ("m1", SLOPE), ("corner", CORNER), ("c1", OFFSET), ("m2", CREEP)):
            state[name] = distribution.sample(shape, differences, dtype)
        if self.rtn:
            share = torch.full(shape, 0.5, dtype=dtype)
            if differences is not None:
                share = torch.rand(shape, generator=differences, dtype=dtype)
            state["depth"] = share.mul_(MAX_DEPTH)
            state["trap"] = TRAP.settled(state["depth"], None if self.published else generator)
        if self.pink and self.published:
            state["history"] = torch.zeros(*shape, PINK.taps, dtype=dtype)
        elif self.pink:
            state["slow"], state["white"] = torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
            if generator is not None:
                PINK.settled(state["slow"], state["white"], generator)
        return state

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        after = dict(state)
        count = pulses.count
        least, most = (float(end) for end in count.detach().aminmax())
        if not (self.published or least < 0 or most > 0):
            return after
        resets = count.neg().clamp_(min=0) if most > 0 else count.neg() if generator is not None else None
        after["pulses"] = state["pulses"] - count if resets is None else state["pulses"] + resets
        if most > 0:
            after["pulses"].masked_fill_(count > 0, 0.0)
        if generator is None or resets is None:
            return after
        resets = resets.detach()  # only the mean has a derivative with respect to the number of pulses
        if self.rtn and self.published:
            after["trap"] = TRAP.redrawn(state["trap"], state["depth"], resets, generator)
        elif self.rtn:
            after["trap"] = TRAP.after(state["trap"], state["depth"], resets, generator, most=max(-least, 0.0))
        if self.pink and self.published:
            after["history"] = PINK.shifted(state["history"], resets, generator)
        elif self.pink:
            after["slow"], after["white"] = PINK.after(state["slow"], state["white"], resets, generator)
        return after

    def _read(self, state: State, generator: torch.Generator | None) -> Tensor:
        fast = torch.minimum(state["pulses"], state["corner"])
        # exp(-w), each term subtracted on its own: one pass over the devices less than with -w of the sum.
        conductance = (fast - state["pulses"]).mul_(state["m2"]).addcmul_(state["m1"], fast, value=-1).sub_(state["c1"])
        for name in ("trap", "slow", "white"):
            if name in state:
                conductance -= state[name]
        if "history" in state:
            conductance -= PINK.filtered(state["history"])
        conductance = conductance.exp_() / state["R0"]  # not in place: autograd needs the result of exp
        if generator is None or not self.read_noise:
            return conductance
        noise = torch.randn(conductance.shape, generator=generator, dtype=conductance.dtype)
        return conductance * noise.mul_(self.read_noise).add_(1)
