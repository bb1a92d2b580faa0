"""Where the windows of a kernel lie: the geometry that convolution and pooling share."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xpnet._typing import Shape

Index = tuple[Any, ...]


@dataclass(frozen=True)
class Windows:
    """Windows of a kernel, at regular places on the spatial axes of (n, *size, channels).

    Window o of an axis holds the elements  o · stride + t · dilation - before,  for t = 0, …, kernel - 1. Those
    outside 0, …, size - 1 are padding.

    Parameters
    ----------
    size : lengths of the input's spatial axes.
    kernel, stride, dilation : one for each of these axes.
    before : how far the first window begins before the first element; negative where it begins after it.
    output : number of windows on each axis.

    Examples
    --------
    >>> windows = Windows((5,), (3,), (2,), (1,), before=(1,), output=(3,))
    >>> windows.reach, windows.pixels, windows.taps
    ((7,), 3, 3)
    >>> [tap[1] for tap in windows.slices()]
    [slice(0, 5, 2), slice(1, 6, 2), slice(2, 7, 2)]
    """

    size: Shape
    kernel: Shape
    stride: Shape
    dilation: Shape
    before: Shape
    output: Shape

    @cached_property
    def reach(self) -> Shape:
        """Number of elements, padding included, from the first window's begin to the last one's end."""
        axes = zip(self.kernel, self.stride, self.dilation, self.output, strict=True)
        return tuple((out - 1) * stride + (kernel - 1) * dilation + 1 for kernel, stride, dilation, out in axes)

    @cached_property
    def taps(self) -> int:
        """Number of elements of one window."""
        return math.prod(self.kernel)

    @cached_property
    def pixels(self) -> int:
        """Number of windows in one example."""
        return math.prod(self.output)

    @cached_property
    def padded(self) -> bool:
        """Whether the windows see anything but exactly the input."""
        return any(self.before) or self.reach != self.size

    @cached_property
    def trivial(self) -> bool:
        """Whether each element is a window of its own, so that gathering is a change of shape."""
        return self.taps == 1 and not self.padded and self.output == self.size

    def slices(self) -> Iterator[Index]:
        """For each element of a window, in row-major order, where all windows find it in the padded input."""
        axes = zip(self.kernel, self.stride, self.dilation, self.output, strict=True)
        places = [
            [slice(t * dilation, t * dilation + (out - 1) * stride + 1, stride) for t in range(kernel)]
            for kernel, stride, dilation, out in axes
        ]
        for place in itertools.product(*places):
            yield (slice(None), *place, ...)

    def strided(self, shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
        """Shape and strides that show a padded input as (n, *output, *kernel, channels) without a copy."""
        apart = tuple(step * stride for step, stride in zip(self.stride, strides[1:-1], strict=True))
        within = tuple(step * stride for step, stride in zip(self.dilation, strides[1:-1], strict=True))
        return (
            (shape[0], *self.output, *self.kernel, shape[-1]),
            (strides[0], *apart, *within, strides[-1]),
        )

    def overlap(self) -> tuple[Index, Index]:
        """What the padded and the plain input share, as places in either."""
        inside, outside = [slice(None)], [slice(None)]  # the batch
        for size, before, reach in zip(self.size, self.before, self.reach, strict=True):
            start = min(size, max(0, -before))
            stop = max(start, min(size, reach - before))
            inside.append(slice(start + before, stop + before))
            outside.append(slice(start, stop))
        return (*inside, ...), (*outside, ...)
