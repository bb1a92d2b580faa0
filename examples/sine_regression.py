"""Why does this small network not learn a sine? A learner's question, its answer, and the cure.

A network 1-100-1 with ReLU can follow a sine with ease. The question's network starts from weights 0.1 * randn and
zero biases, sees inputs scaled to [0, 1], and takes 10 000 steps of SGD at rate 0.01. It ends far from the sine.

A ReLU unit max(0, w x + b) is a straight line with one bend, a hinge, at x = -b / w. With zero biases all hundred
hinges start at x = 0, and inputs scaled to [0, 1] put that at the left edge of the data: between the data's ends every
unit is straight, so the network is a straight line, however many units it has. To bend, it has to push hinges into the
data first, and at this rate it moves few of them, slowly, and nearly together.

The cure is to standardise the inputs, which puts x = 0 into the middle of the data, where each hinge can bend the
curve from the first step on, and a rate of 0.1. The table shows that either of the two alone is not enough.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, initializers, losses, models, optimizers, plots
from xpnet.layers import Layer
from xpnet.training import History, Run

HostArray = NDArray[Any]
Scale: TypeAlias = data.MinMax | data.Standardize

EARLY = 50
"""Epochs, of ten steps each, after which the fit is looked at for the first time."""


@dataclass
class Trained:
    """What one setting came to."""

    history: History
    early: HostArray
    """Predictions for the test inputs after the early epochs."""
    predictions: HostArray
    hinges_before: HostArray
    hinges: HostArray

    @property
    def errors(self) -> list[float]:
        """The test mean squared error after each epoch; the course's loss is half of it."""
        return [2 * loss for loss in self.history["val_loss"]]


def hinges(model: Layer, scale: Scale) -> HostArray:
    """Where each hidden unit bends, on the scale of the data: x = -b / w."""
    weight, bias = (model.backend.to_host(model.parameters()[path].data) for path in ("0.weight", "0.bias"))
    return scale.inverse((-bias / weight[0])[:, np.newaxis])[:, 0]  # (100,) -> (100, 1) -> (100,)


def train(scaled_by: Callable[[HostArray], Scale], rate: float, epochs: int) -> Trained:
    """Trains one network on the sine."""
    (x, t), (x_test, t_test) = data.sine()
    scale = scaled_by(x)
    xpnet.seed(0)
    model = models.mlp([1, 100, 1], weight=initializers.normal(0.1))
    hinges_before, early = hinges(model, scale), []

    def look(run: Run) -> None:
        if run.epoch == min(EARLY, epochs):
            early.append(xpnet.predict(run.model, scale(x_test)))

    history = xpnet.fit(
        model,
        data.batches(scale(x), t, 10),
        loss=losses.squared_error,
        optimizer=optimizers.SGD(model, rate),
        epochs=epochs,
        validation=(scale(x_test), t_test),
        callbacks=[look],
        progress=False,
    )
    return Trained(history, early[0], xpnet.predict(model, scale(x_test)), hinges_before, hinges(model, scale))


def draw(question: Trained, mended: Trained, runs: dict[str, Trained]) -> Any:
    """Both fits, their hinges under them, and the errors of all runs beside them."""
    (x, _), (x_test, t_test) = data.sine()
    figure, panels = pyplot.subplot_mosaic(
        [["question", "mended", "errors"], ["question hinges", "mended hinges", "errors"]],
        height_ratios=[2.2, 1],
        figsize=(15, 6.4),
        layout="constrained",
    )
    order = x_test[:, 0].argsort()
    bins = np.linspace(-4, 4, 41).tolist()
    for name, run, title in (
        ("question", question, "Question: inputs in [0, 1], rate 0.01"),
        ("mended", mended, "Mended: standardised inputs, rate 0.1"),
    ):
        panel = panels[name]
        panel.plot(x_test[order], run.early[order], "--", color="#0072B2", label=f"after {EARLY * 10} steps")
        plots.regression(x_test, t_test, run.predictions, axes=panel)
        panel.set_title(f"{title}\ntest MSE {run.errors[-1]:.2g}", loc="left", fontsize=11, pad=22)
        panel.set(xlim=(-4, 4), xlabel="", ylim=(-1.5, 1.5))
        below = panels[f"{name} hinges"]
        below.axvspan(float(x.min()), float(x.max()), color="#eeeeee", label="data")
        below.hist(run.hinges_before.clip(-4, 4), bins, color="#999999", label="at the start")
        below.hist(run.hinges.clip(-4, 4), bins, color="#0072B2", alpha=0.75, label="at the end")
        below.set(xlim=(-4, 4), ylim=(0, 110), xlabel="x   (hinges beyond ±4 are drawn at ±4)", ylabel="hinges")
        below.legend(loc="upper right", fontsize=8, framealpha=1)
    for name, run in runs.items():
        steps = 10 * np.arange(1, len(run.errors) + 1)
        panels["errors"].loglog(steps, run.errors, label=name)
    panels["errors"].set_title("Neither cure is enough alone", loc="left", fontsize=11)
    panels["errors"].set(xlabel="step", ylabel="test mean squared error")
    panels["errors"].grid(alpha=0.25)
    panels["errors"].legend(loc="lower left", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains the four networks and draws them; returns the test mean squared error of each."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=10_000, help="a multiple of 10, as an epoch has ten steps")
    options = start(parser, arguments)

    runs = {
        f"{scale_name}, rate {rate}": train(scale, rate, options.steps // 10)
        for scale_name, scale in (("inputs in [0, 1]", data.MinMax), ("standardised", data.Standardize))
        for rate in (0.01, 0.1)
    }
    question, *_, mended = runs.values()
    save(draw(question, mended, runs), options.out / "sine_regression.png")

    (x, _), _ = data.sine()
    rows = []
    for name, run in runs.items():
        inside = int(((run.hinges > x.min()) & (run.hinges < x.max())).sum())
        rows.append([name, f"{run.errors[-1]:.5f}", str(inside)])
    print_table(["setting", f"test MSE after {options.steps} steps", "hinges inside the data"], rows)
    return {name: run.errors[-1] for name, run in runs.items()}


if __name__ == "__main__":
    main()
