"""From which checkpoint a run begins: one of the same run, another one that it continues on purpose, or none."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..contracts.task_stream import Task, TaskStream, check_task
from ..differences import Difference, describe_differences, differences
from ..errors import ConfigError
from ..identity import identity_of
from .config import StreamConfig
from .learners.learner import Learner
from .stored_run import check_stored

#: File that is written into the folder `checkpoint`.
CHECKPOINT_FILE = "checkpoint.ckpt"
#: Settings that shape the position within a pass.
_BATCHES = ("config.batch_size", "config.shuffle")


@dataclass(frozen=True)
class Start:
    """How a run begins, and what identifies it.

    Attributes:
        identity: What shapes the result, see `spinode.identity`.
        counts: Passes over each task.
        file: Checkpoint from which the run begins; None for a new run.
        history: What was changed where the run was continued, one line each; empty for a run in one piece.
        parent: Digest of the checkpoint that was continued last, or empty.
        is_changed: True if the run begins from a checkpoint with other settings.
        reopens: True if the newest task, which was finished, gets more passes.
    """

    identity: Any
    counts: Sequence[int]
    file: Path | None = None
    history: tuple[str, ...] = ()
    parent: str = ""
    is_changed: bool = False
    reopens: bool = False

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint stores of this, as plain values."""
        return {"identity": json.dumps(self.identity), "history": list(self.history), "parent": self.parent}


def task_digest(task: Task) -> str:
    """Return a digest of name, labels, test set and first input of a task; all its inputs would take longer to read."""
    parts = (task.name, task.labels, task.test_inputs, task.test_labels, task.inputs[:1])
    return json.dumps(identity_of(parts))


def find_start(
    learner: Learner, stream: TaskStream, config: StreamConfig, identity: Any, target: Path | None, source: Path | None
) -> Start:
    """Return how a run begins, after checking that its checkpoint belongs to it or may be continued.

    Args:
        learner: The learner; unchanged.
        stream: What it learns.
        config: How it goes through the stream, its number of tasks resolved.
        identity: What shapes the result.
        target: Checkpoint of this run, which may exist; None if none is written.
        source: Checkpoint that is continued with other settings, or None.

    Raises:
        ConfigError: a checkpoint of another run, one that cannot be read, or changes that cannot be made on the way.
    """
    assert config.tasks is not None
    new = Start(identity, [config.epochs] * config.tasks)
    stored = _read(target) if target is not None and target.exists() else None
    if source is None:
        return new if stored is None or target is None else _resume(stored, learner, identity, target, None)
    parent = stored if target is not None and _same_file(source, target) else None
    if parent is None:
        if not source.exists():
            raise ConfigError(f"continue_from names {source.parent}, which has no {CHECKPOINT_FILE}; pass the folder of a run.")
        if stored is not None and target is not None:
            return _resume(stored, learner, identity, target, source)
        parent = _read(source)
    if not differences(parent["stream"]["identity"], identity):
        if not parent["stream"]["history"]:
            raise ConfigError(
                f"continue_from names {source.parent}, a run of the same settings, tasks and epochs: there is nothing to "
                "continue it with. Change some of these, or pass checkpoint=... to resume it."
            )
        return _resume(parent, learner, identity, source, source)
    return _continue(parent, learner, stream, config, identity, source)


def _same_file(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _read(path: Path) -> dict[str, Any]:
    """Return the contents of a checkpoint of a run, tensors and plain values only."""
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # torch.load does not compare the checksums
                raise ValueError("a part does not match its checksum")
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:
        raise ConfigError(
            f"{path} cannot be read as a checkpoint: it is damaged or another kind of file. Delete it to start again."
        ) from None
    if not isinstance(stored, dict) or "learner" not in stored or not isinstance(stored.get("stream"), dict):
        raise ConfigError(f"{path} is not a checkpoint of spinode.training; pass another folder, or delete it to start again.")
    if "identity" not in stored["stream"]:
        raise ConfigError(
            f"{path} is of an earlier version of spinode, which did not record data, seeds and code, so that it may belong to "
            "another run. Pass another folder, or delete it to start again."
        )
    try:
        stored["stream"]["identity"] = json.loads(stored["stream"]["identity"])
    except (TypeError, ValueError, RecursionError):
        raise ConfigError(f"the identity in {path} cannot be read; the file is damaged. Delete it to start again.") from None
    check_stored(stored, path)
    return stored


def _resume(stored: dict[str, Any], learner: Learner, identity: Any, path: Path, source: Path | None) -> Start:
    state = stored["stream"]
    if different := differences(state["identity"], identity):
        raise ConfigError(
            f"the checkpoint {path} belongs to another run: {describe_differences(different)}. Use the same arguments, pass "
            "another folder, delete the checkpoint to start again, or continue it on purpose with continue_from=..."
        )
    if source is None and state["history"]:
        raise ConfigError(
            f"the checkpoint {path} is of a run that was continued with other settings ({'; '.join(state['history'])}); pass "
            "continue_from=... as then, or another folder for a run from the beginning."
        )
    if source is not None and not _same_file(source, path):
        if not state["history"]:
            raise ConfigError(f"the checkpoint {path} is of a run in one piece; to continue {source}, pass another folder.")
        if state["parent"] != _digest(_read(source)):
            raise ConfigError(f"the checkpoint {path} continues another run than {source}; pass another folder.")
    _check_weights(learner, stored, path)
    return Start(identity, state["counts"], path, tuple(state["history"]), state["parent"])


def _continue(
    stored: dict[str, Any], learner: Learner, stream: TaskStream, config: StreamConfig, identity: Any, source: Path
) -> Start:
    state = stored["stream"]
    different = differences(state["identity"], identity)
    if fixed := [each for each in different if not _may_change(each)]:
        raise ConfigError(
            f"the run of {source} cannot be continued as another one: {describe_differences(fixed)}. Settings may change, and "
            "tasks be added; seeds, data and code may not."
        )
    _check_batches(different, state, source)
    _check_tasks(state, stream, config, source)
    _check_weights(learner, stored, source)
    finished, counts = len(state["scores"]["seconds"]), list(state["counts"])
    assert config.tasks is not None
    reopens = finished == config.tasks and config.epochs > counts[finished - 1]
    if reopens and state["consolidated"]:
        raise ConfigError(
            f"the last task of {source} is finished, and {learner.rule} has consolidated it; more epochs would come too late. "
            "Add tasks, or start again with more epochs."
        )
    under_way = finished - 1 if reopens else finished
    if under_way == config.tasks:
        raise ConfigError(
            f"the run of {source} has finished its {finished} tasks, and neither tasks nor epochs are added, so that "
            f"{describe_differences(different)} would change nothing. Add tasks or epochs."
        )
    counts = [*counts[:finished], *[config.epochs] * (config.tasks - finished)]
    counts[under_way] = max(config.epochs, state["counts"][under_way] if under_way < len(state["counts"]) else 1)
    changes = "; ".join(f"{each.path} {each.before} -> {each.now}" for each in different if each.is_readable)
    history = (*state["history"], f"from task {under_way + 1} on: {changes}")
    return Start(identity, counts, source, history, _digest(stored), True, reopens)


def _digest(stored: dict[str, Any]) -> str:
    """Return what identifies the run of a checkpoint, and how far it has come."""
    state = stored["stream"]
    return str(identity_of(json.dumps([state["identity"], state["history"]]).encode()))


def _may_change(difference: Difference) -> bool:
    """Return True for what a run may be continued with: settings, new parts, and initial weights, which are not used."""
    part, _, rest = difference.path.partition(".")
    if difference.is_code or difference.path.rpartition(".")[2] in ("seed", "rule"):
        return False
    return difference.is_readable or difference.is_new or (part == "learner" and bool(rest))


def _check_batches(different: list[Difference], state: dict[str, Any], source: Path) -> None:
    paths = [each.path for each in different if each.path in _BATCHES]
    if paths and not state["between passes"]:
        raise ConfigError(
            f"the run of {source} was interrupted within a pass, where {' and '.join(paths)} cannot change; keep them, or "
            "finish it first."
        )


def _check_tasks(state: dict[str, Any], stream: TaskStream, config: StreamConfig, source: Path) -> None:
    learned: list[str] = state["tasks"]
    assert config.tasks is not None
    if config.tasks < len(learned):
        raise ConfigError(f"the run of {source} has come to task {len(learned)}, but tasks is {config.tasks}; expected more.")
    for index, digest in enumerate(learned):
        if task_digest(check_task(stream, stream[index])) != digest:
            raise ConfigError(
                f"task {index} of the stream {stream.name!r} is another one than that which {source} has learned; a stream may "
                "have more tasks, but the first ones must be the same."
            )


def _check_weights(learner: Learner, stored: dict[str, Any], source: Path) -> None:
    """Check that the learner has the layers, generators and parts of the checkpoint; it is unchanged."""
    own = {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in learner.state_dict().items()}
    try:
        learner.load_state_dict(dict(stored["state_dict"]))
    except (RuntimeError, ConfigError) as error:
        line = " ".join(str(error).split())
        raise ConfigError(
            f"the learner has other weights than the run of {source}: {line:.300}. Make it with the same layers."
        ) from None
    finally:
        learner.load_state_dict(own)
    entries = stored["learner"]
    try:
        for name, _ in learner.generators():
            torch.Generator().set_state(entries["generators"][name])
        parts: Any = getattr(learner, "stateful_parts", None)
        if "parts" in entries and parts is not None:
            missing = {name for name, _ in parts()} - set(entries["parts"])
            if missing:
                raise KeyError(", ".join(sorted(missing)))
    except (KeyError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"the checkpoint {source} is damaged: its generators or parts of the learner are missing or have another form "
            f"({error}). Pass another folder, or delete it to start again."
        ) from None
