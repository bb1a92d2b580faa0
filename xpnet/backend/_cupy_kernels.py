"""CUDA kernels for windows: each seam of convolution and pooling in one launch.

A thread computes one element of the result, and adjacent threads walk along the channels, so that they read and write
side by side. What overlapping windows send to one element is summed up by that element's thread, so nothing is written
from two threads, and results are the same from run to run. float16 is summed up in float32. Indices are 32-bit where
each array has fewer than 2³¹ elements, else 64-bit.

The texts are generated for a number of spatial axes; sizes are arguments, so one compiled kernel serves all of them.
"""

import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from xpnet._typing import Array
from xpnet.backend._windows import Windows
from xpnet.backend._winograd_seams import WinogradSeams

_LOWEST = np.float32(-np.inf)
_GEOMETRY = ("size", "kernel", "stride", "dilation", "before", "output")
_LARGE = 2**31
"""Elements from which an index needs 64 bits."""


class WindowKernels(WinogradSeams):
    """The seams of `WindowSeams` by kernels that are compiled when they are first asked for."""

    _cupy: Any

    def gather(self, x: Array, windows: Windows) -> Array:
        n, channels = x.shape[0], x.shape[-1]
        if windows.trivial:
            return super().gather(x, windows)
        rows = self.empty((n * windows.pixels, windows.taps * channels), x)
        self._launch("gather", windows, channels, rows, x)
        return rows

    def spread(self, rows: Array, windows: Windows, out: Array) -> None:
        self._launch("spread", windows, out.shape[-1], out, rows)

    def window_max(self, x: Array, windows: Windows) -> Array:
        y = self.empty((x.shape[0], *windows.output, x.shape[-1]), x)
        self._launch("window_max", windows, x.shape[-1], y, x, _LOWEST)
        return y

    def window_max_gradient(self, dy: Array, x: Array, y: Array, windows: Windows) -> Array:
        dx = self.empty(x.shape, dy)
        self._launch("window_max_gradient", windows, x.shape[-1], dx, dy, x, y)
        return dx

    def window_sum(self, x: Array, windows: Windows) -> Array:
        y = self.empty((x.shape[0], *windows.output, x.shape[-1]), x)
        self._launch("window_sum", windows, x.shape[-1], y, x)
        return y

    def window_sum_gradient(self, dy: Array, windows: Windows) -> Array:
        dx = self.empty((dy.shape[0], *windows.size, dy.shape[-1]), dy)
        self._launch("window_sum_gradient", windows, dx.shape[-1], dx, dy)
        return dx

    def _launch(self, name: str, windows: Windows, channels: int, out: Array, *inputs: Any) -> None:
        """Runs a kernel with a thread for each element of `out`."""
        if out.size == 0:
            return
        sizes = [axis for field in _GEOMETRY for axis in getattr(windows, field)]
        parameters = {"axes": len(windows.size), **number_types(out, *inputs)}
        self._kernel(_window_kernel, name, **parameters)(*inputs, *sizes, channels, out, size=out.size)

    def _kernel(self, make: Any, name: str, **parameters: Any) -> Any:
        """The compiled kernel of the text that `make(name, **parameters)` returns, kept."""
        key = (name, *parameters.values())
        found = self._kernels.get(key)
        if found is None:
            arguments, operation, preamble = make(name, **parameters)
            label = "_".join(("xpnet", *map(str, key)))
            found = self._kernels[key] = self._cupy.ElementwiseKernel(
                *arguments, operation, label, preamble=preamble, no_return=True
            )
        return found

    @functools.cached_property
    def _kernels(self) -> dict[tuple[Any, ...], Any]:
        return {}


def number_types(*arrays: Any) -> dict[str, str]:
    """The C types of sums and of indices for these arrays."""
    large = any(array.size >= _LARGE for array in arrays)
    return {"sums": "double" if arrays[0].dtype == "float64" else "float", "index": "ptrdiff_t" if large else "int"}


def typedefs(sums: str, index: str) -> str:
    """A is the type of sums, I that of indices; T is CuPy's name for that of the arrays."""
    return f"typedef {sums} A;\ntypedef {index} I;\n"


def parted(number: str, *parts: tuple[str, str]) -> str:
    """Code that takes a number apart: (name, length) from the slowest index to the fastest; the first has no length."""
    (first, _), *others = parts
    lines = [f"const I {name} = rest % {length}; rest /= {length};" for name, length in reversed(others)]
    return "\n".join((f"I rest = {number};", *lines, f"const I {first} = rest;"))


def place(first: str, *parts: tuple[str, str]) -> str:
    """The inverse of `parted`: the number of an element."""
    for name, length in parts:
        first = f"({first} * {length} + {name})"
    return first


def _window_kernel(name: str, axes: int, sums: str, index: str) -> tuple[tuple[str, str], str, str]:
    """Arguments, operation and preamble of a kernel for windows of so many axes."""
    extra = {"window_max": ["float32 lowest"]}.get(name, [])
    inputs = {"spread": ["rows"], "window_sum_gradient": ["dy"], "window_max_gradient": ["dy", "x", "y"]}
    texts: dict[str, Callable[[int], str]] = {
        "gather": _gather,
        "spread": functools.partial(_over_windows, body=_SPREAD),
        "window_max": functools.partial(_over_taps, start="lowest", body=_LARGER),
        "window_max_gradient": _max_gradient,
        "window_sum": functools.partial(_over_taps, start="0", body="sum += value;"),
        "window_sum_gradient": functools.partial(_over_windows, body=f"sum += static_cast<A>(dy[{_WINDOW}]);"),
    }
    arguments = [f"raw T {each}" for each in inputs.get(name, ["x"])] + extra
    arguments += [f"int32 {field}{a}" for field in _GEOMETRY for a in range(axes)] + ["int32 channels"]
    return (", ".join(arguments), "raw T out"), texts[name](axes), typedefs(sums, index)


# Window o of an axis holds the elements  p = o · stride + t · dilation - before;  what lies outside is padding.

_WINDOW = "window * channels + channel"
_LARGER = "if (value > sum || value != value) sum = value;"  # NaN is larger than all, and none is larger than NaN
_SPREAD = "sum += static_cast<A>(rows[(window * taps + tap) * channels + channel]);"


def _each(axes: int, text: str, joint: str = " ") -> str:
    """A text for each axis, in which # stands for its number."""
    return joint.join(text.replace("#", str(a)) for a in range(axes))


def _lengths(axes: int, index: str, length: str) -> list[tuple[str, str]]:
    return [(f"{index}{a}", f"{length}{a}") for a in range(axes)]


def _element(axes: int, index: str = "p") -> str:
    """The number of the element at p of an image."""
    return place("example", *_lengths(axes, index, "size"), ("channel", "channels"))


def _inside(axes: int, index: str = "p") -> str:
    return _each(axes, f"{index}# >= 0 && {index}# < size#", " && ")


def _gather(axes: int) -> str:
    """rows[example, o, t, channel] = x[example, p, channel], or 0 in the padding."""
    parts = [("example", ""), *_lengths(axes, "o", "output"), *_lengths(axes, "t", "kernel"), ("channel", "channels")]
    return f"""
{parted("i", *parts)}
{_each(axes, "const I p# = o# * stride# + t# * dilation# - before#;")}
if ({_inside(axes)}) out[i] = x[{_element(axes)}]; else out[i] = T(0);
"""


def _over_taps(axes: int, start: str, body: str) -> str:
    """y[example, o, channel] = all x[example, p, channel] of the window inside the image, taken together by `body`."""
    parts = [("example", ""), *_lengths(axes, "o", "output"), ("channel", "channels")]
    loops = _each(axes, "for (int t# = 0; t# < kernel#; ++t#)", "\n")
    return f"""
{parted("i", *parts)}
A sum = {start};
{loops} {{
  {_each(axes, "const I p# = o# * stride# + t# * dilation# - before#;")}
  if ({_inside(axes)}) {{
    const A value = static_cast<A>(x[{_element(axes)}]);
    {body}
  }}
}}
out[i] = static_cast<T>(sum);
"""


def _over_windows(axes: int, body: str, before: str = "") -> str:
    """dx[example, p, channel] = what `body` adds for each window that holds p.

    p is element t of window o where  q = p + before - t · dilation  is o · stride, with 0 <= o < output.
    """
    parts = [("example", ""), *_lengths(axes, "p", "size"), ("channel", "channels")]
    loops = """for (int t# = 0; t# < kernel#; ++t#) {
  const I q# = p# + before# - t# * dilation#;
  if (q# < 0 || q# % stride# != 0 || q# >= output# * stride#) continue;
  const I o# = q# / stride#;
"""
    return f"""
{parted("i", *parts)}
const int taps = {_each(axes, "kernel#", " * ")};
{before}
A sum = 0;
{_each(axes, loops, "")}
  const I window = {place("example", *_lengths(axes, "o", "output"))};
  const int tap = {place("0", *_lengths(axes, "t", "kernel"))};
  {body}
{"}" * axes}
out[i] = static_cast<T>(sum);
"""


def _max_gradient(axes: int) -> str:
    """dx[p] = the sum of dy[o] over the windows whose largest it is, and in which no element before it is equal."""
    body = f"""const A largest = static_cast<A>(y[{_WINDOW}]);
  bool wins = value == largest || value != value;
  for (int s = 0; wins && s < tap; ++s) {{
    {parted("s", ("first", ""), *_lengths(axes, "s", "kernel"))}
    {_each(axes, "const I e# = o# * stride# + s# * dilation# - before#;")}
    if ({_inside(axes, "e")}) {{
      const A earlier = static_cast<A>(x[{_element(axes, "e")}]);
      wins = !(earlier == largest || earlier != earlier);
    }}
  }}
  if (wins) sum += static_cast<A>(dy[{_WINDOW}]);"""
    return _over_windows(axes, body, before="const A value = static_cast<A>(x[i]);")


def combined(coefficients: Iterable[float], value: str) -> str:
    """The text of a sum of values # with these coefficients, without those that are 0."""
    terms = [
        ("- " if c < 0 else "+ ") + ("" if abs(c) == 1 else f"{abs(c):g} * ") + value.replace("#", str(k))
        for k, c in enumerate(coefficients)
        if c
    ]
    return " ".join(terms).removeprefix("+ ")
