"""The launch digest computed a second time, from the description alone (FWABI 8.17.2, table "PAGE_INFO").

It shares nothing with emu/planes/snp/measurement.py: the record is put together byte by byte at its offsets.
"""

import hashlib


def digest(pages: list[tuple[int, int, bytes, tuple[int, int, int]]]) -> bytes:
    """`pages`: (GPA, page type number, 4096 bytes, masks of VMPL1 to VMPL3) in the order of loading."""
    current = bytes(48)
    for gpa, kind, data, masks in pages:
        assert len(data) == 4096
        record = bytearray(0x70)
        record[0x00:0x30] = current
        if kind in (1, 2):                      # normal and VMSA pages count with their contents
            record[0x30:0x60] = hashlib.new("sha384", data).digest()
        record[0x60] = 0x70
        record[0x62] = kind
        record[0x66], record[0x65], record[0x64] = masks
        for n in range(8):
            record[0x68 + n] = gpa >> 8 * n & 0xFF
        current = hashlib.new("sha384", bytes(record)).digest()
    return current
