"""What the tests of files share: a place for one, and a model's values before and after."""

import numpy as np
import pytest


def values_of(model):
    """Copies of all values of a model, by path."""
    return {path: np.array(model.backend.to_host(tensor.data)) for path, tensor in model.tensors().items()}


def check_same(found, expected):
    """Fails unless both hold the same values and types under the same names."""
    assert found.keys() == expected.keys()
    for path in expected:
        np.testing.assert_array_equal(found[path], expected[path], err_msg=path, strict=True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


@pytest.fixture
def values():
    return values_of


@pytest.fixture
def assert_same():
    return check_same
