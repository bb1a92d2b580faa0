"""Where gradients go: the first overwrites, later ones add, frozen ones stay away, and nobody has to zero anything."""

import functools

import numpy as np
import pytest

from xpnet import layers as L
from xpnet import optimizers

X = np.random.default_rng(0).standard_normal((6, 3))


def pull(model, x=X, scale=1.0, **options):
    """One forward and its pullback, by a dy of ones; returns dx."""
    y, pullback = model.forward(model.backend.asarray(x))
    return pullback(scale * model.backend.xp.ones_like(y), **options)


def gradients(model):
    return {path: np.array(model.backend.to_host(p.grad)) for path, p in model.parameters().items()}


def assert_same(found, expected, factor=1.0):
    assert found.keys() == expected.keys()
    for path in found:
        np.testing.assert_allclose(found[path], factor * expected[path], rtol=1e-5, atol=1e-5, err_msg=path)


def mlp():
    return L.Sequential(L.Linear(3, 4), L.Tanh(), L.BatchNorm(4), L.Linear(4, 2))


def test_a_second_pullback_adds(backend):
    model = mlp()
    pull(model)
    once = gradients(model)
    pull(model, scale=2.0)
    assert_same(gradients(model), once, factor=3.0)


def test_two_forwards_before_their_pullbacks_keep_apart(backend):
    model = L.Linear(3, 2)
    pullbacks = [model.forward(backend.asarray(scale * X))[1] for scale in (1.0, 10.0)]
    for pullback in reversed(pullbacks):
        pullback(backend.asarray(np.ones((6, 2))))
    expected = np.repeat(11.0 * X.sum(axis=0)[:, None], 2, axis=1)
    np.testing.assert_allclose(backend.to_host(model.weight.grad), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("packed", [False, True], ids=["loose", "packed"])
def test_after_clearing_the_next_pullback_overwrites(backend, packed):
    model = mlp()
    if packed:
        optimizers.SGD(model, 0.1)
    pull(model)
    once = gradients(model)
    model.clear_gradients()
    assert all((g == 0.0).all() for g in gradients(model).values())
    pull(model)
    assert_same(gradients(model), once)


def test_after_a_step_the_next_pullback_overwrites(backend):
    model = L.Linear(3, 2)
    optimizer = optimizers.SGD(model, 0.1)
    pull(model)
    once = gradients(model)
    optimizer.step()
    pull(model)
    assert_same(gradients(model), once)


def test_a_parameter_that_no_pullback_reached_counts_as_zero(backend, values_of):
    model = L.Sequential(a=L.Linear(3, 3), b=L.Linear(3, 3))
    optimizer = optimizers.SGD(model, 0.1)
    pull(model)
    optimizer.step()
    before = values_of(model["b"])
    pull(model["a"])
    optimizer.step()
    assert_same(values_of(model["b"]), before)


def test_a_layer_used_twice_is_one_and_its_gradients_add(backend):
    layer = L.Linear(3, 3)
    model = L.Residual(layer, layer)
    assert list(model.parameters()) == ["body.weight", "body.bias"]
    pull(model)
    twice = gradients(layer)
    layer.clear_gradients()
    pull(layer)
    assert_same(gradients(layer), twice, factor=0.5)


def test_dx_comes_only_when_asked_for(case, backend):
    model = case.make()
    y, pullback = model.forward(backend.asarray(np.ones(case.shape)))
    dy = backend.xp.ones_like(y)
    assert pullback(dy) is None
    assert pullback(dy, input_gradient=False) is None
    assert pullback(dy, input_gradient=True).shape == case.shape


def test_gradients_are_the_same_whether_dx_is_asked_for_or_not(case, backend, filled):
    model, x = filled(case.make()), np.random.default_rng(2).standard_normal(case.shape)
    pull(model, x)
    without = gradients(model)
    model.clear_gradients()
    pull(model, x, input_gradient=True)
    assert_same(gradients(model), without)


def test_layers_change_neither_x_nor_dy(case, backend, filled):
    model, random = filled(case.make()), np.random.default_rng(2)
    x, dy = (backend.asarray(random.standard_normal(shape)) for shape in (case.shape, case.output))
    before = [np.array(backend.to_host(a)) for a in (x, dy)]
    _, pullback = model.forward(x)
    pullback(dy, input_gradient=True)
    model(x)
    for array, copy in zip((x, dy), before, strict=True):
        np.testing.assert_array_equal(backend.to_host(array), copy)


def test_calling_leaves_no_trace(case, backend, filled, values_of):
    model = filled(case.make())
    before = values_of(model)
    model(backend.asarray(np.full(case.shape, 3.0)))
    model.forward(backend.asarray(np.full(case.shape, 3.0)), training=False)
    assert_same(values_of(model), before)
    assert all(p.grad is None for p in model.parameters().values())


def test_a_gradient_of_another_shape_is_refused_by_every_layer(working_case, backend):
    y, pullback = working_case.make().forward(backend.asarray(np.ones(working_case.shape)))
    with pytest.raises(ValueError, match=r"the pullback expects dy of shape \(.*\), got \("):
        pullback(backend.zeros((*y.shape[:-1], y.shape[-1] + 1)), input_gradient=True)


def test_frozen_layers_hide_from_optimizers_not_from_the_state(backend):
    frozen = L.Frozen(L.Sequential(L.Linear(3, 3), L.BatchNorm(3)))
    model = L.Sequential(frozen, L.Linear(3, 2))
    assert list(model.parameters()) == ["1.weight", "1.bias"]
    assert list(frozen.parameters()) == []
    assert [path for path in model.state() if path.startswith("0.")] == [
        "0.0.weight",
        "0.0.bias",
        "0.1.weight",
        "0.1.bias",
        "0.1.running_mean",
        "0.1.running_var",
    ]


def test_frozen_layers_run_in_inference_mode_and_pass_gradients_through(backend, filled, values_of):
    inner = filled(L.Sequential(L.Linear(3, 3), L.BatchNorm(3), L.Dropout(0.5)))
    before = values_of(inner)
    x = backend.asarray(X)
    y, pullback = L.Frozen(inner).forward(x)
    expected, expected_pullback = inner.forward(x, training=False)
    dy = backend.xp.ones_like(y)
    for found, wanted in (
        (y, expected),
        (pullback(dy, input_gradient=True), expected_pullback(dy, input_gradient=True)),
    ):
        np.testing.assert_array_equal(backend.to_host(found), backend.to_host(wanted))
    assert pullback(dy) is None
    assert_same(values_of(inner), before)


def test_a_frozen_layer_that_is_trained_elsewhere_keeps_its_gradients(backend):
    """Two networks that train against each other: one sees the other frozen."""
    judge, maker = L.Linear(3, 1), L.Linear(3, 3)
    optimizer = optimizers.SGD(judge, 0.1)
    pull(judge)
    expected = gradients(judge)
    pull(L.Sequential(maker, L.Frozen(judge)))
    assert_same(gradients(judge), expected)
    optimizer.step()
    pull(L.Sequential(maker, L.Frozen(judge)))
    pull(judge)
    assert_same(gradients(judge), expected)


def test_what_lies_before_a_frozen_layer_learns(backend):
    model = L.Sequential(L.Linear(3, 3), L.Frozen(L.Linear(3, 2)))
    pull(model)
    assert list(gradients(model)) == ["0.weight", "0.bias"]
    assert any(g.any() for g in gradients(model).values())


def test_products_that_nobody_needs_are_not_computed(monkeypatch):
    """Below the lowest layer that learns, and for its own input, no gradient is computed."""
    asked = []
    from xpnet import functional as F

    def spying(linear, *arrays):
        y, pullback = linear(*arrays)

        def asking(dy, **options):
            asked.append(options["input_gradient"])
            return pullback(dy, **options)

        return y, asking

    for name in ("linear", "linear_relu"):
        monkeypatch.setattr(F, name, functools.partial(spying, getattr(F, name)))
    pull(L.Sequential(L.Frozen(L.Linear(3, 3)), L.Linear(3, 3), L.ReLU(), L.Linear(3, 2)))
    assert asked == [True, False]
