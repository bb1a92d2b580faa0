import hashlib
from importlib.resources import files

import numpy as np
import pytest

from xpnet.data import sine

# SHA-256 of the float32 bytes, little-endian
CHECKSUMS = (
    "f6937aa0d5d08c650d8ee99e93b0c9fe2f4ff48d8f526a6cf187989cbb7b30cc",
    "b86c029d8b533f46cc3a4ac66f41feb901ddd1c3641d21fc37241fa4a77771d5",
    "6f4781401e70101fd7f7498d721e2758cf851fd98f4377b39a4822f34aad6a4d",
    "9f5759d75799537a6ec37aced3fcc10a82ba15bcf485999340b7ab99acd8a457",
)


def test_values_are_the_shipped_ones():
    (x, t), (x_test, t_test) = sine()
    for array, checksum in zip((x, t, x_test, t_test), CHECKSUMS, strict=True):
        assert array.shape == (100, 1)
        assert array.dtype == np.float32
        assert hashlib.sha256(array.astype("<f4").tobytes()).hexdigest() == checksum


def test_first_points_are_those_of_the_course_file():
    (x, t), (x_test, t_test) = sine()
    np.testing.assert_array_equal([x[0, 0], t[0, 0]], np.float32([-2.42918, -0.65366]))
    np.testing.assert_array_equal([x_test[0, 0], t_test[0, 0]], np.float32([-1.45583, -0.99340]))


def test_targets_are_the_sine_to_five_decimals():
    for x, t in sine():
        np.testing.assert_allclose(t, np.sin(x.astype(np.float64)), rtol=0, atol=1e-5)


def test_training_and_test_points_differ():
    (x, _), (x_test, _) = sine()
    assert not set(x.ravel().tolist()) & set(x_test.ravel().tolist())


def test_each_call_returns_new_arrays():
    (x, t), _ = sine()
    x[:] = t[:] = 7.0
    (again, t_again), _ = sine()
    assert again[0, 0] == np.float32(-2.42918)
    assert t_again[0, 0] == np.float32(-0.65366)


@pytest.mark.parametrize("name", ["sine_train.csv", "sine_test.csv"])
def test_files_have_one_hundred_lines(name):
    assert len((files("xpnet.data") / "files" / name).read_text("ascii").splitlines()) == 100
