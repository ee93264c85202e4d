"""Page walks (jit/paging.py) against the rules of SDM Vol. 3A 4.3 to 4.7, on tables built in memory."""
import itertools

import pytest

from jit import exits, layout
from tests.jit.bare import fresh
from tests.jit.rig import CODE, Rig
from tools.lockstep.tables import CR0_PE, CR0_PG, CR0_WP, EFER_NXE, NX, PS, RW, US, A, D, G, P, Tables

READ, WRITE, EXECUTE = 0, 1, 2
SUPERVISOR, USER, SMAP = layout.SET_SUPERVISOR, layout.SET_USER, layout.SET_SMAP
SMEP = 1 << 20
KINDS = ("5-level", "4-level", "pae", "32-bit")
LINEAR, FRAME, PAGE = 0x1234_5678, 0x5000, 0x70000
PROTECTION, RESERVED = 1, 8


def tables(kind, free=0x10000):
    bare = fresh()
    return Tables(bare, kind, free)


def walk(made, access=READ, tlb_set=SUPERVISOR, linear=LINEAR):
    """The GPA, or ("fault", error code)."""
    plane = made.bare.plane
    if made.bare.engine.translate(plane.address, linear, access, tlb_set) == exits.OK:
        return plane.get(layout.WALK_GPA)
    assert plane.get(layout.FAULT_VECTOR) == 14 and plane.get(layout.FAULT_HAS_ERROR)
    assert plane.get(layout.FAULT_ADDRESS) == linear
    return "fault", plane.get(layout.FAULT_ERROR)


def allowed(access, tlb_set, write_protect, smep, user_page, writable, executable):
    """SDM Vol. 3A 4.6.1, for one page."""
    if access == EXECUTE:
        return executable and (user_page if tlb_set == USER else not (user_page and smep))
    if tlb_set == USER:
        return user_page and (access == READ or writable)
    if user_page and tlb_set == SMAP:
        return False
    return access == READ or writable or not write_protect


@pytest.mark.parametrize("access", (READ, WRITE, EXECUTE), ids=("read", "write", "execute"))
@pytest.mark.parametrize("kind", KINDS)
def test_rights(kind, access):
    """Every combination of rights in the lowest two levels, of CR0.WP, CR4.SMEP and the TLB set."""
    made = tables(kind)
    upper, lower = made.path(LINEAR)[-2:]
    table = made.read(upper) & ~0xFFF
    upper_rights = (0, RW, US, RW | US) if not (kind == "pae" and len(made.shifts) == 2) else (0,)
    no_execute = (0, NX) if kind != "32-bit" else (0,)
    for high, low, nx, write_protect, smep, tlb_set in itertools.product(
            upper_rights, (0, RW, US, RW | US), no_execute, (0, CR0_WP), (0, SMEP), (SUPERVISOR, USER, SMAP)):
        made.write(upper, table | P | high)
        made.write(lower, FRAME | P | low | nx)
        made.use()
        made.bare.plane.set(layout.CR0, CR0_PE | CR0_PG | write_protect)
        made.bare.plane.set(layout.CR4, made.bare.plane.get(layout.CR4) | smep)
        both = high & low
        fine = allowed(access, tlb_set, write_protect, smep, both & US, both & RW, not nx)
        error = PROTECTION | (2 if access == WRITE else 0) | (4 if tlb_set == USER else 0)
        if access == EXECUTE and (kind != "32-bit" or smep):
            error |= 16                                         # SDM Vol. 3A 4.7: I/D under NXE or SMEP
        assert walk(made, access, tlb_set) == (FRAME | LINEAR & 0xFFF if fine else ("fault", error)), (
            high, low, nx, write_protect, smep, tlb_set)


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_entry_at_each_level(kind):
    depth = len(tables(kind).shifts)
    for level in range(depth):
        made = tables(kind)
        made.map(LINEAR, FRAME, P | RW | US)
        made.write(made.path(LINEAR)[level], 0x7FE)             # everything but P
        made.use()
        for access, tlb_set in itertools.product((READ, WRITE), (SUPERVISOR, USER)):
            expected = (2 if access == WRITE else 0) | (4 if tlb_set == USER else 0)
            assert walk(made, access, tlb_set) == ("fault", expected), level


@pytest.mark.parametrize("kind", KINDS)
def test_accessed_and_dirty(kind):
    """A read sets A in every entry that was used, a write D in the last; a fault sets neither (SDM Vol. 3A 4.8)."""
    made = tables(kind)
    made.map(LINEAR, FRAME, P | US)
    made.use()
    path = made.path(LINEAR)
    used = path[1:] if kind == "pae" else path                  # PDPTE registers have no A bit
    assert walk(made, WRITE, USER)[0] == "fault"
    assert not any(made.read(at) & (A | D) for at in path)
    made.write(path[-1], made.read(path[-1]) | RW)
    assert walk(made, READ) == FRAME | LINEAR & 0xFFF
    assert all(made.read(at) & (A | D) == A for at in used)
    assert walk(made, WRITE) == FRAME | LINEAR & 0xFFF
    assert [made.read(at) & (A | D) for at in used] == [A] * (len(used) - 1) + [A | D]


@pytest.mark.parametrize("kind, levels, size", (("4-level", 3, 21), ("4-level", 2, 30), ("5-level", 4, 21),
                                                 ("pae", 2, 21), ("32-bit", 1, 22)))
def test_large_pages(kind, levels, size):
    made = tables(kind)
    frame = 3 << size
    entry = made.map(LINEAR, frame, P | RW | PS | G, levels)
    made.use()
    assert walk(made, WRITE) == frame | LINEAR & (1 << size) - 1
    assert made.read(entry) & (A | D) == A | D
    assert walk(made, READ, USER) == ("fault", PROTECTION | 4)


@pytest.mark.parametrize("kind, levels, bit", (
    ("4-level", 3, 13), ("4-level", 3, 20), ("4-level", 2, 29), ("pae", 2, 13), ("pae", 2, 20), ("32-bit", 1, 21),
    ("4-level", 1, 7), ("4-level", 4, 46), ("4-level", 3, 51), ("pae", 3, 46), ("pae", 3, 52), ("pae", 3, 62),
    ("5-level", 1, 7), ("5-level", 2, 7), ("5-level", 5, 46)))
def test_reserved_bits(kind, levels, bit):
    """Large frames' low bits, PS where no large page exists, bits beyond the physical address width (46 here)."""
    made = tables(kind)
    full = len(made.shifts)
    large = PS if levels < full and bit != 7 else 0
    at = made.path(LINEAR, levels)[-1]
    made.path(LINEAR) if not large else None
    base = made.read(at) & ~0xFFF if not large and levels < full else 0
    made.write(at, base | P | RW | large | 1 << bit)
    made.use()
    assert walk(made) == ("fault", PROTECTION | RESERVED)
    assert walk(made, WRITE, USER) == ("fault", PROTECTION | RESERVED | 2 | 4)
    assert not made.read(at) & A


@pytest.mark.parametrize("kind", ("4-level", "pae"))
def test_nx_is_reserved_without_nxe(kind):
    made = tables(kind)
    made.map(LINEAR, FRAME, P | RW | NX)
    made.use()
    plane = made.bare.plane
    plane.set(layout.EFER, plane.get(layout.EFER) & ~EFER_NXE)
    assert walk(made) == ("fault", PROTECTION | RESERVED)


def test_pat_bit_of_a_large_page_is_not_reserved():
    made = tables("4-level")
    made.map(LINEAR, 0, P | RW | PS | 1 << 12, 3)
    made.use()
    assert walk(made) == LINEAR & (1 << 21) - 1


def test_ps_is_ignored_without_cr4_pse():
    made = tables("32-bit")
    made.map(LINEAR, FRAME)
    directory = made.path(LINEAR)[0]
    made.write(directory, made.read(directory) | PS)
    made.use()
    made.bare.plane.set(layout.CR4, 0)
    assert walk(made) == FRAME | LINEAR & 0xFFF


def test_pse36_reaches_beyond_4_gib():
    """Bits 39:32 of a 4 MiB frame are bits 20:13 of its entry (SDM Vol. 3A table 4-4)."""
    made = tables("32-bit")
    made.map(LINEAR, 0x0080_0000 | 0xA5 << 13, P | RW | PS, 1)
    made.use()
    assert walk(made) == 0xA5 << 32 | 0x0080_0000 | LINEAR & 0x3FFFFF


def test_pae_uses_the_registers_not_the_table():
    """The PDPTEs were loaded with CR3; a later change in memory has no effect (SDM Vol. 3A 4.4.1)."""
    made = tables("pae")
    made.map(LINEAR, FRAME)
    made.use()
    made.write(made.path(LINEAR)[0], 0)
    assert walk(made) == FRAME | LINEAR & 0xFFF


def test_upper_half_addresses():
    made = tables("4-level")
    high = 0xFFFF_FFFF_8000_1000
    made.map(high, FRAME)
    made.use()
    assert walk(made, linear=high + 5) == FRAME + 5


def test_five_levels_translate_57_bits():
    made = tables("5-level")
    low, high = 0x00AB_CD12_3456_7000, 0xFF12_3456_789A_B000
    made.map(low, FRAME)
    made.map(high, FRAME + 0x1000)
    made.use()
    assert walk(made, linear=low + 5) == FRAME + 5
    assert walk(made, linear=high + 5) == FRAME + 0x1005


def test_no_paging_is_identity():
    made = tables("4-level")
    assert walk(made, WRITE, USER) == LINEAR


def test_writes_to_read_only_pages_follow_cr0_wp_at_once():
    """SDM Vol. 3A 4.6.1: a supervisor's, whatever was cached before; what only reads stays as it is."""
    made = Rig("long")
    made.protect(PAGE, P | A | D)
    made.set("cr0", made.get("cr0") & ~CR0_WP)
    made.set("rbx", made.get("cr0") | CR0_WP)
    made.set("rcx", made.get("cr0"))
    made.set("rsi", PAGE)
    # mov [rsi], eax; mov cr0, rbx; mov eax, [rsi]; mov cr0, rcx; mov [rsi], eax; mov cr0, rbx; mov [rsi], eax
    made.run("8906 0f22c3 8b06 0f22c1 8906 0f22c3 8906")
    assert made.vector() == 14 and made.read(made.get("rsp")) == 3 and made.read(made.get("rsp") + 8) == CODE + 15
