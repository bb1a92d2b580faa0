"""Which arrays are alive at once, in inference and in a training step, from the shapes of a model's layers alone."""

import math
from functools import singledispatch
from typing import NamedTuple

from xpnet import layers as L
from xpnet._typing import Shape
from xpnet.layers import LayerShapes


class Kept(NamedTuple):
    """What a layer's pullback holds: its input, its output, and so many bytes of its own."""

    input: bool = False
    output: bool = False
    own: int = 0


@singledispatch
def kept(layer: L.Layer, here: LayerShapes, item: int) -> Kept:
    """What the pullback of one layer, in its place, holds beside what the layers inside it hold.

    An unknown layer without layers counts with its input and its output, one with layers as holding nothing.
    """
    return Kept() if here.inside else Kept(input=True, output=True)


_INPUT = (L.Linear, L.Conv1d, L.Conv2d, L.Conv3d, L.ConvTranspose1d, L.ConvTranspose2d, L.ConvTranspose3d, L.BatchNorm)
_OUTPUT = (L.ReLU, L.Sigmoid, L.Tanh, L.Softmax, L.LogSoftmax)
_BOTH = (L.LeakyReLU, L.Softplus, L.SiLU, L.GELU, L.MaxPool1d, L.MaxPool2d, L.MaxPool3d)
_NOTHING = (
    *(L.AvgPool1d, L.AvgPool2d, L.AvgPool3d, L.GlobalAvgPool, L.Pad),
    *(L.Sequential, L.Residual, L.Concat, L.Frozen),
    *(L.AdaptiveAvgPool1d, L.AdaptiveAvgPool2d, L.AdaptiveAvgPool3d),
)
for _kinds, _kept in (
    (_INPUT, Kept(input=True)),
    (_OUTPUT, Kept(output=True)),
    (_BOTH, Kept(input=True, output=True)),
    (_NOTHING, Kept()),
    ((L.Flatten, L.Identity, L.SqueezeExcite), Kept(input=True)),
):
    for _kind in _kinds:
        kept.register(_kind, lambda layer, here, item, _kept=_kept: _kept)


@kept.register
def _(layer: L.LayerNorm, here: LayerShapes, item: int) -> Kept:
    return Kept(own=math.prod(here.input_shape) * item)  # the normalized input


@kept.register
def _(layer: L.LocalResponseNorm, here: LayerShapes, item: int) -> Kept:
    return Kept(input=True, own=math.prod(here.input_shape) * item)  # and the sums over neighbours


@kept.register
def _(layer: L.Dropout, here: LayerShapes, item: int) -> Kept:
    shape = here.input_shape
    mask = (shape[0], shape[-1]) if layer.by_channel and len(shape) > 2 else shape
    return Kept(own=math.prod(mask) * item if layer.rate > 0.0 else 0)


class LiveArrays:
    """The arrays that a model makes of one input.

    Parameters
    ----------
    whole : the model's shapes.
    item : bytes of an element.
    """

    def __init__(self, whole: LayerShapes, item: int) -> None:
        self.whole, self.item = whole, item
        self._same: dict[int, int] = {}  # an array that only looks at another one's memory
        self._idle: set[int] = set()  # calls that run in inference mode in training, too
        self._prepare(whole, frozen=False)
        self._held: set[int] = set()

    def _prepare(self, here: LayerShapes, frozen: bool) -> None:
        frozen = frozen or isinstance(here.layer, L.Frozen)
        for below in here.inside:
            self._prepare(below, frozen)
        if isinstance(here.layer, L.Dropout) and (frozen or here.layer.rate == 0.0):
            self._idle.add(id(here))
        empty = isinstance(here.layer, (L.Sequential, L.Frozen)) and not here.inside
        if isinstance(here.layer, (L.Identity, L.Flatten)) or empty or id(here) in self._idle:
            self._same[id(here.output_shape)] = self._array(here.input_shape)

    def _array(self, shape: Shape) -> int:
        return self._same.get(id(shape), id(shape))

    def bytes(self, shape: Shape) -> int:
        """The size of an array."""
        return math.prod(shape) * self.item

    def _kept(self, here: LayerShapes) -> tuple[list[Shape], int]:
        """The arrays that the pullback of one layer holds, and the bytes of its own."""
        found = kept(here.layer, here, self.item)
        shapes = [here.input_shape] * found.input + [here.output_shape] * found.output
        return shapes, 0 if id(here) in self._idle else found.own

    def newly_kept(self, here: LayerShapes) -> int:
        """Bytes that a training step keeps for this layer's pullback and did not keep for one asked about before."""
        shapes, own = self._kept(here)
        return own + self._new(shapes, self._held)

    def ends(self) -> int:
        """Bytes of the model's input and output that no pullback keeps, but that whoever called the model does."""
        return self._new([self.whole.input_shape, self.whole.output_shape], set(self._held))

    def _new(self, shapes: list[Shape], held: set[int]) -> int:
        total = 0
        for shape in shapes:
            if self._array(shape) not in held:
                held.add(self._array(shape))
                total += self.bytes(shape)
        return total

    def forward(self, here: LayerShapes) -> int:
        """The most bytes alive at once while a layer runs in inference mode, its input and output among them."""
        return self.bytes(here.input_shape) + self._beyond_input(here)

    def _beyond_input(self, here: LayerShapes) -> int:
        if here.inside and type(here.layer).__call__ is not L.Layer.__call__:  # arrays die as soon as the next is there
            most = alive = 0
            for below in here.inside:
                most = max(most, alive + self._beyond_input(below))
                input_itself = self._array(below.output_shape) == self._array(here.input_shape)
                alive = 0 if input_itself else self.bytes(below.output_shape)
            return most
        held, total = {self._array(here.input_shape)}, 0  # the value of `forward`, whose pullbacks keep their arrays
        for each in here.walk():
            shapes, own = self._kept(each) if here.inside or each is not here else ([], self._kept(each)[1])
            if isinstance(each.layer, (L.Residual, L.Concat)):  # which are there until they are joined
                shapes = [*shapes, *(branch.output_shape for branch in each.inside)]
            total += self._new(shapes, held) + (0 if isinstance(each.layer, L.Dropout) else own)
        return total + self._new([here.output_shape], held)

    def passing(self) -> int:
        """The most bytes of gradients by layers' inputs and outputs alive at once on the way back."""
        return self.bytes(self.whole.output_shape) + self._beyond_dy(self.whole)

    def _dx(self, here: LayerShapes) -> int:
        view = self._array(here.output_shape) == self._array(here.input_shape)
        return 0 if view or here.input_shape is self.whole.input_shape else self.bytes(here.input_shape)

    def _beyond_dy(self, here: LayerShapes) -> int:
        if isinstance(here.layer, (L.Residual, L.Concat)):  # the branches' gradients meet in a sum
            most = alive = 0
            for branch in here.inside:
                most = max(most, alive + self._beyond_dy(branch))
                most = max(most, alive + self._dx(branch) + self._dx(here) * (alive > 0))
                alive = self._dx(here)
            return most
        most = self._dx(here) if not isinstance(here.layer, (L.Sequential, L.Frozen)) else 0
        alive = 0
        for below in reversed(here.inside):
            most = max(most, alive + self._beyond_dy(below))
            alive = 0 if self._array(below.input_shape) == self._array(here.output_shape) else self._dx(below)
        return most
