"""Checks that hold for every synapse."""

from __future__ import annotations

import warnings
from functools import partial

import torch
from torch import Tensor

from ..contracts.synapse import RESET, SET, Pulses, State, Synapse
from ..errors import ConfigError, DomainWarning
from .assertions import assert_refuses


class SynapseContract:
    """Checks that hold for every synapse. Subclass it, name the class `Test...`, and write `make`.

    Attributes:
        pulses: How many pulses a device takes in the checks.
    """

    pulses = 5

    def make(self) -> Synapse:
        """The synapse under test."""
        raise NotImplementedError

    # --- shapes and states -------------------------------------------------------------------------------------------

    def test_it_keeps_the_protocol(self) -> None:
        synapse = self.make()
        assert isinstance(synapse, Synapse)
        assert synapse.low < synapse.high
        assert synapse.polarities
        assert set(synapse.polarities) <= {SET, RESET}

    def test_every_shape_of_devices_is_served(self) -> None:
        synapse = self.make()
        for shape in ((1,), (3, 4), (2, 3, 4)):
            state = synapse.initial(shape, generator=_seeded(0))
            after = synapse.program(state, self._pulses(synapse, shape), generator=_seeded(1))
            for each in (state, after):
                assert next(iter(each.values())).shape == shape
                assert all(value.shape[: len(shape)] == shape for value in each.values())
                read = synapse.read(each, generator=_seeded(2))
                assert read.shape == shape
                assert bool(torch.isfinite(read).all())

    def test_programming_leaves_the_given_state_alone(self) -> None:
        synapse = self.make()
        state = synapse.initial((6,), generator=_seeded(0))
        before = {name: value.clone() for name, value in state.items()}
        after = synapse.program(state, self._pulses(synapse, (6,)), generator=_seeded(1))
        assert state.keys() == before.keys() == after.keys()
        assert all(torch.equal(state[name], before[name]) for name in before)

    def test_devices_do_not_disturb_each_other(self) -> None:
        """Without noise, a device alone does what it does among others."""
        synapse = self.make()
        state = synapse.initial((5,), generator=_seeded(0), dtype=torch.float64)
        pulses = self._pulses(synapse, (5,))
        together = synapse.read(synapse.program(state, pulses))
        for i in range(5):
            alone = synapse.program(_taken(state, i), Pulses(pulses.count[i : i + 1]))
            torch.testing.assert_close(synapse.read(alone), together[i : i + 1], rtol=1e-6, atol=1e-6 * synapse.high)

    def test_no_pulse_changes_no_conductance(self) -> None:
        synapse = self.make()
        state = synapse.initial((50,), generator=_seeded(0))
        after = synapse.program(state, Pulses(torch.zeros(50)), generator=_seeded(1))
        torch.testing.assert_close(synapse.read(after), synapse.read(state), rtol=0, atol=0)

    def test_pulses_move_the_typical_conductance_their_way(self) -> None:
        """From where SET and RESET have room: the middle of what a long train of either reaches."""
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

    def test_the_same_seed_gives_the_same_devices(self) -> None:
        synapse = self.make()

        def run(seed: int | None) -> Tensor:
            def source() -> torch.Generator | None:
                return None if seed is None else _seeded(seed)

            state = synapse.initial((20,), generator=source())
            state = synapse.program(state, self._pulses(synapse, (20,)), generator=source())
            return synapse.read(state, generator=source())

        torch.testing.assert_close(run(3), run(3), rtol=0, atol=0)
        torch.testing.assert_close(run(None), run(None), rtol=0, atol=0)

    def test_without_a_generator_the_global_one_is_not_touched(self) -> None:
        synapse = self.make()
        before = torch.random.get_rng_state()
        state = synapse.program(synapse.initial((4,)), self._pulses(synapse, (4,)))
        synapse.read(state)
        assert torch.equal(before, torch.random.get_rng_state())

    def test_without_a_generator_all_devices_are_alike(self) -> None:
        synapse = self.make()
        state = synapse.program(synapse.initial((4,)), Pulses(self._pulses(synapse, (4,)).count[:1].expand(4)))
        read = synapse.read(state)
        torch.testing.assert_close(read, read[:1].expand(4))

    # --- bad input ---------------------------------------------------------------------------------------------------

    def test_bad_pulses_are_refused_and_the_state_stays(self) -> None:
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

    def test_long_trains_stay_finite(self) -> None:
        synapse = self.make()
        state = synapse.initial((10,), generator=_seeded(0))
        for polarity in synapse.polarities:
            count = torch.full((10,), 500.0 if polarity == SET else -500.0)
            state = synapse.program(state, Pulses(count), generator=_seeded(1))
            assert all(bool(torch.isfinite(value).all()) for value in state.values())
            assert bool(torch.isfinite(synapse.read(state, generator=_seeded(2))).all())

    def test_energy_is_positive_where_it_is_known(self) -> None:
        synapse = self.make()
        state = synapse.initial((6,), generator=_seeded(0))
        pulses = self._pulses(synapse, (6,))
        energy = synapse.energy(state, pulses)
        if energy is not None:
            assert energy.shape == (6,)
            assert bool((energy[pulses.count != 0] > 0).all())
            assert bool((energy[pulses.count == 0] == 0).all())

    def test_a_voltage_outside_the_range_is_flagged(self) -> None:
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
        assert any(issubclass(each.category, DomainWarning) for each in caught)
        edge = synapse.program(state, Pulses(pulses.count, voltage=bounds[1]))
        torch.testing.assert_close(synapse.read(after), synapse.read(edge))

    # --- helpers -----------------------------------------------------------------------------------------------------

    def _pulses(self, synapse: Synapse, shape: tuple[int, ...]) -> Pulses:
        """Pulses of all the polarities there are, of different numbers, for devices of a shape."""
        size = int(torch.Size(shape).numel())
        count = torch.arange(size) % (2 * self.pulses + 1) - self.pulses
        if SET not in synapse.polarities:
            count = -count.abs()
        if RESET not in synapse.polarities:
            count = count.abs()
        return Pulses(count.reshape(shape).to(torch.float32))


def _programmed(synapse: Synapse, state: State, count: float) -> State:
    """Three devices after so many pulses each."""
    return synapse.program(state, Pulses(torch.full((3,), count)))


def _seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _taken(state: State, index: int) -> State:
    """One device of a population in one dimension."""
    return {name: value[index : index + 1] for name, value in state.items()}
