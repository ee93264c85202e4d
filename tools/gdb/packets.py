"""Framing of the remote protocol: `$data#cc`, acknowledgements, escapes (GDB manual E.1)."""

from __future__ import annotations

MAX_PACKET = 0x4000
INTERRUPT = b"\x03"
ESCAPE, FLIP = 0x7D, 0x20
ESCAPED = frozenset(b"#$}*")


def escape(data: bytes) -> bytes:
    """Binary data as it may stand in a packet."""
    out = bytearray()
    for byte in data:
        if byte in ESCAPED:
            out += bytes((ESCAPE, byte ^ FLIP))
        else:
            out.append(byte)
    return bytes(out)


def unescape(data: bytes) -> bytes:
    """Binary data out of a packet. An escape at the end is dropped."""
    out, flip = bytearray(), False
    for byte in data:
        if flip:
            out.append(byte ^ FLIP)
            flip = False
        elif byte == ESCAPE:
            flip = True
        else:
            out.append(byte)
    return bytes(out)


def frame(data: bytes) -> bytes:
    """A packet; `data` is escaped already where it has to be."""
    return b"$%b#%02x" % (data, sum(data) & 0xFF)


class Reader:
    """Takes a connection's bytes apart. `feed` gives, in order, packets' data, INTERRUPT, and None for a packet that
    is damaged or too long."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes | None]:
        """What these bytes complete."""
        self._buffer += data
        found: list[bytes | None] = []
        while self._buffer:
            first = self._buffer[:1]
            if first == INTERRUPT:
                found.append(INTERRUPT)
                del self._buffer[0]
            elif first == b"$":
                end = self._buffer.find(b"#")
                if end < 0 or len(self._buffer) < end + 3:
                    if len(self._buffer) > 2 * MAX_PACKET:
                        self._buffer.clear()
                        found.append(None)
                    return found
                body, digits = bytes(self._buffer[1:end]), bytes(self._buffer[end + 1:end + 3])
                del self._buffer[:end + 3]
                found.append(body if digits.lower() == b"%02x" % (sum(body) & 0xFF) else None)
            else:
                del self._buffer[0]         # acknowledgements, and what is neither
        return found
