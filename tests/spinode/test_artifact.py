"""Artifacts: a kind of one's own saves and loads through `spinode.load`; files of other kinds are refused."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from safetensors.torch import save as to_bytes

import spinode
from spinode import ConfigError, FileFormatError, Surrogate, artifact
from spinode.artifact import Kind
from spinode.surrogates import artifacts
from spinode.surrogates.testing import resonator


class Thermistor:
    """A model of one's own: R = R_0 exp(b (1 / T - 1 / T_0))."""

    def __init__(self, resistance: torch.Tensor, slope: float) -> None:
        self.resistance, self.slope = resistance, slope


def pack(model):
    return {"slope": model.slope}, {"resistance": model.resistance}


def unpack(meta, tensors, *, gain=1.0):
    return Thermistor(gain * artifact.shaped(tensors, "resistance", (2,)), meta["slope"])


@pytest.fixture(autouse=True)
def kinds_of_the_package():
    artifacts.discover()


@pytest.fixture
def kind(kinds_of_the_package):
    """The kind, registered for one test."""
    yield artifact.register(Kind(key="test-thermistor", title="a thermistor", cls=Thermistor, pack=pack, unpack=unpack))
    artifact._KINDS.pop("test-thermistor", None)


@pytest.fixture
def model():
    return Thermistor(torch.tensor([1e3, 2e3], dtype=torch.float64), 3950.0)


@pytest.fixture
def file(kind, model, tmp_path):
    artifact.save(model, tmp_path / "thermistor.safetensors")
    return tmp_path / "thermistor.safetensors"


def header(path):
    size = struct.unpack("<Q", path.read_bytes()[:8])[0]
    return json.loads(path.read_bytes()[8 : 8 + size])["__metadata__"]


def write(path, metadata):
    path.write_bytes(to_bytes({"resistance": torch.ones(2, dtype=torch.float64)}, metadata))
    return path


def test_registered_kind_saves_and_loads(file, model):
    loaded = spinode.load(file)
    assert type(loaded) is Thermistor
    assert torch.equal(loaded.resistance, model.resistance)
    assert loaded.slope == model.slope
    meta = json.loads(header(file)["test-thermistor"])
    assert len(meta.pop("sha256")) == 64
    assert meta == {"schema": 1, "slope": 3950.0}


@pytest.mark.parametrize("part", ["tensor", "metadata"])
def test_file_with_a_flipped_bit_is_damaged(file, part):
    content = bytearray(file.read_bytes())
    at = len(content) - 16 if part == "tensor" else content.index(b"3950")  # the lowest bit of the first tensor value
    content[at] ^= 1
    file.write_bytes(content)
    with pytest.raises(FileFormatError, match=r"is damaged: its contents do not match their digest \(SHA-256\)"):
        spinode.load(file)


def test_file_without_a_digest_is_read(kind, tmp_path):
    path = write(tmp_path / "x", {"test-thermistor": '{"schema": 1, "slope": 2.0}'})
    assert spinode.load(path).slope == 2.0


@pytest.mark.parametrize("path", [None, 3, b"x", ["x"]])
def test_arguments_that_are_not_paths_are_refused(model, kind, path):
    for call in (lambda: artifact.save(model, path), lambda: spinode.load(path), lambda: resonator().export(path)):
        with pytest.raises(ConfigError, match=r"path is .*; expected the path of a file, as text or as a pathlib.Path"):
            call()


def test_subclass_is_saved_as_its_base(kind, model, tmp_path):
    class Calibrated(Thermistor):
        pass

    artifact.save(Calibrated(model.resistance, 1.0), tmp_path / "x")
    assert type(spinode.load(tmp_path / "x")) is Thermistor


def test_options_reach_the_kind_and_unknown_ones_are_refused(file, model):
    assert torch.equal(spinode.load(file, gain=2.0).resistance, 2 * model.resistance)
    assert torch.equal(spinode.load(file, gain=None).resistance, model.resistance)
    with pytest.raises(ConfigError, match="a thermistor has no option 'field' for loading; its options are: gain"):
        spinode.load(file, field=torch.nn.Identity())


def test_expected_class_that_the_file_contains_is_loaded(file, tmp_path):
    assert isinstance(artifact.load(file, expected=Thermistor), Thermistor)
    assert isinstance(artifact.load(file, expected=object), Thermistor)


def test_file_of_another_class_than_expected_is_refused(file, tmp_path):
    with pytest.raises(FileFormatError, match=r"is a thermistor \(Thermistor\); expected a surrogate of a driven device"):
        Surrogate.load(file)
    resonator().save(tmp_path / "surrogate")
    with pytest.raises(FileFormatError, match=r"is a surrogate of a driven device \(Surrogate\); expected a thermistor"):
        artifact.load(tmp_path / "surrogate", expected=Thermistor)


def test_file_of_an_unknown_kind_is_refused(file, monkeypatch):
    artifact._KINDS.pop("test-thermistor")
    with pytest.raises(FileFormatError, match=r"not a spinode artifact .*test-thermistor; expected one of .*spinode"):
        spinode.load(file)


def test_object_of_an_unregistered_class_is_not_saved(model, tmp_path):
    with pytest.raises(ConfigError, match=r"a Thermistor cannot be saved; expected one of: .*Surrogate"):
        artifact.save(model, tmp_path / "x")
    assert not list(tmp_path.iterdir())


def test_file_that_claims_two_kinds_is_refused(kind, tmp_path):
    path = write(tmp_path / "x", {"test-thermistor": '{"schema": 1, "slope": 1.0}', "spinode": "{}"})
    with pytest.raises(FileFormatError, match=r"claims to be a surrogate of a driven device and a thermistor; the file"):
        spinode.load(path)


def test_metadata_that_contradict_the_tensors_are_damage(kind, tmp_path):
    path = write(tmp_path / "x", {"test-thermistor": '{"schema": 1}'})
    with pytest.raises(FileFormatError, match=r"its header and its numbers contradict each other \(KeyError: 'slope'\)"):
        spinode.load(path)


@pytest.mark.parametrize(
    ("schema", "message"),
    [(2, "has schema 2, this version of spinode reads up to 1; upgrade spinode"), ("x", "has schema 'x'; expected 1")],
)
def test_other_schema_is_refused(kind, tmp_path, schema, message):
    path = write(tmp_path / "x", {"test-thermistor": json.dumps({"schema": schema, "slope": 1.0})})
    with pytest.raises(FileFormatError, match=message):
        spinode.load(path)


def test_key_of_another_class_cannot_be_taken(kind):
    assert artifact.register(kind) is kind
    assert kind in artifact.kinds()
    with pytest.raises(ConfigError, match="the artifact key 'test-thermistor' belongs to Thermistor; choose another one"):
        artifact.register(Kind(key="test-thermistor", title="x", cls=Surrogate, pack=pack, unpack=unpack))


@pytest.mark.parametrize("part", ["tensor", "metadata"])
def test_numbers_that_are_not_finite_are_not_written(kind, tmp_path, part):
    nan = float("nan")
    bad = Thermistor(torch.tensor([nan, 1.0]), 1.0) if part == "tensor" else Thermistor(torch.ones(2), nan)
    with pytest.raises(ConfigError, match="contains NaN or infinite numbers; `load` would refuse the file"):
        artifact.save(bad, tmp_path / "x")
    assert not list(tmp_path.iterdir())
