"""Pictures of a training run and of a network: every function reads host data and returns matplotlib Axes.

Without `axes` a function makes a figure with `matplotlib.pyplot.subplots`; with `axes` it draws there and leaves the
rest of that figure alone. Nothing is shown and no setting is changed: call `plt.show()`, or save with
`panel.figure.savefig(path)`. Arrays that live on a device are moved with `xpnet.backend.to_host` first.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Panels: TypeAlias = NDArray[np.object_]
"""A one-dimensional NumPy array of matplotlib Axes, one for each panel, in reading order."""
_Floats: TypeAlias = NDArray[np.float64]
_Axes: TypeAlias = "Axes | Sequence[Axes] | Panels"

# Blue, vermilion and grey stay apart for colour-blind readers: Okabe and Ito, "Color Universal Design" (2008).
_BLUE, _VERMILION, _GREY = "#0072B2", "#D55E00", "#555555"
_NOT_CURVES = ("epoch", "learning_rate", "penalty", "seconds")
_MARKS = ("zero", "not finite")


class _History(Protocol):
    @property
    def epochs(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def gradient_norms(self) -> Mapping[str, Mapping[int, float]]: ...


def learning_curves(history: _History, *, axes: _Axes | None = None) -> Panels:
    """Draw the loss and every metric over the epochs, training (dashed) beside validation (solid).

    Parameters:
        history: its `epochs` has one dict for each epoch: "epoch" (from 1), "loss", any metrics, and the same names
            with "val_" in front. "learning_rate", "penalty" and "seconds" are not drawn.
        axes: one Axes for each panel; None makes a figure.
    Returns:
        The panels, the loss first, on a log scale if it spans over two decades. Values that are not finite leave a gap.
    Raises:
        TypeError, ValueError: no rows, no curves, values that are not numbers, or too few axes.

    Example:
        >>> from types import SimpleNamespace
        >>> from matplotlib.figure import Figure
        >>> history = SimpleNamespace(epochs=[{"epoch": 1, "loss": 0.9, "val_loss": 1.1}, {"epoch": 2, "loss": 0.4}])
        >>> [panel] = learning_curves(history, axes=Figure().subplots())
        >>> [line.get_label() for line in panel.lines]
        ['training', 'validation']
    """
    rows = _attribute(history, "epochs", "a row for each epoch")
    names = list(dict.fromkeys(key.removeprefix("val_") for row in rows for key in row))
    names = sorted((name for name in names if name not in _NOT_CURVES), key=lambda name: name != "loss")
    if not names:
        raise ValueError(f"history.epochs has only {sorted(rows[0])}, expected a loss or a metric")
    panels = _panels(axes, len(names), wide=3, size=(4.2, 3.3))
    for panel, name in zip(panels, names, strict=True):
        curves: dict[str, _Floats] = {}
        for label, key in (("training", name), ("validation", "val_" + name)):
            points = [(row.get("epoch", i), row[key]) for i, row in enumerate(rows, 1) if key in row]
            if points:
                curves[label] = _floats(f"history.epochs[...][{key!r}]", points)  # (rows with it, 2)
        values = np.concatenate([curve[:, 1] for curve in curves.values()])
        values = values[np.isfinite(values)]
        log = name == "loss" and values.size > 0 and values.min() > 0 and values.max() > 100 * values.min()
        panel.set_yscale("log" if log else "linear")
        for label, curve in curves.items():
            behind = label == "training" and len(curves) == 2
            look = {"linestyle": (0, (4, 1.5)), "markerfacecolor": "white"} if behind else {"linestyle": "-"}
            _line(panel, curve, label=label, color=_BLUE, linewidth=1.7, **look)
        title = name.replace("_", " ")
        _dress(panel, title[:1].upper() + title[1:], "epoch", f"{title} (log scale)" if log else title, counted=True)
    return panels


def regression(
    x: ArrayLike,
    targets: ArrayLike,
    predictions: ArrayLike,
    *,
    hinges: ArrayLike | None = None,
    axes: Axes | None = None,
) -> Axes:
    """Draw what a regression learned: its curve through the targets, or predictions against targets.

    Parameters:
        x: the inputs, shape (n,) or (n, features). With one feature, targets and predictions are drawn over it; with
            several, predictions are drawn over targets, with the diagonal.
        targets, predictions: shape (n,) or (n, 1).
        hinges: shape (h,), for one feature only: the x where ReLU units bend, -bias/weight. Ticks at the bottom mark
            them; those outside the data are only counted.
        axes: the Axes to draw into; None makes a figure.
    Returns:
        The Axes. Its title tells the root mean square error over the pairs that are finite.
    Raises:
        TypeError, ValueError: arrays that are not numbers or do not fit together.

    Example:
        >>> from matplotlib.figure import Figure
        >>> panel = regression([0, 1, 2], [0, 1, 4], [0, 2, 3], hinges=[0.5, 7], axes=Figure().subplots())
        >>> [text.get_text() for text in panel.get_legend().get_texts()]
        ['target', 'prediction', '2 hinges (1 outside the data)']
    """
    inputs = _floats("x", x)
    if inputs.ndim not in (1, 2) or inputs.size == 0:
        raise ValueError(f"x has shape {inputs.shape}, expected (n,) or (n, features), not empty")
    n = len(inputs)
    target, predicted = _column("targets", targets, n), _column("predictions", predictions, n)
    finite = np.isfinite(target) & np.isfinite(predicted)
    with np.errstate(over="ignore"):
        error = math.sqrt(np.square(predicted - target)[finite].mean()) if finite.any() else math.nan
    lost = "" if finite.all() else f" ({n - finite.sum()} of {n} not finite)"
    title = f"Regression: RMSE {error:.3g}{lost}"
    dots: dict[str, Any] = {"s": 20 if n <= 300 else 8, "alpha": 0.6 if n <= 300 else 0.35, "linewidths": 0}
    if inputs.size > n:
        if hinges is not None:
            raise ValueError(f"hinges need x with one feature, shape (n,) or (n, 1), but x has shape {inputs.shape}")
        panel: Axes = _panels(axes, 1, size=(5.0, 5.2))[0]
        panel.scatter(target[finite], predicted[finite], color=_BLUE, **dots)
        panel.axline((0, 0), slope=1, color=_GREY, linewidth=1, linestyle="--", label="prediction = target")
        panel.set_aspect("equal", adjustable="datalim")
        _dress(panel, title, "target", "prediction")
        return panel
    position = inputs.reshape(n)
    if not np.isfinite(position).all():
        raise ValueError(f"x has {n - np.isfinite(position).sum()} of {n} values not finite, expected none")
    bends = None if hinges is None else _floats("hinges", hinges)
    if bends is not None and bends.ndim != 1:
        raise ValueError(f"hinges has shape {bends.shape}, expected (h,)")
    panel = _panels(axes, 1, size=(6.4, 4.2))[0]
    order = np.argsort(position, kind="stable")
    panel.scatter(position, target, color=_GREY, label="target", **dots)
    curve = np.stack([position[order], predicted[order]], axis=1)  # 2 x (n,) -> (n, 2)
    _line(panel, curve, label="prediction", color=_VERMILION, linewidth=2)
    if bends is not None:
        inside = bends[(bends >= position.min()) & (bends <= position.max())]
        outside = f" ({bends.size - inside.size} outside the data)" if inside.size < bends.size else ""
        bottom, height = panel.get_xaxis_transform(), np.full(inside.size, 0.03)
        label = f"{bends.size} hinge{'' if bends.size == 1 else 's'}{outside}"
        panel.plot(inside, height, "|", color=_BLUE, markersize=10, transform=bottom, label=label)
        panel.margins(y=0.1)
    _dress(panel, title, "x", "value")
    return panel


def activations(outputs: Mapping[str, ArrayLike], *, axes: _Axes | None = None) -> Panels:
    """Draw a histogram of every layer's outputs, with their mean, standard deviation and share of exact zeros.

    Parameters:
        outputs: layer path -> host array of any shape.
        axes: one Axes for each layer; None makes a figure.
    Returns:
        One panel for each layer, in the dict's order. Exact zeros are in no bar: a line marks them, and the text gives
        their share. The panels have one x axis, unless a layer's range is under a twentieth of the widest. Values that
        are not finite are left out and counted.
    Raises:
        TypeError, ValueError: an empty dict, an empty array, values that are not numbers, or too few axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> [panel] = activations({"relu": [[0.0, 1.0], [0.0, 3.0]]}, axes=Figure().subplots())
        >>> [text.get_text() for text in panel.texts]
        ['mean 1, std 1.22', 'zeros 50 %']
    """
    return _histograms("outputs", outputs, axes, title="Layer outputs", xlabel="output", zeros=True)


def weights(parameters: Mapping[str, ArrayLike], *, axes: _Axes | None = None) -> Panels:
    """Draw a histogram of every parameter, with its mean and standard deviation.

    Parameters:
        parameters: path -> host array of any shape, such as `model.state()` moved to the host.
        axes: one Axes for each entry; None makes a figure.
    Returns:
        One panel for each entry, in the dict's order, each with its own x axis. Values that are not finite are left out
        and counted.
    Raises:
        TypeError, ValueError: an empty dict, an empty array, values that are not numbers, or too few axes.

    Example:
        >>> from matplotlib.figure import Figure
        >>> panels = weights({"0.weight": [[0.0, 1.0]], "0.bias": [0.5]}, axes=Figure().subplots(1, 2))
        >>> [panel.get_title(loc="left") for panel in panels]
        ['0.weight', '0.bias']
    """
    return _histograms("parameters", parameters, axes, title="Parameters", xlabel="value", zeros=False)


def gradient_norms(history: _History, *, axes: Axes | None = None) -> Axes:
    """Draw the norm of every gradient over the training steps, coloured in order from the first layer to the last.

    Parameters:
        history: its `gradient_norms`, from a `GradientNorms` callback, is a dict, path -> {step: norm}.
        axes: the Axes to draw into; None makes a figure.
    Returns:
        The Axes, with a log scale. A norm of zero leaves a gap and a triangle at the bottom, a norm that is not finite
        a gap and a cross at the top.
    Raises:
        TypeError, ValueError: no norms, or values that are not numbers.

    Example:
        >>> from types import SimpleNamespace
        >>> from matplotlib.figure import Figure
        >>> history = SimpleNamespace(gradient_norms={"0.weight": {0: 1.5, 10: 0.7}, "2.weight": {0: 0.2, 10: 0.0}})
        >>> panel = gradient_norms(history, axes=Figure().subplots())
        >>> [text.get_text() for text in panel.get_legend().get_texts()]
        ['zero']
    """
    recorded = _attribute(history, "gradient_norms", "what a GradientNorms callback records")
    norms = {path: steps for path, steps in recorded.items() if steps}
    if not norms:
        raise ValueError("history.gradient_norms has no step for any path, expected at least one")
    curves = [_floats(f"history.gradient_norms[{path!r}]", sorted(steps.items())) for path, steps in norms.items()]
    panel: Axes = _panels(axes, 1, size=(7.6, 4.4))[0]
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import BoundaryNorm, ListedColormap

    paths, n = list(norms), len(norms)
    colors = colormaps["viridis"](np.linspace(0, 0.92, n))  # the yellow at the end is lost on white
    panel.set_yscale("log")
    for color, curve in zip(colors, curves, strict=True):
        _line(panel, curve, color=color, linewidth=1.5 if n <= 12 else 1.0)
    if n > 1:
        shown = np.linspace(0, n - 1, min(n, 20)).round().astype(int)
        scale = ScalarMappable(BoundaryNorm(np.arange(n + 1) - 0.5, n), ListedColormap(colors))
        bar = panel.figure.colorbar(scale, ax=panel, ticks=shown, aspect=30, pad=0.02)
        bar.ax.set_yticklabels([_short(paths[i]) for i in shown], fontsize=8)
        bar.ax.tick_params(which="both", length=0)
        bar.ax.invert_yaxis()
        bar.outline.set_visible(False)
    title = "Gradient norms, first to last layer" if n > 1 else f"Gradient norm of {_short(paths[0])}"
    _dress(panel, title, "training step", "gradient norm (log scale)", counted=True)
    return panel


def misclassified(
    images: ArrayLike,
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    count: int = 25,
    names: Sequence[str] | None = None,
    axes: _Axes | None = None,
) -> Panels:
    """Draw the first images that are classified wrongly, each with the caption "predicted ≠ true".

    Parameters:
        images: shape (n, h, w), (n, h, w, 1), (n, h, w, 3) or flat squares (n, h*h), in any range of values.
        labels: true classes, shape (n,).
        predictions: predicted classes, shape (n,), or scores, shape (n, classes).
        count: the most images to draw.
        names: what to call the classes, in the order of their numbers.
        axes: Axes to draw into, at most one image each; None makes a figure.
    Returns:
        One panel for each image, or one panel that says that none is wrong.
    Raises:
        TypeError, ValueError: arrays that do not fit together, classes without a name, or a count under 1.

    Example:
        >>> from matplotlib.figure import Figure
        >>> [panel] = misclassified([[[0, 1], [1, 0]]] * 3, [0, 1, 1], [0, 1, 0], axes=Figure().subplots())
        >>> panel.get_title(loc="left"), panel.get_xlabel()
        ('1 of 3 wrong (33.3 %)', '0 ≠ 1')
    """
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"count is {count!r}, expected a whole number from 1")
    pictures = _pictures(images)
    n = len(pictures)
    true, scores = _classes("labels", _host("labels", labels), n, names), _host("predictions", predictions)
    if scores.ndim == 2:
        if scores.shape[1] < 2 or np.isnan(scores).any():
            raise ValueError(f"predictions has shape {scores.shape}, expected scores of 2 or more classes without NaN")
        scores = scores.argmax(axis=1)  # (n, classes) -> (n,)
    predicted = _classes("predictions", scores, n, names)
    wrong = np.flatnonzero(predicted != true)
    shown = wrong[: count if axes is None else min(count, np.size(np.asarray(axes, dtype=object)))]
    panels = _panels(axes, max(1, len(shown)), size=(1.3, 1.55))
    headline = f"{len(wrong)} of {n} wrong ({100 * len(wrong) / n:.1f} %)"
    if axes is None:
        panels[0].figure.suptitle(headline, fontsize=12)
        part = f"; the first {len(shown)}" if len(shown) < len(wrong) else ""
        panels[0].figure.supxlabel(f"predicted ≠ true{part}" if len(wrong) else "", fontsize=9, color=_GREY)
    else:
        panels[0].set_title(headline, loc="left", fontsize=11)
    for panel in panels:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    if not len(wrong):
        panels[0].text(0.5, 0.5, "every image is\nclassified rightly", ha="center", va="center", color=_GREY)
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


def _host(name: str, values: Any) -> NDArray[Any]:
    """Any array of numbers that NumPy can read, as it is."""
    try:
        array = np.asarray(values)
    except (TypeError, ValueError, RuntimeError) as error:  # ragged lists, and arrays that live on a device
        kind = type(values).__name__
        raise TypeError(f"{name} of type {kind} is no host array that NumPy can read: {error}") from error
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} has dtype {array.dtype}, expected real numbers")
    return array


def _floats(name: str, values: Any) -> _Floats:
    return _host(name, values).astype(np.float64, copy=False)


def _attribute(history: Any, name: str, expected: str) -> Any:
    if not hasattr(history, name):
        raise TypeError(f"history of type {type(history).__name__} has no .{name}, expected the History of fit")
    found = getattr(history, name)
    if not found:
        raise ValueError(f"history.{name} is empty, expected {expected}")
    return found


def _column(name: str, values: Any, n: int) -> _Floats:
    array = _floats(name, values)
    if array.shape not in ((n,), (n, 1)):
        raise ValueError(f"{name} has shape {array.shape}, expected ({n},) or ({n}, 1), as x has {n} rows")
    return array.reshape(n)


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
    array = _host("images", images)
    if array.size == 0 or array.ndim not in (2, 3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise ValueError(f"images has shape {array.shape}, expected (n, h, w), (n, h, w, 1 or 3) or (n, h*h), n > 0")
    if array.ndim == 2:
        side = math.isqrt(array.shape[1])
        if side * side != array.shape[1]:
            raise ValueError(f"images has shape {array.shape}, expected flat squares (n, h*h), or (n, h, w)")
        return array.reshape(-1, side, side)  # (n, h*h) -> (n, h, w)
    return array[..., 0] if array.ndim == 4 and array.shape[3] == 1 else array


def _panels(axes: Any, needed: int, *, size: tuple[float, float], wide: int = 1) -> Panels:
    """The first `needed` of the given axes, or new ones of `size` inches: up to `wide` in a row, more near a square."""
    try:
        from matplotlib.axes import Axes
    except ImportError as error:
        raise ImportError("xpnet.plots draws with matplotlib: pip install matplotlib") from error
    if axes is not None:
        given = np.asarray(axes, dtype=object).ravel()
        wrong = next((type(a).__name__ for a in given if not isinstance(a, Axes)), None)
        if wrong is not None:
            raise TypeError(f"axes holds a {wrong}, expected matplotlib Axes")
        if given.size < needed:
            raise ValueError(f"axes has {given.size} Axes, expected at least {needed}, one for each panel")
        return given[:needed]
    from matplotlib import pyplot

    columns = needed if needed <= wide else math.ceil(math.sqrt(needed))
    rows = math.ceil(needed / columns)
    figsize = (max(3.6, size[0] * columns), size[1] * rows + 0.3)
    grid = pyplot.subplots(rows, columns, figsize=figsize, layout="constrained", squeeze=False)[1].ravel()
    for unused in grid[needed:]:
        unused.remove()
    return grid[:needed]


def _line(axes: Axes, points: _Floats, **style: Any) -> None:
    """Draw points (n, 2) as a line, and at the edge those that the scale cannot show; a lone point gets a dot."""
    x, y = points.T
    finite = np.isfinite(y)
    drawn = finite & (y > 0) if axes.get_yscale() == "log" else finite
    beside = np.pad(drawn, 1)
    alone = np.flatnonzero(drawn & ~beside[:-2] & ~beside[2:])
    dot: dict[str, Any] = {"marker": "o", "markersize": 5, "markevery": alone.tolist()} if alone.size else {}
    axes.plot(x, np.where(drawn, y, np.nan), **dot, **style)
    edges = ((finite & ~drawn, "v", 0.02), (~finite, "x", 0.98))
    for (where, marker, height), label in zip(edges, _MARKS, strict=True):
        if where.any():
            edge, heights = axes.get_xaxis_transform(), np.full(where.sum(), height)
            axes.plot(x[where], heights, marker, color=style["color"], markersize=5, transform=edge)
            if label not in axes.get_legend_handles_labels()[1]:
                axes.plot([], [], marker, color=_GREY, markersize=5, label=label)


def _dress(axes: Axes, title: str, xlabel: str, ylabel: str, *, counted: bool = False) -> None:
    """Set labels and a light grid, and the legend under the title, where it hides nothing; `counted` is a whole x."""
    from matplotlib.ticker import MaxNLocator

    entries = sorted(zip(*axes.get_legend_handles_labels(), strict=True), key=lambda entry: entry[1] in _MARKS)
    if entries:
        look: dict[str, Any] = {"frameon": False, "borderaxespad": 0.2, "columnspacing": 1.3, "handletextpad": 0.6}
        place: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.01, 1.0)}  # the left end may hold "1e6"
        axes.legend(*zip(*entries, strict=True), ncols=len(entries), fontsize=9, **look, **place)
    axes.set_title(title, loc="left", fontsize=11, pad=22 if entries else 6)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)
    if counted:
        x = axes.dataLim.intervalx
        if x[0] == x[1]:
            axes.set_xlim(x[0] - 0.5, x[1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1))
    axes.grid(alpha=0.25, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _short(path: str) -> str:
    """A path of at most 28 characters: its end tells most."""
    return path if len(path) <= 28 else "…" + path[-27:]


def _histograms(name: str, arrays: Any, axes: Any, *, title: str, xlabel: str, zeros: bool) -> Panels:
    """One histogram for each array; with `zeros`, exact zeros are shown apart and the panels share x if they can."""
    if not isinstance(arrays, Mapping):
        raise TypeError(f"{name} is of type {type(arrays).__name__}, expected a dict from path to array")
    if not arrays:
        raise ValueError(f"{name} is an empty dict, expected at least one array")
    data = {path: _floats(f"{name}[{path!r}]", values).ravel() for path, values in arrays.items()}
    empty = [path for path, values in data.items() if values.size == 0]
    if empty:
        raise ValueError(f"{name}[{empty[0]!r}] is empty, expected at least one value")
    n, own = len(data), axes is None
    small = n > 12
    panels = _panels(axes, n, wide=4, size=(2.1, 1.7) if small else (3.0, 2.4))
    ranges = []
    for panel, (path, values) in zip(panels, data.items(), strict=True):
        _dress(panel, "", "" if own else xlabel, "" if own else "share of values (%)")
        ranges += _histogram(panel, _short(path), values, font=7.0 if small else 8.5, zeros=zeros)
    low, high = np.transpose(ranges or [(-1.0, 1.0)])  # (panels with bars, 2) -> 2 x (panels with bars,)
    shared = zeros and (high - low).min() >= (high - low).max() / 20
    if shared:
        margin = 0.03 * (high.max() - low.min())
        for i, panel in enumerate(panels):
            panel.set_xlim(low.min() - margin, high.max() + margin)
            panel.tick_params(labelbottom=not own or i + panel.get_gridspec().ncols >= n)
    if own:
        figure = panels[0].figure
        figure.suptitle(title, fontsize=12)
        figure.supxlabel(xlabel if shared or n == 1 else f"{xlabel} (each panel has its own scale)", fontsize=10)
        figure.supylabel("share of values (%)", fontsize=10)
    return panels


def _histogram(axes: Axes, path: str, values: _Floats, *, font: float, zeros: bool) -> list[tuple[float, float]]:
    """Draw one histogram under its path and its numbers; the range of its bars and 0, if it has bars."""
    from matplotlib.ticker import MaxNLocator

    finite = values[np.isfinite(values)]
    bars = finite[finite != 0] if zeros else finite
    with np.errstate(over="ignore", invalid="ignore"):
        notes = [f"mean {finite.mean():.3g}, std {finite.std():.3g}" if finite.size else "no finite value"]
    remarks = [f"zeros {100 * (1 - bars.size / finite.size):.3g} %"] if zeros and finite.size else []
    remarks += [f"{values.size - finite.size} not finite"] if finite.size < values.size else []
    notes += [", ".join(remarks)] if remarks else []
    colors = (_GREY, _VERMILION if bars.size < values.size else _GREY)
    for note, color, line in zip(notes, colors, range(len(notes))[::-1], strict=False):
        above = (0, 3 + line * (font + 2))  # points
        axes.annotate(note, (0, 1), above, "axes fraction", "offset points", fontsize=font, color=color)
    axes.set_title(path, loc="left", fontsize=font + 1, pad=5 + len(notes) * (font + 2))
    axes.tick_params(labelsize=font)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(3 if font < 8 else 5, steps=[1, 2, 2.5, 3, 4, 5, 10]))
    if bars.size < finite.size:
        axes.axvline(0, color=_VERMILION, linewidth=1.5)
    if not bars.size:
        axes.set_yticks([])
        return []
    low, high = float(bars.min()), float(bars.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):  # equal values stand in the middle
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    bins = round(min(40.0, 2 * math.cbrt(bars.size))) | 1  # Rice's rule, made odd
    counts, edges = np.histogram(bars, bins, (low, high))
    axes.stairs(counts * (100 / finite.size), edges, fill=True, color=_BLUE, alpha=0.8)
    axes.set_ylim(bottom=0)
    return [(min(low, 0.0), max(high, 0.0))]
