"""A training step of a ReLU network with softmax cross-entropy and Adam, written once for each contender."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench._harness import Step

Case = dict[str, Any]
Weights = list[tuple[NDArray[np.float32], NDArray[np.float32]]]


def _data(case: Case) -> tuple[NDArray[np.float32], NDArray[np.int64], Weights]:
    """The same inputs, labels and He weights for all."""
    random = np.random.default_rng(0)
    sizes, batch = case["sizes"], case["batch"]
    x = random.random((batch, sizes[0]), dtype=np.float32)
    t = random.integers(0, sizes[-1], batch)
    weights = [
        ((random.standard_normal((i, o)) * np.sqrt(2 / i)).astype(np.float32), np.zeros(o, np.float32))
        for i, o in pairwise(sizes)
    ]
    return x, t, weights


def _xpnet(case: Case, *, loops: bool) -> Step:
    import xpnet
    from xpnet.backend import compiled_loops
    from xpnet.training import train_step

    compiled_loops(loops)
    x, t, weights = _data(case)
    model = xpnet.models.mlp(case["sizes"])
    parameters = list(model.parameters().values())
    for parameter, value in zip(parameters, (array for pair in weights for array in pair), strict=True):
        parameter.data[...] = value
    optimizer = xpnet.optimizers.Adam(model, 1e-3)

    def step() -> float:
        loss, _, _ = train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)
        return float(loss)

    return step


def _hand_written(case: Case, threads: int) -> Step:
    """The loop a careful NumPy user writes: explicit backpropagation, Adam in place, parameter by parameter."""
    x, t, weights = _data(case)
    parameters = [array for pair in weights for array in pair]
    means = [np.zeros_like(p) for p in parameters]
    squares = [np.zeros_like(p) for p in parameters]
    rows, n, layers = np.arange(len(x)), np.float32(len(x)), len(weights)
    rate, beta1, beta2, eps, steps = 1e-3, 0.9, 0.999, 1e-8, 0

    def step() -> float:
        nonlocal steps
        steps += 1
        inputs = [x]
        for i, (w, b) in enumerate(weights):
            y = inputs[-1] @ w
            y += b
            if i < layers - 1:
                np.maximum(y, 0, out=y)
            inputs.append(y)
        shifted = inputs[-1] - inputs[-1].max(axis=1, keepdims=True)
        dy = np.exp(shifted)
        total = dy.sum(axis=1, keepdims=True)
        loss = float((np.log(total[:, 0]) - shifted[rows, t]).mean())
        dy /= total
        dy[rows, t] -= 1
        dy /= n
        gradients: list[Any] = [None] * (2 * layers)
        for i in range(layers - 1, -1, -1):
            gradients[2 * i], gradients[2 * i + 1] = inputs[i].T @ dy, dy.sum(axis=0)
            if i:
                dy = dy @ weights[i][0].T
                dy *= inputs[i] > 0
        correction1, correction2 = 1 - beta1**steps, 1 - beta2**steps
        for p, g, m, v in zip(parameters, gradients, means, squares, strict=True):
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            g *= g
            g *= 1 - beta2
            v += g
            p -= rate / correction1 * m / (np.sqrt(v / correction2) + eps)
        return loss

    return step


def _torch(case: Case, threads: int, **adam: Any) -> Step:
    import torch

    torch.set_num_threads(threads)
    x, t, weights = _data(case)
    children: list[Any] = []
    for w, b in weights:
        linear = torch.nn.Linear(*w.shape)
        linear.weight.data, linear.bias.data = torch.from_numpy(w.T.copy()), torch.from_numpy(b.copy())
        children += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*children[:-1])
    loss_function = torch.nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, **adam)
    inputs, labels = torch.from_numpy(x), torch.from_numpy(t)

    def step() -> float:
        optimizer.zero_grad()
        loss = loss_function(model(inputs), labels)
        loss.backward()
        optimizer.step()
        return float(loss.item())

    return step


CONTENDERS: dict[str, Callable[[Case, int], Step]] = {
    "xpnet": lambda case, threads: _xpnet(case, loops=True),
    "xpnet without numba": lambda case, threads: _xpnet(case, loops=False),
    "numpy by hand": _hand_written,
    "torch": _torch,
    "torch fused": lambda case, threads: _torch(case, threads, fused=True),
}
