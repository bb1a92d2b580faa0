"""The clinic: its programs, how verdicts are scored, and the baselines on programs that they can judge."""

import json
import time
from contextlib import suppress
from dataclasses import replace
from itertools import product

import numpy as np
import pytest

import bench.clinic.__main__ as command
from bench.clinic import judges
from bench.clinic.case import FAULTS, STYLES, Case
from bench.clinic.controls import controls
from bench.clinic.faulty import faulty
from bench.clinic.fresh import fresh
from bench.clinic.held_out import held_out
from bench.clinic.manifest import chosen, every_case
from bench.clinic.running import examine
from bench.clinic.scoring import TITLES, score, table, verdict
from bench.clinic.tasks import TASKS
from bench.clinic.training import Outcome, error, sets, step, train
from bench.clinic.unseen import unseen
from bench.clinic.verify import hurt
from xpnet.diagnostics._causes import CAUSES

CASES = {case.name: case for case in every_case()}


def arrays(made):
    """All arrays of a program, by name."""
    (x, t), (x_validation, t_validation) = sets(made)
    found = {"x": x, "t": t, "x_validation": x_validation, "t_validation": t_validation}
    if "model" in made:
        return found | {name: tensor.data for name, tensor in made["model"].tensors().items()}
    return found | made["parameters"]


def test_names_are_unique():
    assert len(CASES) == len(every_case())


def test_each_fault_is_there_with_a_cause_that_exists():
    assert {case.fault for case in faulty()} == set(FAULTS)
    assert set(FAULTS) <= set(CAUSES)
    for case in CASES.values():
        assert set(case.causes) <= set(CAUSES), case.name
        assert case.fault is None or case.causes[0] in CAUSES, case.name


def test_a_fault_has_one_cause_first_and_few_others():
    assert all(case.causes[0] == case.fault and len(case.causes) <= 2 for case in faulty())


def test_all_styles_and_tasks_are_there_faulty_and_healthy():
    for group in (faulty(), controls()):
        assert {(case.style, case.task) for case in group} == {(style, task) for style in STYLES for task in TASKS}


def test_there_are_as_many_healthy_programs_as_faulty_ones():
    assert len(controls()) >= len(faulty()) > 100


def test_each_faulty_program_has_a_healthy_twin_and_no_healthy_one_has():
    assert all((case.twin is not None) == (case.fault is not None) for case in CASES.values())


HELD_OUT = {case.name: case for case in held_out()}


def test_held_out_programs_are_among_all_and_enough():
    assert set(HELD_OUT) <= set(CASES)
    ill = {case.fault for case in HELD_OUT.values() if case.fault}
    assert len(ill) >= len(FAULTS) // 3
    assert len([case for case in HELD_OUT.values() if case.fault is None]) >= 10
    assert {case.style for case in HELD_OUT.values()} == set(STYLES)
    assert all(case.causes[0] == case.fault and len(case.causes) <= 2 for case in HELD_OUT.values() if case.fault)
    assert all(case.task not in TASKS for case in HELD_OUT.values())


UNSEEN = {case.name: case for case in unseen()}


def test_unseen_programs_hold_all_faults_on_tasks_of_their_own():
    assert set(UNSEEN) <= set(CASES)
    ill = [case for case in UNSEEN.values() if case.fault]
    assert set(FAULTS) < {case.fault for case in ill}
    assert len(ill) >= 36
    assert len(UNSEEN) - len(ill) >= 20
    assert {(case.style, case.fault is None) for case in UNSEEN.values()} == set(product(STYLES, (True, False)))
    assert all(case.causes[0] == case.fault and len(case.causes) <= 3 for case in ill)
    assert not {case.task for case in UNSEEN.values()} & {*TASKS, *(case.task for case in HELD_OUT.values())}


FRESH = {case.name: case for case in fresh()}


def test_fresh_programs_hold_each_fault_twice_on_tasks_of_their_own():
    assert set(FRESH) <= set(CASES)
    ill = [case for case in FRESH.values() if case.fault]
    assert sorted(case.fault for case in ill) == sorted(2 * FAULTS)
    assert len(FRESH) - len(ill) >= 30
    assert {(case.style, case.fault is None) for case in FRESH.values()} == set(product(STYLES, (True, False)))
    assert all(case.causes[0] == case.fault and len(case.causes) <= 2 for case in ill)
    assert not {case.task for case in FRESH.values()} & {case.task for case in CASES.values() if case.name not in FRESH}


@pytest.mark.parametrize("name", CASES)
def test_a_program_is_what_the_diagnosis_takes(name):
    made = CASES[name].build(3)
    if CASES[name].style == "xpnet":
        assert set(made) == {"model", "train", "validation", "loss", "optimizer"}
    else:
        assert set(made) - {"gradients"} == {"forward", "loss", "parameters", "step", "data"}
        assert all(isinstance(array, np.ndarray) for array in made["parameters"].values())


QUICK = [name for name in CASES if "late-rate" not in name]  # those train for a while to begin with


@pytest.mark.parametrize("name", [*QUICK[::6], *HELD_OUT, *UNSEEN, *FRESH])
def test_a_seed_decides_a_program_and_its_first_step(name):
    case = CASES[name]
    first, second, other = (arrays(stepped(case, seed)) for seed in (1, 1, 2))
    assert all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)
    assert not all(np.array_equal(first[key], other[key], equal_nan=True) for key in first)


def stepped(case, seed):
    """The program after a step, where it can step at all."""
    made = case.build(seed)
    (x, t), _ = sets(made)
    size = case.batch or len(x)
    with np.errstate(all="ignore"):
        try:
            step(made, x[:size], t[:size])
        except (ValueError, ArithmeticError):
            assert case.fault is not None
    return made


def test_the_error_of_one_probability_is_a_share_of_labels():
    t = np.array([[0.0], [1.0], [1.0], [0.0]])
    assert error(np.array([[0.2], [0.9], [0.4], [0.1]]), t, classes=True) == 0.25


def test_the_error_of_one_side_is_a_share_of_labels():
    t = np.array([[-1.0], [1.0], [1.0], [1.0]])
    assert error(np.array([[-0.2], [0.3], [-2.0], [4.0]]), t, classes=True) == 0.25


def test_the_error_of_several_targets_is_their_mean_square_by_their_variance():
    t = np.array([[0.0, 2.0], [2.0, 0.0]])
    assert error(t + 1.0, t, classes=False) == 1.0


HURT = (
    "functions/sine/gradient_sign",
    "class/digits/weights_zero",
    "xpnet/polynomial/inputs_scaled_apart",
    "functions/digits/softmax_overflow",
    "functions/five/gradient_transposed-held-out",
    "class/five/inputs_unscaled-held-out",
    "xpnet/five/rate_high-held-out",
    "functions/surface/gradient_stale-unseen-table",
    "class/houses/activation_overwritten-unseen-one-object",
    "xpnet/codes/output_range-unseen-decoder",
    "functions/stripes/softmax_overflow-fresh-squares",
    "class/concrete/gradient_activation-fresh-reversed",
    "xpnet/zero-to-three/rate_low-fresh-rmsprop",
)


@pytest.mark.parametrize("name", HURT)
def test_a_fault_hurts(name):
    case = replace(CASES[name], steps=300)
    assert hurt(case, train(case, case.build(0)), train(case, case.twin(0)))
    assert not hurt(case, train(case, case.twin(0)), train(case, case.twin(0)))


@pytest.mark.parametrize("name", ["functions/digits/healthy-tanh", "class/digits/healthy-two-relu"])
def test_a_healthy_program_learns(name):
    assert not hurt(CASES[name], train(CASES[name], CASES[name].build(0)), Outcome(0, 0, 0, 0))


def perfect(case, made):
    return list(case.causes[:1]) if case.fault else []


def silent(case, made):
    return []


def alarmist(case, made):
    return ["no_fit", "rate_high", "overfitting"]


def some(judge, names=("functions/sine/rate_high", "class/sine/rate_low", "class/sine/healthy-one-tanh")):
    return [examine("fake", judge, CASES[name], seed, 10.0) for name in names for seed in (0, 1)]


def test_a_perfect_judge_has_full_marks():
    verdicts = some(perfect)
    ill, well = score(verdicts[:4]), score(verdicts[4:])
    assert (ill.programs, ill.alarmed, ill.first, ill.in_three, ill.problems) == (4, 1.0, 1.0, 1.0, 0)
    assert well.alarmed == 0.0


def test_a_silent_judge_finds_nothing_and_alarms_nobody():
    verdicts = some(silent)
    assert (score(verdicts[:4]).alarmed, score(verdicts[:4]).in_three) == (0.0, 0.0)
    assert score(verdicts[4:]).alarmed == 0.0


def test_a_judge_that_always_alarms_is_right_at_times_and_wrong_about_the_healthy():
    verdicts = some(alarmist)
    ill = score(verdicts[:4])
    assert (ill.alarmed, ill.first, ill.in_three) == (1.0, 0.0, 0.5)  # rate_high stands second
    assert score(verdicts[4:]).alarmed == 1.0


def test_other_right_names_count_and_a_fourth_place_does_not():
    case = CASES["functions/sine/dead_relus"]
    assert verdict("", case, 0, ["hinges_outside_data"], 0.0).place == 1
    late = verdict("", case, 0, ["no_fit", "rate_high", "rate_low", "dead_relus"], 0.0)
    assert (late.place, score([late]).in_three) == (4, 0.0)


def test_what_a_healthy_program_may_have_is_no_alarm():
    case = CASES["functions/digits/healthy-memorizing-validated"]
    assert not verdict("", case, 0, ["overfitting"], 0.0).alarm
    assert verdict("", case, 0, ["overfitting", "rate_high"], 0.0).alarm


def test_the_table_keeps_groups_of_programs_apart_and_lists_problems():
    case = CASES["functions/sine/rate_high"]
    verdicts = [
        verdict("one", case, 0, ["rate_high"], 2.0),
        verdict("two", case, 0, [], 1.0, "no answer within 1 s"),
        verdict("one", replace(case, fault="new"), 0, [], 1.0, group="held out"),
        verdict("one", replace(case, fault="newest"), 0, [], 1.0, group="unseen"),
        verdict("one", replace(case, fault="most recent"), 0, [], 1.0, group="fresh"),
        verdict("one", replace(case, fault=None, causes=()), 0, ["rate_low"], 1.0),
    ]
    text = table(verdicts)
    before, after, last = text.split("Written after the rules were frozen")
    assert "rate_high" in before
    assert "100.0%   100%   100%    2.00" in before
    assert "healthy: false alarms" in before
    assert "new " in after
    assert "newest" not in after
    assert last.startswith(" again\n")
    last, fresher = last.split("Written after the rules were made more general")
    assert "newest" in last
    assert "most recent" in fresher
    assert "two, functions/sine/rate_high, seed 0: no answer within 1 s" in fresher


def test_a_judge_that_takes_too_long_is_stopped_even_if_it_catches_exceptions():
    def slow(case, made):
        for _ in range(1000):
            with suppress(Exception):
                time.sleep(0.01)
        return []

    found = examine("slow", slow, CASES["functions/sine/rate_high"], 0, 0.05)
    assert found.problem == "no answer within 0.05 s"
    assert found.seconds < 5.0


def test_a_judge_that_raises_gives_no_verdict():
    def broken(case, made):
        raise KeyError("W1")

    found = examine("broken", broken, CASES["class/sine/healthy-one-tanh"], 0, 10.0)
    assert found.problem == "KeyError: 'W1'"
    assert score([found]).alarmed == 1.0


@pytest.mark.parametrize("name", ["functions/sine/rate_high", "xpnet/sine/rate_high"])
def test_a_diagnosis_that_changes_the_program_is_told(name):
    def careless(case, made):
        next(iter(arrays(made).values()))[0] += 1.0
        return []

    assert "were changed" in examine("diagnosis", careless, CASES[name], 0, 10.0).problem


def test_the_gradient_check_tells_wrong_from_right():
    assert judged(judges.gradient_check, "class/sine/gradient_activation") == ["gradient_wrong"]
    assert judged(judges.gradient_check, "functions/sine/healthy-tanh") == []
    assert judged(judges.gradient_check, "xpnet/sine/healthy-sgd-tanh") == []
    assert judged(judges.gradient_check, "xpnet/sine/targets_broadcast") == ["function_raises"]


def test_the_loss_curve_tells_a_high_rate_from_a_right_one():
    assert judged(judges.loss_curve, "functions/sine/rate_high") == ["rate_high"]
    assert judged(judges.loss_curve, "xpnet/sine/rate_high") == ["rate_high"]
    assert judged(judges.loss_curve, "functions/sine/healthy-tanh") == []


def judged(judge, name):
    with np.errstate(all="ignore"):
        return judge(CASES[name], CASES[name].build(0))


@pytest.mark.parametrize(
    ("losses", "train", "validation", "found"),
    [
        (list(np.geomspace(1.0, 0.01, 100)), 0.01, 0.01, []),
        (list(np.linspace(1.0, 3.0, 100)), 3.0, 3.0, ["rate_high"]),
        (list(np.linspace(2.0, 1.99, 100)), 1.99, 1.99, ["rate_low"]),
        ([1.0, 3.0] * 50, 1.0, 1.0, ["rate_low"]),
        (list(np.linspace(9.0, 1.0, 50)) + [1.0] * 50, 1.0, 1.0, ["no_fit"]),
        (list(np.geomspace(1.0, 0.01, 100)), 0.01, 2.0, ["overfitting"]),
        (list(np.geomspace(9.0, 0.5, 50)) + [0.1, 0.9] * 25, 0.5, 0.5, ["rate_high"]),
    ],
)
def test_rules_of_the_loss_curve(losses, train, validation, found):
    assert judges.curve_rules(losses, train, validation, constant=1.0) == found


def test_nnscope_says_what_it_sees():
    pytest.importorskip("nnscope")
    assert "rate_high" in judged(judges.nnscope, "functions/sine/rate_high")
    assert judged(judges.nnscope, "class/sine/healthy-one-tanh") == []


def test_a_judge_that_is_not_installed_is_left_out(monkeypatch):
    monkeypatch.setattr(judges.importlib.util, "find_spec", lambda name: None)
    assert judges.missing("nnscope") == "not installed: pip install nnscope"
    assert judges.missing("loss curve") == ""


def test_cases_are_chosen_by_fault_task_and_style():
    found = chosen(list(CASES.values()), faults=["rate_low", "healthy"], tasks=["sine"], styles=["class"])
    assert {case.fault for case in found} == {"rate_low", None}
    assert all(isinstance(case, Case) and case.task == "sine" and case.style == "class" for case in found)


def test_the_command_prints_and_writes(tmp_path, capsys):
    path = tmp_path / "clinic.json"
    options = ["--faults", "rate_high", "--tasks", "sine", "--styles", "functions", "--seeds", "2"]
    found = command.main([*options, "--judges", "gradient check", "loss curve", "--out", str(path)])
    assert [(each.judge, each.seed) for each in found] == [
        ("gradient check", 0),
        ("loss curve", 0),
        ("gradient check", 1),
        ("loss curve", 1),
    ]
    assert "all faults" in capsys.readouterr().out
    written = json.loads(path.read_text())
    assert written["scores"]["loss curve"]["rate_high"]["first"] == 1.0
    assert written["verdicts"] == []  # those of the diagnosis alone are kept


@pytest.mark.parametrize(
    ("option", "task", "group"),
    [("--held-out", "rings", "held out"), ("--unseen", "surface", "unseen"), ("--fresh", "lags", "fresh")],
)
def test_the_command_takes_one_group_alone(option, task, group, tmp_path, capsys):
    path = tmp_path / "clinic.json"
    options = [option, "--faults", "rate_low", "--styles", "functions", "--seeds", "1", "--judges", "gradient check"]
    found = command.main([*options, "--out", str(path)])
    assert {(each.group, each.case.split("/")[1]) for each in found} == {(group, task)}
    assert TITLES[group].capitalize() in capsys.readouterr().out
    assert set(json.loads(path.read_text())["scores"]["gradient check"]) == {
        f"{group}: rate_low",
        f"{group}: all faults",
    }


def test_one_group_alone_does_not_overwrite_the_results_of_all():
    assert command._options([]).out == command.RESULTS
    assert command._options(["--unseen"]).out is None
    assert command._options(["--held-out"]).out is None
    assert command._options(["--fresh"]).out is None


def test_the_command_verifies():
    with pytest.raises(SystemExit) as end:
        command.main(["--verify", "--faults", "rate_high", "--tasks", "sine", "--styles", "functions", "--seeds", "1"])
    assert end.value.code == 0


@pytest.mark.parametrize(
    "wrong", [["--faults", "lazy"], ["--tasks", "mnist"], ["--seeds", "0"], ["--unseen", "--held-out"]]
)
def test_wrong_options_are_refused(wrong, capsys):
    with pytest.raises(SystemExit):
        command._options(wrong)
    said = {"lazy": "no fault", "mnist": "invalid choice", "0": "must be positive", "--held-out": "not allowed with"}
    assert said[wrong[1]] in capsys.readouterr().err


def test_no_case_left_is_an_error():
    with pytest.raises(SystemExit, match="no case is of these"):
        command.main(["--faults", "softmax_axis", "--tasks", "sine"])
