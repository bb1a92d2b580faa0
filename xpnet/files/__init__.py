"""Files that are whole or not there, and reading those that may be anything: safetensors, names in messages."""

from xpnet.files._json import json_object, most_json
from xpnet.files._lock import locked
from xpnet.files._opening import open_file, size_of
from xpnet.files._paths import path_of, target
from xpnet.files._replacing import PART, replacing, sync_folder
from xpnet.files._safetensors import Stored, Written, open_safetensors, writable, write_arrays, write_safetensors
from xpnet.files._text import counted, cut, described, shown, shown_shape

__all__ = [
    "PART",
    "Stored",
    "Written",
    "counted",
    "cut",
    "described",
    "json_object",
    "locked",
    "most_json",
    "open_file",
    "open_safetensors",
    "path_of",
    "replacing",
    "shown",
    "shown_shape",
    "size_of",
    "sync_folder",
    "target",
    "writable",
    "write_arrays",
    "write_safetensors",
]
