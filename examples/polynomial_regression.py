"""A network learns 3 x0² + 2 x1 from 2000 examples, one at a time, and knows nothing outside of them.

A network 2-30-1 with ReLU takes one step of SGD at rate 0.06 for each example, and sees none twice. The inputs lie
between 0 and 1. There the fit is good. Outside, a ReLU network goes on as straight lines: it has no idea of a square,
it only laid pieces of planes along the examples. Interpolation is earned from data, extrapolation is not.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.layers import Layer

Points = NDArray[np.float32]


def polynomial(x: Points) -> Points:
    """The true values, (n, 2) -> (n, 1)."""
    return 3 * x[:, :1] ** 2 + 2 * x[:, 1:]


def error(model: Layer, x: Points) -> float:
    """The root mean squared error at the points x."""
    return float(np.sqrt(np.mean((xpnet.predict(model, x) - polynomial(x)) ** 2)))


def draw(model: Layer, losses_by_step: Sequence[float]) -> Any:
    """Two cuts through the surface, and the losses that led there."""
    line = np.linspace(-1.5, 2.5, 201, dtype=np.float32)
    half = np.full_like(line, 0.5)
    cuts = (
        ("Along x0, at x1 = 0.5", "x0", np.stack([line, half], axis=1)),  # 2 x (201,) -> (201, 2)
        ("Along x1, at x0 = 0.5", "x1", np.stack([half, line], axis=1)),
    )
    figure, (*panels, progress) = pyplot.subplots(1, 3, figsize=(15, 4.6), layout="constrained")
    for panel, (title, name, x) in zip(panels, cuts, strict=True):
        panel.axvspan(0, 1, color="#e8eef4", label="training range")
        panel.plot(line, polynomial(x)[:, 0], color="#555555", label="3 x0² + 2 x1")
        panel.plot(line, xpnet.predict(model, x)[:, 0], color="#D55E00", linewidth=2, label="network")
        panel.set_title(title, loc="left", fontsize=11)
        panel.set(xlabel=name, ylabel="value", xlim=(-1.5, 2.5))
        panel.legend(loc="upper left", fontsize=9)
        panel.grid(alpha=0.25)
    steps = np.arange(1, len(losses_by_step) + 1)
    window = min(50, len(steps))
    smooth = np.convolve(losses_by_step, np.full(window, 1 / window), mode="valid")
    progress.semilogy(steps, losses_by_step, ".", markersize=2, color="#999999", label="one example")
    progress.semilogy(steps[window - 1 :], smooth, color="#0072B2", label=f"mean of {window}")
    progress.set_title("Loss before each step", loc="left", fontsize=11)
    progress.set(xlabel="step", ylabel="loss, ½ (y - t)² (log scale)", ylim=(1e-6, None))
    progress.legend(loc="lower left", fontsize=9)
    progress.grid(alpha=0.25)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains and draws; returns the root mean squared errors inside and outside the training range."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="the number of training examples")
    options = start(parser, arguments)

    (x, t), (x_test, _) = data.polynomial(options.steps, seed=0)
    xpnet.seed(0)
    model = models.mlp([2, 30, 1])
    history = xpnet.fit(
        model,
        data.batches(x, t, 1),
        loss=losses.squared_error,
        optimizer=optimizers.SGD(model, 0.06),
        epochs=1,
        progress=False,
    )
    results = {
        "inside, x0 and x1 in [0, 1]": error(model, x_test),
        "beside, x0 in [1, 2], x1 in [0, 1]": error(model, x_test + np.asarray([1, 0], dtype=np.float32)),
        "beside, x0 in [0, 1], x1 in [1, 2]": error(model, x_test + np.asarray([0, 1], dtype=np.float32)),
        "outside, x0 and x1 in [1, 2]": error(model, x_test + 1),
        "outside, x0 and x1 in [-1, 0]": error(model, x_test - 1),
    }
    save(draw(model, history.steps["loss"]), options.out / "polynomial_regression.png")
    print_table(["test points", "root mean squared error"], [[name, f"{rms:.3f}"] for name, rms in results.items()])
    print("\nThe values inside lie between 0 and 5.")
    return results


if __name__ == "__main__":
    main()
