"""The GHCB page and the MSR protocol (GHCB specification), against numbers written down apart from the code."""
import pytest

from emu.planes.snp import exits, ghcb, ghcb_msr
from emu.planes.snp.ghcb import Ghcb


def test_fields_and_their_valid_bits():
    page = bytearray(4096)
    view = Ghcb(page)
    for name, offset in (("cpl", 0xCB), ("rax", 0x1F8), ("rcx", 0x308), ("r15", 0x378), ("sw_exitcode", 0x390),
                         ("sw_exitinfo1", 0x398), ("sw_exitinfo2", 0x3A0), ("sw_scratch", 0x3A8), ("xcr0", 0x3E8)):
        view[name] = 3
        assert page[offset] == 3, name
        assert page[0x3F0 + offset // 64] & 1 << offset // 8 % 8, name
    assert len(view) == 9 and view.valid.bit_count() == 9


def test_an_unmarked_field_is_not_there():
    view = Ghcb(bytearray(4096))
    view.page[0x308] = 7
    with pytest.raises(KeyError):
        view["rcx"]
    view.valid = 1 << 0x308 // 8
    assert view["rcx"] == 7 and list(view) == ["rcx"]
    del view["rcx"]
    assert "rcx" not in view and view.page[0x308] == 7
    with pytest.raises(KeyError):
        del view["rcx"]


def test_version_usage_and_sizes():
    page = bytearray(4096)
    page[0xFFA:0x1000] = b"\x02\0\x02\0\0\0"
    assert Ghcb(page).version == 2 and Ghcb(page).usage == ghcb.USAGE_VTL_RETURN
    with pytest.raises(ValueError, match="4096"):
        Ghcb(bytearray(4095))
    with pytest.raises(ValueError, match="bits"):
        Ghcb(page)["cpl"] = 256
    assert ghcb.SHARED_BUFFER + ghcb.SHARED_BUFFER_SIZE == 0xFF0
    assert ghcb.PSC_HEADER + ghcb.PSC_ENTRY * ghcb.PSC_MAX_ENTRIES == ghcb.SHARED_BUFFER_SIZE


def test_values_of_the_msr_protocol():
    assert ghcb_msr.sev_info(51, 1, 2) == 0x0002_0001_3300_0001
    assert ghcb_msr.cpuid_fields(0x8000_001F_4000_0004) == (0x8000_001F, 1)
    assert ghcb_msr.cpuid_response(3, 0x1234) == 0x0000_1234_C000_0005
    assert ghcb_msr.psc_fields(0x0020_0000_0012_3014) == (0x123, ghcb_msr.PSC_SHARED)
    assert ghcb_msr.run_vmpl_target(0x0000_0002_0000_0016) == 2
    assert ghcb_msr.with_error(ghcb_msr.RUN_VMPL_RESPONSE, 1) == 0x1_0000_0017
    assert ghcb_msr.termination(0x2_1100) == (1, 2)
    assert ghcb_msr.with_gfn(ghcb_msr.PREFERRED_GPA_RESPONSE, ghcb_msr.NO_GPA) == 0xFFFF_FFFF_FFFF_F011
    assert ghcb_msr.info(0x7000_0012) == ghcb_msr.REGISTER_GPA_REQUEST


def test_exit_codes():
    assert (exits.CPUID, exits.IOIO, exits.MSR, exits.VMEXIT_VC) == (0x72, 0x7B, 0x7C, 0x5D)
    assert (exits.PSC, exits.AP_CREATION, exits.HV_DOORBELL, exits.RUN_VMPL, exits.SPECIFIC_EOI, exits.MMIO_READ) == (
        0x8000_0010, 0x8000_0013, 0x8000_0014, 0x8000_0018, 0x8000_001D, 0x8000_0001)
    assert exits.name(0x72) == "CPUID (0x72)" and exits.name(0x4E) == "exception 14 (0x4e)"
    assert exits.name(0x7777) == "unknown exit (0x7777)"
