"""The report of a run of `make gpu`, in Markdown."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from bench.gpu.aims import AIMS, Verdict, judge
from bench.results import Record, Results, groups, ours
from bench.table import PRECISIONS, duration

PASSES = {"forward": "inference", "step": "training step"}


@dataclass(frozen=True)
class Step:
    """A part of `make gpu`: its outcome in a line, and lines about what is wrong and what was left out."""

    name: str
    passed: bool
    seconds: float
    budget: float
    summary: str
    bad: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def report(gpu: str, facts: Sequence[str], steps: Sequence[Step], results: Results | None) -> str:
    """Outcomes, aims, times and what was left out.

    Parameters
    ----------
    gpu, facts : the device's name, and lines about the machine and its versions.
    steps : the outcome of each.
    results : the figures, if there are any.
    """
    parts = [f"# {gpu}", "\n".join(f"- {fact}" for fact in facts), "## Checks", _outcomes(steps)]
    bad = [line for step in steps for line in step.bad]
    if bad:
        parts.append("What failed:\n\n" + "\n".join(f"- {line}" for line in _shortened(bad, 60)))
    if results is not None:
        parts += ["## Aims", _aims(results.records), "## Times", _EXPLANATION, *_times(results), *_rates(results)]
    left_out = [line for step in steps for line in step.left_out]
    if left_out:
        parts += ["## Left out", "\n".join(f"- {line}" for line in _shortened(left_out, 60))]
    return "\n\n".join(parts) + "\n"


_EXPLANATION = (
    "Medians over turns, by CUDA events around some tenths of a second of calls (JAX: by the clock, until its last "
    "result is there), with each contender in a process of its own, one at a time; same weights and data, outputs "
    "compared first. `×` is a contender's time by that of the first line of xpnet, so above 1 xpnet was faster. All of "
    "one table compute products and convolutions in the precision that it names. A CUDA graph, xpnet's or PyTorch's, "
    "copies the batch into its own arrays in each step. Memory is what the library's allocator has taken from the GPU; "
    "of a captured step of xpnet, without the recording's own pool."
)


def _shortened(lines: Sequence[str], most: int) -> list[str]:
    rest = len(lines) - most
    return [*lines[:most], *([f"and {rest} more"] if rest > 0 else [])]


def _outcomes(steps: Sequence[Step]) -> str:
    lines = ["| step | outcome | seconds | at most | what |", "| --- | --- | --- | --- | --- |"]
    for step in steps:
        outcome = "passed" if step.passed else "**failed**"
        lines.append(f"| {step.name} | {outcome} | {step.seconds:.0f} | {step.budget:.0f} | {step.summary} |")
    return "\n".join(lines)


def _aims(records: Sequence[Record]) -> str:
    lines = ["| training step | aim | xpnet | other | measured | |", "| --- | --- | --- | --- | --- | --- |"]
    return "\n".join([*lines, *(_verdict(judge(aim, records)) for aim in AIMS)])


def _verdict(found: Verdict) -> str:
    aim = found.aim
    goal = f"at least {aim.factor:g} × {aim.called}'s speed"
    cells = [_time(found.ours), _time(found.theirs)]
    measured = "not measured" if found.ratio is None else f"{found.ratio:.2f}"
    outcome = {True: "met", False: "**not met**", None: ""}[found.met]
    where = f"{aim.network}, {PRECISIONS[aim.precision]}"
    return f"| {' | '.join([where, goal, *cells, measured, outcome])} |"


def _time(record: Record | None) -> str:
    return f"{duration(record.seconds)} ({record.title})" if record else "-"


def _times(results: Results) -> Iterator[str]:
    """A table for each network and precision: contenders, and a time and a ratio for each pass."""
    cases = dict.fromkeys((r.network, r.batch, r.precision) for r in results.records)
    for network, batch, precision in cases:
        records = [r for r in results.records if (r.network, r.batch, r.precision) == (network, batch, precision)]
        found = {group[0].name: group for group in groups(records)}
        passes = [name for name in PASSES if name in found]
        header = ["contender", *(cell for name in passes for cell in (PASSES[name], "×")), "spread", "memory"]
        lines = [f"### {network}, batch {batch}, {PRECISIONS[precision]}", ""]
        lines += [f"| {' | '.join(line)} |" for line in (header, ["---"] * len(header))]
        for title in dict.fromkeys(r.title for r in records):
            own = [next((r for r in found[name] if r.title == title), None) for name in passes]
            cells = [cell for r, name in zip(own, passes, strict=True) for cell in _cells(r, found[name])]
            there = [r for r in own if r]
            spread = max(r.spread for r in there)
            memory = f"{max(r.peak_memory for r in there) / 2**20:.0f} MiB"
            lines.append(f"| {' | '.join([title, *cells, f'{spread:.1%}', memory])} |")
        yield "\n".join(lines)


def _cells(record: Record | None, group: Sequence[Record]) -> tuple[str, str]:
    reference = ours(group)
    if record is None:
        return "-", "-"
    return duration(record.seconds), f"{record.seconds / reference.seconds:.2f}" if reference else "-"


def _rates(results: Results) -> Iterator[str]:
    """What the device can do at best, and how much of it the training steps reached."""
    for precision, rate in results.rates.items():
        steps = [g for g in groups(results.records) if (g[0].precision, g[0].name) == (precision, "step")]
        reached = [f"{r.network} {r.operations / r.seconds / rate['operations']:.0%}" for g in steps if (r := ours(g))]
        yield (
            f"{PRECISIONS[precision]}: {rate['operations'] / 1e12:.1f} TFLOP/s in products of matrices and "
            f"{rate['bytes'] / 1e12:.2f} TB/s in copies, both measured by xpnet's own product and CuPy's copy. "
            f"Training steps of xpnet reach of that product rate: {', '.join(reached) or '-'}."
        )
