"""Fixtures of the whole suite."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import settings
from scipy import signal

import spinode
from spinode import Trace
from spinode.datasets import read_trace, sample_path

# A deadline per example would fail on a busy machine, not for a slow function.
settings.register_profile("spinode", deadline=None)
settings.load_profile("spinode")

HERE = Path(__file__).resolve().parent

#: True in a run of all tests, also those that take too long for every change.
LONG = os.environ.get("SPINODE_LONG", "") not in ("", "0")


def pytest_cmdline_main(config: pytest.Config) -> None:
    """Keep the tests of one `xdist_group` on one worker if tests are distributed: they share an expensive result."""
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist, config.option.loadgroup = "loadgroup", True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run slow tests first, so that no worker is left with one at the end; skip the long ones if they are not asked for."""
    for item in items:
        if item.get_closest_marker("long") and not LONG:
            item.add_marker(pytest.mark.skip(reason="long tests run with SPINODE_LONG=1"))
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Use one thread: the networks are small, and sums keep one order."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the checkout; tests of its layout are skipped where only the wheel is tested."""
    if not (HERE.parent / "datasets" / "__init__.py").exists():
        pytest.skip("these tests were copied away from the checkout")
    return HERE.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """Return the folder of real measurement files, which is next to the checkout (or at $SPINODE_SHARED) and not part of it."""
    folder = Path(os.environ.get("SPINODE_SHARED") or HERE.parent.parent / "shared")
    if not (folder / "data").is_dir():
        pytest.skip(f"no measurement files at {folder}; set SPINODE_SHARED to the folder that contains data/")
    return folder


# --- recordings with known equations, and one real fit that many tests share ---

#: Settings of a fit that takes a second or two.
CHEAP = {
    "effort": "quick",
    "embedding": "derivative",
    "restarts": 1,
    "iterations": 4,
    "hidden": (6,),
    "windows": (1, 8, 40),
    "ridge": 3e-7,
    "max_samples": 1500,
}


def made_drive(samples: int, seed: int, hold: int) -> np.ndarray:
    """Return random steps, each held for `hold` samples; smooth noise for hold = 0."""
    generator = np.random.default_rng(seed)
    if hold:
        return np.repeat(generator.uniform(-1, 1, samples // hold + 1), hold)[:samples]
    return 3 * signal.filtfilt(*signal.butter(3, 0.08), generator.standard_normal(samples))


def oscillation(drive: np.ndarray, period: np.ndarray, damping: float, cubic: float) -> np.ndarray:
    """y'' + 2 z w y' + w^2 (y + c y^3) = w^2 u from rest, u held between samples; ten Runge-Kutta steps per sample."""
    y, v, rows = 0.0, 0.0, []
    for u, p in zip(drive.tolist(), period.tolist(), strict=True):
        rows.append(y)
        w = 2 * np.pi / p

        def rate(y, v, u=u, w=w):
            return v, w * w * (u - y - cubic * y**3) - 2 * damping * w * v

        for _ in range(10):
            a, b = rate(y, v)
            c, d = rate(y + 0.05 * a, v + 0.05 * b)
            e, f = rate(y + 0.05 * c, v + 0.05 * d)
            g, h = rate(y + 0.1 * e, v + 0.1 * f)
            y, v = y + (a + 2 * c + 2 * e + g) / 60, v + (b + 2 * d + 2 * f + h) / 60
    return np.array(rows)


@pytest.fixture(scope="session")
def duffing():
    """Factory of recordings of a driven Duffing oscillator, drive "u" [V], output "y" [T], one sample per nanosecond."""

    def made(samples=600, *, seed=0, hold=0, period=25.0, damping=0.08, cubic=0.3, noise=0.0, interval=1e-9) -> Trace:
        u = made_drive(samples, seed, hold)
        y = oscillation(u, np.broadcast_to(np.asarray(period, dtype=float), samples), damping, cubic)
        y = y + noise * y.std() * np.random.default_rng(seed + 1000).standard_normal(samples)
        return Trace(interval * np.arange(samples), {"u": u}, {"y": y}, units={"u": "V", "y": "T"}, interpolation={"u": "held"})

    return made


@pytest.fixture(scope="session")
def cheap():
    """Settings of a fit that takes a second or two."""
    return dict(CHEAP)


@pytest.fixture(scope="session")
def macrospin() -> Trace:
    """The shipped recording with its roles."""
    return read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")


@pytest.fixture(scope="session")
def fitted(macrospin):
    """A real, rough fit of the first 12 ns of the shipped recording (free-run NRMSE about 0.1 on what follows)."""
    return spinode.fit(macrospin.between(None, 11.99e-9), **(CHEAP | {"order": 2, "iterations": 10}))


@pytest.fixture(scope="session")
def fitted_file(fitted, tmp_path_factory):
    """The same, as a file."""
    path = tmp_path_factory.mktemp("fitted") / "macrospin.safetensors"
    fitted.save(path)
    return path
