"""CIFAR-10, on made files in its binary format; the published files are at hand on few machines."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest

from spinode.datasets import cifar10, read_cifar10
from spinode.datasets.images import cifar, find
from spinode.errors import ConfigError, FileFormatError

SAMPLES = 4


def made_files(seed=0):
    """Return the six files with few records each, written according to the description of the format."""
    draw = np.random.default_rng(seed)
    files = {}
    for name in cifar.SHA1:
        records = [bytes([i % 10]) + draw.integers(0, 256, 3072, dtype=np.uint8).tobytes() for i in range(SAMPLES)]
        files[name] = b"".join(records)
    return files


def save_folder(folder, files):
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def save_archive(path, files):
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"batches.meta.txt": b"airplane\n", **files}.items():
            member = tarfile.TarInfo(f"{cifar.FOLDER}/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.mark.parametrize("save", [save_folder, save_archive])
def test_records_become_images(tmp_path, save):
    files = made_files()
    images = read_cifar10(save(tmp_path / "made" / "cifar", files), verify=False)
    assert (len(images.train_labels), len(images.test_labels), images.classes) == (5 * SAMPLES, SAMPLES, 10)
    assert images.shape(flatten=False) == (3, 32, 32)
    inputs, labels = images.test_set(flatten=False)
    record = np.frombuffer(files["test_batch.bin"], np.uint8).reshape(SAMPLES, -1)[2]
    assert int(labels[2]) == record[0] == 2
    # red, row 1, column 3; then the last pixel of blue
    np.testing.assert_allclose(float(inputs[2, 0, 1, 3]), record[1 + 32 + 3] / 255, rtol=1e-6)
    np.testing.assert_allclose(float(inputs[2, 2, 31, 31]), record[-1] / 255, rtol=1e-6)
    second = np.frombuffer(files["data_batch_2.bin"], np.uint8).reshape(SAMPLES, -1)
    assert images.train_labels[SAMPLES : 2 * SAMPLES].tolist() == second[:, 0].tolist()


@pytest.fixture
def made(monkeypatch, tmp_path):
    """Return made files that count as CIFAR-10, on a machine without data sets."""
    files = made_files()
    sums = {name: hashlib.sha1(content).hexdigest() for name, content in files.items()}
    monkeypatch.setattr(cifar, "SHA1", sums)
    monkeypatch.delenv("SPINODE_DATA", raising=False)
    for module in (find, cifar):
        monkeypatch.setattr(module, "cache_folder", lambda: tmp_path / "cache")
    return files


def test_the_set_is_found_and_verified(made, tmp_path, monkeypatch):
    save_archive(tmp_path / "data" / cifar.ARCHIVE, made)
    save_folder(tmp_path / "variable" / cifar.FOLDER, made)
    assert len(cifar10(tmp_path / "data").train_labels) == 5 * SAMPLES
    monkeypatch.setenv("SPINODE_DATA", str(tmp_path / "variable"))
    assert len(cifar10().test_labels) == SAMPLES
    changed = tmp_path / "variable" / cifar.FOLDER / "data_batch_3.bin"
    changed.write_bytes(changed.read_bytes()[:-1] + b"\0")
    with pytest.raises(FileFormatError, match=r"data_batch_3.bin of .* is not that of CIFAR-10: its SHA-1 is .* modified"):
        cifar10()


def test_a_set_that_is_nowhere_is_explained(made, tmp_path, monkeypatch):
    def refuse(address, path):
        raise OSError("no network here")

    monkeypatch.setattr("spinode.datasets.images.fetch._download", refuse)
    (tmp_path / "data" / "cifar-10-batches-py").mkdir(parents=True)
    with pytest.raises(
        ConfigError, match=r"no network here.*has the Python version, pickles that are not read.*Put cifar-10-bin"
    ):
        cifar10(tmp_path / "data")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.pop("data_batch_4.bin"), "lacks data_batch_4.bin"),
        (
            lambda files: files.update({"test_batch.bin": files["test_batch.bin"][:-1]}),
            "has 12291 bytes; expected whole records",
        ),
        (lambda files: files.update({"test_batch.bin": b""}), "has 0 bytes"),
        (lambda files: files.update({"test_batch.bin": b"\x0a" + files["test_batch.bin"][1:]}), "a record of class 10"),
    ],
)
def test_damaged_files_are_refused(tmp_path, change, message):
    files = made_files()
    change(files)
    with pytest.raises(FileFormatError, match=message):
        read_cifar10(save_folder(tmp_path / "made", files), verify=False)


def test_a_truncated_archive_is_refused(tmp_path):
    path = save_archive(tmp_path / "cifar.tar.gz", made_files())
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FileFormatError, match="is truncated or damaged"):
        read_cifar10(path)


def test_the_published_files():
    """Balanced classes, and the means that are commonly published, where the files are at hand."""
    folder = Path(os.environ.get("SPINODE_DATA", "nowhere"))
    files = [path for path in (folder / cifar.FOLDER, folder / cifar.ARCHIVE) if path.exists()]
    if not files:
        pytest.skip("no published files of CIFAR-10 in $SPINODE_DATA")
    images = read_cifar10(files[0])
    assert images.train_labels.bincount().tolist() == [5000] * 10
    means = images.train_set(flatten=False)[0].double().mean((0, 2, 3))
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=1e-4)
