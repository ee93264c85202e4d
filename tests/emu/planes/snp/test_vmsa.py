"""The VMSA's layout (APM Vol. 2, table B-4), against offsets written down apart from the code."""
import pytest

from emu.planes.snp import vmsa
from emu.planes.snp.vmsa import FIELDS, SIZE, Vmsa

OFFSETS = {
    "es_selector": (0x000, 2), "cs_attributes": (0x012, 2), "ss_limit": (0x024, 4), "ds_base": (0x038, 8),
    "gdtr_base": (0x068, 8), "ldtr_selector": (0x070, 2), "idtr_limit": (0x084, 4), "tr_base": (0x098, 8),
    "pl3_ssp": (0x0B8, 8), "u_cet": (0x0C0, 8), "vmpl": (0x0CA, 1), "cpl": (0x0CB, 1), "efer": (0x0D0, 8),
    "xss": (0x140, 8), "cr0": (0x158, 8), "dr7": (0x160, 8), "rflags": (0x170, 8), "rip": (0x178, 8),
    "dr3": (0x198, 8), "dr3_addr_mask": (0x1B8, 8), "rsp": (0x1D8, 8), "isst_addr": (0x1F0, 8), "rax": (0x1F8, 8),
    "sfmask": (0x218, 8), "kernel_gs_base": (0x220, 8), "cr2": (0x240, 8), "g_pat": (0x268, 8),
    "last_excp_to": (0x290, 8), "spec_ctrl": (0x2E0, 8), "pkru": (0x2E8, 4), "tsc_aux": (0x2EC, 4),
    "guest_tsc_offset": (0x2F8, 8), "reg_prot_nonce": (0x300, 8), "rcx": (0x308, 8), "rdx": (0x310, 8),
    "rbx": (0x318, 8), "secure_avic_ctrl": (0x320, 8), "rbp": (0x328, 8), "rsi": (0x330, 8), "rdi": (0x338, 8),
    "r8": (0x340, 8), "r15": (0x378, 8), "guest_exitinfo1": (0x390, 8), "guest_nrip": (0x3A8, 8),
    "sev_features": (0x3B0, 8), "vintr_ctrl": (0x3B8, 8), "guest_exitcode": (0x3C0, 8), "virtual_tom": (0x3C8, 8),
    "pcpu_id": (0x3D8, 8), "eventinj": (0x3E0, 8), "xcr0": (0x3E8, 8), "x87_dp": (0x400, 8), "mxcsr": (0x408, 4),
    "x87_ftw": (0x40C, 2), "x87_fcw": (0x410, 2), "x87_fop": (0x412, 2), "x87_cs": (0x416, 2), "x87_rip": (0x418, 8),
    "x87_significand0": (0x420, 8), "x87_exponent0": (0x460, 2), "x87_exponent7": (0x46E, 2), "xmm0": (0x470, 16),
    "ymm_high0": (0x570, 16), "ymm_high15": (0x660, 16), "lbr_from0": (0x670, 8), "lbr_to15": (0x768, 8),
    "lbr_select": (0x770, 8), "ic_ibs_extd_ctl": (0x7C0, 8), "guest_intercepts0": (0x900, 4),
    "guest_msr_intercepts0": (0x920, 8),
}


@pytest.mark.parametrize("name", OFFSETS)
def test_fields_are_where_the_manual_puts_them(name):
    assert FIELDS[name] == OFFSETS[name]


def test_fields_do_not_overlap():
    end = 0
    for name, (offset, size) in FIELDS.items():
        assert offset >= end, name
        end = offset + size
    assert end <= SIZE


def test_packing_and_unpacking_are_inverse():
    values = {name: (0x0123_4567_89AB_CDEF_1122_3344_5566_7788 + n) % (1 << 8 * field.size)
              for n, (name, field) in enumerate(FIELDS.items())}
    page = vmsa.pack(values)
    assert len(page) == SIZE and vmsa.unpack(page) == values
    assert vmsa.pack({"rip": 0xFFF0})[0x178:0x180] == b"\xf0\xff" + bytes(6)


def test_a_view_changes_the_page_that_it_was_made_of():
    page = bytearray(SIZE)
    Vmsa(page)["sev_features"] = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION | vmsa.DEBUG_SWAP
    assert page[0x3B0:0x3B8] == b"\x29" + bytes(7) and sum(map(bool, page)) == 1


def test_values_that_do_not_fit_and_pages_of_another_size():
    for values in ({"vmpl": 256}, {"rip": 1 << 64}, {"cs_selector": -1}):
        with pytest.raises(ValueError, match="field"):
            vmsa.pack(values)
    with pytest.raises(ValueError, match="4096"):
        vmsa.unpack(bytes(100))
    with pytest.raises(KeyError):
        vmsa.pack({"eflags": 2})


def test_sev_status_has_the_features_two_bits_up():
    assert vmsa.sev_status(vmsa.SNP_ACTIVE) == 7
    assert vmsa.sev_status(0x29) == 0xA7            # SNP, restricted injection and DebugSwap
    assert vmsa.sev_status(vmsa.SECURE_AVIC) == 1 << 18 | 3 and vmsa.sev_status(vmsa.IBPB_ON_ENTRY) == 1 << 23 | 3
    assert all(feature.bit_count() == 1 for feature in vmsa.FEATURE_NAMES)
