"""`Images`: accepted and refused arrays, normalisations, shapes."""

from __future__ import annotations

import gc
import runpy
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from spinode.datasets import images_from_arrays, made_digits
from spinode.errors import ConfigError
from spinode.experiments.registry import make_stream

image_files = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("image_files.py"))))
arrays = image_files.arrays


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

    alive = weakref.ref(images)
    assert images in _INPUTS
    del images
    gc.collect()
    assert alive() is None  # the cache refers weakly to its keys, and its values do not refer to them


def test_test_images_alone():
    images = made_digits(train=20, test=12)
    alone = images.test_alone(8)
    assert torch.equal(torch.cat([alone.train_images, alone.test_images]), images.test_images)
    assert (len(alone.train_labels), len(alone.test_labels)) == (8, 4)
    with pytest.raises(ConfigError, match="train of the test images"):
        images.test_alone(12)
    stream = make_stream("made-digits", {"test_alone": 400}, tasks=1, seed=0)
    assert len(stream[0]) == 400
