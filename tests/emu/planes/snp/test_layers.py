"""Who denies a page of an SNP guest, as debuggers are told (APM Vol. 2 15.36.10): the same as compiled code denies."""
import pytest

from emu.planes.layers import denials
from emu.planes.snp.layers import layers
from emu.planes.snp.rmp import Entry
from emu.planes.snp.tables import PRIVATE
from jit.guards import DENY_EXECUTE, DENY_READ, DENY_USER_EXECUTE, DENY_WRITE
from tests.emu.planes.snp.guest import Guest

GPA = 0x400000
FRAME = GPA >> 12


@pytest.fixture
def guest():
    return Guest()


def only(guest, vmpl, gpa=GPA):
    found, = layers(guest.snp, vmpl, gpa)
    assert found.denied == int(guest.snp.tables.bytes[vmpl][gpa >> 12]) & PRIVATE
    return found


def test_each_check_is_a_layer_that_hides_those_below(guest):
    assert guest.give(GPA) == 0
    assert "not validated" in only(guest, 0).name and only(guest, 0).denied == PRIVATE
    guest.rmp.validate(FRAME, True)
    assert only(guest, 0).name == "VMPL0's permissions in the RMP" and only(guest, 0).denied == 0
    assert only(guest, 1).denied == PRIVATE                 # VMPL0's alone until RMPADJUST
    guest.rmp.adjust(FRAME, 1, 1 | 8, None)                 # read, supervisor execute
    assert only(guest, 1).denied == DENY_WRITE | DENY_USER_EXECUTE
    guest.rmp.adjust(FRAME, 1, 4, None)                     # user execute
    assert only(guest, 1).denied == DENY_READ | DENY_WRITE | DENY_EXECUTE
    assert guest.rmp.update(FRAME, Entry(False)) == 0
    assert "not this guest's" in only(guest, 0).name


def test_a_page_that_is_not_mapped(guest):
    found, = layers(guest.snp, 0, 1 << 50)
    assert "nested page table" in found.name and found.denied == PRIVATE


def test_denials_end_where_guest_physical_space_does(guest):
    """What lies behind in the machine's physical map is the hypervisor's, and has no place in the tables."""
    machine = guest.snp.machine
    assert machine.memory.top > machine.map.space
    found = denials(machine, machine.vcpus[0].plane, 0, machine.memory.top // 4096)
    assert len(found) == guest.snp.nested.frames and found[FRAME] == guest.snp.tables.bytes[0][FRAME]
    assert denials(machine, machine.vcpus[0].plane, len(found), 5) == b""
