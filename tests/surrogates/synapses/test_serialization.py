"""Files of synapse surrogates: round trips, and refusal of damaged files."""

import copy
import json
import struct

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save as to_bytes

import spinode
from spinode import artifact, load
from spinode.contracts.synapse import Pulses
from spinode.errors import ConfigError, FileFormatError
from spinode.surrogates.artifacts import save
from spinode.surrogates.synapses.noise import NoiseModel
from spinode.surrogates.synapses.serialization import KEY
from spinode.testing import SynapseContract


@pytest.fixture
def path(make_synapse, tmp_path):
    path = tmp_path / "device.safetensors"
    save(make_synapse(), path)
    return path


def read_parts(path):
    """Return metadata without their digest and copies of the tensors: the file is memory-mapped and will be overwritten."""
    with safe_open(path, "pt") as stored:
        names = list(stored.keys())
        meta = json.loads(stored.metadata()[KEY])
        del meta["sha256"]  # the tests change both
        return meta, {name: stored.get_tensor(name).clone() for name in names}


def write_parts(path, meta, tensors):
    path.write_bytes(to_bytes(tensors, {KEY: json.dumps(meta)}))


class TestLoadedSurrogate(SynapseContract):
    @pytest.fixture(autouse=True)
    def _set_path(self, path):
        self.path = path

    def make(self):
        return load(self.path)


def simulated(synapse):
    """Simulate reads and states under both polarities and several voltages, with noise and pauses."""
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
        {"telegraph": False, "memory": False},
        {"log": False, "voltage": False},
        {"spread": False},
    ],
)
def test_surrogates_are_restored_exactly(make_synapse, tmp_path, kind):
    original = make_synapse(**kind)
    save(original, tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors")
    first, second = original.state_dict(), loaded.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) and first[name].dtype == second[name].dtype for name in first)
    for name in (
        "noise_model", "scale", "inputs", "telegraph", "retention", "first", "state_range", "chunk", "of_devices", "polarities",
        "unit", "low", "high", "voltage", "width", "voltage_range", "width_range", "record", "with_noise",
        "with_telegraph", "with_spread",
    ):  # fmt: skip
        assert getattr(original, name) == getattr(loaded, name), name
    assert original.drift.latents == loaded.drift.latents
    assert (original.drift.tied, original.drift.extra) == (loaded.drift.tied, loaded.drift.extra)
    assert original.describe() == loaded.describe()
    save(loaded, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_loaded_surrogate_samples_the_same_noise(make_synapse, path):
    original, loaded = make_synapse(), load(path)
    torch.testing.assert_close(simulated(original), simulated(loaded), rtol=0, atol=0)
    copies = [each.posterior(torch.Generator().manual_seed(2)) for each in (original, loaded)]
    torch.testing.assert_close(simulated(copies[0]), simulated(copies[1]), rtol=0, atol=0)


def test_variants_are_restored(make_synapse, tmp_path):
    original = make_synapse().only(rtn=False, d2d=False)
    original.save(tmp_path / "a.safetensors")
    loaded = load(tmp_path / "a.safetensors")
    assert (loaded.with_noise, loaded.with_telegraph, loaded.with_spread) == (True, False, False)


# Damage


def test_truncated_files_are_refused(path, tmp_path):
    content = path.read_bytes()
    for share in (0, 4, 9, 100, len(content) // 2, len(content) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(content[:share])
        with pytest.raises(FileFormatError, match="cut"):
            load(cut)


def test_flipped_bytes_never_crash(path, tmp_path):
    """A flipped byte is refused or, within the tensors, gives a surrogate that still runs."""
    content = bytearray(path.read_bytes())
    size = 8 + struct.unpack("<Q", content[:8])[0]
    generator = torch.Generator().manual_seed(0)
    places = [*range(0, 8), *torch.randint(8, size, (60,), generator=generator).tolist()]
    places += torch.randint(size, len(content), (40,), generator=generator).tolist()
    refused = 0
    for place in places:
        damaged = bytearray(content)
        damaged[place] ^= 0x80 if place >= size else 0x11
        bad = tmp_path / "bad.safetensors"
        bad.write_bytes(bytes(damaged))
        try:
            loaded = load(bad)
        except FileFormatError:
            refused += 1
            continue
        state = loaded.initial((20,), generator=torch.Generator().manual_seed(0))
        assert loaded.read(loaded.program(state, Pulses(torch.ones(20)))).shape == (20,)
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
def test_headers_that_contradict_the_tensors_are_refused(path, entry, value):
    meta, tensors = read_parts(path)
    place = meta
    for name in entry[:-1]:
        place = place[name]
    place[entry[-1]] = value
    write_parts(path, meta, tensors)
    with pytest.raises(FileFormatError, match="damaged"):
        load(path)


def test_every_entry_is_required(path):
    meta, tensors = read_parts(path)
    for name in meta:
        if name == "schema":
            continue
        write_parts(path, {key: value for key, value in meta.items() if key != name}, tensors)
        with pytest.raises(FileFormatError, match="damaged"):
            load(path)
    for name in tensors:
        write_parts(path, meta, {key: value for key, value in tensors.items() if key != name})
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
def test_tensors_of_invalid_values_or_shapes_are_refused(path, name, change):
    meta, tensors = read_parts(path)
    tensors[name] = change(tensors[name])
    write_parts(path, meta, tensors)
    with pytest.raises(FileFormatError, match="damaged"):
        load(path)


def test_nan_and_infinite_numbers_are_refused(path):
    meta, tensors = read_parts(path)
    for bad in (float("nan"), float("inf")):
        changed = copy.deepcopy(tensors)
        changed["population.samples"][0, 0, 0] = bad
        write_parts(path, meta, changed)
        with pytest.raises(FileFormatError, match="NaN or infinite"):
            load(path)


def test_a_newer_schema_requires_an_upgrade(path):
    meta, tensors = read_parts(path)
    write_parts(path, meta | {"schema": 3}, tensors)
    with pytest.raises(FileFormatError, match="upgrade"):
        load(path)


def test_files_of_schema_1_load_as_the_model_that_they_were(make_synapse, path):
    """Their states go on for a quarter of the range beyond it, their steps may reverse, their pulse of use is the median."""
    meta, tensors = read_parts(path)
    old = {key: value for key, value in meta.items() if key != "use"} | {"schema": 1}
    old["drift"] = {key: value for key, value in meta["drift"].items() if key not in ("monotonic", "limits")}
    old["noise"] = {key: value for key, value in meta["noise"].items() if key not in ("relative", "pure")}
    write_parts(path, old, tensors)
    loaded, original = load(path), make_synapse()
    assert (loaded.drift.monotonic, loaded.drift.limits, loaded.voltage) == ((), None, (1.1, 1.2))
    assert torch.equal(simulated(loaded), simulated(original))
    write_parts(path, old | {"schema": 0}, tensors)
    with pytest.raises(FileFormatError, match=r"expected 1 \.\. 2"):
        load(path)


def test_the_pulse_of_use_is_loaded(make_synapse, path):
    synapse = make_synapse()
    synapse.voltage, synapse.width = (0.9, 1.3), 2e-6
    save(synapse, path)
    loaded = load(path)
    assert (loaded.voltage, loaded.width) == ((0.9, 1.3), 2e-6)
    count = torch.ones(4)
    explicit = loaded.program(loaded.initial((4,)), Pulses(count, voltage=0.9))
    torch.testing.assert_close(loaded.program(loaded.initial((4,)), Pulses(count))["state"], explicit["state"], rtol=0, atol=0)


def test_monotonic_drift_limits_and_relative_noise_are_restored(make_synapse, path):
    synapse = make_synapse(telegraph=False, memory=False)
    synapse.drift.monotonic, synapse.drift.limits = ("SET", "RESET"), (-2.0, 2.0)
    synapse.noise_model = NoiseModel(("SET", "RESET"), relative=True, pure=True)
    synapse.noise = torch.full((len(synapse.noise_model.names),), -2.0, dtype=torch.float64)
    synapse.posterior_noise = torch.zeros(len(synapse.noise), len(synapse.noise), dtype=torch.float64)
    save(synapse, path)
    loaded = load(path)
    assert (loaded.drift.monotonic, loaded.drift.limits) == (synapse.drift.monotonic, synapse.drift.limits)
    assert loaded.noise_model == synapse.noise_model
    meta, tensors = read_parts(path)
    for damaged in ({"monotonic": ["UP"]}, {"limits": [2.0, -2.0]}, {"limits": [1.0]}):
        write_parts(path, meta | {"drift": meta["drift"] | damaged}, tensors)
        with pytest.raises(FileFormatError, match="damaged"):
            load(path)


def test_other_kinds_of_files_are_refused(path, tmp_path):
    with pytest.raises(FileFormatError, match="is a surrogate of a memory device"):
        artifact.load(path, expected=spinode.Surrogate)
    other = tmp_path / "other.safetensors"
    other.write_bytes(to_bytes({"a": torch.zeros(3)}, {"format": "pt"}))
    with pytest.raises(FileFormatError, match="is a safetensors file but not a spinode artifact"):
        load(other)
    with pytest.raises(FileFormatError, match="there is no file"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(FileFormatError, match="there is no file"):
        load(tmp_path)


def test_a_surrogate_with_nan_is_not_written(make_synapse, tmp_path):
    original = make_synapse()
    original.noise[0] = float("nan")
    with pytest.raises(ConfigError, match="'noise'"):
        save(original, tmp_path / "a.safetensors")
    assert not (tmp_path / "a.safetensors").exists()
