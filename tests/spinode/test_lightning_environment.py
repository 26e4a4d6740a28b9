"""Lightning on the local machine: it does not depend on a scheduler, gives no advice and leaves signals as they are."""

import logging
import os
import signal
import subprocess
import sys
import warnings

import pytest
import torch
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment, TorchElasticEnvironment
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.exceptions import SIGTERMException
from lightning.pytorch.utilities.rank_zero import rank_zero_only
from torch.utils.data import DataLoader

from spinode.lightning_environment import local_trainer, ordinary_interrupts, quiet_lightning

SLURM = {
    "SLURM_NTASKS": "4",
    "SLURM_JOB_NAME": "fit",
    "SLURM_JOB_ID": "17",
    "SLURM_PROCID": "2",
    "SLURM_LOCALID": "2",
    "SLURM_NODEID": "0",
    "SLURM_NNODES": "1",
}
TORCHRUN = {
    "RANK": "1",
    "GROUP_RANK": "0",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "WORLD_SIZE": "2",
    "TORCHELASTIC_RUN_ID": "17",
}


class Line(LightningModule):
    """A straight line through the origin, fitted to y = 2 x."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.zeros(()))

    def training_step(self, batch, batch_idx):
        return (self.slope * batch - 2 * batch).square().mean()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fitted_slope() -> float:
    line = Line()
    settings = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    with quiet_lightning(), ordinary_interrupts():
        trainer = local_trainer(accelerator="cpu", devices=1, max_epochs=2, log_every_n_steps=1, **settings)
        trainer.fit(line, DataLoader([torch.ones(4)] * 3, batch_size=None))
    return float(line.slope.detach())


@pytest.fixture
def srun(tmp_path, monkeypatch):
    """A stand-in for SLURM's `srun` in front of the PATH."""
    program = tmp_path / "bin" / "srun"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.skipif(sys.platform == "win32", reason="SLURM does not run on Windows")
def test_stand_in_provokes_the_warning_of_lightning(srun):
    with pytest.warns(UserWarning, match="`srun` command is available"):
        SLURMEnvironment.detect()


def test_installed_srun_changes_nothing(srun, capfd):
    expected = fitted_slope()
    assert expected != 0
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("variables", [SLURM, TORCHRUN, SLURM | TORCHRUN], ids=["slurm", "torchrun", "both"])
def test_variables_of_a_scheduler_change_nothing(srun, monkeypatch, tmp_path, variables):
    expected = fitted_slope()
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"of another job")
    monkeypatch.chdir(tmp_path)
    assert fitted_slope() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bin", "hpc_ckpt_1.ckpt"]


def test_variables_at_import_time_change_nothing(srun):
    """Lightning reads the rank of the process when it is imported."""
    code = (
        "import torch\nfrom lightning.pytorch import Trainer\n"
        "from spinode.lightning_environment import local_trainer, quiet_lightning\n"
        "with quiet_lightning():\n"
        "    trainer = local_trainer(accelerator='cpu', devices=1, logger=False)\n"
        "print(trainer.world_size, trainer.global_rank, trainer.is_global_zero)\n"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error:.*srun", "-c", code], env=os.environ | SLURM, capture_output=True, text=True
    )
    assert run.stdout.split() == ["1", "0", "True"], run.stderr


def test_environment_of_the_caller_takes_precedence(monkeypatch):
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(rank_zero_only, "rank", rank_zero_only.rank)  # a Trainer sets it for the whole process
    with quiet_lightning():
        default = local_trainer(accelerator="cpu", devices=1, logger=False)
        chosen = local_trainer(accelerator="cpu", devices=2, logger=False, plugins=TorchElasticEnvironment())
    assert isinstance(default._accelerator_connector.cluster_environment, LightningEnvironment)
    assert isinstance(chosen._accelerator_connector.cluster_environment, TorchElasticEnvironment)


def test_quiet_block_restores_loggers_and_detection():
    level, detect = logging.getLogger("lightning.pytorch").level, SLURMEnvironment.__dict__["detect"]
    with pytest.raises(RuntimeError, match="inside"), quiet_lightning():
        raise RuntimeError("inside")
    assert logging.getLogger("lightning.pytorch").level == level
    assert SLURMEnvironment.__dict__["detect"] is detect


def test_only_the_named_warnings_are_ignored():
    with quiet_lightning(".*smaller than the logging interval"):
        warnings.warn("this is smaller than the logging interval", UserWarning, stacklevel=1)
        with pytest.warns(UserWarning, match="a loss of NaN"):
            warnings.warn("a loss of NaN", UserWarning, stacklevel=1)


def exit_as_lightning_does():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemExit(1)  # noqa: B904 - the interrupt is only its context


def test_interrupt_remains_a_keyboard_interrupt():
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), ordinary_interrupts():
        exit_as_lightning_does()
    assert signal.getsignal(signal.SIGINT) is handler


def test_termination_has_the_exit_code_of_the_signal():
    with pytest.raises(SystemExit, match="143"), ordinary_interrupts():
        raise SIGTERMException


def test_other_exits_pass():
    with pytest.raises(SystemExit, match="3"), ordinary_interrupts():
        raise SystemExit(3)
