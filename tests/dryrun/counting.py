"""What the scripts here that count device operations share."""

import cupy_dryrun

KINDS = ("launches", "gemms", "memsets", "h2d", "d2h", "d2d", "syncs", "total")


def counts(action):
    """What `action()` asks of a GPU, once it has run three times: numbers by kind, and the names in order."""
    for _ in range(3):
        action()
    with cupy_dryrun.trace() as trace:
        action()
    return {name: getattr(trace, name) for name in KINDS} | {"events": trace.events}
