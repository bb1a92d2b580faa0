"""Each model trains in its own thread as if it were alone."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import threadpoolctl

import xpnet
from xpnet import data, losses, models, optimizers
from xpnet import layers as L
from xpnet.backend import available_backends, compiled_loops


def at_once(*jobs):
    """The results of functions that run in a thread each, begun together."""
    together = threading.Barrier(len(jobs), timeout=60)

    def run(job):
        together.wait()
        return job()

    with ThreadPoolExecutor(len(jobs)) as pool:
        return [future.result() for future in [pool.submit(run, job) for job in jobs]]


@pytest.fixture
def assert_threads_do_not_matter(examples, train):
    """Two models, made from seeds 0 and 1, learn in two threads what they learn one after the other."""

    def check(make):
        def learn(model, seed):
            return train(model, examples, epochs=10, rate=0.01, seed=seed, validation=examples).steps["loss"]

        networks = [make(seed) for seed in range(2)]
        found = at_once(*(lambda seed=seed: learn(networks[seed], seed) for seed in range(2)))
        expected = [learn(make(seed), seed) for seed in range(2)]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
        assert not np.allclose(expected[0], expected[1], rtol=1e-2)

    return check


def test_two_models_in_two_threads(backend, network, assert_threads_do_not_matter):
    assert_threads_do_not_matter(network)


def test_two_models_so_large_that_compiled_loops_are_used(assert_threads_do_not_matter):
    def make(seed):
        xpnet.seed(seed)
        return models.mlp([4, 300, 100, 3], dropout=0.1)

    assert_threads_do_not_matter(make)


def mlp():
    """Its products are parted among threads, and in a batch of 2048 so are the sums of a million elements."""
    return models.mlp([30, 600, 600, 4], batch_norm=True, dropout=0.2)


def cnn():
    """A first layer, one by Winograd, one in blocks, pooling and batch normalization."""
    return L.Sequential(
        *(L.Conv2d(2, 32, 3, padding=1), L.BatchNorm(32), L.ReLU(), L.MaxPool2d(2)),
        *(L.Conv2d(32, 32, 3, padding=1), L.ReLU(), L.Conv2d(32, 16, 3, stride=2), L.ReLU()),
        *(L.GlobalAvgPool(), L.Dropout(0.2), L.Linear(16, 4)),
    )


NETWORKS = {"mlp": (mlp, (30,), 2048, 2048), "cnn": (cnn, (16, 16, 2), 64, 32)}


@pytest.fixture
def learn(bits_of):
    """`learn(network, seed)`: built, trained and evaluated from one seed; losses, what evaluation gave, all bytes."""

    def run(network, seed):
        make, shape, n, size = NETWORKS[network]
        random = np.random.default_rng(seed)
        x, t = random.standard_normal((n, *shape)).astype(np.float32), random.integers(0, 4, n)
        with xpnet.use_seed(seed):
            model = make()
            optimizer = optimizers.Adam(model, 0.01, clip_norm=1.0)
        batches = data.batches(x, t, size, seed, augment=[data.RandomFlip()] if len(shape) == 3 else [])
        given = {"loss": losses.softmax_cross_entropy, "optimizer": optimizer, "seed": seed}
        history = xpnet.fit(model, batches, epochs=2, validation=(x[:300], t[:300]), **given)
        return list(history.steps["loss"]), history["val_loss"], bits_of(model)

    return run


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("loops", [True, False], ids=["loops", "plain"])
@pytest.mark.parametrize("networks", [("mlp", "mlp"), ("cnn", "cnn"), ("mlp", "cnn")], ids="-".join)
def test_two_threads_give_the_bytes_of_one_after_the_other(learn, networks, loops, threads):
    compiled_loops(loops)
    jobs = [lambda network=network, seed=seed: learn(network, seed) for seed, network in enumerate(networks)]
    with threadpoolctl.threadpool_limits(threads, user_api="blas"):
        expected = [job() for job in jobs]
        assert at_once(*jobs) == expected
    assert expected[0] != expected[1]


LIBRARIES = [
    *(("numpy", "float32"), ("numpy", "float64"), ("array_api_strict", "float32")),
    *([("torch", "float32"), ("torch", "float64")] if "torch" in available_backends() else []),
]


def test_each_thread_trains_on_a_backend_of_its_own(examples, train, bits_of):
    def learn(name, dtype):
        with xpnet.use_backend(name, dtype=dtype), xpnet.use_seed(1):
            xpnet.seed(5)  # the process's, which is not asked in here
            model = models.mlp([4, 8, 3], batch_norm=True, dropout=0.25)
            history = train(model, examples, epochs=5)
            assert xpnet.get_backend().dtype == dtype
            assert model.backend.name == name
            return list(history.steps["loss"]), bits_of(model)

    jobs = [lambda library=library: learn(*library) for library in LIBRARIES]
    expected = [job() for job in jobs]
    assert at_once(*jobs) == expected
    assert xpnet.get_backend().name == "numpy"
    for losses_found, _ in expected[1:]:
        np.testing.assert_allclose(losses_found, expected[0][0], rtol=1e-4)
    assert expected[0] != expected[1]


def test_each_thread_convolves_by_an_algorithm_of_its_own():
    random = np.random.default_rng(0)
    x, weight = (random.standard_normal(size).astype(np.float32) for size in ((8, 32, 32, 32), (3, 3, 32, 32)))

    def convolve(algorithm):
        with xpnet.use_convolution(algorithm):
            return [xpnet.functional.conv2d(x, weight, padding=1)[0].tobytes() for _ in range(10)]

    expected = {algorithm: convolve(algorithm) for algorithm in ("direct", "winograd")}
    assert expected["direct"] != expected["winograd"]
    found = at_once(lambda: convolve("direct"), lambda: convolve("winograd"))
    assert found == list(expected.values())


def test_models_are_built_from_their_own_seeds_while_others_seed_the_process(bits_of):
    """Weights, and the masks of dropout before an optimizer names its layers."""
    x = np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32)

    def network():
        return models.mlp([4, 8, 3], dropout=0.25)

    def build(seed):
        with xpnet.use_seed(seed):
            model = network()
            return bits_of(model), model.forward(x)[0].tobytes()

    def seed_and_build():
        for seed in range(50):
            xpnet.seed(seed)
            network()

    def build_many(first):
        return [build(first + i) for i in range(50)]

    expected = [build_many(100), build_many(200)]
    first, second, _ = at_once(lambda: build_many(100), lambda: build_many(200), seed_and_build)
    assert [first, second] == expected
    assert len({masked for _, masked in itertools.chain(*expected)}) == 100


@pytest.mark.parametrize("network", NETWORKS)
def test_one_model_is_asked_by_several_threads_at_once(network):
    make, shape, _, size = NETWORKS[network]
    model, random = make(), np.random.default_rng(0)
    inputs = [random.standard_normal((size // 4 + i, *shape)).astype(np.float32) for i in range(4)]
    with threadpoolctl.threadpool_limits(2, user_api="blas"):
        expected = [model(x).tobytes() for x in inputs]
        assert at_once(*(lambda x=x: model(x).tobytes() for x in inputs)) == expected
