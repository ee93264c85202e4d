"""MSRs that depend on the CPU model."""
import pytest

from emu.irq.lapic_msr import GeneralProtection
from emu.machine import Machine

IA32_XSS = 0xDA0


def test_ia32_xss_has_no_bit_to_set():
    msrs = Machine(memory=1 << 20, engine="interp").vcpus[0].msrs
    msrs.write(IA32_XSS, 0)
    with pytest.raises(GeneralProtection):
        msrs.write(IA32_XSS, 1 << 8)
    assert msrs.read(IA32_XSS) == 0


def test_ia32_xss_comes_with_xsaves():
    reports = []
    msrs = Machine(memory=1 << 20, engine="interp", cpu="qemu64", report=reports.append).vcpus[0].msrs
    with pytest.raises(GeneralProtection):
        msrs.read(IA32_XSS)
    assert "0xda0" in reports[0]
