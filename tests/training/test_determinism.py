"""The same script gives the same bytes, whatever the order of sets, for any number of threads that stays the same."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import threadpoolctl

import xpnet
from xpnet import layers as L
from xpnet import losses, models, optimizers
from xpnet.backend import compiled_loops
from xpnet.training import train_step

SCRIPT = """
import hashlib, json, sys
import numpy as np
import xpnet
from xpnet import data, layers as L, losses, models, optimizers, schedules
from xpnet.backend import compiled_loops

compiled_loops(sys.argv[1] == "loops")
random = np.random.default_rng(0)


def digest(model, history):
    rows = history.to_dict()
    for row in rows["epochs"]:
        del row["seconds"]
    bytes_of = {path: np.asarray(values).tobytes() for path, values in model.state().items()}
    weights = hashlib.sha256(b"".join(path.encode() + values for path, values in bytes_of.items()))
    return weights.hexdigest(), hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def train(model, shape, n, size, augment=()):
    x, t = random.standard_normal((n, *shape)).astype(np.float32), random.integers(0, 5, n)
    optimizer = optimizers.Adam(model, schedules.cosine(0.01, steps=20), clip_norm=1.0)
    batches = data.batches(x, t, size, augment=augment)
    penalty = xpnet.penalties.L2(1e-4)
    given = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "penalty": penalty, "progress": False}
    return digest(model, xpnet.fit(model, batches, epochs=2, validation=(x, t), **given))


xpnet.seed(3)
found = {
    "small": train(models.mlp([20, 50, 5], batch_norm=True, dropout=0.2), (20,), 500, 64),
    "large": train(models.mlp([20, 300, 5], batch_norm=True, dropout=0.2), (20,), 8000, 4000),
    "cnn": train(
        L.Sequential(
            *(L.Conv2d(1, 32, 3, padding=1), L.BatchNorm(32), L.ReLU(), L.MaxPool2d(2)),
            *(L.Conv2d(32, 32, 3, padding=1), L.BatchNorm(32), L.ReLU()),
            *(L.Conv2d(32, 16, 3, stride=2), L.ReLU(), L.GlobalAvgPool(), L.Dropout(0.2), L.Linear(16, 5)),
        ),
        (16, 16, 1), 80, 40, [data.RandomCrop(2), data.RandomFlip()],
    ),
}
print(json.dumps(found))
"""


def run(loops, threads, hash_seed):
    """In a Python of its own: by network, digests of weights and history."""
    setting = {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", SCRIPT, loops]
    done = subprocess.run(command, env=os.environ | setting, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("loops", "threads"),
    [
        ("loops", "2"),
        ("plain", "1"),
        pytest.param("loops", "1", marks=pytest.mark.long),
        pytest.param("plain", "2", marks=pytest.mark.long),
        pytest.param("loops", "3", marks=pytest.mark.long),
    ],
)
def test_the_same_script_gives_the_same_bytes(loops, threads):
    first, second = (run(loops, threads, hash_seed) for hash_seed in ("1", "2"))
    assert first == second
    assert len({digest for digests in first.values() for digest in digests}) == 6


def with_threads(n, compute):
    with threadpoolctl.threadpool_limits(n, user_api="blas"):
        return compute()


@pytest.fixture(params=["loops", "plain"])
def loops(request):
    compiled_loops(request.param == "loops")


def test_the_number_of_threads_changes_no_bit_of_a_small_mlp(loops, bits_of):
    """Products of fewer than 8 million multiply-adds and sums of fewer than a million elements are not parted."""
    random = np.random.default_rng(0)
    x, t = random.standard_normal((128, 200)).astype(np.float32), random.integers(0, 10, 128)

    def train():
        xpnet.seed(0)
        model = models.mlp([200, 300, 10], batch_norm=True, dropout=0.2)
        optimizer = optimizers.Adam(model, 0.01, clip_norm=1.0)
        for _ in range(5):
            train_step(model, x, t, loss=losses.softmax_cross_entropy, optimizer=optimizer)
        return bits_of(model)

    one = with_threads(1, train)
    assert with_threads(2, train) == with_threads(3, train) == one


def pass_through(layer, shape):
    """Values and gradients of one training pass, by name."""
    random = np.random.default_rng(0)
    y, pullback = layer.forward(random.standard_normal(shape).astype(np.float32))
    dx = pullback(random.standard_normal(y.shape).astype(np.float32), input_gradient=True)
    return {"y": y, "dx": dx} | {path: parameter.grad for path, parameter in layer.parameters().items()}


PARTED_WITHOUT_SUMS = {
    "relu": (L.ReLU, (4096, 300)),
    "gelu": (L.GELU, (4096, 300)),
    "softmax": (L.Softmax, (4096, 300)),
    "dropout": (lambda: L.Dropout(0.3), (4096, 300)),
    "max pooling": (lambda: L.MaxPool2d(2), (20, 32, 32, 64)),
    "average pooling": (lambda: L.AvgPool2d(2), (20, 32, 32, 64)),
    "global average": (L.GlobalAvgPool, (20, 32, 32, 64)),
}


@pytest.mark.parametrize(("make", "shape"), PARTED_WITHOUT_SUMS.values(), ids=PARTED_WITHOUT_SUMS)
def test_the_number_of_threads_changes_no_bit_where_nothing_is_summed_over_parts(loops, make, shape):
    def found():
        xpnet.seed(0)
        return {name: values.tobytes() for name, values in pass_through(make(), shape).items()}

    one = with_threads(1, found)
    assert with_threads(2, found) == with_threads(3, found) == one


SUMMED_OVER_PARTS = {
    "linear": (lambda: L.Linear(300, 300), (4096, 300)),
    "batch normalization": (lambda: L.BatchNorm(64), (20, 32, 32, 64)),
    "layer normalization": (lambda: L.LayerNorm(300), (4096, 300)),
    "first convolution": (lambda: L.Conv2d(1, 30, 5), (32, 28, 28, 1)),
    "direct convolution": (lambda: L.Conv2d(16, 16, 3, stride=2), (16, 32, 32, 16)),
    "convolution by Winograd": (lambda: L.Conv2d(32, 32, 3, padding=1), (32, 16, 16, 32)),
    "transposed convolution": (lambda: L.ConvTranspose2d(32, 32, 3, stride=2), (16, 16, 16, 32)),
}


@pytest.mark.parametrize(("make", "shape"), SUMMED_OVER_PARTS.values(), ids=SUMMED_OVER_PARTS)
def test_elsewhere_the_number_of_threads_changes_rounding_alone_and_the_same_number_nothing(loops, make, shape):
    def found():
        xpnet.seed(0)
        return pass_through(make(), shape)

    def bits(results):
        return {name: values.tobytes() for name, values in results.items()}

    one = with_threads(1, found)
    for threads in (1, 2, 3):
        results = with_threads(threads, found)
        assert bits(results) == bits(with_threads(threads, found))
        for name, values in results.items():
            np.testing.assert_allclose(values, one[name], rtol=0.0, atol=5e-5 * np.abs(one[name]).max())
