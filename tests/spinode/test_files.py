"""Atomic writing of files."""

import os
from pathlib import Path

import pytest

from spinode.errors import TraceError
from spinode.files import check_writable, write_atomically


def test_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "device.bin"
    write_atomically(path, b"first")
    write_atomically(str(path), b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["device.bin"]


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_failure_keeps_the_old_file_and_leaves_no_partial_one(tmp_path, monkeypatch, error):
    path = tmp_path / "device.bin"
    write_atomically(path, b"old")

    def fail(source, target):
        raise error

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(TraceError if isinstance(error, OSError) else KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["device.bin"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", r"is a folder; pass the name of a file in it"),
        (".", r"is a folder; pass the name of a file in it"),
        ("missing/device.bin", r"the folder .*missing does not exist; create it"),
        ("nul\0.bin", r"cannot write .*\. Choose a writable path\."),
    ],
)
def test_check_refuses_paths_that_cannot_be_written(tmp_path, monkeypatch, name, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TraceError, match=message):
        check_writable(name)
    assert os.listdir(tmp_path) == []


def test_check_of_a_writable_path_leaves_no_file(tmp_path):
    check_writable(tmp_path / "device.bin")
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("path", ["", Path("/")])
def test_path_without_a_file_name_is_refused(path):
    with pytest.raises(TraceError, match=r"cannot write .*: it is not a file name\."):
        write_atomically(path, b"")


@pytest.mark.parametrize("write", [lambda path: write_atomically(path, b"new"), check_writable])
def test_a_pipe_is_refused_and_kept(tmp_path, write):
    """Replacing a special file, such as /dev/null, would destroy it."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(TraceError, match="not a regular file but a device, pipe or socket"):
        write(pipe)
    assert pipe.is_fifo()
