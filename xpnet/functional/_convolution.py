from typing import TypedDict, Unpack

from xpnet._typing import Array, Pullback
from xpnet.backend import Backend, backend_of
from xpnet.functional import _direct, _winograd
from xpnet.functional._algorithm import by_winograd, products_of
from xpnet.functional._checks import check_floats, check_gradient, into
from xpnet.functional.shapes import Padding, Sizes, check_groups, conv_windows, transposed_windows

_Places = tuple[Array | None, Array | None]


class ConvOptions(TypedDict, total=False):
    """The keywords of `conv`."""

    stride: Sizes
    padding: Padding
    dilation: Sizes
    groups: int


class ConvTransposeOptions(TypedDict, total=False):
    """The keywords of `conv_transpose`."""

    stride: Sizes
    padding: Sizes
    output_padding: Sizes
    dilation: Sizes
    groups: int


def conv(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """Convolution over any number of spatial axes.

        y[o] = Σ_t x[o · stride + t · dilation - padding] · W[t] + b
        output = ⌊(size + 2 · padding - dilation · (kernel - 1) - 1) / stride⌋ + 1    on each axis

    Parameters
    ----------
    x : (n, *size, inputs), floating-point; (n, height, width, inputs) for images.
    weight : (*kernel, inputs // groups, outputs), of the type of `x`.
    bias : (outputs,), or None for no bias.
    stride, dilation : steps from one window to the next, and from one element of a window to the next; a number, or
        one for each spatial axis.
    padding : zeros before and after each axis; a number, or one for each spatial axis. `"valid"` is none; `"same"`
        makes output = ⌈size / stride⌉, with the odd zero at the end.
    groups : the channels are parted into so many groups, and each sees only its own.

    Returns
    -------
    y : (n, *output, outputs).
    pullback : `dx, dweight, dbias = pullback(dy)`; `dbias` is None without a bias, and `dx` with
        `input_gradient=False`, which saves its products. `out=(dweight, dbias)` gives places to write into; either may
        be None.

    Raises
    ------
    ValueError : channels that do not fit (channels-first images are named as such), a kernel larger than the padded
        input, groups that do not divide the channels, numbers that are no sizes.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    The course's example: 6×6 pixels, a 2×2 kernel and padding 1 give (6 + 2 · 1 - 2) / 1 + 1 = 7 on each axis.

    >>> import numpy as np
    >>> y, pullback = conv(np.ones((1, 6, 6, 1)), np.ones((2, 2, 1, 1)), padding=1)
    >>> y.shape
    (1, 7, 7, 1)
    >>> y[0, :2, :3, 0]
    array([[1., 2., 2.],
           [2., 4., 4.]])

    References
    ----------
    Y. LeCun et al., "Backpropagation applied to handwritten zip code recognition", Neural Computation 1 (1989);
    V. Dumoulin, F. Visin, "A guide to convolution arithmetic for deep learning", 2016. Variant: what signal processing
    calls correlation, as in all frameworks: the kernel is not turned round.
    """
    return _conv("conv", None, x, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _conv(
    function: str,
    axes: int | None,
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Sizes = 1,
    padding: Padding = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    backend = _check(function, x, weight, bias, "(*kernel, inputs // groups, outputs)", axes)
    *kernel, inputs, outputs = weight.shape
    _check_bias(function, bias, outputs)
    inputs *= check_groups(function, groups, outputs=outputs)
    windows = conv_windows(function, x.shape, inputs, tuple(kernel), stride, padding, dilation)
    n, item_bytes = x.shape[0], backend.item_bytes(x)
    products = products_of(backend, n, weight, windows, groups)
    winograd = not products.of_library and by_winograd(windows, n, inputs, outputs, groups, item_bytes)
    y = _winograd.correlate(backend, x, weight, windows, bias) if winograd else products.correlate(x, bias)
    shape = y.shape

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: _Places = (None, None)
    ) -> tuple[Array | None, Array, Array | None]:
        check_gradient(function, dy, shape, weight)
        if winograd:
            dx, dweight, dbias = _winograd.gradients(
                backend, x, dy, weight, windows, input_gradient=input_gradient, out=out
            )
            return dx, dweight, None if bias is None else dbias
        dx = products.adjoint(dy) if input_gradient else None
        dweight = products.weight_gradient(x, dy, out[0])
        return dx, dweight, None if bias is None else _bias_gradient(backend, dy, out[1])

    return y, pullback


def conv_transpose(
    x: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    """Transposed convolution over any number of spatial axes: what `conv` does to gradients, as a layer of its own.

        y[o · stride + t · dilation - padding] += x[o] · W[t],    + b
        size = (input - 1) · stride - 2 · padding + dilation · (kernel - 1) + output_padding + 1    on each axis

    Parameters
    ----------
    x : (n, *input, inputs), floating-point.
    weight : (*kernel, inputs, outputs // groups), of the type of `x`.
    bias : (outputs,), or None for no bias.
    stride, dilation, groups : those of the convolution that this is the adjoint of.
    padding : how much of the result is cut off at both ends of each axis.
    output_padding : how much longer the result is made at its end; smaller than the stride or the dilation. It tells
        apart the several sizes that a convolution with a stride makes equal.

    Returns
    -------
    y : (n, *size, outputs).
    pullback : `dx, dweight, dbias = pullback(dy)`, as that of `conv`.

    Raises
    ------
    ValueError : channels that do not fit, a result without elements, groups that do not divide the channels, numbers
        that are no sizes.
    TypeError : integers, or arrays of different types or libraries.

    Examples
    --------
    >>> import numpy as np
    >>> y, pullback = conv_transpose(np.asarray([[[1.0], [2.0]]]), np.ones((2, 1, 1)), stride=2)
    >>> y[0, :, 0]
    array([1., 1., 2., 2.])

    References
    ----------
    M. Zeiler et al., "Deconvolutional networks", CVPR 2010; V. Dumoulin, F. Visin, "A guide to convolution arithmetic
    for deep learning", 2016, section 4. Variant: PyTorch's arguments; there the weight is (inputs, outputs // groups,
    *kernel).
    """
    return _conv_transpose(
        "conv_transpose",
        None,
        x,
        weight,
        bias,
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        dilation=dilation,
        groups=groups,
    )


def _conv_transpose(
    function: str,
    axes: int | None,
    x: Array,
    weight: Array,
    bias: Array | None,
    *,
    stride: Sizes = 1,
    padding: Sizes = 0,
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
) -> tuple[Array, Pullback]:
    backend = _check(function, x, weight, bias, "(*kernel, inputs, outputs // groups)", axes)
    xp, (*kernel, inputs, outputs) = backend.xp, weight.shape
    outputs *= check_groups(function, groups, inputs=inputs)
    _check_bias(function, bias, outputs)
    windows = transposed_windows(function, x.shape, inputs, tuple(kernel), stride, padding, output_padding, dilation)
    turned = xp.matrix_transpose(weight)  # the weight of a convolution from y to x
    products = products_of(backend, x.shape[0], turned, windows, groups)
    y = products.adjoint(x)
    if bias is not None:
        _direct.add_bias(y, bias)
    shape = y.shape

    def pullback(
        dy: Array, *, input_gradient: bool = True, out: _Places = (None, None)
    ) -> tuple[Array | None, Array, Array | None]:
        check_gradient(function, dy, shape, weight)
        dx = products.correlate(dy) if input_gradient else None
        dweight = xp.matrix_transpose(products.weight_gradient(dy, x))
        return dx, into(out[0], dweight), None if bias is None else _bias_gradient(backend, dy, out[1])

    return y, pullback


def _check(function: str, x: Array, weight: Array, bias: Array | None, layout: str, axes: int | None) -> Backend:
    """The arrays' backend; floating-point arrays of one type, a weight with an axis for each of the image."""
    backend = backend_of(x, weight, bias)
    check_floats(function, x=x, weight=weight, bias=bias)
    if (weight.ndim < 3 if axes is None else weight.ndim != axes + 2) or 0 in weight.shape:
        expected = "at least one spatial axis" if axes is None else f"{axes} spatial axes"
        raise ValueError(
            f"{function}: expected weight {layout} with {expected}, none empty, got shape {tuple(weight.shape)}"
        )
    return backend


def _check_bias(function: str, bias: Array | None, outputs: int) -> None:
    if bias is not None and bias.shape != (outputs,):
        raise ValueError(f"{function}: expected bias of shape ({outputs},), got {tuple(bias.shape)}")


def _bias_gradient(backend: Backend, dy: Array, out: Array | None) -> Array:
    return backend.narrow(backend.column_sum(backend.xp.reshape(dy, (-1, dy.shape[-1])), out), dy)


def conv1d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvOptions]
) -> tuple[Array, Pullback]:
    """`conv` of sequences (n, length, inputs), with a weight (size, inputs // groups, outputs).

    Examples
    --------
    >>> import numpy as np
    >>> conv1d(np.ones((1, 3, 4)), np.ones((2, 4, 5)))[0].shape
    (1, 2, 5)
    """
    return _conv("conv1d", 1, x, weight, bias, **options)


def conv2d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvOptions]
) -> tuple[Array, Pullback]:
    """`conv` of images (n, height, width, inputs), with a weight (height, width, inputs // groups, outputs).

    Examples
    --------
    >>> import numpy as np
    >>> conv2d(np.ones((1, 3, 3, 4)), np.ones((2, 2, 4, 5)))[0].shape
    (1, 2, 2, 5)
    """
    return _conv("conv2d", 2, x, weight, bias, **options)


def conv3d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvOptions]
) -> tuple[Array, Pullback]:
    """`conv` of volumes (n, depth, height, width, inputs), with a weight (*kernel, inputs // groups, outputs).

    Examples
    --------
    >>> import numpy as np
    >>> conv3d(np.ones((1, 3, 3, 3, 4)), np.ones((2, 2, 2, 4, 5)))[0].shape
    (1, 2, 2, 2, 5)
    """
    return _conv("conv3d", 3, x, weight, bias, **options)


def conv_transpose1d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvTransposeOptions]
) -> tuple[Array, Pullback]:
    """`conv_transpose` of sequences (n, length, inputs), with a weight (size, inputs, outputs // groups).

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose1d(np.ones((1, 3, 4)), np.ones((2, 4, 5)))[0].shape
    (1, 4, 5)
    """
    return _conv_transpose("conv_transpose1d", 1, x, weight, bias, **options)


def conv_transpose2d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvTransposeOptions]
) -> tuple[Array, Pullback]:
    """`conv_transpose` of images (n, height, width, inputs), with a weight (height, width, inputs, outputs // groups).

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose2d(np.ones((1, 3, 3, 4)), np.ones((2, 2, 4, 5)))[0].shape
    (1, 4, 4, 5)
    """
    return _conv_transpose("conv_transpose2d", 2, x, weight, bias, **options)


def conv_transpose3d(
    x: Array, weight: Array, bias: Array | None = None, **options: Unpack[ConvTransposeOptions]
) -> tuple[Array, Pullback]:
    """`conv_transpose` of volumes (n, depth, height, width, inputs), weight (*kernel, inputs, outputs // groups).

    Examples
    --------
    >>> import numpy as np
    >>> conv_transpose3d(np.ones((1, 3, 3, 3, 4)), np.ones((2, 2, 2, 4, 5)))[0].shape
    (1, 4, 4, 4, 5)
    """
    return _conv_transpose("conv_transpose3d", 3, x, weight, bias, **options)
