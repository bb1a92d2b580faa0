"""Functions that misbehave are findings, bad arguments are errors, and the user's things stay as they were."""

import random

import numpy as np
import pytest

from xpnet.diagnostics import check_gradients

X = np.random.default_rng(0).standard_normal((6, 3))
T = np.random.default_rng(1).standard_normal((6, 2))


def loss(p):
    return 0.5 * ((X @ p["W"] + p["b"] - T) ** 2).sum()


def gradients(p):
    dy = X @ p["W"] + p["b"] - T
    return {"W": X.T @ dy, "b": dy.sum(axis=0)}


def parameters(dtype=np.float64):
    drawn = np.random.default_rng(2)
    return {"W": drawn.standard_normal((3, 2)).astype(dtype), "b": drawn.standard_normal(2).astype(dtype), "rate": 0.1}


def found(*arguments, **options):
    """The only finding."""
    (finding,) = check_gradients(*arguments, **options).findings
    return finding


def raises(p):
    raise KeyError("W7")


def test_functions_that_raise():
    finding = found(raises, parameters(), gradients)
    assert (finding.cause, finding.sentence) == ("function_raises", "loss(parameters) raises KeyError: 'W7'")
    assert 'raise KeyError("W7")' in finding.evidence["place"]
    assert found(loss, parameters(), raises).sentence == "gradients(parameters) raises KeyError: 'W7'"


def test_functions_that_raise_later():
    calls = []

    def sometimes(p):
        calls.append(1)
        if len(calls) > 9:
            raise RuntimeError("tired")
        return loss(p)

    assert found(sometimes, parameters(), gradients).sentence == "loss(parameters) raises RuntimeError: tired"


def test_a_forward_that_raises_only_leaves_explanations_out():
    report = check_gradients(loss, parameters(), lambda p: {"W": gradients(p)["W"] ** 2}, forward=raises, x=X, t=T)
    assert [finding.cause for finding in report.findings] == ["gradient_wrong"]


def test_functions_that_change_their_arguments():
    def in_place(p):
        p["W"] *= 1.5
        return loss(p)

    def its_gradients(p):
        found = gradients({**p, "W": 1.5 * p["W"]})
        return found | {"W": 1.5 * found["W"]}

    finding = found(in_place, parameters(), its_gradients)
    assert (finding.cause, finding.sentence) == ("function_mutates", "loss(parameters) changes W")

    def updating(p):
        g = gradients(p)
        p["b"] -= g["b"]
        return g

    assert found(loss, parameters(), updating).sentence == "gradients(parameters) changes b"


def test_random_functions():
    def noisy(p):
        return loss(p) + np.random.rand()  # noqa: NPY002

    finding = found(noisy, parameters(), gradients)
    assert finding.cause == "function_random"
    assert "for the same parameters" in finding.sentence
    finding = found(loss, parameters(), lambda p: {k: v * np.random.rand() for k, v in gradients(p).items()})  # noqa: NPY002
    assert finding.cause == "function_random"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "loss(parameters) should give one number, and gives None"),
        (np.ones(6), "loss(parameters) should give one number, and gives an array of shape (6,)"),
        ("high", "loss(parameters) should give one number, and gives str"),
        (1j, "loss(parameters) should give one number, and gives complex"),
    ],
)
def test_losses_that_are_no_number(value, text):
    finding = found(lambda p: value, parameters(), gradients)
    assert (finding.cause, finding.sentence) == ("wrong_shape", text)


def test_losses_of_one_element_are_numbers():
    assert check_gradients(lambda p: np.asarray([[loss(p)]]), parameters(), gradients).healthy


def test_a_loss_that_is_not_finite():
    assert found(lambda p: np.nan, parameters(), gradients).sentence == (
        "the loss is nan here: there is nothing to compare"
    )


def test_gradients_that_are_not_finite():
    finding = found(loss, parameters(), lambda p: gradients(p) | {"b": np.asarray([1.0, np.nan])})
    assert finding.sentence == "the gradient of b is not finite in 1 of 2 elements"


def test_gradients_of_another_shape():
    finding = found(loss, parameters(), lambda p: gradients(p) | {"W": np.ones((3, 5))})
    assert (finding.cause, finding.sentence) == ("wrong_shape", "the gradient of W has shape (3, 5), and W (3, 2)")
    assert found(loss, parameters(), lambda p: gradients(p) | {"W": gradients(p)["W"].T}).cause == "gradient_transposed"


@pytest.mark.parametrize("value", [None, 3.0, {}, {"V": np.ones(2)}, {"W": "text"}])
def test_gradients_that_are_no_dict_of_arrays(value):
    finding = found(loss, parameters(), lambda p: value)
    assert finding.cause == "wrong_shape"
    assert finding.sentence.startswith("gradients should be a dict of arrays by the parameters' names (W, b), and are")


def test_gradients_may_be_called_dw_or_come_in_order():
    assert check_gradients(loss, parameters(), lambda p: {f"d{k}": v for k, v in gradients(p).items()}).healthy
    assert check_gradients(loss, parameters(), lambda p: tuple(gradients(p).values())).healthy


def test_biases_may_be_rows_with_flat_gradients():
    p = {"W": parameters()["W"], "b": np.ones((1, 2))}
    assert check_gradients(loss, p, gradients).healthy


def test_integers_as_weights():
    p = {"W": np.arange(6).reshape(3, 2), "b": np.zeros(2)}
    report = check_gradients(loss, p, gradients)
    assert report.healthy
    assert "training of W: it holds integers (int64)" in report.unchecked[0]
    assert p["W"].dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_narrow_types(dtype):
    p = parameters(dtype)
    assert check_gradients(loss, p, gradients).healthy
    assert p["W"].dtype == dtype


def test_bad_arguments():
    with pytest.raises(TypeError, match="loss must be a function of the parameters, got float"):
        check_gradients(1.0, parameters(), gradients)
    with pytest.raises(TypeError, match=r"parameters: expected a dict of arrays, or an object .*, got list"):
        check_gradients(loss, [np.ones(2)], gradients)
    with pytest.raises(ValueError, match="parameters hold no arrays of numbers"):
        check_gradients(loss, {"rate": 0.1, "name": "W"}, gradients)


# Objects, and what is left behind ----------------------------------------------------------------------------------


class Net:
    def __init__(self):
        p = parameters(np.float32)
        self.W, self.b, self.rate, self.name = p["W"], p["b"], 0.1, "net"
        self.history = []

    def loss(self):
        self.y = X @ self.W + self.b
        self.history.append(1)
        return 0.5 * ((self.y - T) ** 2).sum()

    def gradients(self):
        self.loss()
        dy = self.y - T
        return {"W": X.T @ dy, "b": dy.sum(axis=0)}


def state(items):
    return {key: (id(value), value.tobytes() if isinstance(value, np.ndarray) else repr(value)) for key, value in items}


@pytest.mark.parametrize(
    ("of_loss", "of_gradients"),
    [
        (lambda net: lambda n: n.loss(), lambda net: lambda n: n.gradients()),
        (lambda net: lambda n: net.loss(), lambda net: lambda n: net.gradients()),
    ],
    ids=["passed", "bound"],
)
@pytest.mark.parametrize("given", [lambda net: net, vars], ids=["object", "vars"])
def test_objects_are_restored(of_loss, of_gradients, given):
    net = Net()
    if given is vars and of_loss(net).__code__.co_freevars == ():
        pytest.importorskip("numpy")
        before = state(vars(net).items())
        report = check_gradients(loss_of_dict, vars(net), gradients_of_dict)
    else:
        before = state(vars(net).items())
        report = check_gradients(of_loss(net), given(net), of_gradients(net))
    assert report.healthy, report
    assert state(vars(net).items()) == before


def loss_of_dict(p):
    return loss(p)


def gradients_of_dict(p):
    return gradients(p)


def test_a_bound_object_with_a_wrong_gradient():
    net = Net()
    report = check_gradients(lambda n: net.loss(), net, lambda n: {"W": -net.gradients()["W"]})
    assert [finding.cause for finding in report.findings] == ["gradient_sign"]


@pytest.mark.parametrize("misbehaviour", [None, "raises", "mutates"])
def test_everything_is_as_before_bit_for_bit(misbehaviour):
    p, x = parameters(np.float32), X.copy()
    p["W"][0, 0], p["strange"] = -0.0, np.asarray([np.nan, np.inf])
    kept = {key: value.tobytes() for key, value in p.items() if isinstance(value, np.ndarray)}
    identities = [(key, id(value)) for key, value in p.items()]

    def forward(q, x):
        x *= 2.0
        p["W"][...] = 5.0
        p["new"] = 3
        np.random.seed(1)  # noqa: NPY002
        random.random()
        return x @ q["W"]

    def gradients_of(q):
        if misbehaviour == "raises":
            p["b"][...] = 7.0
            raise ValueError("no")
        if misbehaviour == "mutates":
            p["W"] = None
        return {k: -v for k, v in gradients(q).items()}

    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    states = np.random.get_state()[1].tobytes(), random.getstate()  # noqa: NPY002
    report = check_gradients(loss, p, gradients_of, forward=forward, x=x, t=T)
    assert not report.healthy
    assert [(key, id(value)) for key, value in p.items()] == identities
    assert {key: value.tobytes() for key, value in p.items() if isinstance(value, np.ndarray)} == kept
    assert x.tobytes() == X.tobytes()
    assert (np.random.get_state()[1].tobytes(), random.getstate()) == states  # noqa: NPY002


def test_arrays_that_cannot_be_written_are_no_obstacle():
    p = parameters()
    p["W"].flags.writeable = False
    assert check_gradients(loss, p, gradients).healthy


def test_a_report_as_plain_values():
    import json

    text = json.dumps(check_gradients(loss, parameters(), lambda p: {k: -v for k, v in gradients(p).items()}).to_dict())
    assert '"cause": "gradient_sign"' in text
