"""Learning by heart, and what holds it back: 300 digits, one network, four ways to train it.

A network with 85 000 weights can learn 300 pictures by heart. To see what that costs, a fifth of the training labels
are wrong here, as in data that someone typed in a hurry: who learns those by heart will be wrong on unseen digits too.
(With `--wrong 0` there is little to hold back: dropout changes nothing then, and such strong penalties cost accuracy.)
Three remedies make learning by heart expensive:

* L1 pulls every weight towards zero with the same force, and most of them end there;
* L2 pulls in proportion to the weight, so many small ones replace few large ones;
* dropout leaves out half of the units at random, so none can rely on another.

What to watch is the gap between the training digits and unseen ones, and the size of the weights.
"""

from collections.abc import Sequence

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from matplotlib.axes import Axes
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.penalties import L1, L2, Penalty
from xpnet.training import accuracy

RUNS: dict[str, tuple[Penalty | None, float]] = {  # a penalty, and a rate of dropout
    "plain": (None, 0.0),
    "L1, 0.002": (L1(2e-3), 0.0),
    "L2, 0.03": (L2(3e-2), 0.0),
    "dropout, 0.5": (None, 0.5),
}


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Trains four times and draws; returns the last accuracies and what became of the weights, for each way."""
    parser = new_parser(__doc__)
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--wrong", type=float, default=0.2, help="the part of training labels that are wrong")
    options = start(parser, arguments)
    (x, t), test = data.digits()
    x, t = x[:300], with_mistakes(t[:300], options.wrong)

    figure, panels = pyplot.subplots(2, 4, figsize=(13, 6), layout="constrained")
    found: dict[str, dict[str, float]] = {}
    for i, (name, (penalty, rate)) in enumerate(RUNS.items()):
        xpnet.seed(0)
        model = models.mlp([64, 256, 256, 10], dropout=rate)
        history = xpnet.fit(
            model,
            data.batches(x, t, size=30),
            loss=losses.softmax_cross_entropy,
            optimizer=optimizers.Adam(model, 1e-3),
            epochs=options.epochs,
            validation=test,
            penalty=penalty,
            metrics={"accuracy": accuracy},
            progress=False,
        )
        values = {path: array for path, array in model.state().items() if path.endswith("weight")}
        weights = np.concatenate([model.backend.to_host(array).ravel() for array in values.values()])
        known = xpnet.evaluate(model, (x, t), loss=losses.softmax_cross_entropy, metrics={"accuracy": accuracy})
        found[name] = {
            "training accuracy": known["accuracy"],
            "test accuracy": history["val_accuracy"][-1],
            "training loss": known["loss"],
            "test loss": history["val_loss"][-1],
            "mean size of a weight": float(np.abs(weights).mean()),
            "weights below 0.001": float((np.abs(weights) < 1e-3).mean()),
        }
        draw_losses(panels[0, i], name, history)
        panels[1, i].hist(weights, bins=np.linspace(-0.5, 0.5, 81), color="#0072B2")
        panels[1, i].set(xlabel="weight", ylabel="number of weights", yscale="log", ylim=(1, 1e5))
        panels[1, i].grid(alpha=0.3)
    share_limits(panels[0])
    save(figure, options.out / "overfitting.png")

    percent = ("training accuracy", "test accuracy", "weights below 0.001")
    names = list(next(iter(found.values())))
    rows = [
        [name, *(f"{row[key]:.1%}" if key in percent else f"{row[key]:.4f}" for key in names)]
        for name, row in found.items()
    ]
    print_table(["300 digits", *names], rows)
    return found


def with_mistakes(t: NDArray[np.int64], part: float) -> NDArray[np.int64]:
    """Labels of which a part, chosen at random, has become another digit."""
    random = np.random.default_rng(0)
    wrong = random.random(len(t)) < part
    return np.where(wrong, (t + random.integers(1, 10, len(t))) % 10, t)


def draw_losses(panel: Axes, name: str, history: xpnet.History) -> None:
    """The losses of one way to train: the gap between the two curves is what was learnt by heart."""
    panel.plot(history["epoch"], history["loss"], color="#0072B2", linestyle="--", label="training")
    panel.plot(history["epoch"], history["val_loss"], color="#0072B2", label="unseen digits")
    panel.set_yscale("log")
    panel.set_title(name)
    panel.set_xlabel("epoch")
    panel.set_ylabel("loss")
    panel.grid(alpha=0.3)
    panel.legend(loc="lower left")


def share_limits(panels: Sequence[Axes]) -> None:
    """The same range of losses in all panels, so that they can be compared."""
    low = min(panel.get_ylim()[0] for panel in panels)
    high = max(panel.get_ylim()[1] for panel in panels)
    for panel in panels:
        panel.set_ylim(max(low, 1e-4), high)


if __name__ == "__main__":
    main()
