"""The registry of task streams: a stream of one file is a name at once."""

from __future__ import annotations

import importlib
import sys

import pytest

from spinode.contracts.stream_registry import construct_stream, register_stream, registered_streams, unregister_stream
from spinode.datasets import Subsets, streams
from spinode.errors import ConfigError
from spinode.experiments.registry import make_stream


def build_parts(images, tasks, seed, settings):
    return construct_stream(Subsets, images[0], {"parts": 2, "seed": seed, **settings})


@pytest.fixture
def parts():
    register_stream("test-parts", build_parts, images=["made-digits"], summary="two parts")
    yield "test-parts"
    unregister_stream("test-parts")


def test_a_stream_defined_in_a_test_is_found_by_its_name(parts):
    entry = registered_streams()[parts]
    assert (entry.name, entry.images, entry.permuted, entry.summary) == (parts, ("made-digits",), False, "two parts")
    stream = make_stream(parts, {"train": 40, "test": 20}, tasks=None, seed=3)
    assert (len(stream), stream.seed) == (2, 3)
    assert len(make_stream(parts, {"train": 40, "test": 20, "parts": 3}, tasks=None, seed=3)) == 3


def test_a_file_added_to_the_folder_of_streams_is_imported(monkeypatch, tmp_path):
    (tmp_path / "added_stream.py").write_text(
        "from spinode.contracts.stream_registry import register_stream\n"
        "register_stream('spinode-test-stream', lambda images, tasks, seed, settings: None, images=['made-digits'])\n"
    )
    monkeypatch.setattr(streams, "__path__", [*streams.__path__, str(tmp_path)])
    try:
        streams.discover()
        assert "spinode-test-stream" in registered_streams()
    finally:
        unregister_stream("spinode-test-stream")
        sys.modules.pop("spinode.datasets.streams.added_stream", None)
        importlib.invalidate_caches()


def test_unknown_settings_are_refused(parts):
    with pytest.raises(ConfigError, match="Subsets has no setting pieces; its settings are: parts, seed"):
        make_stream(parts, {"pieces": 3}, tasks=None, seed=0)


def test_a_name_belongs_to_one_function(parts):
    register_stream(parts, build_parts, images=["made-digits"])
    with pytest.raises(ConfigError, match=r"the stream name 'test-parts' belongs to .*build_parts; choose another one"):
        register_stream(parts, lambda images, tasks, seed, settings: None, images=["made-digits"])
