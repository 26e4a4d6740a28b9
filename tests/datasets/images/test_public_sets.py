"""Public sets of images: search and recognition, download, and the published data."""

from __future__ import annotations

import hashlib
import http.server
import runpy
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spinode.datasets import Images, fashion_mnist, mnist
from spinode.datasets.images import find
from spinode.datasets.images.find import IDX_FILES, PublicSet, find_images
from spinode.datasets.images.idx import idx_sha256
from spinode.errors import ConfigError, FileFormatError

image_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("image_files.py"))))
arrays, idx_bytes, save_npz, save_idx = (getattr(image_files, name) for name in ("arrays", "idx_bytes", "save_npz", "save_idx"))


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
