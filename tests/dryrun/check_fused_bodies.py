"""Compares every @elementwise body of xpnet, as cupy.fuse writes it, with the plain body; prints JSON.

Run by test_dryrun.py. For each body: the largest relative difference of what it changes and returns. Imported by
tests/gpu, which compares the same on a GPU.
"""

import importlib
import inspect
import json
import pkgutil

import numpy as np

import xpnet
from xpnet.backend import Backend, open_backend

random = np.random.default_rng(0)
SHAPE = (6, 5)


def real(*shape):
    return random.standard_normal(shape).astype(np.float32)


def positive(*shape):
    return random.random(shape).astype(np.float32) + 0.1


def integers(high, *shape):
    return random.integers(0, high, shape)


def scalar(value, dtype=np.float32):
    return np.full((), value, dtype)


def bits(*shape):
    return random.integers(-(2**31), 2**31 - 1, shape).astype(np.int32)


full = SHAPE
row, column = (5,), (6, 1)
ARGUMENTS = {
    "scramble": lambda: (bits(1, 7),),
    "_relu": lambda: (real(*full),),
    **{name: lambda: (real(*full), real(*full)) for name in ("drelu", "_dsigmoid", "_dtanh")},
    "_leaky_relu": lambda: (real(*full), 0.01),
    "_dleaky_relu": lambda: (real(*full), real(*full), real(*full), 0.01),
    **{name: lambda: (4.0 * real(*full),) for name in ("_sigmoid", "_tanh", "_softplus", "_silu")},
    **{name: lambda: (real(*full), real(*full), real(*full)) for name in ("_dsoftplus", "_dsilu")},
    "_gelu": lambda: (real(*full), 0.797, 0.0447),
    "_dgelu": lambda: (real(*full), real(*full), real(*full), 0.797, 0.0447),
    "shifted_exp": lambda: (real(*full), real(*column)),
    "_dsoftmax": lambda: (real(*full), positive(*full), real(*column)),
    "_dlog_softmax": lambda: (real(*full), real(*full), real(*column)),
    "_drop": lambda: (real(*full), bits(*column), bits(1, 5), bits(1, 1), 12345677, -7654321, 2**30, 2.0),
    "add_bias": lambda: (real(*full), real(*row)),
    **{
        name: lambda: (real(*full), real(*row), positive(*row), real(*row))
        for name in ("_normalize", "_normalize_relu")
    },
    **{name: lambda: (real(*full), real(*full)) for name in ("_add", "_add_relu")},
    "_dx_of_columns": lambda: (real(*full), real(*full), real(*row), positive(*row), real(*row), real(*row)),
    "_center": lambda: (real(*full), real(*column)),
    "_scale": lambda: (real(*full), positive(*column), real(*row), real(*row)),
    "_weigh": lambda: (real(*full), real(*full), real(*row)),
    "_dx_of_rows": lambda: (real(*full), real(*full), real(*column), real(*column), positive(*column)),
    "_square": lambda: (real(*full),),
    "_divide": lambda: (real(*full), positive(*full), 1.0, 0.1, -0.75),
    "_dy_over_scale": lambda: (real(*full), real(*full), positive(*full), 1.0, 0.1, -0.75),
    "_through_neighbours": lambda: (real(*full), real(*full), real(*full), -0.2),
    "_track": lambda: (real(*row), positive(*row), real(*row), positive(*row), 0.1, 1.2),
    "_squared_error": lambda: (real(*full), real(*full), 0.1),
    "_mean_squared_error": lambda: (real(*full), real(*full), positive(*column)),
    "_huber": lambda: (3.0 * real(*full), real(*full), 0.1, -1.0, 1.0),
    "_binary_cross_entropy": lambda: (3.0 * real(*full), positive(*full), 0.1),
    "_against_labels": lambda: (
        *(real(*full), positive(*full), positive(*column)),
        *(integers(5, *column), np.arange(5)[None, :], 0.1),
    ),
    "_against_unread_labels": lambda: (
        *(real(*full), positive(*full), positive(*column)),
        *(integers(5, *column), np.arange(5)[None, :], positive(*column), 4),
    ),
    "_bias_relu": lambda: (real(*full), real(*row)),
    "_squares_around": lambda: (real(*full), real(*row), 1 / 6),
    "_statistics": lambda: (positive(*row), real(*row), real(*row), 1 / 6, 1e-5),
    "_products": lambda: (real(*full), real(*full), real(*row)),
    "_mean_gradients": lambda: (real(*row), real(*row), positive(*row), 1 / 6),
    "_around": lambda: (real(*row), positive(*row), real(*row), 0.25),
    "_scales": lambda: (positive(*row), real(*row), 1e-5),
    "_against_probabilities": lambda: (real(*full), positive(*full), positive(*column), positive(*full), 0.1),
    "_signs": lambda: (real(*full), 0.3),
    "_note": lambda: (real(*row), np.arange(5), scalar(3, np.int64), scalar(0.7)),
    "_adapt": lambda: (
        *(scalar(65536.0), scalar(1 / 65536), scalar(1999, np.int32), scalar(3, np.int32)),
        *(scalar(False, bool), scalar(True, bool), scalar(9.0), scalar(0.5)),
    ),
    "_judge": lambda: (scalar(True, bool), scalar(3.0), scalar(0.5)),
    "_advance": lambda: (scalar(3, np.int32), scalar(4, np.int32)),
    "_clip": lambda: (real(*row), scalar(9.0), 0.5),
    "_add_decay": lambda: (real(*row), real(*row), 0.01),
    "_heavy_ball": lambda: (real(*row), real(*row), real(*row), scalar(0.1), 0.9),
    "_nesterov": lambda: (real(*row), real(*row), real(*row), scalar(0.1), 0.9),
    "_corrected": lambda: (scalar(0.01), scalar(3, np.int32), -0.105, -0.001, 1e-8),
    "_shrink": lambda: (real(*row), scalar(0.1), 0.01),
}
RULES = {
    "_sgd": lambda: (real(*row), real(*row), scalar(0.1)),
    "_adagrad": lambda: (real(*row), positive(*row), real(*row), scalar(0.1), 1e-10),
    "_rmsprop": lambda: (real(*row), positive(*row), real(*row), scalar(0.1), 0.01, 1e-8),
    "_adam": lambda: (real(*row), real(*row), positive(*row), real(*row), scalar(0.1), scalar(1e-8), 0.1, 0.001),
}


def bodies():
    for found in pkgutil.walk_packages(xpnet.__path__, "xpnet."):
        if found.name.endswith("__main__"):
            continue
        module = importlib.import_module(found.name)
        for name, value in vars(module).items():
            if inspect.isfunction(value) and hasattr(value, "guarded") and value.__module__ == module.__name__:
                yield module.__name__, name, value


def cases():
    """Each body with arguments, and with a guard that is true and one that is false where it has one."""
    for module, name, body in bodies():
        make = RULES[module.rpartition(".")[2]] if name == "_rule" else ARGUMENTS[name]
        arguments = make()
        for guard in (True, False) if body.guarded else (None,):
            if guard is False:  # what the guard is for: gradients that are not finite
                arguments = [
                    np.full_like(a, np.nan) if is_float(a) and i >= body.updates else a for i, a in enumerate(arguments)
                ]
            yield f"{module}.{name}, guard {guard}", body, arguments, guard


def difference(body, arguments, guard, *, plain, fused, place=np.asarray, fetch=np.asarray):
    """Between two backends; `place` makes their arrays, `fetch` brings them back."""
    plain_arguments, fused_arguments = (
        [place(np.copy(a)) if isinstance(a, np.ndarray) else a for a in arguments] for _ in "ab"
    )
    options = {} if guard is None else {"guard": place(np.asarray(guard))}
    results = [
        given[: body.updates]
        + as_list(backend.compile(body.__wrapped__, body.updates, body.guarded)(*given, **options))
        for backend, given in ((plain, plain_arguments), (fused, fused_arguments))
    ]
    expected, got = ([np.asarray(fetch(array)) for array in arrays] for arrays in results)
    assert len(expected) == len(got), (body, len(expected), len(got))
    assert all(e.dtype == g.dtype for e, g in zip(expected, got)), body
    return max(float(np.max(np.abs(e - 1.0 * g)) / (np.max(np.abs(e)) + 1e-30)) for e, g in zip(expected, got))


def is_float(value):
    return isinstance(value, np.ndarray) and value.dtype.kind == "f"


def as_list(result):
    return list(result) if isinstance(result, tuple) else [] if result is None else [result]


if __name__ == "__main__":
    import fuse_on_cpu
    import cupy

    cupy.fuse = fuse_on_cpu.fuse
    backends = {"plain": Backend("numpy", np), "fused": open_backend("cupy")}
    print(json.dumps({name: difference(*case, **backends) for name, *case in cases()}))
