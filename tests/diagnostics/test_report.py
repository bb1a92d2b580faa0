"""Reports: their order, in words, as plain values, as a page, as pictures."""

import json
import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from xpnet.diagnostics import CAUSES, Finding, Report, diagnose_functions

CURVES = {"as it is": [(0, 1.0), (5, 0.9), (10, 0.9)], "with the remedy": [(0, 1.0), (5, 0.1), (10, 0.01)]}
TRIED = {"before": 0.9, "after": 0.01, "steps": 10, "curves": CURVES}
NASTY = '<script>alert("W & b")</script> $x^2 {broken$ _a äöü 漢'
PICTURED = {
    "hinges_outside_data": {
        "hinges": {"at": [0.0, 0.1, 9.0], "inputs": [0.0, 0.5, 1.0], "targets": [1.0, 2.0, 1.0]},
        "active_shares": [0.0, 1.0],
    },
    "dead_relus": {"active_shares": np.asarray([0.0, 0.5, 1.0])},
    "weights_large": {"histograms": {"_a$b$": {"counts": [3, 0, 1], "edges": [0, 1, 2, 3]}}, "steep": [-2.5, 2.5]},
    "gradient_sign": {"gradients": {"_W$1$": {"given": [1.0, 2.0], "true": [-1.0, -2.0]}}},
    "output_range": {"reach": [0.0, 1.0], "targets": [-1.0, 1.0], "share_outside": 0.5},
}


class Page(HTMLParser):
    """Elements that are opened and closed in their order, and the text between them."""

    EMPTY = ("meta", "br", "hr", "img", "link", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.links, self.ids = [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(self.texts)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.ids += [value for name, value in attributes if name == "id"]
        self.links += [value for name, value in attributes if name in ("src", "href", "xlink:href", "action")]
        if tag not in self.EMPTY:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in self.EMPTY:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def axes(number):
    return np.asarray(Figure(figsize=(4 * number, 3)).subplots(1, number)).ravel()


def drawn(panels):
    """Draws for real, which is where Matplotlib reads texts."""
    panels[0].figure.canvas.draw()
    return panels


# Order and words --------------------------------------------------------------------------------------------------


def test_findings_come_with_the_most_telling_first_and_equals_in_their_order():
    weights = {"rate_low": 0.2, "weights_zero": 0.9, "no_fit": 0.5, "dead_relus": 0.9}
    report = Report([Finding(cause, "wrong", weight=weight) for cause, weight in weights.items()])
    assert [finding.cause for finding in report.findings] == ["weights_zero", "dead_relus", "no_fit", "rate_low"]
    assert repr(report) == "Report(weights_zero, dead_relus, no_fit, rate_low)"


def test_a_report_without_findings_is_healthy_and_says_what_it_could_not_check():
    report = Report([], checked=["data", "outputs"], unchecked=["gradients: none were given"])
    assert report.healthy
    assert repr(report) == "Report(healthy)"
    assert str(report) == "Nothing wrong was found in 2 checks.\nNot checked: gradients: none were given"
    assert str(Report([], checked=["data"])) == "Nothing wrong was found in 1 check."


def test_an_unknown_cause_is_refused():
    with pytest.raises(ValueError, match=r"'bad_luck' is no cause of diagnostics\.CAUSES"):
        Finding("bad_luck", "nothing works")


def test_a_finding_has_its_causes_remedy_if_it_has_none():
    assert Finding("rate_low", "slow").remedy == CAUSES["rate_low"].remedy
    assert Finding("rate_low", "slow", remedy="wait").remedy == "wait"


def test_words_tell_numbers_remedy_and_trial():
    worst = {"parameter": "W1", "place": [0, 3], "given": 1.5, "true": -1.5}
    findings = [
        Finding("gradient_sign", "the sign is wrong", {"worst": worst}, verified=TRIED),
        Finding("gradient_wrong", "W1[0, 3] is wrong", {"worst": worst}, remedy="compare", weight=0.1),
    ]
    assert str(Report(findings)).splitlines() == [
        "1. the sign is wrong",
        "    for example W1[0, 3]: given 1.5, differences of the loss give -1.5",
        "    remedy: turn the sign round",
        "    tried on a copy: loss 0.9 -> 0.01 in 10 steps",
        "2. W1[0, 3] is wrong",
        "    remedy: compare",
    ]


def test_long_sentences_are_broken_at_spaces_with_numbers_and_names_whole():
    words = [f"layer{i}.weight-{i}" for i in range(40)]
    text = str(Report([Finding("rate_low", " ".join(words), remedy=" ".join(words))], unchecked=[" ".join(words)]))
    assert max(map(len, text.splitlines())) <= 100
    assert text.split().count("layer7.weight-7") == 3
    assert [line[:3] for line in text.splitlines()[:2]] == ["1. ", "   "]


def test_a_run_that_diverges_is_told():
    tried = {"before": math.inf, "after": 0.5, "steps": 10}
    assert "loss not finite -> 0.5 in 10 steps" in str(Finding("rate_high", "too far", verified=tried))


# Plain values -----------------------------------------------------------------------------------------------------


def test_a_dict_of_a_report_is_json_whatever_the_evidence_is_made_of():
    evidence = {
        "scalar": np.float32(0.5),
        "count": np.int64(3),
        "flag": np.bool_(True),
        "shape": (2, np.int32(3)),
        "array": np.asarray([[1.0, np.nan], [np.inf, 2.0]], np.float32),
        "zero-d": np.asarray(2),
        "nested": {1: [np.float64(-np.inf)], "names": ["W1"]},
        "nothing": None,
        "object": len,
        "complex": np.asarray([1j]),
    }
    report = Report([Finding("no_fit", "hm", evidence, verified={"before": np.float64(1.0), "after": 0.1, "steps": 5})])
    found = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    [finding] = found["findings"]
    assert finding["evidence"] | {"object": ""} == {
        "scalar": 0.5,
        "count": 3,
        "flag": True,
        "shape": [2, 3],
        "array": [[1.0, "nan"], ["inf", 2.0]],
        "zero-d": 2,
        "nested": {"1": ["-inf"], "names": ["W1"]},
        "nothing": None,
        "object": "",
        "complex": "[0.+1.j]",
    }
    assert finding["verified"] == {"before": 1.0, "after": 0.1, "steps": 5}
    assert (found["healthy"], finding["cause"], finding["weight"]) == (False, "no_fit", 0.5)
    assert type(report.to_dict()["findings"][0]["evidence"]["scalar"]) is float


def test_arrays_of_the_backend_become_lists(backend):
    values = backend.asarray([1.0, 2.5])
    assert Finding("no_fit", "hm", {"values": values}).to_dict()["evidence"] == {"values": [1.0, 2.5]}


# The page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cause", CAUSES)
def test_a_page_holds_any_finding_escaped(cause):
    page = Page(Report([Finding(cause, f"{cause}: {NASTY}", PICTURED.get(cause, {}), remedy=NASTY)]).to_html())
    assert f"1. {cause}: {NASTY}" in page.text
    assert f"Remedy: {NASTY}" in page.text
    assert CAUSES[cause].symptom in page.text
    assert "script" not in page.tags
    assert page.tags.count("svg") == (cause in PICTURED)


def test_a_page_holds_numbers_pictures_and_what_was_not_checked_and_loads_nothing():
    evidence = {
        "root_mean_square": 1234.5678,
        NASTY: [NASTY, 1.0],
        "many": list(range(100)),
        "mixed": [None] * 9,
        "each": {"W1": 0.25, "<b>": (2, 3)},
    }
    findings = [Finding("rate_low", NASTY, evidence, verified=TRIED), Finding("no_fit", "second", weight=0.1)]
    text = Report(findings, checked=["data " + NASTY], unchecked=["hinges " + NASTY]).to_html()
    page = Page(text)
    assert "2 causes were found, the most telling first" in page.text
    for words in (
        "root mean square",
        "1235",
        "100 numbers from 0 to 99",
        "9 entries",
        "each, <b>",
        "2, 3",
        "Tried on a copy: loss 0.9 -> 0.01 in 10 steps",
        "as it is",
        "with the remedy",
        "2. second",
        "data " + NASTY,
        "hinges " + NASTY,
    ):
        assert words in page.text
    assert page.tags.count("svg") == 1
    assert all(link.startswith("#") for link in page.links)
    assert not {"script", "link", "img", "iframe"} & set(page.tags)


def test_ids_are_unique_and_what_is_referred_to_is_there_and_a_page_is_the_same_each_time():
    tried = TRIED | {"curves": CURVES | {'<id="a" url(#b)>': [(0, 1.0)]}}
    report = Report(
        [Finding("rate_low", "a", verified=tried), Finding("rate_low", "b", PICTURED["dead_relus"], "", tried)]
    )
    text = report.to_html()
    page = Page(text)
    assert len(page.ids) == len(set(page.ids)) > 20
    references = re.findall(r'(?:href="#|[^ ]url\(#)([^")]+)', re.sub(">[^<]*<", "><", text))
    assert references
    assert set(references) <= set(page.ids)
    assert '<id="a" url(#b)>' in page.text
    assert text == report.to_html()


def test_a_healthy_page_says_so(tmp_path):
    report = Report([], checked=["data", "outputs"], unchecked=["training: no step was given"])
    report.save_html(tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "Nothing wrong was found in 2 checks." in page.text
    assert "training: no step was given" in page.text
    assert "svg" not in page.tags


# Pictures ---------------------------------------------------------------------------------------------------------


def test_a_picture_of_losses_has_both_runs():
    [panel] = drawn(Report([Finding("rate_low", "slow", verified=TRIED)]).plot(Figure().subplots()))
    assert isinstance(panel, Axes)
    assert [line.get_label() for line in panel.lines] == ["as it is", "with the remedy"]
    assert panel.lines[1].get_ydata() == pytest.approx([1.0, 0.1, 0.01])
    assert (panel.get_yscale(), panel.get_title(loc="left")) == ("log", "1. rate low")


def test_losses_that_are_not_finite_are_marked_and_do_not_flatten_the_others():
    losses = {"as it is": [(0, 1.0), (5, 1e200), (10, math.inf)], "with the remedy": [(0, 1.0), (10, 0.1)]}
    [panel] = drawn(Report([Finding("rate_high", "far", verified=TRIED | {"curves": losses})]).plot(axes(1)))
    assert "not finite" in [text.get_text() for text in panel.get_legend().get_texts()]
    assert panel.get_ylim()[1] <= 1e4


@pytest.mark.parametrize("values", [[math.nan, math.nan], [math.inf, 1.0], [0.0, -1.0], [1.0, 0.0]])
def test_losses_of_any_kind_are_drawn(values):
    losses = {"as it is": list(enumerate(values))}
    drawn(Report([Finding("rate_high", "far", verified=TRIED | {"curves": losses})]).plot(axes(1)))


def test_each_finding_has_its_panels_in_order():
    findings = [
        Finding(cause, "wrong", evidence, verified=TRIED if cause == "dead_relus" else None, weight=1.0 - i / 10)
        for i, (cause, evidence) in enumerate(PICTURED.items())
    ]
    findings.append(Finding("no_fit", "in words: " + NASTY, weight=0.0))
    panels = Report(findings).plot(axes(7))
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles == [
        "1. hinges outside data",
        "2. dead relus",
        "2. dead relus",
        "3. weights large",
        "4. gradient sign",
        "5. output range",
        "6. no fit",
    ]
    assert "in words" in panels[6].texts[0].get_text()


def test_hinges_stand_over_the_data_and_those_beyond_at_the_edge():
    evidence = PICTURED["hinges_outside_data"]
    [panel] = drawn(Report([Finding("hinges_outside_data", "straight", evidence)]).plot(axes(1)))
    data, hinges = panel.lines
    assert data.get_ydata() == pytest.approx([1.0, 2.0, 1.0])
    assert hinges.get_xdata() == pytest.approx([0.0, 0.1, 1.25])
    assert panel.get_xlabel() == "input (1 of 3 hinges farther out)"


def test_labels_are_no_formulas_and_none_is_lost():
    [panel] = drawn(Report([Finding("gradient_sign", "sign", PICTURED["gradient_sign"])]).plot(axes(1)))
    assert [text.get_text().replace("\\", "").strip() for text in panel.get_legend().get_texts()] == ["right", "_W$1$"]


@pytest.mark.parametrize(
    "evidence",
    [
        {"hinges": 3, "active_shares": "many", "histograms": [1], "gradients": None, "reach": {}, "targets": (3, 1)},
        {"hinges": {"at": []}, "active_shares": [], "histograms": {"a": 1, "b": {}}, "gradients": {"W": [1]}},
        {"histograms": {"a": {"counts": [0], "edges": [0, 1]}}, "reach": [0, math.inf], "targets": [0, 1]},
        {"gradients": {"W": {"given": [1.0], "true": [1.0, 2.0]}}},
    ],
)
def test_evidence_of_another_kind_is_told_in_words(evidence):
    report = Report([Finding("no_fit", "in words", evidence, verified={"before": 1.0, "after": 0.5, "steps": 3})])
    [panel] = drawn(report.plot(axes(1)))
    assert panel.texts[0].get_text() == "in words"
    assert "svg" not in Page(report.to_html()).tags


def test_a_healthy_report_is_one_panel_in_words():
    [panel] = drawn(Report([], checked=["data"]).plot(axes(1)))
    assert panel.texts[0].get_text() == "Nothing wrong was found in 1 check."


def test_without_axes_a_figure_is_made():
    from matplotlib import pyplot

    panels = Report([Finding("no_fit", "words", weight=i / 10) for i in range(4)]).plot()
    try:
        assert panels.shape == (4,)
        assert len(panels[0].figure.axes) == 4
    finally:
        pyplot.close(panels[0].figure)


def test_other_things_than_axes_are_refused():
    report = Report([Finding("no_fit", "words"), Finding("no_fit", "more words")])
    with pytest.raises(ValueError, match="axes has 1 Axes, expected at least 2, one for each panel"):
        report.plot(axes(1))
    with pytest.raises(TypeError, match="axes holds a str, expected matplotlib Axes"):
        report.plot(["left", "right"])


# From a diagnosis -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def straight():
    """A network of ReLUs whose hinges all lie at 0, the edge of its inputs."""
    random = np.random.default_rng(0)
    x = random.uniform(0.0, 1.0, (100, 1))

    def hidden(p, x):
        return np.maximum(x @ p["W1"] + p["b1"], 0.0)

    def gradients(p, x, t):
        h = hidden(p, x)
        dy = 2.0 * (h @ p["W2"] - t) / len(x)
        dz = dy @ p["W2"].T * (h > 0.0)
        return {"W1": x.T @ dz, "b1": dz.sum(axis=0), "W2": h.T @ dy}

    return diagnose_functions(
        forward=lambda p, x: hidden(p, x) @ p["W2"],
        loss=lambda y, t: float(np.mean((y - t) ** 2)),
        gradients=gradients,
        parameters={
            "W1": random.standard_normal((1, 30)),
            "b1": np.zeros(30),
            "W2": 0.1 * random.standard_normal((30, 1)),
        },
        data=(x, np.sin(2 * np.pi * x)),
        progress=False,
    )


def test_a_diagnosis_brings_what_its_pictures_need(straight):
    finding = straight.findings[0]
    assert finding.cause == "hinges_outside_data"
    assert finding.evidence["hinges"]["at"] == pytest.approx([0.0] * 30, abs=1e-9)
    assert len(finding.evidence["active_shares"]) == 30
    curves = finding.verified["curves"]
    assert curves["with the remedy"][-1][0] == finding.verified["steps"]
    assert curves["with the remedy"][-1][1] < 0.5 * curves["as it is"][-1][1]


def test_a_diagnosis_is_plain_values_a_page_and_pictures(straight):
    json.dumps(straight.to_dict(), allow_nan=False)
    page = Page(straight.to_html())
    assert straight.findings[0].sentence in page.text
    assert page.tags.count("svg") >= 2
    assert len(drawn(straight.plot(axes(8)))) >= 2
