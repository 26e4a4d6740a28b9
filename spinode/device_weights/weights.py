"""`DeviceWeights`: a tensor of weights held by memory devices, with their states, their wear and their generator."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from ..contracts.synapse import MAX_PULSES, RESET, SET, Pulses, State, Synapse
from ..errors import ConfigError
from .programming import Programmer, ProportionalProgrammer, SignProgrammer, StochasticProgrammer, WriteVerify, Written
from .state_dict import check_loaded

#: How many devices make a weight.
KINDS = {"single": 1, "pair": 2, "sign": 2}
#: Which devices of a pair take the pulses.
POLICIES = ("both", "set", "reset")
#: What may be random: the devices' own constants, the cycle-to-cycle noise of pulses, the noise of reads.
NOISE = ("devices", "pulses", "read")

_OWN = (SignProgrammer, StochasticProgrammer, ProportionalProgrammer)  # whose counts are whole by construction
_PROBES = 256  # devices that the jitter is taken from
_PIECE = 32768  # devices whose wear is counted at a time


class DeviceWeights(nn.Module):
    """Weights w of one shape, each held by one memory device of conductance G or by two, G+ and G-.

    - "single": w = scale (G - reference)
    - "pair":   w = scale (G+ - G-)
    - "sign":   w = +w_max if G+ >= G-, else -w_max; the latent weight scale (G+ - G-) is what pulses move

    All devices of the weights are one population of the synapse, of shape (devices per weight, *shape): G+ stands first.
    States, wear and generator are in the state dict, so that a restored run goes on as if it had not been interrupted.
    A SET pulse makes w grow on G+ and shrink on G-. Which of a pair takes the n pulses of an update is the policy:

    - "both":  n on G+ and -n on G-, the step is that of two pulses; for devices that answer SET and RESET
    - "set":   SET on G+ for n > 0, SET on G- for n < 0; both grow, and in the end nothing moves any more
    - "reset": RESET on G- for n > 0, RESET on G+ for n < 0; likewise, downwards

    Args:
        shape: Shape of the weights, such as (10, 784).
        synapse: The kind of device.
        kind: "single", "pair" or "sign".
        w_max: The weight that the range low .. high of the synapse spans, -w_max .. w_max; for "sign" the magnitude.
        scale: Weight per unit of conductance [1/unit]; from w_max if omitted.
        reference: Conductance [unit] of the weight zero, for "single"; the middle of the range if omitted.
        policy: "both", "set" or "reset"; what the device answers if omitted, "both" where it is both.
        noise: What is random, some of "devices", "pulses" and "read".
        seed: Seed of the weights' own generator, or a generator that one is drawn from.
        dtype: Floating-point type of states and weights.

    Raises:
        ConfigError: an unknown kind, policy or noise; what is no synapse; a range that is not positive; a device that
            answers one polarity alone as "single", or a policy that it does not answer; and by `load_state_dict`, entries
            of another kind, synapse, shape or scale, or not finite: then nothing of these weights is changed.

    Source: two devices a weight, in which RESET pulses on one side or the other move the sign: Majumdar et al., IEEE Trans.
    Electron Devices (2021), arXiv 2107.06064.
    """

    wear: Tensor

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
        self.synapse = checked_synapse(synapse)
        self.kind = _one_of("kind", kind, tuple(KINDS))
        self.policy = _policy(synapse, kind, policy)
        if isinstance(noise, str):
            raise ConfigError(f"noise is the string {noise!r}; expected names in a sequence, ({noise!r},), or () for none.")
        self.noise = frozenset(_one_of("noise", each, NOISE) for each in noise)
        span = synapse.high - synapse.low
        self.w_max = _positive("w_max", w_max)
        self.scale = _positive("scale", (2 if kind == "single" else 1) * w_max / span if scale is None else scale)
        self.reference = (synapse.low + synapse.high) / 2 if reference is None else float(reference)
        #: Energy [J] of all pulses so far; None where the synapse knows none. Set it to None to save the time it takes.
        self.energy: float | None = 0.0
        #: Raised by each change of the devices.
        self.version = 0
        self._generator = seeded(seed)
        self._shape = torch.Size(shape)
        state = synapse.initial((KINDS[kind], *self._shape), generator=self._source("devices"), dtype=dtype)
        self._names = tuple(state)
        for name, value in state.items():
            self.register_buffer(f"state_{name}", value.clone(memory_format=torch.contiguous_format))
        self.register_buffer("wear", torch.zeros((KINDS[kind], *self._shape), dtype=torch.int64))
        self._reads_alike = not _draws_in_read(synapse)
        self._step: float | None = None

    # --- what is stored ----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> torch.Size:
        """Shape of the weights."""
        return self._shape

    @property
    def state(self) -> State:
        """The devices, shape (devices per weight, *shape) and on: the tensors themselves, no copies."""
        return {name: self._buffers[f"state_{name}"] for name in self._names}  # type: ignore[misc]

    @property
    def pulses(self) -> int:
        """Pulses of all devices so far; `wear` has them by device."""
        return int(self.wear.sum())

    @property
    def noisy(self) -> bool:
        """Whether reads differ: "read" is among the noise, and the synapse draws some."""
        return "read" in self.noise and not self._reads_alike

    @property
    def step(self) -> float:
        """Change of the (latent) weight by one pulse of an update, for the typical fresh device and its stronger polarity.

        Raises:
            ConfigError: a fresh device that no single pulse moves.
        """
        if self._step is None:
            typical = self.synapse.initial((1,), dtype=torch.float64)
            sizes = []
            for polarity in self.synapse.polarities:
                pulse = Pulses(torch.full((1,), 1.0 if polarity == SET else -1.0))
                moved = self.synapse.read(self.synapse.program(typical, pulse)) - self.synapse.read(typical)
                sizes.append(abs(float(moved.detach())))
            self._step = max(sizes) if self.policy != "both" else sum(sizes)
        if not self._step > 0:
            raise ConfigError("one pulse does not move a fresh device; name a programmer=, such as ProportionalProgrammer().")
        return self._step * self.scale

    @property
    def jitter(self) -> float:
        """Standard deviation of the (latent) weight after one pulse, over equal devices: what noise of pulse and read makes."""
        generator = torch.Generator().manual_seed(0)
        typical = self.synapse.initial((_PROBES,), dtype=torch.float64)
        pulse = Pulses(torch.full((_PROBES,), 1.0 if SET in self.synapse.polarities else -1.0))
        with torch.no_grad():
            after = self.synapse.program(typical, pulse, generator=generator if "pulses" in self.noise else None)
            read = self.synapse.read(after, generator=generator if "read" in self.noise else None)
        return float(read.std()) * self.scale * math.sqrt(KINDS[self.kind])

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, *, noisy: bool | None = None, at: Tensor | None = None) -> Tensor:
        """The weights as a read sees them, shape of the weights.

        Args:
            noisy: With read noise; by default where `noise` names it.
            at: Places of the weights to read in the flattened weights, shape (some,); all of them if omitted.
        """
        return self.from_latent(self.latent(noisy=noisy, at=at))

    def latent(self, *, noisy: bool | None = None, at: Tensor | None = None) -> Tensor:
        """What pulses move, scale (G+ - G-) or scale (G - reference): the weights themselves but for "sign"; see `read`."""
        source = self._source("read") if (self.noisy if noisy is None else noisy) else None
        return self._latent(self.synapse.read(self._taken(at), generator=source))

    def _latent(self, conductance: Tensor) -> Tensor:
        minus = self.reference if self.kind == "single" else conductance[1]
        return (conductance[0] - minus).mul_(self.scale)

    def from_latent(self, latent: Tensor) -> Tensor:
        """The weights of latent weights: the same, or for "sign" +-w_max, whose derivative is that of the latent weight."""
        if self.kind != "sign":
            return latent
        binary = torch.copysign(torch.tensor(self.w_max, dtype=latent.dtype, device=latent.device), latent.detach())
        return binary + (latent - latent.detach()) if latent.requires_grad else binary

    # --- programming -------------------------------------------------------------------------------------------------

    def program(self, update: Tensor, programmer: Programmer | WriteVerify | None = None) -> int:
        """Move the weights by an update, as well as programmer and devices can.

        Args:
            update: Wished change, shape of the weights.
            programmer: How pulses are chosen; rounding at random by `step` if omitted.

        Returns:
            How many pulses it took.

        Raises:
            ConfigError: an update of another shape, NaN or infinite, or beyond a million pulses; no device is touched.
        """
        if isinstance(programmer, WriteVerify):
            self.check(update, "the update")
            return programmer.write(self, self.read(noisy=False) + update).pulses
        programmer = programmer or StochasticProgrammer(self.step)
        return self._give_counts(self.counts(update, programmer), programmer)

    def counts(self, update: Tensor, programmer: Programmer, name: str = "the update") -> Tensor:
        """The numbers of pulses that `program` would give, checked; arguments and errors as there, `name` for messages."""
        self.check(update, name)
        counts = programmer.counts(update.detach(), self._here())
        if counts.shape != self._shape or not bool(_largest(counts) <= MAX_PULSES):
            raise ConfigError(
                f"{name} takes {float(_largest(counts)):g} pulses at {tuple(counts.shape)} weights; expected at most "
                f"{MAX_PULSES:g} at {tuple(self._shape)}. Has the optimiser diverged, or is the step of "
                f"{type(programmer).__name__} too small?"
            )
        return counts

    def _give_counts(self, counts: Tensor, programmer: Programmer) -> int:
        """`pulse` with what `counts` returned for this programmer: whether numbers are whole is asked of foreign ones only."""
        if type(programmer) not in _OWN:
            return self.pulse(counts)
        with torch.no_grad():
            return self._give(Pulses._trusted(counts.to(next(iter(self.state.values()))), None, None), None)

    def pulse(self, counts: Tensor, *, at: Tensor | None = None, voltage: Any = None, width: Any = None) -> int:
        """Give each weight its pulses.

        Args:
            counts: Whole numbers, above zero where the weight shall grow, shape of the weights.
            at: As in `read`; `counts` then has its shape. Within `editing` only.
            voltage: Amplitude [V], a number or of a shape that fits that of the devices; the device's own if omitted.
            width: Width [s], likewise.

        Returns:
            How many pulses that were, over all devices.

        Raises:
            ConfigError: counts that are not whole or of another shape, amplitudes or widths that the synapse refuses.
        """
        with torch.no_grad():
            return self._give(Pulses(counts.to(next(iter(self.state.values()))), voltage, width), at)

    def _give(self, asked: Pulses, at: Tensor | None) -> int:
        before = self._taken(at)
        # Checked for the weights, that is once for both devices of a pair.
        pulses = Pulses._trusted(self._by_device(asked.count), asked.voltage, asked.width)
        after = self.synapse.program(before, pulses, generator=self._source("pulses"))
        taken = self.synapse.energy(before, pulses) if self.energy is not None else None
        self.energy = None if taken is None or self.energy is None else self.energy + float(taken.sum(dtype=torch.float64))
        self._keep(after, pulses.count, at)
        return _total(asked.count) * (2 if self.kind != "single" and self.policy == "both" else 1)

    def write(self, target: Tensor, verify: WriteVerify | None = None, *, at: Tensor | None = None) -> Written:
        """Write weights by a closed loop, see `WriteVerify.write`; of "sign" weights the sign of the target alone.

        Args:
            target: Wished weights, shape of the weights.
            verify: If omitted, with a tolerance of one `step` or of twice the `jitter`, whichever is more, and for each weight
                four times the pulses that w_max takes, at least 10 000 and at most a million.
            at: Places of the weights that are written, in the flattened weights, shape (some,); all of them if omitted.

        Raises:
            ConfigError: a target of another shape, NaN or infinite; no device is touched.
        """
        if verify is None:
            most = min(max(10_000, math.ceil(4 * self.w_max / self.step)), MAX_PULSES)
            verify = WriteVerify(max(self.step, 2 * self.jitter), most)
        if self.kind == "sign":
            # Either side of zero is all that can be told: half the way between the two is the tolerance.
            self.check(target, "the target")
            return WriteVerify(self.w_max, verify.most).write(self, target.sign() * self.w_max, at)
        return verify.write(self, target, at)

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
        """The weights as they would be after an update, differentiable in update, voltage, width and state; nothing is stored.

        The count is rounded in the value and not in the derivative: n = round(c), dn/dc = 1, c = update pulses_per_unit.
        Derivatives then run through the synapse's own equations. "sign" passes that of the latent weight.

        Args:
            update: Wished change, shape of the weights.
            pulses_per_unit: Pulses for a change of one; 1 / `step` if omitted, 1 for "sign".
            voltage: As in `pulse`.
            width: As in `pulse`.
            state: Devices in place of the stored ones.
            noisy: With noise of pulses and read, as far as `noise` names it.

        Raises:
            ConfigError: as `program` and `pulse`.
        """
        self.check(update, "the update")
        if pulses_per_unit is None:
            pulses_per_unit = 1.0 if self.kind == "sign" else 1 / self.step
        wished = update * pulses_per_unit
        count = wished.detach().round() + (wished - wished.detach())
        pulses = Pulses(self._by_device(count), voltage, width)
        source = self._source("pulses") if noisy else None
        after = self.synapse.program(self.state if state is None else state, pulses, generator=source)
        read = self.synapse.read(after, generator=self._source("read") if noisy else None)
        return self.from_latent(self._latent(read))

    def check(self, values: Tensor, name: str) -> None:
        """Raise a `ConfigError` if values for the weights have another shape, or are not finite."""
        if values.shape != self._shape:
            raise ConfigError(f"{name} has shape {tuple(values.shape)}; expected that of the weights, {tuple(self._shape)}.")
        if not bool(_largest(values.detach()) < math.inf):
            bad = int((~torch.isfinite(values)).sum())
            raise ConfigError(
                f"{bad} of {values.numel()} values of {name} are NaN or infinite; no device was touched. Look at loss and "
                "gradients, or lower the learning rate."
            )

    @contextmanager
    def editing(self) -> Iterator[None]:
        """Within it, `pulse(..., at=...)` changes the stored tensors in place; elsewhere they are replaced, never changed."""
        for name, value in self.state.items():
            self._buffers[f"state_{name}"] = value.clone(memory_format=torch.contiguous_format)
        yield

    @contextmanager
    def drawing_from(self, generator: torch.Generator) -> Iterator[None]:
        """Within it all noise comes from another generator, and that of these weights rests."""
        own, self._generator = self._generator, generator
        try:
            yield
        finally:
            self._generator = own

    def _by_device(self, counts: Tensor) -> Tensor:
        """Pulses of the weights' devices, (devices per weight, *shape), above zero for SET."""
        if self.kind == "single":
            return counts.unsqueeze(0)
        if self.policy == "both":
            return torch.stack((counts, -counts))
        # G+ takes its share of one sign; what remains goes to G- with the sign turned. One of the two passes the derivative.
        low, high = (0, None) if self.policy == "set" else (None, 0)
        if counts.requires_grad and torch.is_grad_enabled():
            plus = counts.clamp(low, high)
            return torch.stack((plus, plus - counts))
        devices = counts.new_empty((2, *counts.shape))
        torch.clamp(counts, low, high, out=devices[0])
        torch.sub(devices[0], counts, out=devices[1])
        return devices

    def _taken(self, at: Tensor | None) -> State:
        if at is None:
            return self.state
        return {name: _flat(value, self._shape)[:, at] for name, value in self.state.items()}

    def _keep(self, state: State, counts: Tensor, at: Tensor | None) -> None:
        self.version += 1
        if at is None:
            # By the piece, for whole numbers that are made on the way fit into the cache then.
            for wear, more in zip(self.wear.view(-1).split(_PIECE), counts.reshape(-1).split(_PIECE), strict=True):
                wear.add_(more.abs().to(torch.int32))
            for name in self._names:
                self._buffers[f"state_{name}"] = state[name]
            return
        _flat(self.wear, self._shape)[:, at] += counts.abs().to(self.wear.dtype)
        for name, value in self.state.items():
            _flat(value, self._shape)[:, at] = state[name]

    # --- randomness and the state dict -------------------------------------------------------------------------------

    def _source(self, name: str) -> torch.Generator | None:
        return self._here() if name in self.noise else None

    def _here(self) -> torch.Generator:
        """The generator, on the device where the states are."""
        device = self.wear.device if "wear" in self._buffers else self._generator.device
        if self._generator.device != device:
            self._generator = torch.Generator(device).manual_seed(_drawn(self._generator))
        return self._generator

    @property
    def identity(self) -> dict[str, str]:
        """What a state dict must agree in: kind, and class and unit of the synapse."""
        return {"kind": self.kind, "synapse": type(self.synapse).__name__, "unit": self.synapse.unit}

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *rest: Any) -> None:
        if any(name.startswith(prefix) for name in state_dict):  # else torch says what is missing, if it minds
            check_loaded(self, state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def get_extra_state(self) -> dict[str, Any]:
        """The generator, the plain numbers and the identity, for the state dict."""
        numbers = {name: getattr(self, name) for name in ("w_max", "scale", "reference", "energy")}
        return {"generator": self._generator.get_state(), **numbers, **self.identity}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Take them back from a state dict."""
        self._generator.set_state(state["generator"].cpu())
        for name in ("w_max", "scale", "reference", "energy"):
            setattr(self, name, state[name])
        self.version += 1

    def __getstate__(self) -> dict[str, Any]:
        # A generator cannot be copied in every torch that we support; its state can.
        return {**self.__dict__, "_generator": (self._generator.device, self._generator.get_state())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        device, numbers = state["_generator"]
        super().__setstate__({**state, "_generator": torch.Generator(device).set_state(numbers)})  # type: ignore[no-untyped-call]

    def extra_repr(self) -> str:
        """What `print` shows."""
        return f"{tuple(self._shape)}, {type(self.synapse).__name__}, kind={self.kind!r}, policy={self.policy!r}"


def seeded(seed: int | torch.Generator) -> torch.Generator:
    """A generator of one's own: from a number, or by a draw from another one, which is moved on by it."""
    if isinstance(seed, torch.Generator):
        return torch.Generator().manual_seed(_drawn(seed))
    if isinstance(seed, int):
        return torch.Generator().manual_seed(seed)
    raise ConfigError(f"seed is {seed!r}; expected a whole number or a torch.Generator.")


def _drawn(generator: torch.Generator) -> int:
    return int(torch.randint(2**62, (), generator=generator, device=generator.device))


def _largest(values: Tensor) -> Tensor:
    """Largest magnitude; NaN where one value is. One pass, and no temporary of the size of the values."""
    low, high = torch.aminmax(values)
    return torch.maximum(-low, high)


def _total(counts: Tensor) -> int:
    """Sum of magnitudes of whole numbers; exact, for sums below 2^24 are so in single precision."""
    counts = counts.abs()
    total = float(counts.sum())
    return int(total) if total < 2**24 else int(counts.sum(dtype=torch.float64))


def _flat(value: Tensor, shape: torch.Size) -> Tensor:
    """A state with one dimension in place of those of the weights; a view."""
    return value.view(value.shape[0], shape.numel(), *value.shape[1 + len(shape) :])


def _draws_in_read(synapse: Synapse) -> bool:
    """Whether reads take from the generator that they are given; where not, one read serves many."""
    generator = torch.Generator().manual_seed(0)
    devices = synapse.initial((2,), generator=generator)
    before = generator.get_state()
    synapse.read(devices, generator=generator)
    return not torch.equal(before, generator.get_state())


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ConfigError(f"{name} is {value!r}; expected {' or '.join(map(repr, known))}.")
    return value


def checked_synapse(synapse: Any) -> Synapse:
    """The same, or a `ConfigError` where it is none."""
    if isinstance(synapse, type) or not isinstance(synapse, Synapse):
        raise ConfigError(
            f"synapse is {synapse!r}; expected a device model: an instance such as WeakReset(), or load(name) of a file or "
            "of the zoo."
        )
    return synapse


def _positive(name: str, value: float) -> float:
    if not (0 < value < math.inf):
        raise ConfigError(f"{name} is {value}; expected a positive number.")
    return float(value)


def _policy(synapse: Synapse, kind: str, policy: str | None) -> str:
    """The policy of a pair, or "set" for single devices, whose count is the pulses' own."""
    answers = set(synapse.polarities)
    if kind == "single":
        if answers != {SET, RESET}:
            raise ConfigError(
                f"the device answers {', '.join(synapse.polarities)} pulses only, so that a weight of one device could never "
                "turn back; use kind='pair' or kind='sign'."
            )
        if policy is not None:
            raise ConfigError(f"policy is {policy!r}, which says how two devices share pulses; leave it out for 'single'.")
        return "set"
    own = "both" if answers == {SET, RESET} else "set" if SET in answers else "reset"
    chosen = _one_of("policy", own if policy is None else policy, POLICIES)
    needs = {"both": {SET, RESET}, "set": {SET}, "reset": {RESET}}[chosen]
    if not needs <= answers:
        raise ConfigError(f"policy is {chosen!r}, and the device answers {', '.join(synapse.polarities)} only; use {own!r}.")
    return chosen
