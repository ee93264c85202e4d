"""Expressions, disassembly, source lines, and verdicts on accesses."""
import pytest

from emu.walk import NX, PRESENT, USER, WRITABLE
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE
from tests.emu.debug.guests import machine
from tests.tools.debug.conftest import ENTRY
from tools.debug.expression import value
from tools.debug.listing import Listing
from tools.debug.source import Source
from tools.debug.verdict import verdict, verdicts

PML4, PDPT, PD, PT, PAGE = 0x1000, 0x2000, 0x3000, 0x4000, 0x5000
CR0_WP, CR4_SMEP, CR4_SMAP, EFER_NXE, AC = 1 << 16, 1 << 20, 1 << 21, 1 << 11, 1 << 18
CR4_PKE, CR4_PKS = 1 << 22, 1 << 24
OPEN = PRESENT | WRITABLE | USER


def test_expressions(front):
    m, plane = front.session.machine, front.session.plane
    assert value(m, plane, "0x10") == 16 and value(m, plane, "vtl1_start") == plane.rip == value(m, plane, "$rip")
    assert value(m, plane, "*vtl1_start+7") == plane.rip + 7
    assert value(m, plane, "rsp - 8 & ~0xf") == plane.regs.rsp - 8 & ~0xF
    assert value(m, plane, "u8(rip)") == plane.memory[plane.rip] and value(m, plane, "-1") == (1 << 64) - 1
    assert value(m, plane, "icount") == ENTRY


def test_the_listing_finds_the_instructions_in_front(front):
    listing, plane = Listing(front.session.machine), front.session.plane
    lines = listing.around(plane, plane.rip, 5, 3)
    at = next(n for n, line in enumerate(lines) if line.address == plane.rip)
    assert at == 5 and lines[at].label == "vtl1_start" and lines[at + 1].target == "vtl1_first"
    for line, after in zip(lines, lines[1:], strict=False):
        assert line.address + len(line.data) == after.address
    assert listing.name(plane.rip) == "vtl1_start" and listing.name(plane.rip + 2) == "vtl1_start+0x2"


def test_the_listing_shows_what_is_no_instruction_and_ends_where_nothing_is_mapped(tmp_path):
    with machine(b"\x0f\x0b\xff\xff\x90", tmp_path / "code") as m:
        listing, plane = Listing(m), m.current
        assert [line.mnemonic for line in listing.around(plane, plane.rip, 0, 2)] == ["ud2", "(bad)", "nop"]
        assert listing.around(plane, 0xFFFF_8000_0000_0000, 4, 4) == []


def test_source_lines_come_from_dwarf(front):
    source, m = front.session.source, front.session.machine
    source.wait(20)
    place = source.at(m.address_of("vtl1_start"))
    assert place.file.endswith("vsm_entry.S") and "vtl1_sp_seen" in place.text
    assert source.at(m.address_of("main")).file.endswith("vsm_call.c")
    assert source.at(0x10) is None and source.at(1 << 60) is None


@pytest.mark.parametrize("damage", [lambda d: d[:2000], lambda d: d.replace(b"boot64.S", b"\xff" * 8),
                                    lambda d: d[:-9000] + bytes(9000), lambda d: b"no ELF file"])
def test_a_damaged_file_has_no_lines_or_some(tmp_path, damage):
    from types import SimpleNamespace

    from tests.emu.debug.guests import VSM
    (tmp_path / "image").write_bytes(damage(VSM.read_bytes()))
    source = Source(SimpleNamespace(image=SimpleNamespace(path=str(tmp_path / "image"))))
    source.wait(20)
    source.at(0x100010)


@pytest.fixture
def paged(tmp_path):
    """A plane with one page mapped at 0; `enter(level, entry)` changes the tables."""
    with machine(b"\x90", tmp_path / "code") as m:
        plane = m.current
        for table, following in ((PML4, PDPT), (PDPT, PD), (PD, PT), (PT, PAGE)):
            m.physical.write(table, (following | OPEN).to_bytes(8, "little"))
        plane.regs.cr3 = PML4
        plane.regs.cr0 |= CR0_WP
        plane.regs.efer |= EFER_NXE
        yield m, plane, lambda table, bits: m.physical.write(
            table, ({PML4: PDPT, PDPT: PD, PD: PT, PT: PAGE}[table] | bits).to_bytes(8, "little"))


def why(plane, access, user):
    return verdict(plane, plane.walk(0), access, user).denied_by


def test_page_tables_deny_by_the_manuals_rules(paged):
    """SDM Vol. 3A 4.6.1."""
    m, plane, enter = paged
    assert not any(each.denied_by for each in verdicts(plane, plane.walk(0)))
    enter(PDPT, PRESENT | USER)
    assert why(plane, "write", True) == "PDPTE.R/W = 0" and why(plane, "write", False) == "PDPTE.R/W = 0 (CR0.WP = 1)"
    plane.regs.cr0 &= ~CR0_WP
    assert why(plane, "write", True) and not why(plane, "write", False) and not why(plane, "read", True)
    enter(PDPT, PRESENT | WRITABLE)
    assert {why(plane, access, True) for access in ("read", "write", "execute")} == {"PDPTE.U/S = 0"}
    assert not why(plane, "read", False)
    enter(PDPT, OPEN)
    enter(PT, OPEN | NX)
    assert why(plane, "execute", False) == why(plane, "execute", True) == "PTE.XD = 1" and not why(plane, "read", True)
    enter(PT, OPEN)
    plane.regs.cr4 |= CR4_SMEP | CR4_SMAP
    assert why(plane, "execute", False).startswith("CR4.SMEP") and why(plane, "read", False).startswith("CR4.SMAP")
    plane.regs.rflags |= AC
    assert not why(plane, "write", False)
    plane.regs.rflags &= ~AC
    plane.regs.cr4 = plane.regs.cr4 & ~(CR4_SMEP | CR4_SMAP) | CR4_PKE | CR4_PKS
    enter(PT, OPEN | 5 << 59)
    plane.regs.pkru = 2 << 10
    assert why(plane, "write", True) == "PKRU, key 5: WD = 1" and not why(plane, "write", False)    # CR0.WP = 0
    assert not why(plane, "read", True)
    plane.regs.pkru = 1 << 10
    assert why(plane, "read", False) == "PKRU, key 5: AD = 1" and not why(plane, "execute", True)
    enter(PT, PRESENT | WRITABLE | 5 << 59)
    plane.regs.pkrs = 1 << 10
    assert why(plane, "read", False) == "PKRS, key 5: AD = 1"
    enter(PD, 0)
    assert why(plane, "read", False) == "PDE: not present"
    assert verdict(plane, plane.walk(0), "read", False).entry.gpa == PD


def test_layers_deny_after_the_page_tables(paged, monkeypatch):
    from emu.api.views import PlaneView
    from emu.planes.layers import Layer, Origin
    m, plane, _ = paged
    origin = Origin(5, 0, 1, 0x1234)
    layers = {PAGE: DENY_WRITE | DENY_EXECUTE}
    monkeypatch.setattr(PlaneView, "layers", lambda self, gpa: [Layer("a mask", layers.get(gpa & -4096, 0), origin)])
    found = {(each.access, each.user): each for each in verdicts(plane, plane.walk(0))}
    assert found["write", True].denied_by == found["execute", False].denied_by == "a mask"
    assert found["write", True].origin == origin and not found["read", True].denied_by
    plane.regs.cr4 |= CR4_SMEP          # then user-mode fetches have a bit of their own
    layers[PAGE] = DENY_USER_EXECUTE
    assert found["execute", True].denied_by and why(plane, "execute", True) == "a mask"
    layers[PT] = DENY_READ              # the walk itself reads the page table
    assert why(plane, "read", True) == "a mask of the PTE's page"
