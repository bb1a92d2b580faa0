"""Arrays as what reads the host's memory sees them: the same memory where that is the host's, else a copy and back."""

import numpy as np
import pytest

from xpnet.backend import open_backend

SHARED = {"numpy", "torch"}


def test_values_go_to_the_host_and_back(backend):
    x = backend.asarray(np.arange(6.0).reshape(2, 3))
    stage = backend.staging(x)
    stage.fetch()
    assert stage.host.flags.c_contiguous
    assert stage.host.dtype == np.float32
    np.testing.assert_array_equal(stage.host, np.arange(6.0).reshape(2, 3))
    stage.host[...] *= 2.0
    stage.put()
    np.testing.assert_array_equal(backend.to_host(x), 2.0 * np.arange(6.0).reshape(2, 3))
    x += 1.0
    stage.fetch()
    np.testing.assert_array_equal(stage.host, 2.0 * np.arange(6.0).reshape(2, 3) + 1.0)


def test_what_is_not_contiguous_goes_by_a_copy_and_its_neighbours_stay(backend):
    x = backend.asarray(np.arange(12.0).reshape(3, 4))
    part = x[:, 1:3]
    stage = backend.staging(part)
    stage.fetch()
    assert stage.host.flags.c_contiguous
    stage.host[...] = -1.0
    stage.put()
    expected = np.arange(12.0).reshape(3, 4)
    expected[:, 1:3] = -1.0
    np.testing.assert_array_equal(backend.to_host(x), expected)


@pytest.mark.parametrize("name", sorted(SHARED))
def test_memory_of_the_host_is_shared(name):
    if name == "torch":
        pytest.importorskip("torch")
    backend = open_backend(name)
    x = backend.zeros((2, 3))
    stage = backend.staging(x)
    stage.host[0, 0] = 5.0
    assert float(x[0, 0]) == 5.0


@pytest.mark.parametrize("values", [np.asarray(3), np.asarray([True, False])], ids=["0-d", "booleans"])
def test_any_shape_and_type(backend, values):
    x = backend.asarray(values)
    stage = backend.staging(x)
    stage.fetch()
    stage.put()
    np.testing.assert_array_equal(stage.host, values)
    assert stage.host.shape == values.shape
