"""The seams of convolution and pooling in plain Array API."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator

from xpnet._typing import Array, Shape
from xpnet.backend._convolution import Convolution
from xpnet.backend._half import HalfSeams
from xpnet.backend._windows import Windows


class WindowSeams(HalfSeams):
    """What a backend does with the windows of (n, *size, channels); each of the n examples stands for itself."""

    name: str

    @property
    @abstractmethod
    def products_in_tf32(self) -> bool:
        """Whether products of float32 go by TF32 here and now."""

    def empty(self, shape: Shape, like: Array) -> Array:
        """An array to be written, of the type and on the device of `like`."""
        return self.xp.empty(shape, dtype=like.dtype, device=self.device_of(like))

    def place(self, shape: Shape, like: Array, out: Array | None) -> Array:
        """`out` where a product can be written into it in another shape, else a new array."""
        return self.empty(shape, like) if out is None else out

    def item_bytes(self, x: Array) -> int:
        """Bytes of one element of a floating-point array."""
        return int(self.xp.finfo(x.dtype).bits) // 8

    def pad(self, x: Array, windows: Windows, value: float = 0.0) -> Array:
        """`x` padded with `value`, or cut, to the windows' reach."""
        if not windows.padded:
            return x
        full = self.empty((x.shape[0], *windows.reach, x.shape[-1]), x)
        full[...] = value
        inside, outside = windows.overlap()
        full[inside] = x[outside]
        return full

    def unpad(self, padded: Array, windows: Windows) -> Array:
        """The adjoint of `pad`: what of `padded` lies inside; zero where no window looks."""
        if not windows.padded:
            return padded
        full = self.empty((padded.shape[0], *windows.size, padded.shape[-1]), padded)
        full[...] = 0.0
        inside, outside = windows.overlap()
        full[outside] = padded[inside]
        return full

    def gather(self, x: Array, windows: Windows) -> Array:
        """Each window as a row, (n, *size, c) -> (n · pixels, taps · c), padded with zeros."""
        n, channels = x.shape[0], x.shape[-1]
        shape = (n * windows.pixels, windows.taps * channels)
        if windows.trivial:
            return self.xp.reshape(x, shape)
        if channels == 1:  # by elements of the windows, which lie side by side in x, three times as fast
            return self.stack(x, windows).T
        padded = self.pad(x, windows)
        view = self.view(padded, windows)
        if view is not None:
            return self.xp.reshape(view, shape)
        rows = self.empty((n, *windows.output, windows.taps, channels), x)
        for t, tap in enumerate(windows.slices()):
            rows[..., t, :] = padded[tap]
        return self.xp.reshape(rows, shape)

    def convolution(
        self, n: int, weight: Array, windows: Windows, groups: int, *, required: bool = False
    ) -> Convolution | None:
        """The library's own convolution of n examples with a weight (*kernel, inputs // groups, outputs), if any.

        Raises
        ------
        TypeError : it is `required`, and only CuPy has one.
        """
        if required:
            raise TypeError(
                f"convolution 'cudnn' is for CuPy arrays, got arrays of {self.name}; "
                "set_convolution('auto') takes it where it fits"
            )
        return None

    def correlate(self, x: Array, weight: Array, windows: Windows, bias: Array | None) -> Array | None:
        """The convolution of x (n, *size, c) with a weight (*kernel, c, outputs); None where products do it better."""
        return None

    def stack(self, x: Array, windows: Windows) -> Array:
        """Each element of the windows as a plane, (n, *size, c) -> (taps, n · pixels · c), padded with zeros."""
        n, channels = x.shape[0], x.shape[-1]
        padded = self.pad(x, windows)
        view = self.view(padded, windows)
        if view is not None:
            axes = len(windows.size)
            within = tuple(range(axes + 1, 2 * axes + 1))
            view = self.xp.permute_dims(view, (*within, *range(axes + 1), 2 * axes + 1))
            return self.xp.reshape(view, (windows.taps, n * windows.pixels * channels))
        planes = self.empty((windows.taps, n, *windows.output, channels), x)
        for t, tap in enumerate(windows.slices()):
            planes[t, ...] = padded[tap]
        return self.xp.reshape(planes, (windows.taps, n * windows.pixels * channels))

    def view(self, padded: Array, windows: Windows) -> Array | None:
        """The windows of a padded array, (n, *output, *kernel, c), without a copy; None where the library has none."""
        return None

    def spread(self, rows: Array, windows: Windows, out: Array) -> None:
        """The adjoint of `gather`, (n · pixels, taps · c) -> (n, *size, c), written into `out`.

        One element of the windows after the other, so that no place is added to twice at once.
        """
        n, channels = out.shape[0], out.shape[-1]
        taps = self.xp.reshape(rows, (n, *windows.output, windows.taps, channels))
        out[...] = self._spread((taps[..., t, :] for t in range(windows.taps)), out, windows)

    def window_max(self, x: Array, windows: Windows) -> Array:
        """The largest of each window; NaN counts as largest."""
        xp, padded = self.xp, self.pad(x, windows, -float("inf"))
        first, *others = windows.slices()
        largest = xp.asarray(padded[first], copy=True)
        for tap in others:
            largest = xp.maximum(largest, padded[tap])
        return largest

    def window_max_gradient(self, dy: Array, x: Array, y: Array, windows: Windows) -> Array:
        """Adds each window's gradient to the element that was its largest: the first of equals, never padding."""
        xp, padded, inside = self.xp, self.pad(x, windows, -float("inf")), None
        if windows.padded:
            inside = self.pad(xp.ones((1, *windows.size, 1), dtype=xp.bool, device=self.device_of(x)), windows, False)

        def shares() -> Iterator[Array]:
            unclaimed = xp.ones_like(y, dtype=xp.bool)
            for tap in windows.slices():
                value = padded[tap]
                wins = ((value == y) | (value != value)) & unclaimed
                wins = wins if inside is None else wins & inside[tap]
                unclaimed = unclaimed & ~wins
                yield dy * xp.astype(wins, dy.dtype)

        return self._spread(shares(), dy, windows)

    def window_sum(self, x: Array, windows: Windows) -> Array:
        """The sum of each window."""
        padded = self.pad(x, windows)
        first, *others = windows.slices()
        total = self.xp.asarray(padded[first], copy=True)
        for tap in others:
            total += padded[tap]
        return total

    def window_sum_gradient(self, dy: Array, windows: Windows) -> Array:
        """Adds each window's gradient to all its elements."""
        return self._spread((dy for _ in range(windows.taps)), dy, windows)

    def _spread(self, taps: Iterable[Array], like: Array, windows: Windows) -> Array:
        """The adjoint of taking taps: one slice after the other, so that no place is written twice at once."""
        padded = self.wide(self.empty((like.shape[0], *windows.reach, like.shape[-1]), like))  # summed up in float32
        padded[...] = 0.0
        for place, values in zip(windows.slices(), taps, strict=True):
            padded[place] += values
        return self.narrow(self.unpad(padded, windows), like)
