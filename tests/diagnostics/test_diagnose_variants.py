"""Faults in the forms that programs unlike the clinic's give them, and healthy programs that look like them."""

import numpy as np
import pytest

from xpnet.diagnostics import _diagnosis, check_gradients, diagnose_functions


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(_diagnosis, "_SECONDS", 0.1)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


class Program:
    """Two layers by hand, A and B with a and b: tanh or another activation, mean squared error, plain descent."""

    def __init__(self, x, t, x_validation=None, t_validation=None, *, units=20, activation=np.tanh,
                 slope=lambda z: 1.0 - np.tanh(z) ** 2, rate=0.1):  # fmt: skip
        random = np.random.default_rng(0)
        self.parameters = {
            "A": random.standard_normal((x.shape[1], units)) / np.sqrt(x.shape[1]),
            "a": np.zeros(units),
            "B": random.standard_normal((units, t.shape[1])) / np.sqrt(units),
            "b": np.zeros(t.shape[1]),
        }
        self.activation, self.slope, self.rate = activation, slope, rate
        self.data = (x, t) if x_validation is None else ((x, t), (x_validation, t_validation))

    def forward(self, p, x):
        return self.activation(x @ p["A"] + p["a"]) @ p["B"] + p["b"]

    def gradients(self, p, x, t):
        z = x @ p["A"] + p["a"]
        h = self.activation(z)
        dy = 2.0 * (h @ p["B"] + p["b"] - t) / t.size
        dz = dy @ p["B"].T * self.slope(z)
        return {"A": x.T @ dz, "a": dz.sum(axis=0), "B": h.T @ dy, "b": dy.sum(axis=0)}

    def step(self, p, x, t):
        for name, gradient in self.gradients(p, x, t).items():
            p[name] -= self.rate * gradient

    def causes(self, **changes):
        functions = {name: getattr(self, name) for name in ("forward", "gradients", "step")}
        report = diagnose_functions(
            **(functions | {"loss": mean_square, "parameters": self.parameters, "data": self.data} | changes),
            progress=False,
        )
        return [finding.cause for finding in report.findings]


def mean_square(y, t):
    return float(np.mean((y - t) ** 2))


def table(n, features=4, seed=0):
    x = np.random.default_rng(seed).standard_normal((n, features))
    return x, np.sin(x[:, :1]) + 0.5 * x[:, 1:2]


def pair():
    return *table(200), *table(80, seed=1)


# Data ---------------------------------------------------------------------------------------------------------------

OWN_SCALES = {
    "range": lambda x: (x - x.min(axis=0)) / np.ptp(x, axis=0) - 0.5,
    "quartiles": lambda x: (x - np.median(x, axis=0)) / np.subtract(*np.quantile(x, (0.75, 0.25), axis=0)),
    "all features": lambda x: (x - x.mean()) / x.std(),
}


@pytest.mark.parametrize("scale", OWN_SCALES.values(), ids=OWN_SCALES)
def test_each_set_on_a_scale_of_its_own(scale):
    x, t, xv, tv = pair()
    assert Program(scale(x), t, scale(xv), tv).causes() == ["inputs_scaled_apart"]
    both = scale(np.concatenate([x, xv]))
    assert Program(both[:200], t, both[200:], tv).causes() == []


def test_one_feature_on_another_scale():
    x, t, xv, tv = pair()
    assert Program(x, t, xv * [1.0, 1000.0, 1.0, 1.0], tv).causes() == ["inputs_scaled_apart"]


def test_even_spaces_have_the_same_ends_and_quartiles_without_a_fault():
    x, xv = (np.linspace(-1.0, 1.0, n)[:, None] for n in (160, 77))
    assert Program(x, np.sin(3.0 * x), xv, np.sin(3.0 * xv)).causes() == []


@pytest.mark.parametrize(
    ("value", "features"),
    [(0.0, [0, 2]), (1.0, [1, 2, 3]), (500.0, [3])],
    ids=["half are zero", "filled with ones", "one is large"],
)
def test_features_that_were_lost(value, features):
    x, t = table(200)
    x[:, features] = value
    assert "inputs_constant" in Program(x, t).causes()[:1]


@pytest.mark.parametrize("background", [0.0, 1.0])
def test_an_empty_frame_is_no_fault(background):
    pictures, t = table(200, 36)
    framed = np.pad(0.3 * pictures, ((0, 0), (14, 14)), constant_values=background)
    assert "inputs_constant" not in Program(framed, t, rate=0.02).causes()


def test_a_class_that_only_validation_has_enough_of():
    random = np.random.default_rng(0)
    t, tv = (np.array(counts) for counts in ([0] * 150 + [1] * 2, [0] * 40 + [1] * 40))
    x, xv = (random.standard_normal((len(each), 2)) + 2.0 * each[:, None] for each in (t, tv))
    causes = Program(x, t[:, None] * 1.0, xv, tv[:, None] * 1.0).causes()
    assert causes[0] == "labels_imbalanced"
    assert "inputs_scaled_apart" not in causes


def test_wrong_labels_of_training_are_no_other_scale():
    random = np.random.default_rng(0)
    t, tv = (random.integers(0, 2, n) for n in (200, 80))
    x, xv = (random.standard_normal((len(each), 2)) + 6.0 * each[:, None] for each in (t, tv))
    noisy = np.where(random.random(200) < 0.3, 1 - t, t)
    assert "inputs_scaled_apart" not in Program(x / 3.0, noisy[:, None] * 1.0, xv / 3.0, tv[:, None] * 1.0).causes()


def test_few_examples_are_known_by_heart():
    x, t, xv, tv = pair()
    noise = 0.5 * np.random.default_rng(3).standard_normal((200, 1))
    noisy = Program(x[:10], (t + noise)[:10], xv, tv, units=100, rate=0.05)
    assert noisy.causes() == ["overfitting"]
    assert Program(x, t, xv, tv, units=100, rate=0.05).causes() == []


# Gradients ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "slope",
    [
        lambda z: z + sigmoid(z) * (1.0 - z),
        lambda z: sigmoid(z) * (1.0 + z * sigmoid(z) * (1.0 - sigmoid(z))),
        lambda z: 0.3 + 0.1 * z * z,
    ],
    ids=["z for its value", "the value for z", "no known formula"],
)
def test_a_derivative_by_a_wrong_formula(slope):
    program = Program(*table(100), activation=lambda z: z * sigmoid(z), slope=slope)
    assert program.causes()[0] == "gradient_argument"


def test_outputs_overwritten_by_the_error():
    x, t = table(100)
    program = Program(x, (t > 0.0) * 1.0)

    def forward(p, x):
        return sigmoid(np.tanh(x @ p["A"] + p["a"]) @ p["B"] + p["b"])

    def gradients(p, x, t):
        h, y = np.tanh(x @ p["A"] + p["a"]), forward(p, x)
        y -= t
        dy = 2.0 * y * y * (1.0 - y) / t.size
        dz = dy @ p["B"].T * (1.0 - h * h)
        return {"A": x.T @ dz, "a": dz.sum(axis=0), "B": h.T @ dy, "b": dy.sum(axis=0)}

    assert program.causes(forward=forward, gradients=gradients, step=None)[0] == "activation_overwritten"


def test_activations_kept_by_the_size_of_the_batch():
    program, kept = Program(*table(100)), {}

    def gradients(p, x, t):
        h = np.tanh(x @ p["A"] + p["a"])
        dy = 2.0 * (h @ p["B"] + p["b"] - t) / t.size
        old = kept.setdefault(len(x), h)
        dz = dy @ p["B"].T * (1.0 - old * old)
        return {"A": x.T @ dz, "a": dz.sum(axis=0), "B": old.T @ dy, "b": dy.sum(axis=0)}

    assert program.causes(gradients=gradients)[0] == "gradient_stale"


@pytest.mark.parametrize("axes", [(1, 0, 2), (1, 2, 0), (2, 1, 0)])
def test_arrays_of_more_axes_may_be_transposed(axes):
    random = np.random.default_rng(0)
    w, goal = random.standard_normal((2, 3, 3, 3))
    report = check_gradients(
        lambda p: float(np.sum((p["w"] - goal) ** 4)),
        {"w": w},
        lambda p: {"w": 4.0 * ((p["w"] - goal) ** 3).transpose(axes)},
    )
    assert [finding.cause for finding in report.findings] == ["gradient_transposed"]


# Initialization and steps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kinds", [1, 2])
def test_units_drawn_with_the_same_seed(kinds):
    program = Program(*table(150), units=24)
    for name, axis in (("A", 1), ("B", 0)):
        some = np.take(program.parameters[name], np.arange(kinds), axis=axis)
        program.parameters[name] = np.repeat(some, 24 // kinds, axis=axis)
    assert program.causes()[0] == "weights_zero"


@pytest.mark.parametrize(("rate", "expected"), [(lambda n: 0.7**n, ["rate_low"]), (lambda n: 1.0, [])])
def test_a_rate_that_dies_out(rate, expected):
    program, count = Program(*table(150)), [0]

    def step(p, x, t):
        for name, gradient in program.gradients(p, x, t).items():
            p[name] -= 0.1 * rate(count[0]) * gradient
        count[0] += 1

    assert program.causes(step=step) == expected


# What cannot be learned ---------------------------------------------------------------------------------------------


def test_a_loss_that_draws_at_random():
    random = np.random.default_rng(0)
    causes = Program(*table(100)).causes(loss=lambda y, t: mean_square(y, t) + 0.01 * random.random())
    assert causes[0] == "function_random"


def test_a_network_that_cannot_learn_a_single_batch():
    corners = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]) - 0.5
    x = np.tile(corners, (30, 1))
    t = 4.0 * x[:, :1] * x[:, 1:]  # no straight line is better than a constant
    straight = {"activation": lambda z: z, "slope": np.ones_like, "rate": 0.1}
    assert Program(x, t, **straight).causes() == ["no_fit"]
    assert Program(x, t, rate=0.3).causes() == []


def logarithm_of_columns(z):
    z = z - z.max(axis=0)
    return z - np.log(np.exp(z).sum(axis=0))


def shares_of_all(z):
    e = np.exp(z - z.max())
    return e / e.sum()


@pytest.mark.parametrize(
    ("head", "logarithm", "said"),
    [
        (logarithm_of_columns, lambda y: y, "columns of exp of the outputs sums to 1"),
        (shares_of_all, np.log, "the outputs sum to 1 all together"),
    ],
)
def test_softmax_before_a_logarithm_or_over_all_outputs(head, logarithm, said):
    random = np.random.default_rng(0)
    t = random.integers(0, 3, 120)
    x = 2.0 * np.eye(3)[t] + 0.5 * random.standard_normal((120, 3))
    parameters = {"W": 0.1 * random.standard_normal((3, 3)), "b": np.zeros(3)}

    def forward(p, x):
        return head(x @ p["W"] + p["b"])

    def step(p, x, t):
        z = x @ p["W"] + p["b"]
        e = np.exp(z - z.max(axis=1, keepdims=True))
        dz = (e / e.sum(axis=1, keepdims=True) - np.eye(3)[t]) / len(t)
        p["W"] -= x.T @ dz
        p["b"] -= dz.sum(axis=0)

    def loss(y, t):
        return -np.mean(logarithm(y)[np.arange(len(t)), t])

    report = diagnose_functions(
        forward=forward, loss=loss, parameters=parameters, step=step, data=(x, t), progress=False
    )
    assert report.findings[0].cause == "softmax_axis"
    assert said in report.findings[0].sentence


def test_a_single_hidden_unit_is_no_symmetry():
    x = np.linspace(-2.0, 2.0, 100)[:, None]
    assert "weights_zero" not in Program(x, np.tanh(2.0 * x), units=1, rate=0.3).causes()
