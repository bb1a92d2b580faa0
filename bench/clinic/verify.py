"""Whether each faulty program is really hurt by its fault, and each healthy one learns."""

from collections.abc import Sequence

from tqdm import tqdm

from bench.clinic.case import Case
from bench.clinic.training import Outcome, train

HEALTHY = {"sine": 0.05, "polynomial": 0.05, "digits": 0.15, "rings": 0.15, "xor": 0.15, "few-digits": 0.15}
HEALTHY |= {"spirals": 0.05, "decay": 0.1, "stairs": 0.1, "five": 0.1}
HEALTHY |= {"moons": 0.1, "blobs": 0.1, "bars": 0.1, "parity": 0.1, "wine": 0.1, "letters": 0.1, "sides": 0.1}
HEALTHY |= {"surface": 0.1, "codes": 0.15, "houses": 0.15, "series": 0.1, "line": 0.05, "wave": 0.1}
HEALTHY |= {"arms": 0.15, "checker": 0.1, "ripple": 0.1, "bump": 0.1, "jump": 0.15, "concrete": 0.15, "iris": 0.1}
HEALTHY |= {"words": 0.1, "stripes": 0.1, "zero-to-three": 0.1, "cross": 0.1, "pairs": 0.15, "lags": 0.1}
"""Errors that a healthy program reaches: of the variance, or the share of wrong labels."""


def hurt(case: Case, faulty: Outcome, healthy: Outcome) -> bool:
    """Whether the fault shows in the error on training or validation data, or in what the program says of itself."""
    if case.fault is None:
        limit = HEALTHY[case.task]
        learned = faulty.error < limit if not case.slow else faulty.after < faulty.before
        return not learned
    worst, best = max(faulty.error, faulty.validation_error), max(healthy.error, healthy.validation_error)
    printed = not faulty.after < 1.5 * healthy.after
    return not worst < 1.4 * best + 0.005 or printed


def verify(cases: Sequence[Case], seeds: Sequence[int]) -> list[str]:
    """Trains all of them and prints a line each; the names of those that are not as they should be."""
    odd: list[str] = []
    print(f"{'case':<52}{'seed':>5}{'loss':>11}{'->':>11}{'error':>9}{'valid.':>9}{'healthy':>9}{'valid.':>9}")
    for case in tqdm(cases, unit="case"):
        for seed in seeds:
            outcome = train(case, case.build(seed))
            twin = train(case, case.twin(seed)) if case.twin else outcome
            bad = hurt(case, outcome, twin) == (case.fault is None)
            odd += [f"{case.name} (seed {seed})"] * bad
            figures: tuple[float, ...] = (outcome.before, outcome.after, outcome.error, outcome.validation_error)
            figures += (twin.error, twin.validation_error) if case.twin else ()
            text = "".join(f"{value:>{11 if i < 2 else 9}.3g}" for i, value in enumerate(figures))
            remark = f"  <-- {'not hurt' if case.fault else 'does not learn'}" if bad else ""
            tqdm.write(f"{case.name:<52}{seed:>5}{text}{remark}")
    return odd
