"""Devices without some of their imperfections: one mechanism for physical, fitted and user-made devices."""

from __future__ import annotations

import pytest
import torch

from spinode import ConfigError, Pulses
from spinode.contracts.imperfections import imperfections, without
from spinode.contracts.reduced_synapse import FINENESS, MAX_COMPENSATION, ReducedSynapse
from spinode.contracts.step_profile import EDGE, POINTS, StepProfile
from spinode.contracts.synapse import SynapseModel
from spinode.datasets import STEP_PRESETS, DomainWall, TiO2, WeakReset
from spinode.surrogates import IdealSynapse, zoo
from spinode.testing import SynapseContract

SEED = 0


class Bounded(SynapseModel):
    """A device of a user's own, without the method: soft upper bound, hard lower steps, noise of all kinds."""

    unit = ""
    low, high = 0.0, 1.0

    def _initial(self, shape, generator, dtype):
        spread = torch.ones(shape, dtype=dtype)
        if generator is not None:
            spread = 1 + 0.2 * torch.rand(shape, generator=generator, dtype=dtype)
        return {"g": torch.full(shape, 0.3, dtype=dtype), "size": 0.02 * spread}

    def _program(self, state, pulses, generator):
        g = state["g"]
        for _ in range(int(pulses.count.abs().max())):
            step = torch.where(pulses.count > 0, 1 - g, -0.5 * torch.ones_like(g)) * state["size"] * pulses.count.sign().abs()
            if generator is not None:
                step = step * (1 + 0.3 * torch.randn(g.shape, generator=generator, dtype=g.dtype))
            g = (g + step).clamp(0, 1)
        return {**state, "g": g}

    def _read(self, state, generator):
        noise = 0.0 if generator is None else 0.01 * torch.randn(state["g"].shape, generator=generator, dtype=state["g"].dtype)
        return state["g"] + noise


def source() -> torch.Generator:
    return torch.Generator().manual_seed(SEED)


def reads(device, counts, devices=50):
    """Return the reads of a population after pulses, with everything drawn from one generator."""
    generator = source()
    state = device.initial((devices,), generator=generator, dtype=torch.float64)
    found = []
    for count in counts:
        state = device.program(state, Pulses(torch.full((devices,), float(count))), generator=generator)
        found.append(device.read(state, generator=generator))
    return torch.stack(found)


def test_a_device_without_the_method_takes_part():
    names = imperfections(Bounded())
    assert names == (
        "device-to-device",
        "cycle-to-cycle",
        "read noise",
        "asymmetry",
        "nonlinearity",
        "range",
        "number of pulses",
    )
    quiet = without(Bounded(), "device-to-device", "cycle-to-cycle", "read noise")
    found = reads(quiet, [3, -2, 5])
    assert torch.equal(found, found[:, :1].expand_as(found))
    assert imperfections(quiet) == names[3:]


@pytest.mark.parametrize("name", ["device-to-device", "cycle-to-cycle", "read noise"])
def test_each_noise_is_removed_alone(name):
    device = without(Bounded(), name)
    assert name not in imperfections(device)
    found = reads(device, [3, 3])
    assert float(found.std(1).min()) > 0  # the others are still there
    assert not torch.equal(found, reads(Bounded(), [3, 3]))


@pytest.mark.parametrize("device", [Bounded(), TiO2(smooth=True), STEP_PRESETS["ReRamSB"], WeakReset()])
def test_compensated_steps_are_equal_over_the_range(device):
    before = StepProfile.measure(device)
    linear = StepProfile.measure(without(device, "nonlinearity"))
    # Compensated pulses may carry a device beyond the range that was swept; there, nothing is known.
    edge = round(EDGE * POINTS)
    for name, steps in linear.steps.items():
        own, found = before.steps[name][edge:-edge], linear.at(steps, before.conductance)[edge:-edge]
        reached = own * MAX_COMPENSATION > own.mean()  # below its corner, weak RESET would need more pulses
        assert int(reached.sum()) > len(own) // 2
        deviation = float(found[reached].std(correction=0) / found[reached].mean())
        assert deviation < 0.1 * before.nonlinearity


@pytest.mark.parametrize("device", [Bounded(), TiO2(smooth=True), STEP_PRESETS["ReRamSB"]])
def test_symmetric_devices_have_the_same_step_in_both_directions(device):
    found = StepProfile.measure(without(device, "asymmetry"))
    assert found.asymmetry < 0.3 * StepProfile.measure(device).asymmetry
    ideal = StepProfile.measure(without(device, "asymmetry", "nonlinearity"))
    assert max(ideal.asymmetry, ideal.nonlinearity) < 0.1


def test_fine_steps_are_parts_of_a_step():
    fine = without(Bounded(), "number of pulses")
    typical = fine.initial((1,), dtype=torch.float64)
    one = fine.read(fine.program(typical, Pulses(torch.ones(1))))
    whole = fine.read(fine.program(typical, Pulses(torch.full((1,), float(FINENESS)))))
    exact = Bounded().program(Bounded().initial((1,), dtype=torch.float64), Pulses(torch.ones(1)))
    torch.testing.assert_close(whole, exact["g"], rtol=0, atol=1e-12)
    torch.testing.assert_close((one - 0.3) * FINENESS, exact["g"] - 0.3, rtol=1e-9, atol=0)


def test_noise_of_fine_steps_adds_up_to_that_of_whole_ones():
    """Sixteen sixteenths of a pulse have the variance of one pulse."""
    device = without(Bounded(), "device-to-device", "read noise")
    fine = without(device, "number of pulses")
    one = reads(device, [1], 20_000)[0]
    parts = reads(fine, [1] * FINENESS, 20_000)[-1]
    assert float(parts.std() / one.std()) == pytest.approx(1, abs=0.04)


def test_without_a_range_the_weight_goes_on():
    device = without(Bounded(), "range", "device-to-device", "cycle-to-cycle", "read noise")
    found = reads(device, [20] * 40, 2)[:, 0]
    assert float(found[-1]) > 3  # the bound is 1
    assert bool((found.diff() > 0).all())
    with pytest.raises(ConfigError, match="pulses"):
        device.program(device.initial((2,)), Pulses(torch.ones(3)))


def test_single_parameters_can_be_made_equal():
    device = WeakReset()
    names = imperfections(device)
    assert {f"device-to-device {each}" for each in ("R0", "m1", "corner", "c1", "m2", "depth")} <= set(names)
    assert "device-to-device trap" not in names  # that is noise
    state = without(device, "device-to-device corner").initial((20,), generator=source())
    assert len(state["corner"].unique()) == 1
    assert len(state["m1"].unique()) == 20
    untouched = device.initial((20,), generator=source())
    assert torch.equal(state["m1"], untouched["m1"])


def test_own_variants_are_used_where_the_device_has_them():
    quiet = without(WeakReset(read_noise=0.1), "telegraph noise", "device-to-device", "cycle-to-cycle", "read noise")
    assert isinstance(quiet, WeakReset)
    assert (quiet.rtn, quiet.d2d, quiet.pink, quiet.read_noise) == (False, False, False, 0.0)
    ideal = without(IdealSynapse(step=0.16), "range", "number of pulses")
    assert isinstance(ideal, IdealSynapse)
    assert (ideal.step, ideal.bounded) == (0.16 / FINENESS, False)
    finer = without(DomainWall(states=3), "number of pulses")
    assert finer.states == 2 * FINENESS + 1


def test_a_surrogate_loses_each_kind_of_randomness():
    device = zoo.open_synapse("hfox-weak-reset")
    names = imperfections(device)
    assert {"device-to-device", "cycle-to-cycle", "telegraph noise", "read noise", "nonlinearity"} <= set(names)
    quiet = without(device, "device-to-device", "cycle-to-cycle", "telegraph noise", "read noise")
    found = reads(quiet, [-5, -5], 20)
    torch.testing.assert_close(found, found[:, :1].expand_as(found), rtol=1e-12, atol=0)
    only_reads = without(device, "device-to-device", "cycle-to-cycle", "telegraph noise")
    assert float(reads(only_reads, [-5], 20).std()) > 0


def test_drift_is_removed():
    device = zoo.open_synapse("reram-retention")
    assert "drift" in imperfections(device)
    stable = without(device, "drift")
    state = stable.initial((3,))
    assert torch.equal(stable.relax(state, 1e5)["state"], state["state"])
    assert not torch.equal(device.relax(state, 1e5)["state"], state["state"])
    assert "drift" not in imperfections(stable)


def test_a_name_that_the_device_does_not_have_is_refused():
    with pytest.raises(ConfigError, match="telegraph noise"):
        without(TiO2(), "telegraph noise")
    with pytest.raises(ConfigError, match="synapse"):
        imperfections(3)


class TestReducedBounded(SynapseContract):
    def make(self):
        return ReducedSynapse(Bounded(), {"device-to-device", "nonlinearity", "asymmetry", "number of pulses", "range"})


class TestReducedWeakReset(SynapseContract):
    def make(self):
        return ReducedSynapse(WeakReset(), {"device-to-device m1", "nonlinearity", "range", "number of pulses", "read noise"})
