"""The Adam route: the same loss as Gauss-Newton, any field, quiet, resumable, usable in parts."""

import math
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from scipy.integrate import solve_ivp
from torch import nn

from spinode import Trace, TraceSet
from spinode.dynamics.field import GreyBoxField, MLPField
from spinode.errors import ConfigError, FitError
from spinode.surrogates.neural_ode.embedding import Embedding
from spinode.surrogates.neural_ode.fitting.adam import fit_adam, trainer_for
from spinode.surrogates.neural_ode.fitting.checkpoint import Checkpoint
from spinode.surrogates.neural_ode.fitting.config import FitConfig
from spinode.surrogates.neural_ode.fitting.fit import fit
from spinode.surrogates.neural_ode.fitting.gauss_newton import stage_problem
from spinode.surrogates.neural_ode.fitting.lightning_task import SurrogateTask, shooting_loss
from spinode.surrogates.neural_ode.fitting.prepare import on_common_grid, prepare
from spinode.surrogates.neural_ode.fitting.shooting import ParameterVector, Shooting
from spinode.surrogates.neural_ode.fitting.stages import (
    compare_weights,
    default_field,
    free_run_error,
    new_member,
    stage_lengths,
)
from spinode.surrogates.neural_ode.fitting.windows import WindowData, gather
from spinode.surrogates.neural_ode.surrogate import Surrogate

STEP, DAMPING, CUBIC = 0.25, 0.1, 0.3

#: Warnings of Lightning in tests that call its Trainer without `quiet_lightning`.
lightning_warnings = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning", "ignore:.*does not have many workers")


def duffing(samples: int = 400) -> Trace:
    """y'' = -y - 2 zeta y' - beta y^3 + u under a sum of sines, in nanoseconds."""
    generator, times = np.random.default_rng(0), STEP * np.arange(samples)
    rates, phases = generator.uniform(0.3, 1.6, 6), generator.uniform(0, 2 * np.pi, 6)
    drive = lambda t: 0.35 * np.sin(np.multiply.outer(t, rates) + phases).sum(-1)  # noqa: E731
    solved = solve_ivp(
        lambda t, x: [x[1], -x[0] - 2 * DAMPING * x[1] - CUBIC * x[0] ** 3 + drive(t)],
        (0, times[-1]),
        [0.5, 0.0],
        t_eval=times,
        method="DOP853",
        rtol=1e-10,
        atol=1e-12,
    )
    return Trace(time=times * 1e-9, drive={"u": drive(times)}, output={"y": solved.y[0]})


@pytest.fixture(scope="module")
def trace():
    return duffing()


CONFIG = FitConfig(method="adam", order=2, hidden=(4,), windows=(1, 8, 20), epochs=2, restarts=1)


@pytest.fixture(scope="module")
def prepared(trace):
    return prepare(on_common_grid(TraceSet([trace]), CONFIG), Embedding("derivative", 2), CONFIG)


@pytest.fixture
def member(prepared):
    return new_member(prepared, default_field(CONFIG), 0)


def adam(prepared, config=CONFIG, *, build=None, checkpoint=None, progress=lambda line: None, restart=0):
    checkpoint = checkpoint or Checkpoint(None, {})
    return fit_adam(prepared, config, build or default_field(config), restart, checkpoint, progress)


def weights_of(module):
    return torch.cat([value.detach().reshape(-1) for value in module.parameters()])


# The loss


@pytest.mark.parametrize("length", [1, 8, 20])
def test_loss_is_the_cost_of_gauss_newton(prepared, member, length):
    samples = prepared.samples
    with torch.no_grad():
        member.feedthrough.fill_(0.3)
    layout = ParameterVector(member.field, member.feedthrough.detach())
    config = replace(CONFIG, ridge=0.01, max_samples=10**6)
    given = stage_problem(samples, layout, layout.start, length, config, seed=0)
    starts = given.starts
    # As in `fit`, but from the measured initial states.
    weights = compare_weights(samples, outputs_only=length >= 20)
    shooting = Shooting(samples, layout, length, starts, weights, None, given.ridge)
    cost = shooting.evaluate(layout.start, shooting.no_shifts()).cost
    task = SurrogateTask(member, prepared, ridge=0.01)
    task.log = lambda *arguments, **settings: None
    loss = task.training_step(gather(samples, starts, length), 0)
    assert float(loss.detach()) == pytest.approx(cost, rel=1e-10)


def test_gradient_of_the_loss_is_that_of_gauss_newton(prepared, member):
    samples, length = prepared.samples, 8
    weights, starts = compare_weights(samples, False), samples.windows(length)
    layout = ParameterVector(member.field, member.feedthrough.detach())
    shooting = Shooting(samples, layout, length, starts, weights, None, 0.0)
    _, gradient, _ = shooting.normal_equations(shooting.evaluate(layout.start, shooting.no_shifts()))
    shooting_loss(member, gather(samples, starts, length), weights).backward()
    named = dict(member.field.named_parameters())
    slopes = torch.cat([value.grad.reshape(-1) for value in (*(named[name] for name in layout.shapes), member.feedthrough)])
    assert torch.allclose(slopes, 2 * gradient, rtol=1e-8, atol=1e-12)


def test_feedthrough_that_is_not_learned_stays_zero(trace):
    config = replace(CONFIG, feedthrough=False, windows=(8,), epochs=1)
    bare = prepare(on_common_grid(TraceSet([trace]), config), Embedding("derivative", 2), config)
    assert not adam(bare, config).member.feedthrough.any()


# The windows


def test_windows_are_those_of_gauss_newton_in_a_shuffled_order(prepared):
    data = WindowData(prepared, windows=(1, 8, 20), epochs=2, batch_size=16, seed=3)
    assert data.lengths == stage_lengths((1, 8, 20), prepared.samples)
    assert data.total_epochs == 6
    assert [data.length(epoch) for epoch in range(8)] == [1, 1, 8, 8, 20, 20, 20, 20]
    seen = torch.cat(data.batches(0))
    assert seen.sort().values.tolist() == prepared.samples.windows(1).tolist()
    assert seen.tolist() != torch.cat(data.batches(1)).tolist()
    again = WindowData(prepared, windows=(1, 8, 20), epochs=2, batch_size=16, seed=3)
    assert torch.cat(again.batches(1)).tolist() == torch.cat(data.batches(1)).tolist()
    assert all(len(batch) <= 16 for batch in data.batches(0))


def test_epoch_repeats_few_long_windows_equally_often(prepared):
    data = WindowData(prepared, windows=(20,), batch_size=8)
    windows = prepared.samples.windows(20).tolist()
    seen = torch.cat(data.batches(0)).tolist()
    assert len(data.batches(0)) >= 20
    assert {seen.count(start) for start in windows} == {len(seen) // len(windows)}


@lightning_warnings
def test_trainer_that_would_reuse_the_first_windows_is_refused(prepared, member):
    data = WindowData(prepared, windows=(1,), epochs=1)
    trainer = trainer_for(data, reload_dataloaders_every_n_epochs=0)
    with pytest.raises(ConfigError, match="reload_dataloaders_every_n_epochs=0; use trainer_for"):
        trainer.fit(SurrogateTask(member, prepared), datamodule=data)


# The fit


def test_fit_learns_without_output_and_files(prepared, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lightning.fabric.utilities.data.os.cpu_count", lambda: 64)  # many cores provoke advice about workers
    lines = []
    candidate = adam(prepared, replace(CONFIG, epochs=3), progress=lines.append)
    assert candidate.validation < 0.25
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == []
    assert sum("epoch" in line for line in lines) == 9
    assert lines[-1] == f"restart 1/1: validation NRMSE {candidate.validation:.4f}"
    assert [(entry["stage"], entry["window"]) for entry in candidate.history] == [(0, 1), (1, 8), (2, 20)]
    assert candidate.history[0]["residual"] < candidate.history[0]["start"]
    assert not candidate.member.training


def test_scheduler_on_the_machine_changes_nothing(prepared, tmp_path, monkeypatch):
    """A stand-in `srun` on the PATH and the variables of a SLURM job; any warning is an error."""
    config = replace(CONFIG, windows=(8,), epochs=1)
    expected = weights_of(adam(prepared, config).member)
    (tmp_path / "srun").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "srun").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert torch.equal(weights_of(adam(prepared, config).member), expected)
    for name, value in {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "fit", "SLURM_PROCID": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert torch.equal(weights_of(adam(prepared, config).member), expected)


def test_fit_returns_a_reproducible_surrogate(trace):
    config = {"embedding": "derivative", "order": 2, "hidden": (4,), "windows": (8,), "epochs": 1, "restarts": 2}
    made = fit(trace, method="adam", **config)
    assert isinstance(made, Surrogate)
    assert made.record["config"]["method"] == "adam"
    assert {"restart", "stage", "window", "validation", "residual"} <= set(made.record["history"][0])
    again = fit(trace, method="adam", **config)
    assert torch.equal(weights_of(made), weights_of(again))
    assert not torch.equal(weights_of(made), weights_of(fit(trace, method="adam", seed=1, **config)))


def test_best_epoch_is_kept(prepared):
    """With a learning rate that is too large, the last epoch is not the best."""
    lines = []
    candidate = adam(prepared, replace(CONFIG, windows=(4,), epochs=5, learning_rate=0.3), progress=lines.append)
    scores = [float(line.rpartition(" ")[2]) for line in lines if "epoch" in line]
    assert candidate.validation == pytest.approx(min(scores), abs=1e-4)


@lightning_warnings
def test_learning_rate_is_half_a_cosine_in_each_stage(prepared, member):
    rates = []

    class RecordingTask(SurrogateTask):
        def training_step(self, batch, batch_idx):
            rates.append(self.optimizers().param_groups[0]["lr"])
            return super().training_step(batch, batch_idx)

    data = WindowData(prepared, windows=(4, 8), epochs=2)
    task = RecordingTask(member, prepared, epochs=2, learning_rate=0.02)
    trainer_for(data).fit(task, datamodule=data)
    assert len(rates) == 80
    expected = [0.01 * (1 + math.cos(math.pi * place / 40)) for place in range(40)]
    assert rates == pytest.approx(expected * 2)


def test_global_random_state_is_unchanged(prepared):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    adam(prepared, replace(CONFIG, windows=(8,), epochs=1))
    assert torch.equal(torch.rand(3), expected)


# Interruptions


class Killed(Exception):
    pass


def killed_after(epochs, error=Killed):
    seen = []

    def progress(line):
        seen.append(line)
        if sum("epoch" in one for one in seen) == epochs:
            raise error

    return progress


SHORT = replace(CONFIG, windows=(1, 4), epochs=2)


@pytest.fixture(scope="module")
def uninterrupted(prepared):
    return adam(prepared, SHORT)


@pytest.mark.parametrize("epochs", [1, 2, 3, 4])
def test_killed_fit_resumes_and_ends_with_the_same_result(prepared, uninterrupted, tmp_path, epochs):
    """Killed within a stage, at its end, and after the last epoch."""
    with pytest.raises(Killed):
        adam(prepared, SHORT, checkpoint=Checkpoint(tmp_path / "fit.ckpt", {}), progress=killed_after(epochs))
    lines = []
    resumed = adam(prepared, SHORT, checkpoint=Checkpoint(tmp_path / "fit.ckpt", {}), progress=lines.append)
    assert sum("epoch" in line for line in lines) == 4 - epochs
    assert torch.equal(weights_of(resumed.member), weights_of(uninterrupted.member))
    assert resumed.validation == uninterrupted.validation
    assert resumed.history == uninterrupted.history
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["fit.ckpt", "fit.ckpt.lightning", "restart-0.ckpt"]


class Noisy(nn.Module):
    """A field with dropout, which uses random numbers during training."""

    def __init__(self, state, drive, rates, generator):
        super().__init__()
        self.net = MLPField(state, drive, rates, hidden=(4,), generator=generator)

    def forward(self, state, drive):
        return nn.functional.dropout(self.net(state, drive), 0.05, self.training)


def test_fit_of_a_random_field_resumes_to_the_same_result(prepared, tmp_path):
    config = replace(CONFIG, windows=(1,), epochs=3)
    uninterrupted = adam(prepared, config, build=Noisy)
    with pytest.raises(Killed):
        adam(prepared, config, build=Noisy, checkpoint=Checkpoint(tmp_path / "a", {}), progress=killed_after(1))
    resumed = adam(prepared, config, build=Noisy, checkpoint=Checkpoint(tmp_path / "a", {}))
    assert torch.equal(weights_of(resumed.member), weights_of(uninterrupted.member))


def test_ctrl_c_remains_a_keyboard_interrupt(prepared):
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        adam(prepared, SHORT, progress=killed_after(1, KeyboardInterrupt))
    assert signal.getsignal(signal.SIGINT) is handler


def test_terminated_fit_does_not_report_success(prepared):
    """A batch system ends jobs by SIGTERM and checks their exit code."""
    with pytest.raises(SystemExit, match="143"):
        adam(prepared, SHORT, progress=lambda line: os.kill(os.getpid(), signal.SIGTERM))
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_checkpoint_of_another_fit_is_not_resumed(prepared, tmp_path):
    """Deleting the checkpoint of the fit restarts it, whatever is in the folder next to it."""
    config = replace(CONFIG, windows=(1,), epochs=1)
    adam(prepared, config, checkpoint=Checkpoint(tmp_path / "a", {"seed": 0}))
    (tmp_path / "a").unlink()
    other = replace(config, seed=1)
    resumed = adam(prepared, other, checkpoint=Checkpoint(tmp_path / "a", {"seed": 1}))
    assert torch.equal(weights_of(resumed.member), weights_of(adam(prepared, other).member))


def test_damaged_checkpoint_is_refused(prepared, tmp_path):
    config = replace(CONFIG, windows=(1,), epochs=1)
    adam(prepared, config, checkpoint=Checkpoint(tmp_path / "a", {}))
    file = tmp_path / "a.lightning" / "restart-0.ckpt"
    for content in (b"", b"no checkpoint", file.read_bytes()[:2000]):
        file.write_bytes(content)
        with pytest.raises(FitError, match=r"restart-0.ckpt cannot be read .* Delete it to start this restart afresh"):
            adam(prepared, config, checkpoint=Checkpoint(tmp_path / "a", {}))


def test_checkpoint_contains_no_code(prepared, tmp_path):
    adam(prepared, replace(CONFIG, windows=(1,), epochs=1), checkpoint=Checkpoint(tmp_path / "a", {}))
    stored = torch.load(tmp_path / "a.lightning" / "restart-0.ckpt", weights_only=True)
    assert {"state_dict", "optimizer_states", "spinode"} <= set(stored)


# Use in parts


@lightning_warnings
def test_parts_compose_with_any_trainer(prepared, member, tmp_path):
    data = WindowData(prepared, windows=(1, 8), epochs=2, batch_size=32)
    task = SurrogateTask(member, prepared, epochs=2, learning_rate=5e-3)
    best = ModelCheckpoint(tmp_path / "kept", monitor="val/nrmse", save_last=True)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=3,
        reload_dataloaders_every_n_epochs=1,
        logger=CSVLogger(tmp_path, name="log"),
        callbacks=[best, EarlyStopping("val/nrmse", patience=50)],
        plugins=[LightningEnvironment()],  # the test may itself run within a batch job
        log_every_n_steps=1,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(task, datamodule=data)
    assert {"train/loss", "val/nrmse"} <= set(trainer.callback_metrics)
    assert "val/nrmse" in next((tmp_path / "log").rglob("metrics.csv")).read_text()
    assert task.keep_best() == pytest.approx(float(best.best_model_score), rel=1e-6)
    [validated] = trainer.validate(task, datamodule=data, verbose=False)
    assert validated["val/nrmse"] == pytest.approx(task.best[0], rel=1e-6)
    fresh = new_member(prepared, default_field(CONFIG), 9)
    loaded = SurrogateTask.load_from_checkpoint(best.best_model_path, member=fresh, prepared=prepared, weights_only=True)
    assert dict(loaded.hparams) == {"epochs": 2, "learning_rate": 5e-3, "ridge": 3e-7}
    assert torch.equal(weights_of(loaded.member), weights_of(member))


def test_own_callbacks_and_loggers_reach_the_trainer(prepared, tmp_path):
    data = WindowData(prepared)
    logger, stop = CSVLogger(tmp_path), EarlyStopping("val/nrmse")
    trainer = trainer_for(data, logger=logger, callbacks=stop, max_epochs=7)
    assert trainer.logger is logger
    assert stop in trainer.callbacks
    assert (trainer.max_epochs, trainer_for(data).max_epochs) == (7, data.total_epochs)
    assert ModelCheckpoint in [type(one) for one in trainer_for(data, callbacks=[ModelCheckpoint(tmp_path)]).callbacks]


# Fields of the user's own


class Branching(nn.Module):
    """Two regimes, selected by a comparison of numbers: vmap cannot take it."""

    def __init__(self, state, drive, rates, generator):
        super().__init__()
        self.net = MLPField(state, drive, rates, hidden=(4,), generator=generator)

    def forward(self, state, drive):
        rates = self.net(state, drive)
        return rates.clamp(-1, 1) if float(rates.detach().abs().max()) > 1 else rates


class Normed(nn.Module):
    """Batch normalisation: buffers that change as it trains."""

    def __init__(self, state, drive, rates, generator):
        super().__init__()
        self.norm = nn.BatchNorm1d(state)
        self.net = MLPField(state, drive, rates, hidden=(4,), generator=generator)

    def forward(self, state, drive):
        flat = state.reshape(-1, state.shape[-1])
        return self.net(self.norm(flat).reshape(state.shape), drive)


@pytest.mark.parametrize("build", [Branching, Normed])
def test_adam_takes_fields_that_gauss_newton_refuses(trace, build):
    settings = {"order": 2, "ridge": 3e-7, "windows": (8,), "epochs": 2, "restarts": 1}
    with pytest.raises(ConfigError, match="Use method='adam'"):
        fit(trace, vector_field=build, **settings)
    made = fit(trace, vector_field=build, method="adam", **settings)
    assert np.isfinite(made.record["validation"][0])


class Zero(nn.Module):
    """A learned part that returns zero."""

    def forward(self, state, drive):
        return torch.zeros_like(state[..., :1])


def linear_physics(scales, step):
    """Return the known part of the oscillator, -y - 2 zeta y' + u, in the deviations and samples of a fit."""
    (output_scale, rate_scale), mean = scales.state_scale[:, 0].tolist(), float(scales.output_mean)

    def known(state, drive):
        y, slope = output_scale * state[..., :1] + mean, rate_scale * state[..., 1:2] / step
        u = scales.drive_scale * drive + scales.drive_mean
        return step**2 / rate_scale * (-y - 2 * DAMPING * slope + u)

    return known


@pytest.mark.parametrize(("method", "gain"), [("gauss-newton", 30), ("adam", 3)])
def test_grey_box_learns_the_part_missing_from_the_physics(trace, tmp_path, method, gain):
    config = FitConfig(order=2, ridge=3e-7, feedthrough=False, method=method, windows=(1, 8, 20), epochs=3, restarts=1)
    grey = prepare(on_common_grid(TraceSet([trace]), config), Embedding("derivative", 2), config)
    known = linear_physics(grey.scales, STEP)

    def build(state, drive, rates, generator):
        return GreyBoxField(known, MLPField(state, drive, rates, hidden=(6,), generator=generator))

    made = fit(trace, config, vector_field=build)
    physics = new_member(grey, lambda *sizes: GreyBoxField(known, Zero()), 0)
    assert made.record["validation"][0] < free_run_error(physics, grey, grey.validation) / gain
    if method == "gauss-newton":  # the learned part is the cubic spring
        y = torch.tensor([-1.0, -0.5, 0.0, 0.5, 1.0], dtype=torch.float64)
        state = torch.stack([(y - grey.scales.output_mean) / grey.scales.output_scale, torch.zeros(5)], -1)
        drive = (torch.zeros(5, 1, dtype=torch.float64) - grey.scales.drive_mean) / grey.scales.drive_scale
        force = made.members[0].field.top.learned(state, drive)[:, 0] * grey.scales.state_scale[1, 0] / STEP**2
        assert force.tolist() == pytest.approx((-CUBIC * y**3).tolist(), abs=0.03)
    made.save(tmp_path / "grey.safetensors")
    again = Surrogate.load(tmp_path / "grey.safetensors", field=GreyBoxField(known, MLPField(2, 1, 1, hidden=(6,))))
    u = torch.as_tensor(trace.drive["u"][:50].copy())[:, None]
    start = torch.zeros(2, dtype=torch.float64)
    assert torch.equal(again.simulate(u, state=start), made.simulate(u, state=start))
