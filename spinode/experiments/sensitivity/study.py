"""`sensitivity`: the whole experiment, with its results in files, one for each variant and seed."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch

from ...differences import describe_differences, differences
from ...errors import ConfigError
from ...files import as_path, write_atomically
from ...identity import identity_of
from ...typing import Progress
from ...validation import is_number, merge_settings, whole_number
from ...version import __version__
from .config import SensitivityConfig
from .table import SensitivityTable
from .trial import make_crossbar, open_device, open_images, run_trial
from .variants import Variant, all_imperfections, variants

#: Settings that may change from one call to the next: what was done stays valid.
_FREE = ("seeds", "minutes")
_SETTINGS = "settings.json"


def sensitivity(
    device: str,
    config: SensitivityConfig | None = None,
    *,
    folder: str | Path | None = None,
    images: str | None = None,
    processes: int = 1,
    progress: Progress | None = None,
    **settings: Any,
) -> SensitivityTable:
    """Train one network on a device with all of its imperfections, with none, with each alone and with each removed.

    Args:
        device: Name of a device: a physical model, one of the zoo, or the file of a fitted one.
        config: Settings.
        folder: Where the accuracy of each run is stored as soon as it is known; a later call runs only what is missing.
        images: Folder of the image files, see `spinode.datasets.mnist`.
        processes: Number of processes.
        progress: Receives a line after each run.
        **settings: Fields of `SensitivityConfig`; they take precedence over `config`.

    Returns:
        Accuracies, and what each imperfection costs.

    Raises:
        ConfigError: there is no such device, a setting out of range, a folder that cannot be created, one with results of
            another device, or of other settings or images, or a damaged result.

    Example:
        >>> table = sensitivity("ideal", network=4, train=40, test=20, epochs=1, seeds=0)
        >>> [row.name for row in table.rows()]
        ['range', 'number of pulses']

    Source: the comparison is that of A. Majumdar et al., IEEE Trans. Electron Devices (2021), arXiv 2107.06064, for any device.
    """
    config = merge_settings(SensitivityConfig, config, settings, what="sensitivity")
    names = all_imperfections(open_device(device), make_crossbar(config))
    place = None if folder is None else as_path(folder, "folder")
    if place is not None:
        _check_settings(place, _identity(device, config, images))
    classes = int(open_images(config.data, images, config.train, config.test).train_labels.max()) + 1
    table = SensitivityTable(device, names, 1 / classes)
    tasks = [(variant, seed) for seed in config.seeds for variant in variants(names)]
    missing = []
    for variant, seed in tasks:
        stored = None if place is None else _read(place, variant, seed)
        if stored is None:
            missing.append((variant, seed))
        else:
            table.add(variant.name, seed, stored)
    for variant, seed, accuracy in _run_all(device, config, missing, images, whole_number("processes", processes, 1, 64)):
        table.add(variant.name, seed, accuracy)
        if place is not None:
            result = {"variant": variant.name, "removed": variant.removed, "seed": seed, "accuracy": accuracy}
            write_atomically(_file(place, variant, seed), json.dumps(result, indent=1).encode())
        if progress is not None:
            progress(f"seed {seed}, {variant.name}: {100 * accuracy:.1f} %")
    return table


def _run_all(
    device: str, config: SensitivityConfig, tasks: list[tuple[Variant, int]], images: str | None, processes: int
) -> Iterator[tuple[Variant, int, float]]:
    """Yield the accuracy of each run as it ends, until the time is over."""
    end = None if config.minutes is None else time.monotonic() + 60 * config.minutes

    def is_over() -> bool:
        return end is not None and time.monotonic() > end

    if processes == 1:
        for variant, seed in tasks:
            if is_over():
                return
            yield variant, seed, run_trial(device, config, variant, seed, images)
        return
    pending: dict[Future[float], tuple[Variant, int]] = {}
    waiting = iter(tasks)
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn"), initializer=_single_thread) as pool:
        try:
            while True:
                while len(pending) < processes and not is_over():
                    task = next(waiting, None)
                    if task is None:
                        break
                    pending[pool.submit(run_trial, device, config, *task, images)] = task
                if not pending:
                    return
                for done in wait(pending, return_when=FIRST_COMPLETED).done:
                    yield (*pending.pop(done), done.result())
        finally:
            pool.shutdown(cancel_futures=True)


def _single_thread() -> None:
    torch.set_num_threads(1)


def _identity(device: str, config: SensitivityConfig, images: str | None) -> Any:
    """Return what determines the results: settings, device with the user's own code, images."""
    fixed = {name: value for name, value in asdict(config).items() if name not in _FREE}
    used = open_images(config.data, images, config.train, config.test)
    parts = {**fixed, "version": __version__, "device": open_device(device), "images": used}
    return json.loads(json.dumps(identity_of(parts)))


def _check_settings(folder: Path, identity: Any) -> None:
    """Store the identity in a new folder; in an existing one compare it.

    Raises:
        ConfigError: they differ.
    """
    file = folder / _SETTINGS
    if not _exists(file):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (OSError, ValueError) as error:  # a null byte in the path is a ValueError
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(f"cannot create the folder {folder}: {reason}. Choose a writable one.") from None
        if any(folder.glob("*-seed-*.json")):
            raise ConfigError(
                f"{folder} has results but no {_SETTINGS}, so that they may be of another experiment. Choose another folder."
            )
        write_atomically(file, json.dumps(identity, indent=1).encode())
        return
    if different := differences(_json(file, "Choose another folder, or remove this one."), identity):
        raise ConfigError(
            f"{folder} has results of another experiment: {describe_differences(different)}. Choose another folder, or remove "
            "this one."
        )


def _file(folder: Path, variant: Variant, seed: int) -> Path:
    words = re.sub(r"[^a-z0-9]+", "-", variant.name.lower()).strip("-")
    # Names that differ in other characters only would share a file.
    short = hashlib.sha256(variant.name.encode()).hexdigest()[:6]
    return folder / f"{words}-{short}-seed-{seed}.json"


def _exists(file: Path) -> bool:
    try:
        return file.exists()
    except (OSError, ValueError) as error:  # such as a null byte in the path
        raise ConfigError(f"{file} is not the path of a file: {error}. Choose another folder.") from None


def _read(folder: Path, variant: Variant, seed: int) -> float | None:
    """Return the stored accuracy of a run; None if there is none.

    Raises:
        ConfigError: a file that is damaged, or of another run.
    """
    file = _file(folder, variant, seed)
    if not file.exists():
        return None
    content = _json(file, "Remove it, and its run is repeated.")
    found = {name: content.get(name) for name in ("variant", "seed", "accuracy")}
    accuracy: Any = found["accuracy"]
    if (found["variant"], found["seed"]) != (variant.name, seed) or not is_number(accuracy) or not 0 <= accuracy <= 1:
        raise ConfigError(
            f"{file} has {', '.join(f'{name} {value!r:.40}' for name, value in found.items())}; expected the variant "
            f"{variant.name!r}, seed {seed} and an accuracy from 0 to 1. Remove it, and its run is repeated."
        )
    return float(accuracy)


def _json(file: Path, advice: str) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it contains a {type(content).__name__}, expected an object")
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"cannot read {file}: {error}. {advice}") from None
    return content
