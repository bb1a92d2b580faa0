import math
from functools import singledispatch

from xpnet import layers as L
from xpnet._typing import Shape


@singledispatch
def multiplications(layer: L.Layer, input_shape: Shape, output_shape: Shape) -> int | None:
    """How many multiply-adds one layer makes of a batch, by the direct method; None if that is not known.

        linear                   rows · inputs · outputs
        convolution              elements of the output · elements of the kernel · inputs / groups
        transposed convolution   elements of the input · elements of the kernel · outputs / groups
        all other layers here    0: only products and convolutions count

    Winograd's algorithm makes fewer; a pullback makes twice as many, less those of a gradient not asked for.

    Parameters
    ----------
    layer : a layer without layers below it, or one with parameters beside theirs, for what it does with those. For a
        layer of your own, register a function of these three arguments: `@multiplications.register(MyLayer)`.
    input_shape, output_shape : with the batch axis.

    Returns
    -------
    The number, or None for a layer that nobody has registered.

    Examples
    --------
    >>> layer = L.Conv2d(3, 64, 7, stride=2, padding=3)
    >>> multiplications(layer, (1, 224, 224, 3), (1, 112, 112, 64))
    118013952
    """
    return None


@multiplications.register
def _(layer: L.Linear, input_shape: Shape, output_shape: Shape) -> int:
    return math.prod(input_shape[:-1]) * layer.inputs * layer.outputs


@multiplications.register(L.Conv1d)
@multiplications.register(L.Conv2d)
@multiplications.register(L.Conv3d)
def _(layer: L.Conv2d, input_shape: Shape, output_shape: Shape) -> int:
    *kernel, inputs_of_group, _ = layer.weight.data.shape
    return math.prod((*output_shape, *kernel, inputs_of_group))


@multiplications.register(L.ConvTranspose1d)
@multiplications.register(L.ConvTranspose2d)
@multiplications.register(L.ConvTranspose3d)
def _(layer: L.ConvTranspose2d, input_shape: Shape, output_shape: Shape) -> int:
    *kernel, _, outputs_of_group = layer.weight.data.shape
    return math.prod((*input_shape, *kernel, outputs_of_group))


def _none(layer: L.Layer, input_shape: Shape, output_shape: Shape) -> int:
    return 0


for _kind in (
    *(L.ReLU, L.LeakyReLU, L.Sigmoid, L.Tanh, L.Softplus, L.SiLU, L.GELU, L.Softmax, L.LogSoftmax),
    *(L.BatchNorm, L.LayerNorm, L.LocalResponseNorm, L.Dropout, L.Flatten, L.Identity, L.Pad),
    *(L.MaxPool1d, L.MaxPool2d, L.MaxPool3d, L.AvgPool1d, L.AvgPool2d, L.AvgPool3d),
    *(L.AdaptiveAvgPool1d, L.AdaptiveAvgPool2d, L.AdaptiveAvgPool3d, L.GlobalAvgPool),
    *(L.Sequential, L.Frozen),  # without layers in them
):
    multiplications.register(_kind, _none)
