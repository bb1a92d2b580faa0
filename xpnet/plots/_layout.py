"""Where blocks stand and how lines go, in inches: x to the right, y downwards. Each part is measured, then drawn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from xpnet._typing import Shape
from xpnet.plots._blocks import Block, Branches, Chain, Item, Repeat, Skip
from xpnet.plots._panels import GREY

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Point: TypeAlias = tuple[float, float]

GAP = 0.34
"""From a block to the next, with an arrow and the shape of what flows beside it."""
_BAND, _RADIUS, _APART, _PAD = 0.22, 0.12, 0.22, 0.16
_LETTER = 0.071
"""The width of a letter of a block's label, a little more than the mean; those of shapes are smaller by a tenth."""
_TALL = 7.0
"""A network higher than this is parted into columns."""
_ASPECT = 1.4


@dataclass(frozen=True)
class Pen:
    """Draws into Axes of which one unit is one inch."""

    axes: Axes
    colors: dict[str, str]
    font: float
    width: float

    def block(self, block: Block, x: float, y: float) -> None:
        for number, band in enumerate(block.bands):
            self.box(x, y + number * _BAND, self.width, _BAND, band.label, self.colors[band.kind], "band")
        dashed: dict[str, Any] = {"linestyle": (0, (4, 2)), "linewidth": 1.6} if block.frozen else {"linewidth": 0.9}
        self._rectangle(x, y, self.width, len(block.bands) * _BAND, "block", fill=False, edgecolor="black", **dashed)

    def box(self, x: float, y: float, width: float, height: float, label: str, color: str, gid: str) -> None:
        self._rectangle(x, y, width, height, gid, facecolor=color, edgecolor="white", linewidth=0.6)
        self.text(x, y + height / 2, label, self.font, "center")

    def frame(self, x: float, y: float, width: float, height: float) -> None:
        self._rectangle(x, y, width, height, "frame", facecolor="#F4F4F4", edgecolor=GREY, linewidth=0.8, zorder=0.5)

    def _rectangle(self, x: float, y: float, width: float, height: float, gid: str, **look: Any) -> None:
        from matplotlib.patches import Rectangle

        self.axes.add_patch(Rectangle((x - width / 2, y), width, height, gid=gid, **look))

    def plus(self, x: float, y: float) -> None:
        """A circle with a plus sign, around (x, y)."""
        from matplotlib.patches import Circle

        self.axes.add_patch(Circle((x, y), _RADIUS, facecolor="white", edgecolor="black", linewidth=0.9, gid="sum"))
        self.line((x - 0.6 * _RADIUS, y), (x + 0.6 * _RADIUS, y), gid="sign")
        self.line((x, y - 0.6 * _RADIUS), (x, y + 0.6 * _RADIUS), gid="sign")

    def text(self, x: float, y: float, text: str, size: float, align: str, color: str = "black") -> None:
        self.axes.text(x, y, text, fontsize=size, color=color, ha=align, va="center_baseline", linespacing=1.0)

    def shape(self, x: float, y: float, shape: Shape) -> None:
        """The shape of what leaves at (x, y) downwards, right beside its line."""
        self.text(x + 0.07, y + 0.42 * GAP, shape_text(shape), 0.88 * self.font, "left", GREY)

    def line(self, *points: Point, gid: str = "line") -> None:
        x, y = zip(*points, strict=True)
        self.axes.plot(x, y, color="black", linewidth=0.9, solid_capstyle="butt", zorder=1.5, gid=gid)

    def arrow(self, *points: Point) -> None:
        """A line with a head at its last point."""
        from matplotlib.patches import Polygon

        (x0, y0), (x, y) = points[-2:]
        length = math.hypot(x - x0, y - y0)
        dx, dy = 0.085 * (x - x0) / length, 0.085 * (y - y0) / length
        self.line(*points[:-1], (x - 0.8 * dx, y - 0.8 * dy), gid="edge")
        corners = [(x, y), (x - dx - 0.45 * dy, y - dy + 0.45 * dx), (x - dx + 0.45 * dy, y - dy - 0.45 * dx)]
        self.axes.add_patch(Polygon(corners, color="black", linewidth=0.0, gid="head"))


def shape_text(shape: Shape) -> str:
    """A shape without its batch axis: 56×56×64."""
    return "×".join(map(str, shape[1:])) or "1"


def label_width(labels: Sequence[str]) -> float:
    """The width of blocks that hold these labels."""
    return max(1.1, 0.16 + _LETTER * max(map(len, labels)))


class Part(Protocol):
    """What is drawn around one vertical line, which enters it above and leaves it below."""

    left: float
    right: float
    height: float
    forked: bool

    def draw(self, pen: Pen, x: float, y: float) -> None:
        """Draws it with the line entering at (x, y) and leaving at (x, y + height)."""


class _BlockPart:
    forked = False

    def __init__(self, item: Block, width: float) -> None:
        self.item, self.height = item, _BAND * len(item.bands)
        self.left, self.right = width / 2, max(width / 2, _shape_width(item.shape))

    def draw(self, pen: Pen, x: float, y: float) -> None:
        pen.block(self.item, x, y)


class ChainPart:
    """Parts one after the other; without any it is a point."""

    def __init__(self, chain: Chain, width: float) -> None:
        self.parts = [part_of(item, width) for item in chain.items]
        self.shapes = [item.shape for item in chain.items]
        self.left = max([part.left for part in self.parts], default=0.05)
        self.right = max([part.right for part in self.parts], default=0.05)
        self.height = sum(part.height for part in self.parts) + GAP * max(0, len(self.parts) - 1)
        self.forked = bool(self.parts) and self.parts[0].forked

    def draw(self, pen: Pen, x: float, y: float) -> None:
        for number, part in enumerate(self.parts):
            if number:
                (pen.line if part.forked else pen.arrow)((x, y), (x, y + GAP))
                pen.shape(x, y, self.shapes[number - 1])
                y += GAP
            part.draw(pen, x, y)
            y += part.height

    def enter(self, pen: Pen, *points: Point) -> None:
        """A line that ends where it begins."""
        (pen.line if self.forked else pen.arrow)(*points)

    def leave(self, pen: Pen, *points: Point) -> None:
        """An arrow from where it ends, with the shape of what flows there."""
        pen.arrow(*points)
        if self.shapes:
            pen.shape(*points[0], self.shapes[-1])


class _SkipPart:
    forked = True

    def __init__(self, item: Skip, width: float) -> None:
        self.body, self.shortcut = ChainPart(item.body, width), ChainPart(item.shortcut, width)
        self.aside = self.body.right + _APART + self.shortcut.left
        self.left, self.right = self.body.left, max(self.aside + self.shortcut.right, _shape_width(item.shape))
        self.height = 2 * GAP + max(self.body.height, self.shortcut.height) + 2 * _RADIUS

    def draw(self, pen: Pen, x: float, y: float) -> None:
        foot, aside = y + self.height - 2 * _RADIUS, x + self.aside
        self.body.enter(pen, (x, y), (x, y + GAP))
        self.body.draw(pen, x, y + GAP)
        self.body.leave(pen, (x, y + GAP + self.body.height), (x, foot))
        middle = foot + _RADIUS
        if self.shortcut.parts:
            self.shortcut.enter(pen, (x, y), (aside, y), (aside, y + GAP))
            self.shortcut.draw(pen, aside, y + GAP)
            self.shortcut.leave(pen, (aside, y + GAP + self.shortcut.height), (aside, middle), (x + _RADIUS, middle))
        else:
            pen.arrow((x, y), (aside, y), (aside, middle), (x + _RADIUS, middle))
        pen.plus(x, middle)


class _BranchesPart:
    forked = True

    def __init__(self, item: Branches, width: float) -> None:
        self.joined = item.joined
        self.chains = [ChainPart(chain, width) for chain in item.chains]
        self.width = sum(chain.left + chain.right for chain in self.chains) + _APART * (len(self.chains) - 1)
        self.left = self.width / 2
        self.right = max(self.left, _shape_width(item.shape))
        self.height = 2 * GAP + max(chain.height for chain in self.chains) + _BAND

    def draw(self, pen: Pen, x: float, y: float) -> None:
        left, foot = x - self.width / 2, y + self.height - _BAND
        for chain in self.chains:
            own = left + chain.left
            if chain.parts:
                chain.enter(pen, (x, y), (own, y), (own, y + GAP))
                chain.draw(pen, own, y + GAP)
                chain.leave(pen, (own, y + GAP + chain.height), (own, foot))
            else:
                pen.arrow((x, y), (own, y), (own, foot))
            left = own + chain.right + _APART
        pen.box(x, foot, self.width, _BAND, self.joined, pen.colors["other"], "join")


class _RepeatPart:
    forked = True

    def __init__(self, item: Repeat, width: float) -> None:
        self.chain, self.text = ChainPart(item.chain, width), f"× {item.times}"
        self.left = self.chain.left + _PAD
        self.inner = self.chain.right + _PAD
        self.right = max(self.inner + 0.1 + _LETTER * 1.3 * len(self.text), _shape_width(item.shape))
        self.height = self.chain.height + GAP + _PAD

    def draw(self, pen: Pen, x: float, y: float) -> None:
        pen.frame(x + (self.inner - self.left) / 2, y, self.left + self.inner, self.height)
        pen.text(x + self.inner + 0.06, y + self.height / 2, self.text, 1.2 * pen.font, "left")
        self.chain.enter(pen, (x, y), (x, y + GAP))
        self.chain.draw(pen, x, y + GAP)
        pen.line((x, y + GAP + self.chain.height), (x, y + self.height))


def part_of(item: Item, width: float) -> Part:
    """The item measured, with blocks of that width."""
    match item:
        case Block():
            return _BlockPart(item, width)
        case Skip():
            return _SkipPart(item, width)
        case Branches():
            return _BranchesPart(item, width)
        case Repeat():
            return _RepeatPart(item, width)


def _shape_width(shape: Shape) -> float:
    return 0.12 + 0.9 * _LETTER * len(shape_text(shape))


class Picture:
    """The whole network: one column, or several side by side if it is high.

    Attributes
    ----------
    width, height : in inches.
    """

    def __init__(self, chain: Chain, width: float) -> None:
        whole = ChainPart(chain, width)
        heights = [part.height + GAP for part in whole.parts]
        most = min(len(heights), 12) if sum(heights) > _TALL else 1
        tries = [[ChainPart(Chain(run), width) for run in _parted(chain.items, heights, n)] for n in range(1, most + 1)]
        self.columns = min(tries, key=lambda columns: abs(math.log(_size(columns)[0] / _size(columns)[1] / _ASPECT)))
        self.width, self.height = _size(self.columns)

    def draw(self, pen: Pen) -> None:
        """Draws the columns from left to right, each joined to the next by a line between them."""
        edge, entry = 0.0, list[Point]()
        for column in self.columns:
            x = edge + column.left
            if entry:
                column.enter(pen, *entry, (x, 0.0), (x, GAP))
            column.draw(pen, x, GAP if entry else 0.0)
            foot = column.height + (GAP if entry else 0.0)
            edge += column.left + column.right + 2 * _APART
            if column is self.columns[-1]:
                column.leave(pen, (x, foot), (x, foot + GAP))
            else:
                pen.shape(x, foot, column.shapes[-1])
                entry = [(x, foot), (x, foot + GAP), (edge - _APART, foot + GAP), (edge - _APART, 0.0)]


def _parted(items: tuple[Item, ...], heights: list[float], columns: int) -> list[tuple[Item, ...]]:
    """The items in at most so many runs, the highest of which is as low as can be."""
    low, high = max(heights), sum(heights)
    while high - low > 0.01:
        middle = (low + high) / 2
        low, high = (low, middle) if len(_runs(heights, middle)) <= columns else (middle, high)
    return [items[run] for run in _runs(heights, high)]


def _runs(heights: list[float], limit: float) -> list[slice]:
    """Runs that are filled one after the other up to the limit."""
    found, start, filled = list[slice](), 0, 0.0
    for number, height in enumerate(heights):
        if filled + height > limit and number > start:
            found.append(slice(start, number))
            start, filled = number, 0.0
        filled += height
    return [*found, slice(start, len(heights))]


def _size(columns: list[ChainPart]) -> tuple[float, float]:
    wide = sum(column.left + column.right for column in columns) + 2 * _APART * (len(columns) - 1)
    return wide, max(column.height for column in columns) + GAP * (2 if len(columns) > 1 else 1)
