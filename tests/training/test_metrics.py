"""Metrics: known values, the outputs' type, and shapes that are refused."""

import numpy as np
import pytest

from xpnet.training import accuracy, r2

OUTPUTS = np.asarray([[0.1, 0.9, 0.0], [2.0, 1.0, 0.0], [0.0, 0.0, 5.0], [1.0, 3.0, 2.0]])
LABELS = np.asarray([1, 0, 2, 0])


@pytest.mark.parametrize("targets", [LABELS, np.eye(3)[LABELS]], ids=["labels", "probabilities"])
def test_accuracy(backend, targets):
    found = accuracy(backend.asarray(OUTPUTS), backend.asarray(targets))
    assert float(found) == 0.75
    assert (found.ndim, found.dtype) == (0, backend.xp.float32)


def test_r2(backend64):
    random = np.random.default_rng(0)
    t = random.normal(size=(20, 3)) * [1.0, 5.0, 0.1] + [0.0, 100.0, -3.0]
    y = t + random.normal(size=(20, 3))
    expected = 1 - np.sum((t - y) ** 2) / np.sum((t - t.mean(axis=0)) ** 2)
    targets = backend64.asarray(t)
    assert float(r2(backend64.asarray(y), targets)) == pytest.approx(expected, rel=1e-12)
    assert float(r2(targets, targets)) == 1.0
    assert float(r2(backend64.asarray(np.zeros((20, 3)) + t.mean(axis=0)), targets)) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("metric", "shapes", "message"),
    [
        (accuracy, [(4, 3), (4, 1)], r"accuracy: expected .*, got shapes \(4, 3\) and \(4, 1\)"),
        (
            accuracy,
            [(4, 3), (5,)],
            r"accuracy: expected outputs \(n, classes\) and labels \(n,\), got shapes \(4, 3\)",
        ),
        (accuracy, [(4,), (4,)], r"accuracy: expected .*, got shapes \(4,\) and \(4,\)"),
        (accuracy, [(4, 1), (4, 1)], r"accuracy: one output an example, shape \(4, 1\), has no largest; for yes-or-no"),
        (accuracy, [(4, 1), (4,)], r"accuracy: one output an example, shape \(4, 1\), has no largest; for yes-or-no"),
        (r2, [(4, 1), (4,)], r"r2: outputs have shape \(4, 1\) but targets \(4,\); nothing is broadcast$"),
    ],
)
def test_shapes_that_do_not_fit(backend, metric, shapes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        metric(*(backend.asarray(np.zeros(shape)) for shape in shapes))
