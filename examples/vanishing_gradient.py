"""Gradients that vanish on their way back, and three cures.

Five networks differ only in activation and initial weights. Each takes the same steps of SGD at rate 0.1, on batches
of 100. Going back through a layer, a gradient is multiplied by that layer's weights and by the slope of its activation:

* sigmoid, weights 0.01 * randn: the slope is 1/4 at most and the weights are tiny, so each layer passes on a few
  hundredths. The first layers get nothing to learn from, and the network never leaves the level of guessing;
* ReLU, the same weights: what goes forward shrinks as much as what comes back, so all layers' gradients are small
  alike. A slow start, but the weights grow, and the gradients with them;
* sigmoid, randn / sqrt(inputs), which the course calls "Xavier" and xpnet `lecun_normal`: signals keep their size;
* ReLU, randn * sqrt(2 / inputs), He's: the same for an activation that lets half of its inputs pass;
* batch normalization in the worst of them, sigmoid with 0.01 * randn: what enters each sigmoid is brought back to size
  1, so it no longer matters that the weights are small. (The course does not say what it put batch normalization in.)

With MNIST's four files in the folder of `--mnist` (or with `--download`) the networks are 784-40-20-10, as in the
course, and take 2000 steps; otherwise they are 64-40-20-10 on the 8x8 digits and take 3000. The course's own numbers,
which are for MNIST, are drawn beside: look for the same order, not for the same values.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from _common import Rounds, new_parser, print_table, save, start
from matplotlib import pyplot

import xpnet
from xpnet import data, initializers, losses, models, optimizers
from xpnet.initializers import Initializer
from xpnet.layers import Linear
from xpnet.training import GradientNorms, History, accuracy


@dataclass(frozen=True)
class Setting:
    """One of the five networks, and its name in the course's results."""

    activation: str
    weight: Initializer
    course: str
    color: str
    batch_norm: bool = False


SETTINGS = {
    "sigmoid, 0.01": Setting("sigmoid", initializers.normal(0.01), "sigmoid_std0.01", "#999999"),
    "ReLU, 0.01": Setting("relu", initializers.normal(0.01), "relu_std0.01", "#E69F00"),
    "sigmoid, Xavier": Setting("sigmoid", initializers.lecun_normal, "sigmoid_xavier", "#56B4E9"),
    "ReLU, He": Setting("relu", initializers.he_normal, "relu_he", "#D55E00"),
    "sigmoid, 0.01, batch norm": Setting(
        "sigmoid", initializers.normal(0.01), "batch_normalization", "#009E73", batch_norm=True
    ),
}
ROUND = 100
"""Steps from one look at the test accuracy to the next."""
FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


def has_mnist(folder: Path) -> bool:
    """Whether MNIST's four files are in the folder, as they are or with `.gz`."""
    return all((folder / name).is_file() or (folder / f"{name}.gz").is_file() for name in FILES)


@dataclass
class Trained:
    """What one network came to: a row for each round, and step -> gradient norm for each layer's weights."""

    history: History
    norms: list[dict[int, float]]

    @property
    def accuracies(self) -> list[float]:
        """The test accuracy after each round."""
        return self.history["val_accuracy"]


def train(setting: Setting, train_data: tuple[Any, Any], test_data: tuple[Any, Any], steps: int) -> Trained:
    """Trains one of the networks."""
    x, t = train_data
    xpnet.seed(0)
    sizes = [x.shape[1], 40, 20, 10]
    model = models.mlp(sizes, setting.activation, weight=setting.weight, batch_norm=setting.batch_norm)
    history = xpnet.fit(
        model,
        Rounds(data.batches(x, t, 100, drop_last=True), min(ROUND, steps)),
        loss=losses.softmax_cross_entropy,
        optimizer=optimizers.SGD(model, 0.1),
        epochs=max(1, steps // ROUND),
        validation=test_data,
        metrics={"accuracy": accuracy},
        callbacks=[GradientNorms(every=20)],
        progress=False,
    )
    linear = [path for path, layer in model.layers().items() if isinstance(layer, Linear)]
    return Trained(history, [history.gradient_norms[f"{path}.weight"] for path in linear])


def draw_accuracies(runs: dict[str, Trained], course: dict[str, Any], data_name: str) -> Any:
    """The test accuracies on their way, ours and the course's."""
    figure, (ours, theirs) = pyplot.subplots(1, 2, figsize=(13, 5.2), sharey=True, layout="constrained")
    for name, run in runs.items():
        setting = SETTINGS[name]
        steps = ROUND * np.arange(1, len(run.accuracies) + 1)
        ours.plot(steps, run.accuracies, color=setting.color, linewidth=2, label=name)
        points = course["runs"][setting.course]["test_accuracy"]
        theirs.plot([int(step) for step in points], list(points.values()), "o-", color=setting.color, markersize=4)
    ours.set_title(f"xpnet on {data_name}", loc="left", fontsize=11)
    theirs.set_title("The course's numbers, on MNIST (batch norm in what, is not said)", loc="left", fontsize=11)
    for panel in (ours, theirs):
        panel.axhline(0.1, color="#555555", linestyle=":", linewidth=1)
        panel.annotate("guessing", (1, 0.1), (-4, -24), ("axes fraction", "data"), "offset points", ha="right")
        panel.set(xlabel="step", ylim=(0, 1.02))
        panel.grid(alpha=0.25)
    ours.set_ylabel("test accuracy")
    figure.legend(loc="outside lower center", ncols=len(SETTINGS), frameon=False)
    return figure


def draw_gradients(runs: dict[str, Trained]) -> Any:
    """The gradient norms of the three layers, on their way."""
    figure, panels = pyplot.subplots(1, len(runs), figsize=(15, 4), sharey=True, layout="constrained")
    for panel, (name, run) in zip(panels, runs.items(), strict=True):
        for norms, color, layer in zip(run.norms, ("#440154", "#21918c", "#8fd744"), (1, 2, 3), strict=True):
            panel.semilogy(list(norms), list(norms.values()), color=color, linewidth=1.3, label=f"layer {layer}")
        panel.set_title(name, loc="left", fontsize=11)
        panel.set_xlabel("step")
        panel.grid(alpha=0.25)
    panels[0].set_ylabel("norm of the weights' gradient (log scale)")
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Trains the five networks and draws them; returns the test accuracy of each at the end."""
    parser = new_parser(__doc__)
    parser.add_argument("--mnist", type=Path, default=Path("mnist"), help="the folder of MNIST's files")
    parser.add_argument("--download", action="store_true", help="download MNIST into that folder if it is not there")
    parser.add_argument("--steps", type=int, help="a multiple of 100; by default 3000 on digits, 2000 on MNIST")
    options = start(parser, arguments)

    mnist = options.download or has_mnist(options.mnist)
    data_name = "MNIST" if mnist else "the 8x8 digits"
    train_data, test_data = data.mnist(options.mnist) if mnist else data.digits()
    steps = options.steps or (2000 if mnist else 3000)

    runs = {}
    for name, setting in SETTINGS.items():
        runs[name] = train(setting, train_data, test_data, steps)
        print(f"{name}: test accuracy {runs[name].accuracies[-1]:.2%} after {steps} steps", flush=True)

    course = json.loads((Path(__file__).parent / "course_results.json").read_text())
    save(draw_accuracies(runs, course, data_name), options.out / "vanishing_gradient_accuracy.png")
    save(draw_gradients(runs), options.out / "vanishing_gradient_norms.png")

    rows = []
    for name, run in runs.items():
        first, *_, last = (f"{norms[0]:.1g}" for norms in run.norms)
        step, theirs = list(course["runs"][SETTINGS[name].course]["test_accuracy"].items())[-1]
        rows.append([name, first, last, f"{run.accuracies[-1]:.2%}", f"{theirs:.2%} at {step}"])
    names = ["setting", "first layer*", "last layer*", f"accuracy after {steps} steps", "the course, on MNIST"]
    print_table(names, rows)
    print(f"\n* the norm of the gradient of the layer's weights in the first step; ours are on {data_name}")
    return {name: run.accuracies[-1] for name, run in runs.items()}


if __name__ == "__main__":
    main()
