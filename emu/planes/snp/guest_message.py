"""Messages between a guest and the firmware, sealed with a VMPCK (FWABI 8.26, "Message Header")."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from emu.planes.snp.launch import PAGE

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HEADER_SIZE, HEADER_VERSION, AES_256_GCM = 0x60, 1, 1
MAX_PAYLOAD = PAGE - HEADER_SIZE
_TAG = 16                               # bytes of the GCM tag; its field has 32
_AUTHENTICATED = 0x30                   # the header from here on is authenticated, not encrypted
_HEADER = struct.Struct("<32sQ8xBBHBBHIB35x")


class MessageType(IntEnum):
    """MSG_TYPE; an answer's is its request's plus one."""

    CPUID_REQUEST, CPUID_RESPONSE, KEY_REQUEST, KEY_RESPONSE, REPORT_REQUEST, REPORT_RESPONSE = range(1, 7)
    TSC_INFO_REQUEST, TSC_INFO_RESPONSE = 17, 18


class MessageError(Exception):
    """A message is not what its receiver can take; `tampered`: its tag does not fit its contents."""

    def __init__(self, rule: str, tampered: bool = False) -> None:
        super().__init__(rule)
        self.tampered = tampered


class Message(NamedTuple):
    """An opened message. `type` is any number; `version` is that of the payload; `vmpck` the key's number."""

    type: int
    payload: bytes
    sequence: int
    vmpck: int
    version: int = 1


def peek(page: bytes) -> tuple[int, int]:
    """VMPCK number and sequence number of a sealed message: what is needed to open it. MessageError: not a page."""
    if len(page) != PAGE:
        raise MessageError(f"a message has {PAGE} bytes, not {len(page)}")
    header = _HEADER.unpack_from(page)
    return header[9], header[1]


def seal(message: Message, key: bytes) -> bytes:
    """The page of a message, encrypted with AES-256-GCM; the initialization vector is the sequence number."""
    head = bytearray(_HEADER.pack(b"", message.sequence, AES_256_GCM, HEADER_VERSION, HEADER_SIZE, message.type,
                                  message.version, len(message.payload), 0, message.vmpck))
    sealed = _cipher(key).encrypt(_vector(message.sequence), message.payload, bytes(head[_AUTHENTICATED:]))
    head[:_TAG] = sealed[-_TAG:]
    return bytes(head + sealed[:-_TAG]).ljust(PAGE, b"\0")


def open_message(page: bytes, key: bytes) -> Message:
    """The message in a page. MessageError: a field of the header is wrong, or the tag is."""
    from cryptography.exceptions import InvalidTag
    if len(page) != PAGE:
        raise MessageError(f"a message has {PAGE} bytes, not {len(page)}")
    tag, sequence, algorithm, version, size, kind, payload_version, length, reserved, vmpck = _HEADER.unpack_from(page)
    for name, value, right in (("algorithm", algorithm, AES_256_GCM), ("header version", version, HEADER_VERSION),
                               ("header size", size, HEADER_SIZE), ("reserved field", reserved, 0)):
        if value != right:
            raise MessageError(f"{name} is {value}, must be {right}")
    if length > MAX_PAYLOAD:
        raise MessageError(f"message size is {length}, at most {MAX_PAYLOAD} fit")
    sealed = page[HEADER_SIZE:HEADER_SIZE + length] + tag[:_TAG]
    try:
        payload = _cipher(key).decrypt(_vector(sequence), sealed, page[_AUTHENTICATED:HEADER_SIZE])
    except InvalidTag:
        raise MessageError("the authentication tag is wrong", tampered=True) from None
    return Message(kind, payload, sequence, vmpck, payload_version)


def _cipher(key: bytes) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    return AESGCM(key)


def _vector(sequence: int) -> bytes:
    return sequence.to_bytes(12, "little")
