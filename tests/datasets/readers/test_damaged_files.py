"""Damaged files of each format are read or refused, and raise nothing else."""

from __future__ import annotations

import contextlib
import runpy
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from spinode.datasets import read_trace
from spinode.errors import SpinodeError, TraceWarning

sample_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("sample_files.py"))))

SAMPLES, EXPECTED = sample_files.SAMPLES, sample_files.EXPECTED

#: Mutations for each reader, divided among its samples.
MUTATIONS = 10_000


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the data with a few bytes changed, removed, repeated or moved; or cut off."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        kind, position = rng.integers(6), int(rng.integers(len(changed)))
        length = int(rng.integers(1, 40))
        if kind == 0:
            changed[position] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            changed[position] = int(rng.choice(np.frombuffer(b"0123456789-+.,;eE \t\n\r#\"'\x00\xff", np.uint8)))
        elif kind == 2:
            del changed[position : position + length]
        elif kind == 3:
            changed[position:position] = changed[position : position + length]
        elif kind == 4:
            del changed[position:]
        else:
            changed[position : position + 4] = rng.integers(0, 256, 4, dtype=np.uint8).tobytes()
        if not changed:
            return b"0"
    return bytes(changed)


@pytest.mark.long
@pytest.mark.parametrize("name", SAMPLES)
def test_damaged_files_are_read_or_refused(tmp_path, name):
    """10^4 mutations for each reader raise only errors of the package; the seed depends on the name."""
    samples = sum(each[0] == EXPECTED[name][0] for each in EXPECTED.values())
    read_mutations(tmp_path, name, -(-MUTATIONS // samples))


@pytest.mark.parametrize("name", SAMPLES)
def test_some_damaged_files_are_read_or_refused(tmp_path, name):
    read_mutations(tmp_path, name, 100)


def read_mutations(tmp_path, name, count):
    rng = np.random.default_rng(sum(name.encode()))
    path = tmp_path / name
    for trial in range(count):
        data = mutate(SAMPLES[name], rng)
        path.write_bytes(data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                trace = read_trace(path)
            except SpinodeError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}, mutation {trial}: {data!r}") from error
        assert all(len(values) == len(trace) > 0 for values in trace.channels.values())


@pytest.mark.parametrize("compressed", [False, True])
def test_damaged_npz_is_read_or_refused(tmp_path, compressed):
    """Archives that are cut off or have flipped bits are read or refused, and raise nothing else."""
    path = tmp_path / "file.npz"
    (np.savez_compressed if compressed else np.savez)(path, t=np.arange(50.0), V=np.arange(50.0))
    original = path.read_bytes()
    rng = np.random.default_rng(0)
    for trial in range(200):
        data = bytearray(original[: int(rng.integers(1, len(original)))] if trial % 2 else original)
        for index in rng.integers(0, len(data), 3):
            data[index] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with contextlib.suppress(SpinodeError), warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)
            read_trace(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(st.one_of(st.binary(max_size=200), st.text(" \t,;.-+e\"'#%()[]0123456789tVsn\n\r", max_size=120).map(str.encode)))
def test_any_bytes_are_read_or_refused(tmp_path, data):
    path = tmp_path / "any.dat"
    path.write_bytes(data)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TraceWarning)
            trace = read_trace(path)
    except SpinodeError as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(len(values) == len(trace) for values in trace.channels.values())
