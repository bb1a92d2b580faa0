"""MNIST and Fashion-MNIST, read from a folder and downloaded into it where they are missing."""

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from xpnet.data._download import download
from xpnet.data._idx import read_idx

_LARGEST_FILE = 64 << 20  # bytes; the largest that the mirrors hold has 26 MB


@dataclass(frozen=True)
class _Source:
    function: str
    mirrors: tuple[str, ...]
    checksums: dict[str, str]  # from a file's name without .gz to the SHA-256 of the compressed file


_MNIST = _Source(
    function="mnist",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    checksums={
        "train-images-idx3-ubyte": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
_FASHION_MNIST = _Source(
    function="fashion_mnist",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    checksums={
        "train-images-idx3-ubyte": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "train-labels-idx1-ubyte": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "t10k-images-idx3-ubyte": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "t10k-labels-idx1-ubyte": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)

_Split = tuple[NDArray[np.float32], NDArray[np.int64]]


def mnist(folder: str | os.PathLike[str], *, flat: bool = True) -> tuple[_Split, _Split]:
    """Return MNIST: 60 000 handwritten digits of 28x28 pixels to train with and 10 000 to test with.

    The four files `train-images-idx3-ubyte`, `train-labels-idx1-ubyte`, `t10k-images-idx3-ubyte` and
    `t10k-labels-idx1-ubyte` are read from the folder, with or without the ending `.gz`. torchvision's folder
    `MNIST/raw` has them under these names. Those missing are downloaded into the folder, 12 MB in all, and their
    checksums compared. Several processes may call at once: one downloads, the others wait.

    Parameters
    ----------
    folder : where the files are or shall be; `~` is the home folder.
    flat : True for images as vectors of 784 features, False for images of one channel, channels last.

    Returns
    -------
    `(x, t), (x_test, t_test)`: host arrays. x is float32 in [0, 1] (0 is paper, 1 is ink), of shape (n, 784)
    or (n, 28, 28, 1); t is int64 of shape (n,) with the labels 0 to 9.

    Raises
    ------
    ConnectionError : files are missing and cannot be downloaded; the message says which to put where.
    ValueError : a file is damaged, or images and labels do not belong together.
    OSError : a file cannot be read or written.

    Examples
    --------
    With a folder that holds two images instead of 60 000:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "t10k"):
    ...         images = bytes([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(2 * 28 * 28)
    ...         _ = (Path(folder) / f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         labels = bytes([0, 0, 8, 1, 0, 0, 0, 2]) + bytes([7, 2])
    ...         _ = (Path(folder) / f"{part}-labels-idx1-ubyte").write_bytes(labels)
    ...     (x, t), (x_test, t_test) = mnist(folder)
    >>> x.shape, t
    ((2, 784), array([7, 2]))

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
    Proceedings of the IEEE 86 (1998).
    """
    return _load(_MNIST, folder, flat)


def fashion_mnist(folder: str | os.PathLike[str], *, flat: bool = True) -> tuple[_Split, _Split]:
    """Return Fashion-MNIST: 60 000 pictures of clothes of 28x28 pixels to train with and 10 000 to test with.

    It has MNIST's file names and shapes, so it needs a folder of its own. Missing files are downloaded into it,
    31 MB in all. The labels 0 to 9 are: T-shirt or top, trousers, pullover, dress, coat, sandal, shirt, sneaker,
    bag, ankle boot.

    Parameters
    ----------
    folder : where the files are or shall be; `~` is the home folder.
    flat : True for images as vectors of 784 features, False for images of one channel, channels last.

    Returns
    -------
    `(x, t), (x_test, t_test)`, as `mnist` returns them.

    Raises
    ------
    ConnectionError : files are missing and cannot be downloaded; the message says which to put where.
    ValueError : a file is damaged, or images and labels do not belong together.
    OSError : a file cannot be read or written.

    Examples
    --------
    With a folder that holds one image instead of 60 000:
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for part in ("train", "t10k"):
    ...         images = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28]) + bytes(28 * 28)
    ...         _ = (Path(folder) / f"{part}-images-idx3-ubyte").write_bytes(images)
    ...         _ = (Path(folder) / f"{part}-labels-idx1-ubyte").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 1, 9]))
    ...     (x, t), (x_test, t_test) = fashion_mnist(folder, flat=False)
    >>> x.shape, t
    ((1, 28, 28, 1), array([9]))

    References
    ----------
    H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking machine learning
    algorithms", arXiv:1708.07747 (2017).
    """
    return _load(_FASHION_MNIST, folder, flat)


def _load(source: _Source, folder: str | os.PathLike[str], flat: bool) -> tuple[_Split, _Split]:
    folder = Path(folder).expanduser()
    _complete(source, folder)
    train_images, train_labels, test_images, test_labels = (_local(folder, name) for name in source.checksums)
    return _read_split(train_images, train_labels, flat), _read_split(test_images, test_labels, flat)


def _local(folder: Path, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _complete(source: _Source, folder: Path) -> None:
    missing = [name for name in source.checksums if not _local(folder, name).is_file()]
    for i, name in enumerate(missing):
        urls = [f"{mirror}{name}.gz" for mirror in source.mirrors]
        try:
            download(urls, folder / f"{name}.gz", source.checksums[name], limit=_LARGEST_FILE)
        except ConnectionError as error:
            needed = ", ".join(f"{name}.gz" for name in missing[i:])
            raise ConnectionError(f"{error}\n{source.function} needs in the folder {folder}: {needed}") from error


def _read_split(images_path: Path, labels_path: Path, flat: bool) -> _Split:
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.ndim != 3 or images.shape[1:] != (28, 28):
        raise ValueError(f"{images_path}: images have shape {images.shape}, expected (n, 28, 28)")
    if labels.ndim != 1:
        raise ValueError(f"{labels_path}: labels have shape {labels.shape}, expected (n,)")
    if len(images) != len(labels):
        raise ValueError(
            f"{images_path} holds {len(images)} images, {labels_path} {len(labels)} labels, expected equal numbers"
        )
    largest = int(labels.argmax())
    if labels[largest] > 9:
        raise ValueError(f"{labels_path}: label {largest} is {labels[largest]}, expected 0 to 9")
    x = images.astype(np.float32)
    x /= 255.0
    x = x.reshape(-1, 784) if flat else x[..., np.newaxis]  # (n, 28, 28) -> (n, 784) or (n, 28, 28, 1)
    return x, labels.astype(np.int64)
