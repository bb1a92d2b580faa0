"""From what a user writes (a stride, "same", one number for all axes) to windows, with errors in the user's terms."""

import operator
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, cast

from xpnet._typing import Shape
from xpnet.backend import Windows

Sizes: TypeAlias = int | Iterable[int]
Padding: TypeAlias = int | Iterable[int] | str
Pads: TypeAlias = int | Iterable[int] | Iterable[Iterable[int]]

_AXES = {1: "(n, length, channels)", 2: "(n, height, width, channels)", 3: "(n, depth, height, width, channels)"}


def sizes(function: str, name: str, value: Sizes, axes: int, *, least: int = 1) -> Shape:
    """One integer for each spatial axis; a single one counts for all.

    Raises
    ------
    ValueError : not an integer, or not as many as there are axes, or one below `least`.

    Examples
    --------
    >>> sizes("conv", "stride", 2, 3)
    (2, 2, 2)
    """
    values = (value,) * axes if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    if len(values) != axes or not all(_is_count(v, least) for v in values):
        raise ValueError(
            f"{function}: {name} must be an integer of at least {least}, or {axes} of them, one for each spatial axis; "
            f"got {value!r}"
        )
    return tuple(operator.index(v) for v in values)


def _is_count(value: Any, least: int) -> bool:
    try:
        return not isinstance(value, bool) and operator.index(value) >= least
    except TypeError:
        return False


def check_image(function: str, shape: Shape, axes: int, channels: int | None = None) -> None:
    """A batch of that many spatial axes, with the channels in the last axis.

    Raises
    ------
    ValueError : another number of axes or of channels; channels that seem to stand first are told apart.
    """
    shape = tuple(shape)
    if len(shape) != axes + 2:
        layout = _AXES.get(axes, "(n, *size, channels)")
        raise ValueError(f"{function}: expected {axes + 2} axes, {layout}, got {len(shape)} (shape {shape})")
    if channels is None or shape[-1] == channels:
        return
    message = f"{function}: expected {channels} channels in the last axis, got {shape[-1]} (shape {shape})"
    if shape[1] == channels:
        order = (0, *range(2, axes + 2), 1)
        message += (
            f"; the axes look like (n, channels, …), and xpnet wants the channels last: x.transpose{order} or "
            f"xp.permute_dims(x, {order})"
        )
    raise ValueError(message)


def check_pixels(function: str, input_shape: Shape) -> None:
    """No spatial axis is empty.

    Raises
    ------
    ValueError : one is.
    """
    if 0 in input_shape[1:-1]:
        raise ValueError(f"{function}: expected spatial axes that are not empty, got shape {tuple(input_shape)}")


def conv_windows(
    function: str,
    input_shape: Shape,
    channels: int,
    kernel: Shape,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
) -> Windows:
    """The windows of a convolution of `input_shape`, (n, *size, channels).

    output = ⌊(size + 2 · padding - dilation · (kernel - 1) - 1) / stride⌋ + 1    on each axis

    Raises
    ------
    ValueError : numbers that are no sizes, a shape that does not fit, or a kernel that does not fit into the input.

    Examples
    --------
    >>> conv_windows("conv", (1, 6, 6, 1), 1, (2, 2), padding=1).output
    (7, 7)
    """
    axes = len(kernel)
    strides = sizes(function, "stride", stride, axes)
    dilations = sizes(function, "dilation", dilation, axes)
    check_image(function, input_shape, axes, channels)
    size = tuple(input_shape[1:-1])
    spans = tuple((k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True))
    before, after = _padding(function, padding, size, spans, strides)
    whole = [n + b + a for n, b, a in zip(size, before, after, strict=True)]
    if any(n < span for n, span in zip(whole, spans, strict=True)):
        raise ValueError(
            f"{function}: the kernel covers {_by(spans)} elements and does not fit into the input of {_by(size)}, "
            f"{_by(whole)} with padding (shape {tuple(input_shape)})"
        )
    output = tuple((n - span) // s + 1 for n, span, s in zip(whole, spans, strides, strict=True))
    return Windows(size, kernel, strides, dilations, before, output)


def check_padding(function: str, padding: Padding, axes: int) -> Shape | str:
    """A number for each axis, or one of the two names.

    Raises
    ------
    ValueError : anything else.
    """
    if not isinstance(padding, str):
        return sizes(function, "padding", padding, axes, least=0)
    if padding not in ("same", "valid"):
        raise ValueError(f"{function}: padding must be numbers, 'same' or 'valid', got {padding!r}")
    return padding


def _padding(function: str, padding: Padding, size: Shape, spans: Shape, strides: Shape) -> tuple[Shape, Shape]:
    checked = check_padding(function, padding, len(size))
    if checked != "same":
        before = (0,) * len(size) if isinstance(checked, str) else checked
        return before, before
    axes = zip(size, spans, strides, strict=True)
    missing = [max(0, (-(-n // stride) - 1) * stride + span - n) for n, span, stride in axes]
    return tuple(m // 2 for m in missing), tuple(m - m // 2 for m in missing)


def check_pooling(
    function: str, kernel_size: Sizes, stride: Sizes | None, padding: Sizes, axes: int
) -> tuple[Shape, Shape, Shape]:
    """Kernel, stride and padding for each axis.

    Raises
    ------
    ValueError : numbers that are no sizes, or so much padding that a window would hold nothing else.
    """
    kernel = sizes(function, "kernel_size", kernel_size, axes)
    strides = kernel if stride is None else sizes(function, "stride", stride, axes)
    pads = sizes(function, "padding", padding, axes, least=0)
    if any(2 * p > k for p, k in zip(pads, kernel, strict=True)):
        raise ValueError(
            f"{function}: padding must be at most half of the kernel, so that no window is all padding; got padding "
            f"{pads} and kernel_size {kernel}"
        )
    return kernel, strides, pads


def pool_windows(
    function: str,
    input_shape: Shape,
    kernel_size: Sizes,
    stride: Sizes | None,
    padding: Sizes,
    ceil_mode: bool,
    axes: int,
) -> Windows:
    """The windows of pooling: those of a convolution, with one more at the end where `ceil_mode` rounds up.

    That one begins inside the input or the padding before it, as in PyTorch.

    Examples
    --------
    >>> pool_windows("max_pool", (1, 5, 1), 2, None, 0, ceil_mode=True, axes=1).output
    (3,)
    """
    kernel, strides, pads = check_pooling(function, kernel_size, stride, padding, axes)
    check_image(function, input_shape, axes)
    check_pixels(function, input_shape)
    windows = conv_windows(function, input_shape, input_shape[-1], kernel, strides, pads)
    if not ceil_mode:
        return windows
    output = []
    for n, k, s, p in zip(windows.size, kernel, strides, pads, strict=True):
        count = -(-(n + 2 * p - k) // s) + 1
        output.append(count - 1 if (count - 1) * s >= n + p else count)
    return Windows(windows.size, kernel, strides, windows.dilation, pads, tuple(output))


def check_transposed(
    function: str, stride: Sizes, padding: Sizes, output_padding: Sizes, dilation: Sizes, axes: int
) -> tuple[Shape, Shape, Shape, Shape]:
    """The settings of a transposed convolution for each axis, in this order.

    Raises
    ------
    ValueError : numbers that are no sizes, or an output_padding that is not smaller than stride or dilation.
    """
    strides = sizes(function, "stride", stride, axes)
    dilations = sizes(function, "dilation", dilation, axes)
    pads = sizes(function, "padding", padding, axes, least=0)
    extra = sizes(function, "output_padding", output_padding, axes, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, strides, dilations, strict=True)):
        raise ValueError(
            f"{function}: output_padding must be smaller than stride or dilation, got output_padding {extra}, stride "
            f"{strides}, dilation {dilations}"
        )
    return strides, pads, extra, dilations


def transposed_windows(
    function: str,
    input_shape: Shape,
    channels: int,
    kernel: Shape,
    stride: Sizes,
    padding: Sizes,
    output_padding: Sizes,
    dilation: Sizes,
) -> Windows:
    """The windows of the convolution that a transposed convolution of `input_shape` is the adjoint of.

    size = (output - 1) · stride - 2 · padding + dilation · (kernel - 1) + output_padding + 1    on each axis

    Raises
    ------
    ValueError : numbers that are no sizes, a shape that does not fit, or a result without elements.
    """
    axes = len(kernel)
    strides, pads, extra, dilations = check_transposed(function, stride, padding, output_padding, dilation, axes)
    check_image(function, input_shape, axes, channels)
    check_pixels(function, input_shape)
    output = tuple(input_shape[1:-1])
    size = tuple(
        (n - 1) * s - 2 * p + d * (k - 1) + e + 1
        for n, s, p, d, k, e in zip(output, strides, pads, dilations, kernel, extra, strict=True)
    )
    if any(n < 1 for n in (*size, *output)):
        raise ValueError(
            f"{function}: the result would have {_by(size)} elements (shape {tuple(input_shape)}, padding {pads})"
        )
    return Windows(size, kernel, strides, dilations, pads, output)


def adaptive_shape(function: str, input_shape: Shape, output_size: Sizes, axes: int) -> Shape:
    """The shape of an adaptive pooling's result.

    Raises
    ------
    ValueError : shapes or numbers that do not fit.
    """
    check_image(function, input_shape, axes)
    check_pixels(function, input_shape)
    return (input_shape[0], *sizes(function, "output_size", output_size, axes), input_shape[-1])


def global_shape(function: str, input_shape: Shape) -> Shape:
    """The shape of `global_avg_pool`'s result.

    Raises
    ------
    ValueError : no spatial axes, or empty ones.
    """
    if len(input_shape) < 3 or 0 in input_shape[1:-1]:
        raise ValueError(
            f"{function}: expected (n, *size, channels) with pixels to average, got shape {tuple(input_shape)}"
        )
    return (input_shape[0], input_shape[-1])


def check_pads(function: str, padding: Pads, axes: int | None = None) -> tuple[Shape, Shape]:
    """How much comes before and after each axis; for any number of axes, as many as `padding` tells or one.

    Raises
    ------
    ValueError : numbers that are no counts, or not as many as there are axes.
    """
    items = tuple(padding) if isinstance(padding, Iterable) and not isinstance(padding, str) else None
    axes = (1 if items is None else len(items)) if axes is None else axes
    if items and all(isinstance(item, Iterable) for item in items):
        if len(items) != axes:
            raise ValueError(
                f"{function}: expected a pair (before, after) for each of the {axes} spatial axes, got {padding!r}"
            )
        sides = [
            sizes(function, "each pair (before, after) of padding", cast(Sizes, pair), 2, least=0) for pair in items
        ]
        return tuple(before for before, _ in sides), tuple(after for _, after in sides)
    both = sizes(function, "padding", cast(Sizes, padding if items is None else items), axes, least=0)
    return both, both


def pad_windows(function: str, input_shape: Shape, padding: Pads) -> Windows:
    """Windows of one element that see the padded input.

    Raises
    ------
    ValueError : no spatial axes, or a padding that does not fit them.
    """
    size = tuple(input_shape[1:-1])
    if not size:
        raise ValueError(f"{function}: expected (n, *size, channels), got shape {tuple(input_shape)}")
    before, after = check_pads(function, padding, len(size))
    ones = (1,) * len(size)
    output = tuple(n + b + a for n, b, a in zip(size, before, after, strict=True))
    return Windows(size, ones, ones, ones, before, output)


def check_groups(function: str, groups: int, *, inputs: int = 0, outputs: int = 0) -> int:
    """A number that divides these numbers of channels.

    Raises
    ------
    ValueError : it does not, or is no positive integer.
    """
    if not _is_count(groups, 1):
        raise ValueError(f"{function}: groups must be an integer of at least 1; got {groups!r}")
    for name, channels in (("inputs", inputs), ("outputs", outputs)):
        if channels % groups:
            raise ValueError(f"{function}: groups must divide the channels, got {groups} groups of {channels} {name}")
    return operator.index(groups)


def _by(lengths: Sequence[int]) -> str:
    return "×".join(map(str, lengths))
