"""Do damaged files raise only errors of the package, in bounded time and memory? One JSON line for each kind of file.

    python benchmarks/reliability/artefacts.py [--count 10000] [--only surrogate ...] [--seed 0] [--keep FOLDER]

Each file is changed at random and opened as a user opens it. One half of the changes are bytes: some overwritten, a part cut,
repeated or removed. The other half are changes of the content under a valid digest, where the kind has one, as someone who
edits a file by hand makes them: a number becomes huge, negative, NaN or text, an entry goes or is doubled, a shape is another
one. `loaded` counts files that open, `refused` those with an error of the package, `other` anything else: an exception of
other kinds, more than two seconds, or half a gigabyte more memory than before. Checkpoints are opened by the run that they
belong to, which must refuse them or end with the result of an unchanged one. --keep stores the files that gave something
else.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import random
import resource
import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from _kill_jobs import run_batches, run_stochastic, run_synapse
from safetensors.torch import load as tensors_of, save as to_bytes

import spinode
from spinode.artifact import DIGEST_KEY
from spinode.cli import main as command_line
from spinode.digest import content_digest
from spinode.errors import SpinodeError
from spinode.surrogates import zoo
from spinode.surrogates.testing import resonator
from spinode.training.recipe import load_recipe

SECONDS, MEMORY = 2.0, 512 * 2**20
#: Numbers that replace one in a file.
NUMBERS: tuple[Any, ...] = (0, -1, 1, 2, 1e308, -1e308, 10**12, 2**63, 0.5, "x", None, [], {}, True, [[1]], 1e-320)


@dataclass(frozen=True)
class FileKind:
    """One kind of file: an example, how it is opened, and how its content is changed under a valid digest."""

    example: bytes
    opened: Callable[[Path], Any]
    edited: Callable[[bytes, random.Random], bytes]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=10_000, help="changed files of each kind")
    parser.add_argument("--only", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="folder for the files that gave something else than an error of the package")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in options.only:
        print(json.dumps(count(name, options.count, random.Random(f"{options.seed} {name}"), options.keep)), flush=True)


def count(name: str, number: int, chance: random.Random, keep: Path | None) -> dict[str, Any]:
    """Return the counts of one kind of file."""
    line: dict[str, Any] = {"kind": "artefacts", "file": name, "files": 0, "loaded": 0, "refused": 0, "other": 0}
    faults: dict[str, int] = {}
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        each = KINDS[name](Path(folder))
        path = Path(folder) / f"changed{SUFFIX.get(name, '')}"
        for index in range(number):
            data = changed(each.example, chance) if index % 2 else each.edited(each.example, chance)
            path.write_bytes(data)
            outcome = attempt(each.opened, path)
            line["files"] += 1
            line[outcome if outcome in ("loaded", "refused") else "other"] += 1
            if outcome not in ("loaded", "refused"):
                faults[outcome] = faults.get(outcome, 0) + 1
                if keep is not None:
                    keep.mkdir(exist_ok=True)
                    (keep / f"{name}-{index}{SUFFIX.get(name, '')}").write_bytes(data)
    return {**line, "faults": faults, "seconds": round(time.monotonic() - begin, 1)}


def attempt(opened: Callable[[Path], Any], path: Path) -> str:
    """Return "loaded", "refused", or what else has happened."""
    before, begin = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        opened(path)
        outcome = "loaded"
    except SpinodeError as error:
        outcome = "refused" if str(error).strip() else "an error without a message"
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:120]}"
    if time.process_time() - begin > SECONDS:
        return "too slow"
    if (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 > MEMORY:
        return "too much memory"
    return outcome


# --- changes --------------------------------------------------------------------------------------------------------------


def changed(data: bytes, chance: random.Random) -> bytes:
    """Return bytes with one to four changes."""
    result = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at, length = chance.randrange(len(result) + 1), chance.choice((1, 1, 2, 8, 64, 1000))
        kind = chance.randrange(5)
        if kind == 0:
            result[at : at + length] = chance.randbytes(min(length, len(result) - at))
        elif kind == 1:
            del result[at : at + length]
        elif kind == 2:
            result[at:at] = result[at : at + length]
        elif kind == 3:
            del result[at:]
        else:
            result[at : at + length] = chance.choice((b"\x00", b"\xff", b"9")) * min(length, len(result) - at)
    return bytes(result)


def edited_value(value: Any, chance: random.Random) -> Any:
    """Return plain JSON with one value changed, at a random place."""
    if isinstance(value, dict) and value and chance.random() < 0.9:
        key = chance.choice(sorted(value))
        if chance.random() < 0.1:
            return {name: item for name, item in value.items() if name != key}
        return {**value, key: edited_value(value[key], chance)}
    if isinstance(value, list) and value and chance.random() < 0.9:
        at = chance.randrange(len(value))
        if chance.random() < 0.1:
            return value[:at] + value[at + 1 :] if chance.random() < 0.5 else [*value, value[at]]
        return [*value[:at], edited_value(value[at], chance), *value[at + 1 :]]
    return chance.choice(NUMBERS)


def edited_tensors(tensors: dict[str, torch.Tensor], chance: random.Random) -> dict[str, torch.Tensor]:
    """Return tensors of which one is missing, or has another shape, type or value."""
    name = chance.choice(sorted(tensors))
    old = tensors[name]
    options: list[torch.Tensor | None] = [
        None,
        old.reshape(-1),
        old[None].clone(),
        old.float(),
        torch.zeros(0),
        old * 0,
        old * 1e30,
    ]
    if old.dtype.is_floating_point:
        options += [old.to(torch.int64), old * float("nan")]
    new = chance.choice(options)
    return {key: value for key, value in tensors.items() if key != name} | ({} if new is None else {name: new.contiguous()})


def edited_artifact(data: bytes, chance: random.Random) -> bytes:
    """Return a surrogate file with another content and the digest of that."""
    length = int.from_bytes(data[:8], "little")
    metadata = json.loads(data[8 : 8 + length])["__metadata__"]
    ((key, text),) = metadata.items()
    meta, tensors = json.loads(text), tensors_of(data)
    meta.pop(DIGEST_KEY, None)
    if chance.random() < 0.7:
        meta = edited_value(meta, chance)
    else:
        tensors = edited_tensors(tensors, chance)
    if isinstance(meta, dict):
        meta[DIGEST_KEY] = content_digest(json.dumps(meta), tensors)
    return to_bytes(tensors, {key: json.dumps(meta)})


def edited_text(data: bytes, chance: random.Random) -> bytes:
    """Return lines of which one has another value, or is missing, doubled or indented otherwise."""
    lines = data.decode().splitlines()
    at = chance.randrange(len(lines))
    head, mark, _ = lines[at].partition(":")
    texts = (
        "1e999",
        "-1",
        "10" * 50,
        "[",
        "{a: b",
        "!!python/object:os.system ls",
        "&a [*a]",
        "null",
        "'",
        "yes",
        ".nan",
        "0x10",
    )
    lines[at : at + 1] = chance.choice(
        ([], [lines[at]] * 2, [" " + lines[at]], [f"{head}{mark} {chance.choice(texts)}"], [chance.choice(texts)])
    )
    return "\n".join(lines).encode()


# --- the kinds ------------------------------------------------------------------------------------------------------------


def opened_and_used(path: Path) -> None:
    """Open an artifact and use it a little: what opens must not fail later."""
    model = spinode.load(path)
    if isinstance(model, spinode.Surrogate):
        model.describe()
        drive = model.scales.drive_mean.expand(4, -1)[:, : len(model.ports.drive)]
        constants = model.scales.drive_mean[len(model.ports.drive) :]
        with contextlib.suppress(SpinodeError):
            model.simulate(drive, parameters=constants)
    elif isinstance(model, spinode.Synapse):
        state = model.initial((3,))
        model.read(model.program(state, spinode.Pulses(torch.tensor([1.0, -1.0, 0.0]))))


def artifact(make: Callable[[Path], bytes]) -> Callable[[Path], FileKind]:
    return lambda folder: FileKind(make(folder), opened_and_used, edited_artifact)


def saved(model: Any, folder: Path) -> bytes:
    model.save(folder / "model")
    return (folder / "model").read_bytes()


def checkpoint_of(run: Callable[[Path], Any]) -> Callable[[Path], FileKind]:
    """Return the file that a run leaves; it is opened by the same run, which accepts only its own."""

    def make(folder: Path) -> FileKind:
        expected = run(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        example = max(files, key=lambda path: path.stat().st_size)

        def opened(path: Path) -> None:
            data = path.read_bytes()
            example.write_bytes(data)
            if run(folder) != expected:
                raise RuntimeError("another result")

        return FileKind(example.read_bytes(), opened, changed)

    return make


def recipe(folder: Path) -> FileKind:
    text = (Path(spinode.__file__).parents[1] / "training" / "recipes" / "qnn-mnist-fashion.yaml").read_bytes()
    return FileKind(text, load_recipe, edited_text)


def config(folder: Path) -> FileKind:
    text = b"order: 2\nhidden: [8, 8]\nridge: 1.0e-6\nwindows: [1, 8]\nrestarts: 2\nseed: 0\nembedding: delay\neffort: quick\n"

    def opened(path: Path) -> None:
        # The table does not exist: a configuration that is read ends with that error.
        arguments = ["fit", "no-such-table.csv", "--drive", "V", "--output", "y", "--save", "x", "--config", str(path)]
        with contextlib.redirect_stderr(io.StringIO()) as said:
            try:
                code: Any = command_line(arguments)
            except SystemExit as stop:
                code = stop.code
        if code != 2 or "spinode: error:" not in said.getvalue():
            raise RuntimeError(f"the exit code is {code}: {said.getvalue()[-200:]}")
        if "no-such-table.csv" not in said.getvalue():
            raise spinode.ConfigError("refused")

    return FileKind(text, opened, edited_text)


KINDS: dict[str, Callable[[Path], FileKind]] = {
    "surrogate": artifact(lambda folder: saved(resonator(), folder)),
    "fitted-surrogate": artifact(lambda folder: saved(zoo.open("macrospin"), folder)),
    "synapse": artifact(lambda folder: saved(zoo.open_synapse("vteam"), folder)),
    "retention": artifact(lambda folder: saved(zoo.open_synapse("reram-retention"), folder)),
    "synapse-checkpoint": checkpoint_of(run_synapse),
    "stochastic-checkpoint": checkpoint_of(run_stochastic),
    "training-checkpoint": checkpoint_of(run_batches),
    "recipe": recipe,
    "config": config,
}
SUFFIX = {"recipe": ".yaml", "config": ".yaml"}


if __name__ == "__main__":
    main()
