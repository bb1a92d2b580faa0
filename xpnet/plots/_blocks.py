"""A model as blocks: chains, skips, branches and repetitions, found from its layers' shapes, without drawing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import singledispatch
from typing import TypeAlias

from xpnet import layers as L
from xpnet._typing import Shape
from xpnet.layers import LayerShapes
from xpnet.models import Ensemble


@dataclass(frozen=True)
class Band:
    """One layer in a block. Two are equal if their layers have the same settings."""

    label: str
    kind: str
    settings: str
    joins: bool = False
    """Whether it belongs to the layer before it: what normalizes, activates or drops."""


@dataclass(frozen=True)
class Block:
    """Layers that are drawn as one: a convolution with the normalization and activation behind it."""

    bands: tuple[Band, ...]
    shape: Shape
    frozen: bool = False


@dataclass(frozen=True)
class Skip:
    """A body, and a way past it that meets it in a sum."""

    body: Chain
    shortcut: Chain
    shape: Shape


@dataclass(frozen=True)
class Branches:
    """Chains side by side, and what is made of their results."""

    chains: tuple[Chain, ...]
    shape: Shape
    joined: str


@dataclass(frozen=True)
class Repeat:
    """The same items several times, one after the other."""

    chain: Chain
    times: int
    shape: Shape


@dataclass(frozen=True)
class Chain:
    """Items one after the other; none at all is a line."""

    items: tuple[Item, ...]


Item: TypeAlias = Block | Skip | Branches | Repeat

KINDS = ("convolution", "linear", "normalization", "activation", "pooling", "other")
_LONGEST = 30


@singledispatch
def kind(layer: L.Layer) -> str:
    """Which of `KINDS` a layer is."""
    return "other"


@singledispatch
def label(layer: L.Layer) -> str:
    """A layer in a few words: what it is and what of its settings shapes the network."""
    text = repr(layer).partition("\n")[0].removesuffix("()").removesuffix("(")
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


_OF_KIND: dict[str, tuple[type[L.Layer], ...]] = {
    "convolution": (L.Conv1d, L.Conv2d, L.Conv3d, L.ConvTranspose1d, L.ConvTranspose2d, L.ConvTranspose3d),
    "linear": (L.Linear,),
    "normalization": (L.BatchNorm, L.LayerNorm, L.LocalResponseNorm),
    "activation": (L.ReLU, L.LeakyReLU, L.Sigmoid, L.Tanh, L.Softplus, L.SiLU, L.GELU, L.Softmax, L.LogSoftmax),
    "pooling": (
        *(L.MaxPool1d, L.MaxPool2d, L.MaxPool3d, L.AvgPool1d, L.AvgPool2d, L.AvgPool3d),
        *(L.AdaptiveAvgPool1d, L.AdaptiveAvgPool2d, L.AdaptiveAvgPool3d, L.GlobalAvgPool),
    ),
}
for _kind, _types in _OF_KIND.items():
    for _type in _types:
        kind.register(_type, lambda layer, _kind=_kind: _kind)


def _convolution(layer: L.Conv2d) -> str:
    *kernel, _, _ = layer.weight.data.shape
    groups = f", {layer.groups} groups" if layer.groups > 1 else ""
    return f"{type(layer).__name__} {_times(kernel)}, {layer.outputs}{_stride(layer.options['stride'])}{groups}"


def _pooling(layer: L.MaxPool2d) -> str:
    return f"{type(layer).__name__} {_times(layer.kernel_size)}{_stride(layer.stride)}"


for _type in _OF_KIND["convolution"]:
    label.register(_type, _convolution)
for _type in _OF_KIND["pooling"][:6]:
    label.register(_type, _pooling)


@label.register
def _(layer: L.Linear) -> str:
    return f"Linear, {layer.outputs}"


@label.register(L.BatchNorm)
@label.register(L.LayerNorm)
@label.register(L.LocalResponseNorm)
@label.register(L.SqueezeExcite)
def _(layer: L.Layer) -> str:
    return type(layer).__name__


def _times(sizes: Shape) -> str:
    return "×".join(map(str, sizes))


def _stride(strides: Shape) -> str:
    same = len(set(strides)) == 1
    return "" if same and strides[0] == 1 else f" /{strides[0] if same else _times(strides)}"


def blocks(whole: LayerShapes) -> Chain:
    """The model as a chain of blocks; what is the same several times running is one `Repeat`."""
    return _chain([*_items(whole, frozen=False)])


def _items(here: LayerShapes, frozen: bool) -> Iterator[Item]:
    layer = here.layer
    frozen = frozen or isinstance(layer, L.Frozen)
    if isinstance(layer, L.Identity):
        return
    if isinstance(layer, L.Residual):
        body, shortcut = (_chain([*_items(branch, frozen)]) for branch in here.inside)
        yield Skip(body, shortcut, here.output_shape)
    elif isinstance(layer, L.Concat):
        yield _branches(here, frozen, "concat")
    elif isinstance(layer, Ensemble):
        yield _branches(here, frozen, "mean of probabilities")
    elif _is_chain(here):
        below = [_stacked([*_items(each, frozen)]) for each in here.inside]
        yield from _folded(below)
    else:
        joins = kind(layer) in ("normalization", "activation") or isinstance(layer, L.Dropout)
        yield Block((Band(label(layer), kind(layer), repr(layer), joins),), here.output_shape, frozen)


def _branches(here: LayerShapes, frozen: bool, joined: str) -> Branches:
    return Branches(tuple(_chain([*_items(branch, frozen)]) for branch in here.inside), here.output_shape, joined)


def _is_chain(here: LayerShapes) -> bool:
    """Whether its layers run one after the other and do all it does: a `Sequential`, or like one."""
    if isinstance(here.layer, (L.Sequential, L.Frozen)):
        return True
    ends = [here.input_shape, *(below.output_shape for below in here.inside)]
    starts = [*(below.input_shape for below in here.inside), here.output_shape]
    return bool(here.inside) and all(end is start for end, start in zip(ends, starts, strict=True))


def _folded(children: list[list[Item]]) -> Iterator[Item]:
    """The children's items, one child after the other; equal neighbours become one where that saves room."""
    start = 0
    while start < len(children):
        stop = start + 1
        while stop < len(children) and children[stop] == children[start]:
            stop += 1
        items, times = children[start], stop - start
        if times > 1 and _saves_room(items, times):
            yield Repeat(Chain(tuple(items)), times, items[-1].shape)
        else:
            for child in children[start:stop]:
                yield from child
        start = stop


def _saves_room(items: list[Item], times: int) -> bool:
    """Whether a frame takes less than what it leaves out: of one block, only from three on, and of one layer never."""
    match items:
        case [Block(bands=bands)]:
            return times > 2 and len(bands) > 1
        case _:
            return True


def _chain(items: list[Item]) -> Chain:
    """A chain in which equal neighbours are folded."""
    return Chain(tuple(_folded([[item] for item in _stacked(items)])))


def _stacked(items: list[Item]) -> list[Item]:
    """Bands that join stand in the block before them."""
    found: list[Item] = []
    for item in items:
        before = found[-1] if found else None
        if isinstance(item, Block) and isinstance(before, Block) and _joins(item) and item.frozen == before.frozen:
            found[-1] = replace(before, bands=before.bands + item.bands, shape=item.shape)
        else:
            found.append(item)
    return found


def _joins(block: Block) -> bool:
    return all(band.joins for band in block.bands)
