"""Central differences are the second oracle; and wrong gradients show that they would be seen."""

import numpy as np
import pytest

from xpnet import functional as F
from xpnet.backend import array_namespace


def test_gradients_agree_with_central_differences(case_and_shape, backend64, assert_gradients):
    case, shape = case_and_shape
    arrays, constants = case.split(tuple(map(backend64.asarray, case.arrays(shape))))
    assert_gradients(case.function, arrays, constants)


def spoilt_linear(spoil):
    """`linear` whose gradients (dx, dweight, dbias) are spoilt."""

    def function(x, weight, bias):
        y, pullback = F.linear(x, weight, bias)
        return y, lambda dy: spoil(*pullback(dy))

    return function


def softmax_without_its_sum(x):
    y, _ = F.softmax(x)
    return y, lambda dy: dy * y


def batch_norm_without_the_mean_of_dy(x, weight, bias):
    y, pullback, (_, variance) = F.batch_norm(x, weight, bias)
    xp = array_namespace(x)

    def wrong(dy):
        dx, dweight, dbias = pullback(dy)
        return dx + weight / xp.sqrt(variance + 1e-5) * dbias / x.shape[0], dweight, dbias

    return y, wrong


def off_by_a_thousandth(dx, dweight, dbias):
    return dx, dweight, dbias * 1.001


WRONG = {
    "negated": (spoilt_linear(lambda dx, dw, db: (-dx, dw, db)), ((4, 3), (3, 3), (3,))),
    "doubled": (spoilt_linear(lambda dx, dw, db: (dx, 2.0 * dw, db)), ((4, 3), (3, 3), (3,))),
    "transposed": (spoilt_linear(lambda dx, dw, db: (dx, dw.T, db)), ((4, 3), (3, 3), (3,))),
    "zero": (spoilt_linear(lambda dx, dw, db: (0.0 * dx, dw, db)), ((4, 3), (3, 3), (3,))),
    "averaged": (spoilt_linear(lambda dx, dw, db: (dx, dw, db / 4)), ((4, 3), (3, 3), (3,))),
    "a thousandth off": (spoilt_linear(off_by_a_thousandth), ((4, 3), (3, 3), (3,))),
    "of another argument": (spoilt_linear(lambda dx, dw, db: (dx, dx, db)), ((3, 3), (3, 3), (3,))),
    "of another shape": (spoilt_linear(lambda dx, dw, db: (dx, dw, db[None, :])), ((4, 3), (3, 3), (3,))),
    "too few": (spoilt_linear(lambda dx, dw, db: (dx, dw)), ((4, 3), (3, 3), (3,))),
    "softmax without its sum": (softmax_without_its_sum, ((4, 3),)),
    "batch norm without the mean of dy": (batch_norm_without_the_mean_of_dy, ((4, 3), (3,), (3,))),
}


@pytest.mark.parametrize(("function", "shapes"), WRONG.values(), ids=WRONG)
def test_a_wrong_gradient_is_caught(function, shapes, backend64, assert_gradients):
    arrays = tuple(backend64.asarray(np.random.default_rng(i).standard_normal(s)) for i, s in enumerate(shapes))
    with pytest.raises(AssertionError):
        assert_gradients(function, arrays)
