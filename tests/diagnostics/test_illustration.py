"""What pictures of a report are drawn from: hinges, activity, histograms, losses by step."""

import math

import numpy as np
import pytest

from xpnet.diagnostics import Finding, Report
from xpnet.diagnostics._illustration import curves, illustrated
from xpnet.diagnostics._patient import Patient, PatientError, Stage
from xpnet.diagnostics._trials import Trial

X = np.linspace(0.0, 1.0, 50)[:, None]


def patient(stages=None, x=X, t=None, validation=None):
    """A network of which only the inside is looked at; `stages` are functions of x, by kind."""
    look = None if stages is None else [(kind, f) for kind, f in stages]

    def look_inside(parameters, x):
        if look is None:
            return None
        return [Stage(f"W{i}", kind, f(x), f(x)) for i, (kind, f) in enumerate(look, 1)]

    data = x, np.sin(x) if t is None else t
    return Patient({}, lambda p, x: x, lambda y, t: 0.0, data, validation=validation, look_inside=look_inside)


def evidence(cause, patient):
    [finding] = illustrated(Report([Finding(cause, "wrong", {"own": 1})]), patient).findings
    assert finding.evidence["own"] == 1
    return {name: value for name, value in finding.evidence.items() if name != "own"}


def lines(slopes, offsets):
    return lambda x: x.reshape(len(x), -1)[:, :1] * np.asarray(slopes) + np.asarray(offsets)


def test_hinges_are_where_units_are_zero():
    found = evidence("hinges_outside_data", patient([("relu", lines([1.0, -2.0, 4.0], [-0.5, 4.0, 1.0]))]))
    assert found["hinges"]["at"] == pytest.approx([-0.25, 0.5, 2.0])  # in order
    assert found["active_shares"] == pytest.approx([0.5, 1.0, 1.0])
    assert found["hinges"]["inputs"] == pytest.approx(X[:, 0])
    assert found["hinges"]["targets"] == pytest.approx(np.sin(X[:, 0]))


def test_a_unit_without_a_slope_has_no_hinge():
    found = evidence("hinges_outside_data", patient([("relu", lines([1.0, 0.0], [-0.5, 1.0]))]))
    assert found["hinges"]["at"] == pytest.approx([0.5])
    assert "hinges" not in evidence("hinges_outside_data", patient([("relu", lines([0.0], [1.0]))]))
    assert "hinges" not in evidence("hinges_outside_data", patient([("relu", lines([1.0], [1.0]))], x=0.0 * X))


def test_of_several_features_or_of_a_later_layer_only_the_activity_is_shown():
    wide = evidence("hinges_outside_data", patient([("relu", lines([1.0], [-0.25]))], x=np.hstack([X, X])))
    assert set(wide) == {"active_shares"}
    stages = [("relu", lines([1.0], [-0.5])), ("relu", lines([1.0], [3.0]))]
    assert evidence("hinges_outside_data", patient(stages)) == {"active_shares": [1.0]}


def test_of_dead_units_the_activity_is_shown():
    assert evidence("dead_relus", patient([("relu", lines([1.0, 1.0], [-2.0, 2.0]))])) == {"active_shares": [0.0, 1.0]}


def test_targets_with_several_columns_are_left_out():
    found = evidence("hinges_outside_data", patient([("relu", lines([1.0], [-0.5]))], t=np.zeros((50, 2))))
    assert set(found["hinges"]) == {"at", "inputs"}


@pytest.mark.parametrize(("kind", "steep"), [("tanh", [-2.5, 2.5]), ("sigmoid", [-5.0, 5.0]), ("relu", None)])
def test_values_before_activations_are_counted(kind, steep):
    found = evidence("weights_large", patient([(kind, lines([10.0], [0.0])), (kind, lines([1.0], [np.nan]))]))
    [(name, histogram)] = found["histograms"].items()
    assert name == f"before the {kind} of W1"
    assert (sum(histogram["counts"]), histogram["edges"][0], histogram["edges"][-1]) == (50, 0.0, 10.0)
    assert found.get("steep") == steep


def test_inputs_of_both_sets_are_counted_in_the_same_bins():
    found = evidence("inputs_scaled_apart", patient(validation=(X + 1.0, X)))["histograms"]
    assert list(found) == ["training inputs", "validation inputs"]
    assert found["training inputs"]["edges"] == found["validation inputs"]["edges"]
    assert [sum(each["counts"]) for each in found.values()] == [50, 50]


@pytest.mark.parametrize("cause", ["hinges_outside_data", "dead_relus", "weights_large", "rate_low"])
def test_where_nothing_can_be_seen_the_evidence_is_as_it_was(cause):
    assert evidence(cause, patient()) == {}
    assert evidence(cause, patient([])) == {}


def test_a_network_that_raises_keeps_its_report():
    def raising(x):
        raise PatientError("forward", ValueError("no"))

    report = Report([Finding("dead_relus", "dead")], checked=["data"], unchecked=["more"])
    assert illustrated(report, patient([("relu", raising)])) is report


def test_a_report_keeps_what_was_checked():
    report = illustrated(Report([], checked=["data"], unchecked=["more"]), patient())
    assert (report.checked, report.unchecked, report.healthy) == (("data",), ("more",), True)


def test_losses_stand_at_the_steps_at_which_they_were_looked_at():
    whole = Trial(1.0, 0.1, (1.0, 0.5, 0.1), 60, {})
    ended = Trial(1.0, math.inf, (1.0, math.inf), 30, {})
    assert curves(ended, whole) == {
        "as it is": [(0.0, 1.0), (30.0, math.inf)],
        "with the remedy": [(0.0, 1.0), (30.0, 0.5), (60.0, 0.1)],
    }
