"""`DeviceWeights`: a tensor of weights stored in memory devices, with the states, the wear and the generator of the devices."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..contracts.synapse import MAX_PULSES, Pulses, State, Synapse, check_synapse
from ..errors import ConfigError
from ..random import make_generator
from ..validation import describe_type, number, one_of, whole_numbers
from .encoding import KINDS, choose_policy, device_pulses, latent_weight, sign_weight
from .indices import check_indices, exact_trains, flat_view
from .magnitudes import max_magnitude, total_magnitude
from .programming import Programmer, ProportionalProgrammer, SignProgrammer, StochasticProgrammer
from .states import DeviceStates
from .typical_device import draws_in_read, pulse_deviation, pulse_step
from .write_verify import WriteResult, WriteVerify

#: Sources of randomness: the constants of the devices, the cycle-to-cycle noise of pulses, the noise of reads.
NOISE = ("devices", "pulses", "read")

_WHOLE = (SignProgrammer, StochasticProgrammer, ProportionalProgrammer)  # return whole numbers by construction
_WEAR_BLOCK = 32768  # devices whose wear is updated at a time


class DeviceWeights(DeviceStates):
    """Weights w of one shape, each stored in one memory device of conductance G or in two, G+ and G-.

    - "single": w = scale (G - reference)
    - "pair":   w = scale (G+ - G-)
    - "sign":   w = +w_max if G+ >= G-, else -w_max; pulses change the latent weight scale (G+ - G-)

    All devices form one population of the synapse, of shape (devices per weight, *shape), with G+ first. States, wear and
    generator are in the state dict, so a restored run continues exactly. A SET pulse on G+ increases w, on G- it decreases w.
    The policy decides which device of a pair receives the n pulses of an update:

    - "both":  n on G+ and -n on G-, so a step is that of two pulses; for devices that respond to SET and RESET
    - "set":   SET on G+ for n > 0, SET on G- for n < 0; both conductances grow until they saturate
    - "reset": RESET on G- for n > 0, RESET on G+ for n < 0; both conductances fall until they saturate

    Args:
        shape: Shape of the weights, such as (10, 784).
        synapse: The device model.
        kind: "single", "pair" or "sign".
        w_max: The range low .. high of the synapse corresponds to -w_max .. w_max; for "sign", the magnitude.
        scale: Weight per conductance, in one over the synapse's unit of conductance; from w_max if omitted.
        reference: Conductance [unit] of the weight zero, for "single"; the middle of the range if omitted.
        policy: "both", "set" or "reset"; if omitted, "both" for a device that can be SET and RESET, else its only polarity.
        noise: Sources of randomness: some of "devices", "pulses" and "read".
        seed: Seed of the weights' own generator, or a generator from which that seed is drawn.
        dtype: Floating-point type of states and weights.

    Attributes:
        wear: Number of pulses that each device has received, shape (devices per weight, *shape).
        energy: Energy [J] of all pulses so far; None if the synapse does not know it. Set it to None to save time.
        version: Increases with each change of the devices.

    Raises:
        ConfigError: an unknown kind, policy or noise; something that is not a synapse; a range that is not positive; a
            device with one polarity as "single", or a policy that it cannot follow. Also by `load_state_dict`, for entries
            of another kind, synapse, shape or scale, or that are not finite; these weights then stay unchanged.

    Example:
        >>> from spinode.datasets import WeakReset
        >>> weights = DeviceWeights((2, 3), WeakReset(), seed=0)
        >>> weights.program(torch.full((2, 3), 0.2)) > 0  # pulses
        True
        >>> weights.read().shape
        torch.Size([2, 3])

    Source: two devices per weight, where RESET pulses on one side or the other change the sign: Majumdar et al., IEEE Trans.
    Electron Devices (2021), arXiv 2107.06064.
    """

    def __init__(
        self,
        shape: Sequence[int],
        synapse: Synapse,
        *,
        kind: str = "pair",
        w_max: float = 1.0,
        scale: float | None = None,
        reference: float | None = None,
        policy: str | None = None,
        noise: Collection[str] = NOISE,
        seed: int | torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.synapse = check_synapse(synapse)
        self.kind: str = one_of("kind", kind, KINDS)
        self.policy = choose_policy(synapse, kind, policy)
        if isinstance(noise, str):
            raise ConfigError(f"noise is the string {noise!r}; expected names in a sequence, ({noise!r},), or () for none.")
        if not isinstance(noise, Collection):
            raise ConfigError(f"noise is {noise!r}; expected names in a sequence, such as ('read',), or () for none.")
        self.noise = frozenset(one_of("noise", each, NOISE) for each in noise)
        span = synapse.high - synapse.low
        self.w_max = number("w_max", w_max, 0, above=True)
        default_scale = (2 if kind == "single" else 1) * self.w_max / span
        self.scale = number("scale", default_scale if scale is None else scale, 0, above=True)
        self.reference = number("reference", (synapse.low + synapse.high) / 2 if reference is None else reference)
        self.energy: float | None = 0.0
        self.version = 0
        self._editing = False
        self._generator = make_generator(seed)
        self._shape = torch.Size(whole_numbers("shape", shape, 1, empty=True, example=(10, 784)))
        state = synapse.initial((KINDS[kind], *self._shape), generator=self._source("devices"), dtype=dtype)
        self._names = tuple(state)
        for name, value in state.items():
            self.register_buffer(f"state_{name}", value.clone(memory_format=torch.contiguous_format))
        self.register_buffer("wear", torch.zeros((KINDS[kind], *self._shape), dtype=torch.int64))
        self._reads_without_noise = not draws_in_read(synapse)
        self._step: float | None = None

    # --- properties --------------------------------------------------------------------------------------------------

    @property
    def shape(self) -> torch.Size:
        """Shape of the weights."""
        return self._shape

    @property
    def pulses(self) -> int:
        """Number of pulses of all devices so far; `wear` has it for each device."""
        return int(self.wear.sum())

    @property
    def noisy(self) -> bool:
        """True if reads differ: `noise` contains "read", and the synapse has read noise."""
        return "read" in self.noise and not self._reads_without_noise

    @property
    def step(self) -> float:
        """Change of the (latent) weight by one pulse, for the typical fresh device and its stronger polarity.

        Raises:
            ConfigError: a single pulse does not move a fresh device.
        """
        if self._step is None:
            self._step = pulse_step(self.synapse, both=self.policy == "both")
        if not self._step > 0:
            raise ConfigError("one pulse does not move a fresh device; pass programmer=, such as ProportionalProgrammer().")
        return self._step * self.scale

    @property
    def write_noise(self) -> float:
        """Standard deviation of the (latent) weight after one pulse, over equal devices, from noise of pulse and read."""
        deviation = pulse_deviation(self.synapse, pulses="pulses" in self.noise, read="read" in self.noise)
        return deviation * self.scale * math.sqrt(KINDS[self.kind])

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, *, noisy: bool | None = None, indices: Tensor | None = None) -> Tensor:
        """Read the weights.

        Args:
            noisy: Add read noise; by default if `noise` contains "read".
            indices: Indices of the flattened weights to read, shape (n,); all of them if omitted.

        Returns:
            Weights, in their shape, or shape (n,) with `indices`.

        Raises:
            ConfigError: indices of another type, or of no weight.
        """
        if not self._editing:
            check_indices(indices, self._shape.numel(), once=False)
        return self.from_latent(self.latent(noisy=noisy, indices=indices))

    def latent(self, *, noisy: bool | None = None, indices: Tensor | None = None) -> Tensor:
        """Read the latent weights that pulses change: scale (G+ - G-) or scale (G - reference).

        They are the weights themselves except for "sign". Arguments are those of `read`.
        """
        return latent_weight(self.conductance(noisy=noisy, indices=indices), self.kind, self.scale, self.reference)

    def conductance(self, *, noisy: bool | None = None, indices: Tensor | None = None) -> Tensor:
        """Read the conductances [unit], shape (devices per weight, weights...), G+ first. Arguments are those of `read`."""
        source = self._source("read") if (self.noisy if noisy is None else noisy) else None
        return self.synapse.read(self._select(indices), generator=source)

    def from_latent(self, latent: Tensor) -> Tensor:
        """Return the weights of latent weights; for "sign" +-w_max, whose derivative is that of the latent weight."""
        return sign_weight(latent, self.w_max) if self.kind == "sign" else latent

    # --- programming -------------------------------------------------------------------------------------------------

    def program(self, update: Tensor, programmer: Programmer | WriteVerify | None = None) -> int:
        """Change the weights by an update, as precisely as programmer and devices allow.

        Args:
            update: Requested change, shape of the weights.
            programmer: Chooses the pulses; stochastic rounding by `step` if omitted.

        Returns:
            Number of pulses of all devices.

        Raises:
            ConfigError: an update of another shape, NaN or infinite, or beyond a million pulses; no device is changed.
        """
        if isinstance(programmer, WriteVerify):
            self.check(update, "the update")
            return programmer.write(self, self.read(noisy=False) + update).pulses
        programmer = programmer or StochasticProgrammer(self.step)
        return self.apply_counts(self.counts(update, programmer), programmer)

    def counts(self, update: Tensor, programmer: Programmer, name: str = "the update") -> Tensor:
        """Return the checked numbers of pulses of an update; `apply_counts` then gives them to the devices.

        Args:
            update: As for `program`.
            programmer: Chooses the pulses.
            name: Name of the update in messages.

        Raises:
            ConfigError: as `program`.
        """
        self.check(update, name)
        counts = programmer.counts(update.detach(), self._local_generator())
        if counts.shape != self._shape or not bool(max_magnitude(counts) <= MAX_PULSES):
            raise ConfigError(
                f"{name} takes {float(max_magnitude(counts)):g} pulses at {tuple(counts.shape)} weights; expected at most "
                f"{MAX_PULSES:g} at {tuple(self._shape)}. Has the optimiser diverged, or is the step of "
                f"{type(programmer).__name__} too small?"
            )
        return counts

    def apply_counts(self, counts: Tensor, programmer: Programmer) -> int:
        """Apply the pulses that `counts` returned for this programmer, and return the number of pulses of all devices.

        Counts of our own programmers are whole by construction and are not checked again.
        """
        if type(programmer) not in _WHOLE:
            return self.pulse(counts)
        pulses = Pulses.unchecked(counts)
        with torch.no_grad():
            return sum(self._apply_pulses(part, None) for part in exact_trains(pulses, next(iter(self.state.values()))))

    def pulse(self, counts: Tensor, *, indices: Tensor | None = None, voltage: Any = None, width: Any = None) -> int:
        """Apply pulses to the weights.

        Args:
            counts: Whole numbers, above zero where the weight grows, shape of the weights.
            indices: As for `read`; `counts` then has its shape. Only within `editing`.
            voltage: Amplitude [V], a number or a tensor that broadcasts to the devices; the device's own if omitted.
            width: Width [s], as for `voltage`.

        Returns:
            Number of pulses of all devices.

        Raises:
            ConfigError: counts that are not whole or of another shape, indices that occur twice, amplitudes or widths that
                the synapse refuses.
        """
        if not self._editing:
            check_indices(indices, self._shape.numel())
        pulses = Pulses(counts, voltage, width)
        with torch.no_grad():
            return sum(self._apply_pulses(part, indices) for part in exact_trains(pulses, next(iter(self.state.values()))))

    @torch.inference_mode(mode=False)
    def _apply_pulses(self, requested: Pulses, indices: Tensor | None) -> int:
        before = self._select(indices)
        # The counts of the weights were checked, and those of both devices of a pair follow from them.
        pulses = Pulses.unchecked(device_pulses(requested.count, self.kind, self.policy), requested.voltage, requested.width)
        after = self.synapse.program(before, pulses, generator=self._source("pulses"))
        if self.energy is not None:
            energy = self.synapse.energy(before, pulses)
            self.energy = None if energy is None else self.energy + float(energy.sum(dtype=torch.float64))
        self._store(after, pulses.count, indices)
        return total_magnitude(requested.count) * (2 if self.kind != "single" and self.policy == "both" else 1)

    def write(self, target: Tensor, verify: WriteVerify | None = None, *, indices: Tensor | None = None) -> WriteResult:
        """Write weights in a closed loop, see `WriteVerify.write`; for "sign" weights, only the sign of the target.

        Args:
            target: Requested weights, shape of the weights.
            verify: If omitted, the tolerance is one `step` or twice the `write_noise`, whichever is larger, and each weight
                may take four times the pulses for a change of w_max, at least 10 000 and at most a million.
            indices: Indices of the flattened weights to write, shape (n,); all of them if omitted.

        Raises:
            ConfigError: a target of another shape, NaN or infinite; no device is changed.
        """
        self.check(target, "the target")
        check_indices(indices, self._shape.numel())
        if verify is None:
            max_pulses = min(max(10_000, math.ceil(4 * self.w_max / self.step)), MAX_PULSES)
            verify = WriteVerify(max(self.step, 2 * self.write_noise), max_pulses)
        if self.kind == "sign":
            # A read shows only the side of zero; half the distance of the two weights is the tolerance.
            return WriteVerify(self.w_max, verify.max_pulses).write(self, target.sign() * self.w_max, indices)
        return verify.write(self, target, indices)

    def programmed(
        self,
        update: Tensor,
        *,
        pulses_per_unit: float | None = None,
        voltage: Tensor | float | None = None,
        width: Tensor | float | None = None,
        state: State | None = None,
        noisy: bool = False,
    ) -> Tensor:
        """Return the weights as they would be after an update, differentiable; nothing is stored.

        Derivatives in update, voltage, width and state follow the equations of the synapse. The number of pulses is rounded in
        the value but not in the derivative: n = round(c), dn/dc = 1, c = update * pulses_per_unit. "sign" passes the
        derivative of the latent weight.

        Args:
            update: Requested change, shape of the weights.
            pulses_per_unit: Pulses for a change of one; 1 / `step` if omitted, 1 for "sign".
            voltage: As for `pulse`.
            width: As for `pulse`.
            state: States of the devices; the stored ones if omitted.
            noisy: Add the noise of pulses and reads, as far as `noise` contains it.

        Raises:
            ConfigError: as `program` and `pulse`.
        """
        self.check(update, "the update")
        if pulses_per_unit is None:
            pulses_per_unit = 1.0 if self.kind == "sign" else 1 / self.step
        exact = update * pulses_per_unit
        count = exact.detach().round() + (exact - exact.detach())
        pulses = Pulses(device_pulses(count, self.kind, self.policy), voltage, width)
        source = self._source("pulses") if noisy else None
        after = self.synapse.program(self.state if state is None else state, pulses, generator=source)
        read = self.synapse.read(after, generator=self._source("read") if noisy else None)
        return self.from_latent(latent_weight(read, self.kind, self.scale, self.reference))

    def check(self, values: Tensor, name: str) -> None:
        """Raise a `ConfigError` if values for the weights have another shape or are not finite; `name` is for the message."""
        if not isinstance(values, Tensor) or values.dtype.is_complex or values.dtype == torch.bool:
            given = values.dtype if isinstance(values, Tensor) else describe_type(values)
            raise ConfigError(f"{name} is {given}; expected a tensor of real numbers, such as torch.as_tensor(array).float().")
        if values.shape != self._shape:
            raise ConfigError(f"{name} has shape {tuple(values.shape)}; expected that of the weights, {tuple(self._shape)}.")
        if not bool(max_magnitude(values.detach()) < math.inf):
            bad = int((~torch.isfinite(values)).sum())
            raise ConfigError(
                f"{bad} of {values.numel()} values of {name} are NaN or infinite; no device was changed. Check loss and "
                "gradients, or lower the learning rate."
            )

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Let `pulse(..., indices=...)` change the stored tensors in place; otherwise they are replaced, never changed."""
        for name, value in self.state.items():
            self._buffers[f"state_{name}"] = value.clone(memory_format=torch.contiguous_format)
        self._editing = True
        try:
            yield
        finally:
            self._editing = False

    @contextmanager
    def drawing_from(self, generator: torch.Generator) -> Iterator[None]:
        """Draw all noise from another generator within a `with` block; the weights' own generator is not advanced."""
        own, self._generator = self._generator, generator
        try:
            yield
        finally:
            self._generator = own

    def _select(self, indices: Tensor | None) -> State:
        if indices is None:
            return self.state
        return {name: flat_view(value, self._shape)[:, indices] for name, value in self.state.items()}

    def _store(self, state: State, counts: Tensor, indices: Tensor | None) -> None:
        self.version += 1
        if indices is None:
            # In blocks, so that the temporary whole numbers fit into the cache.
            for wear, added in zip(self.wear.view(-1).split(_WEAR_BLOCK), counts.reshape(-1).split(_WEAR_BLOCK), strict=True):
                wear.add_(added.abs().to(torch.int32))
            for name in self._names:
                self._buffers[f"state_{name}"] = state[name]
            return
        flat_view(self.wear, self._shape)[:, indices] += counts.abs().to(self.wear.dtype)
        for name, value in self.state.items():
            flat_view(value, self._shape)[:, indices] = state[name]

    # --- randomness -------------------------------------------------------------------------------

    def _source(self, name: str) -> torch.Generator | None:
        return self._local_generator() if name in self.noise else None

    def extra_repr(self) -> str:
        """Return the settings that `print` shows."""
        return f"{tuple(self._shape)}, {type(self.synapse).__name__}, kind={self.kind!r}, policy={self.policy!r}"
