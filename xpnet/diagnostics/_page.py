"""A report as one page of HTML."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from html import escape
from typing import Any

from xpnet.diagnostics._causes import CAUSES
from xpnet.diagnostics._pictures import Draw, FindingLike, pictures
from xpnet.diagnostics._plain import rows_of

_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-bottom: 0.3rem; }
section { border-top: 1px solid #ccc; padding: 0.5rem 0 1rem; }
p { margin: 0.3rem 0; } .cause { color: #555; font-size: 0.9rem; } .remedy { color: #0072B2; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; } .pictures svg { max-width: 100%; height: auto; }
table { border-collapse: collapse; font-size: 0.9rem; } td { padding: 0.1rem 1rem 0.1rem 0; vertical-align: top; }
"""

_REFERENCES = re.compile(r'(\bid="|href="#|url\(#)')
"""What stands before an element's id in a tag."""


def page(
    heading: str,
    findings: Sequence[FindingLike],
    tried: Sequence[str],
    checked: Sequence[str],
    unchecked: Sequence[str],
) -> str:
    """The page; `tried` is a line for each finding, or nothing."""
    parts = [
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>Diagnosis</title>\n<style>{_STYLE}</style>\n</head>\n<body>",
        f"<h1>{escape(heading)}</h1>",
        *(_section(i, finding, line) for i, (finding, line) in enumerate(zip(findings, tried, strict=True), 1)),
        *_list("Not checked", unchecked),
        *_list("Checked", checked),
        "</body>\n</html>\n",
    ]
    return "\n".join(parts)


def _section(number: int, finding: FindingLike, tried: str) -> str:
    cause = CAUSES[finding.cause]
    lines = [
        f"<section>\n<h2>{number}. {escape(finding.sentence)}</h2>",
        f'<p class="cause"><code>{escape(finding.cause)}</code> ({escape(cause.group)}): {escape(cause.symptom)}. '
        f"How it is tested: {escape(cause.test)}.</p>",
        f'<p class="remedy">Remedy: {escape(finding.remedy)}</p>',
    ]
    if tried:
        lines.append(f"<p>{escape(tried[:1].upper() + tried[1:])}</p>")
    drawn = [_svg(draw, f"p{number}-{i}") for i, draw in enumerate(pictures(finding))]
    if drawn:
        lines += ['<div class="pictures">', *drawn, "</div>"]
    rows = [f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in rows_of(finding.evidence)]
    if rows:
        lines += ["<details>\n<summary>Numbers</summary>\n<table>", *rows, "</table>\n</details>"]
    return "\n".join([*lines, "</section>"])


def _list(title: str, lines: Sequence[str]) -> list[str]:
    items = [f"<li>{escape(line)}</li>" for line in lines]
    return [f"<section>\n<h2>{title}</h2>\n<ul>", *items, "</ul>\n</section>"] if items else []


def _svg(draw: Draw, name: str) -> str:
    """A picture as an element; `name` keeps its ids apart from those of the page's other pictures."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    written = io.StringIO()
    settings: Any = {"svg.fonttype": "none", "svg.hashsalt": "xpnet", "text.usetex": False}
    with rc_context(settings), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # letters that matplotlib's font does not have are the browser's to draw
        figure = Figure(figsize=(4.6, 3.2), layout="constrained")
        draw(figure.subplots())
        metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(written, format="svg", metadata=metadata)
    text = written.getvalue()
    tag = re.compile(r"<[^>]+>")
    return tag.sub(lambda found: _REFERENCES.sub(rf"\1{name}-", found[0]), text[text.index("<svg") :].strip())
