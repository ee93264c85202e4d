"""Plain data as JSON text and back: what JSON lacks (bytes, tuples, sets, deques, other keys than strings) is tagged.

The text of equal data is equal, so that it can be hashed.
"""

from __future__ import annotations

import base64
import json
from collections import deque
from typing import Any

TAG = "\u0000"      # the only key of a dict that stands for something else


def _tag(kind: str, value: Any) -> dict[str, Any]:
    return {TAG: [kind, value]}


def _pack(value: Any) -> Any:
    if isinstance(value, bytes | bytearray):
        kind = "bytes" if isinstance(value, bytes) else "bytearray"
        return _tag(kind, base64.b85encode(value).decode())
    if isinstance(value, dict):
        if all(isinstance(key, str) and key != TAG for key in value):
            return {key: _pack(item) for key, item in sorted(value.items())}
        ordered = sorted(value.items(), key=lambda entry: (type(entry[0]).__name__, entry[0]))
        return _tag("dict", [[_pack(key), _pack(item)] for key, item in ordered])
    if isinstance(value, list):
        return [_pack(item) for item in value]
    if isinstance(value, set | frozenset):
        return _tag(type(value).__name__, [_pack(item) for item in sorted(value)])
    if isinstance(value, tuple):
        return _tag("tuple", [_pack(item) for item in value])
    if isinstance(value, deque):
        return _tag("deque", [_pack(item) for item in value])
    return value


def _unpack(value: Any) -> Any:
    if isinstance(value, list):
        return [_unpack(item) for item in value]
    if not isinstance(value, dict):
        return value
    if TAG not in value:
        return {key: _unpack(item) for key, item in value.items()}
    kind, data = value[TAG]
    if kind in ("bytes", "bytearray"):
        raw = base64.b85decode(data)
        return raw if kind == "bytes" else bytearray(raw)
    if kind == "dict":
        return {_unpack(key): _unpack(item) for key, item in data}
    makers: dict[str, Any] = {"tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque}
    return makers[kind](_unpack(item) for item in data)


def encode(value: Any) -> bytes:
    """Data as text. TypeError: it is not plain."""
    return json.dumps(_pack(value), separators=(",", ":")).encode()


def decode(text: bytes) -> Any:
    """Text as data. ValueError, KeyError or TypeError: it is not what `encode` writes."""
    return _unpack(json.loads(text))
