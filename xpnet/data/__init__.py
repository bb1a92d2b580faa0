"""Data sets, files of numbers and scaling, all as NumPy arrays on the host; and batches, on the backend and augmented.

Every data set is returned as `(x, t), (x_test, t_test)`: inputs and targets to train with, and to test with.
"""

from xpnet.data._augment import Augmentation, RandomCrop, RandomFlip, random_bits
from xpnet.data._batches import Batches, batches
from xpnet.data._cifar import CIFAR10_CLASSES, cifar10
from xpnet.data._csv import read_csv
from xpnet.data._digits import digits
from xpnet.data._idx import read_idx
from xpnet.data._mnist import fashion_mnist, mnist
from xpnet.data._polynomial import polynomial
from xpnet.data._resident import resident_bytes
from xpnet.data._scale import MinMax, Standardize
from xpnet.data._share import Share
from xpnet.data._sine import sine

__all__ = [
    "CIFAR10_CLASSES",
    "Augmentation",
    "Batches",
    "MinMax",
    "RandomCrop",
    "RandomFlip",
    "Share",
    "Standardize",
    "batches",
    "cifar10",
    "digits",
    "fashion_mnist",
    "mnist",
    "polynomial",
    "random_bits",
    "read_csv",
    "read_idx",
    "resident_bytes",
    "sine",
]
