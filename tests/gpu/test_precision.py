"""TF32 rounds and float32 does not; mixed precision learns."""

import numpy as np
import pytest

import xpnet
from xpnet.backend import matmul, use_backend


def compute_capability():
    import cupy

    return int(cupy.cuda.Device().compute_capability)


@pytest.fixture
def factors():
    random = np.random.default_rng(0)
    return [random.standard_normal((1024, 1024)).astype(np.float32) for _ in range(2)]


def relative_error(backend, factors):
    a, b = factors
    got, exact = backend.to_host(matmul(*map(backend.asarray, factors))), a.astype(np.float64) @ b
    return float(np.linalg.norm(got - exact) / np.linalg.norm(exact))


def test_products_in_float32_are_strict(device, factors):
    assert relative_error(device, factors) < 5e-6


@pytest.mark.needs_gpu
def test_products_in_tf32_are_rounded_within_a_hundredth(device, factors):
    if compute_capability() < 80:
        pytest.skip("TF32 needs compute capability 8.0")
    with use_backend("cupy", matmul="tf32") as backend:
        assert 5e-5 < relative_error(backend, factors) < 1e-2
    assert relative_error(device, factors) < 5e-6  # and it ends with the block


@pytest.mark.needs_gpu
def test_captured_training_in_tf32_is_near_that_in_float32(training, device, images, capture):
    if compute_capability() < 80:
        pytest.skip("TF32 needs compute capability 8.0")
    losses = {}
    for precision in ("float32", "tf32"):
        with use_backend("cupy", matmul=precision) as backend:
            xpnet.seed(2)
            run = training(backend, xpnet.models.mlp([784, 512, 10]), images(backend, (256, 784)), capture)
            losses[precision] = [float(backend.to_host(run.step(*run.pairs[i % 4]))) for i in range(20)]
            assert run.step.graphs == 1
    one, other = losses.values()
    assert one != other
    np.testing.assert_allclose(one, other, rtol=1e-2)


@pytest.mark.parametrize("mode", ["auto", "off"])
def test_float16_learns_the_digits_and_keeps_float32_parameters(mode, device):
    (x, t), test = xpnet.data.digits()
    xpnet.seed(0)
    model = xpnet.models.mlp([64, 64, 10], batch_norm=True)
    history = xpnet.fit(
        model,
        xpnet.data.batches(x, t, 50),
        loss=xpnet.losses.softmax_cross_entropy,
        optimizer=xpnet.optimizers.Adam(model, 3e-3),
        epochs=8,
        validation=test,
        metrics={"accuracy": xpnet.training.accuracy},
        precision="float16",
        capture=mode,
        progress=False,
    )
    assert history["val_accuracy"][-1] > 0.9
    assert {device.to_host(values).dtype.name for values in model.state().values()} == {"float32"}
