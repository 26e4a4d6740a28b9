"""`fit_stored`: the fits of many devices in a folder, with what is done kept."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ....errors import ConfigError
from ....files import as_path, write_atomically
from ....identity import identity_of
from ....traces.trace import Trace
from ....typing import Progress
from ....validation import merge_settings, whole_number
from ..fitting.config import FitConfig
from .fit_many import fit_many
from .start import find_start

Row = dict[str, Any]

MODELS, LINES = "models", "lines"


def fit_stored(
    traces: Mapping[str, Trace],
    folder: str | Path,
    config: FitConfig | None = None,
    *,
    chunk: int = 256,
    pilots: int = 6,
    memory: float = 1e9,
    progress: Progress | None = None,
    **settings: Any,
) -> dict[str, Row]:
    """Fit many devices with `fit_many`, and store the surrogate and the line of each as soon as its chunk is fitted.

    A device whose line is in the folder, of the same recording and settings, is not fitted again; so a killed run loses one
    chunk at most, and more files or a changed recording cost only themselves.

    Args:
        traces: Recording of each device by name.
        folder: Folder of the results: `models/NAME.safetensors` and `lines/NAME.json`.
        config: Settings, as for `fit_many`.
        chunk: Devices that are fitted before they are stored.
        pilots: As for `fit_many`.
        memory: As for `fit_many`.
        progress: Receives lines of text.
        **settings: Fields of `FitConfig`; they take precedence over `config`.

    Returns:
        The line of each device, in the order of `traces`; see `fit_many`.

    Raises:
        ConfigError: as `fit_many`; a folder that cannot be created; a damaged line.
        FitError: no pilot could be fitted.
    """
    config = merge_settings(FitConfig, config, settings, what="fit_stored")
    chunk = whole_number("chunk", chunk, 1)
    place = as_path(folder, "folder")
    try:
        for name in (MODELS, LINES):
            (place / name).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot create the folder {place}: {error.strerror or error}. Pass another folder.") from None
    keys = {name: _key(trace, config, pilots) for name, trace in traces.items()}
    rows = {name: row for name in traces if (row := _stored(place, name, keys[name])) is not None}
    missing = [name for name in traces if name not in rows]
    report = progress or (lambda line: None)
    if rows and progress is not None:
        progress(f"{len(rows)} of {len(traces)} devices are stored")
    if missing:
        start = find_start(traces, config, pilots=pilots, progress=report)
        for names in _chunks(missing, chunk):
            fleet = fit_many({name: traces[name] for name in names}, config, start=start, memory=memory)
            for name in names:
                if name in fleet.surrogates:
                    fleet.surrogates[name].save(place / MODELS / f"{file_name(name)}.safetensors")
                line = {"device": name, "key": keys[name], "row": fleet.rows[name]}
                write_atomically(_line(place, name), json.dumps(line).encode())
            rows |= fleet.rows
            report(f"{len(rows)} of {len(traces)} devices")
    return {name: rows[name] for name in traces}


def file_name(device: str) -> str:
    """Return the name of the files of a device, without their ending; other characters than letters and digits get a digest.

    Example:
        >>> file_name("die1_2"), file_name("lot 3/die1_2")
        ('die1_2', 'lot-3-die1_2-b39d09')
    """
    plain = re.sub(r"[^A-Za-z0-9._+=-]+", "-", device)[:80]
    return plain if plain == device else f"{plain}-{hashlib.sha256(device.encode()).hexdigest()[:6]}"


def _chunks(names: list[str], size: int) -> Iterator[list[str]]:
    for first in range(0, len(names), size):
        yield names[first : first + size]


def _key(trace: Trace, config: FitConfig, pilots: int) -> str:
    """Return a digest of what shapes the fit of a device."""
    parts = identity_of({"config": config.to_dict(), "pilots": pilots, "trace": trace.fingerprint()})
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _line(place: Path, name: str) -> Path:
    return place / LINES / f"{file_name(name)}.json"


def _stored(place: Path, name: str, key: str) -> Row | None:
    """Return the stored line of a device; None if there is none, or one of another recording or other settings."""
    path = _line(place, name)
    try:
        content = json.loads(path.read_text("utf-8"))
        row, found = dict(content["row"]), str(content["key"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ConfigError(f"cannot read {path}: {error}. Delete it, and its device is fitted again.") from None
    fitted = row.get("verdict") == "failed" or (place / MODELS / f"{file_name(name)}.safetensors").exists()
    return row if found == key and fitted else None
