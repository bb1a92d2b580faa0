"""Data that fit stay on the device, where batches are then taken from them without any copy from the host."""

import weakref

from xpnet.backend import Backend, in_units
from xpnet.data._source import DeviceSource, FileSource, HostSource, Source

SHARE = 0.25
"""The part of a device's free memory that data may take unasked."""
_kept: weakref.WeakKeyDictionary[DeviceSource, int] = weakref.WeakKeyDictionary()


def check_resident(resident: bool | None, *sources: Source) -> None:
    """Data can be kept on a device.

    Raises
    ------
    TypeError, ValueError : `resident` is none of True, False and None, or asks for files.
    """
    if resident not in (True, False, None):
        raise TypeError(f"batches: resident must be True, False or None, got {resident!r}")
    for source in sources:
        if resident and isinstance(source, FileSource):
            raise ValueError(
                f"batches: resident=True needs arrays in memory, but {source.name} is read from a file as it is used; "
                f"load it first, {source.name}[:], or leave resident=None"
            )


def resident_sources(x: Source, t: Source, backend: Backend, resident: bool | None) -> tuple[Source, Source]:
    """The sources on the backend's device, where it has memory of its own and they fit; else as they are.

    Raises
    ------
    MemoryError : they do not fit, but `resident` says that they must.
    """
    moving = [source for source in (x, t) if isinstance(source, HostSource)]
    room = backend.room() if moving else None
    if room is None or isinstance(x, FileSource) or isinstance(t, FileSource):
        return x, t
    needed = sum(backend.bytes_of(source.values) for source in moving)
    if needed > (room if resident else SHARE * room):
        if resident:
            raise MemoryError(_too_large(backend, needed, room))
        return x, t
    try:
        pending = [(source, backend.upload(source.values)) for source in moving]
    except Exception as error:
        if not backend.is_out_of_memory(error):
            raise
        backend.release()
        if resident:
            raise MemoryError(_too_large(backend, needed, room)) from error
        return x, t
    there = {}
    for source, array in pending:
        there[source.name] = kept = DeviceSource(source.name, backend, array(), kept=True)
        _kept[kept] = backend.bytes_of(source.values)
    return there.get("x", x), there.get("t", t)


def resident_bytes(backend: Backend) -> int:
    """How much all data take that batches keep on devices of this backend's library.

    Examples
    --------
    >>> from xpnet.backend import get_backend
    >>> resident_bytes(get_backend())
    0
    """
    return sum(size for source, size in list(_kept.items()) if source.backend.name == backend.name)


def _too_large(backend: Backend, needed: int, room: int) -> str:
    return (
        f"batches: resident=True needs {in_units(needed)} on the device of {backend.name}, where {in_units(room)} are "
        "free; with resident=False one batch at a time is brought there"
    )
