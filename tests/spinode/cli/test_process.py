"""The command line as a process: exit codes, pipes, interrupts, and what start-up imports."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from spinode.datasets import sample_path

TABLE = str(sample_path("macrospin.csv"))
ROLES = ["--drive", "Ku", "--output", "mz"]
#: Options with which nothing is searched.
FAST = "--start 0 --stop 4e-9 --effort quick --embedding derivative -k 2 --ridge 3e-7 --restarts 1 --hidden 3 --quiet".split()  # noqa: SIM905


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def command(*words):
    return [sys.executable, "-P", "-m", "spinode", *map(str, words)] if sys.version_info >= (3, 11) else [
        sys.executable, "-m", "spinode", *map(str, words)
    ]  # fmt: skip


def test_bad_input_of_a_process(here):
    done = subprocess.run(command("evaluate", "nothing", TABLE), capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("spinode: error: there is no file nothing")
    assert len(done.stderr.splitlines()) == 1


def test_closed_pipe_is_not_an_error(here):
    process = subprocess.Popen(command("inspect", TABLE), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    err = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 0
    assert err == b""


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_interrupted_fit_resumes_to_the_identical_file(here):
    small = "--start 0 --stop 2.2e-9 --embedding derivative -k 2 --ridge 3e-7 --restarts 8 --hidden 8".split()  # noqa: SIM905
    words = command("fit", TABLE, *ROLES, *small, "--effort", "quick", "--quiet", "--save")
    undisturbed = subprocess.run([*words, "undisturbed.safetensors"], capture_output=True, text=True)
    assert undisturbed.returncode == 0, undisturbed.stderr
    process = subprocess.Popen(
        [*words, "cut.safetensors"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Where the tests themselves run in the background, the shell makes them ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    checkpoint = here / "cut.safetensors.checkpoint"
    limit = time.monotonic() + 60
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert process.poll() is None, "the fit was over before it could be interrupted"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert "the same command resumes from cut.safetensors.checkpoint" in err
    assert "Traceback" not in err
    assert listing(here) == ["cut.safetensors.checkpoint", "undisturbed.safetensors"]
    again = subprocess.run([*words, "cut.safetensors"], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert "resuming from cut.safetensors.checkpoint" in again.stderr
    assert (here / "cut.safetensors").read_bytes() == (here / "undisturbed.safetensors").read_bytes()
    assert listing(here) == ["cut.safetensors", "undisturbed.safetensors"]


@pytest.mark.parametrize(
    ("words", "unused"),
    [(["--help"], ("torch", "lightning", "jsonargparse", "numpy")), (["inspect", TABLE], ("torch", "lightning", "tqdm"))],
)
def test_start_up_is_light(here, words, unused):
    """Help imports nothing heavy, and `inspect` reads a table without torch."""
    code = f"import sys; from spinode.cli import main\ntry: main({words!r})\nexcept SystemExit: pass\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(unused) & set(done.stdout.splitlines()[-1].split())
