"""Why does it not learn? A hand-written network for a sine, what the doctor says about it, and the cure.

The learner's program is the class below, in plain NumPy: 100 ReLU units, weights 0.1 * randn, zero biases, gradients
by hand, and inputs scaled to [0, 1], as one is told to. The gradients are right. After 10 000 steps the network is
still not much better than a straight line.

`xpnet.diagnostics.diagnose_functions` takes anyone's network as functions of a dict of arrays. It runs on copies, tests
one cause after the other, and tries its remedies before it prints them. Here it finds that all hinges (where a ReLU
bends, x = -b / w) lie at the edge of the data: the network starts as a straight line.

The remedy is to centre the inputs; then a higher rate pays, which before brought little. The doctor tries both on a
copy, and names the rate. The same program with the same steps then follows the sine, with an error more than a hundred
times smaller. Asked again, the doctor finds nothing wrong.

`sine_regression.py` tells the same story with xpnet's own layers. This one computes with NumPy, whatever the backend.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from _common import new_parser, print_table, save, start
from matplotlib import pyplot
from numpy.typing import NDArray

from xpnet import data, plots
from xpnet.diagnostics import Report, diagnose_functions

HostArray: TypeAlias = NDArray[np.float64]
Arrays: TypeAlias = dict[str, HostArray]
Scale: TypeAlias = Callable[[Any], Any]


# The learner's program ----------------------------------------------------------------------------------------------


class Network:
    """A network 1-100-1 with ReLU."""

    def __init__(self, rate: float, seed: int = 0) -> None:
        random = np.random.default_rng(seed)
        self.rate = rate
        self.W1 = 0.1 * random.standard_normal((1, 100))
        self.b1 = np.zeros(100)
        self.W2 = 0.1 * random.standard_normal((100, 1))
        self.b2 = np.zeros(1)

    def forward(self, x: HostArray) -> HostArray:
        """Inputs (n, 1) -> outputs (n, 1)."""
        self.z = x @ self.W1 + self.b1
        self.h = np.maximum(self.z, 0.0)
        y: HostArray = self.h @ self.W2 + self.b2
        return y

    def gradients(self, x: HostArray, t: HostArray) -> Arrays:
        """Of the mean of ½ (y - t)²."""
        dy = (self.forward(x) - t) / len(x)
        dz = dy @ self.W2.T * (self.z > 0.0)
        return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "W2": self.h.T @ dy, "b2": dy.sum(axis=0)}

    def step(self, x: HostArray, t: HostArray) -> None:
        """One step of gradient descent."""
        for name, gradient in self.gradients(x, t).items():
            getattr(self, name)[...] -= self.rate * gradient


def half_squared_error(y: HostArray, t: HostArray) -> float:
    """The mean of ½ (y - t)²."""
    return float(0.5 * np.mean((y - t) ** 2))


# The same program as functions of a dict of arrays --------------------------------------------------------------------


def diagnosed(network: Network, train: tuple[Any, Any], test: tuple[Any, Any]) -> Report:
    """What the doctor says about the network as it starts."""

    def holding(parameters: Arrays) -> Network:
        copy = Network(network.rate)
        vars(copy).update(parameters)
        return copy

    return diagnose_functions(
        forward=lambda parameters, x: holding(parameters).forward(x),
        loss=half_squared_error,
        parameters={name: vars(network)[name] for name in ("W1", "b1", "W2", "b2")},
        gradients=lambda parameters, x, t: holding(parameters).gradients(x, t),
        step=lambda parameters, x, t: holding(parameters).step(x, t),  # in place, in the dict's own arrays
        data=(train, test),
        progress=False,
    )


def named_rate(report: Report, rate: float) -> float:
    """The learning rate that the first remedy was tried with."""
    return rate * ((report.findings[0].verified or {}).get("rate", 1.0) if report.findings else 1.0)


# Training, before and after -------------------------------------------------------------------------------------------


@dataclass
class Trained:
    """What one setting came to."""

    errors: dict[int, float]
    """Test mean squared errors by step."""
    predictions: HostArray
    hinges: HostArray
    """Where each unit bends at the end, in the data's own units."""

    @property
    def error(self) -> float:
        """The last test mean squared error."""
        return list(self.errors.values())[-1]


def sine() -> tuple[tuple[HostArray, HostArray], tuple[HostArray, HostArray]]:
    """The hundred points to learn from, and a hundred others."""
    (x, t), (x_test, t_test) = data.sine()
    return (x.astype(float), t.astype(float)), (x_test.astype(float), t_test.astype(float))


def train(network: Network, scale: data.MinMax | data.Standardize, steps: int) -> Trained:
    """Steps on batches of ten, in a new order each time through the data."""
    (x, t), (x_test, t_test) = sine()
    x, scaled_test = scale(x), scale(x_test)
    random, errors = np.random.default_rng(1), {}
    for step in range(steps):
        if step % 10 == 0:
            order = random.permutation(len(x)).reshape(10, 10)  # (batch, example)
        network.step(x[order[step % 10]], t[order[step % 10]])
        if (step + 1) % 100 == 0 or step + 1 == steps:
            errors[step + 1] = 2.0 * half_squared_error(network.forward(scaled_test), t_test)
    hinges = scale.inverse(-network.b1[:, np.newaxis] / network.W1.T)[:, 0]  # (100,) -> (100, 1) -> (100,)
    return Trained(errors, network.forward(scaled_test), hinges)


def draw(before: Trained, after: Trained, runs: dict[str, Trained]) -> Any:
    """Both fits with their hinges, and the errors of all runs."""
    _, (x_test, t_test) = sine()
    figure, (left, middle, right) = pyplot.subplots(1, 3, figsize=(15, 4.8), layout="constrained")
    for panel, run, title in ((left, before, "Before"), (middle, after, "After")):
        plots.regression(x_test, t_test, run.predictions, hinges=run.hinges, axes=panel)
        panel.set_title(f"{title}: test MSE {run.error:.2g}", loc="left", fontsize=11, pad=22)
        panel.set(ylim=(-1.5, 1.5))
    for name, run in runs.items():
        right.loglog(list(run.errors), list(run.errors.values()), label=name)
    right.set_title("The same steps", loc="left", fontsize=11)
    right.set(xlabel="step", ylabel="test mean squared error")
    right.grid(alpha=0.25)
    right.legend(loc="lower left", fontsize=9)
    return figure


def main(arguments: Sequence[str] | None = None) -> dict[str, float]:
    """Diagnoses, mends, trains and draws; returns the test mean squared error of each setting."""
    parser = new_parser(__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--no-diagnosis", action="store_true", help="only the training")
    options = start(parser, arguments)
    (x, t), (x_test, t_test) = sine()
    question, centred = data.MinMax(x), data.Standardize(x)

    def diagnose(title: str, scale: Scale, rate: float) -> Report:
        report = diagnosed(Network(rate), (scale(x), t), (scale(x_test), t_test))
        print(f"{title}:\n{report}\n", flush=True)
        return report

    mended = 0.1
    if not options.no_diagnosis:
        report = diagnose("The learner's network, inputs in [0, 1], rate 0.01", question, 0.01)
        mended = named_rate(report, 0.01)
        diagnose(f"With centred inputs, rate {mended:g}", centred, mended)

    settings: list[tuple[str, data.MinMax | data.Standardize, float]] = [
        ("inputs in [0, 1]", question, rate) for rate in (0.01, mended)
    ]
    settings += [("centred inputs", centred, rate) for rate in (0.01, mended)]
    runs = {f"{name}, rate {rate:g}": train(Network(rate), scale, options.steps) for name, scale, rate in settings}
    before, *_, after = runs.values()
    save(draw(before, after, runs), options.out / "why_does_it_not_learn.png")
    rows = [[name, f"{run.error:.5f}", f"{before.error / run.error:.3g}"] for name, run in runs.items()]
    print_table(["setting", f"test MSE after {options.steps} steps", "times smaller"], rows)
    return {name: run.error for name, run in runs.items()}


if __name__ == "__main__":
    main()
