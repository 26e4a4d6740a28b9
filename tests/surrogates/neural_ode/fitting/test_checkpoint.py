"""The checkpoint of a fit: contents survive a round trip, damaged files are refused."""

from __future__ import annotations

import errno
import json
import os
import pickle
import struct

import pytest
import torch
from safetensors.torch import load as from_bytes, save as to_bytes

from spinode import FitError, TraceError
from spinode.checkpoint import CheckpointFile
from spinode.surrogates.neural_ode.fitting.checkpoint import Checkpoint
from spinode.surrogates.neural_ode.fitting.levenberg_marquardt import Damping

IDENTITY = {"data": "abc", "config": {"seed": 0}}


@pytest.fixture
def path(tmp_path):
    """A checkpoint with a finished stage and an unfinished one."""
    made = Checkpoint(tmp_path / "fit.checkpoint", IDENTITY)
    made.every = 0.0
    made.save_note("order_scan", [{"order": 1, "error": float("inf")}])
    made.save_stage(0, 0, torch.arange(3.0), {"restart": 0, "stage": 0, "validation": 0.5})
    made.save_progress(0, 1, torch.arange(4.0), torch.zeros(2, 2), Damping(0.1, 1, 2))
    return tmp_path / "fit.checkpoint"


def opened(path, identity=IDENTITY):
    return Checkpoint(path, identity)


def rewritten(path, meta=None, tensors=None):
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    stored = json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]
    path.write_bytes(to_bytes(from_bytes(path.read_bytes()) | (tensors or {}), stored | (meta or {})))


def test_round_trip(path):
    back = opened(path)
    assert back.resumed
    assert back.load_note("order_scan") == [{"order": 1, "error": float("inf")}]
    theta, entry = back.load_stage(0, 0)
    assert torch.equal(theta, torch.arange(3.0))
    assert entry == {"restart": 0, "stage": 0, "validation": 0.5}
    theta, shifts, damping = back.load_progress(0, 1)
    assert torch.equal(theta, torch.arange(4.0))
    assert shifts.shape == (2, 2)
    assert damping == Damping(0.1, 1, 2)
    assert back.load_stage(0, 1) is None
    assert back.load_progress(1, 0) is None


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = opened(None)
    made.save_stage(0, 0, torch.zeros(1), {})
    assert made.load_stage(0, 0) is not None
    assert not list(tmp_path.iterdir())


def test_finished_stage_drops_its_progress(path):
    made = opened(path)
    made.save_stage(0, 1, torch.ones(4), {})
    assert opened(path).load_progress(0, 1) is None
    assert set(CheckpointFile(path, IDENTITY).tensors) == {"theta.0.0", "theta.0.1"}


def test_progress_is_written_every_few_seconds_and_results_immediately(tmp_path):
    made = opened(tmp_path / "x")
    made.save_stage(0, 0, torch.zeros(1), {})
    written = (tmp_path / "x").read_bytes()
    made.save_progress(0, 1, torch.zeros(1), torch.zeros(1), Damping())
    assert (tmp_path / "x").read_bytes() == written
    made._last_write -= Checkpoint.every
    made.save_progress(0, 1, torch.zeros(1), torch.zeros(1), Damping())
    assert (tmp_path / "x").read_bytes() != written


def test_every_truncation_is_refused(path):
    content = path.read_bytes()
    for end in range(0, len(content), 7):
        path.write_bytes(content[:end])
        with pytest.raises(FitError, match=r"cannot be read.*Delete it to start again"):
            opened(path)


def test_every_flipped_byte_is_refused(path):
    """safetensors has no checksum, and a fit that resumes from other weights ends with another result."""
    content = path.read_bytes()
    for at in range(len(content)):
        path.write_bytes(content[:at] + bytes([content[at] ^ 0x11]) + content[at + 1 :])
        try:
            back = opened(path)
        except FitError:
            continue
        # A change that is not detected must not change the contents, such as one of a space between entries.
        assert torch.equal(back.load_stage(0, 0)[0], torch.arange(3.0))
        assert torch.equal(back.load_progress(0, 1)[0], torch.arange(4.0))


@pytest.mark.parametrize(
    ("meta", "tensors", "message"),
    [
        ({"schema": "1"}, {}, r"not a checkpoint of this version \(schema 1\)"),
        ({"notes": "[]"}, {}, "not a checkpoint of this version"),
        ({"notes": "{"}, {}, "cannot be read"),
        ({"notes": "[" * 100_000}, {}, "cannot be read"),
        ({"notes": "{}"}, {}, "do not match their digest"),
        ({"digest": ""}, {}, "do not match their digest"),
        ({}, {"theta.0.0": torch.zeros(3)}, "do not match their digest"),
        ({}, {"more": torch.zeros(3)}, "do not match their digest"),
        ({"identity": "{"}, {}, "cannot be read"),
        ({"identity": "{}"}, {}, "belongs to another fit"),
    ],
)
def test_damage_is_refused(path, meta, tensors, message):
    rewritten(path, meta, tensors)
    with pytest.raises(FitError, match=message):
        opened(path)


def test_another_identity_is_refused_whichever_part_differs(path):
    for other in ({}, IDENTITY | {"data": "abd"}, IDENTITY | {"config": {"seed": 1}}, IDENTITY | {"more": 1}):
        with pytest.raises(FitError, match="belongs to another fit"):
            opened(path, other)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("EXPLODED",))


def test_other_files_are_refused_and_nothing_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FitError, match="cannot be read"):
        opened(tmp_path / "x")
    with pytest.raises(FitError, match="cannot be read"):
        opened(tmp_path)
    assert os.listdir(tmp_path) == ["x"]


def test_full_disk_is_reported_and_keeps_the_last_state(path, monkeypatch):
    before = path.read_bytes()
    made = opened(path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(TraceError, match=r"cannot write .*No space left on device"):
        made.save_note("more", 1)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_remove_deletes_the_file(path):
    made = opened(path)
    made.remove()
    made.remove()
    assert not path.exists()
