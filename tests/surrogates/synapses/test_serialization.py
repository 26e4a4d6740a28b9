"""Files of synapse surrogates: everything comes back, and nothing damaged does."""

import copy
import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes

import spinode
from spinode import load
from spinode.contracts.synapse import Pulses
from spinode.errors import ConfigError, FileFormatError
from spinode.surrogates.artifacts import save
from spinode.surrogates.synapses.serialization import KEY
from spinode.testing import SynapseContract


@pytest.fixture
def path(make_synapse, tmp_path):
    where = tmp_path / "device.safetensors"
    save(make_synapse(), where)
    return where


def parts(path):
    # Copies: the file beneath the mapped ones is written anew.
    with safe_open(path, "pt") as stored:
        names = list(stored.keys())
        return json.loads(stored.metadata()[KEY]), {name: stored.get_tensor(name).clone() for name in names}


def put(path, meta, tensors):
    path.write_bytes(to_bytes(tensors, {KEY: json.dumps(meta)}))


class TestALoadedOne(SynapseContract):
    @pytest.fixture(autouse=True)
    def _kept(self, path):
        self.path = path

    def make(self):
        return load(self.path)


def played(synapse):
    """Reads and states of devices under both polarities and several voltages, noise and pauses included."""
    generator = torch.Generator().manual_seed(4)
    state = synapse.initial((50,), generator=generator)
    reads = []
    for count, voltage in ((3, 1.0), (-7, 1.3), (1, 0.9)):
        state = synapse.program(state, Pulses(torch.full((50,), float(count)), voltage=voltage), generator=generator)
        state = synapse.relax(state, 3.0, generator=generator)
        reads.append(synapse.read(state, generator=generator))
    return torch.stack([*reads, state["flicker"], state["trap"]])


@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"trap": False, "memory": False},
        {"log": False, "voltage": False},
        {"spread": False},
    ],
)
def test_everything_comes_back(make_synapse, tmp_path, kind):
    made = make_synapse(**kind)
    save(made, tmp_path / "a.safetensors")
    back = load(tmp_path / "a.safetensors")
    first, second = made.state_dict(), back.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first)
    for name in (
        "noise_model", "scale", "inputs", "trap", "retention", "first", "seen", "chunk", "of_devices", "polarities", "unit",
        "low", "high", "voltage", "width", "voltage_range", "width_range", "record", "with_noise", "with_traps", "with_spread",
    ):  # fmt: skip
        assert getattr(made, name) == getattr(back, name), name
    assert made.drift.latents == back.drift.latents
    assert (made.drift.tied, made.drift.extra) == (back.drift.tied, back.drift.extra)
    assert made.describe() == back.describe()
    save(back, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_loaded_one_draws_the_same_noise(make_synapse, path):
    made, back = make_synapse(), load(path)
    torch.testing.assert_close(played(made), played(back), rtol=0, atol=0)
    copies = [one.posterior(torch.Generator().manual_seed(2)) for one in (made, back)]
    torch.testing.assert_close(played(copies[0]), played(copies[1]), rtol=0, atol=0)


def test_variants_are_kept(make_synapse, tmp_path):
    made = make_synapse().only(rtn=False, d2d=False)
    made.save(tmp_path / "a.safetensors")
    back = load(tmp_path / "a.safetensors")
    assert (back.with_noise, back.with_traps, back.with_spread) == (True, False, False)


# Damage


def test_truncated_files_are_refused(path, tmp_path):
    whole = path.read_bytes()
    for share in (0, 4, 9, 100, len(whole) // 2, len(whole) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(whole[:share])
        with pytest.raises(FileFormatError, match="cut"):
            load(cut)


def test_flipped_bytes_never_crash(path, tmp_path):
    """A flipped byte is refused, or (in the numbers) leaves a surrogate that still works."""
    whole = bytearray(path.read_bytes())
    size = 8 + struct.unpack("<Q", whole[:8])[0]
    generator = torch.Generator().manual_seed(0)
    places = [*range(0, 8), *torch.randint(8, size, (60,), generator=generator).tolist()]
    places += torch.randint(size, len(whole), (40,), generator=generator).tolist()
    refused = 0
    for place in places:
        damaged = bytearray(whole)
        damaged[place] ^= 0x80 if place >= size else 0x11
        bad = tmp_path / "bad.safetensors"
        bad.write_bytes(bytes(damaged))
        try:
            back = load(bad)
        except FileFormatError:
            refused += 1
            continue
        state = back.initial((20,), generator=torch.Generator().manual_seed(0))
        assert back.read(back.program(state, Pulses(torch.ones(20)))).shape == (20,)
    assert refused > 8


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        (("polarities",), ["SET"]),
        (("polarities",), ["UP", "DOWN"]),
        (("seen",), [1.0, -1.0]),
        (("seen",), [0.0]),
        (("seen",), [-2.0, 1e5]),
        (("first",), "zero"),
        (("chunk",), 0.0),
        (("of_devices",), 1),
        (("unit",), None),
        (("scale", "spread"), 0.0),
        (("scale", "kind"), "cubic"),
        (("inputs", "names"), []),
        (("inputs", "names"), ["voltage", "voltage"]),
        (("inputs", "spread"), [-1.0]),
        (("inputs", "ranges"), {}),
        (("inputs", "usual"), {"voltage": [1.0, -1.0]}),
        (("latents", "shape"), 10**9),
        (("latents", "shape"), 0),
        (("latents", "centre"), False),
        (("drift", "hidden"), [7]),
        (("drift", "hidden"), [10**12]),
        (("drift", "hidden"), []),
        (("drift", "extra"), 2),
        (("noise", "memory"), False),
        (("noise", "polarities"), ["SET"]),
        (("population",), False),
        (("latents", "window"), False),
        (("trap",), None),
        (("trap", "fill"), 1.5),
        (("trap", "extra"), 1.0),
        (("retention", "onset"), 0.0),
        (("noisy",), {}),
        (("record",), []),
        (("schema",), 0),
        (("schema",), "1"),
    ],
)
def test_headers_that_contradict_the_numbers_are_refused(path, entry, value):
    meta, tensors = parts(path)
    place = meta
    for name in entry[:-1]:
        place = place[name]
    place[entry[-1]] = value
    put(path, meta, tensors)
    with pytest.raises(FileFormatError, match="damaged"):
        load(path)


def test_every_entry_is_needed(path):
    meta, tensors = parts(path)
    for name in meta:
        if name == "schema":
            continue
        put(path, {key: value for key, value in meta.items() if key != name}, tensors)
        with pytest.raises(FileFormatError, match="damaged"):
            load(path)
    for name in tensors:
        put(path, meta, {key: value for key, value in tensors.items() if key != name})
        with pytest.raises(FileFormatError, match="damaged"):
            load(path)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("drift.kappa", lambda value: -value),
        ("drift.field.out.weight", lambda value: value.T.contiguous()),
        ("drift.field.out.weight", lambda value: value.float()),
        ("noise", lambda value: 1e4 * value),
        ("noise", lambda value: value[:-1].clone()),
        ("posterior_noise", lambda value: value[:-1].clone()),
        ("population.weights", lambda value: -value),
        ("population.weights", lambda value: 2 * value),
        ("population.weights", lambda value: value[:-1].clone()),
        ("population.weights", lambda value: 0 * value),
        ("population.samples", lambda value: value[:-1].clone()),
        ("population.samples", lambda value: value[:, :0].clone()),
        ("population.samples", lambda value: value[:0].clone()),
        ("population.samples", lambda value: value[:, :, :-1].clone()),
        ("population.samples", lambda value: value[0].clone()),
        ("population.samples", lambda value: value.float()),
    ],
)
def test_numbers_that_cannot_be_are_refused(path, name, change):
    meta, tensors = parts(path)
    tensors[name] = change(tensors[name])
    put(path, meta, tensors)
    with pytest.raises(FileFormatError, match="damaged"):
        load(path)


def test_numbers_that_are_none_are_refused(path):
    meta, tensors = parts(path)
    for bad in (float("nan"), float("inf")):
        changed = copy.deepcopy(tensors)
        changed["population.samples"][0, 0, 0] = bad
        put(path, meta, changed)
        with pytest.raises(FileFormatError, match="NaN or infinite"):
            load(path)


def test_a_newer_schema_asks_for_an_upgrade(path):
    meta, tensors = parts(path)
    put(path, meta | {"schema": 2}, tensors)
    with pytest.raises(FileFormatError, match="upgrade"):
        load(path)


def test_other_kinds_of_files_are_refused(path, tmp_path):
    with pytest.raises(FileFormatError, match="surrogate of a memory device"):
        spinode.load(path)
    other = tmp_path / "other.safetensors"
    other.write_bytes(to_bytes({"a": torch.zeros(3)}, {"format": "pt"}))
    with pytest.raises(FileFormatError, match="no spinode surrogate"):
        load(other)
    with pytest.raises(FileFormatError, match="there is no file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(FileFormatError, match="there is no file"):
        load(tmp_path)


def test_a_surrogate_with_nan_is_not_written(make_synapse, tmp_path):
    made = make_synapse()
    made.noise[0] = float("nan")
    with pytest.raises(ConfigError, match="'noise'"):
        save(made, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
