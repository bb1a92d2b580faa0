"""Networks written in other ways: examples in columns, classes that keep their activations, other outputs."""

import numpy as np
import pytest

from xpnet.diagnostics import check_gradients

RANDOM = np.random.default_rng(11)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class Columns:
    """z = W x + b with one column for each example; sigmoid outputs and binary cross entropy."""

    def __init__(self, mistake=None):
        random = np.random.default_rng(1)
        self.x, self.t = random.standard_normal((3, 20)), (random.random((1, 20)) < 0.5) * 1.0
        self.p = {
            "W1": random.standard_normal((4, 3)),
            "b1": random.standard_normal((4, 1)),
            "W2": random.standard_normal((1, 4)),
            "b2": np.zeros((1, 1)),
        }
        self.mistake = mistake

    def forward(self, p, x):
        h = np.tanh(p["W1"] @ x + p["b1"])
        return sigmoid(p["W2"] @ h + p["b2"])

    def loss(self, p):
        y = self.forward(p, self.x)
        return -(self.t * np.log(y + 1e-12) + (1.0 - self.t) * np.log(1.0 - y + 1e-12)).mean()

    def gradients(self, p):
        m, n = self.mistake, self.x.shape[1]
        z = p["W1"] @ self.x + p["b1"]
        h = np.tanh(z)
        y = sigmoid(p["W2"] @ h + p["b2"])
        dz2 = (y - self.t) / (1.0 if m == "summed" else n)
        if m == "derivative twice":
            dz2 = dz2 * y * (1.0 - y)
        slope = {"argument": 1.0 - z**2, "no derivative": 1.0, "derivative of sigmoid": h * (1.0 - h)}.get(
            m, 1.0 - h**2
        )
        dz1 = p["W2"].T @ dz2 * slope
        used = z if m == "pre-activation" else h
        db1 = dz1.sum() if m == "bias" else dz1.sum(axis=1, keepdims=True)
        return {"W2": dz2 @ used.T, "b2": dz2.sum(axis=1, keepdims=True), "W1": dz1 @ self.x.T, "b1": db1}

    def check(self):
        return check_gradients(self.loss, self.p, self.gradients, forward=self.forward, x=self.x, t=self.t)


@pytest.mark.parametrize(
    ("mistake", "causes"),
    [
        (None, []),
        ("summed", ["loss_summed"]),
        ("derivative twice", ["gradient_argument"]),
        ("argument", ["gradient_argument"]),
        ("derivative of sigmoid", ["gradient_argument"]),
        ("no derivative", ["gradient_mask"]),
        ("pre-activation", ["gradient_activation"]),
        ("bias", ["bias_gradient_axis"]),
    ],
)
def test_examples_in_columns(mistake, causes):
    report = Columns(mistake).check()
    assert [finding.cause for finding in report.findings] == causes


class Kept:
    """A class that keeps its activations between forward and backward, and overwrites one where asked to."""

    def __init__(self, overwrite=None):
        random = np.random.default_rng(3)
        self.W1, self.b1 = random.standard_normal((3, 6)).astype(np.float32), np.zeros(6, np.float32)
        self.W2, self.b2 = random.standard_normal((6, 2)).astype(np.float32), np.zeros(2, np.float32)
        self.overwrite = overwrite

    def forward(self, x):
        self.x = x
        self.z1 = x @ self.W1 + self.b1
        self.h1 = np.tanh(self.z1)
        y = self.h1 @ self.W2 + self.b2
        if self.overwrite == "tanh":
            np.tanh(self.h1, out=self.h1)
        elif self.overwrite == "noise":
            self.h1 += np.linspace(0.0, 1.0, self.h1.size).reshape(self.h1.shape)
        return y

    def backward(self, dy):
        dh = dy @ self.W2.T * (1.0 - np.tanh(self.z1) ** 2)
        if self.overwrite == "in backward":
            self.h1 *= 1.0 - self.h1**2
        return {"W2": self.h1.T @ dy, "b2": dy.sum(axis=0), "W1": self.x.T @ dh, "b1": dh.sum(axis=0)}


@pytest.mark.parametrize("overwrite", [None, "tanh", "noise", "in backward"])
def test_classes_that_keep_their_activations(overwrite):
    random = np.random.default_rng(2)
    x, t = random.standard_normal((15, 3)), random.standard_normal((15, 2))
    net = Kept(overwrite)
    before = vars(net).copy()
    report = check_gradients(
        lambda net: 0.5 * ((net.forward(x) - t) ** 2).sum() / len(x),
        net,
        lambda net: net.backward((net.forward(x) - t) / len(x)),
        forward=lambda net, x: net.forward(x),
        x=x,
        t=t,
    )
    assert [finding.cause for finding in report.findings] == ["activation_overwritten"] * (overwrite is not None)
    assert vars(net) == before


@pytest.mark.parametrize("bound", [True, False])
def test_gradients_of_another_batch_with_labels_in_a_column(bound):
    random = np.random.default_rng(2)
    x, t = random.standard_normal((15, 3)), random.integers(0, 4, (15, 1))
    other = random.standard_normal((15, 3)), random.integers(0, 4, (15, 1))
    p = {"W": random.standard_normal((3, 4)), "b": np.zeros((1, 4))}

    def forward(p, x):
        e = np.exp(x @ p["W"] + p["b"])
        return e / e.sum(axis=1, keepdims=True)

    def loss(p):
        return -np.log(forward(p, x)[np.arange(15), t[:, 0]]).mean()

    def gradients(p, batch=other if bound else (x, t)):
        dz = (forward(p, batch[0]) - np.eye(4)[batch[1][:, 0]]) / 15
        return {"W": batch[0].T @ dz, "b": dz.sum(axis=0, keepdims=True)}

    report = check_gradients(loss, p, gradients, forward=forward, x=x, t=t, other=other)
    assert [finding.cause for finding in report.findings] == ["gradient_stale"] * bound


@pytest.mark.parametrize(
    ("power", "healthy"), [("squares", True), ("absolute values", True), ("no absolute values", False)]
)
def test_penalties(power, healthy):
    random = np.random.default_rng(2)
    x, t, w = random.standard_normal((15, 3)), random.standard_normal((15, 2)), random.standard_normal((3, 2))

    def penalty(w):
        return 0.01 * (w**2).sum() if power == "squares" else 0.01 * np.abs(w).sum()

    def gradients(p):
        slope = {"squares": 0.02 * p["w"], "absolute values": 0.01 * np.sign(p["w"])}.get(power, 0.0)
        return {"w": x.T @ (x @ p["w"] - t) + slope}

    report = check_gradients(lambda p: 0.5 * ((x @ p["w"] - t) ** 2).sum() + penalty(p["w"]), {"w": w}, gradients)
    assert report.healthy is healthy
    if not healthy:
        (finding,) = report.findings
        assert finding.cause == "gradient_term"
        assert finding.sentence == (
            "the gradient of w is without the term 0.01 * sign(w), that the loss's penalty gives"
        )
