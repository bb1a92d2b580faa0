"""What ranks run in these tests: `python programs.py NAME ARGUMENTS`. Rank 0 prints what a program returns, as JSON."""

import hashlib
import itertools
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

import xpnet
from xpnet import distributed
from xpnet.backend import available_backends, open_backend


def digest(host):
    return hashlib.sha256(np.ascontiguousarray(host).tobytes()).hexdigest()


def parts(n, size, dtype):
    """What each rank brings: of all magnitudes, so that another order of additions gives other bits."""
    random = [np.random.default_rng(rank) for rank in range(size)]
    return [(r.standard_normal(n) * 10.0 ** r.integers(-6, 6, n)).astype(dtype) for r in random]


def reductions(ranks):
    """By backend, type and operation: whether all ranks have the same bits, how far off they are, and in which type."""
    found = {}
    names = {"numpy", "array_api_strict"} if ranks.size > 2 else {"numpy", "array_api_strict", "torch"}
    for name in sorted(names & set(available_backends())):
        for dtype, op in itertools.product(("float32", "float64"), ("sum", "mean", "max", "min")):
            backend = open_backend(name, dtype=dtype)
            brought = parts(10_007, ranks.size, dtype)
            x = backend.asarray(brought[ranks.rank].copy())
            ranks.all_reduce(x, op)
            host = backend.to_host(x)
            expected = getattr(np, op)(np.asarray(brought, np.float64), axis=0)
            scale = np.abs(np.asarray(brought, np.float64)).sum(axis=0)
            same = len(set(ranks.all_gather_object(digest(host)))) == 1
            found[f"{name} {dtype} {op}"] = [same, float((np.abs(host - expected) / scale).max()), str(host.dtype)]
    return found


def sizes(ranks):
    """For arrays of one element to a million: whether all ranks have the same bits, and a second run has them too."""
    found = {}
    for n in (1, 2, 3, 100, 4_099, 70_001, 1_000_003):
        digests = []
        for _ in range(3):
            x = parts(n, ranks.size, np.float32)[ranks.rank]
            ranks.all_reduce(x)
            digests.append(digest(x))
        found[n] = len(set(itertools.chain(*ranks.all_gather_object(digests))))
    return found


def pieces(ranks):
    """Chunks that were begun one after the other, beside the same sum at once."""
    whole = parts(50_000, ranks.size, np.float64)[ranks.rank]
    chunked, halves = whole.copy(), np.array_split(np.arange(50_000), 7)
    ranks.all_reduce(whole, "mean")
    requests = [ranks.start_all_reduce(chunked[h[0] : h[-1] + 1], "mean") for h in reversed(halves)]
    for request in (*requests, *requests):  # a second wait does nothing
        request.wait()
    apart = float(np.abs(chunked - whole).max() / np.abs(whole).max())
    return [apart, len(set(ranks.all_gather_object(digest(chunked))))]


def broadcasts(ranks):
    """Whether arrays of all types and layouts arrive, from each root."""
    backend = xpnet.get_backend()
    arrays = {
        "float16": np.arange(6, dtype=np.float16),
        "bool": np.array([True, False, True]),
        "0-d": np.asarray(3.5),
        "int32": np.arange(12, dtype=np.int32).reshape(3, 4),
        "transposed": np.arange(12.0).reshape(3, 4).T,
        "strided": np.arange(20.0)[::2],
        "empty": np.zeros((0, 3)),
    }
    found = {}
    for root, (name, values) in itertools.product(range(ranks.size), arrays.items()):
        x = values.copy(order="K") if name != "strided" else np.arange(20.0)[::2]
        if ranks.rank != root:
            x[...] = 0
        ranks.broadcast(x, root)
        found[f"{name} from {root}"] = all(ranks.all_gather_object(bool(np.array_equal(x, values))))
    strict = open_backend("array_api_strict")
    x = strict.asarray(np.full(3, float(ranks.rank)))
    ranks.broadcast(x, ranks.size - 1)
    found["strict"] = all(ranks.all_gather_object(strict.to_host(x).tolist() == [ranks.size - 1.0] * 3))
    integers = backend.asarray(np.arange(3) * (ranks.rank + 1))
    ranks.all_reduce(integers)
    found["integers"] = integers.tolist() == (np.arange(3) * sum(range(1, ranks.size + 1))).tolist()
    return found


def objects(ranks):
    value = {"rank": ranks.rank, "list": [None, True, 0.1, "é" * ranks.rank]}
    shared = ranks.broadcast_object({"loss": 0.1, "best": None} if ranks.rank == 1 else "not this", root=1)
    infinite = ranks.all_gather_object(float("inf") if ranks.rank else float("nan"))
    places = ranks.all_gather_object([ranks.local_rank, distributed.local_rank(), distributed.launched_size()])
    return [ranks.all_gather_object(value), ranks.all_gather_object(shared), repr(infinite), places, repr(ranks)]


def disagreements(ranks):
    """The messages of each case on all ranks; None where they agree."""
    model = xpnet.models.mlp([4, 3, 2] if ranks.rank == 1 else [4, 2])
    cases = {
        "same": {"model": distributed.model_facts(xpnet.models.mlp([2, 1])), "seed": 3, "none": None},
        "model": {"model": distributed.model_facts(model)},
        "length": {"examples": 100 + (ranks.rank == ranks.size - 1)},
        "version": {"versions": {"xpnet": "0.1.0" if ranks.rank else "0.2.0"}, "seed": 0},
        "missing": {"seed": 0} if ranks.rank else {},
        "empty": {"settings": {}} if ranks.rank else {},
    }
    found = {}
    for name, facts in cases.items():
        try:
            distributed.agree(ranks, facts)
            message = None
        except distributed.DisagreementError as error:
            message = str(error)
        found[name] = ranks.all_gather_object(message)
    return found


def raises(ranks, who, where):
    """One rank raises, the others are inside of a reduction or on their way to it."""
    error = {"exit": SystemExit(0), "interrupt": KeyboardInterrupt()}.get(where, ValueError("no such thing"))
    if where == "outside":
        if ranks.rank == int(who):
            raise error
        ranks.barrier()
    with distributed.ending_together(ranks):
        for step in range(1000):
            if step == 3 and ranks.rank == int(who):
                raise error
            ranks.all_reduce(np.ones(100_000))


def all_raise(ranks, caught):
    """All ranks raise alike: it can be caught, and then they go on; or it is shown once."""
    try:
        with distributed.ending_together(ranks, alike=(ArithmeticError,)):
            raise ZeroDivisionError("the global gradient")
    except ZeroDivisionError:
        if caught == "no":
            raise
    return ranks.all_gather_object("went on")


def works_for_ever(ranks):
    """Tells its processes' numbers, and reduces until it is ended."""
    processes = ranks.all_gather_object(os.getpid())
    if ranks.rank == 0:
        print(f"PROCESSES {json.dumps(processes)}", flush=True)
    with distributed.ending_together(ranks):
        while True:
            ranks.all_reduce(np.ones(300_000, np.float32))


def training(ranks):
    """By examples and size of a batch: how far ranks are from one process, and how many versions of the bits they have.

    Three epochs by a loop of its own: 40 by 10 are even for two ranks, not for four; of 22, the last two examples are
    two ranks' only; of batches of 3, one of four ranks has nothing.
    """
    return {f"{n} by {batch}": trained(ranks, n, batch) for n, batch in ((40, 10), (22, 10), (9, 3))}


def trained(ranks, examples, batch):
    random = np.random.default_rng(0)
    x, t = random.standard_normal((examples, 6)), random.integers(0, 3, examples)

    def train(share, reduce):
        xpnet.seed(5)
        with xpnet.use_backend("numpy", dtype="float64"):
            model = xpnet.models.mlp([6, 5, 3])
            optimizer = xpnet.optimizers.Adam(model, 0.01, clip_norm=0.5)
            pairs = xpnet.data.batches(x, t, batch)
            store = optimizer.store
            for _ in range(3):
                for number, (own, targets) in enumerate(pairs.after(0, share)):
                    if len(own):
                        y, pullback = model.forward(own)
                        _, dloss = xpnet.losses.softmax_cross_entropy(y, targets)
                        pullback(dloss())
                    else:
                        store.clear_all()
                    store.grad[...] *= len(own) / pairs.size_of(number)
                    reduce(store.grad)
                    optimizer.step()
        return store.data

    together = train(xpnet.data.Share(ranks.rank, ranks.size), ranks.all_reduce)
    alone = train(xpnet.data.Share(), lambda gradient: None)
    apart = float(np.abs(together - alone).max() / np.abs(alone).max())
    return [apart, len(set(ranks.all_gather_object(digest(together))))]


def late(ranks):
    """The first rank comes late to a barrier: how long the second has waited for it."""
    if ranks.rank == 0:
        time.sleep(0.5)
    begun = time.monotonic()
    ranks.barrier()
    return ranks.all_gather_object(time.monotonic() - begun)[min(1, ranks.size - 1)]


def everything(ranks):
    """One start for all that ends well."""
    programs = (reductions, sizes, pieces, broadcasts, objects, disagreements, training, documented, late)
    return {program.__name__: program(ranks) for program in programs}


def documented(ranks):
    """The loop of docs/scaling.md, on ranks that start with parameters of their own."""
    page = (Path(__file__).parents[2] / "docs" / "scaling.md").read_text(encoding="utf-8")
    names = {"xpnet": xpnet, "np": np}
    xpnet.seed(ranks.rank)
    exec(page.partition("<!-- loop -->\n```python\n")[2].partition("```")[0], names)
    (x, t), _ = xpnet.data.digits()
    right = float((names["model"](x).argmax(axis=1) == t).mean())
    return [right, len(set(ranks.all_gather_object(digest(names["optimizer"].store.data))))]


def auto(ranks):
    return repr(distributed.communicator())


def main():
    name, *arguments = sys.argv[1:]
    if name == "before_mpi" and distributed.local_rank() == 1:
        signal.signal(signal.SIGTERM, lambda *_: print("a handler of one's own"))
        print("said before", end="")
        raise ValueError("before MPI has begun")
    ranks = distributed.communicator("auto" if name == "auto" else "mpi")
    returned = (works_for_ever if name == "before_mpi" else globals()[name])(ranks, *arguments)
    if ranks.rank == 0:
        print(f"RETURNED {json.dumps(returned)}", flush=True)


if __name__ == "__main__":
    main()
