"""A reader registers itself: a new format is one new file in the folder, or one call of `register_reader`."""

from __future__ import annotations

import pkgutil
from pathlib import Path

import numpy as np
import pytest

from spinode.datasets import SeveralParts, Table, read_trace, read_traces, register_reader, unregister_reader
from spinode.datasets.parsing.parts import choose_part
from spinode.datasets.readers import __path__ as folder, all_readers
from spinode.errors import ConfigError, TraceError


@pytest.fixture
def acme():
    """Register a reader of runs of numbers between slashes, and remove it again."""

    def sniff(head: bytes) -> bool:
        return head.startswith(b"ACME")

    def read(path: Path, part=None, progress=None) -> Table:
        runs = path.read_text().removeprefix("ACME").split("/")
        parts = {f"run {k}": np.array(run.split(), dtype=float) for k, run in enumerate(runs, start=1)}
        values = choose_part(parts, part, lambda run: f"{len(run)} readings")
        return Table(("V",), (values,), ("mV",), metadata={"runs": len(parts)})

    reader = register_reader("acme", sniff, read)
    yield reader
    unregister_reader("acme")


def test_registered_reader_is_used_by_read_trace(write, acme):
    path = write("ACME 1 2 3")
    trace = read_trace(path, time=1e-9)
    assert trace.output["V"].tolist() == [0.001, 0.002, 0.003]
    assert trace.time.tolist() == [0, 1e-9, 2e-9]
    assert (trace.provenance["reader"], trace.provenance["metadata"]) == ("acme", {"runs": 1})
    assert read_trace(path, time=1e-9, format="acme").fingerprint() == trace.fingerprint()


def test_registered_reader_can_have_several_parts(write, acme):
    path = write("ACME 1 2 / 3 4 5")
    with pytest.raises(SeveralParts, match=r"2 recordings: 'run 1' \(2 readings\); 'run 2' \(3 readings\)") as caught:
        read_trace(path, time=1)
    assert caught.value.parts == ("run 1", "run 2")
    assert read_trace(path, time=1, part="run 2").output["V"].tolist() == [0.003, 0.004, 0.005]
    assert [len(trace) for trace in read_traces(path, time=1)] == [2, 3]


def test_without_the_reader_the_file_is_text(write):
    with pytest.raises(TraceError, match="ACME"):
        read_trace(write("ACME 1 2 3\nACME"), time=1)


def test_names_of_readers_are_unique(acme):
    with pytest.raises(ConfigError, match="there is a reader 'acme' already"):
        register_reader("acme", acme.sniff, acme.read)
    with pytest.raises(ConfigError, match="there is no reader 'nobody'"):
        unregister_reader("nobody")


def test_every_file_of_the_folder_is_one_reader():
    modules = {module.name for module in pkgutil.iter_modules(folder)}
    assert {reader.name.replace("-", "_") for reader in all_readers()} == modules


def test_text_is_asked_last():
    readers = all_readers()
    assert readers[-1].name == "delimited"
    assert len({reader.priority for reader in readers}) == len(readers) == 28
