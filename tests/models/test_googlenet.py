"""GoogLeNet's three heads: what comes when, and their gradients. Its numbers stand in test_reference.py."""

import numpy as np
import pytest

import xpnet
from xpnet import losses, models, optimizers, training

X = np.random.default_rng(0).standard_normal((4, 32, 32, 3))


@pytest.fixture(scope="module")
def net():
    xpnet.seed(0)  # it is made before the first test's own seed; with other weights a ReLU may bend within a step below
    with xpnet.use_backend("numpy", dtype="float64"):
        return models.googlenet(classes=5, dropout=0.0, aux_dropout=0.0)


def gradients(net, dy):
    net.clear_gradients()
    heads, pullback = net.forward(X)
    dx = pullback(dy, input_gradient=True)
    return (
        heads,
        dx,
        {path: p.grad.copy() for path, p in net.parameters().items() if p.grad is not None and p.grad.any()},
    )


def test_training_gives_three_heads_and_inference_one(net):
    heads, _ = net.forward(X)
    assert [head.shape for head in heads] == [(4, 5)] * 3
    assert net(X).shape == net.forward(X, training=False)[0].shape == net.output_shape(X.shape) == (4, 5)
    np.testing.assert_array_equal(net(X), net.main(X))


def test_without_heads_it_is_the_same_network(net):
    with xpnet.use_backend("numpy", dtype="float64"):
        alone = models.googlenet(classes=5, aux=False, dropout=0.0)
    alone.load_state(net.main.state())
    np.testing.assert_array_equal(alone(X), net(X))
    assert alone.forward(X)[0].shape == (4, 5)


def test_gradients_of_the_heads_add_up(net):
    dy = tuple(np.random.default_rng(1).standard_normal((3, 4, 5)))
    nothing = (None, None, None)
    alone = [gradients(net, (*nothing[:i], dy[i], *nothing[i + 1 :])) for i in range(3)]
    _, dx, together = gradients(net, dy)
    np.testing.assert_allclose(dx, sum(each for _, each, _ in alone), rtol=1e-8, atol=1e-8 * np.abs(dx).max())
    for path, gradient in together.items():
        parts = sum(found.get(path, 0.0) for _, _, found in alone)
        np.testing.assert_allclose(gradient, parts, rtol=0.0, atol=1e-8 * np.abs(gradient).max(), err_msg=path)
    reached = [{path.partition(".")[0] for path in found} for _, _, found in alone]
    assert not {"aux1", "aux2"} & reached[0]
    assert "aux2" in reached[1]
    assert not {"aux1", "fc", "inception4e"} & reached[1]
    assert "aux1" in reached[2]
    assert not {"aux2", "fc", "inception4b"} & reached[2]


@pytest.mark.parametrize("head", [0, 1, 2])
def test_each_head_against_differences(net, head):
    random = np.random.default_rng(2)
    dy, direction = random.standard_normal((4, 5)), random.standard_normal(X.shape)
    _, dx, _ = gradients(net, tuple(dy if i == head else None for i in range(3)))
    ends = [net.forward(X + step * direction)[0][head] for step in (1e-7, -1e-7)]
    np.testing.assert_allclose(np.sum(dx * direction), np.sum(dy * (ends[0] - ends[1])) / 2e-7, rtol=1e-5)


def test_fit_trains_all_heads_and_its_metrics_see_the_main_one():
    xpnet.seed(0)
    model = models.googlenet(classes=2)
    x, t = X.astype(np.float32), np.asarray([0, 1, 0, 1])
    before = model.state()
    history = xpnet.fit(
        model,
        xpnet.data.batches(x, t, 4),
        loss=losses.with_auxiliary(losses.softmax_cross_entropy),
        optimizer=optimizers.SGD(model, 1e-6),
        epochs=2,
        validation=(x, t),
        metrics={"accuracy": training.accuracy},
    )
    row = history.epochs[-1]
    assert 0.0 <= row["accuracy"] <= 1.0
    assert 0.0 <= row["val_accuracy"] <= 1.0
    assert row["loss"] > 1.3 * row["val_loss"]  # 1 + 2 · 0.3 of them against one
    assert all((before[path] != values).any() for path, values in model.state().items() if path.endswith("fc2.bias"))


def test_a_loss_of_one_output_is_told_which_one_takes_the_heads():
    model = models.googlenet(classes=2)
    batches = xpnet.data.batches(X.astype(np.float32), np.zeros(4, int), 4)
    optimizer = optimizers.SGD(model, 0.1)
    with pytest.raises(TypeError, match=r"^softmax_cross_entropy: .*tuple of 3.*with_auxiliary\(softmax_cross_entropy"):
        xpnet.fit(model, batches, loss=losses.softmax_cross_entropy, optimizer=optimizer, epochs=1)


@pytest.mark.parametrize(("images", "size", "training"), [(2, 31, True), (2, 31, False), (1, 47, True), (1, 31, False)])
def test_sizes_from_the_smallest_that_the_docstring_tells(images, size, training):
    model = models.googlenet(classes=2)
    for shape in ((images, size, size, 3), (images, size, size + 5, 3)):
        y, _ = model.forward(np.zeros(shape, np.float32), training=training)
        assert (y[0] if training else y).shape == (images, 2)
    with pytest.raises(ValueError, match=r"^layer '"):
        model.forward(np.zeros((images, size - 1, size - 1, 3), np.float32), training=training)


def test_what_is_not_finite_is_named_behind_a_head():
    model = models.googlenet(classes=2)
    model.aux1["fc2"].bias.data[...] = np.nan
    loss = losses.with_auxiliary(losses.softmax_cross_entropy)
    with pytest.raises(optimizers.NonFiniteError, match=r"layer 'aux1\.fc2'"):
        xpnet.fit(
            model,
            xpnet.data.batches(X.astype(np.float32), np.zeros(4, int), 4),
            loss=loss,
            optimizer=optimizers.SGD(model, 0.1),
            epochs=1,
        )


@pytest.mark.parametrize("part", ["main", "aux1", "aux2"])
def test_its_parts_are_fixed(net, part):
    with pytest.raises(AttributeError, match=part):
        setattr(net, part, net.aux1)


def test_errors(net):
    _, pullback = net.forward(X)
    with pytest.raises(TypeError, match=r"GoogLeNet: expected the gradients of \(main, aux2, aux1\).*got a ndarray"):
        pullback(np.ones((4, 5)))
    with pytest.raises(TypeError, match="got 2 values"):
        pullback((None, None))
    with pytest.raises(ValueError, match="gradient of one head at least, got None for all three"):
        pullback((None, None, None))
    with pytest.raises(ValueError, match=r"^layer 'conv1\.conv': Conv2d\(3, 64, 7.* expected 3 channels"):
        net(X[..., :2])
    with pytest.raises(ValueError, match="googlenet: classes must be a positive integer, got 0"):
        models.googlenet(0)
    with pytest.raises(ValueError, match="googlenet: dropout: expected 0 <= rate < 1, got None"):
        models.googlenet(10, dropout=None)
    with pytest.raises(ValueError, match=r"googlenet: .*rate.*1\.5"):
        models.googlenet(10, aux_dropout=1.5)
