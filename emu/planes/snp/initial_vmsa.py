"""VMSAs that a hypervisor makes: the processor after reset (APM Vol. 2, 14.1.3), as QEMU and KVM hand them over."""

from __future__ import annotations

from emu.planes.snp import vmsa
from emu.planes.snp.vmsa import Vmsa

RESET_RIP = 0xFFFF_FFF0
_CODE, _DATA, _LDT, _TSS = 0x9B, 0x93, 0x82, 0x8B
_LIMIT = 0xFFFF


def reset_vmsa(signature: int, features: int, rip: int = RESET_RIP, vmpl: int = 0) -> bytes:
    """A vCPU that starts in real mode at the linear address `rip`; `signature` is CPUID function 1's EAX, in EDX."""
    page = Vmsa()
    for segment in ("es", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr"):
        page[f"{segment}_limit"] = _LIMIT
    for segment in ("es", "ss", "ds", "fs", "gs"):
        page[f"{segment}_attributes"] = _DATA
    page.update(
        cs_selector=0xF000, cs_base=rip & 0xFFFF_0000, cs_limit=_LIMIT, cs_attributes=_CODE, ldtr_attributes=_LDT,
        tr_attributes=_TSS, rip=rip & 0xFFFF, rdx=signature, rflags=2, cr0=1 << 4, cr4=1 << 6, efer=vmsa.EFER_SVME,
        dr6=vmsa.RESET_DR6, dr7=vmsa.RESET_DR7, g_pat=vmsa.RESET_PAT, xcr0=1, mxcsr=vmsa.RESET_MXCSR,
        x87_fcw=vmsa.INIT_FCW, vmpl=vmpl,
        sev_features=features | vmsa.SNP_ACTIVE)
    return bytes(page)
