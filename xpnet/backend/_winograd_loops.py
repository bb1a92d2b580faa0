"""The transforms of Winograd's F(4×4, 3×3), compiled by Numba: a tile's 6 × 6 pixels, or 4 × 4 results, and 36 planes.

A tile is transformed in a small buffer, for some channels at a time, along one axis and then along the other.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from xpnet.backend._loops import OPTIONS, compiled

LANES = 64
"""Channels that are transformed at once."""


def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    formula: Callable[..., Any] = numba.njit(function, inline="always")
    return formula


@compiled
def _load_pixels(tile: Any, x: Any, i: int, top: int, left: int, size: int, first: int) -> None:
    """size × size pixels of channels first, first + 1, … into the tile, zeros outside."""
    _, height, width, channels = x.shape
    flat, lanes = x.reshape(-1), min(LANES, channels - first)
    for row in range(size):
        for column in range(size):
            y, x_ = top + row, left + column
            to = np.uintp((row * 6 + column) * LANES)
            if 0 <= y < height and 0 <= x_ < width:
                at = np.uintp(((i * height + y) * width + x_) * channels + first)
                if lanes == LANES:
                    for lane in range(np.uintp(LANES)):
                        tile[to + lane] = flat[at + lane]
                else:
                    for lane in range(np.uintp(lanes)):
                        tile[to + lane] = flat[at + lane]
            else:
                for lane in range(np.uintp(LANES)):
                    tile[to + lane] = 0.0


@compiled
def _add_pixels(x: Any, tile: Any, i: int, top: int, left: int, size: int, first: int) -> None:
    """The tile's size × size pixels added to those inside x."""
    _, height, width, channels = x.shape
    flat, lanes = x.reshape(-1), min(LANES, channels - first)
    for row in range(size):
        for column in range(size):
            y, x_ = top + row, left + column
            if 0 <= y < height and 0 <= x_ < width:
                to = np.uintp(((i * height + y) * width + x_) * channels + first)
                at = np.uintp((row * 6 + column) * LANES)
                if lanes == LANES:
                    for lane in range(np.uintp(LANES)):
                        flat[to + lane] += tile[at + lane]
                else:
                    for lane in range(np.uintp(lanes)):
                        flat[to + lane] += tile[at + lane]


@compiled
def _load_planes(tile: Any, planes: Any, number: int, first: int) -> None:
    _, tiles, channels = planes.shape
    flat, lanes = planes.reshape(-1), min(LANES, channels - first)
    for plane in range(36):
        to, at = np.uintp(plane * LANES), np.uintp((plane * tiles + number) * channels + first)
        if lanes == LANES:
            for lane in range(np.uintp(LANES)):
                tile[to + lane] = flat[at + lane]
        else:
            for lane in range(np.uintp(lanes)):
                tile[to + lane] = flat[at + lane]


@compiled
def _store_planes(planes: Any, tile: Any, number: int, first: int) -> None:
    _, tiles, channels = planes.shape
    flat, lanes = planes.reshape(-1), min(LANES, channels - first)
    for plane in range(36):
        to, at = np.uintp((plane * tiles + number) * channels + first), np.uintp(plane * LANES)
        if lanes == LANES:
            for lane in range(np.uintp(LANES)):
                flat[to + lane] = tile[at + lane]
        else:
            for lane in range(np.uintp(lanes)):
                flat[to + lane] = tile[at + lane]


@_inlined
def _input(d0: Any, d1: Any, d2: Any, d3: Any, d4: Any, d5: Any) -> Any:
    """Bᵀ d"""
    a, b, c, d = d4 - 4 * d2, d3 - 4 * d1, d4 - d2, 2 * (d3 - d1)
    return 4 * d0 - 5 * d2 + d4, a + b, a - b, c + d, c - d, 4 * d1 - 5 * d3 + d5


@_inlined
def _input_adjoint(v0: Any, v1: Any, v2: Any, v3: Any, v4: Any, v5: Any) -> Any:
    """B v"""
    a, b, c, d = v1 + v2, v1 - v2, v3 + v4, 2 * (v3 - v4)
    return 4 * v0, 4 * (v5 - b) - d, -5 * v0 - 4 * a - c, b + d - 5 * v5, v0 + a + c, v5


@_inlined
def _output(m0: Any, m1: Any, m2: Any, m3: Any, m4: Any, m5: Any) -> Any:
    """Aᵀ m, and two that do not count"""
    a, b, c, d = m1 + m2, m1 - m2, m3 + m4, m3 - m4
    return m0 + a + c, b + 2 * d, a + 4 * c, b + 8 * d + m5, m0, m0


@_inlined
def _output_adjoint(y0: Any, y1: Any, y2: Any, y3: Any, _4: Any, _5: Any) -> Any:
    """A y, of four that count"""
    a, b, c, d = y0 + y2, y1 + y3, y0 + 4 * y2, 2 * y1 + 8 * y3
    return y0, a + b, a - b, c + d, c - d, y3


def _transform(formula: Callable[..., Any]) -> Callable[..., Any]:
    """The formula along both axes of a tile."""

    def both(tile: Any, half: Any) -> None:
        for e in range(6 * LANES):
            (
                half[e],
                half[e + 6 * LANES],
                half[e + 12 * LANES],
                half[e + 18 * LANES],
                half[e + 24 * LANES],
                half[e + 30 * LANES],
            ) = formula(
                tile[e],
                tile[e + 6 * LANES],
                tile[e + 12 * LANES],
                tile[e + 18 * LANES],
                tile[e + 24 * LANES],
                tile[e + 30 * LANES],
            )
        for row in range(np.uintp(6)):
            for lane in range(np.uintp(LANES)):
                f = row * np.uintp(6 * LANES) + lane
                (
                    tile[f],
                    tile[f + LANES],
                    tile[f + 2 * LANES],
                    tile[f + 3 * LANES],
                    tile[f + 4 * LANES],
                    tile[f + 5 * LANES],
                ) = formula(
                    half[f],
                    half[f + LANES],
                    half[f + 2 * LANES],
                    half[f + 3 * LANES],
                    half[f + 4 * LANES],
                    half[f + 5 * LANES],
                )

    loop: Callable[..., Any] = numba.njit(both, **OPTIONS)  # what calls it is kept, and holds its code
    return loop


_to_input, _from_input = _transform(_input), _transform(_input_adjoint)
_to_output, _from_output = _transform(_output), _transform(_output_adjoint)


@compiled
def tiles_to_planes(planes: Any, x: Any, top: int, left: int, rows: int, columns: int) -> None:
    """Bᵀ d B of each 6 × 6 tile: (n, height, width, c) -> (36, n · rows · columns, c)."""
    tile, half = np.empty(36 * LANES, x.dtype), np.empty(36 * LANES, x.dtype)
    for i in range(x.shape[0]):
        for row in range(rows):
            for column in range(columns):
                number = (i * rows + row) * columns + column
                for first in range(0, x.shape[3], LANES):
                    _load_pixels(tile, x, i, row * 4 - top, column * 4 - left, 6, first)
                    _to_input(tile, half)
                    _store_planes(planes, tile, number, first)


@compiled
def planes_to_tiles(x: Any, planes: Any, top: int, left: int, rows: int, columns: int) -> None:
    """The adjoint of `tiles_to_planes`."""
    tile, half = np.empty(36 * LANES, x.dtype), np.empty(36 * LANES, x.dtype)
    x[...] = 0.0
    for i in range(x.shape[0]):
        for row in range(rows):
            for column in range(columns):
                number = (i * rows + row) * columns + column
                for first in range(0, x.shape[3], LANES):
                    _load_planes(tile, planes, number, first)
                    _from_input(tile, half)
                    _add_pixels(x, tile, i, row * 4 - top, column * 4 - left, 6, first)


@compiled
def planes_to_results(y: Any, planes: Any, rows: int, columns: int) -> None:
    """Aᵀ m A of each tile, its 4 × 4 results: (36, n · rows · columns, c) -> (n, height, width, c)."""
    tile, half = np.empty(36 * LANES, y.dtype), np.empty(36 * LANES, y.dtype)
    y[...] = 0.0
    for i in range(y.shape[0]):
        for row in range(rows):
            for column in range(columns):
                number = (i * rows + row) * columns + column
                for first in range(0, y.shape[3], LANES):
                    _load_planes(tile, planes, number, first)
                    _to_output(tile, half)
                    _add_pixels(y, tile, i, row * 4, column * 4, 4, first)


@compiled
def results_to_planes(planes: Any, dy: Any, rows: int, columns: int) -> None:
    """The adjoint of `planes_to_results`."""
    tile, half = np.zeros(36 * LANES, dy.dtype), np.empty(36 * LANES, dy.dtype)
    for i in range(dy.shape[0]):
        for row in range(rows):
            for column in range(columns):
                number = (i * rows + row) * columns + column
                for first in range(0, dy.shape[3], LANES):
                    _load_pixels(tile, dy, i, row * 4, column * 4, 4, first)
                    _from_output(tile, half)
                    _store_planes(planes, tile, number, first)
