"""Five rules for one step: SGD, Momentum, AdaGrad, RMSprop and Adam, on a bowl that can be drawn and on a network.

The bowl f(x, y) = x²/20 + y² is steep one way and flat the other. Plain gradient descent (SGD) jumps from wall to wall
and creeps along the floor. Momentum rolls through. AdaGrad, RMSprop and Adam divide each direction by the size of its
own gradients, so both directions count alike; AdaGrad never forgets an old gradient and so gets ever slower.

On a network no one can see the valley, but the loss curves tell the same story.
"""

from collections.abc import Callable, Sequence
from typing import Any, final

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet.layers import Layer, Parameter
from xpnet.optimizers import Optimizer
from xpnet.training import accuracy

RULES: dict[str, tuple[Callable[[Layer, float], Optimizer], float, float]] = {  # rule, rate on the bowl, on the network
    "SGD": (optimizers.SGD, 0.95, 0.1),
    "Momentum": (lambda model, rate: optimizers.Momentum(model, rate, momentum=0.9), 0.1, 0.02),
    "AdaGrad": (optimizers.AdaGrad, 1.5, 0.02),
    "RMSprop": (lambda model, rate: optimizers.RMSprop(model, rate, decay=0.9), 0.3, 0.001),
    "Adam": (optimizers.Adam, 0.3, 0.002),
}
COLOURS = ("#555555", "#0072B2", "#009E73", "#D55E00", "#CC79A7")


@final
class Point(Layer):
    """A place (x, y) in the plane: a model whose parameter is all there is to it."""

    def __init__(self, x: float, y: float) -> None:
        self.place = Parameter(xpnet.get_backend().asarray([x, y]))

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """The place, whatever goes in."""
        return (2,)

    def forward(self, x: Any, *, training: bool = True) -> tuple[Any, Callable[..., None]]:
        """The place itself; its pullback hands the gradient on to it."""

        def pullback(dy: Any, *, input_gradient: bool = False) -> None:
            self.place.accumulate(dy)

        return self.place.data, pullback


def bowl(place: Any) -> Any:
    """The gradient of f(x, y) = x²/20 + y² at a place."""
    return place * xpnet.get_backend().asarray([0.1, 2.0])


def path_down(rule: Callable[[Layer, float], Optimizer], rate: float, steps: int) -> NDArray[Any]:
    """The places (steps + 1, 2) that a rule goes through from (-7, 2)."""
    point = Point(-7.0, 2.0)
    optimizer = rule(point, rate)
    backend = point.backend
    places = [np.array(backend.to_host(point.place.data))]
    for _ in range(steps):
        place, pullback = point.forward(None)
        pullback(bowl(place))
        optimizer.step()
        places.append(np.array(backend.to_host(point.place.data)))
    return np.stack(places)


def train(rule: Callable[[Layer, float], Optimizer], rate: float, epochs: int) -> xpnet.History:
    """The same network, from the same weights and in the same order, by one rule."""
    (x, t), test = data.digits()
    xpnet.seed(0)
    model = models.mlp([64, 100, 100, 10])
    return xpnet.fit(
        model,
        data.batches(x, t, size=50),
        loss=losses.softmax_cross_entropy,
        optimizer=rule(model, rate),
        epochs=epochs,
        validation=test,
        metrics={"accuracy": accuracy},
        progress=False,
    )


def main(arguments: Sequence[str] | None = None) -> dict[str, dict[str, float]]:
    """Draws the paths and the loss curves; returns how far each rule came."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=30, help="steps on the bowl")
    parser.add_argument("--epochs", type=int, default=20, help="epochs on the digits")
    options = start(parser, arguments)

    figure = pyplot.figure(figsize=(13, 7.5), layout="constrained")
    panels = figure.subplot_mosaic([["SGD", "Momentum", "AdaGrad"], ["RMSprop", "Adam", "losses"]])
    x, y = np.meshgrid(np.linspace(-8, 8, 200), np.linspace(-3, 3, 200))
    found: dict[str, dict[str, float]] = {}
    for (name, (rule, bowl_rate, rate)), colour in zip(RULES.items(), COLOURS, strict=True):
        places = path_down(rule, bowl_rate, options.steps)
        panel = panels[name]
        panel.contour(x, y, x**2 / 20 + y**2, levels=np.geomspace(0.05, 12, 9), colors="#bbbbbb", linewidths=0.8)
        panel.plot(*places.T, "o-", color=colour, markersize=4, linewidth=1.2, label=f"{options.steps} steps")
        panel.plot(0, 0, "k+", markersize=12)
        panel.set(title=f"{name}, rate {bowl_rate}", xlabel="x", ylabel="y", xlim=(-8, 8), ylim=(-3, 3))

        history = train(rule, rate, options.epochs)
        losses_panel = panels["losses"]
        losses_panel.plot(history["epoch"], history["loss"], color=colour, label=f"{name}, rate {rate}")
        end = places[-1]
        found[name] = {
            "height on the bowl": float(end[0] ** 2 / 20 + end[1] ** 2),
            "training loss": history["loss"][-1],
            "test accuracy": history["val_accuracy"][-1],
        }
    losses_panel.set(title="the same network on digits", xlabel="epoch", ylabel="training loss", yscale="log")
    losses_panel.grid(alpha=0.3)
    losses_panel.legend()
    save(figure, options.out / "optimizers.png")

    rows = [
        [name, f"{row['height on the bowl']:.2g}", f"{row['training loss']:.4f}", f"{row['test accuracy']:.1%}"]
        for name, row in found.items()
    ]
    print_table(["rule", "height on the bowl", "training loss", "test accuracy"], rows)
    return found


if __name__ == "__main__":
    main()
