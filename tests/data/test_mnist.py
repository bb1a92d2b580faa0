import gzip
import re
import struct

import numpy as np
import pytest

from xpnet.data import _mnist, fashion_mnist, mnist

NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
LOADERS = pytest.mark.parametrize("load", [mnist, fashion_mnist])


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def arrays():
    generator = np.random.default_rng(0)
    return {
        NAMES[0]: generator.integers(0, 256, (30, 28, 28), dtype=np.uint8),
        NAMES[1]: generator.integers(0, 10, 30, dtype=np.uint8),
        NAMES[2]: generator.integers(0, 256, (20, 28, 28), dtype=np.uint8),
        NAMES[3]: generator.integers(0, 10, 20, dtype=np.uint8),
    }


@pytest.fixture
def folder(tmp_path, arrays):
    for name, array in arrays.items():
        (tmp_path / name).write_bytes(idx(array))
    return tmp_path


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    def download(urls, path, sha256, *, limit):
        raise AssertionError(f"{urls} asked for")

    monkeypatch.setattr(_mnist, "download", download)


@LOADERS
def test_values(load, folder, arrays):
    (x, t), (x_test, t_test) = load(folder)
    assert x.dtype == x_test.dtype == np.float32
    assert t.dtype == t_test.dtype == np.int64
    np.testing.assert_array_equal(x, arrays[NAMES[0]].reshape(30, 784) / np.float32(255))
    np.testing.assert_array_equal(t, arrays[NAMES[1]])
    np.testing.assert_array_equal(x_test, arrays[NAMES[2]].reshape(20, 784) / np.float32(255))
    np.testing.assert_array_equal(t_test, arrays[NAMES[3]])
    assert x.min() == 0.0
    assert x.max() == 1.0


@LOADERS
def test_images_have_one_channel_last(load, folder):
    for (flat, _), (images, _) in zip(load(folder), load(folder, flat=False), strict=True):
        assert images.shape == (len(flat), 28, 28, 1)
        np.testing.assert_array_equal(images.reshape(-1, 784), flat)


def test_compressed_files_are_found(folder, arrays):
    expected = mnist(folder)
    for name in NAMES[1:]:
        (folder / name).unlink()
        (folder / f"{name}.gz").write_bytes(gzip.compress(idx(arrays[name])))
    for split, split_expected in zip(mnist(str(folder)), expected, strict=True):
        for array, array_expected in zip(split, split_expected, strict=True):
            np.testing.assert_array_equal(array, array_expected)


def test_home_folder_is_expanded(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder.parent))
    assert mnist(f"~/{folder.name}")[0][0].shape == (30, 784)


@pytest.mark.parametrize(
    ("load", "source", "mirrors"),
    [
        (
            mnist,
            _mnist._MNIST,
            ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
        ),
        (
            fashion_mnist,
            _mnist._FASHION_MNIST,
            [
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
                "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
            ],
        ),
    ],
)
def test_only_missing_files_are_downloaded(load, source, mirrors, folder, arrays, monkeypatch):
    asked = []

    def download(urls, path, sha256, *, limit):
        asked.append((urls, path, sha256, limit))
        path.write_bytes(gzip.compress(idx(arrays[path.name.removesuffix(".gz")])))

    monkeypatch.setattr(_mnist, "download", download)
    for name in NAMES[2:]:
        (folder / name).unlink()
    assert load(folder)[1][0].shape == (20, 784)
    assert asked == [
        ([f"{mirror}{name}.gz" for mirror in mirrors], folder / f"{name}.gz", source.checksums[name], 64 << 20)
        for name in NAMES[2:]
    ]
    load(folder)
    assert len(asked) == 2


def test_checksums_are_eight_different_ones():
    checksums = [*_mnist._MNIST.checksums.values(), *_mnist._FASHION_MNIST.checksums.values()]
    assert len(set(checksums)) == 8
    assert all(re.fullmatch("[0-9a-f]{64}", checksum) for checksum in checksums)
    assert tuple(_mnist._MNIST.checksums) == tuple(_mnist._FASHION_MNIST.checksums) == NAMES


@LOADERS
def test_without_network_the_message_says_what_to_put_where(load, folder, monkeypatch):
    def download(urls, path, sha256, *, limit):
        raise ConnectionError(f"{path.name} could not be downloaded: reasons")

    monkeypatch.setattr(_mnist, "download", download)
    for name in NAMES[1:]:
        (folder / name).unlink()
    message = (
        "train-labels-idx1-ubyte.gz could not be downloaded: reasons\n"
        f"{load.__name__} needs in the folder {folder}: train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, "
        "t10k-labels-idx1-ubyte.gz"
    )
    with pytest.raises(ConnectionError, match=f"^{re.escape(message)}$"):
        load(folder)


def test_files_that_do_not_belong_together(folder, arrays):
    def refuse(name, array, message):
        (folder / name).write_bytes(idx(array))
        with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
            mnist(folder)
        (folder / name).write_bytes(idx(arrays[name]))

    images, labels = folder / NAMES[0], folder / NAMES[1]
    eight = np.zeros((30, 8, 8), np.uint8)
    refuse(NAMES[0], eight, f"{images}: images have shape (30, 8, 8), expected (n, 28, 28)")
    refuse(NAMES[0], arrays[NAMES[1]], f"{images}: images have shape (30,), expected (n, 28, 28)")
    refuse(NAMES[1], arrays[NAMES[0]], f"{labels}: labels have shape (30, 28, 28), expected (n,)")
    message = f"{images} holds 30 images, {labels} 20 labels, expected equal numbers"
    refuse(NAMES[1], arrays[NAMES[3]], message)
    wrong = arrays[NAMES[1]].copy()
    wrong[17] = 10
    refuse(NAMES[1], wrong, f"{labels}: label 17 is 10, expected 0 to 9")
    assert mnist(folder)[0][0].shape == (30, 784)


def test_damaged_file_is_named(folder):
    path = folder / NAMES[2]
    path.write_bytes(path.read_bytes()[:-1])
    message = f"{path}: dimensions (20, 28, 28) need 15696 bytes, the file can hold at most 15695"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        mnist(folder)
