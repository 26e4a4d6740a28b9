"""Files of surrogates: complete round trips, nothing executed, nothing trusted unchecked."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pickle
import struct
import tempfile
import tracemalloc
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from safetensors.torch import load as from_bytes, save as to_bytes

import spinode
from spinode import ConfigError, FileFormatError, Surrogate, TraceError
from spinode.dynamics.field import ChainField
from spinode.files import check_writable, write_atomically
from spinode.surrogates.neural_ode.member import Member
from spinode.surrogates.testing import resonator, small_surrogate

RECORD = {
    "config": {"order": 2},
    "fingerprint": "ab",
    "order_scan": [{"order": 1, "error": None}, {"order": 2, "error": 0.1}],
    "history": [{"restart": 0, "stage": 0, "window": 1, "validation": 0.1, "residual": 0.2}],
    "validation": [0.1, None],
    "disagreement": [0.0, 0.0],
    "kept": [0],
    "residual_level": [0.01],
    "data": [{"start": 0.0, "stop": 1.0, "samples": 100, "provenance": {}}],
    "arx": {"order": 1, "coefficients": [[0.5], [0.1], [0.1], [0.0]], "mean": [[0.0], [0.0]], "scale": [[1.0], [1.0]]},
}


def device():
    made = small_surrogate(members=2)
    made.record = RECORD
    return made


@cache
def content() -> bytes:
    made = device()
    with tempfile.TemporaryDirectory() as folder:
        made.save(Path(folder, "x"))
        return without_digest(Path(folder, "x").read_bytes())


def without_digest(file: bytes) -> bytes:
    """Return a file without its digest, which would reveal every change, so that the other checks are tested."""
    size = struct.unpack("<Q", file[:8])[0]
    meta = json.loads(json.loads(file[8 : 8 + size])["__metadata__"]["spinode"])
    del meta["sha256"]
    return to_bytes(from_bytes(file), {"spinode": json.dumps(meta)})


@cache
def parts() -> tuple[str, dict[str, torch.Tensor]]:
    """Return metadata (JSON text) and tensors of an intact file."""
    size = struct.unpack("<Q", content()[:8])[0]
    return json.loads(content()[8 : 8 + size])["__metadata__"]["spinode"], from_bytes(content())


def written(folder: Path, meta, tensors=None) -> Path:
    path = folder / "hostile.safetensors"
    text = meta if isinstance(meta, str) else json.dumps(meta)
    path.write_bytes(to_bytes(parts()[1] if tensors is None else tensors, {"spinode": text}))
    return path


@pytest.fixture
def meta():
    return json.loads(parts()[0])


def test_intact_file_is_read(tmp_path, meta):
    back = spinode.load(written(tmp_path, meta))
    assert back.record == RECORD
    assert back.describe() == device().describe()


# --- truncated, damaged, of another kind-----------------------------------------------------------------------------------


def test_truncated_file_is_refused_wherever_it_ends(tmp_path):
    path = tmp_path / "cut.safetensors"
    size = len(content())
    for end in {*range(0, 64), *range(64, size, size // 60), size - 8, size - 1}:
        path.write_bytes(content()[:end])
        with pytest.raises(FileFormatError, match=r"truncated, damaged or another kind"):
            spinode.load(path)


@settings(max_examples=60)
@given(st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("random") / "x"
    path.write_bytes(data)
    with pytest.raises(FileFormatError, match=r"truncated, damaged or another kind"):
        spinode.load(path)


@settings(max_examples=150)
@given(st.data())
def test_flipped_byte_in_the_header_is_refused_or_harmless(tmp_path_factory, data):
    size = 8 + struct.unpack("<Q", content()[:8])[0]
    at = data.draw(st.integers(0, size - 1))
    value = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("flipped") / "x"
    path.write_bytes(content()[:at] + bytes([value]) + content()[at + 1 :])
    _refused_or_usable(path)


def _refused_or_usable(path):
    """Check that loading raises only the package's own errors, and that what loads can run, check its domain and be saved."""
    try:
        loaded = spinode.load(path)
    except (FileFormatError, ConfigError):
        return
    drive = loaded.scales.drive_mean[: len(loaded.ports.drive)].expand(5, -1)
    state = torch.zeros(loaded.embedding.order * len(loaded.ports.output), dtype=torch.float64)
    constants = dict.fromkeys(loaded.ports.parameters, 0.0)
    with warnings.catch_warnings(), contextlib.suppress(spinode.DomainError):
        warnings.simplefilter("ignore", spinode.DomainWarning)
        assert torch.isfinite(loaded.simulate(drive, state=state, parameters=constants)).all()
    loaded.save(path)


class Bomb:
    def __reduce__(self):
        return (os.mkdir, ("EXPLODED",))


def test_pickle_is_refused_and_not_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "model.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(FileFormatError, match="another kind of file"):
        spinode.load(path)
    torch.save({"weights": torch.zeros(3)}, path)
    with pytest.raises(FileFormatError, match="another kind of file"):
        spinode.load(path)
    assert sorted(os.listdir(tmp_path)) == ["model.pt"]


def test_missing_file_and_folder_are_named(tmp_path):
    for path in (tmp_path, tmp_path / "nothing.safetensors", Path("")):
        with pytest.raises(FileFormatError, match=f"there is no file {path}"):
            spinode.load(path)


def test_other_safetensors_file_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    path.write_bytes(to_bytes({"a": torch.zeros(2)}))
    with pytest.raises(FileFormatError, match="not a spinode artifact"):
        spinode.load(path)


def test_newer_schema_recommends_an_upgrade(tmp_path, meta):
    with pytest.raises(FileFormatError, match="has schema 2, this version of spinode reads up to 1; upgrade spinode"):
        spinode.load(written(tmp_path, meta | {"schema": 2}))


@pytest.mark.parametrize("schema", [0, -1, "1", None, 1.5, [1], {}])
def test_invalid_schema_is_damage(tmp_path, meta, schema):
    with pytest.raises(FileFormatError, match=r"expected 1\. The file is damaged"):
        spinode.load(written(tmp_path, meta | {"schema": schema}))


@pytest.mark.parametrize("text", ["", "nonsense", "[" * 100_000, "[]", "null", '"spinode"', "1" * 5000])
def test_metadata_that_are_not_a_mapping_are_refused(tmp_path, text):
    with pytest.raises(FileFormatError, match=r"hostile\.safetensors"):
        spinode.load(written(tmp_path, text))


# --- contradictions---------------------------------------------------------------------------------------------------------


def huge_claims():
    huge = 10**9
    yield "width", {"network": {"hidden": [huge], "activation": "tanh"}}, {}
    # A tensor with a billion rows and no columns takes no space in the file.
    empty = {f"members.{i}.field.top.layers.0.weight": torch.zeros(huge, 0, dtype=torch.float64) for i in range(2)}
    yield "rows without columns", {"network": {"hidden": [huge], "activation": "tanh"}}, empty
    yield "members", {"members": 10**9}, {}
    yield "order", {"embedding": {"kind": "derivative", "order": 10**9}}, {}
    many = [f"u{i}" for i in range(4000)]
    ports = json.loads(parts()[0])["ports"]
    inputs = {"scales.drive_mean": torch.ones(4000).double(), "scales.drive_scale": torch.ones(4000).double()}
    yield "inputs", {"ports": ports | {"drive": many}}, inputs


@pytest.mark.parametrize(("claim", "tensors"), [pytest.param(c, t, id=name) for name, c, t in huge_claims()])
def test_header_that_claims_huge_sizes_allocates_nothing(tmp_path, meta, claim, tensors):
    path = written(tmp_path, meta | claim, parts()[1] | tensors)
    assert path.stat().st_size < 300_000
    made = []
    real = torch.randn

    def counting(*shape, **options):
        made.append(np.prod([int(n) for n in shape]))
        assert made[-1] < 1e6
        return real(*shape, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "randn", counting)
        tracemalloc.start()
        try:
            with pytest.raises(FileFormatError, match="is damaged"):
                spinode.load(path)
            assert tracemalloc.get_traced_memory()[1] < 50e6
        finally:
            tracemalloc.stop()


def test_nan_is_refused_in_every_tensor(tmp_path, meta):
    for name, tensor in parts()[1].items():
        bad = tensor.clone()
        bad.reshape(-1)[-1] = float("nan")
        with pytest.raises(FileFormatError, match=f"NaN or infinite numbers in '{name}'"):
            spinode.load(written(tmp_path, meta, parts()[1] | {name: bad}))


def test_missing_tensor_or_one_of_another_shape_or_type_is_refused(tmp_path, meta):
    tensors = parts()[1]
    for name, tensor in tensors.items():
        without = {key: value for key, value in tensors.items() if key != name}
        for changed in (
            without,
            tensors | {name: torch.cat([tensor.reshape(-1), tensor.reshape(-1)])},
            tensors | {name: tensor[None, None]},
            tensors | {name: tensor.float()} if not name.startswith("members") else without,
        ):
            with pytest.raises(FileFormatError, match="contradict each other"):
                spinode.load(written(tmp_path, meta, changed))
    with pytest.raises(FileFormatError, match="contradict each other"):
        spinode.load(written(tmp_path, meta, tensors | {"surplus": torch.zeros(1)}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scales.output_scale", 0.0),
        ("scales.drive_scale", -1.0),
        ("domain.radius", -1.0),
        ("noise", -1.0),
        ("spread_factor", -2.0),
    ],
)
def test_scales_and_deviations_out_of_range_are_refused(tmp_path, meta, name, value):
    with pytest.raises(FileFormatError, match="contradict each other"):
        spinode.load(written(tmp_path, meta, parts()[1] | {name: torch.full_like(parts()[1][name], value)}))


def test_empty_domain_is_refused(tmp_path, meta):
    tensors = parts()[1]
    with pytest.raises(FileFormatError, match="domain"):
        spinode.load(written(tmp_path, meta, tensors | {"domain.points": tensors["domain.points"][:0]}))


def paths_in(value, here=()):
    """Yield the path of every value in nested JSON."""
    yield here
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from paths_in(item, (*here, key))


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


ODD = ([], {}, [1.5, "a"], {"a": [None]}, ["y0"], [[]], -1, 1e308, 10**400, None, True)
JUNK = st.sampled_from(ODD) | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)


@settings(max_examples=400)
@given(st.data())
def test_metadata_of_other_types_end_in_a_clear_error(tmp_path_factory, data):
    meta = json.loads(parts()[0])
    place = data.draw(st.sampled_from(sorted(paths_in(meta), key=str)))
    changed = replaced(meta, place, data.draw(JUNK))
    _refused_or_usable(written(tmp_path_factory.mktemp("mutant"), changed))


@settings(max_examples=50)
@given(st.data())
def test_missing_metadata_end_in_a_clear_error(tmp_path_factory, data):
    meta = json.loads(parts()[0])
    place = data.draw(st.sampled_from(sorted((p for p in paths_in(meta) if p and isinstance(p[-1], str)), key=str)))
    inner = meta
    for key in place[:-1]:
        inner = inner[key]
    del inner[place[-1]]
    _refused_or_usable(written(tmp_path_factory.mktemp("mutant"), meta))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("residual_level",), [0.0]),
        (("residual_level",), [1.0, 1.0]),
        (("arx", "order"), 7),
        (("arx", "coefficients"), [[0.5]]),
        (("arx", "scale"), [[1.0], [0.0]]),
        (("kept",), [5]),
        (("order_scan",), [{}]),
        (("data",), [{"start": "yesterday"}]),
        (("history",), 3),
    ],
)
def test_record_in_another_form_than_that_of_a_fit_is_refused(tmp_path, meta, place, value):
    with pytest.raises(FileFormatError, match="record"):
        spinode.load(written(tmp_path, replaced(meta, ("record", *place), value)))


def test_infinity_in_the_metadata_is_refused(tmp_path, meta):
    with pytest.raises(FileFormatError, match="metadata contain Infinity"):
        spinode.load(written(tmp_path, meta | {"interval": float("inf")}))


# --- fields of your own ----------------------------------------------------------------------------------------------


class Spring(torch.nn.Module):
    """Rate of the last block of a linear spring."""

    def __init__(self):
        super().__init__()
        self.stiffness = torch.nn.Parameter(torch.tensor(0.1, dtype=torch.float64))

    def forward(self, state, drive):
        return -self.stiffness * state[..., :1] - 0.1 * state[..., 1:2] + 0.1 * drive[..., :1]


def springy(members=1):
    made = resonator()
    made.members = torch.nn.ModuleList(
        Member(ChainField(Spring(), made.scales.ratios), torch.zeros(1, 1, dtype=torch.float64)) for _ in range(members)
    )
    return made


def test_field_of_your_own_is_loaded_into_its_module(tmp_path):
    made = springy()
    with torch.no_grad():
        made.members[0].field.top.stiffness.fill_(0.37)
    made.save(tmp_path / "x")
    with pytest.raises(ConfigError, match=r"pass load\(path, field=module\)"):
        spinode.load(tmp_path / "x")
    back = Surrogate.load(tmp_path / "x", field=Spring())
    assert float(back.members[0].field.top.stiffness.detach()) == 0.37
    with pytest.raises(FileFormatError, match="contradict each other"):
        spinode.load(tmp_path / "x", field=torch.nn.Linear(3, 1, dtype=torch.float64))


def test_every_member_with_a_field_of_your_own_gets_its_weights(tmp_path):
    made = springy(members=3)
    for member, stiffness in zip(made.members, (0.11, 0.12, 0.14), strict=True):
        torch.nn.init.constant_(member.field.top.stiffness, stiffness)
    made.save(tmp_path / "x")
    back = spinode.load(tmp_path / "x", field=Spring())
    assert [float(member.field.top.stiffness.detach()) for member in back.members] == [0.11, 0.12, 0.14]
    drive = torch.linspace(-1, 1, 30, dtype=torch.float64)[:, None]
    assert torch.equal(back.simulate(drive), made.simulate(drive))


# --- writing ----------------------------------------------------------------------------------------------------------


def test_values_that_json_lacks_are_saved_in_plain_form(tmp_path):
    made = resonator()
    made.record = {"count": np.int64(3), "shape": (1, 2), "lost": float("inf"), "path": Path("a/b"), 7: True}
    made.save(tmp_path / "x")
    assert spinode.load(tmp_path / "x").record == {"count": 3, "shape": [1, 2], "lost": None, "path": "a/b", "7": True}


def test_surrogate_with_nan_is_not_written(tmp_path):
    made = resonator()
    made.noise.fill_(float("nan"))
    with pytest.raises(ConfigError, match="'noise' of the surrogate contains NaN"):
        made.save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("where", ["replace", "write"])
def test_full_disk_leaves_the_old_file_intact(tmp_path, monkeypatch, where):
    path = tmp_path / "x.safetensors"
    resonator().save(path)
    before = path.read_bytes()
    if where == "replace":
        monkeypatch.setattr(os, "replace", full_disk)
    else:
        monkeypatch.setattr(Path, "write_bytes", full_disk)
    with pytest.raises(TraceError, match=r"cannot write .*No space left on device.*free space"):
        small_surrogate().save(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resonator().save(tmp_path / "x")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["nowhere/x.safetensors", ".", "", "x" * 300, "a\0b"])
def test_unwritable_path_is_one_clear_error(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for write in (resonator().save, check_writable, lambda p: write_atomically(p, b"")):
        with pytest.raises(TraceError, match=r"cannot write|does not exist|is a folder"):
            write(path)
    assert not list(tmp_path.iterdir())


def test_path_that_no_system_accepts_is_refused():
    for path in ("x" * 300, "a\0b"):
        with pytest.raises(FileFormatError, match=r"there is no file|cannot be read as a surrogate"):
            spinode.load(path)
