"""The ID block: what a guest's owner expects of a launch, signed (FWABI 8.18, SNP_LAUNCH_FINISH)."""

from __future__ import annotations

import hashlib
import struct

from emu.planes.snp import signing
from emu.planes.snp.firmware_status import BAD_MEASUREMENT, BAD_SIGNATURE, INVALID_PARAM, FirmwareError
from emu.planes.snp.launch import IdBlock

_BLOCK = struct.Struct("<48s16s16sIIQ")
_VERSION, _ECDSA_P384_SHA384 = 1, 1


def signed_bytes(block: IdBlock, policy: int) -> bytes:
    """ID_BLOCK, 96 bytes: what the ID key signs."""
    return _BLOCK.pack(block.launch_digest, block.family_id, block.image_id, block.version, block.guest_svn, policy)


def _numbers(key: bytes) -> bytes:
    """A key in the ID block's form (a reserved u32 after the curve) in the firmware's."""
    return signing.padded_key(key[:4] + key[8:])


def digests(block: IdBlock) -> tuple[bytes, bytes]:
    """SHA-384 of the ID key and of the author key, the latter zeros where there is none."""
    author = hashlib.sha384(_numbers(block.author_public_key)).digest() if block.author_key_enabled else bytes(48)
    return hashlib.sha384(_numbers(block.id_public_key)).digest(), author


def check(block: IdBlock, measurement: bytes, policy: int) -> None:
    """FirmwareError: the block is for another launch, or a signature is wrong."""
    if block.version != _VERSION or block.id_key_algorithm != _ECDSA_P384_SHA384 or (
            block.author_key_enabled and block.author_key_algorithm != _ECDSA_P384_SHA384):
        raise FirmwareError(INVALID_PARAM, "ID block: version and algorithms must be 1")
    if block.launch_digest != measurement:
        raise FirmwareError(BAD_MEASUREMENT, f"ID block: expects the measurement {block.launch_digest.hex()}, "
                                             f"the launch has {measurement.hex()}")
    _check_signature(signed_bytes(block, policy), block.id_key_signature, block.id_public_key, "ID key's")
    if block.author_key_enabled:
        _check_signature(_numbers(block.id_public_key), block.author_key_signature, block.author_public_key,
                         "author key's")


def _check_signature(data: bytes, signature: bytes, key: bytes, whose: str) -> None:
    try:
        right = signing.verify(data, signature, signing.public_key(_numbers(key)))
    except ValueError:
        right = False
    if not right:
        raise FirmwareError(BAD_SIGNATURE, f"ID block: the {whose} signature is wrong")
