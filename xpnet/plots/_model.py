from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xpnet.layers import Layer, check_model, check_shape, layer_shapes
from xpnet.plots._blocks import KINDS, Band, Block, Branches, Chain, Repeat, Skip, blocks
from xpnet.plots._layout import Pen, Picture, label_width
from xpnet.plots._panels import panels_for

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# From Okabe and Ito, "Color Universal Design" (2008), light enough for black text.
COLORS = {
    "convolution": "#56B4E9",
    "linear": "#CC79A7",
    "normalization": "#F0E442",
    "activation": "#E69F00",
    "pooling": "#2DB58F",
    "other": "#D5D5D5",
    "input": "white",
}
_FONT = 8.5
"""Points, where one unit of the Axes is one inch."""
_MARGIN = 0.08
_ACROSS = 3
"""Entries of the legend side by side."""


def model(model: Layer, input_shape: Sequence[int], *, axes: Axes | None = None) -> Axes:
    """Draw a network as a graph of blocks, each layer with the shape it gives; nothing is run.

    A layer that normalizes, activates or drops is drawn in one block with the layer before it. `Residual` is a body
    with a line past it and a sum, `Concat` and `Ensemble` are branches that are joined, and what comes several times
    running is drawn once, in a frame. Layers of one's own are blocks, or chains where their `output_shape` goes from
    layer to layer.
    A dashed edge means `Frozen`, "/2" a stride of 2. High networks go on in a second column, and so on. Layers that
    `output_shape` does not ask, such as heads that only training runs, are not drawn.

    Parameters
    ----------
    model : any layer.
    input_shape : the shape of a batch, as for `output_shape`: (8, 224, 224, 3).
    axes : the Axes to draw into, whose size sets that of the text; None makes a figure that grows with the network.

    Returns
    -------
    The Axes, of which one unit is an inch in a figure of its own. Shapes stand without their batch axis.

    Raises
    ------
    TypeError : `axes` are no matplotlib Axes, or `model` is no layer.
    ValueError : a length of `input_shape` is no positive integer, or what the model's `output_shape` raises.

    Examples
    --------
    >>> import xpnet
    >>> from matplotlib.figure import Figure
    >>> panel = model(xpnet.models.mlp([784, 100, 10]), (32, 784), axes=Figure().subplots())
    >>> [text.get_text() for text in panel.texts]
    ['input', '784', 'Linear, 100', 'ReLU', '100', 'Linear, 10', '10']
    """
    check_model("plots.model", model)
    whole = layer_shapes(model, check_shape("plots.model", "input_shape", input_shape))
    source = Block((Band("input", "input", ""),), whole.input_shape)
    chain = Chain((source, *blocks(whole).items))
    drawn = [*_blocks_of(chain)]
    bands = [band for block in drawn for band in block.bands]
    width = label_width([band.label for band in bands])
    picture = Picture(chain, width)
    kinds = [kind for kind in KINDS if kind in {band.kind for band in bands}]
    rows = math.ceil((len(kinds) + any(block.frozen for block in drawn)) / _ACROSS)
    size = picture.width + 2 * _MARGIN + 0.1, picture.height + 2 * _MARGIN + 0.1 + 0.2 * rows
    panel: Axes = panels_for(axes, 1, size=size)[0]
    panel.set_axis_off()
    limits = {"xlim": (-_MARGIN, picture.width + _MARGIN), "ylim": (picture.height + _MARGIN, -_MARGIN)}
    panel.set(aspect="equal", anchor="NW", **limits)
    panel.set_title(f"{type(model).__name__}, input {whole.input_shape}", loc="left", fontsize=10)
    scale = 1.0 if axes is None else _scale(panel, picture)
    picture.draw(Pen(panel, COLORS, scale * _FONT, width))
    _legend(panel, kinds, frozen=any(block.frozen for block in drawn), scale=scale)
    return panel


def _blocks_of(chain: Chain) -> Iterator[Block]:
    for item in chain.items:
        match item:
            case Block():
                yield item
            case Skip():
                yield from (*_blocks_of(item.body), *_blocks_of(item.shortcut))
            case Branches():
                for branch in item.chains:
                    yield from _blocks_of(branch)
            case Repeat():
                yield from _blocks_of(item.chain)


def _scale(panel: Axes, picture: Picture) -> float:
    """Inches of the Axes to one inch of the picture."""
    extent, dpi = panel.get_window_extent(), panel.figure.dpi
    wide, high = picture.width + 2 * _MARGIN, picture.height + 2 * _MARGIN
    return min(1.0, extent.width / dpi / wide, extent.height / dpi / high)


def _legend(panel: Axes, kinds: list[str], *, frozen: bool, scale: float) -> None:
    from matplotlib.patches import Patch

    entries = [Patch(facecolor=COLORS[kind], label=kind) for kind in kinds]
    if frozen:
        entries.append(Patch(fill=False, linestyle=(0, (3, 1.5)), linewidth=1.3, label="not trained"))
    look: dict[str, Any] = {"frameon": False, "borderaxespad": 0.2, "handlelength": 1.1, "handletextpad": 0.5}
    place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (0.0, 0.0)}
    panel.legend(handles=entries, ncols=_ACROSS, fontsize=scale * 8, columnspacing=1.2, **look, **place)
