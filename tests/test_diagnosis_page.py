"""docs/diagnosis.md: its scripts run as they stand and say what it says, and its tables are those of the code."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest

from bench.clinic import readme
from xpnet import diagnostics

PATH = Path(__file__).parents[1] / "docs" / "diagnosis.md"
TEXT = PATH.read_text(encoding="utf-8")
SCRIPTS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
SHOWN = re.findall(r"```text\n(.*?)```", TEXT, flags=re.DOTALL)


def run(code, names):
    """What a script prints."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """What each script printed, and its report."""
    from matplotlib import pyplot

    names = {}
    with contextlib.chdir(tmp_path_factory.mktemp("page")):
        found = [(run(script, names), names["report"]) for script in SCRIPTS]
        assert Path("report.html").exists()
    pyplot.close("all")
    return found


def test_the_first_script_finds_the_hinges_and_says_so_in_these_words(ran):
    printed, report = ran[0]
    assert report.findings[0].cause == "hinges_outside_data"
    assert report.findings[0].verified["after"] < 0.3 * report.findings[0].verified["before"]
    first = "100 of 100 ReLU hinges of W1 lie at the edge of the data or outside (inputs go from 0.00274 to"
    assert first in SHOWN[0]
    assert first in printed


def test_a_class_and_a_model_are_diagnosed(ran):
    assert ran[1][0] == SHOWN[1]
    assert ran[2][1].findings[0].cause == "weights_small"


def test_the_gradient_check_says_what_the_page_shows(ran):
    assert ran[4][0] == SHOWN[2]


def test_right_gradients_are_healthy(ran):
    assert ran[5][0].count("Nothing wrong was found") == 2


def test_the_page_has_a_row_for_each_cause_and_no_other():
    part = TEXT.partition(readme.CAUSES_MARKS[0])[2].partition(readme.CAUSES_MARKS[1])[0]
    assert part.strip() == readme.causes()
    assert re.findall(r"^\| `(\w+)` \|", part, flags=re.MULTILINE) == list(diagnostics.CAUSES)


def test_the_tables_are_in_date():
    readme.main(["--check"])


# The figures ------------------------------------------------------------------------------------------------------


def score(programs, alarmed, first=0.0, in_three=0.0, seconds=1.25):
    return {"programs": programs, "alarmed": alarmed, "first": first, "in_three": in_three, "seconds": seconds}


SCORES = {
    "diagnosis": {
        "healthy": score(50, 0.012),
        "all faults": score(40, 0.96, 0.8, 0.95),
        "no_fit": score(10, 1.0, 0.5, 0.5),
        "weights_zero": score(30, 1.0, 1.0, 1.0),
        "held out: all faults": score(7, 0.9, 0.5, 0.75),
        "held out: weights_zero": score(7, 0.9, 0.5, 0.75),
        "unseen: no_fit": score(3, 0.8, 0.5, 0.75),
        "fresh: weights_zero": score(2, 0.5, 0.5, 0.5),
    },
    "loss curve": {"healthy": score(50, 0.2), "weights_zero": score(30, 0.5, 0.25, 0.25)},
}


def test_figures_are_rows_by_fault_with_the_baselines_beside():
    table, title, apart, last_title, last, fresh_title, fresh = readme.figures(SCORES).split("\n\n")
    assert table.splitlines() == [
        "| fault | programs | diagnosis: found | first | in three | s | loss curve: found | first |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        "| `weights_zero` | 30 | 100.0 % | 100 % | 100 % | 1.2 | 50.0 % | 25 % |",
        "| `no_fit` | 10 | 100.0 % | 50 % | 50 % | 1.2 | - | - |",
        "| **all faults** | 40 | 96.0 % | 80 % | 95 % | 1.2 | - | - |",
        "| healthy: false alarms | 50 | 1.2 % |  |  | 1.2 | 20.0 % |  |",
    ]
    assert title == "Programs that were written after the rules were frozen:"
    assert apart.splitlines()[2:] == [
        "| `weights_zero` | 7 | 90.0 % | 50 % | 75 % | 1.2 | - | - |",
        "| **all faults** | 7 | 90.0 % | 50 % | 75 % | 1.2 | - | - |",
    ]
    assert last_title == "Programs that were written after the rules were frozen again:"
    assert last.splitlines()[2:] == ["| `no_fit` | 3 | 80.0 % | 50 % | 75 % | 1.2 | - | - |"]
    assert fresh_title == "Programs that were written after the rules were made more general:"
    assert fresh.splitlines()[2:] == ["| `weights_zero` | 2 | 50.0 % | 50 % | 50 % | 1.2 | - | - |"]


def test_without_results_the_page_says_so():
    assert readme.figures({}) == "Not measured yet: `python -m bench.clinic`."


def test_the_page_is_renewed_between_its_marks(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "clinic.json"
    marks = "\n".join([*readme.CAUSES_MARKS, "between", *readme.CLINIC_MARKS])
    page.write_text(f"before\n{marks}\nafter\n", encoding="utf-8")
    options = ["--page", str(page), "--results", str(results)]
    with pytest.raises(SystemExit, match="out of date"):
        readme.main([*options, "--check"])
    assert page.read_text(encoding="utf-8") == f"before\n{marks}\nafter\n"
    readme.main(options)
    assert "Not measured yet" in page.read_text(encoding="utf-8")
    results.write_text(json.dumps({"scores": SCORES, "verdicts": []}), encoding="utf-8")
    readme.main(options)
    text = page.read_text(encoding="utf-8")
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert readme.figures(SCORES) in text
    assert readme.causes() in text
    readme.main([*options, "--check"])


def test_a_bar_in_a_cell_does_not_part_it():
    assert readme._table(["a"], [["|x|"]]).splitlines()[-1] == "| \\|x\\| |"
