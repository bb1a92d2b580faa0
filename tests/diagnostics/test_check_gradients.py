"""The gradient check: right gradients pass, wrong ones are named, and nothing of the user's is changed."""

import numpy as np
import pytest

from xpnet.diagnostics import check_gradients

NETWORKS = [
    ([3, 5, 2], "tanh", "squared"),
    ([4, 6, 3], "relu", "softmax"),
    ([2, 5, 5, 1], "sigmoid", "squared"),
    ([3, 5, 5, 4], "tanh", "softmax"),
    ([3, 5, 5, 2], "relu", "squared"),
]


@pytest.fixture(params=NETWORKS, ids=lambda case: f"{len(case[0]) - 1}-{case[1]}-{case[2]}")
def kind(request):
    return request.param


# Mistakes ---------------------------------------------------------------------------------------------------------


def test_every_mistake_is_named(kind, network, mistakes, can_be_made):
    sizes, hidden, loss = kind
    missed = []
    for mistake, cause in mistakes.items():
        for layer in range(1, len(sizes)):
            n = 5 if mistake == "bias over units" else 12
            if can_be_made(mistake, layer, len(sizes) - 1, hidden, sizes, n):
                penalty = 0.01 if mistake == "no penalty" else 0.0
                report = network(sizes, hidden, loss, n, 3, mistake, layer, penalty).check()
                if [finding.cause for finding in report.findings] != [cause]:
                    missed.append((mistake, layer, report))
    assert not missed


@pytest.mark.parametrize("mistake", ["summed", "sign", "mask", "argument", "after update", "activation"])
def test_mistakes_are_named_in_float32(mistake, network, mistakes):
    report = network([3, 5, 5, 2], "tanh", "squared", 12, 4, mistake, 2, dtype=np.float32).check()
    assert [finding.cause for finding in report.findings] == [mistakes[mistake]]


@pytest.mark.parametrize("mistake", ["summed", "sign", "bias not summed", "bias over all", "zero", "unneeded penalty"])
def test_mistakes_of_one_gradient_are_named_without_the_network(mistake, network, mistakes):
    report = network([3, 5, 2], "tanh", "squared", 12, 4, mistake, 1).check(forward=None, x=None, t=None, other=None)
    assert [finding.cause for finding in report.findings] == [mistakes[mistake]]


def test_a_wrong_gradient_without_a_known_reason_shows_both_values(network):
    net = network([3, 5, 2])
    right = net.gradients(net.parameters)
    right["W2"][3, 1] += 7.0
    report = check_gradients(net.loss, net.parameters, right)
    (finding,) = report.findings
    assert finding.cause == "gradient_wrong"
    worst = finding.evidence["worst"]
    assert (worst["parameter"], worst["place"]) == ("W2", [3, 1])
    assert worst["given"] - worst["true"] == pytest.approx(7.0, rel=1e-6)
    assert "W2[3, 1] has" in finding.sentence


def test_sentences_say_where_and_by_how_much(network):
    def sentence(mistake, layer=1, **options):
        return network([3, 5, 5, 2], mistake=mistake, layer=layer, **options).check().findings[0].sentence

    assert sentence("sign of W", 2) == "the gradient of W2 is -1 times the right one: the sign is wrong"
    assert "12 times the right one, the number of examples: they are sums over the batch" in sentence("summed")
    assert sentence("activation", 2) == (
        "the gradient of W2 uses layer 1's pre-activation, where layer 1's activation multiplied W2"
    )
    assert sentence("mask", 2) == "the gradient goes back through layer 2 without the derivative of its tanh"
    assert "with a rate of 0.1)" in sentence("after update")
    assert "without the term 0.01 * parameter, that the loss's penalty gives" in sentence("no penalty", penalty=0.01)


def test_two_mistakes_are_two_findings(network):
    net = network([3, 5, 5, 2], mistake="mask", layer=1)

    def gradients(p):
        found = net.gradients(p)
        return found | {"b3": -found["b3"]}

    report = check_gradients(net.loss, net.parameters, gradients, forward=net.forward, x=net.x, t=net.t)
    assert {finding.cause for finding in report.findings} == {"gradient_mask", "gradient_sign"}


def test_a_gradient_that_is_never_computed_anew_is_stale(network):
    net = network([3, 5, 2])
    old = net.gradients({name: 1.3 * values for name, values in net.parameters.items()})
    report = check_gradients(net.loss, net.parameters, lambda p: old)
    assert [finding.cause for finding in report.findings] == ["gradient_stale"]


def test_a_gradient_of_the_call_before_is_stale(network):
    net, kept = network([3, 5, 2]), []

    def gradients(p):
        kept.append(net.gradients(p))
        return kept[-2] if len(kept) > 1 else {name: 0.0 * values for name, values in p.items()}

    assert check_gradients(net.loss, net.parameters, gradients).findings[0].cause == "gradient_stale"


# Right gradients --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_right_networks_pass(dtype, network):
    random, alarms = np.random.default_rng(8), []
    for seed in range(60):
        sizes = [int(size) for size in random.integers(2, 9, random.integers(3, 6))]
        hidden, loss = str(random.choice(["relu", "tanh", "sigmoid"])), str(random.choice(["squared", "softmax"]))
        net = network(sizes, hidden, loss, int(random.integers(2, 60)), seed, penalty=1e-3, dtype=dtype)
        report = net.check()
        if not report.healthy or report.unchecked:
            alarms.append((seed, report))
    assert not alarms


def test_gradients_may_be_a_dict(network):
    net = network([3, 5, 2], dtype=np.float32)
    assert check_gradients(net.loss, net.parameters, net.gradients(net.parameters)).healthy


def test_large_inputs_and_small_weights_are_no_alarm(network):
    net = network([3, 5, 2], "sigmoid")
    net.x = 1000.0 * net.x
    assert check_gradients(net.loss, net.parameters, net.gradients).healthy
    net = network([3, 5, 5, 2], "tanh")
    net.parameters = {name: 1e-4 * values for name, values in net.parameters.items()}
    assert check_gradients(net.loss, net.parameters, net.gradients).healthy


def test_a_loss_computed_in_float32_is_compared_with_wider_steps(network):
    net = network([3, 6, 2], "tanh")

    def single(p):
        return {name: values.astype(np.float32) for name, values in p.items()}

    net.x, net.t = net.x.astype(np.float32), net.t.astype(np.float32)
    assert check_gradients(lambda p: net.loss(single(p)), net.parameters, lambda p: net.gradients(single(p))).healthy
    wrong = check_gradients(
        lambda p: net.loss(single(p)), net.parameters, lambda p: {k: -v for k, v in net.gradients(single(p)).items()}
    )
    assert wrong.findings[0].cause == "gradient_sign"


def test_at_a_kink_the_gradient_is_compared_beside_it(network):
    net = network([3, 6, 2], "relu")
    for name in ("W1", "b1"):
        net.parameters[name][...] = 0.0
    report = net.check()
    assert report.healthy
    assert any("the loss bends at the given parameters" in line for line in report.checked)
    net.mistake = "sign of W"
    assert not net.check().healthy


def test_at_a_kink_a_dict_of_gradients_cannot_be_compared():
    p = {"w": np.zeros(3)}
    report = check_gradients(lambda p: np.abs(p["w"]).sum(), p, {"w": np.zeros(3)})
    assert [finding.cause for finding in report.findings] == ["nothing_computed"]
    assert "w: the loss bends here" in report.unchecked[0]


def test_the_same_differences_as_gradients_pass(network):
    net = network([2, 3, 1])

    def by_differences(p):
        found = {}
        for name, values in p.items():
            found[name] = np.zeros_like(values)
            for i in np.ndindex(values.shape):
                moved = [{**p, name: values.copy()} for _ in range(2)]
                moved[0][name][i] += 1e-6
                moved[1][name][i] -= 1e-6
                found[name][i] = (net.loss(moved[0]) - net.loss(moved[1])) / 2e-6
        return found

    assert check_gradients(net.loss, net.parameters, by_differences).healthy


def test_torch_tensors_and_autograd(network):
    torch = pytest.importorskip("torch")
    net = network([3, 5, 2])
    x, t = torch.tensor(net.x, dtype=torch.float32), torch.tensor(net.t, dtype=torch.float32)
    p = {name: torch.tensor(values, dtype=torch.float32, requires_grad=True) for name, values in net.parameters.items()}

    def forward(p, x):
        return torch.tanh(x @ p["W1"] + p["b1"]) @ p["W2"] + p["b2"]

    def loss(p):
        return 0.5 * ((forward(p, x) - t) ** 2).sum() / len(x)

    def gradients(p, sign=1.0):
        return {k: sign * g for k, g in zip(p, torch.autograd.grad(loss(p), list(p.values())), strict=True)}

    assert check_gradients(loss, p, gradients).healthy
    report = check_gradients(loss, p, lambda p: gradients(p, -1.0), forward=forward, x=x, t=t)
    assert report.findings[0].cause == "gradient_sign"


# The checker's own check -------------------------------------------------------------------------------------------


def test_a_loss_that_depends_on_nothing_does_not_pass():
    p = {"w": np.ones(3)}
    for gradients in ({"w": np.zeros(3)}, {"w": np.ones(3)}):
        (finding,) = check_gradients(lambda p: 2.0, p, gradients).findings
        assert finding.cause == "nothing_computed"
        assert finding.sentence == "the loss is 2 whatever the parameters are: it depends on none of w"


def test_zero_gradients_do_not_pass(network):
    net = network([3, 5, 2])
    report = check_gradients(
        net.loss, net.parameters, lambda p: {name: np.zeros_like(values) for name, values in p.items()}
    )
    assert [finding.cause for finding in report.findings] == ["gradient_zero"]


def test_a_parameter_without_influence_is_said_to_be_unchecked(network):
    net = network([3, 5, 2])
    net.parameters["W9"] = np.ones((2, 2))
    report = check_gradients(net.loss, net.parameters, lambda p: net.gradients(p) | {"W9": np.zeros((2, 2))})
    assert report.healthy
    assert report.unchecked == ("W9: the loss does not depend on W9 here, and its gradient is zero",)
    report = check_gradients(net.loss, net.parameters, lambda p: net.gradients(p) | {"W9": np.ones((2, 2))})
    assert [finding.cause for finding in report.findings] == ["gradient_wrong"]


def test_a_missing_gradient_is_said(network):
    net = network([3, 5, 2])
    report = check_gradients(net.loss, net.parameters, lambda p: {"W1": net.gradients(p)["W1"]})
    assert report.unchecked[0] == "W2: no gradient was given for it, and the loss depends on it"
    assert len(report.unchecked) == 3


@pytest.mark.parametrize("size", [1.02, 0.99, 1.001])
def test_slightly_wrong_gradients_fail(size, network):
    net = network([3, 5, 2])
    report = check_gradients(
        net.loss, net.parameters, lambda p: net.gradients(p) | {"W1": size * net.gradients(p)["W1"]}
    )
    assert [finding.cause for finding in report.findings] == ["gradient_scale"]
