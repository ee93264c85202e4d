"""The state after RESET, INIT and start-up IPIs (SDM Vol. 3A, table 9-1 and 8.4.3)."""
import pytest

from emu import boot
from emu.isa.models import MODELS
from emu.machine import Machine
from emu.waiting import RUNNING, WAIT_FOR_SIPI
from jit import fpu_layout, layout
from tests.emu.flat import Flat

MSRS = {layout.STAR: 1 << 32, layout.LSTAR: 0x1000, layout.KERNEL_GS_BASE: 0x2000, layout.SYSENTER_EIP: 0x3000,
        layout.PAT: 0x0606060606060606, layout.TSC_OFFSET: 77, layout.TSC_AUX: 5, layout.XCR0: 7, layout.S_CET: 1,
        layout.PKRS: 4}


def test_init_keeps_msrs_and_extended_state_and_nothing_else():
    flat = Flat(vcpus=2)
    vcpu = flat.m.vcpus[1]
    plane = vcpu.plane
    for field, value in MSRS.items():
        plane.set(field, value)
    for field in (layout.CR2, layout.CR8, layout.gpr(1), layout.DR, layout.DEBUGCTL):
        plane.set(field, 3)
    plane.set(layout.CR0, plane.get(layout.CR0) | 1 << 30)
    plane.fpu_set(fpu_layout.FPU_FIELDS["mxcsr"].offset, 0x1F00)
    vcpu.msrs.write(0x2FF, 0xC06)
    flat.m.initialise(vcpu)
    assert {field: plane.get(field) for field in MSRS} == MSRS
    assert plane.fpu_get(fpu_layout.FPU_FIELDS["mxcsr"].offset) == 0x1F00 and vcpu.msrs.read(0x2FF) == 0xC06
    assert plane.get(layout.CR0) == 1 << 30 | 0x10          # CD and NW stay, ET is 1
    for field in (layout.CR2, layout.CR3, layout.CR4, layout.CR8, layout.gpr(1), layout.DR, layout.EFER,
                  layout.DEBUGCTL):
        assert plane.get(field) == 0
    assert plane.get(layout.gpr(2)) == MODELS["max"].signature and plane.get(layout.ACTIVITY) == WAIT_FOR_SIPI
    flat.m._signal(1, "sipi", 0x12)
    assert plane.get(layout.ACTIVITY) == RUNNING and plane.get(layout.LSTAR) == 0x1000
    assert [plane.get(layout.seg(layout.CS, part)) for part in (0, 8)] == [0x1200, 0x12000]
    assert plane.get(layout.RIP) == 0


@pytest.mark.parametrize("cpu", ("EPYC-Milan", "Skylake-Server"))
def test_firmware_finds_the_processors_signature_in_edx(cpu, tmp_path):
    (tmp_path / "rom").write_bytes(bytes(0x10000))
    machine = Machine(memory=1 << 20, engine="interp", cpu=cpu)
    machine.load(None, bios=str(tmp_path / "rom"))
    plane = machine.vcpus[0].plane
    assert plane.get(layout.gpr(2)) == machine.vcpus[0].cpuid.read(1, 0)[0] != 0
    assert plane.get(layout.CR0) == 0x60000010


def test_after_power_on_msrs_have_their_first_values():
    plane = Flat().plane
    for field in MSRS:
        plane.set(field, 5)
    boot.reset(plane)
    assert [plane.get(field) for field in MSRS if field not in (layout.PAT, layout.XCR0)] == [0] * (len(MSRS) - 2)
    assert (plane.get(layout.PAT), plane.get(layout.XCR0)) == (0x0007040600070406, 1)
