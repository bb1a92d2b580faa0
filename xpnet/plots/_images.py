"""Images and what a model took them for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xpnet.plots._panels import GREY, AxesLike, Panels, host, panels_for

if TYPE_CHECKING:
    pass


def misclassified(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    count: int = 25,
    names: Sequence[str] | None = None,
    axes: AxesLike | None = None,
) -> Panels:
    """Draw the first images that are classified wrongly, each with the caption "predicted ≠ true".

    Parameters
    ----------
    images : shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or flat squares (n, h*h), in any range of values.
    labels : true classes, shape (n,).
    predictions : predicted classes, shape (n,), or scores, shape (n, classes).
    count : the most images to draw.
    names : what to call the classes, in the order of their numbers.
    axes : Axes to draw into, at most one image each; None makes a figure.

    Returns
    -------
    One panel for each image, or one panel that says that none is wrong.

    Raises
    ------
    TypeError, ValueError : arrays that do not fit together, classes without a name, or a count under 1.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> [panel] = misclassified([[[0, 1], [1, 0]]] * 3, [0, 1, 1], [0, 1, 0], axes=Figure().subplots())
    >>> panel.get_title(loc="left"), panel.get_xlabel()
    ('1 of 3 wrong (33.3 %)', '0 ≠ 1')
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count is {count!r}, expected a whole number from 1")
    pictures = _pictures(images)
    n = len(pictures)
    true, scores = _classes("labels", host("labels", labels), n, names), host("predictions", predictions)
    if scores.ndim == 2:
        if scores.shape[1] < 2 or np.isnan(scores).any():
            raise ValueError(f"predictions has shape {scores.shape}, expected scores of 2 or more classes without NaN")
        scores = scores.argmax(axis=1)  # (n, classes) -> (n,)
    predicted = _classes("predictions", scores, n, names)
    wrong = np.flatnonzero(predicted != true)
    shown = wrong[: count if axes is None else min(count, np.size(np.asarray(axes, dtype=object)))]
    panels = panels_for(axes, max(1, len(shown)), size=(1.3, 1.55))
    headline = f"{len(wrong)} of {n} wrong ({100 * len(wrong) / n:.1f} %)"
    if axes is None:
        panels[0].figure.suptitle(headline, fontsize=12)
        part = f"; the first {len(shown)}" if len(shown) < len(wrong) else ""
        panels[0].figure.supxlabel(f"predicted ≠ true{part}" if len(wrong) else "", fontsize=9, color=GREY)
    else:
        panels[0].set_title(headline, loc="left", fontsize=11)
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    if not len(wrong):
        panels[0].text(0.5, 0.5, "every image is\nclassified rightly", ha="center", va="center", color=GREY)
        return panels
    drawn = np.nan_to_num(pictures[shown].astype(np.float64), posinf=0.0, neginf=0.0)
    low, high = float(drawn.min()), float(drawn.max())
    if drawn.ndim == 4:  # colours keep their brightness where their range is a usual one
        low, high = next(((0.0, top) for top in (1.0, 255.0) if low >= 0 and high <= top), (low, high))
    drawn = (drawn - low) / ((high - low) or 1.0)
    pairs = [[str(k if names is None else names[k]) for k in (predicted[i], true[i])] for i in shown]
    sign = " ≠ " if max(len(a + b) for a, b in pairs) <= 14 else " ≠\n"
    for panel, picture, pair in zip(panels, drawn, pairs, strict=True):
        panel.imshow(picture, cmap="gray", vmin=0, vmax=1)
        panel.set_xlabel(sign.join(pair), fontsize=9)
    return panels


def _classes(name: str, array: NDArray[Any], n: int, names: Sequence[str] | None) -> NDArray[np.int64]:
    if array.shape != (n,):
        raise ValueError(f"{name} has shape {array.shape}, expected ({n},): one class for each image")
    most = math.inf if names is None else len(names) - 1
    good = (array >= 0) & (array <= most) & (array == np.floor(array))
    if not good.all():
        upto = "" if names is None else f" to {most}"
        raise ValueError(f"{name}[{good.argmin()}] is {array[good.argmin()]}, expected a class number from 0{upto}")
    return array.astype(np.int64)


def _pictures(images: Any) -> NDArray[Any]:
    """Shape (n, h, w) for grey images, (n, h, w, 3) for colours."""
    array = host("images", images)
    if array.size == 0 or array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise ValueError(f"images has shape {array.shape}, expected (n, h, w), (n, h, w, 1 or 3) or (n, h*h), n > 0")
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        if side * side != array.shape[1]:
            raise ValueError(f"images has shape {array.shape}, expected flat squares (n, h*h), or (n, h, w)")
        return array.reshape(-1, side, side)  # (n, h*h) -> (n, h, w)
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array
