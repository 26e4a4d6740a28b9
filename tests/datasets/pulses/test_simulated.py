"""`pulse_traces`: order of pulses and reads, schedules, noise, and bad arguments."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from spinode.contracts.synapse import Pulses, State, SynapseModel
from spinode.datasets import WeakReset, pulse_traces
from spinode.errors import ConfigError


class Counter(SynapseModel):
    """A synapse whose conductance is 1 + 0.001 V SET pulses - 0.001 V RESET pulses, read after each call."""

    unit = ""
    voltage = (1.0, 1.0)
    voltage_range = (0.5, 4.0)
    width = 1e-6

    def _initial(self, shape: tuple[int, ...], generator: torch.Generator | None, dtype: torch.dtype) -> State:
        return {"value": torch.ones(shape, dtype=dtype)}

    def _program(self, state: State, pulses: Pulses, generator: torch.Generator | None) -> State:
        assert pulses.voltage is not None
        return {"value": state["value"] + 0.001 * pulses.count * pulses.voltage}

    def _read(self, state: State, generator: torch.Generator | None) -> torch.Tensor:
        return state["value"]


def test_drive_sample_precedes_the_next_read() -> None:
    traces = pulse_traces(Counter(), [3, -2, 0, 5], devices=2)
    assert len(traces) == 2
    for i, trace in enumerate(traces):
        np.testing.assert_array_equal(trace.time, [0, 3, 5, 5, 10])
        np.testing.assert_array_equal(trace.drive["SET"], [3, 0, 0, 5, 0])
        np.testing.assert_array_equal(trace.drive["RESET"], [0, 2, 0, 0, 0])
        np.testing.assert_allclose(trace.output["conductance"], [1, 1.003, 1.001, 1.001, 1.006])
        assert dict(trace.parameters) == {"device": i, "cycle": 0}
        assert dict(trace.interpolation) == {"SET": "held", "RESET": "held"}
        assert trace.unit("time") == ""


def test_devices_have_their_own_schedules_amplitudes_and_widths() -> None:
    pulses = np.array([[1, 2], [-4, 0]])
    traces = pulse_traces(Counter(), pulses, devices=2, voltage=[[1.0, 2.0], [3.0, 4.0]], width=1e-7)
    np.testing.assert_allclose(traces[0].output["conductance"], [1, 1.001, 1.005])
    np.testing.assert_allclose(traces[1].output["conductance"], [1, 0.988, 0.988])
    np.testing.assert_array_equal(traces[1].drive["voltage"], [3, 4, 4])
    np.testing.assert_array_equal(traces[1].drive["width"], [1e-7] * 3)
    assert (traces[0].unit("voltage"), traces[0].unit("width")) == ("V", "s")


def test_reading_every_third_step_gives_every_third_read() -> None:
    """Without noise, reading every third step gives every third read, with the pulses in between added up."""
    schedule = np.random.default_rng(0).integers(-6, 0, (4, 10))
    full = pulse_traces(WeakReset(), schedule, devices=4)
    thinned = pulse_traces(WeakReset(), schedule, devices=4, every=3)
    for one, other in zip(full, thinned, strict=True):
        kept = [0, 3, 6, 9, 10]
        np.testing.assert_array_equal(other.time, one.time[kept])
        np.testing.assert_allclose(other.output["conductance"], one.output["conductance"][kept], rtol=1e-12)
        np.testing.assert_array_equal(other.drive["RESET"][:-1], np.diff(one.time[kept]))


def test_given_devices_are_measured_and_not_changed() -> None:
    synapse, generator = WeakReset(), torch.Generator().manual_seed(0)
    state = synapse.initial((3,), generator=generator, dtype=torch.float64)
    before = {name: value.clone() for name, value in state.items()}
    traces = pulse_traces(synapse, [-10] * 4, devices=state, generator=generator)
    assert all(torch.equal(state[name], before[name]) for name in before)
    np.testing.assert_array_equal([trace.output["conductance"][0] for trace in traces], synapse.read(state).numpy())


def test_same_seed_gives_the_same_traces() -> None:
    def run(seed: int) -> str:
        generator = torch.Generator().manual_seed(seed)
        return pulse_traces(WeakReset(), [-20] * 5, devices=3, generator=generator).fingerprint()

    assert run(0) == run(0)
    assert run(0) != run(1)


def test_provenance_names_the_simulator_and_its_constants() -> None:
    trace = pulse_traces(WeakReset(rtn=False, read_noise=0.01), [-1])[0]
    assert trace.provenance["simulator"].endswith("WeakReset")
    assert (trace.provenance["device"]["rtn"], trace.provenance["device"]["read_noise"]) == (False, 0.01)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"pulses": [[1, 2]] * 3, "devices": 2}, r"pulses has shape \(3, 2\) for 2 devices"),
        ({"pulses": 3}, "at least one step"),
        ({"pulses": [0.5]}, "whole numbers"),
        ({"pulses": [1], "every": 0}, "every is 0"),
        ({"pulses": [1, 2], "voltage": [1.0, 2.0, 3.0]}, r"voltage has shape \(3,\)"),
        ({"pulses": [1, 2], "voltage": [1.0, 2.0], "every": 2}, "voltage changes at step 1"),
        ({"pulses": [1], "devices": {"value": torch.ones(2, 2)}}, "expected one dimension"),
        ({"pulses": [1], "devices": 10**30}, "devices is 1000000000000000000000000000000; expected a whole number from 1 to"),
        ({"pulses": [1] * 1000, "devices": 10**9}, "the reads would have 1000000000 devices times 1000 steps"),
        ({"pulses": [1], "generator": 3}, "generator is 3; expected a torch.Generator"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, object], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        pulse_traces(Counter(), **arguments)  # type: ignore[arg-type]
