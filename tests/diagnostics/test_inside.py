"""The inside of hand-written networks: found for all usual ways to write them, and never guessed."""

import itertools

import numpy as np
import pytest

from xpnet.diagnostics._inside import inside_of
from xpnet.diagnostics._inside_activations import ACTIVATIONS, ROW_ACTIVATIONS, activate, derivative, pull_back
from xpnet.diagnostics._inside_backward import Pass, backward

HIDDEN = {"relu": lambda z: np.maximum(z, 0.0), "tanh": np.tanh, "sigmoid": lambda z: 1.0 / (1.0 + np.exp(-z))}


def softmax(z, axis=1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


LAST = {
    "identity": lambda z: z,
    "sigmoid": HIDDEN["sigmoid"],
    "tanh": np.tanh,
    "relu": HIDDEN["relu"],
    "softmax": softmax,
    "softmax(axis 0)": lambda z: softmax(z, 0),
    "log_softmax": lambda z: np.log(softmax(z)),
}


def arrays(*shapes, seed=0):
    random = np.random.default_rng(seed)
    return [random.standard_normal(shape) for shape in shapes]


@pytest.mark.parametrize(("hidden", "last"), list(itertools.product(HIDDEN, LAST)))
def test_activations(hidden, last):
    w, b, v, c, x = arrays((3, 5), (5,), (5, 4), (4,), (20, 3))
    p = {"w": w, "b": b, "v": v, "c": c}

    def forward(p, x):
        return LAST[last](HIDDEN[hidden](x @ p["w"] + p["b"]) @ p["v"] + p["c"])

    inside = inside_of(p, forward, x)
    assert [(layer.weight, layer.bias, layer.transposed, layer.activation) for layer in inside.layers] == [
        ("w", "b", False, hidden),
        ("v", "c", False, last),
    ]
    z, h = inside.run(p, x)
    np.testing.assert_allclose(z[0], x @ w + b, rtol=1e-12)
    np.testing.assert_allclose(h[1], forward(p, x), rtol=1e-9, atol=1e-12)


def described(p, forward, x):
    return str(inside_of(p, forward, x))


def test_layouts():
    a, b, c, d, x = arrays((5, 3), (5, 1), (2, 5), (1, 2), (20, 3))
    p = {"A": a, "b": b, "C": c, "d": d}
    assert described(p, lambda p, x: np.tanh(x @ p["A"].T + p["b"].T) @ p["C"].T + p["d"], x) == (
        "tanh(h A.T + b), identity(h C.T + d)"
    )
    inside = inside_of(p, lambda p, x: p["C"] @ np.tanh(p["A"] @ x + p["b"]) + p["d"].T, x.T)
    assert str(inside) == "tanh(h A.T + b), identity(h C.T + d)"
    assert inside.examples_last
    assert inside.run(p, x.T)[1][1].shape == (20, 2)


def test_any_names_order_and_what_is_not_used():
    out, first, bias, second, x = arrays((4, 1), (3, 4), (1, 4), (4, 4), (9, 3))
    p = {"out": out, "zz": second, "unused": bias[0], "aa": first, "bias": bias, "rate": 0.1, "name": "net"}

    def forward(p, x):
        return (np.tanh(np.maximum(x @ p["aa"], 0.0) @ p["zz"] + p["bias"]) @ p["out"])[:, 0]

    assert described(p, forward, x) == "relu(h aa), tanh(h zz + bias), identity(h out)"


def test_networks_of_one_layer_and_of_four():
    w, x = arrays((3, 2), (9, 3))
    assert described({"w": w}, lambda p, x: x @ p["w"], x) == "identity(h w)"
    p = dict(zip("abcd", arrays((3, 4), (4, 4), (4, 4), (4, 2)), strict=True))

    def forward(p, x):
        for name in "abc":
            x = np.maximum(x @ p[name], 0.2 * (x @ p[name]))
        return x @ p["d"]

    assert described(p, forward, x).count("leaky_relu(0.2)") == 3


def test_zero_weights_and_float32_and_objects():
    w, v, x = arrays((3, 4), (4, 1), (9, 3))

    class Net:
        pass

    net = Net()
    net.w, net.v, net.z = np.float32(0.0 * w), np.float32(0.0 * v), np.float32(x)
    x = np.float32(x)
    before = net.w
    inside = inside_of(net, lambda net, x: np.float32(np.tanh(x @ net.w) @ net.v), x)
    assert str(inside) == "tanh(h w), identity(h v)"
    assert net.w is before
    assert not net.w.any()


def test_a_forward_that_reads_arrays_of_its_own():
    w, v, x = arrays((3, 4), (4, 1), (9, 3))
    p, before = {"w": w, "v": v}, w.copy()
    assert described(p, lambda _, x: np.tanh(x @ w) @ v, x) == "tanh(h w), identity(h v)"
    np.testing.assert_array_equal(w, before)


def test_outputs_with_a_cache_and_images():
    w, x = arrays((6, 2), (9, 2, 3))
    assert described({"w": w}, lambda p, x: (np.tanh(x.reshape(len(x), -1) @ p["w"]), "cache"), x) == "tanh(h w)"


@pytest.mark.parametrize(
    "forward",
    [
        lambda p, x: (x @ p["w"]) * p["b"],
        lambda p, x: np.tanh(x @ p["w"] + p["b"]) + x @ p["w"],
        lambda p, x: np.random.default_rng().standard_normal((len(x), 4)) + x @ p["w"],
        lambda p, x: 1 / 0,
        lambda p, x: None,
        lambda p, x: np.cumsum(x @ p["w"] + p["b"], axis=1),
    ],
)
def test_what_is_no_chain_of_layers_is_not_found(forward):
    w, b, x = arrays((3, 4), (4,), (9, 3))
    assert inside_of({"w": w, "b": b}, forward, x) is None


def test_tensors():
    torch = pytest.importorskip("torch")
    p = {"w": torch.ones(3, 4), "b": torch.zeros(4)}
    x = torch.ones(9, 3)
    inside = inside_of(p, lambda p, x: torch.sigmoid(x @ p["w"] + p["b"]), x)
    assert str(inside) == "sigmoid(h w + b)"
    np.testing.assert_allclose(inside.run(p, x)[1][0], 1.0 / (1.0 + np.exp(-3.0)), rtol=1e-9)


@pytest.mark.parametrize("name", [*ACTIVATIONS, *ROW_ACTIVATIONS])
def test_derivatives_of_activations(name):
    (z, dh), step = arrays((6, 4), (6, 4), seed=4), 1e-6
    found = pull_back(name, z, dh)
    for i in np.ndindex(z.shape):
        moved = np.zeros_like(z)
        moved[i] = step
        change = (activate(name, z + moved) - activate(name, z - moved)) / (2.0 * step)
        assert found[i] == pytest.approx(float((dh * change).sum()), rel=1e-5, abs=1e-7)
        assert derivative(name, z)[i] == pytest.approx(float(change[i]), rel=1e-5, abs=1e-7)


def test_the_backward_pass_without_a_mistake_is_right(network):
    net = network([3, 5, 4, 2], "tanh", "squared")
    inside = inside_of(net.parameters, net.forward, net.x)
    z, h = inside.run(net.parameters, net.x)
    found = backward(inside, Pass(net.parameters, net.x, z, h, (h[-1] - net.t) / net.n))
    right = net.gradients(net.parameters)
    assert found.keys() == right.keys()
    for name in right:
        np.testing.assert_allclose(found[name], right[name], rtol=1e-9, atol=1e-12)
