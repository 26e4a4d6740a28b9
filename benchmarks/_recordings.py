"""Recordings of benchmarks/devices.py: which files train and test a model of each device, and how it is scored."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from _device_films import MissingFilm, current_film, four_skyrmions, multisine_film
from _film_traces import INTERVAL
from _many_modes import many_modes_traces
from numpy.typing import NDArray

from spinode import Trace, resample
from spinode.datasets import read_trace, sample_path

Array = NDArray[np.float64]

#: Samples left out of the score of devices whose publications give no number.
WASHOUT = 50

#: The same for devices with many modes, whose state takes longer to find.
MANY_MODES_WASHOUT = 200


@dataclass(frozen=True, eq=False)
class Device:
    """What a model of one device is fitted on and tested on.

    Attributes:
        name: Name in the lines and tables.
        train: Recordings to fit, uniformly sampled.
        tests: Test recordings by name, as a model may see them: only the first `washout` outputs.
        truth: Outputs that the free runs are compared with, by test, shape (time, outputs). Without the noise of the
            recording where it was added here.
        washout: Samples at the beginning of a test that are not scored.
        unit: Unit of the score, or "NRMSE".
        scale: The score is `scale` times the RMSE in SI units; not used for "NRMSE".
        clean: Name of the device without added noise.
        noise: Standard deviation of the added noise over that of the output; 0 without.
    """

    name: str
    train: tuple[Trace, ...]
    tests: Mapping[str, Trace]
    truth: Mapping[str, Array]
    washout: int = WASHOUT
    unit: str = "NRMSE"
    scale: float = 1.0
    clean: str = ""
    noise: float = 0.0

    @property
    def noise_level(self) -> float:
        """Deviation of the added noise, in `unit`."""
        if self.unit == "NRMSE":
            return self.noise
        clean = np.concatenate([columns(trace, "output") for trace in self.train]).std()
        return float(self.scale * self.noise * clean / np.sqrt(1 + self.noise**2))

    def score(self, test: str, run: Array) -> float:
        """Return the error of a free run after the washout, in `unit`; infinity if the run is not finite."""
        error = (run - self.truth[test])[self.washout :]
        if not np.isfinite(error).all():
            return float("inf")
        if self.unit == "NRMSE":
            return float(np.sqrt(np.mean((error / self.truth[test][self.washout :].std(0)) ** 2)))
        return float(self.scale * np.sqrt(np.mean(error**2)))


class MissingData(Exception):
    """Files of a device are not there; the message names them."""


def columns(trace: Trace, role: str) -> Array:
    """Return the channels of a role, shape (time, channels)."""
    return np.stack([np.array(values) for values in getattr(trace, role).values()], -1)


def make_device(
    name: str,
    train: tuple[Trace, ...],
    tests: Mapping[str, Trace],
    washout: int = WASHOUT,
    unit: str = "NRMSE",
    scale: float = 1.0,
) -> Device:
    """Return a device whose tests are compared with their own outputs."""
    truth = {test: columns(trace, "output") for test, trace in tests.items()}
    return Device(name, train, tests, truth, washout, unit, scale, clean=name)


def noisy(device: Device, ratio: float) -> Device:
    """Return the device with white noise of `deviation / ratio` on each recorded output; the truth remains clean."""
    seed = int(hashlib.sha256(f"{device.name} {ratio}".encode()).hexdigest()[:8], 16)
    random = np.random.default_rng(seed)
    deviations = {
        name: float(np.concatenate([np.array(trace.output[name]) for trace in device.train]).std())
        for name in device.train[0].output
    }

    def with_noise(trace: Trace) -> Trace:
        output = {
            name: np.array(values) + deviations[name] / ratio * random.standard_normal(len(trace))
            for name, values in trace.output.items()
        }
        return replace(trace, output=output)

    train = tuple(with_noise(trace) for trace in device.train)
    tests = {test: with_noise(trace) for test, trace in device.tests.items()}
    return replace(device, name=f"{device.name}@snr{ratio:g}", train=train, tests=tests, noise=1 / ratio)


# Recordings of ../shared/data/sysid


def _sysid(
    name: str, drive: str, output: str, tests: Mapping[str, str], train: tuple[str, ...], washout: int, unit: str, scale: float,
    data: Path, simulate: bool,
) -> Device:  # fmt: skip
    folder = data / "sysid"
    needed = [folder / f"{file}.csv" for file in (*train, *tests.values())]
    _require(*needed)

    def read(file: str) -> Trace:
        return read_trace(folder / f"{file}.csv", drive=drive, output=output)

    return make_device(name, tuple(map(read, train)), {test: read(file) for test, file in tests.items()}, washout, unit, scale)


def _require(*files: Path) -> None:
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise MissingData(f"not found: {', '.join(missing)}")


# Skyrmion tables of ../shared/data/spin_neural_ode, split as in benchmarks/skyrmion.py and brought to 5 ps

KU, D = "Ku1.region100", "Dind.region100"


def _on_grid(trace: Trace) -> Trace:
    return resample(trace, INTERVAL)


def _named_as(trace: Trace, drive: str) -> Trace:
    """Return a trace of one drive with that drive under another name."""
    (old,) = trace.drive
    units = {drive if name == old else name: unit for name, unit in trace.units.items()}
    interpolation = {drive: trace.interpolation[old]} if old in trace.interpolation else {}
    return replace(trace, drive={drive: trace.drive[old]}, units=units, interpolation=interpolation)


def _voltage(data: Path, simulate: bool) -> Device:
    folder = data / "spin_neural_ode"
    table, held = folder / "1skyrmion_voltage_table.txt", folder / "llg_held_50ps_30ns.csv"
    _require(table, held)
    read = partial(read_trace, table, drive=KU, output="mz")
    tests = {
        "58.5-85 ns": _on_grid(read(start=58.5e-9, stop=85e-9)),
        "held 50 ps": _on_grid(_named_as(read_trace(held, drive="Ku", output="mz"), KU)),
    }
    with contextlib.suppress(MissingFilm):  # the other tests need no simulation
        tests["multisine"] = _named_as(multisine_film(simulate=simulate), KU)
    return make_device("skyrmion-voltage", (_on_grid(read(start=8.5e-9, stop=58.5e-9)),), tests)


def _ku_dmi(data: Path, simulate: bool) -> Device:
    folder = data / "spin_neural_ode"
    table, ku_test = folder / "1skyrmion_PMA_DMI_train_table.txt", folder / "1skyrmion_test_Ku_ext_DMI_table.txt"
    _require(table, ku_test)
    read = partial(read_trace, drive=[KU, D], output="mz")
    tests = {"after 50 ns": _on_grid(read(table, start=51e-9)), "Ku segments": _on_grid(read(ku_test))}
    return make_device("skyrmion-ku-dmi", (_on_grid(read(table, start=1e-9, stop=51e-9)),), tests)


def _macrospin(data: Path, simulate: bool) -> Device:
    """Return the demo, split as `spinode demo` splits it."""
    trace = read_trace(sample_path("macrospin.csv"), drive="Ku", output="mz")
    split = float(trace.time[0] + 0.7 * trace.duration)
    held = read_trace(sample_path("macrospin_held.csv"), drive="Ku", output="mz")
    tests = {"last 30 %": resample(trace.between(split, None)), "held steps": resample(held)}
    return make_device("macrospin", (resample(trace.between(None, split)),), tests)


# Devices that are simulated here


def _current(kind: str, data: Path, simulate: bool) -> Device:
    train, test = (current_film(kind, part, simulate=simulate) for part in ("train", "test"))
    return make_device(f"film-{kind}", (train,), {"other steps": test})


def _four(data: Path, simulate: bool) -> Device:
    train, tests = four_skyrmions(simulate=simulate)
    return make_device("four-skyrmions", (train,), tests, MANY_MODES_WASHOUT)


def _many_modes(data: Path, simulate: bool) -> Device:
    try:
        train, tests = many_modes_traces()
    except ImportError as error:
        raise MissingData(f"this version of spinode has no stand-in of many modes ({error})") from None
    return make_device("many-modes", train, tests, MANY_MODES_WASHOUT)


Maker = Callable[[Path, bool], Device]

#: Devices by name.
DEVICES: dict[str, Maker] = {
    "silverbox": partial(
        _sysid, "silverbox", "V1", "V2",
        {"multisine": "silverbox_test_multisine", "arrow": "silverbox_test_arrow_full",
         "arrow, no extrapolation": "silverbox_test_arrow_noextrap"},
        ("silverbox_train",), 50, "mV", 1e3,
    ),
    "ced": partial(
        _sysid, "ced", "u", "speed", {"low": "ced_low_test", "high": "ced_high_test"},
        ("ced_low_train", "ced_high_train"), 4, "ticks/s", 1.0,
    ),
    "boucwen": partial(
        _sysid, "boucwen", "u", "y", {"multisine": "boucwen_test_multisine", "sweep": "boucwen_test_sinesweep"},
        ("boucwen_train",), 50, "1e-5 m", 1e5,
    ),
    "rlc": partial(_sysid, "rlc", "V_IN", "V_C", {"test": "rlc_test"}, ("rlc_train",), 50, "V", 1.0),
    "mrdamper": partial(
        _sysid, "mrdamper", "velocity", "force", {"test": "mrdamper_test"}, ("mrdamper_train",), 10, "N", 1.0
    ),
    "buck": partial(_sysid, "buck", "input", "y", {"test": "buck_test"}, ("buck_train",), 10, "V", 1.0),
    "diode": partial(_sysid, "diode", "v_in", "v_out", {"test": "diode_test"}, ("diode_train",), 50, "mV", 1e3),
    "skyrmion-voltage": _voltage,
    "skyrmion-ku-dmi": _ku_dmi,
    "macrospin": _macrospin,
    "film-current": partial(_current, "current"),
    "film-flow": partial(_current, "flow"),
    "four-skyrmions": _four,
    "many-modes": _many_modes,
}  # fmt: skip

#: Signal-to-noise ratios of the noisy versions, as deviation of the output over that of the noise.
RATIOS = (20.0, 10.0)


def device_names() -> list[str]:
    """Return the names of all devices, each followed by its noisy versions."""
    return [name for device in DEVICES for name in (device, *(f"{device}@snr{ratio:g}" for ratio in RATIOS))]


def read_device(name: str, data: Path, *, simulate: bool = False) -> Device:
    """Return a device by its name, "boucwen" or "boucwen@snr20".

    Args:
        name: One of `device_names()`.
        data: Folder of the recordings, which has the folders sysid and spin_neural_ode.
        simulate: Simulate missing film traces, which takes minutes.

    Raises:
        MissingData: a file is not there, or a film trace and `simulate` is not set.
    """
    base, _, ratio = name.partition("@snr")
    try:
        device = DEVICES[base](data, simulate)
    except MissingFilm as error:
        raise MissingData(str(error)) from None
    return noisy(device, float(ratio)) if ratio else device
