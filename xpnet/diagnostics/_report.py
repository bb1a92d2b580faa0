import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

from xpnet.diagnostics._causes import CAUSES
from xpnet.diagnostics._page import page
from xpnet.diagnostics._pictures import Panels, draw_report
from xpnet.diagnostics._plain import plain, told

_WIDTH = 100


@final
@dataclass(frozen=True)
class Finding:
    """One cause that was found.

    Attributes
    ----------
    cause : its code in `diagnostics.CAUSES`.
    sentence : what is wrong, in a sentence with the numbers that matter.
    evidence : the numbers, by name; lists of them are drawn.
    remedy : what to do.
    verified : `{"before": loss, "after": loss, "steps": n}` where the remedy was tried on a copy, and `"curves"`: the
        pairs (step, loss) of the run `"as it is"` and of that `"with the remedy"`; else None.
    weight : how much of the failure it explains, from 0 to 1; findings are ordered by it.
    """

    cause: str
    sentence: str
    evidence: Mapping[str, Any] = field(default_factory=dict)
    remedy: str = ""
    verified: Mapping[str, Any] | None = None
    weight: float = 0.5

    def __post_init__(self) -> None:
        if self.cause not in CAUSES:
            raise ValueError(f"Finding: {self.cause!r} is no cause of diagnostics.CAUSES")
        if not self.remedy:
            object.__setattr__(self, "remedy", CAUSES[self.cause].remedy)

    def __str__(self) -> str:
        return self._text("")

    def _text(self, number: str) -> str:
        lines = [_wrapped(number + self.sentence, "", " " * len(number))]
        lines += [_wrapped(line, "    ", "        ") for line in self._below()]
        return "\n".join(lines)

    def _below(self) -> list[str]:
        """What stands below the sentence, a line each."""
        lines = []
        worst = self.evidence.get("worst")
        if isinstance(worst, Mapping) and self.cause != "gradient_wrong":  # that sentence tells it
            lines.append(_example(worst))
        lines.append(f"remedy: {self.remedy}")
        if self.verified:
            lines.append(trial_in_words(self.verified))
        return lines

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, for JSON: lists for arrays and tuples; what is not finite is `"inf"` or `"nan"`."""
        names = ("cause", "sentence", "evidence", "remedy", "verified", "weight")
        return {name: plain(getattr(self, name)) for name in names}


@final
class Report:
    """What a diagnosis found.

    Parameters
    ----------
    findings : in any order; they are kept most explanatory first.
    checked : what was looked at and is well, a line each.
    unchecked : what could not be looked at, and why, a line each.

    Attributes
    ----------
    healthy : whether nothing was found.

    Examples
    --------
    >>> report = Report([Finding("rate_low", "each step moves the weights by 1e-9 of their size")])
    >>> report.healthy
    False
    >>> print(report)
    1. each step moves the weights by 1e-9 of their size
        remedy: a higher learning rate, or one that falls later
    """

    def __init__(
        self, findings: Sequence[Finding], *, checked: Sequence[str] = (), unchecked: Sequence[str] = ()
    ) -> None:
        self.findings = tuple(sorted(findings, key=lambda finding: -finding.weight))
        self.checked, self.unchecked = tuple(checked), tuple(unchecked)

    @property
    def healthy(self) -> bool:
        """Whether nothing was found."""
        return not self.findings

    def __repr__(self) -> str:
        return f"Report({', '.join(finding.cause for finding in self.findings) or 'healthy'})"

    def __str__(self) -> str:
        lines = [finding._text(f"{i}. ") for i, finding in enumerate(self.findings, 1)]
        if self.healthy:
            lines.append(self._all_is_well())
        lines += [_wrapped(f"Not checked: {line}", "", "    ") for line in self.unchecked]
        return "\n".join(lines)

    def _all_is_well(self) -> str:
        n = len(self.checked)
        return f"Nothing wrong was found in {n} check{'s' * (n != 1)}."

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, for JSON."""
        return {
            "healthy": self.healthy,
            "findings": [finding.to_dict() for finding in self.findings],
            "checked": list(self.checked),
            "unchecked": list(self.unchecked),
        }

    def plot(self, axes: Any = None) -> Panels:
        """Draws what shows each finding best; a finding that no picture shows is told in words.

        Losses with and without the remedy, hinges over the data, shares of examples for which units are active, values
        before the activations, gradients against differences of the loss, what outputs can reach.

        Parameters
        ----------
        axes : one matplotlib Axes for each panel; None makes a figure.

        Returns
        -------
        The panels, those of the first finding first: a NumPy array of Axes, one panel of a healthy report.

        Raises
        ------
        TypeError, ValueError : `axes` are no Axes, or too few.

        Examples
        --------
        >>> from matplotlib.figure import Figure
        >>> curves = {"as it is": [(0, 1.0), (9, 0.9)], "with the remedy": [(0, 1.0), (9, 0.1)]}
        >>> tried = {"before": 0.9, "after": 0.1, "steps": 9, "curves": curves}
        >>> report = Report([Finding("rate_low", "steps are short", verified=tried)])
        >>> [panel] = report.plot(Figure().subplots())
        >>> panel.get_title(loc="left")
        '1. rate low'
        """
        return draw_report(self.findings, self._all_is_well(), axes)

    def to_html(self) -> str:
        """One page with all findings and their pictures: nothing is loaded from elsewhere, no script is run."""
        n = len(self.findings)
        found = "One cause was found" if n == 1 else f"{n} causes were found, the most telling first"
        heading = self._all_is_well() if self.healthy else found
        tried = [trial_in_words(finding.verified) if finding.verified else "" for finding in self.findings]
        return page(heading, self.findings, tried, self.checked, self.unchecked)

    def save_html(self, path: str | Path) -> None:
        """Writes that page into a file."""
        Path(path).write_text(self.to_html(), encoding="utf-8")


def trial_in_words(verified: Mapping[str, Any]) -> str:
    """What trying a remedy brought."""
    before, after, steps = (told(verified.get(name, "?")) for name in ("before", "after", "steps"))
    before = "not finite" if before in ("inf", "nan") else before
    what = f"{verified['what']}: " if verified.get("what") else ""
    return f"tried on a copy: {what}loss {before} -> {after} in {steps} steps"


def _example(worst: Mapping[str, Any]) -> str:
    place = ", ".join(map(str, worst["place"]))
    return (
        f"for example {worst['parameter']}[{place}]: given {worst['given']:.6g}, "
        f"differences of the loss give {worst['true']:.6g}"
    )


def _wrapped(text: str, first: str, rest: str) -> str:
    return textwrap.fill(
        text,
        _WIDTH,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
