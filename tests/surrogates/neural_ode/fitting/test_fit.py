"""The fit: accuracy on devices with known equations, reproducibility, resuming, and refused input."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import spinode
from spinode import ConfigError, FitConfig, FitError, MLPField, Trace, TraceError, TraceSet, evaluate, fit
from spinode.surrogates.neural_ode.fitting import fit as fitting
from spinode.surrogates.neural_ode.fitting.checkpoint import Checkpoint
from spinode.surrogates.neural_ode.fitting.stages import stage_lengths
from spinode.surrogates.neural_ode.fitting.structure import Structure
from spinode.surrogates.testing import resonator

#: Settings that leave nothing to search.
QUICK = {
    "embedding": "derivative",
    "order": 2,
    "ridge": 3e-7,
    "restarts": 2,
    "iterations": 3,
    "hidden": (3,),
    "windows": (1, 8, 24),
    "max_samples": 600,
    "effort": "quick",
}


def tensors_of(surrogate):
    return {name: value.clone() for name, value in surrogate.state_dict().items()}


def same(one, other):
    assert one.keys() == other.keys()
    return all(torch.equal(one[name], other[name]) for name in one)


# --- accuracy ---------------------------------------------------------------------------------------------------------


def test_fit_predicts_unseen_samples(fitted, macrospin):
    scores = evaluate(fitted, macrospin.between(12e-9, 20e-9))
    assert scores.nrmse < 0.25
    assert scores.nrmse < 0.5 * scores.baseline_nrmse
    assert scores.regime_change_at is None


def test_record_contains_data_settings_and_history(fitted, macrospin):
    record = fitted.record
    assert record["config"]["order"] == 2
    assert record["fingerprint"] == TraceSet(macrospin.between(None, 11.99e-9)).fingerprint()
    assert next((entry["name"], entry["rung"]) for entry in record["search"]) == ("linear, derivative order 2", 0)
    assert record["structure"] == {"embedding": "derivative", "order": 2, "hidden": [6], "ridge": 3e-7}
    assert record["linear_validation"] > record["validation"][0]
    stages = [(entry["restart"], entry["stage"], entry["window"]) for entry in record["history"]]
    assert stages[:3] == [(0, 0, 1), (0, 1, 8), (0, 2, 40)]
    assert stages[3:] == [(0, stage, 40) for stage in range(3, len(stages))]  # further iterations of the winner
    assert record["data"][0]["samples"] == 1200
    assert record["kept"] == [0]
    assert record["choice"] == "its validation error is the lowest"
    assert record["arx"]["order"] in (2, 4, 8, 16)


def test_ragged_set_with_parameters_is_one_device(duffing, cheap):
    """The period follows the parameter: one model predicts three devices, and fails where the parameter is exchanged."""
    periods = (20.0, 25.0, 32.0)
    traces = [
        replace(duffing(400 + 100 * i, seed=i, period=p), parameters={"T": 100.0 + p}, units={"T": "K", "u": "V", "y": "T"})
        for i, p in enumerate(periods)
    ]
    fitted = fit(TraceSet(traces), **(cheap | {"order": 2, "hidden": (8,), "max_samples": 3000, "iterations": 8}))
    assert fitted.ports.parameters == ("T",)
    scores = [evaluate(fitted, trace).nrmse for trace in traces]
    exchanged = evaluate(fitted, replace(traces[0], parameters={"T": 132.0})).nrmse
    assert max(scores) < 0.3
    assert exchanged > 2 * scores[0]


def test_two_drives_and_two_outputs_in_different_units(duffing, cheap):
    first, second = duffing(700, seed=0, hold=10), duffing(700, seed=1, period=40.0)
    trace = Trace(
        first.time,
        {"a": 1e6 * first.drive["u"] + 1e7, "b": 1e-6 * second.drive["u"]},
        {"y": 1e8 * first.output["y"] + 1e9, "z": 1e-9 * second.output["y"]},
        units={"a": "A/m", "b": "V", "y": "Hz", "z": "S"},
        interpolation={"a": "held", "b": "held"},
    )
    fitted = fit(trace, **(cheap | {"order": 2, "iterations": 15, "restarts": 2}))
    assert fitted.ports.units == {"time": "s", "a": "A/m", "b": "V", "y": "Hz", "z": "S"}
    error = evaluate(fitted, trace)
    assert error.nrmse < 0.25
    assert np.all(np.abs(error.prediction.mean(0) - error.truth.mean(0)) < error.truth.std(0))


def test_delay_embedding_of_the_paper(duffing, cheap):
    trace = duffing()
    fitted = fit(trace, **(cheap | {"order": 2, "embedding": "delay", "iterations": 10}))
    assert evaluate(fitted, trace).nrmse < 0.1
    assert float(fitted.members[0].feedthrough.detach().abs().max()) == 0


def test_device_without_a_drive(cheap):
    t = np.arange(600)
    trace = Trace(t * 1e-9, {}, {"y": np.exp(-t / 200) * np.cos(0.25 * t)})
    fitted = fit(trace, **(cheap | {"order": 2}))
    assert evaluate(fitted, trace).nrmse < 0.02
    with pytest.warns(spinode.DomainWarning, match="outside the domain"):  # the recording ends before the device comes to rest
        response = fitted.simulate(torch.zeros(50, 0))
    assert float(response.detach().abs().max()) < 0.05


def test_measurement_noise_is_estimated(duffing, cheap):
    """Estimated from 1500 samples: deviation known to 2 %; 10 % are allowed for the smooth signal under it."""
    trace = duffing(1500, noise=0.05)
    clean = duffing(1500)
    fitted = fit(trace, **(cheap | {"order": 2}))
    assert float(fitted.noise) == pytest.approx(0.05 * clean.output["y"].std(), rel=0.1)
    assert evaluate(fitted, clean).nrmse < 0.25


def test_ensemble_keeps_all_members_and_calibrates_its_spread(duffing):
    trace = duffing(600)
    fitted = fit(trace, **(QUICK | {"members": 3, "restarts": 2}))
    assert len(fitted.members) == len(fitted.record["kept"]) == len(fitted.record["validation"]) == 3
    assert float(fitted.spread_factor) >= 1
    assert evaluate(fitted, trace).coverage > 0.6


def test_vector_field_of_your_own(duffing, tmp_path):
    def narrow(state, drive, rates, generator):
        return Pair(Seeded(state + drive, 3, generator), torch.nn.Tanh(), Seeded(3, rates, generator))

    trace = duffing(300)
    fitted = fit(trace, vector_field=narrow, **(QUICK | {"restarts": 1}))
    assert evaluate(fitted, trace).nrmse < 0.5
    fitted.save(tmp_path / "x")
    with pytest.raises(ConfigError, match="field=module"):
        spinode.load(tmp_path / "x")


class Seeded(torch.nn.Linear):
    """A layer with reproducible weights."""

    def __init__(self, inputs, outputs, generator):
        super().__init__(inputs, outputs, dtype=torch.float64)
        with torch.no_grad():
            self.weight.copy_(0.1 * torch.randn(outputs, inputs, generator=generator, dtype=torch.float64))
            self.bias.zero_()


class Pair(torch.nn.Module):
    """A vector field from a chain of modules that take one argument."""

    def __init__(self, *modules):
        super().__init__()
        self.chain = torch.nn.Sequential(*modules)

    def forward(self, state, drive):
        return self.chain(torch.cat([state, drive], -1))


def test_fit_does_not_depend_on_units(duffing):
    """Another unit of every quantity changes the scales and not the fit: to the last bit, for powers of two."""
    trace = duffing(400)
    other = Trace(
        trace.time * 2.0**30,
        {"u": trace.drive["u"] * 2.0**-20},
        {"y": trace.output["y"] * 2.0**40},
        interpolation={"u": "held"},
    )
    plain, scaled = fit(trace, **QUICK), fit(other, **QUICK)
    assert plain.record["validation"] == scaled.record["validation"]
    drive = torch.as_tensor(np.array(trace.drive["u"]))[:50, None]
    start = torch.zeros(2, dtype=torch.float64)
    one, two = plain.simulate(drive, state=start), scaled.simulate(drive * 2.0**-20, state=start)
    assert torch.equal(one * 2.0**40, two)
    assert scaled.interval == plain.interval * 2.0**30


@pytest.mark.parametrize("share", [0.02, 0.5])
def test_shortest_recording_with_any_validation_share(duffing, cheap, share):
    fitted = fit(duffing(200), **(cheap | {"order": 2, "validation": share}))
    assert np.isfinite(fitted.record["validation"]).all()
    assert np.isfinite([entry["error"] for entry in fitted.record["search"]]).all()


def test_device_at_rest_during_validation_is_scored(duffing):
    trace = duffing(600)
    still = {"u": np.where(np.arange(600) < 480, trace.drive["u"], 0.0), "y": np.array(trace.output["y"])}
    still["y"][530:] = still["y"][530]
    fitted = fit(replace(trace, drive={"u": still["u"]}, output={"y": still["y"]}), **QUICK)
    assert max(fitted.record["validation"]) < 100


def test_scale_of_a_constant_parameter_is_a_hundredth_of_it(duffing):
    """The deviation of 0.1 repeated is 1e-17, not 0: taken as a scale, 0.11 would be 1e15 deviations away."""
    trace = replace(duffing(), parameters={"T": 0.1})
    fitted = fit(trace, **QUICK)
    assert float(fitted.scales.drive_scale[1]) == pytest.approx(1e-3)
    with pytest.warns(spinode.DomainWarning, match="outside the domain"):
        fitted.simulate(torch.zeros(20, 1), state=torch.zeros(2), parameters={"T": 0.2})


# --- reproducibility and resuming ---------------------------------------------------------------------------------------


def test_seed_determines_everything(duffing):
    trace = duffing(400)
    first, again, other = fit(trace, seed=3, **QUICK), fit(trace, seed=3, **QUICK), fit(trace, seed=4, **QUICK)
    assert same(tensors_of(first), tensors_of(again))
    assert first.record == again.record
    assert not same(tensors_of(first), tensors_of(other))


def test_global_generator_is_neither_used_nor_changed(duffing):
    torch.manual_seed(1)
    first = fit(duffing(400), **QUICK)
    state = torch.get_rng_state()
    torch.manual_seed(2)
    again = fit(duffing(400), **QUICK)
    assert same(tensors_of(first), tensors_of(again))
    torch.manual_seed(1)
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize("every", [0.0, 1e9], ids=["each step written", "only stages written"])
def test_killed_fit_resumes_to_the_same_result(duffing, tmp_path, monkeypatch, every):
    monkeypatch.setattr(Checkpoint, "every", every)
    trace, lines = duffing(400), []
    uninterrupted = fit(trace, progress=lines.append, **QUICK)
    assert len(lines) > 15

    class Killed(KeyboardInterrupt):
        pass

    for kill_at in {1, 2, 3, 5, len(lines) // 2, len(lines) - 3, len(lines) - 1}:
        path, seen = tmp_path / f"{kill_at}", []

        def killer(line, seen=seen, kill_at=kill_at):
            seen.append(line)
            if len(seen) == kill_at:
                raise Killed

        with pytest.raises(Killed):
            fit(trace, checkpoint=path, progress=killer, **QUICK)
        after = []
        resumed = fit(trace, checkpoint=path, progress=after.append, **QUICK)
        assert same(tensors_of(uninterrupted), tensors_of(resumed)), kill_at
        assert resumed.record == uninterrupted.record
        if every == 0.0:
            steps = [line for line in lines[kill_at:] if "step" in line]
            assert sum("step" in line for line in after) <= len(steps) + 1  # finished steps are not repeated
        assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
        path.unlink()


def test_fit_killed_repeatedly_at_the_same_step_resumes(duffing, tmp_path, monkeypatch):
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    trace, path = duffing(400), tmp_path / "x"
    uninterrupted = fit(trace, **QUICK)

    def killer(line):
        if "step 2/" in line:
            raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            fit(trace, checkpoint=path, progress=killer, **QUICK)
    assert same(tensors_of(uninterrupted), tensors_of(fit(trace, checkpoint=path, **QUICK)))


def test_fit_killed_while_its_members_go_on_resumes_to_the_same_result(duffing, tmp_path, monkeypatch):
    """Of a short recording, the fits of all splits are continued on all samples after the search."""
    monkeypatch.setattr(Checkpoint, "every", 0.0)
    trace, path, lines, seen, after = duffing(400), tmp_path / "x", [], [], []
    settings = QUICK | {"effort": "default", "restarts": 1, "windows": (1, 24), "iterations": 8, "ridge": 1e-4}
    uninterrupted = fit(trace, progress=lines.append, **settings)
    assert len(uninterrupted.members) > 1
    last_step = max(number for number, line in enumerate(lines) if "step 1/" in line)
    assert any("chose" in line for line in lines[:last_step])

    def killer(line):
        seen.append(line)
        if len(seen) == last_step + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(trace, checkpoint=path, progress=killer, **settings)
    resumed = fit(trace, checkpoint=path, progress=after.append, **settings)
    assert same(tensors_of(uninterrupted), tensors_of(resumed))
    assert sum("step" in line for line in after) <= sum("step" in line for line in lines[last_step:])


def test_finished_checkpoint_gives_the_result_without_steps(duffing, tmp_path):
    trace, path, lines = duffing(400), tmp_path / "x", []
    uninterrupted = fit(trace, checkpoint=path, **QUICK)
    again = fit(trace, checkpoint=path, progress=lines.append, **QUICK)
    assert same(tensors_of(uninterrupted), tensors_of(again))
    assert not [line for line in lines if "step" in line]


@pytest.mark.parametrize("change", ["data", "settings", "interpolation", "field"])
def test_checkpoint_of_another_fit_is_refused(duffing, tmp_path, change):
    trace, path = duffing(400), tmp_path / "x"
    fit(trace, checkpoint=path, **QUICK)
    other, settings, build = trace, dict(QUICK), None
    if change == "data":
        other = duffing(400, seed=5)
    elif change == "settings":
        settings["seed"] = 7
    elif change == "interpolation":
        other = replace(trace, interpolation={"u": "linear"})
    else:
        build = lambda *shape: MLPField(*shape[:3], hidden=(5,), generator=shape[3])  # noqa: E731
    before = path.read_bytes()
    with pytest.raises(FitError, match=r"belongs to another fit: .* Delete it"):
        fit(other, checkpoint=path, vector_field=build, **settings)
    assert path.read_bytes() == before


class Damped(torch.nn.Module):
    """A field of the user's own."""

    def __init__(self, state, drive, rates, generator, gain=1.0):
        super().__init__()
        self.gain = gain
        self.linear = MLPField(state, drive, rates, hidden=(2,), generator=generator)

    def forward(self, state, drive):
        return self.gain * torch.tanh(self.linear(state, drive))


class DampedOtherwise(Damped):
    """A field of the same shapes and other code."""

    def forward(self, state, drive):
        return self.gain * torch.sin(self.linear(state, drive))


def test_checkpoint_of_a_field_of_equal_shapes_and_other_code_is_refused(duffing, tmp_path, monkeypatch):
    """Also where the class has kept its name, as after editing the file that defines it."""
    settings = {**QUICK, "embedding": "derivative", "checkpoint": tmp_path / "x"}
    fit(duffing(400), vector_field=Damped, **settings)
    with pytest.raises(FitError, match=r"vector_field is 'Damped' in the checkpoint and 'DampedOtherwise' here"):
        fit(duffing(400), vector_field=DampedOtherwise, **settings)
    with pytest.raises(FitError, match="vector_field"):
        fit(duffing(400), vector_field=lambda *sizes: Damped(*sizes, gain=2.0), **settings)
    monkeypatch.setattr(Damped, "forward", DampedOtherwise.forward)
    with pytest.raises(FitError, match=r"vector_field\.forward .*Damped"):
        fit(duffing(400), vector_field=Damped, **settings)


# --- refusals -------------------------------------------------------------------------------------------------------------


def changed(trace, **parts):
    return replace(trace, **parts)


BAD = {
    "short": (lambda t: t.between(0, 150e-9), TraceError, "has 151 samples; at least 200 are needed"),
    "constant drive": (lambda t: changed(t, drive={"u": np.ones(600)}), TraceError, "drive 'u' is constant"),
    "rounded constant drive": (
        lambda t: changed(t, drive={"u": 0.1 * (1 + 1e-16 * np.arange(600))}),
        TraceError,
        "drive 'u' is constant",
    ),
    "constant output": (lambda t: changed(t, output={"y": np.full(600, 0.3)}), TraceError, "output 'y' is constant"),
    "output that moves late": (
        lambda t: changed(t, output={"y": np.r_[np.full(560, 0.3), np.sin(np.arange(40))]}),
        TraceError,
        "output 'y' moves only in the validation segment at the end",
    ),
    "NaN": (
        lambda t: changed(t, output={"y": np.where(np.arange(600) == 7, np.nan, t.output["y"])}),
        TraceError,
        "'y' has 1 NaN or infinite values, the first at sample 7",
    ),
    "NaN time": (lambda t: changed(t, time=np.where(np.arange(600) == 7, np.nan, t.time)), TraceError, "'time' has 1 NaN"),
    "repeated time": (lambda t: changed(t, time=np.r_[t.time[:300], t.time[299:-1]]), TraceError, "time repeats after sample"),
    "time back": (lambda t: changed(t, time=t.time[::-1].copy()), TraceError, "time runs backwards after sample 0"),
    "no output": (lambda t: changed(t, output={}), TraceError, "no output channel was chosen"),
    "no traces": (lambda t: [], TraceError, "the trace set is empty"),
    "not a trace": (lambda t: [t, "table.txt"], TraceError, "trace 1 is a str"),
    "other channels": (lambda t: [t, changed(t, drive={"v": t.drive["u"]})], TraceError, "trace 1 has drive"),
}


@pytest.mark.parametrize("name", BAD)
def test_recording_that_cannot_be_fitted_is_refused(duffing, name):
    make, kind, message = BAD[name]
    with pytest.raises(kind, match=message):
        fit(make(duffing()), order=2)


@pytest.mark.parametrize(
    ("settings", "kind", "message"),
    [
        ({"sample_interval": 0.2e-9}, TraceError, "finer than the recording's own 1e-09 s"),
        ({"sample_interval": 10e-9}, TraceError, "a fit needs at least 200"),
        (
            {"sample_interval": 1.0},
            TraceError,
            r"is 1.0 s for a recording of 5.99e-07 s.*at most half its length",
        ),
        ({"order": 99}, ConfigError, "order is 99"),
        ({"nonsense": 1}, ConfigError, "fit has no setting 'nonsense'"),
    ],
)
def test_settings_that_do_not_suit_the_recording_are_refused(duffing, settings, kind, message):
    with pytest.raises(kind, match=message):
        fit(duffing(), **settings)


def test_single_settings_take_precedence_over_the_config(duffing):
    config = spinode.FitConfig(**(QUICK | {"restarts": 1, "seed": 7}))
    record = fit(duffing(), config, seed=1, windows=8).record
    assert record["config"] == spinode.FitConfig(**(QUICK | {"restarts": 1, "seed": 1, "windows": (8,)})).to_dict()
    assert config.seed == 7
    with pytest.raises(ConfigError, match=r"config is a dict; expected FitConfig"):
        fit(duffing(), {"order": 2})


def test_reason_for_the_kept_restart_is_reported_and_recorded(duffing):
    lines = []
    fitted = fit(duffing(), progress=lines.append, **(QUICK | {"restarts": 3}))
    [kept] = [line for line in lines if line.startswith("kept restart")]
    assert kept == f"kept restart {fitted.record['kept'][0] + 1}: validation NRMSE " + (
        f"{fitted.record['validation'][fitted.record['kept'][0]]:.4f}; {fitted.record['choice']}"
    )


def test_field_with_another_number_of_rates_is_refused(duffing):
    with pytest.raises(ConfigError, match=r"returned a tensor of shape \(4, 5\); expected a tensor of shape \(4, 1\)"):
        fit(duffing(), vector_field=lambda s, d, r, g: MLPField(s, d, 5, generator=g), **QUICK)


def test_field_that_is_never_finite_is_named(duffing):
    class Broken(MLPField):
        def forward(self, state, drive):
            return super().forward(state, drive) * float("nan")

    with pytest.raises(ConfigError, match="the vector field returned NaN"):
        fit(duffing(), vector_field=lambda s, d, r, g: Broken(s, d, r, generator=g), **QUICK)


# --- parts ----------------------------------------------------------------------------------------------------------------


def test_windows_fit_into_the_longest_segment():
    samples = type("Samples", (), {"segments": ((0, 100), (101, 300))})()
    assert stage_lengths((1, 8, 40, 160), samples) == [1, 8, 40, 49]
    assert stage_lengths((160, 1, 1), samples) == [1, 49]


# --- latent modes as a candidate ----------------------------------------------------------------------------------------------


def found_with(error, *, noise=0.0, samples=5000):
    """A result of the search with a given validation error, in deviations of the output."""
    scales = SimpleNamespace(output_scale=torch.tensor([2.0]))
    prepared = SimpleNamespace(
        ports=SimpleNamespace(drive=("u",)),
        noise=2.0 * torch.tensor([noise]),
        scales=scales,
        samples=SimpleNamespace(states=torch.zeros(samples, 2)),
    )
    return SimpleNamespace(
        prepared=prepared,
        candidates=[SimpleNamespace(validation=error)],
        structures=[Structure("delay", 5, (16, 16), 3e-7)],
        record={"search": [], "linear_validation": 0.8, "structure": {}},
    )


@pytest.mark.parametrize(
    ("found", "settings", "expected"),
    [
        (found_with(0.6), {}, True),
        (found_with(0.05), {}, False),
        (found_with(0.21, noise=0.2), {}, False),
        (found_with(0.6, samples=500), {}, False),
        (found_with(0.6), {"effort": "quick"}, False),
        (found_with(0.6), {"embedding": "delay"}, False),
    ],
)
def test_latent_modes_are_tried_where_much_beyond_the_noise_is_left(found, settings, expected):
    assert fitting._leaves_modes(found, FitConfig(**settings)) is expected


@pytest.mark.parametrize(
    ("reached", "gain", "samples", "kept"),
    [
        (0.1, 1.0, 5000, True),
        (0.58, 1.0, 5000, False),
        (None, 1.0, 5000, False),
        (0.4, 1.0, 5000, True),
        (0.4, 1.0, 3000, False),  # a single validation segment of a shorter recording says less
        (0.1, 1e3, 5000, False),  # it runs away along the recorded drive in reverse
    ],
)
def test_latent_modes_are_kept_where_they_validate_better(monkeypatch, reached, gain, samples, kept):
    trace = Trace(1e-11 * np.arange(60), {"V": np.sin(np.arange(60) / 5)}, {"y": np.sin(np.arange(60) / 5)})

    def fit_latent(on_grid, config, progress):
        surrogate = resonator(gain=gain)
        surrogate.record.update(validation=[reached], kept=[0], linear_validation=0.4, latent={"ridge": 1e-3})
        return surrogate

    monkeypatch.setattr(fitting, "fit_latent", fit_latent)
    lines = []
    latent = fitting._better_latent([trace], FitConfig(), found_with(0.6, samples=samples), lines.append)
    assert (latent is not None) is kept
    assert "leaves 0.600; trying latent modes" in lines[0]
    if latent is not None:
        assert latent.record["linear_validation"] == 0.4
        assert [entry["error"] for entry in latent.record["search"]] == [reached]
        assert latent.record["structure"]["embedding"] == "latent"


@pytest.mark.parametrize("kind", ["follows", "periodic", "rectified", "independent"])
def test_effect_of_the_drive_is_measured(duffing, kind):
    """An output that does not follow the drive is predicted as well with a constant one."""
    trace, settings = duffing(600), QUICK
    if kind == "periodic":  # half of the recording is a whole number of periods
        half = duffing(300, hold=10)
        trace = replace(
            half,
            time=1e-9 * np.arange(600),
            drive={"u": np.tile(half.drive["u"], 2)},
            output={"y": np.tile(half.output["y"], 2)},
        )
    elif kind == "rectified":
        trace, settings = replace(trace, output={"y": np.abs(trace.output["y"])}), QUICK | {"output_map": {"y": "abs"}}
    elif kind == "independent":
        trace = replace(trace, output={"y": np.sin(np.arange(600) / 4)})
    effect = fit(trace, **settings).record["drive_effect"]
    assert (effect > 1.3) == (kind != "independent")


@pytest.mark.parametrize("scale", [1.0, 1e-40, 1e40])
def test_scale_of_the_output_changes_nothing(duffing, scale):
    trace = duffing(400)
    scaled = replace(trace, output={"y": scale * trace.output["y"]})
    assert fit(scaled, **QUICK).record["validation"][0] == pytest.approx(fit(trace, **QUICK).record["validation"][0], rel=1e-2)
