"""Two learners of the unseen programs who write classes: one of layer objects, one after scikit-learn's manner."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bench.clinic.case import Arguments
from bench.clinic.unseen_networks import Array, Arrays, Head, Points, Update

# Layer objects


class Affine:
    """Keeps what it needs to go back."""

    def __init__(self, weights: Array, bias: Array) -> None:
        self.weights, self.bias = weights, bias

    def forward(self, x: Array) -> Array:
        self.x = x
        return np.dot(x, self.weights) + self.bias

    def backward(self, dout: Array) -> Array:
        self.dweights = np.dot(self.x.T, dout)
        self.dbias = np.sum(dout, axis=0)
        return np.dot(dout, self.weights.T)


class Relu:
    """Keeps where it gave zero."""

    def forward(self, x: Array) -> Array:
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout: Array) -> Array:
        dout = dout.copy()
        dout[self.mask] = 0
        return dout


class Tanh:
    """Keeps what it gave."""

    def forward(self, x: Array) -> Array:
        self.out = np.tanh(x)
        return self.out

    def backward(self, dout: Array) -> Array:
        return dout * (1.0 - self.out * self.out)


class Sigmoid:
    """Keeps what it gave."""

    def forward(self, x: Array) -> Array:
        self.out = 1.0 / (1.0 + np.exp(-x))
        return self.out

    def backward(self, dout: Array) -> Array:
        return dout * self.out * (1.0 - self.out)


class Stack:
    """Affine layers with an activation between, and a head behind; the layers share arrays with `params`."""

    def __init__(
        self, sizes: Sequence[int], between: Callable[[], Any], head: Head, optimizer: Update, std: Any, seed: int
    ) -> None:
        random = np.random.default_rng(seed + 11)
        self.params: Arrays = {}
        self.layers: list[Any] = []
        self.affines: list[Affine] = []
        for i, inputs in enumerate(sizes[:-1]):
            deviation = std(inputs) if callable(std) else std
            self.params[f"affine{i}_w"] = deviation * random.standard_normal((inputs, sizes[i + 1]))
            self.params[f"affine{i}_b"] = np.zeros(sizes[i + 1])
            self.affines.append(Affine(self.params[f"affine{i}_w"], self.params[f"affine{i}_b"]))
            self.layers += [self.affines[-1]] + ([between()] if i < len(sizes) - 2 else [])
        self.last, self.criterion, self.delta = head
        self.optimizer = optimizer

    def predict(self, x: Array) -> Array:
        for layer in self.layers:
            x = layer.forward(x)
        return self.last(x)

    def loss(self, y: Array, t: Array) -> float:
        return float(self.criterion(y, t))

    def gradient(self, x: Array, t: Array) -> Arrays:
        dout = self.delta(self.predict(x), t)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        grads = {}
        for i, affine in enumerate(self.affines):
            grads[f"affine{i}_w"], grads[f"affine{i}_b"] = affine.dweights, affine.dbias
        return grads

    def fit_batch(self, x: Array, t: Array) -> None:
        self.optimizer(self.params, self.gradient(x, t))


class Dropping(Stack):
    """Drops hidden values when it trains; `predict` is for both."""

    share, training = 0.4, True

    def predict(self, x: Array, train_flag: bool | None = None) -> Array:
        training = self.training if train_flag is None else train_flag
        self.masks = []
        for layer in self.layers:
            x = layer.forward(x)
            if not isinstance(layer, Affine):
                mask = np.random.rand(*x.shape) >= self.share if training else np.full(x.shape, 1.0 - self.share)  # noqa: NPY002
                self.masks.append(mask)
                x = x * mask
        return self.last(x)

    def gradient(self, x: Array, t: Array) -> Arrays:
        dout = self.delta(self.predict(x, True), t)
        masks = list(self.masks)
        for layer in reversed(self.layers):
            dout = layer.backward(dout if isinstance(layer, Affine) else dout * masks.pop())
        return {
            name: value
            for i, affine in enumerate(self.affines)
            for name, value in ((f"affine{i}_w", affine.dweights), (f"affine{i}_b", affine.dbias))
        }


class Switched(Dropping):
    """Drops nothing where it is not told to."""

    training = False


def stack(
    points: Points,
    sizes: Sequence[int],
    head: Head,
    optimizer: Callable[[], Update],
    seed: int,
    *,
    between: Callable[[], Any] = Relu,
    std: Any = lambda inputs: np.sqrt(2.0 / inputs),
    kind: type[Stack] = Stack,
    prepare: Callable[[Arrays], None] | None = None,
    shown: bool = True,
) -> Arguments:
    """A `Stack` behind functions: the arrays given are copied into its own, and those back."""
    np.random.seed(seed)  # noqa: NPY002
    net = kind(sizes, between, head, optimizer(), std, seed)
    if prepare:
        prepare(net.params)
    own = net.params

    def load(p: Arrays) -> None:
        for name, array in own.items():
            array[...] = p[name]

    def forward(p: Arrays, x: Array) -> Array:
        load(p)
        return net.predict(x)

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        load(p)
        return net.gradient(x, t)

    def step(p: Arrays, x: Array, t: Array) -> None:
        load(p)
        net.fit_batch(x, t)
        for name, array in own.items():
            p[name][...] = array

    parameters = {name: array.copy() for name, array in own.items()}
    made = {"forward": forward, "loss": net.loss, "parameters": parameters, "step": step, "data": points(seed)}
    return made | ({"gradients": gradients} if shown else {})


# After scikit-learn's manner


class Estimator:
    """One hidden layer of tanh; Adam, with moments beside; `partial_fit` is one step."""

    def __init__(self, inputs: int, hidden: int, alpha: float, seed: int) -> None:
        random = np.random.RandomState(seed)
        self.alpha, self.t_ = alpha, 0
        self.coefs_ = [random.uniform(-1, 1, (inputs, hidden)) * np.sqrt(3 / inputs)]
        self.coefs_ += [random.uniform(-1, 1, (hidden, 1)) * np.sqrt(3 / hidden)]
        self.intercepts_ = [np.zeros(hidden), np.zeros(1)]
        self._ms = [0.0 * array for array in self._arrays()]
        self._vs = [0.0 * array for array in self._arrays()]

    def _arrays(self) -> list[Array]:
        return [*self.coefs_, *self.intercepts_]

    def predict(self, X: Array) -> Array:
        return np.tanh(X @ self.coefs_[0] + self.intercepts_[0]) @ self.coefs_[1] + self.intercepts_[1]

    def score(self, y_pred: Array, y: Array) -> float:
        return float(((y_pred - y) ** 2).mean() / 2)

    def _grads(self, X: Array, y: Array) -> list[Array]:
        h = np.tanh(X @ self.coefs_[0] + self.intercepts_[0])
        e = (h @ self.coefs_[1] + self.intercepts_[1] - y) / len(X)
        dh = e @ self.coefs_[1].T * (1 - h**2)
        return [X.T @ dh, h.T @ e, dh.sum(0), e.sum(0)]

    def _descend(self, array: Array, change: Array) -> None:
        array -= change

    def partial_fit(self, X: Array, y: Array) -> None:
        self.t_ += 1
        for i, (array, g) in enumerate(zip(self._arrays(), self._grads(X, y), strict=True)):
            self._ms[i] = 0.9 * self._ms[i] + 0.1 * g
            self._vs[i] = 0.99 * self._vs[i] + 0.01 * g * g
            m, v = self._ms[i] / (1 - 0.9**self.t_), self._vs[i] / (1 - 0.99**self.t_)
            self._descend(array, self.alpha * m / (np.sqrt(v) + 1e-8))


def estimator(
    points: Points, hidden: int, alpha: float, seed: int, *, kind: type[Estimator] = Estimator, shown: bool = False
) -> Arguments:
    """An `Estimator` behind functions; `shown` gives its gradients away, too."""
    here = points(seed)
    net = kind(here[0][0].shape[1], hidden, alpha, seed)
    names = ("coefs_0", "coefs_1", "intercepts_0", "intercepts_1")

    def load(p: Arrays) -> Estimator:
        net.coefs_, net.intercepts_ = [p[name] for name in names[:2]], [p[name] for name in names[2:]]
        return net

    def gradients(p: Arrays, x: Array, t: Array) -> Arrays:
        return dict(zip(names, load(p)._grads(x, t), strict=True))

    made = {
        "forward": lambda p, x: load(p).predict(x),
        "loss": net.score,
        "parameters": dict(zip(names, net._arrays(), strict=True)),
        "step": lambda p, x, t: load(p).partial_fit(x, t),
        "data": here,
    }
    return made | ({"gradients": gradients} if shown else {})
