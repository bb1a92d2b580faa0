"""The decorator: new results come out, updates happen in place, a guard stops them, and Numba changes nothing of it."""

import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from xpnet.backend import _numba, compiled_loops, elementwise

SIZES = pytest.mark.parametrize("size", [10, 2 * _numba.SMALLEST], ids=["plain", "loop"])


@elementwise(updates=2)
def average(xp, mean, count, x, weight):
    mean += weight * (x - mean)
    count += 1.0
    return mean, count, xp.sqrt(xp.abs(x)), x > 0.0


@elementwise(updates=1, guarded=True)
def shrink(xp, w, factor):
    w *= factor
    return w


@elementwise(updates=1)
def shift(xp, w, by):
    w += by
    return w


@SIZES
def test_updates_are_made_in_place_and_only_new_results_returned(backend, size):
    mean, count, x = (backend.asarray(np.full(size, value)) for value in (1.0, 5.0, 9.0))
    root, positive = average(mean, count, x, 0.25)
    for array, value in ((mean, 3.0), (count, 6.0), (x, 9.0), (root, 3.0), (positive, True)):
        np.testing.assert_array_equal(backend.to_host(array), np.full(size, value))
    assert positive.dtype == backend.xp.bool
    assert shift(x, 1.0) is None


@SIZES
@pytest.mark.parametrize("allowed", [True, False])
def test_where_the_guard_is_false_nothing_changes(backend, size, allowed):
    w = backend.asarray(np.full(size, 4.0))
    guard = backend.xp.zeros((), dtype=backend.xp.bool)
    guard[...] = allowed
    shrink(w, 0.5, guard=guard)
    np.testing.assert_array_equal(backend.to_host(w), np.full(size, 2.0 if allowed else 4.0))


@pytest.mark.parametrize("allowed", [True, False])
def test_a_guard_that_cannot_be_read_is_obeyed_too(backend, monkeypatch, allowed):
    @elementwise(updates=1, guarded=True)
    def halve(xp, w):
        w *= 0.5
        return w

    monkeypatch.setattr(type(backend), "readable", lambda self, x: False)
    w, guard = backend.asarray([4.0]), backend.xp.zeros((), dtype=backend.xp.bool)
    guard[...] = allowed
    halve(w, guard=guard)
    assert float(w[0]) == (2.0 if allowed else 4.0)


@elementwise()
def blend(xp, x, row, column, number, scalar):
    return x * row + column * number - xp.maximum(x, scalar)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(200, 100), (1, 20_000), (20_000, 1), (20, 100, 10)], ids=str)
def test_rows_columns_and_scalars_broadcast_in_loops_as_they_do_elsewhere(shape, dtype):
    pytest.importorskip("numba")
    random = np.random.default_rng(0)
    x, row, column = (random.standard_normal(s).astype(dtype) for s in (shape, shape[-1:], (*shape[:-1], 1)))
    number = np.asarray(0.5, dtype)
    found = []
    for enabled in (False, True):
        compiled_loops(enabled)
        found.append(blend(x, row, column, number, 0.1))
    eps = np.finfo(dtype).eps
    np.testing.assert_allclose(found[1], found[0], rtol=10 * eps, atol=10 * eps, strict=True)


def test_shapes_that_loops_do_not_know_are_computed_plainly():
    x, middle = np.ones((20, 100, 10), np.float32), np.arange(100, dtype=np.float32).reshape(1, 100, 1)
    y = elementwise()(lambda xp, x, m: x * m)(x, middle)
    np.testing.assert_array_equal(y, np.broadcast_to(middle, x.shape))


def test_loops_can_be_switched_off_and_on():
    pytest.importorskip("numba")
    assert compiled_loops(False) is False
    assert compiled_loops() is False
    assert compiled_loops(True) is True


def test_loops_without_numba_say_what_installs_it(monkeypatch):
    monkeypatch.setattr(_numba, "version", lambda: None)
    with pytest.raises(RuntimeError, match=r"compiled loops need Numba: pip install 'xpnet\[fast\]'"):
        compiled_loops(True)


def test_loops_are_off_where_numba_is_told_not_to_compile():
    pytest.importorskip("numba")
    script = """
    import numpy as np
    from xpnet import functional as F
    from xpnet.backend import compiled_loops
    value, pullback = F.relu(np.ones(20_000, np.float32))
    print(compiled_loops(), pullback(value)[0], F.conv(np.ones((1, 8, 8, 3)), np.ones((3, 3, 3, 16)))[0][0, 0, 0, 0])
    try:
        compiled_loops(True)
    except RuntimeError as error:
        print(error)
    """
    environment = os.environ | {"NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-c", textwrap.dedent(script)]
    out = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=True).stdout
    assert out == "False 1.0 27.0\ncompiled loops: NUMBA_DISABLE_JIT is set; start without it\n"


FUNCTIONS = {
    "abs": lambda xp, x: xp.abs(x),
    "exp, log": lambda xp, x: xp.log(xp.exp(x)),
    "expm1, log1p": lambda xp, x: xp.log1p(xp.expm1(x) + 3.0),
    "sqrt": lambda xp, x: xp.sqrt(x + 3.0),
    "tanh": lambda xp, x: xp.tanh(x),
    "minimum, maximum": lambda xp, x: xp.minimum(xp.maximum(x, -1.0), 1.0),
    "where, isfinite": lambda xp, x: xp.where(xp.isfinite(x), x, 0.5),
    "astype": lambda xp, x: xp.astype((x > 0.0) & (x < 1.0), x.dtype) - xp.astype(x < 0.0, x.dtype),
}


@pytest.mark.parametrize("body", FUNCTIONS.values(), ids=FUNCTIONS)
def test_what_bodies_may_call_is_in_loops_what_it_is_in_numpy(body):
    pytest.importorskip("numba")
    x = np.linspace(-2.0, 2.0, 20_000)
    np.testing.assert_allclose(elementwise()(body)(x), body(np, x), rtol=1e-13, atol=1e-15)
