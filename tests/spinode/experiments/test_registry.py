"""Streams, out-of-distribution streams and synapses by their names."""

from __future__ import annotations

import math

import pytest

from spinode.contracts.stream_registry import registered_streams
from spinode.contracts.synapse_registry import registered_synapses
from spinode.datasets import made_digits, streams as streams
from spinode.errors import ConfigError
from spinode.experiments.registry import make_ood_stream, make_stream, make_synapse


@pytest.mark.parametrize("name", registered_streams())
def test_streams_by_name(name, monkeypatch):
    """Generated digits stand in for the sets of images, which may not be on this machine."""
    monkeypatch.setattr("spinode.experiments.registry.load_images", lambda *_: made_digits(train=400, test=100))
    settings = {"parts": 5} if name == "stream-fashion" else {}
    stream = make_stream(name, {"scale": "standard", **settings}, tasks=None, seed=3)
    task = stream[len(stream) - 1]
    assert task.inputs.shape[1:] == stream.shape
    assert math.prod(stream.shape) == 784
    assert stream.boundaries is (name not in ("stream-fashion", "continuous-mnist"))
    for ood in ("mnist", "permuted-fashion"):
        other = make_ood_stream(ood, {"scale": "standard", **settings}, tasks=len(stream), seed=3)
        assert len(other) >= len(stream)
        assert math.prod(other.shape) == 784


def test_ood_stream_unchanged_and_permuted_like_the_stream(monkeypatch):
    """Permuted alike, only the images differ from those of the stream."""
    images = made_digits(train=40, test=20)
    monkeypatch.setattr("spinode.experiments.registry.load_images", lambda *_: images)
    for settings in ({}, {"seed": 2}):
        stream = make_stream("permuted-mnist", settings, tasks=3, seed=7)
        alike, plain = (make_ood_stream(name, settings, tasks=3, seed=7) for name in ("permuted-fashion", "fashion-mnist"))
        for index in range(3):
            assert (stream.test(index)[0] == alike.test(index)[0]).all()
            assert (plain.test(index)[0] == plain.test(0)[0]).all()
            assert not (plain.test(index)[0] == alike.test(index)[0]).all()


def test_settings_of_a_stream_reach_it():
    stream = make_stream("made-digits", {"seed": 5, "first_identity": True, "train": 100}, tasks=4, seed=0)
    assert (len(stream), stream.seed, stream.first_identity, len(stream[0])) == (4, 5, True, 100)


@pytest.mark.parametrize("name", ["weak-reset", "tio2", "stanford-pku", "domain-wall", "stt-mram", "ideal-device", "ReRamSB"])
def test_physical_models_by_name(name):
    assert make_synapse(name).initial((3,)) is not None


@pytest.mark.parametrize("name", ["hfox-weak-reset", "soft-bounds", "tio2-nili", "vteam"])
def test_zoo_surrogates_and_the_models_that_they_were_fitted_on(name):
    surrogate, physical = make_synapse(name), make_synapse(f"physical:{name}")
    assert surrogate.unit == physical.unit
    assert type(surrogate).__name__ == "SynapseSurrogate" != type(physical).__name__


def test_ideal_weights_need_no_device():
    assert make_synapse("ideal") is None
    with pytest.raises(ConfigError, match="there is no synapse 'physical:macrospin'"):
        make_synapse("physical:macrospin")


def test_every_registered_synapse_is_a_name():
    make_synapse("ideal")  # imports the rooms that register them
    assert {"weak-reset", "tio2", "ideal-device"} <= set(registered_synapses())
    for name in registered_synapses():
        assert make_synapse(name).initial((2,)) is not None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: make_stream("made-digit", {}, tasks=2, seed=0), "stream is 'made-digit'; .* Did you mean 'made-digits'"),
        (
            lambda: make_stream("made-digits", {"nope": 1}, tasks=2, seed=0),
            "PermutedTasks has no setting nope; its settings are: tasks",
        ),
        (lambda: make_ood_stream("split-mnist", {}, tasks=2, seed=0), "ood is 'split-mnist'; expected one of mnist"),
        (lambda: make_synapse("nope"), "there is no synapse 'nope'; expected ideal"),
    ],
)
def test_unknown_names_and_settings(make, message):
    with pytest.raises(ConfigError, match=message):
        make()
