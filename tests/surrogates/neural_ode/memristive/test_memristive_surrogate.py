"""Memristive members as a surrogate: the contract of all surrogates, slopes, the observer, files, and fits of made devices."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor

import spinode
from spinode import Trace
from spinode.dynamics.field import MLPField
from spinode.dynamics.scales import Scales
from spinode.errors import ConfigError, ExportError, FileFormatError, TraceError
from spinode.surrogates.neural_ode.domain import Domain
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting import fit as fitting
from spinode.surrogates.neural_ode.fitting.config import FitConfig
from spinode.surrogates.neural_ode.fitting.fit_memristive import SMALLEST, VANISHES, noise_of_memristive, vanishing
from spinode.surrogates.neural_ode.latent.problem import Run, Unknowns
from spinode.surrogates.neural_ode.memristive import training
from spinode.surrogates.neural_ode.memristive.member import MemristiveMember, align_states
from spinode.surrogates.neural_ode.memristive.slopes import run_states
from spinode.surrogates.neural_ode.memristive.training import MemristiveProblem
from spinode.surrogates.neural_ode.ports import Ports
from spinode.surrogates.neural_ode.surrogate import Surrogate
from spinode.surrogates.testing import SurrogateContract


def vector(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def made_member(seed: int = 0, inputs: int = 2) -> MemristiveMember:
    """Return two hidden states behind two outputs, of which the first vanishes with the second of two drives."""
    generator = torch.Generator().manual_seed(seed)
    rates = MLPField(2, inputs, 2, hidden=(5,), generator=generator)
    conductance = MLPField(2, 2, 2, hidden=(4,), generator=generator)
    with torch.no_grad():
        rates.out.weight *= 0.1
        rates.skip.weight[:, :2] = torch.tensor([[-0.2, 0.02], [0.0, -0.05]], dtype=torch.float64)
        rates.skip.weight[:, 2:] *= 1.5
        conductance.skip.weight[:, :2] += 0.7
    member = MemristiveMember(rates, conductance, torch.tensor([[0, 1], [1, 0]], dtype=torch.float64), vector(0.4, -0.3))
    with torch.no_grad():
        member.constant.copy_(vector(0.1, -0.2))
    return member


def two_outputs(members: int = 1, parameters: tuple[str, ...] = ()) -> Surrogate:
    """Return a surrogate of such members."""
    generator = torch.Generator().manual_seed(1)
    inputs = 2 + len(parameters)
    points = torch.randn(400, 2 + inputs, generator=generator, dtype=torch.float64)
    names = ("a", "b", *parameters)
    return Surrogate(
        ports=Ports(("a", "b"), ("y", "z"), parameters, dict.fromkeys((*names, "y", "z"), "V"), {"a": "held", "b": "linear"}),
        embedding=Embedding("memristive", 2),
        interval=1e-9,
        scales=Scales(vector(1.0, -2.0), vector(2.0, 0.5), vector(2.0, 0.5)[None], points[0, 2:] / 4, 1 + points[1, 2:].abs()),
        members=[made_member(inputs=inputs) for _ in range(members)],
        domain=Domain(points, 6.0, len(parameters)),
        noise=vector(1e-3, 1e-3),
    )


class TestTwoOutputs(SurrogateContract):
    def make(self) -> Surrogate:
        return two_outputs()


class TestEnsembleWithParameter(SurrogateContract):
    def make(self) -> Surrogate:
        return two_outputs(2, ("width",))


def random_run(samples: int = 40, seed: int = 3) -> Run:
    generator = torch.Generator().manual_seed(seed)
    stages, outputs = (torch.randn(samples, *shape, generator=generator, dtype=torch.float64) for shape in ((3, 2), (2,)))
    return Run(stages, stages[:, 0].clone(), outputs, torch.ones_like(outputs))


def test_the_gradient_of_the_problem_is_that_of_its_cost() -> None:
    """Central differences of the cost in a random direction of all weights and initial states."""
    member, run = made_member(), random_run()
    size = len(member.theta) + 2
    problem = MemristiveProblem(member, [run], torch.full((size,), 1e-2, dtype=torch.float64))
    unknowns = Unknowns(member.theta, vector(0.3, -0.2)[None])
    direction = torch.randn(size, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    found = problem.equations(unknowns)
    assert found is not None
    h = 1e-6
    slope = (problem.cost(unknowns.moved(h * direction)) - problem.cost(unknowns.moved(-h * direction))) / (2 * h)
    assert slope == pytest.approx(2 * float(found[1] @ direction), rel=1e-6)


def test_other_states_describe_the_same_device() -> None:
    """An affine map of the states leaves outputs as they are, and maps between members are found from their states."""
    one, other, run = made_member(), made_member(), random_run()
    matrix, shift = torch.tensor([[2.0, -0.5], [0.3, 1.5]], dtype=torch.float64), vector(0.7, -1.1)
    start = vector(0.2, 0.4)
    states = run_states(one, start, run.stages[:-1])
    other.change_states(matrix, shift)
    mapped = run_states(other, matrix @ start + shift, run.stages[:-1])
    torch.testing.assert_close(mapped, states @ matrix.T + shift)
    torch.testing.assert_close(other.read(mapped, run.settled), one.read(states, run.settled))
    align_states([one, other], [states, mapped])
    torch.testing.assert_close(one.theta, other.theta)


def test_the_output_vanishes_with_its_drive() -> None:
    member = made_member()
    states = torch.randn(7, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    zero = vector(0.3, -0.4).expand(7, 2)  # where the selected drives are zero
    torch.testing.assert_close(member.read(states, zero), member.constant.expand(7, 2))


def test_the_observer_finds_the_state_and_waits_at_zero_drive() -> None:
    surrogate = two_outputs()
    drive = torch.randn(300, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    start = vector(0.4, -0.6)
    with torch.no_grad():
        outputs, states, _ = surrogate.run_members(drive, start, None, None, "rk4")
    found = surrogate.state_from(outputs[0], drive)
    assert float((found[0] - start).norm()) < 0.05 * float(start.norm())
    assert float((found - states[0]).square().mean().sqrt()) < 0.02 * float(states[0].std())


def test_files_keep_the_device_and_wrong_sizes_are_refused(tmp_path: Path) -> None:
    surrogate, drive = two_outputs(2), torch.randn(50, 2, generator=torch.Generator().manual_seed(6), dtype=torch.float64)
    surrogate.save(tmp_path / "good.safetensors")
    loaded = spinode.load(tmp_path / "good.safetensors")
    state = vector(0.1, 0.2)
    torch.testing.assert_close(loaded.simulate(drive, state=state), surrogate.simulate(drive, state=state), rtol=0, atol=0)
    kind = type(surrogate.embedding.method)
    for wrong in ({"hidden": [6], "conductance": [4]}, {"hidden": [5], "conductance": []}, {"hidden": 5, "conductance": [4]}):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(kind, "pack_member", lambda self, member, wrong=wrong: wrong)
            surrogate.save(tmp_path / "bad.safetensors")
        with pytest.raises(FileFormatError):
            spinode.load(tmp_path / "bad.safetensors")


def test_what_is_not_possible_is_refused_with_its_reason(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="'memristive' cannot be exported: its conductance"):
        two_outputs().export(tmp_path / "device.pt2")
    with pytest.raises(ConfigError, match="drives together"):
        Embedding("memristive", 1).embed(np.zeros((50, 1)))
    wave = np.sin(0.3 * np.arange(400))
    with pytest.raises(TraceError, match="a conductance times a drive"):
        spinode.fit(Trace(1e-11 * np.arange(400), output={"y": wave}), embedding="memristive")
    own = {"vector_field": lambda *sizes: MLPField(2, 1, 1)}
    with pytest.raises(ConfigError, match="vector_field was given with embedding='memristive'"):
        spinode.fit(Trace(1e-11 * np.arange(400), {"u": wave}, {"y": wave}), embedding="memristive", **own)


# --- fits of made devices -----------------------------------------------------------------------------------------------------


def memristor(samples: int, seed: int, *, noise: float = 0.0, memory: bool = True, rests: bool = False) -> Trace:
    """Return a recording of x' = 0.05 (|v|^2 (1 - x) - 0.2 x), I = (0.1 + x) v under random ramps; or of a low-pass of v."""
    random = np.random.default_rng(seed)
    knots = random.uniform(-1.5, 1.5, samples // 10 + 2)
    voltage = np.interp(np.arange(samples), 10.0 * np.arange(len(knots)), knots)
    if rests:
        voltage[np.arange(samples) % 40 < 20] = 0.0
    state, current = 0.3, np.zeros(samples)
    for t, v in enumerate(voltage):
        current[t] = (0.1 + state) * v if memory else state
        for part in range(4):
            u = v + (voltage[min(t + 1, samples - 1)] - v) * (part + 0.5) / 4
            state += 0.0125 * (u * u * (1 - state) - 0.2 * state) if memory else 0.05 * (u - state)
    current += noise * current.std() * random.standard_normal(samples)
    return Trace(1e-6 * np.arange(samples), {"v": voltage}, {"i": 1e-5 * current}, interpolation={"v": "linear"})


def test_a_vanishing_current_is_recognised_at_noise() -> None:
    assert 0.5 < vanishing([memristor(2000, 0)])[0].item() < 1.5
    assert vanishing([memristor(2000, 0, noise=0.1)])[0].item() < VANISHES
    assert vanishing([memristor(2000, 0, memory=False)])[0].item() > 3 * VANISHES
    assert noise_of_memristive([memristor(600, 1, noise=0.05)]) is not None
    pulsed = memristor(2000, 3, noise=0.05, rests=True)  # rests at zero volts between sweeps
    assert np.mean(pulsed.drive["v"] == 0) > 2 * SMALLEST
    assert vanishing([pulsed])[0].item() < VANISHES
    assert noise_of_memristive([memristor(400, 1)]) is None  # too few samples


@pytest.fixture
def short(monkeypatch) -> None:
    """One start, one block left out, one penalty."""
    for name, value in {"TIME_CONSTANTS": (60.0,), "BLOCKS": 1, "FIRST_RIDGE": 1e-5, "RIDGES": ()}.items():
        monkeypatch.setattr(training, name, value)


@pytest.mark.filterwarnings("ignore::spinode.errors.DomainWarning")
def test_a_noisy_memristor_is_recovered_to_its_noise(short) -> None:
    """The free run over a new recording, without noise, is closer to it than the noise of the fitted one."""
    trace = memristor(600, 2, noise=0.05)
    surrogate = spinode.fit(trace, embedding="memristive", order=1, hidden=4, iterations=10)
    assert surrogate.record["memristive"]["states"] == 1
    assert surrogate.record["structure"]["embedding"] == "memristive"
    clean = memristor(300, 3)
    assert spinode.evaluate(surrogate, clean).nrmse < 0.05
    drive = (0.5 * torch.as_tensor(clean.drive["v"].copy()))[:, None].requires_grad_()
    surrogate.simulate(drive, state=torch.zeros(1, dtype=torch.float64)).sum().backward()
    assert drive.grad is not None
    assert bool(torch.isfinite(drive.grad).all())


@pytest.mark.parametrize(
    ("error", "memory", "settings", "expected"),
    [
        (0.3, True, {}, True),
        (0.3, False, {}, False),
        (0.01, True, {}, False),
        (0.3, True, {"effort": "quick"}, True),
        (0.3, True, {"embedding": "delay"}, False),
    ],
)
def test_memristive_devices_are_tried_only_where_the_data_ask_for_them(error, memory, settings, expected) -> None:
    scales = SimpleNamespace(output_scale=torch.ones(1))
    prepared = SimpleNamespace(ports=SimpleNamespace(drive=("v",)), noise=torch.zeros(1), scales=scales)
    found = SimpleNamespace(prepared=prepared, candidates=[SimpleNamespace(validation=error)])
    trace = memristor(600, 4, memory=memory)
    assert fitting._leaves_memory(found, FitConfig(**settings), [trace]) is expected


@pytest.mark.filterwarnings("ignore::spinode.errors.DomainWarning")
def test_zeros_at_the_beginning_do_not_hide_the_state(short) -> None:
    """The start is estimated from where the drive shows it, and no change of the device is found in the rest before it."""
    surrogate = spinode.fit(memristor(600, 2), embedding="memristive", order=1, hidden=4, iterations=10)
    whole = memristor(900, 5)
    voltage = np.where(np.arange(900) < 300, 0.0, whole.drive["v"])
    state, current = 0.3, np.zeros(900)
    for t, v in enumerate(voltage):  # explicit steps of a quarter sample, as in `memristor`, with v held: a coarser device
        current[t] = (0.1 + state) * v
        for _ in range(4):
            state += 0.0125 * (v * v * (1 - state) - 0.2 * state)
    quiet = Trace(1e-6 * np.arange(900), {"v": voltage}, {"i": 1e-5 * current}, interpolation={"v": "linear"})
    scores = spinode.evaluate(surrogate, quiet)
    assert scores.nrmse < 0.2
    assert scores.change is None
    assert any("near zero" in note for note in scores.notes)
    count = surrogate.members[0].samples_of_start((torch.as_tensor(voltage)[:, None] - surrogate.scales.drive_mean) / 1.0)
    assert 300 + 40 <= count < 420


def test_a_drive_that_shows_nothing_of_the_state_is_said() -> None:
    surrogate = two_outputs()
    still = -(surrogate.members[0].offset.flip(0) * surrogate.scales.drive_scale) + surrogate.scales.drive_mean
    with pytest.warns(spinode.errors.DomainWarning, match="the drive stays near zero in all 50 samples"):
        states = surrogate.state_from(torch.zeros(50, 2, dtype=torch.float64), still.expand(50, 2))
    assert bool(torch.isfinite(states).all())


def test_an_output_that_does_not_vanish_is_said_where_the_embedding_is_forced(short) -> None:
    lines: list[str] = []
    settings = {"embedding": "memristive", "order": 1, "hidden": 2, "iterations": 1}
    spinode.fit(memristor(300, 2, memory=False), progress=lines.append, **settings)
    assert any("i does not vanish with v" in line for line in lines)
    lines.clear()
    spinode.fit(memristor(300, 2), progress=lines.append, **settings)
    assert not any("does not vanish" in line for line in lines)


def test_the_observer_works_in_single_precision() -> None:
    surrogate = two_outputs()
    drive = torch.randn(60, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    with torch.no_grad():
        output = surrogate.run_members(drive, torch.zeros(surrogate.state_size, dtype=torch.float64), None, None, "rk4")[0][0]
    found = surrogate.state_from(output, drive)
    single = surrogate.float().state_from(output.float(), drive.float())
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), found, atol=1e-2, rtol=0)


@pytest.mark.parametrize("number", [0, 1, 2])
@pytest.mark.parametrize("validation", [0.05, 0.3, 0.5])
def test_a_block_that_is_left_out_lies_within_the_recording(validation, number) -> None:
    start, end = training._block(1000, validation, number, 3)
    assert 0 <= start < end <= 1000


@pytest.mark.parametrize("settings", [{"activation": "relu"}, {"members": 2}, {"restarts": 9}, {"feedthrough": False}])
def test_settings_without_effect_are_refused(settings) -> None:
    with pytest.raises(spinode.ConfigError, match="no effect on embedding='memristive'"):
        FitConfig(embedding="memristive", **settings)


def test_missing_samples_have_no_weight(short) -> None:
    """A fit of masked samples does not depend on what they were."""
    trace = memristor(250, 5)
    present = np.ones(250, dtype=bool)
    present[100:110] = False
    fits = []
    for value in (0.0, 1e-3):
        current = np.where(present, trace.output["i"], value)
        masked = replace(trace, output={"i": current}).masked(present)
        fits.append(spinode.fit(masked, embedding="memristive", order=1, hidden=2, iterations=1).members[0])
    assert isinstance(fits[0], MemristiveMember)
    assert isinstance(fits[1], MemristiveMember)
    torch.testing.assert_close(fits[0].theta, fits[1].theta, rtol=1e-9, atol=1e-12)
