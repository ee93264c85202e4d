"""The attestation report (FWABI 7.3, table "ATTESTATION_REPORT", version 3)."""

from __future__ import annotations

from collections.abc import Mapping

from emu.planes.snp import signing

SIZE, SIGNED, VERSION = 0x4A0, 0x2A0, 3
ECDSA_P384_SHA384 = 1
AUTHOR_KEY_ENABLED, SIGNED_BY_VCEK = 1 << 0, 0 << 2     # of FLAGS

# name -> offset and size in bytes; what is not named is reserved
FIELDS: dict[str, tuple[int, int]] = {
    "version": (0x000, 4), "guest_svn": (0x004, 4), "policy": (0x008, 8), "family_id": (0x010, 16),
    "image_id": (0x020, 16), "vmpl": (0x030, 4), "signature_algo": (0x034, 4), "current_tcb": (0x038, 8),
    "platform_info": (0x040, 8), "flags": (0x048, 4), "report_data": (0x050, 64), "measurement": (0x090, 48),
    "host_data": (0x0C0, 32), "id_key_digest": (0x0E0, 48), "author_key_digest": (0x110, 48),
    "report_id": (0x140, 32), "report_id_ma": (0x160, 32), "reported_tcb": (0x180, 8), "cpuid_fam_id": (0x188, 1),
    "cpuid_mod_id": (0x189, 1), "cpuid_step": (0x18A, 1), "chip_id": (0x1A0, 64), "committed_tcb": (0x1E0, 8),
    "current_version": (0x1E8, 3), "committed_version": (0x1EC, 3), "launch_tcb": (0x1F0, 8),
    "signature": (SIGNED, 512),
}
NUMBERS = frozenset(name for name, (_, size) in FIELDS.items() if size <= 8)


def build(values: Mapping[str, int | bytes]) -> bytes:
    """A signed report with these fields: numbers where the field has at most 8 bytes, else bytes. Version, signature
    algorithm and signature are added. ValueError: a value of another size."""
    report = bytearray(SIZE)
    for name, value in {**values, "version": VERSION, "signature_algo": ECDSA_P384_SHA384}.items():
        offset, size = FIELDS[name]
        data = value if isinstance(value, bytes) else value.to_bytes(size, "little")
        if len(data) != size:
            raise ValueError(f"{name} has {size} bytes, not {len(data)}")
        report[offset:offset + size] = data
    report[SIGNED:] = signing.sign(bytes(report[:SIGNED]))
    return bytes(report)


def parse(report: bytes) -> dict[str, int | bytes]:
    """All fields of a report. ValueError: it does not have SIZE bytes."""
    if len(report) != SIZE:
        raise ValueError(f"a report has {SIZE} bytes, not {len(report)}")
    found: dict[str, int | bytes] = {}
    for name, (offset, size) in FIELDS.items():
        data = bytes(report[offset:offset + size])
        found[name] = int.from_bytes(data, "little") if name in NUMBERS else data
    return found


def verify(report: bytes) -> bool:
    """Whether the test key has signed exactly this report."""
    return len(report) == SIZE and signing.verify(report[:SIGNED], report[SIGNED:])
