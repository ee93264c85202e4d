"""The certificate table that a hypervisor adds to an extended guest request (GHCB specification, 4.1.8.1)."""

from __future__ import annotations

import struct
from uuid import UUID

from emu.planes.snp import signing
from emu.planes.snp.launch import PAGE

GUIDS = {
    signing.VCEK: UUID("63da758d-e664-4564-adc5-f4b93be8accd"),
    signing.ASK: UUID("4ab7b379-bbac-4fe4-a02f-05aef327c782"),
    signing.ARK: UUID("c0b406a4-a803-4952-9743-3fb6014cd0ae"),
}
_ENTRY = struct.Struct("<16sII")        # GUID as it is written, offset and length in bytes


def table() -> bytes:
    """VCEK, ASK and ARK: their entries, one of zeros, and the certificates in DER; filled up to whole pages."""
    certificates = {name: signing.certificate_bytes(name) for name in GUIDS}
    entries, contents, at = b"", b"", _ENTRY.size * (len(GUIDS) + 1)
    for name, data in certificates.items():
        entries += _ENTRY.pack(GUIDS[name].bytes, at + len(contents), len(data))
        contents += data
    whole = entries + bytes(_ENTRY.size) + contents
    return whole + bytes(-len(whole) % PAGE)
