"""Windows of channels-first images as the rows of a matrix, and back."""

from typing import Any

import numpy as np


def im2col(x: Any, size: int, stride: int, padding: int, fill: float = 0.0) -> tuple[Any, int, int]:
    """(n, c, h, w) -> (n * height * width, c * size * size), and the height and width of the output."""
    n, channels, h, w = x.shape
    height, width = ((length + 2 * padding - size) // stride + 1 for length in (h, w))
    padded = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=fill)
    windows = np.empty((n, channels, size, size, height, width), x.dtype)
    for i in range(size):
        for j in range(size):
            windows[:, :, i, j] = padded[:, :, i : i + stride * height : stride, j : j + stride * width : stride]
    return windows.transpose(0, 4, 5, 1, 2, 3).reshape(n * height * width, -1), height, width


def col2im(columns: Any, shape: tuple[int, ...], size: int, stride: int, padding: int) -> Any:
    """The sum of all windows in their places: the gradient of `im2col`."""
    n, channels, h, w = shape
    height, width = ((length + 2 * padding - size) // stride + 1 for length in (h, w))
    windows = columns.reshape(n, height, width, channels, size, size).transpose(0, 3, 4, 5, 1, 2)
    padded = np.zeros((n, channels, h + 2 * padding + stride, w + 2 * padding + stride), columns.dtype)
    for i in range(size):
        for j in range(size):
            padded[:, :, i : i + stride * height : stride, j : j + stride * width : stride] += windows[:, :, i, j]
    return padded[:, :, padding : padding + h, padding : padding + w]
