"""Programs as strangers write them: other activations, losses, optimizers and habits than those of the clinic."""

import numpy as np
import pytest

from xpnet.diagnostics import _diagnosis, diagnose_functions


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(_diagnosis, "_SECONDS", 0.1)


def sigmoid(z):
    return 1.0 / (1.0 + np.exp(-z))


def gelu_derivative(z):
    root = np.sqrt(2.0 / np.pi)
    t = np.tanh(root * (z + 0.044715 * z**3))
    return 0.5 * (1.0 + t) + 0.5 * z * (1.0 - t * t) * root * (1.0 + 3.0 * 0.044715 * z * z)


ACTIVATIONS = {
    "relu": (lambda z: np.maximum(z, 0.0), lambda z: np.where(z > 0.0, 1.0, 0.0)),
    "leaky": (lambda z: np.where(z > 0.0, z, 0.01 * z), lambda z: np.where(z > 0.0, 1.0, 0.01)),
    "leaky 0.3": (lambda z: np.where(z > 0.0, z, 0.3 * z), lambda z: np.where(z > 0.0, 1.0, 0.3)),
    "tanh": (np.tanh, lambda z: 1.0 - np.tanh(z) ** 2),
    "elu": (lambda z: np.where(z > 0.0, z, np.exp(np.minimum(z, 0.0)) - 1.0), lambda z: np.exp(np.minimum(z, 0.0))),
    "softplus": (lambda z: np.log1p(np.exp(z)), sigmoid),
    "swish": (lambda z: z * sigmoid(z), lambda z: sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))),
    "gelu": (lambda z: 0.5 * z * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3))), gelu_derivative),
    "softsign": (lambda z: z / (1.0 + np.abs(z)), lambda z: (1.0 + np.abs(z)) ** -2),
}
LOSSES = {
    "squared": (lambda y, t: np.mean((y - t) ** 2), lambda y, t: 2.0 * (y - t) / y.size),
    "absolute": (lambda y, t: np.mean(np.abs(y - t)), lambda y, t: np.sign(y - t) / y.size),
    "binary": (lambda y, t: np.mean(np.logaddexp(0.0, y) - t * y), lambda y, t: (sigmoid(y) - t) / y.size),
}


def wave(n=120, seed=0):
    x = np.random.default_rng(seed).uniform(-3.0, 3.0, (n, 1))
    return x, np.sin(x)


class Program:
    """One hidden layer or more, under the names w1, c1, w2, …; a rule of the optimizers below."""

    def __init__(self, data, sizes, activation="tanh", loss="squared", rule="descent", rate=0.1, gain=1.0):
        random = np.random.default_rng(1)
        self.data, self.depth = data, len(sizes) - 1
        self.activation, self.derivative = ACTIVATIONS[activation]
        self.loss, self.loss_derivative = LOSSES[loss]
        self.parameters = {}
        for k in range(1, self.depth + 1):
            inputs, outputs = sizes[k - 1 : k + 1]
            self.parameters[f"w{k}"] = gain * random.standard_normal((inputs, outputs)) * np.sqrt(1.5 / inputs)
            self.parameters[f"c{k}"] = np.zeros((1, outputs))
        self.update = RULES[rule](rate)

    def run(self, p, x):
        zs, hs = [], [x]
        for k in range(1, self.depth + 1):
            zs.append(hs[-1] @ p[f"w{k}"] + p[f"c{k}"])
            hs.append(self.activation(zs[-1]) if k < self.depth else zs[-1])
        return zs, hs

    def forward(self, p, x):
        return self.run(p, x)[1][-1]

    def slope(self, z, h):
        return self.derivative(z)

    def gradients(self, p, x, t):
        zs, hs = self.run(p, x)
        delta, found = self.loss_derivative(hs[-1], t), {}
        for k in range(self.depth, 0, -1):
            found[f"w{k}"], found[f"c{k}"] = hs[k - 1].T @ delta, delta.sum(axis=0, keepdims=True)
            if k > 1:
                delta = delta @ p[f"w{k}"].T * self.slope(zs[k - 2], hs[k - 1])
        return {name: found[name] for name in p}

    def step(self, p, x, t):
        for name, gradient in self.gradients(p, x, t).items():
            p[name] += self.update(name, gradient)

    def diagnosed(self, **changes):
        functions = {name: getattr(self, name) for name in ("forward", "loss", "gradients", "step")}
        arguments = functions | {"parameters": self.parameters, "data": self.data, "progress": False} | changes
        return diagnose_functions(**arguments)


def descent(rate):
    return lambda name, gradient: -rate * gradient


def momentum(rate):
    """A velocity in a closure, which itself is an attribute."""
    velocity = {}

    def update(name, gradient):
        velocity[name] = 0.9 * velocity.get(name, 0.0) - rate * gradient
        return velocity[name]

    return update


def adam(rate):
    moments = {}

    def update(name, gradient):
        m, v, n = moments.get(name, (0.0, 0.0, 0))
        moments[name] = m, v, n = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, n + 1
        return -rate * (m / (1.0 - 0.9**n)) / (np.sqrt(v / (1.0 - 0.999**n)) + 1e-8)

    return update


RULES = {"descent": descent, "momentum": momentum, "adam": adam}


def first(report):
    return report.findings[0].cause if report.findings else None


# How functions are written ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("with_loss", [False, True])
def test_a_step_may_return_new_parameters(with_loss):
    program = Program(wave(), [1, 20, 1])

    def step(p, x, t):
        gradients = program.gradients(p, x, t)
        new = {name: values - 0.1 * gradients[name] for name, values in p.items()}
        return (new, 0.0) if with_loss else new

    assert program.diagnosed(step=step).healthy
    assert program.diagnosed(step=step, gradients=None).healthy


@pytest.mark.parametrize("name", ["d{}", "grad_{}", "{}_grad"])
def test_gradients_are_known_by_usual_prefixes(name):
    program = Program(wave(), [1, 20, 1])

    def gradients(p, x, t):
        return {name.format(key): values for key, values in program.gradients(p, x, t).items()}

    def upside_down(p, x, t):
        return {key: -values for key, values in gradients(p, x, t).items()}

    assert program.diagnosed(gradients=gradients, step=None).healthy
    assert first(program.diagnosed(gradients=upside_down, step=None)) == "gradient_sign"


def test_gradients_of_other_names_are_no_gradients():
    program = Program(wave(), [1, 20, 1])
    report = program.diagnosed(gradients=lambda p, x, t: {"a": p["w1"], "b": p["c1"]}, step=None)
    assert first(report) == "wrong_shape"
    assert "names (a, b) are not the parameters' (w1, c1, w2, c2)" in report.findings[0].sentence


def test_outputs_with_a_cache_beside_them_are_said_to_be_two():
    program = Program(wave(), [1, 20, 1])
    report = program.diagnosed(forward=lambda p, x: (program.forward(p, x), {"h": x}))
    assert first(report) == "wrong_shape"
    assert "forward gives 2 values (a ndarray, a dict), and should give the outputs alone" in str(report)


def test_a_gradient_of_another_shape_is_called_so():
    program = Program(wave(), [1, 20, 1])

    def gradients(p, x, t):
        found = program.gradients(p, x, t)
        return found | {"w1": found["w1"][:, :7]}

    report = program.diagnosed(gradients=gradients, step=None)
    assert first(report) == "wrong_shape"
    assert "the gradient of w1 has shape (1, 7), and w1 (1, 20)" in report.findings[0].sentence


def test_a_weight_without_a_gradient_is_found():
    program = Program(wave(), [1, 20, 1])

    def gradients(p, x, t):
        return {name: values for name, values in program.gradients(p, x, t).items() if name != "w1"}

    report = program.diagnosed(gradients=gradients, step=None)
    assert first(report) == "gradient_zero"
    assert "no gradient is given for w1" in report.findings[0].sentence


def test_a_gradient_that_is_kept_from_the_first_batch_is_stale():
    program, cache = Program(wave(), [1, 20, 1]), {}

    def gradients(p, x, t):
        found = program.gradients(p, x, t)
        return found | {"w1": cache.setdefault("w1", found["w1"]).copy()}

    report = program.diagnosed(gradients=gradients, step=None)
    assert first(report) == "gradient_stale"
    assert "the gradients of w1 stay those of the first batch" in report.findings[0].sentence


# Healthy programs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["elu", "gelu", "leaky 0.3", "softplus"])
def test_biases_in_rows_and_velocities_in_closures_are_healthy(activation):
    assert Program(wave(), [1, 30, 1], activation, rule="momentum", rate=0.01).diagnosed().healthy


def test_absolute_errors_at_a_constant_rate_are_healthy():
    assert Program(wave(), [1, 50, 1], "relu", "absolute").diagnosed().healthy


def test_bits_that_repeat_are_neither_shuffled_nor_in_both_sets():
    bits = np.asarray([[i >> j & 1 for j in range(5)] for i in range(32)], dtype=float)
    rows = np.random.default_rng(0).integers(0, 32, 160)
    x, t = 2.0 * bits - 1.0, bits.sum(axis=1, keepdims=True) % 2.0
    once = Program((x, t), [5, 32, 1], "relu", "binary", "adam", 0.01)
    often = Program((x, t), [5, 32, 1], "relu", "binary", "adam", 0.01)
    assert once.diagnosed().healthy
    assert often.diagnosed(data=((x[rows[:120]], t[rows[:120]]), (x[rows[120:]], t[rows[120:]]))).healthy


@pytest.mark.parametrize("seed", range(2))
def test_targets_that_are_mostly_noise_are_not_shuffled(seed):
    x, t = wave(240, seed)
    noisy = t + 1.2 * np.random.default_rng(seed).standard_normal(t.shape)
    shuffled = np.random.default_rng(seed).permutation(t)
    assert first(Program((x, noisy), [1, 16, 1]).diagnosed()) != "labels_shuffled"
    assert first(Program((x, shuffled), [1, 16, 1]).diagnosed()) == "labels_shuffled"


def test_one_straight_layer_among_bent_ones_is_no_straight_line():
    program = Program(wave(), [1, 20, 20, 4, 20, 1], "relu", rule="adam", rate=0.005)
    program.parameters["c3"] += 6.0  # all four units are active for all examples
    assert "hinges_outside_data" not in [finding.cause for finding in program.diagnosed().findings]


# Faults -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["elu", "softplus", "swish", "gelu", "leaky 0.3"])
def test_a_derivative_at_the_wrong_place_is_named_whatever_the_activation(activation):
    class Wrong(Program):
        def slope(self, z, h):
            return np.where(z > 0.0, 1.0, 0.01) if activation == "leaky 0.3" else self.derivative(h)

    assert first(Wrong(wave(), [1, 20, 1], activation).diagnosed()) == "gradient_argument"


@pytest.mark.parametrize("rule", ["descent", "adam"])
def test_a_step_uphill_is_found_from_the_step_alone(rule):
    report = Program(wave(), [1, 20, 1], rule=rule, rate=-0.01).diagnosed(gradients=None)
    assert first(report) == "gradient_sign"


def test_directions_of_adam_tell_a_wrong_derivative():
    class Wrong(Program):
        def slope(self, z, h):
            return 1.0 - z**2

    right, wrong = (kind(wave(), [1, 20, 1], rule="adam", rate=0.01) for kind in (Program, Wrong))
    assert right.diagnosed(gradients=None).healthy
    report = wrong.diagnosed(gradients=None)
    assert first(report) == "gradient_argument"
    assert "with z1 in the formula that is meant for its value h1" in report.findings[0].sentence


def test_directions_of_adam_tell_the_same_mistake_in_all_layers_and_a_weight_that_stays():
    class Unmasked(Program):
        def slope(self, z, h):
            return np.ones_like(z)

    class Still(Program):
        def gradients(self, p, x, t):
            found = super().gradients(p, x, t)
            return found | {"w1": 0.0 * found["w1"]}

    for kind, cause in ((Unmasked, "gradient_mask"), (Still, "gradient_zero")):
        program = kind(wave(), [1, 20, 20, 1], "relu", rule="adam", rate=0.01)
        program.parameters["c1"] += np.linspace(-1.0, 1.0, 20)
        assert first(program.diagnosed(gradients=None)) == cause


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_labels_of_one_class_are_found(value):
    x, t = wave()
    report = Program((x, np.full_like(t, value)), [1, 20, 1], loss="binary").diagnosed()
    assert first(report) == "labels_imbalanced"
    assert "all 120 targets are the same" in report.findings[0].sentence


def test_a_loss_of_large_logits_that_overflows_is_found():
    x, t = np.random.default_rng(0).standard_normal((80, 2)), np.arange(80) % 2

    def loss(y, t):
        e = np.exp(y)
        return float(-np.mean(np.log(e[np.arange(len(t)), t] / e.sum(axis=1))))

    report = Program((x, t), [2, 20, 2], gain=600.0).diagnosed(loss=loss, gradients=None, step=None)
    assert "softmax_overflow" in [finding.cause for finding in report.findings]


# Remedies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", ["relu", "leaky"])
def test_a_remedy_is_tried_with_the_rate_that_it_bears(activation):
    random = np.random.default_rng(0)
    x = random.random((100, 1))
    program = Program((x, np.sin(2.0 * np.pi * x)), [1, 60, 1], activation, rate=0.01, gain=0.5)
    finding = program.diagnosed().findings[0]
    assert finding.cause == "hinges_outside_data"
    assert finding.verified["after"] < finding.verified["at_the_same_rate"] / 2.0
    rate = 0.01 * finding.verified["rate"]
    assert f"then a learning rate of {rate:.2g} (" in finding.remedy
    assert f" and a learning rate of {rate:.2g} (" in finding.verified["what"]
    assert f"tried on a copy: {finding.verified['what']}: loss " in str(finding).replace("\n        ", " ")


def test_without_gradients_a_rate_is_named_by_how_many_times_it_is_higher():
    random = np.random.default_rng(0)
    x = random.random((100, 1))
    program = Program((x, np.sin(2.0 * np.pi * x)), [1, 60, 1], "relu", rate=0.01, gain=0.5)
    finding = program.diagnosed(gradients=None).findings[0]
    assert f"a learning rate {finding.verified['rate']:g} times higher" in finding.verified["what"]


def test_without_a_step_the_diagnosis_finds_a_rate_of_its_own():
    x, t = wave()
    assert Program((x, 300.0 * t), [1, 20, 1], "relu", gain=3.0).diagnosed(step=None).healthy
