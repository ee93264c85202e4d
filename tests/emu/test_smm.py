"""System-management mode (APM Vol. 2 chapter 10; SDM Vol. 3C chapter 31)."""
import pytest

from emu import stop
from emu.irq import apicbus
from emu.irq.apicbus import ApicMessage
from emu.smm import CR0_PG
from emu.waiting import HALTED, RUNNING, WAIT_FOR_SIPI
from jit import layout
from tests.emu.flat import CODE, DATA, IF, Flat

SMBASE, HANDLER = 0x30000, 0x38000
SAVED_RAX, SAVED_RIP, SAVED_CR0, SAVED_SMBASE, REVISION = 0x3FFF8, 0x3FF78, 0x3FF58, 0x3FF00, 0x3FEFC
MARK = "66b834120000 6667a300000800"            # mov eax, 1234h; mov [DATA], eax
RSM = "0faa"
NOPS = "90" * 8


@pytest.fixture
def g():
    guest = Flat()
    handler(guest, MARK)
    return guest


def handler(g, code, base=SMBASE):
    g.m.memory.write(base + 0x8000, bytes.fromhex(code + RSM))


def smi(g, vcpu=0):
    g.m.vcpus[vcpu].lapic.accept(ApicMessage(0, mode=apicbus.SMI))


def test_an_smi_runs_the_handler_and_rsm_goes_on(g):
    g.code(NOPS, rax=0xAABBCCDD_11223344)
    g.run(3)
    smi(g)
    g.run(3)
    assert g.read(DATA) == 0x1234 and g.reg("rax") == 0xAABBCCDD_11223344
    assert (g.read(SAVED_RAX), g.read(SAVED_RIP), g.read(REVISION, 4)) == (0xAABBCCDD_11223344, CODE + 3, 0x20064)
    assert not g.plane.get(layout.SMM) and g.plane.get(layout.MODE) & 3 == layout.MODE_64
    assert g.rip() == 3
    g.run(2)
    assert g.rip() == 5


def test_the_state_in_which_a_handler_starts(g):
    g.code(NOPS)
    cr3 = g.plane.get(layout.CR3)
    smi(g)
    g.run(1)
    plane = g.plane
    cs, ds = (layout.seg(number, layout.SEG_BASE) for number in (layout.CS, layout.DS))
    assert (plane.get(cs), plane.get(cs - layout.SEG_BASE), plane.get(ds)) == (SMBASE, SMBASE >> 4, 0)
    assert plane.get(layout.seg(layout.CS, layout.SEG_LIMIT)) == 0xFFFFFFFF
    assert (plane.get(layout.RIP), plane.rflags, plane.get(layout.DR7)) == (0x8006, 2, 0x400)
    assert (plane.get(layout.CR0) & 0x8000000D, plane.get(layout.CR4), plane.get(layout.EFER)) == (0, 0, 0)
    assert plane.get(layout.CR3) == cr3 and plane.get(layout.SMM)


def test_smis_and_nmis_wait_for_rsm(g):
    g.code(NOPS)
    handler(g, "90 90 90")
    smi(g)
    g.run(1)
    smi(g)
    g.nmi()
    g.run(2)
    assert g.plane.get(layout.SMM) and g.count(2) == 0
    g.run(1)                                        # RSM, and the second SMI before the NMI
    assert g.plane.get(layout.SMM) and g.plane.get(layout.RIP) == 0x8000 and g.count(2) == 0
    g.run(7)
    assert not g.plane.get(layout.SMM) and g.count(2) == 1


def test_hw08_rsm_halts_again_and_what_ends_hlt_still_does(g):
    g.code("90", rflags=IF)
    g.run(2)
    assert g.activity() == HALTED
    smi(g)
    g.run(3)
    assert g.read(DATA) == 0x1234 and g.activity() == HALTED and g.count(0x50) == 0
    g.interrupt()
    g.run()
    assert g.count(0x50) == 1


def test_hw08_a_handler_that_clears_auto_halt_restart_goes_on_behind_hlt(g):
    g.code("f4 90 90")
    handler(g, "6667c605 c9fe0300 00")              # mov byte [3FEC9h], 0
    g.run(1)
    assert g.activity() == HALTED
    smi(g)
    g.run(4)
    assert g.activity() == RUNNING and g.rip() == 3


def test_smbase_can_be_relocated(g):
    g.code(NOPS)
    handler(g, "6667c705 00ff0300 00000500")        # mov dword [SAVED_SMBASE], 50000h
    handler(g, MARK, 0x50000)
    smi(g)
    g.run(2)
    assert g.plane.get(layout.SMBASE) == 0x50000 and g.read(DATA) == 0
    smi(g)
    g.run(3)
    assert g.read(DATA) == 0x1234


def test_an_impossible_state_is_a_shutdown(g):
    g.code(NOPS)
    handler(g, "6667c705 58ff0300" + CR0_PG.to_bytes(4, "little").hex())
    smi(g)
    assert g.run(5) == stop.TRIPLE_FAULT


def test_rsm_outside_is_undefined(g):
    g.code(RSM)
    g.run(2)
    assert g.count(6) == 1


def test_port_b2_raises_one_where_firmware_wants_it(g):
    g.code("b000 e6b2 90 90")
    g.run(3)
    assert g.read(DATA) == 0
    g.m.pc.power.write(0x5B, 1, 2)
    g.code("b000 e6b2 90 90")
    g.run(6)
    assert g.read(DATA) == 0x1234


def test_smram_is_seen_from_system_management_mode_only(g):
    """D_OPEN opens it to fill it; afterwards the window is the VGA's."""
    bridge = g.m.pc.pci.functions()[0, 0]
    bridge.write(0x72, 1, 0x4A)
    g.m.memory.write(0xA8000, bytes.fromhex(MARK + RSM))
    assert g.m.memory.backed(0xA8000, 4)
    bridge.write(0x72, 1, 0x0A)
    assert not g.m.memory.backed(0xA8000, 4)
    g.code(NOPS)
    g.plane.set(layout.SMBASE, 0xA0000)
    smi(g)
    g.run(2)
    assert g.m.memory.backed(0xA8000, 4)
    g.run(1)
    assert g.read(DATA) == 0x1234 and not g.m.memory.backed(0xA8000, 4)
    assert g.rip() == 0


def test_smram_is_part_of_a_state(g):
    g.m.pc.pci.functions()[0, 0].write(0x72, 1, 0x4A)
    g.m.memory.write(0xA8000, b"strata")
    state = g.m.smm.save()
    g.m.memory.write(0xA8000, b"------")
    g.m.smm.load(state)
    assert g.m.memory.read(0xA8000, 6) == b"strata"


def test_an_smi_reaches_the_vcpu_it_is_sent_to():
    g = Flat(vcpus=2)
    handler(g, MARK)
    for vcpu in (0, 1):
        g.code(NOPS, vcpu)
    smi(g, 1)
    assert g.m.vcpus[1].plane.get(layout.SMI) and not g.m.vcpus[0].plane.get(layout.SMI)
    g.run(40)
    assert g.read(DATA) == 0x1234


def test_init_waits_for_rsm(g):
    """A start-up IPI that comes before that finds nobody waiting for it (APM Vol. 2 chapter 10)."""
    g.code(NOPS)
    smi(g)
    g.run(1)
    lapic = g.m.vcpus[0].lapic
    lapic.bsp = False                   # the bootstrap processor does not wait for a start-up IPI
    lapic.accept(ApicMessage(0, mode=apicbus.INIT))
    lapic.accept(ApicMessage(8, mode=apicbus.STARTUP))
    state = g.m.smm.save()
    assert g.plane.get(layout.SMM) and g.plane.get(layout.ACTIVITY) == RUNNING
    g.m.smm.load(state)
    g.run(2)
    assert g.plane.get(layout.ACTIVITY) == WAIT_FOR_SIPI and not g.plane.get(layout.SMM)
    lapic.accept(ApicMessage(8, mode=apicbus.STARTUP))
    assert g.plane.get(layout.ACTIVITY) == RUNNING and g.plane.get(layout.seg(layout.CS)) == 0x800
