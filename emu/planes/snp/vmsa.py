"""The VMSA: the page with a vCPU's registers at one VMPL (APM Vol. 2, appendix B, table B-4).

A `Vmsa` is a view of such a page, by the names of FIELDS; guests write the same bytes, so it keeps no copy of anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import NamedTuple

SIZE = 4096


class Field(NamedTuple):
    """A little-endian field: byte offset in the page, size in bytes."""

    offset: int
    size: int


SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "gdtr", "ldtr", "idtr", "tr")
SEGMENT_SIZE = 16
# Attributes: 7:0 the descriptor's access byte, 8 AVL, 9 L, 10 D/B, 11 G. GDTR and IDTR use limit and base alone.
SEGMENT_PARTS = {"selector": Field(0, 2), "attributes": Field(2, 2), "limit": Field(4, 4), "base": Field(8, 8)}

_X87, _XMM, _YMM, _LBR = 0x420, 0x470, 0x570, 0x670
_LBR_PAIRS = 16

_QWORDS = {
    0x0A0: ("pl0_ssp", "pl1_ssp", "pl2_ssp", "pl3_ssp", "u_cet"),
    0x0D0: ("efer",),
    0x140: ("xss", "cr4", "cr3", "cr0", "dr7", "dr6", "rflags", "rip", "dr0", "dr1", "dr2", "dr3",
            "dr0_addr_mask", "dr1_addr_mask", "dr2_addr_mask", "dr3_addr_mask"),
    0x1D8: ("rsp", "s_cet", "ssp", "isst_addr", "rax", "star", "lstar", "cstar", "sfmask", "kernel_gs_base",
            "sysenter_cs", "sysenter_esp", "sysenter_eip", "cr2"),
    0x268: ("g_pat", "dbgctl", "br_from", "br_to", "last_excp_from", "last_excp_to"),
    0x2E0: ("spec_ctrl",),
    0x2F0: ("guest_tsc_scale", "guest_tsc_offset", "reg_prot_nonce", "rcx", "rdx", "rbx", "secure_avic_ctrl", "rbp",
            "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"),
    0x390: ("guest_exitinfo1", "guest_exitinfo2", "guest_exitintinfo", "guest_nrip", "sev_features", "vintr_ctrl",
            "guest_exitcode", "virtual_tom", "tlb_id", "pcpu_id", "eventinj", "xcr0"),
    0x400: ("x87_dp",),
    0x418: ("x87_rip",),
    0x770: ("lbr_select", "ibs_fetch_ctl", "ibs_fetch_linaddr", "ibs_op_ctl", "ibs_op_rip", "ibs_op_data",
            "ibs_op_data2", "ibs_op_data3", "ibs_dc_linaddr", "bp_ibstgt_rip", "ic_ibs_extd_ctl"),
    0x920: tuple(f"guest_msr_intercepts{n}" for n in range(4)),
}
_OTHERS = {
    "vmpl": Field(0x0CA, 1), "cpl": Field(0x0CB, 1), "pkru": Field(0x2E8, 4), "tsc_aux": Field(0x2EC, 4),
    "mxcsr": Field(0x408, 4), "x87_ftw": Field(0x40C, 2), "x87_fsw": Field(0x40E, 2), "x87_fcw": Field(0x410, 2),
    "x87_fop": Field(0x412, 2), "x87_ds": Field(0x414, 2), "x87_cs": Field(0x416, 2),
}


def _fields() -> dict[str, Field]:
    found = {f"{segment}_{part}": Field(SEGMENT_SIZE * n + field.offset, field.size)
             for n, segment in enumerate(SEGMENTS) for part, field in SEGMENT_PARTS.items()}
    found.update((name, Field(start + 8 * n, 8)) for start, names in _QWORDS.items() for n, name in enumerate(names))
    found.update(_OTHERS)
    for n in range(8):      # the eight significands stand together, then the eight signs and exponents
        found[f"x87_significand{n}"] = Field(_X87 + 8 * n, 8)
        found[f"x87_exponent{n}"] = Field(_X87 + 64 + 2 * n, 2)
    for n in range(16):
        found[f"xmm{n}"] = Field(_XMM + 16 * n, 16)
        found[f"ymm_high{n}"] = Field(_YMM + 16 * n, 16)
    for n in range(_LBR_PAIRS):
        found[f"lbr_from{n}"] = Field(_LBR + 16 * n, 8)
        found[f"lbr_to{n}"] = Field(_LBR + 16 * n + 8, 8)
    found.update((f"guest_intercepts{n}", Field(0x900 + 4 * n, 4)) for n in range(8))
    return dict(sorted(found.items(), key=lambda item: item[1].offset))


FIELDS: dict[str, Field] = _fields()

# SEV_FEATURES (APM Vol. 2, 15.36.20 and table B-4). SEV_STATUS (MSR C001_0131) has them two bits further up.
SNP_ACTIVE, VTOM, REFLECT_VC, RESTRICTED_INJECTION, ALTERNATE_INJECTION = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 4
DEBUG_SWAP, PREVENT_HOST_IBS, BTB_ISOLATION, VMPL_SSS, SECURE_TSC = 1 << 5, 1 << 6, 1 << 7, 1 << 8, 1 << 9
VMGEXIT_PARAMETER, PMC_VIRT, IBS_VIRT, GUEST_INTERCEPT_CTL = 1 << 10, 1 << 11, 1 << 12, 1 << 13
VMSA_REG_PROT, SMT_PROTECTION, SECURE_AVIC, IBPB_ON_ENTRY = 1 << 14, 1 << 15, 1 << 16, 1 << 21
FEATURE_NAMES = {
    SNP_ACTIVE: "SNPActive", VTOM: "vTOM", REFLECT_VC: "ReflectVC", RESTRICTED_INJECTION: "RestrictedInjection",
    ALTERNATE_INJECTION: "AlternateInjection", DEBUG_SWAP: "DebugSwap", PREVENT_HOST_IBS: "PreventHostIBS",
    BTB_ISOLATION: "BTBIsolation", VMPL_SSS: "VmplSSS", SECURE_TSC: "SecureTSC",
    VMGEXIT_PARAMETER: "VmgexitParameter", PMC_VIRT: "PmcVirt", IBS_VIRT: "IbsVirt",
    GUEST_INTERCEPT_CTL: "GuestInterceptCtl", VMSA_REG_PROT: "VmsaRegProt", SMT_PROTECTION: "SmtProtection",
    SECURE_AVIC: "SecureAVIC", IBPB_ON_ENTRY: "IBPBOnEntry",
}
DEFAULT_FEATURES = SNP_ACTIVE   # of guests that do not say it themselves; not every kernel accepts DebugSwap
STATUS_SEV, STATUS_SEV_ES, STATUS_FEATURES_SHIFT = 1, 2, 2      # SEV_STATUS

EFER_SVME = 1 << 12             # a VMSA without it is not runnable (APM Vol. 2, 15.5.1)

# VINTR_CTRL (APM Vol. 2, 15.36.16)
V_TPR, V_IRQ, V_GIF, V_INT_SHADOW, V_NMI, V_NMI_MASK = 0xFF, 1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12
V_PRIORITY, V_IGNORE_TPR, V_NMI_ENABLE, V_VECTOR, V_BUSY = 0xF << 16, 1 << 20, 1 << 26, 0xFF << 32, 1 << 63
V_PRIORITY_SHIFT, V_VECTOR_SHIFT = 16, 32

# EVENTINJ and EXITINTINFO (APM Vol. 2, 15.20)
EVENT_VECTOR, EVENT_TYPE, EVENT_ERROR_VALID, EVENT_VALID, EVENT_ERROR_SHIFT = 0xFF, 7 << 8, 1 << 11, 1 << 31, 32
EVENT_EXTERNAL, EVENT_NMI, EVENT_EXCEPTION, EVENT_SOFTWARE = 0 << 8, 2 << 8, 3 << 8, 4 << 8

RESET_PAT, RESET_DR6, RESET_DR7, RESET_MXCSR, INIT_FCW = 0x0007_0406_0007_0406, 0xFFFF_0FF0, 0x400, 0x1F80, 0x37F


def sev_status(features: int) -> int:
    """The value of MSR C001_0131 in an SNP guest whose VMSA has these SEV_FEATURES (APM Vol. 2, 15.34.10)."""
    return STATUS_SEV | STATUS_SEV_ES | features << STATUS_FEATURES_SHIFT


class Vmsa(MutableMapping[str, int]):
    """The fields of a VMSA as unsigned integers; `page` is a writable buffer of SIZE bytes, or omitted for zeros.

    A field cannot be deleted. ValueError: the buffer has another size, or a value has more bits than its field.
    """

    def __init__(self, page: bytearray | memoryview | None = None) -> None:
        self.page = memoryview(bytearray(SIZE) if page is None else page).cast("B")
        if len(self.page) != SIZE:
            raise ValueError(f"a VMSA has {SIZE} bytes, not {len(self.page)}")

    def __getitem__(self, name: str) -> int:
        offset, size = FIELDS[name]
        return int.from_bytes(self.page[offset:offset + size], "little")

    def __setitem__(self, name: str, value: int) -> None:
        offset, size = FIELDS[name]
        if not 0 <= value < 1 << 8 * size:
            raise ValueError(f"VMSA field {name} has {8 * size} bits, which {value:#x} does not fit")
        self.page[offset:offset + size] = value.to_bytes(size, "little")

    def __delitem__(self, name: str) -> None:
        raise TypeError("a VMSA keeps all of its fields")

    def __iter__(self) -> Iterator[str]:
        return iter(FIELDS)

    def __len__(self) -> int:
        return len(FIELDS)

    def __bytes__(self) -> bytes:
        return bytes(self.page)


def pack(values: Mapping[str, int]) -> bytes:
    """The page with these fields, and zeros for all others. ValueError and KeyError as in Vmsa."""
    vmsa = Vmsa()
    vmsa.update(values)
    return bytes(vmsa)


def unpack(page: bytes | bytearray | memoryview) -> dict[str, int]:
    """All fields of a page. ValueError: it does not have SIZE bytes."""
    return dict(Vmsa(bytearray(page)))
