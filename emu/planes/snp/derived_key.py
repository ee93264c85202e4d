"""Keys that firmware derives for a guest (FWABI 7.2, MSG_KEY_REQ)."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import NamedTuple

from emu.planes.snp import tcb

REQUEST_SIZE, KEY_SIZE = 0x20, 32
_REQUEST = struct.Struct("<IIQIIQ")
VCEK, VMRK = 0, 1                       # ROOT_KEY_SELECT bit 0
_KEY_SELECT_SHIFT, _VLEK = 1, 2         # bits 2:1: which of the chip's keys
_POLICY, _IMAGE_ID, _FAMILY_ID, _MEASUREMENT, _SVN, _TCB = (1 << n for n in range(6))      # GUEST_FIELD_SELECT
_FIELDS = 0x3F


class Identity(NamedTuple):
    """What firmware knows of a guest from its launch; keys can depend on all but the digests of its owner's keys."""

    policy: int = 0
    image_id: bytes = bytes(16)
    family_id: bytes = bytes(16)
    measurement: bytes = bytes(48)
    guest_svn: int = 0
    id_key: bytes = bytes(48)
    author_key: bytes = bytes(48)
    has_author: bool = False


class Request(NamedTuple):
    """MSG_KEY_REQ."""

    root: int
    reserved: int
    fields: int
    vmpl: int
    guest_svn: int
    tcb_version: int

    @classmethod
    def unpack(cls, payload: bytes) -> Request:
        """The fields of REQUEST_SIZE bytes."""
        return cls(*_REQUEST.unpack_from(payload))

    @property
    def wants_vlek(self) -> bool:
        """Asks for a key that this chip was never given."""
        return self.root >> _KEY_SELECT_SHIFT & 3 == _VLEK


def _older_or_same(tcb_version: int) -> bool:
    """No part of it is newer than this firmware."""
    return all(tcb_version >> shift & 0xFF <= tcb.TCB_VERSION >> shift & 0xFF for shift in range(0, 64, 8))


def allowed(request: Request, vmpck: int, guest_svn: int) -> bool:
    """Whether a guest may have the key: no higher privilege than its VMPCK's, no newer version than its own."""
    return (not request.reserved and not request.root >> 3 and not request.fields & ~_FIELDS
            and vmpck <= request.vmpl <= 3 and request.guest_svn <= guest_svn and _older_or_same(request.tcb_version))


def derive(request: Request, identity: Identity, root: bytes) -> bytes:
    """The key: HMAC-SHA-256 of what was selected, under a root key (SP 800-108, counter mode, one block)."""
    parts = ((_POLICY, identity.policy.to_bytes(8, "little")), (_IMAGE_ID, identity.image_id),
             (_FAMILY_ID, identity.family_id), (_MEASUREMENT, identity.measurement),
             (_SVN, request.guest_svn.to_bytes(4, "little")), (_TCB, request.tcb_version.to_bytes(8, "little")))
    context = b"".join(data if request.fields & bit else bytes(len(data)) for bit, data in parts)
    label = struct.pack("<IIQI", 1, request.root, request.fields, request.vmpl)
    return hmac.new(root, label + b"STRATA DERIVED KEY\0" + context, hashlib.sha256).digest()
