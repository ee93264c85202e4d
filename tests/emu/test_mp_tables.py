"""MP tables, read back by offsets of the MultiProcessor Specification 1.4."""

import struct

from emu import mp_tables

BASE = 0xF1000
SIZES = {0: 20, 1: 8, 2: 8, 3: 8, 4: 8}


def entries(blob: bytes) -> list[bytes]:
    table = blob[16:]
    count, found, offset = struct.unpack_from("<H", table, 34)[0], [], 44
    for _ in range(count):
        size = SIZES[table[offset]]
        found.append(table[offset:offset + size])
        offset += size
    assert offset == len(table) == struct.unpack_from("<H", table, 4)[0]
    return found


def test_pointer_and_header():
    blob = mp_tables.build(BASE, 2, (0x623, 0x1234), [])
    assert blob[:4] == b"_MP_" and struct.unpack_from("<IBB", blob, 4) == (BASE + 16, 1, 4)
    assert sum(blob[:16]) & 0xFF == 0 and blob[11:16] == bytes(5)      # a configuration table; no IMCR
    assert blob[16:20] == b"PCMP" and blob[22] == 4 and sum(blob[16:]) & 0xFF == 0
    assert struct.unpack_from("<I", blob, 16 + 36)[0] == 0xFEE00000


def test_processors_and_the_io_apic():
    found = entries(mp_tables.build(BASE, 3, (0x623, 0x1234), []))
    processors = [e for e in found if e[0] == 0]
    assert [(e[1], e[3]) for e in processors] == [(0, 3), (1, 1), (2, 1)]
    assert {struct.unpack_from("<BxII", e, 2) for e in processors} == {(0x14, 0x623, 0x1234)}
    assert [struct.unpack("<xBBBI", e) for e in found if e[0] == 2] == [(0, 0x11, 1, 0xFEC00000)]
    assert {e[1]: e[2:] for e in found if e[0] == 1} == {0: b"PCI   ", 1: b"ISA   "}


def test_interrupts():
    found = entries(mp_tables.build(BASE, 1, (0, 0), [(3, 0), (1, 3), (3, 0)]))
    isa = {e[5]: (e[7], e[2]) for e in found if e[0] == 3 and e[4] == 1}
    assert isa[0] == (2, 0) and isa[4] == (4, 0) and isa[9] == (9, 0b1101)
    assert 2 not in isa and 10 not in isa and 11 not in isa             # the cascade, and PCI's
    pci = {(e[5] >> 2, e[5] & 3): (e[7], e[2]) for e in found if e[0] == 3 and e[4] == 0}
    assert pci == {(1, 3): (11, 0b1101), (3, 0): (11, 0b1101)}
    assert [(e[1], e[6], e[7]) for e in found if e[0] == 4] == [(3, 0, 0), (1, 0xFF, 1)]
