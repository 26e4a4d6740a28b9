"""Images: reading files and damaged copies of them, normalisations, generated images; search and download of public sets."""

import gc
import gzip
import hashlib
import http.server
import struct
import sys
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, strategies as st

from spinode.datasets import Images, fashion_mnist, images_from_arrays, made_digits, mnist, read_idx, read_npz
from spinode.datasets.images import find
from spinode.datasets.images.find import IDX_FILES, PublicSet, find_images
from spinode.datasets.images.idx import idx_sha256
from spinode.errors import ConfigError, FileFormatError

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx_bytes(array):
    """Write the IDX format according to its definition: zeros, type, dimensions, lengths, values; big-endian."""
    kind = array.dtype.str[1:]
    head = bytes([0, 0, CODES[kind], array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    return head + array.astype(f">{kind}").tobytes()


def arrays(seed=0, classes=3, train=12, test=6, side=4):
    """Return random training images, training labels, test images and test labels."""
    draw = np.random.default_rng(seed)
    return (
        draw.integers(0, 256, (train, side, side), dtype=np.uint8),
        (np.arange(train) % classes).astype(np.uint8),
        draw.integers(0, 256, (test, side, side), dtype=np.uint8),
        (np.arange(test) % classes).astype(np.uint8),
    )


# IDX


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", CODES)
@pytest.mark.parametrize("shape", [(5,), (3, 2, 4), (0, 2), ()])
def test_idx_of_every_type_is_read_unchanged(tmp_path, kind, shape, compressed):
    values = np.asarray(np.random.default_rng(0).normal(size=shape) * 50, dtype=kind)
    path = tmp_path / "values.idx"
    path.write_bytes(gzip.compress(idx_bytes(values)) if compressed else idx_bytes(values))
    array = read_idx(path)
    assert array.dtype == np.dtype(kind)
    assert array.shape == shape
    np.testing.assert_array_equal(array, values)


@given(cut=st.integers(0, 31), compressed=st.booleans())
def test_truncated_idx_is_refused(tmp_path_factory, cut, compressed):
    complete = idx_bytes(np.arange(24, dtype=np.uint8).reshape(4, 6)[:, :5].copy())
    assert len(complete) == 32
    path = tmp_path_factory.getbasetemp() / "cut.idx"
    path.write_bytes(gzip.compress(complete[:cut]) if compressed else complete[:cut])
    with pytest.raises(FileFormatError, match=r"expected an IDX file|ends within its header|truncated or damaged"):
        read_idx(path)


def test_idx_with_extra_bytes_is_refused(tmp_path):
    path = tmp_path / "long.idx"
    path.write_bytes(idx_bytes(np.zeros((2, 3), np.uint8)) + b"\0")
    with pytest.raises(FileFormatError, match=r"contains 7 bytes of values; expected 6, for the shape \(2, 3\) in its header"):
        read_idx(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 something else", "begins with 50 4b 03 04; expected an IDX file"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 0]), "begins with 00 00 07 01"),
        (b"", "begins with nothing"),
        (bytes([0, 0, 8, 255]) + b"\xff" * 100, "ends within its header, after 104 of 1024 bytes"),
        (
            bytes([0, 0, 8, 4]) + b"\xff" * 16,
            "contains 0 bytes of values",
        ),  # 3e38 values: no array of that size may be allocated
        (gzip.compress(idx_bytes(np.zeros(1000, np.uint8)), mtime=0)[:-9], "truncated or damaged"),
        (b"\x1f\x8b\x08\x00 no gzip", "truncated or damaged"),
    ],
)
def test_file_of_another_format_is_refused(tmp_path, content, message):
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match=message):
        read_idx(path)


def test_missing_or_unreadable_file_is_refused(tmp_path):
    for read in (read_idx, read_npz):
        with pytest.raises(FileFormatError, match=r"there is no file .*nothing"):
            read(tmp_path / "nothing")
        with pytest.raises(FileFormatError, match=str(tmp_path)):
            read(tmp_path)


def test_checksum_is_that_of_the_idx_file():
    for array in arrays():
        assert idx_sha256(array) == hashlib.sha256(idx_bytes(array)).hexdigest()
        assert idx_sha256(np.asfortranarray(array)) == idx_sha256(array)


# NumPy archives


def save_npz(path, values, **changes):
    """Write the four arrays to an archive, with members replaced, added or (None) omitted."""
    members = dict(zip(("x_train", "y_train", "x_test", "y_test"), values, strict=True)) | changes
    np.savez(path, **{name: value for name, value in members.items() if value is not None})
    return path


def test_npz_is_read_unchanged(tmp_path):
    values = arrays()
    images = read_npz(save_npz(tmp_path / "digits.npz", values))
    assert images.name == "digits"
    assert images.classes == 3
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    for part, expected in zip(parts, values, strict=True):
        np.testing.assert_array_equal(part.numpy(), expected)


def test_damaged_npz_and_other_archives_are_refused(tmp_path):
    good = save_npz(tmp_path / "good.npz", arrays())
    lacking = save_npz(tmp_path / "lacking.npz", arrays(), y_test=None, other=np.zeros(2))
    with pytest.raises(FileFormatError, match="lacks y_test and contains x_train, y_train, x_test, other"):
        read_npz(lacking)
    pickled = save_npz(tmp_path / "pickled.npz", arrays(), y_test=np.array([{}], dtype=object))
    with pytest.raises(FileFormatError, match="pickled"):
        read_npz(pickled)
    single = tmp_path / "single.npz"
    with single.open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(FileFormatError, match="not an archive with the members"):
        read_npz(single)
    content = good.read_bytes()
    for name, damaged in (("cut", content[: len(content) // 2]), ("flipped", content[:150] + b"\xff\0\xff" + content[153:])):
        path = tmp_path / f"{name}.npz"
        path.write_bytes(damaged)
        with pytest.raises(FileFormatError, match=str(path)):
            read_npz(path)


# Images of arrays


def test_arrays_and_tensors_of_several_types_are_accepted():
    x, y, a, b = arrays()
    plain = images_from_arrays(x, y, a, b)
    tensors = images_from_arrays(torch.from_numpy(x), torch.from_numpy(y), torch.from_numpy(a), torch.from_numpy(b))
    floats = images_from_arrays(x / 255, y.astype(float), (a / 255).astype(">f4"), list(b))
    for other in (tensors, floats):
        for part in ("train_set", "test_set"):
            for actual, expected in zip(getattr(other, part)(), getattr(plain, part)(), strict=True):
                torch.testing.assert_close(actual, expected)
    assert repr(plain) == "Images('images', 12 for training, 6 for test, 4×4, 3 classes)"


def test_invalid_arrays_are_refused():
    x, y, a, b = arrays()
    cases = [
        ((x, y, a[:, :3], b), {}, "4×4 in training and 3×4 in test"),
        ((x, y[:-1], a, b), {}, r"of shape \(11,\) for 12 images"),
        ((x, np.eye(12), a, b), {}, r"labels of the training set .* shape \(12, 12\)"),
        ((x, y, a, b), {"classes": 2}, r"labels of the training set of 'images' are in 0 .. 2; expected 0 .. 1"),
        ((x, y.astype(int) - 1, a, b), {}, "are in -1 .. 1"),
        ((x, y + 0.5, a, b), {}, "labels of 'images' are not whole numbers"),
        ((x, y + np.nan, a, b), {}, "labels of 'images' are not whole numbers"),
        ((x.astype(float), y, a, b), {}, r"pixels of the training set .* expected 0 .. 1"),
        ((x / 255 * np.nan, y, a, b), {}, r"are in nan .. nan; expected 0 .. 1"),
        ((x.astype(int), y, a, b), {}, "expected uint8 or floating-point"),
        ((x[0, 0], y, a, b), {}, "expected uint8 or floating-point"),
        ((x[:0], y[:0], a, b), {}, "expected at least one image"),
        ((np.zeros((12, 3, 32, 32)), y, a, b), {}, r"expected channels last.*permute\(0, 2, 3, 1\)"),
        ((x, y, a, np.array(["a"] * 6)), {}, "expected numbers"),
    ]
    for given_arrays, settings, message in cases:
        with pytest.raises(ConfigError, match=message):
            images_from_arrays(*given_arrays, **settings)


def test_first_images_share_memory_and_counts_are_checked():
    images = images_from_arrays(*arrays())
    part = images.first(train=5, test=2)
    assert (len(part.train_images), len(part.test_labels)) == (5, 2)
    assert part.train_images.data_ptr() == images.train_images.data_ptr()
    assert images.first() is images
    assert len(images.first(train=np.int64(5)).train_images) == 5
    for count in (0, 13, 2.5, True):
        with pytest.raises(ConfigError, match=r"train of 'images' is .*whole number from 1 to 12"):
            images.first(train=count)


# Normalisation


@pytest.mark.parametrize("floats", [False, True])
def test_scales_normalise_as_documented(floats):
    x, y, a, b = arrays(train=200, test=30)
    images = images_from_arrays(*((x / 255, y, a / 255, b) if floats else (x, y, a, b)))
    train, test = x / 255, a / 255
    expected = {
        "unit": (train, test),
        "standard": ((train - train.mean()) / train.std(), (test - test.mean()) / test.std()),
        "training": ((train - train.mean()) / train.std(), (test - train.mean()) / train.std()),
    }
    for scale, parts in expected.items():
        for actual, part in zip((images.train_set(scale)[0], images.test_set(scale)[0]), parts, strict=True):
            assert actual.dtype == torch.float32
            np.testing.assert_allclose(actual.numpy(), part.reshape(len(part), -1), atol=2e-6)
    with pytest.raises(ConfigError, match="scale is 'minmax'; expected one of unit, standard, training"):
        images.train_set("minmax")


def test_equal_pixels_cannot_be_standardised():
    x, y, a, b = arrays()
    images = images_from_arrays(np.full_like(x, 7), y, a, b)
    assert float(images.train_set("unit")[0].max()) == pytest.approx(7 / 255)
    with pytest.raises(ConfigError, match="all pixels of 'images' are equal"):
        images.train_set("standard")


def test_inputs_are_flat_or_channels_first():
    x, y, a, b = arrays()
    grey = images_from_arrays(x, y, a, b)
    assert grey.shape() == (16,)
    assert grey.shape(flatten=False) == (1, 4, 4)
    assert grey.train_set(flatten=False)[0].shape == (12, 1, 4, 4)
    assert grey.train_set()[0].data_ptr() == grey.train_set(flatten=False)[0].data_ptr()
    colour = images_from_arrays(np.stack([x, 255 - x, x // 2], axis=3), y, np.stack([a] * 3, axis=3), b)
    planes = colour.train_set(flatten=False)[0]
    assert planes.shape == (12, *colour.shape(flatten=False)) == (12, 3, 4, 4)
    torch.testing.assert_close(planes[:, 1], torch.from_numpy((255 - x) / 255).float())
    assert torch.equal(colour.train_set()[0], planes.flatten(1))
    features = images_from_arrays(x.reshape(12, 16), y, a.reshape(6, 16), b)
    assert features.shape(flatten=False) == (16,)
    assert torch.equal(features.train_set(flatten=False)[0], grey.train_set()[0])


def test_normalised_inputs_are_cached_and_freed_with_their_images():
    images = images_from_arrays(*arrays())
    first = images.train_set("standard")[0]
    assert images.train_set("standard")[0].data_ptr() == first.data_ptr()
    assert torch.equal(images.train_set("unit")[0], images.train_set("unit")[0])
    assert torch.equal(images.train_set("standard")[0], first)
    from spinode.datasets.images.images import _INPUTS

    before = len(_INPUTS)
    del images
    gc.collect()
    assert len(_INPUTS) == before - 1


# Generated images


def test_generated_images_follow_the_seed():
    first, same, other = made_digits(3, train=50, test=20), made_digits(3, train=50, test=20), made_digits(4, train=50, test=20)
    assert torch.equal(first.train_images, same.train_images)
    assert torch.equal(first.test_labels, same.test_labels)
    assert not torch.equal(first.train_images, other.train_images)
    assert first.train_images.dtype == torch.uint8
    assert torch.bincount(first.train_labels).tolist() == [5] * 10
    assert torch.bincount(made_digits(0, train=30, test=7, classes=4).test_labels).tolist() == [2, 2, 2, 1]


def test_a_network_learns_generated_images_better_than_class_means():
    """The bounds were chosen before the images: 90 % for a network of 100 hidden units, less for the nearest class mean."""
    images = made_digits(0)
    (x, y), (a, b) = images.train_set(), images.test_set()
    means = torch.stack([x[y == c].mean(0) for c in range(10)])
    assert 0.3 < float((torch.cdist(a, means).argmin(1) == b).float().mean()) < 0.9
    source = torch.Generator().manual_seed(0)
    hidden = (torch.randn(784, 100, generator=source) / 28).requires_grad_()
    out = (torch.randn(100, 10, generator=source) / 10).requires_grad_()
    optimizer = torch.optim.Adam([hidden, out], lr=2e-3)
    for _ in range(8):
        for batch in torch.randperm(len(x), generator=source).split(50):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(torch.relu(x[batch] @ hidden) @ out, y[batch]).backward()
            optimizer.step()
    assert float(((torch.relu(a @ hidden) @ out).argmax(1) == b).float().mean()) > 0.9


def test_generated_images_refuse_invalid_counts():
    with pytest.raises(ConfigError, match="2000 training and 9 test images in 10 classes"):
        made_digits(test=9)
    with pytest.raises(ConfigError, match="classes is 1; expected a whole number of at least 2"):
        made_digits(classes=1)
    with pytest.raises(ConfigError, match="seed is -1"):
        made_digits(-1)


# Public sets: search and recognition


def public_set(values, name="Small", folder="small", prefixes=("small-", ""), **mirrors):
    return PublicSet(
        name,
        folder,
        prefixes,
        (f"{folder}.npz",),
        tuple(value.shape for value in values),
        tuple(idx_sha256(value) for value in values),
        **mirrors,
    )


def save_idx(folder, values, prefix="", ending=".gz"):
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in zip(IDX_FILES, values, strict=True):
        content = idx_bytes(value)
        (folder / f"{prefix}{name}{ending}").write_bytes(gzip.compress(content) if ending else content)
    return folder


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    """Return the path of an empty cache on a machine without data sets."""
    monkeypatch.delenv("SPINODE_DATA", raising=False)
    monkeypatch.setattr(find, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def equals(images, values):
    return isinstance(images, Images) and np.array_equal(images.train_images.numpy(), values[0])


@pytest.mark.parametrize("kind", ["idx", "gz", "prefixed", "npz", "npz of integers"])
def test_every_file_format_of_a_set_is_found(tmp_path, empty_cache, kind):
    values = arrays()
    if kind.startswith("npz"):
        tmp_path.joinpath("data").mkdir()
        wide = [value.astype(np.int64) for value in values] if kind != "npz" else values
        save_npz(tmp_path / "data" / "small.npz", wide)
    else:
        save_idx(tmp_path / "data", values, "small-" if kind == "prefixed" else "", "" if kind == "idx" else ".gz")
    images = find_images(public_set(values), tmp_path / "data")
    assert equals(images, values)
    assert images.name == "Small"
    assert images.train_images.dtype == torch.uint8


def test_folders_are_searched_in_order(tmp_path, empty_cache, monkeypatch):
    values = arrays()
    small = public_set(values)
    save_idx(empty_cache, values, "small-")
    assert equals(find_images(small, None), values)
    assert equals(find_images(small, tmp_path), values)  # not in this folder: the search continues
    # A damaged copy in a folder shows that this folder is searched before the others.
    for name, place in (("variable", None), ("folder", tmp_path / "folder")):
        save_idx(tmp_path / name, (values[0] // 2, *values[1:]))
        monkeypatch.setenv("SPINODE_DATA", str(tmp_path / "variable"))
        with pytest.raises(FileFormatError, match=str(tmp_path / name)):
            find_images(small, place)


def test_damaged_and_other_sets_are_refused_with_both_checksums(tmp_path, empty_cache):
    values = arrays()
    small = public_set(values)
    for i, name in enumerate(IDX_FILES):
        changed = [value.copy() for value in values]
        changed[i].flat[0] ^= 1
        folder = save_idx(tmp_path / f"changed {i}", changed)
        with pytest.raises(FileFormatError, match=rf"{name}.gz is not .*{idx_sha256(changed[i])}, expected {small.sha256[i]}"):
            find_images(small, folder)
    (tmp_path / "changed").mkdir()
    save_npz(tmp_path / "changed" / "small.npz", changed)
    with pytest.raises(FileFormatError, match=rf"y_test of .*small.npz is not .*{idx_sha256(changed[3])}"):
        find_images(small, tmp_path / "changed")
    longer = save_idx(tmp_path / "longer", arrays(train=15))
    with pytest.raises(FileFormatError, match=r"contains uint8 of shape \(15, 4, 4\); Small has uint8 of shape \(12, 4, 4\)"):
        find_images(small, longer)


def test_files_of_another_set_with_the_same_names_are_skipped(tmp_path, empty_cache):
    values, others = arrays(0), arrays(1, classes=2)
    small, other = public_set(values), public_set(others, "Other", "other", ("other-", ""))
    save_idx(tmp_path / "data", others)
    save_npz(tmp_path / "data" / "small.npz", values)
    assert equals(find_images(small, tmp_path / "data", others=(other,)), values)
    assert equals(find_images(other, tmp_path / "data", others=(small,)), others)


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="is not a folder"):
        mnist(tmp_path / "typo")


def test_cache_is_in_the_cache_folder_of_the_platform(monkeypatch, tmp_path):
    monkeypatch.setattr(find.sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert find.cache_folder() == tmp_path / "spinode"
    monkeypatch.setattr(find.sys, "platform", "win32")
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "local"))
    assert find.cache_folder() == tmp_path / "local" / "spinode"
    monkeypatch.setattr(find.sys, "platform", "darwin")
    assert find.cache_folder().parts[-3:] == ("Library", "Caches", "spinode")


# Public sets: download


class SilentHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Return a folder that a local server offers, and its address."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = tmp_path / "served"
    folder.mkdir()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(SilentHandler, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_a_set_is_downloaded_once_into_the_cache(served, empty_cache):
    pytest.importorskip("pooch")
    folder, address = served
    values = arrays()
    small = public_set(values, mirrors=(address + "missing/", address + "idx/"), prefixes=("small/",))
    save_idx(folder / "idx", values)
    assert equals(find_images(small, None), values)
    assert sorted(path.name for path in (empty_cache / "small").iterdir()) == sorted(f"{name}.gz" for name in IDX_FILES)
    for path in (folder / "idx").iterdir():
        path.unlink()
    assert equals(find_images(small, None), values)  # from the cache, since the server has no files any more


def test_files_of_a_bad_mirror_are_removed_and_the_next_mirror_is_used(served, empty_cache):
    pytest.importorskip("pooch")
    folder, address = served
    values = arrays()
    save_idx(folder / "bad", arrays(5))
    save_npz(folder / "small.npz", values)
    small = public_set(values, mirrors=(address + "bad/",), archive_mirrors=(address + "small.npz",), prefixes=("small/",))
    small = replace(small, archives=("small/small.npz",))
    assert equals(find_images(small, None), values)
    assert [path.name for path in (empty_cache / "small").iterdir()] == ["small.npz"]


def test_message_of_a_failed_download_gives_advice(served, empty_cache, monkeypatch):
    _, address = served
    small = public_set(arrays(), mirrors=(address + "missing/", "http://127.0.0.1:9/"))
    advice = rf"put train-images-idx3-ubyte.gz .* or small.npz, into {empty_cache / 'small'}, or set SPINODE_DATA"
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(ConfigError, match=f"(?i)without pooch .*{advice}"):
        find_images(small, None)
    monkeypatch.undo()
    monkeypatch.setattr(find, "cache_folder", lambda: empty_cache)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    pytest.importorskip("pooch")
    with pytest.raises(
        ConfigError, match=f"(?i)could not be downloaded .*404.*127.0.0.1:9/train-images-idx3-ubyte.gz: no connection.*{advice}"
    ):
        find_images(small, None)
    assert not list((empty_cache / "small").iterdir())


# The real data sets


@pytest.fixture(scope="module")
def folder(shared):
    path = shared / "data" / "images"
    if not path.is_dir():
        pytest.skip(f"no images at {path}")
    return path


# MD5 of the IDX files as published with the data sets; mean and standard deviation of the pixels as commonly published.
PUBLISHED = {
    mnist: (
        (
            "6bbc9ace898e44ae57da46a324031adb",
            "a25bea736e30d166cdddb491f175f624",
            "2646ac647ad5339dbf082846283269ea",
            "27ae3e4e09519cfbb04c329615203637",
        ),
        (0.1307, 0.3081),
        (60000, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]),
    ),
    fashion_mnist: (("f4a8712d", None, "8181f547", None), (0.2860, 0.3530), (60000, [6000] * 10)),
}


@pytest.mark.parametrize("load", PUBLISHED)
def test_real_sets_are_the_published_ones(folder, load):
    images = load(folder)
    sums, (mean, deviation), (count, per_class) = PUBLISHED[load]
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    for tensor, md5 in zip(parts, sums, strict=True):
        if md5:
            assert hashlib.md5(idx_bytes(tensor.to(torch.uint8).numpy())).hexdigest().startswith(md5)
    assert len(images.train_labels) == count
    assert torch.bincount(images.train_labels).tolist() == per_class
    pixels = images.train_set()[0]
    assert float(pixels.mean()) == pytest.approx(mean, abs=5e-5)
    assert float(pixels.std()) == pytest.approx(deviation, abs=5e-5)


def test_mnist_from_idx_files_equals_mnist_from_the_archive(folder, tmp_path, empty_cache):
    images = mnist(folder)
    parts = (images.train_images, images.train_labels, images.test_images, images.test_labels)
    raw = save_idx(tmp_path / "MNIST" / "raw", [part.to(torch.uint8).numpy() for part in parts], ending="")
    assert torch.equal(mnist(tmp_path).train_images, images.train_images)
    for name in IDX_FILES:  # files of Fashion-MNIST have the same names; these must not be mistaken for them
        (raw / name).rename(tmp_path / name)
    assert torch.equal(mnist(tmp_path).test_labels, images.test_labels)
    assert fashion_mnist(folder).name == "Fashion-MNIST"
