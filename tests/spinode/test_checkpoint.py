"""Checkpoint files: round trips, and refusal of damaged files and of other computations."""

import pytest
import torch

from spinode.checkpoint import CheckpointFile
from spinode.errors import FitError, TraceError

IDENTITY = {"data": "a1", "config": {"seed": 0, "rate": 0.1}}


@pytest.fixture
def path(tmp_path):
    """Return a file with one note and two tensors."""
    checkpoint = CheckpointFile(tmp_path / "fit.checkpoint", IDENTITY)
    checkpoint.notes["loglik"] = 0.1 + 0.2
    checkpoint.tensors |= {"noise": torch.arange(5, dtype=torch.float64), "filled": torch.tensor([[True], [False]])}
    checkpoint.write()
    return tmp_path / "fit.checkpoint"


def test_notes_and_tensors_are_restored_exactly(path):
    checkpoint = CheckpointFile(path, dict(reversed(IDENTITY.items())))
    assert checkpoint.notes == {"loglik": 0.1 + 0.2}
    torch.testing.assert_close(checkpoint.tensors["noise"], torch.arange(5, dtype=torch.float64), rtol=0, atol=0)
    assert checkpoint.tensors["filled"].tolist() == [[True], [False]]


def test_a_file_without_tensors_is_restored(tmp_path):
    checkpoint = CheckpointFile(tmp_path / "a", IDENTITY)
    checkpoint.notes["round"] = 1
    checkpoint.write()
    restored = CheckpointFile(tmp_path / "a", IDENTITY)
    assert (restored.notes, restored.tensors) == ({"round": 1}, {})


def test_without_a_path_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    checkpoint = CheckpointFile(None, IDENTITY)
    checkpoint.notes["round"] = 1
    checkpoint.write()
    checkpoint.remove()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("identity", [{}, {**IDENTITY, "data": "a2"}, {**IDENTITY, "config": {"seed": 1, "rate": 0.1}}])
def test_another_identity_is_refused(path, identity):
    with pytest.raises(FitError, match=r"belongs to another fit: .*\. Delete it to start again"):
        CheckpointFile(path, identity)


def test_message_names_what_differs(path):
    with pytest.raises(FitError, match=r"data is 'a1' in the checkpoint and 'a2' here; config\.seed is 0 in"):
        CheckpointFile(path, {**IDENTITY, "data": "a2", "config": {**IDENTITY["config"], "seed": 7}})


def test_truncated_files_are_refused(path):
    content = path.read_bytes()
    for size in (0, 7, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(FitError, match="cannot be read"):
            CheckpointFile(path, IDENTITY)


def test_flipped_bits_of_tensors_are_refused(path):
    content = bytearray(path.read_bytes())
    for place in (1, 9, 40):
        damaged = bytearray(content)
        damaged[-place] ^= 0x01
        path.write_bytes(bytes(damaged))
        with pytest.raises(FitError, match="is damaged: its contents do not match their digest"):
            CheckpointFile(path, IDENTITY)


def test_a_path_that_cannot_be_written_is_refused_at_once(tmp_path):
    with pytest.raises(TraceError, match="does not exist"):
        CheckpointFile(tmp_path / "missing" / "fit.checkpoint", IDENTITY)


def test_remove_deletes_the_file(path):
    CheckpointFile(path, IDENTITY).remove()
    assert not path.exists()
