"""Conformance tests of the `Synapse` contract."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import Tensor

from ..contracts.synapse import RESET, SET, Pulses, State, Synapse
from ..errors import ConfigError, DomainWarning
from .assertions import assert_refuses


class SynapseContract:
    """Tests that every synapse must pass. Subclass it as `Test...` and implement `make`.

    Attributes:
        pulses: Largest number of pulses of a device in the tests.

    Example:
        >>> from spinode.surrogates import IdealSynapse
        >>> class TestIdealSynapse(SynapseContract):
        ...     def make(self):
        ...         return IdealSynapse()
        >>> TestIdealSynapse().test_programming_does_not_change_the_given_state()
    """

    pulses = 5

    def make(self) -> Synapse:
        """Return the synapse under test."""
        raise NotImplementedError

    # --- shapes and states -------------------------------------------------------------------------------------------

    def test_it_implements_the_protocol(self) -> None:
        synapse = self.make()
        assert isinstance(synapse, Synapse)
        assert synapse.low < synapse.high
        assert synapse.polarities
        assert set(synapse.polarities) <= {SET, RESET}

    def test_populations_of_any_shape_are_supported(self) -> None:
        synapse = self.make()
        for shape in ((1,), (3, 4), (2, 3, 4)):
            state = synapse.initial(shape, generator=_seeded(0))
            after = synapse.program(state, self._pulses(synapse, shape), generator=_seeded(1))
            for devices in (state, after):
                assert next(iter(devices.values())).shape == shape
                assert all(value.shape[: len(shape)] == shape for value in devices.values())
                read = synapse.read(devices, generator=_seeded(2))
                assert read.shape == shape
                assert bool(torch.isfinite(read).all())

    def test_programming_does_not_change_the_given_state(self) -> None:
        synapse = self.make()
        state = synapse.initial((6,), generator=_seeded(0))
        before = {name: value.clone() for name, value in state.items()}
        after = synapse.program(state, self._pulses(synapse, (6,)), generator=_seeded(1))
        assert state.keys() == before.keys() == after.keys()
        assert all(torch.equal(state[name], before[name]) for name in before)

    def test_devices_are_independent(self) -> None:
        """Without noise, a single device behaves as in a population."""
        synapse = self.make()
        state = synapse.initial((5,), generator=_seeded(0), dtype=torch.float64)
        pulses = self._pulses(synapse, (5,))
        together = synapse.read(synapse.program(state, pulses))
        for i in range(5):
            single = synapse.program(_select(state, i), Pulses(pulses.count[i : i + 1]))
            torch.testing.assert_close(synapse.read(single), together[i : i + 1], rtol=1e-6, atol=1e-6 * synapse.high)

    def test_zero_pulses_change_no_conductance(self) -> None:
        synapse = self.make()
        state = synapse.initial((50,), generator=_seeded(0))
        after = synapse.program(state, Pulses(torch.zeros(50)), generator=_seeded(1))
        torch.testing.assert_close(synapse.read(after), synapse.read(state), rtol=0, atol=0)

    def test_pulses_change_the_typical_conductance_in_their_direction(self) -> None:
        """Starting from a conductance that pulses of the other polarity have reached."""
        synapse = self.make()
        start = synapse.initial((1,), dtype=torch.float64)
        for polarity, sign in ((SET, 1), (RESET, -1)):
            if polarity not in synapse.polarities:
                continue
            state = start
            if -sign in {1 if name == SET else -1 for name in synapse.polarities}:
                state = synapse.program(state, Pulses(torch.full((1,), -20.0 * sign)))
            after = synapse.program(state, Pulses(torch.full((1,), 20.0 * sign)))
            assert float((synapse.read(after) - synapse.read(state)) * sign) > 0

    # --- randomness --------------------------------------------------------------------------------------------------

    def test_same_seed_gives_the_same_devices(self) -> None:
        synapse = self.make()

        def run(seed: int | None) -> Tensor:
            def source() -> torch.Generator | None:
                return None if seed is None else _seeded(seed)

            state = synapse.initial((20,), generator=source())
            state = synapse.program(state, self._pulses(synapse, (20,)), generator=source())
            return synapse.read(state, generator=source())

        torch.testing.assert_close(run(3), run(3), rtol=0, atol=0)
        torch.testing.assert_close(run(None), run(None), rtol=0, atol=0)

    def test_the_global_generator_is_not_used(self) -> None:
        synapse = self.make()
        before = torch.random.get_rng_state()
        state = synapse.program(synapse.initial((4,)), self._pulses(synapse, (4,)))
        synapse.read(state)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_without_a_generator_all_devices_are_equal(self) -> None:
        synapse = self.make()
        state = synapse.program(synapse.initial((4,)), Pulses(self._pulses(synapse, (4,)).count[:1].expand(4)))
        read = synapse.read(state)
        torch.testing.assert_close(read, read[:1].expand(4))

    # --- invalid input -----------------------------------------------------------------------------------------------

    def test_invalid_pulses_are_refused_and_change_nothing(self) -> None:
        synapse = self.make()
        state = synapse.initial((3,), generator=_seeded(0))
        before = {name: value.clone() for name, value in state.items()}
        for value in (float("nan"), float("inf"), 0.5):
            assert_refuses(ConfigError, partial(_programmed, synapse, state, value))
        assert_refuses(ConfigError, lambda: synapse.program(state, self._pulses(synapse, (4,))))
        for name, sign in ((SET, 1.0), (RESET, -1.0)):
            if name not in synapse.polarities:
                assert_refuses(ConfigError, partial(_programmed, synapse, state, sign))
        assert all(torch.equal(state[name], before[name]) for name in before)

    def test_long_trains_give_finite_conductances(self) -> None:
        synapse = self.make()
        state = synapse.initial((10,), generator=_seeded(0))
        for polarity in synapse.polarities:
            count = torch.full((10,), 500.0 if polarity == SET else -500.0)
            state = synapse.program(state, Pulses(count), generator=_seeded(1))
            assert all(bool(torch.isfinite(value).all()) for value in state.values())
            assert bool(torch.isfinite(synapse.read(state, generator=_seeded(2))).all())

    def test_energy_is_positive_if_it_is_known(self) -> None:
        synapse = self.make()
        state = synapse.initial((6,), generator=_seeded(0))
        pulses = self._pulses(synapse, (6,))
        energy = synapse.energy(state, pulses)
        if energy is not None:
            assert energy.shape == (6,)
            assert bool((energy[pulses.count != 0] > 0).all())
            assert bool((energy[pulses.count == 0] == 0).all())

    def test_voltage_outside_the_range_is_reported_and_clipped(self) -> None:
        synapse = self.make()
        bounds = getattr(synapse, "voltage_range", None)
        state = synapse.initial((3,))
        pulses = self._pulses(synapse, (3,))
        if bounds is None:
            return
        beyond = Pulses(pulses.count, voltage=2 * bounds[1])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            after = synapse.program(state, beyond)
        assert any(issubclass(warning.category, DomainWarning) for warning in caught)
        edge = synapse.program(state, Pulses(pulses.count, voltage=bounds[1]))
        torch.testing.assert_close(synapse.read(after), synapse.read(edge))

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _pulses(self, synapse: Synapse, shape: tuple[int, ...]) -> Pulses:
        """Return pulses of different numbers and of all polarities of the device."""
        size = int(torch.Size(shape).numel())
        count = torch.arange(size) % (2 * self.pulses + 1) - self.pulses
        if SET not in synapse.polarities:
            count = -count.abs()
        if RESET not in synapse.polarities:
            count = count.abs()
        return Pulses(count.reshape(shape).to(torch.float32))


def _programmed(synapse: Synapse, state: State, count: float) -> State:
    """Return the state of three devices after `count` pulses each."""
    return synapse.program(state, Pulses(torch.full((3,), count)))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _select(state: State, index: int) -> State:
    """Return one device of a one-dimensional population."""
    return {name: value[index : index + 1] for name, value in state.items()}
