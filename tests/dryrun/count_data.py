"""Traces what batches ask of a GPU: copies, streams and events, in order; prints JSON. Run by test_data.py."""

import ctypes
import gc
import json
import threading

import cupy_dryrun
import cupy
import numpy as np

import xpnet
from xpnet.backend import _cupy_uploads
from xpnet.data import RandomCrop, RandomFlip, batches
from xpnet.training import train_step

xpnet.set_backend("cupy")
backend = xpnet.get_backend()
log = []
EVENTS = {}


def logged(kind, cls, name, describe):
    """Notes calls of a method beside the operations that the dry run counts."""
    real = getattr(cls, name)

    def method(self, *arguments):
        log.append((cupy_dryrun._lib.dry_count(), kind, *describe(self, *arguments)))
        return real(self, *arguments)

    setattr(cls, name, method)


def number(event):
    return EVENTS.setdefault(id(event), (len(EVENTS), event))[0]


logged("record", cupy.cuda.Event, "record", lambda event, stream=None: (stream.ptr, number(event)))
logged("wait", cupy.cuda.stream._BaseStream, "wait_event", lambda stream, event: (stream.ptr, number(event)))


def traced(action):
    """Operations, records and waits in the order they were asked for: [what, stream, event or None]."""
    gc.collect()
    log.clear()
    with cupy_dryrun.trace() as trace:
        action()
    found, notes = [], list(log)
    for i, (event, stream) in enumerate(zip(trace.events, trace.streams, strict=True)):
        while notes and notes[0][0] <= i:
            found.append(notes.pop(0)[1:])
        found.append((event, stream, None))
    return found + [note[1:] for note in notes]


random = np.random.default_rng(0)
images, labels = random.random((64, 8, 8, 3), np.float32), np.arange(64) % 10
UPLOADS = batches(np.ones((4, 2)), np.zeros(4), 2, resident=False)
list(UPLOADS)
uploads = next(iter(backend._uploads.values()))


def passing(pairs, stream=None):
    def action():
        for x, t in pairs:
            cupy.exp(x)
            del x, t

    return action


def streaming(**options):
    pairs = batches(images, labels, 16, resident=False, **options)
    action = passing(pairs)
    action()
    return traced(action)


def resident(**options):
    pairs = batches(images, labels, 16, **options)
    action = passing(pairs)
    first = traced(action)
    return {"first": first, "second": traced(action)}


def on_device():
    action = passing(batches(cupy.asarray(images), cupy.asarray(labels), 16))
    action()
    return traced(action)


def training():
    """Steps of a small network on streamed batches."""
    model = xpnet.models.mlp([192, 16, 10])
    optimizer = xpnet.optimizers.Adam(model, 1e-3)
    pairs = batches(images.reshape(64, 192), labels, 16, resident=False)

    def action():
        for x, t in pairs:
            train_step(model, x, t, loss=xpnet.losses.softmax_cross_entropy, optimizer=optimizer)

    action()
    return traced(action)


def in_a_thread():
    """Two passes at once, in a thread with a stream of its own; the batches of one are held until the end."""
    stream, done = cupy.cuda.Stream(non_blocking=True), []

    def go():
        with stream:
            pairs = batches(images, labels, 16, resident=False)
            held = []
            for (x, _), batch in zip(pairs, pairs, strict=True):
                cupy.exp(x)
                held.append(batch)
                del x, _, batch
            done.append(len(held))

    def action():
        thread = threading.Thread(target=go)
        thread.start()
        thread.join()

    return {"events": traced(action), "stream": stream.ptr, "done": done}


def memory():
    """Bytes in use before a pass, after one that was left half way, and after a whole one."""
    pairs, pool = batches(images, labels, 16, resident=False), cupy.get_default_memory_pool()

    def used():
        gc.collect()
        return pool.used_bytes()

    before = used()
    batch = next(iter(pairs))
    del batch
    half = used()
    held = [x[2:4] for x, _ in pairs]  # views alone
    inside = used()
    del held
    return {"before": before, "half": half, "inside": inside, "after": used()}


def dying_in_a_capture():
    """An array dies while its stream is captured: what is asked then, and at the next upload."""
    stream, pairs = cupy.cuda.Stream(non_blocking=True), batches(images, labels, 16, resident=False)
    with stream:
        x, _ = next(iter(pairs))
        stream.begin_capture()

        def die():
            nonlocal x
            x = None

        inside = traced(die)
        stream.end_capture()
        after = traced(lambda: next(iter(pairs)))
    return {"inside": inside, "after": after, "stream": stream.ptr}


def far_ahead():
    """Pinned memory in use while no copy is ever done."""
    real = cupy.cuda.Event.done, _cupy_uploads._MOST
    cupy.cuda.Event.done, _cupy_uploads._MOST = property(lambda event: False), 40_000
    try:
        return [uploads._pinned for _ in batches(images, labels, 4, resident=False)]
    finally:
        cupy.cuda.Event.done, _cupy_uploads._MOST = real


def no_pinned_memory():
    real = cupy.cuda.alloc_pinned_memory

    def refuse(size):
        raise cupy.cuda.runtime.CUDARuntimeError(2)

    cupy.cuda.alloc_pinned_memory = refuse
    try:
        return streaming()
    finally:
        cupy.cuda.alloc_pinned_memory = real


def there(array):
    """The values in device memory, which here is the host's."""
    return np.frombuffer(ctypes.string_at(array.data.ptr, array.nbytes), array.dtype).reshape(array.shape)


def same_values():
    """Whether what was copied is what the examples of each batch are, from arrays of several kinds."""
    found = {}
    kinds = {
        "as it is": images,
        "another type": images.astype("float64"),
        "byte order": images.astype(">f4"),
        "column-major": np.asfortranarray(images),
        "every other": np.repeat(images, 2, axis=0)[::2],
        "read-only": np.broadcast_to(images[:1], images.shape),
    }
    for name, x in kinds.items():
        for shuffle in (True, False):
            pairs = batches(x, labels.astype(np.uint8), 10, 3, shuffle=shuffle, resident=False)
            order = np.random.Generator(np.random.PCG64(np.random.SeedSequence([3, 0]))).permutation(64)
            order = order if shuffle else np.arange(64)
            for i, (values, t) in enumerate(pairs):
                rows = order[10 * i : 10 * i + 10]
                right = (there(values) == x[rows]).all() and (there(t) == labels[rows]).all()
                found[f"{name}, {shuffle}"] = bool(found.get(f"{name}, {shuffle}", True) and right)
    pairs = batches(images, labels, 10)
    list(pairs)
    ((x, t),) = pairs._placed.values()
    found["resident"] = bool((there(x.values) == images).all() and (there(t.values) == labels).all())
    found["nothing"] = there(backend.upload(images, np.arange(0))()).shape == (0, 8, 8, 3)
    return found


def pieces():
    """A large array in pieces, each gathered while the one before it is copied."""
    whole, _cupy_uploads._PIECE = _cupy_uploads._PIECE, 10 * images[0].nbytes
    rows = np.arange(63, -1, -1)
    try:
        arrays = []
        events = traced(lambda: arrays.append(backend.upload(images, rows)()))
        return {"events": events, "right": bool((there(arrays[0]) == images[rows]).all())}
    finally:
        _cupy_uploads._PIECE = whole


print(
    json.dumps(
        {
            "uploads": uploads.stream.ptr,
            "streaming": streaming(),
            "not shuffled": streaming(shuffle=False),
            "streaming, augmented": streaming(augment=[RandomCrop(1), RandomFlip()]),
            "resident": resident(),
            "resident, augmented": resident(augment=[RandomCrop(1), RandomFlip()]),
            "resident, not shuffled": resident(shuffle=False, augment=[RandomFlip()]),
            "on the device": on_device(),
            "training": training(),
            "thread": in_a_thread(),
            "memory": memory(),
            "capture": dying_in_a_capture(),
            "far ahead": far_ahead(),
            "no pinned memory": no_pinned_memory(),
            "same values": same_values(),
            "pieces": pieces(),
            "room": backend.room(),
        }
    )
)
