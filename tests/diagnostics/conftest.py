"""Networks written by hand, the way a learner writes them, with one mistake each where one is asked for."""

import numpy as np
import pytest


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


FUNCTIONS = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: (z > 0.0) * 1.0),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "sigmoid": (sigmoid, lambda z: sigmoid(z) * (1.0 - sigmoid(z))),
}


class Network:
    """Affine layers W1, b1, W2, … with one hidden activation; squared error, or softmax and cross entropy.

    `mistake` is a name below; `layer` is where it is made, 1 for the first.
    """

    def __init__(self, sizes, hidden="tanh", loss="squared", n=12, seed=0, mistake=None, layer=1, penalty=0.0,
                 dtype=np.float64):  # fmt: skip
        random = np.random.default_rng(seed)
        self.sizes, self.hidden, self.kind, self.n = sizes, hidden, loss, n
        self.mistake, self.layer, self.penalty, self.depth = mistake, layer, penalty, len(sizes) - 1
        self.parameters = {}
        for k in range(1, self.depth + 1):
            fan = sizes[k - 1]
            self.parameters[f"W{k}"] = (random.standard_normal((fan, sizes[k])) * np.sqrt(1.5 / fan)).astype(dtype)
            self.parameters[f"b{k}"] = (0.3 * random.standard_normal(sizes[k])).astype(dtype)
        self.x, self.t = self.batch(random, dtype)
        self.other = self.batch(random, dtype)

    def batch(self, random, dtype):
        x = random.standard_normal((self.n, self.sizes[0])).astype(dtype)
        if self.kind == "softmax":
            return x, random.integers(0, self.sizes[-1], self.n)
        return x, random.standard_normal((self.n, self.sizes[-1])).astype(dtype)

    def values(self, p, x):
        f = FUNCTIONS[self.hidden][0]
        z, h = [None], [x]
        for k in range(1, self.depth + 1):
            z.append(h[-1] @ p[f"W{k}"] + p[f"b{k}"])
            h.append(f(z[-1]) if k < self.depth else z[-1])
        if self.kind == "softmax":
            e = np.exp(z[-1] - z[-1].max(axis=1, keepdims=True))
            h[-1] = e / e.sum(axis=1, keepdims=True)
        return z, h

    def forward(self, p, x):
        return self.values(p, x)[1][-1]

    def loss(self, p):
        y = self.forward(p, self.x)
        if self.kind == "softmax":
            value = -np.log(y[np.arange(self.n), self.t]).mean()
        else:
            value = 0.5 * ((y - self.t) ** 2).sum() / self.n
        return value + 0.5 * self.penalty * sum((p[f"W{k}"] ** 2).sum() for k in range(1, self.depth + 1))

    def gradients(self, p):
        here, m = self.layer, self.mistake
        p = dict(p)
        x, t = self.other if m == "other batch" else (self.x, self.t)
        z, h = self.values(p, x)
        f, df = FUNCTIONS[self.hidden]
        target = np.eye(self.sizes[-1])[t] if self.kind == "softmax" else t
        delta = (h[-1] - target) / (1.0 if m == "summed" else self.n)
        delta = -delta if m == "sign" else 2.0 * delta if m == "twice" else delta
        used = list(h)
        slopes = [df(each) if each is not None else None for each in z]
        at = here == np.arange(self.depth + 1)
        if m == "argument" and here < self.depth:
            slopes[here] = df(h[here])
        elif m == "argument everywhere":
            slopes = [df(each) if each is not None else None for each in h]
        elif m == "mask":
            slopes[here] = np.ones_like(z[here])
        elif m == "no masks":
            slopes = [1.0] * len(slopes)
        elif m == "activation" and here > 1:
            used[here - 1] = z[here - 1]
        elif m == "another layer":
            used[here - 1] = h[here - 2] if here > 1 else h[1]
        elif m == "overwritten":
            used[here] = h[here] * slopes[here]
        elif m == "overwritten by f":
            used[here], slopes[here] = f(h[here]), df(h[here])
        elif m == "bias added":
            used[here] = h[here] + p[f"b{here}"]
        elif m == "old inputs":
            used[0] = self.other[0]
        g = {}
        for k in range(self.depth, 0, -1):
            if k < self.depth:
                delta = delta * slopes[k]
            if m == "sign of delta" and at[k]:
                delta = -delta
            if m == "half delta" and at[k]:
                delta = 0.5 * delta
            g[f"W{k}"], g[f"b{k}"] = used[k - 1].T @ delta, delta.sum(axis=0)
            if m == "bias over all" and at[k]:
                g[f"b{k}"] = delta.sum()
            elif m == "bias over units" and at[k]:
                g[f"b{k}"] = delta.sum(axis=1)
            elif m == "bias not summed" and at[k]:
                g[f"b{k}"] = delta
            elif m == "bias over all everywhere":
                g[f"b{k}"] = delta.sum() + 0.0 * p[f"b{k}"]
            elif m == "bias mean" and at[k]:
                g[f"b{k}"] = delta.mean(axis=0)
            if m != "no penalty":
                g[f"W{k}"] = g[f"W{k}"] + self.penalty * p[f"W{k}"]
            if m == "transposed" and at[k]:
                g[f"W{k}"] = g[f"W{k}"].T
            if m == "sign of W" and at[k]:
                g[f"W{k}"] = -g[f"W{k}"]
            if m == "zero" and at[k]:
                g[f"W{k}"] = 0.0 * g[f"W{k}"]
            if m == "after update":
                p[f"W{k}"] = p[f"W{k}"] - 0.1 * g[f"W{k}"]
            weight = p[f"W{k}"]
            delta = delta @ (weight if m == "back transposed" and at[k] else weight.T)
        if m == "unneeded penalty":
            g = {name: each + 1e-3 * p[name] * (name[0] == "W") for name, each in g.items()}
        return g

    def check(self, **options):
        from xpnet.diagnostics import check_gradients

        context = {"forward": self.forward, "x": self.x, "t": self.t, "other": self.other}
        return check_gradients(self.loss, self.parameters, self.gradients, **(context | options))


MISTAKES = {
    "summed": "loss_summed",
    "sign": "gradient_sign",
    "twice": "gradient_scale",
    "sign of delta": "gradient_sign",
    "sign of W": "gradient_sign",
    "half delta": "gradient_scale",
    "bias over all": "bias_gradient_axis",
    "bias over all everywhere": "bias_gradient_axis",
    "bias over units": "bias_gradient_axis",
    "bias not summed": "bias_gradient_axis",
    "bias mean": "gradient_scale",
    "transposed": "gradient_transposed",
    "back transposed": "gradient_transposed",
    "activation": "gradient_activation",
    "another layer": "gradient_activation",
    "argument": "gradient_argument",
    "argument everywhere": "gradient_argument",
    "mask": "gradient_mask",
    "no masks": "gradient_mask",
    "after update": "gradient_after_update",
    "zero": "gradient_zero",
    "other batch": "gradient_stale",
    "old inputs": "gradient_stale",
    "no penalty": "gradient_term",
    "unneeded penalty": "gradient_term",
    "overwritten": "activation_overwritten",
    "overwritten by f": "activation_overwritten",
    "bias added": "activation_overwritten",
}


def possible(mistake, layer, depth, hidden, sizes, n):
    """Whether this mistake makes a difference, and is one, at this layer."""
    if mistake in ("transposed", "back transposed"):
        return 1 < layer < depth and sizes[layer - 1] == sizes[layer]
    if mistake in ("activation",):
        return layer > 1 and not (mistake == "activation" and layer == 1)
    if mistake == "another layer":
        return layer > 2 and sizes[layer - 1] == sizes[layer - 2]
    if mistake.startswith(("argument", "overwritten")) and hidden == "relu":
        return False
    if mistake in ("mask", "argument", "overwritten", "overwritten by f", "bias added"):
        return layer < depth
    if mistake == "bias over units":
        return sizes[layer] == n and n > 1
    if mistake == "bias over all":
        return sizes[layer] > 1
    if mistake in ("sign of delta", "half delta"):
        return layer < depth
    return layer == 1 or mistake in ("sign of W", "bias not summed", "bias mean", "zero")


@pytest.fixture
def network():
    """The class of hand-written networks."""
    return Network


@pytest.fixture
def mistakes():
    """Names of mistakes with their causes."""
    return MISTAKES


@pytest.fixture
def can_be_made():
    """Whether a mistake can be made at a layer."""
    return possible
