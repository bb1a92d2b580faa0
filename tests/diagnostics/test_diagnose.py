"""`diagnose_functions` and `diagnose`: each kind of fault is named, healthy networks are not, and nothing is changed.

The clinic (bench/clinic) measures how often; here each kind has one network, so that a broken rule is seen at once.
"""

import numpy as np
import pytest

import xpnet
from xpnet.diagnostics import CAUSES, _diagnosis, diagnose, diagnose_functions


@pytest.fixture(autouse=True)
def _short_trials(monkeypatch):
    monkeypatch.setattr(_diagnosis, "_SECONDS", 0.1)


class Network:
    """A learner's two-layer network for one input: everything in the open, and a place for each mistake."""

    def __init__(self, *, hidden=20, low=-1.0, high=1.0, scale=1.0, rate=0.1, seed=0, bias=0.0):
        random = np.random.default_rng(seed)
        x = np.linspace(low, high, 60)[:, None]
        self.data = x, np.sin(3.0 * (x - low) / (high - low) * 2.0 - 3.0)
        self.rate = rate
        self.parameters = {
            "W1": scale * np.sqrt(2.0) * random.standard_normal((1, hidden)) * 2.0 / (high - low),
            "b1": np.full(hidden, bias),
            "W2": np.sqrt(2.0 / hidden) * random.standard_normal((hidden, 1)),
            "b2": np.zeros(1),
        }

    def activation(self, z):
        return np.tanh(z)

    def derivative(self, z):
        return 1.0 - np.tanh(z) ** 2

    def output(self, z):
        return z

    def forward(self, p, x):
        return self.output(self.activation(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"])

    def loss(self, y, t):
        return float(np.mean((y - t) ** 2))

    def gradients(self, p, x, t):
        z = x @ p["W1"] + p["b1"]
        h = self.activation(z)
        dy = 2.0 * (h @ p["W2"] + p["b2"] - t) / len(x)
        dz = dy @ p["W2"].T * self.derivative(z)
        return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dy, "b2": dy.sum(axis=0)}

    def step(self, p, x, t):
        for name, gradient in self.gradients(p, x, t).items():
            p[name] -= self.rate * gradient

    def arguments(self):
        functions = {name: getattr(self, name) for name in ("forward", "loss", "gradients", "step")}
        return functions | {"parameters": self.parameters, "data": self.data, "progress": False}


class ReLUNetwork(Network):
    def activation(self, z):
        return np.maximum(z, 0.0)

    def derivative(self, z):
        return (z > 0.0).astype(float)


class WrongSign(Network):
    def gradients(self, p, x, t):
        return {name: -gradient for name, gradient in super().gradients(p, x, t).items()}


class Summed(Network):
    def gradients(self, p, x, t):
        return {name: len(x) * gradient for name, gradient in super().gradients(p, x, t).items()}


class StepUphill(Network):
    def step(self, p, x, t):
        for name, gradient in self.gradients(p, x, t).items():
            p[name] += self.rate * gradient


class Bounded(Network):
    """Outputs between 0 and 1, for targets that are not."""

    def output(self, z):
        return 1.0 / (1.0 + np.exp(-z))

    gradients = step = None

    def arguments(self):
        return super().arguments() | {"gradients": None, "step": None}


class Dropping(Network):
    def forward(self, p, x):
        h = self.activation(x @ p["W1"] + p["b1"])
        return (h * (np.random.rand(*h.shape) < 0.5)) @ p["W2"] + p["b2"]  # noqa: NPY002 - as learners write it


class Mutating(Network):
    def forward(self, p, x):
        x -= x.mean()
        return super().forward(p, x)


class Raising(Network):
    def forward(self, p, x):
        raise KeyError("W3")


class Ignoring(Network):
    def forward(self, p, x):
        return super().forward(self.parameters, x)


class Flat(Network):
    def forward(self, p, x):
        return super().forward(p, x)[:3]


FAULTY = {
    "gradient_sign": WrongSign,
    "loss_summed": Summed,
    "rate_high": lambda: Network(rate=30.0),
    "rate_low": lambda: Network(rate=1e-6),
    "hinges_outside_data": lambda: ReLUNetwork(low=0.0, rate=0.01),
    "dead_relus": lambda: ReLUNetwork(bias=-50.0),
    "weights_large": lambda: Network(scale=300.0),
    "weights_small": lambda: Network(scale=1e-5, rate=0.02),
    "inputs_unscaled": lambda: Network(low=-2000.0, high=2000.0, scale=2000.0),
    "output_range": Bounded,
    "dropout_in_evaluation": Dropping,
    "function_mutates": Mutating,
    "function_raises": Raising,
    "nothing_computed": Ignoring,
    "wrong_shape": Flat,
}


@pytest.mark.parametrize("cause", FAULTY)
def test_the_fault_stands_first(cause):
    report = diagnose_functions(**FAULTY[cause]().arguments())
    assert not report.healthy
    assert report.findings[0].cause == cause, str(report)
    assert report.findings[0].remedy


@pytest.mark.parametrize("make", [Network, lambda: Network(seed=3), lambda: ReLUNetwork(seed=1, hidden=40)])
def test_a_network_that_learns_is_healthy(make):
    report = diagnose_functions(**make().arguments())
    assert report.healthy, str(report)
    assert report.checked == ("data", "program", "outputs", "gradients", "initialization", "dynamics", "remedies")


def test_a_step_that_goes_uphill_is_found_although_the_gradients_are_right():
    report = diagnose_functions(**StepUphill().arguments())
    assert report.findings[0].cause == "gradient_sign"
    assert "along the gradient" in report.findings[0].sentence


def test_data_that_cannot_be_learned():
    network = Network()
    x, t = network.data
    network.data = x, np.random.default_rng(0).permutation(t)
    assert diagnose_functions(**network.arguments()).findings[0].cause == "labels_shuffled"
    network.data = x, t.reshape(-1)
    assert diagnose_functions(**network.arguments()).findings[0].cause == "targets_broadcast"
    network.data = ((x - x.mean()) / x.std(), t), ((x[:20] - x[:20].mean()) / x[:20].std(), t[:20])
    assert "inputs_scaled_apart" in [f.cause for f in diagnose_functions(**network.arguments()).findings]


def test_a_remedy_is_tried_on_a_copy():
    report = diagnose_functions(**Network(rate=1e-4).arguments())
    (finding,) = report.findings
    assert finding.cause == "rate_low"
    assert finding.verified["after"] < 0.7 * finding.verified["before"]


@pytest.mark.parametrize("make", [Network, Dropping, Mutating, WrongSign, lambda: Network(rate=30.0)])
def test_arrays_and_random_states_are_as_before_bit_for_bit(make):
    network = make()
    known = dict(network.parameters)
    before = {name: values.tobytes() for name, values in known.items()}
    data = [values.tobytes() for values in network.data]
    state = np.random.get_state()[1].tobytes()  # noqa: NPY002 - the state that learners draw from
    diagnose_functions(**network.arguments())
    assert {name: values.tobytes() for name, values in network.parameters.items()} == before
    assert all(network.parameters[name] is values for name, values in known.items())
    assert [values.tobytes() for values in network.data] == data
    assert np.random.get_state()[1].tobytes() == state  # noqa: NPY002


def test_an_object_with_arrays_is_as_good_as_a_dict():
    class Learner:
        pass

    network, learner = WrongSign(), Learner()
    vars(learner).update(network.parameters, name="mine")
    report = diagnose_functions(**network.arguments() | {"parameters": learner})
    assert report.findings[0].cause == "gradient_sign"


def test_what_was_not_checked_is_said():
    report = diagnose_functions(**Network().arguments() | {"gradients": None, "step": None})
    assert any("neither gradients nor a step" in line for line in report.unchecked)
    assert "dynamics" not in report.checked


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"forward": 3}, TypeError, "diagnose_functions: forward must be a function, got 3"),
        ({"parameters": {"rate": 0.1}}, TypeError, "diagnose_functions: parameters must hold NumPy arrays, got"),
        ({"parameters": [np.ones(2)]}, TypeError, "parameters: expected a dict of arrays, or an object with arrays"),
        ({"data": np.ones(3)}, TypeError, r"diagnose_functions: data must be \(x, t\) or"),
        (
            {"data": (np.ones((0, 1)), np.ones((0, 1)))},
            ValueError,
            "diagnose_functions: data must have examples in rows",
        ),
        ({"data": (np.ones((3, 1)), np.array(["a", "b", "a"]))}, TypeError, "data must be numbers, got t of type <U1"),
        (
            {"data": (np.array([[1.0], [np.nan]]), np.ones((2, 1)))},
            ValueError,
            "inputs must be finite, and 1 of 2 values of x are NaN or infinite",
        ),
    ],
)
def test_arguments_of_another_kind_are_errors(change, error, text):
    with pytest.raises(error, match=text):
        diagnose_functions(**Network().arguments() | change)


def digits(rate, **options):
    (x, t), test = xpnet.data.digits()
    xpnet.seed(0)
    model = xpnet.models.mlp([64, 30, 10], **options)
    train = x[:300].reshape(300, -1), t[:300]
    optimizer = xpnet.optimizers.Adam(model, rate)
    return model, train, test, {"loss": xpnet.losses.softmax_cross_entropy, "optimizer": optimizer, "progress": False}


def test_a_model_of_xpnet_is_diagnosed_and_not_touched():
    model, train, _, options = digits(1e-10)
    before = {path: values.tobytes() for path, values in model.state().items()}
    report = diagnose(model, train, **options)
    assert [finding.cause for finding in report.findings] == ["rate_low"]
    assert {path: values.tobytes() for path, values in model.state().items()} == before
    assert options["optimizer"].steps == 0


def test_a_model_that_learns_is_healthy():
    model, train, _, options = digits(1e-3)
    report = diagnose(model, train, **options)
    assert report.healthy, str(report)


def test_batches_are_as_good_as_arrays():
    model, train, _, options = digits(1e-10)
    batches = xpnet.data.batches(*train, size=50)
    assert diagnose(model, batches, **options).findings[0].cause == "rate_low"


def test_every_named_cause_is_known():
    assert set(FAULTY) <= set(CAUSES)


class Momentum(Network):
    """A step that remembers, beside the parameters."""

    def __init__(self, **options):
        super().__init__(**options)
        self.velocity = {name: np.zeros_like(values) for name, values in self.parameters.items()}
        self.steps = 0

    def step(self, p, x, t):
        self.steps += 1
        for name, gradient in self.gradients(p, x, t).items():
            self.velocity[name] = 0.9 * self.velocity[name] - self.rate * gradient
            p[name] += self.velocity[name]


@pytest.mark.parametrize(("rate", "causes"), [(0.02, []), (5.0, ["rate_high"])])
def test_what_a_step_remembers_is_put_back_before_each_run_and_in_the_end(rate, causes):
    network = Momentum(rate=rate)
    velocity = network.velocity["W1"]
    report = diagnose_functions(**network.arguments())
    assert [finding.cause for finding in report.findings] == causes, str(report)
    assert network.steps == 0
    assert network.velocity["W1"] is velocity
    assert not np.any(velocity)


class Epochs(Network):
    """A step that goes through all it is given in shuffled batches."""

    def step(self, p, x, t):
        order = np.random.permutation(len(x))  # noqa: NPY002 - as learners write it
        for start in range(0, len(x), 8):
            rows = order[start : start + 8]
            super().step(p, x[rows], t[rows])


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_step_of_several_batches_goes_against_the_gradient_although_one_bias_may_not(seed):
    report = diagnose_functions(**Epochs(seed=seed).arguments())
    assert report.healthy, str(report)


class NearlyRight(Network):
    """Gradients as those of a trained network whose loss has an epsilon in its logarithm."""

    def gradients(self, p, x, t):
        return {name: 1.0005 * gradient for name, gradient in super().gradients(p, x, t).items()}


def test_a_gradient_within_a_percent_of_the_right_one_is_no_fault():
    report = diagnose_functions(**NearlyRight().arguments())
    assert report.healthy, str(report)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"loss": lambda y, t: (y - t) ** 2}, "loss should give one number, and gives an array of shape (60, 1)"),
        ({"loss": lambda y, t: None}, "loss should give one number, and gives a value of type object"),
        ({"forward": lambda p, x: (x, x[:3])}, "forward gives 2 values"),
        ({"gradients": lambda p, x, t: None}, "gradients should give a dict by the parameters' names, and gives None"),
        ({"gradients": lambda p, x, t: {"W1": "one"}}, "gradients should give arrays of numbers, and gives a str"),
        ({"step": lambda p, x, t: p.pop("W1")}, "step takes W1 out of the parameters"),
    ],
)
def test_functions_that_give_what_is_of_no_use_are_a_finding(change, text):
    (finding,) = diagnose_functions(**Network().arguments() | change).findings
    assert finding.cause == "wrong_shape"
    assert finding.sentence.startswith(text)


def test_a_loss_as_an_array_of_one_and_gradients_in_the_parameters_order_are_fine():
    network = Network()
    functions = {
        "loss": lambda y, t: np.mean((y - t) ** 2, keepdims=True),
        "gradients": lambda p, x, t: tuple(network.gradients(p, x, t).values()),
    }
    report = diagnose_functions(**network.arguments() | functions)
    assert report.healthy, str(report)


STEPS, VELOCITY, DRAWN = 0, {}, np.random.default_rng(0)


class Remembering:
    """A step that is an object, and remembers in itself, in variables of its module, and in a generator."""

    def __init__(self, network):
        self.network, self.steps, self.velocity, self.random = network, 0, {}, np.random.default_rng(1)

    def __call__(self, p, x, t):
        global STEPS
        STEPS += 1
        self.steps += 1
        DRAWN.random(), self.random.random()
        for name, gradient in self.network.gradients(p, x, t).items():
            VELOCITY[name] = 0.9 * VELOCITY.get(name, 0.0) - 0.02 * gradient
            self.velocity[name] = gradient
            p[name] += VELOCITY[name]


def test_variables_of_a_module_objects_that_are_called_and_generators_are_put_back():
    network = Network()
    step = Remembering(network)
    states = DRAWN.bit_generator.state, step.random.bit_generator.state
    report = diagnose_functions(**network.arguments() | {"step": step})
    assert report.healthy, str(report)
    assert (STEPS, VELOCITY, step.steps, step.velocity) == (0, {}, 0, {})
    assert (DRAWN.bit_generator.state, step.random.bit_generator.state) == states


class Line(Network):
    """A network without hidden layer."""

    def __init__(self, x, t):
        super().__init__()
        self.data = x, t
        self.parameters = {"W": np.zeros((x.shape[1], 1))}

    def forward(self, p, x):
        return x @ p["W"]

    def gradients(self, p, x, t):
        return {"W": 2.0 * x.T @ (x @ p["W"] - t) / len(x)}


def test_a_column_of_ones_and_a_single_example_are_no_lost_features():
    x = np.stack([np.ones(40), np.linspace(-1.0, 1.0, 40)], axis=1)
    for rows in (slice(None), slice(1)):
        report = diagnose_functions(**Line(x[rows], x[rows] @ [[1.0], [2.0]]).arguments())
        assert report.healthy, str(report)
    report = diagnose_functions(**Line(0.0 * x + 1.0, x[:, 1:]).arguments())
    assert report.findings[0].cause == "inputs_constant"


@pytest.mark.parametrize("seed", range(4))
def test_few_examples_of_many_features_are_not_shuffled_because_neighbours_say_little(seed):
    x = np.random.default_rng(seed).standard_normal((40, 20))
    t = x[:, :1]
    assert diagnose_functions(**Line(x, t).arguments()).healthy
    shuffled = np.random.default_rng(seed + 100).permutation(t)
    assert diagnose_functions(**Line(x, shuffled).arguments()).findings[0].cause == "labels_shuffled"
