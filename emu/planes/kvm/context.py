"""The state in which a guest lets a plane start: a page laid out as SNP's VMSA (APM Vol. 2, table B-4), so that the
same guest code serves both. Of x87 and vector state FCW and MXCSR count, the rest is as after FNINIT; EFER.SVME is
ignored."""

from __future__ import annotations

from emu.load.model import SegmentRegister
from emu.plane import GPR_NAMES, Plane
from emu.planes.context import Context
from emu.planes.snp.vmsa import EFER_SVME, Vmsa
from jit import fpu_layout, layout

MXCSR_BITS = 0xFFFF
ORDER = ("cs", "ds", "es", "fs", "gs", "ss", "tr", "ldtr")      # of Context.segments
REGISTERS = {
    "star": layout.STAR, "lstar": layout.LSTAR, "cstar": layout.CSTAR, "sfmask": layout.SFMASK,
    "kernel_gs_base": layout.KERNEL_GS_BASE, "sysenter_cs": layout.SYSENTER_CS, "sysenter_esp": layout.SYSENTER_ESP,
    "sysenter_eip": layout.SYSENTER_EIP, "cr2": layout.CR2, "tsc_aux": layout.TSC_AUX, "dr6": layout.DR6,
    "dr7": layout.DR7, **{f"dr{n}": layout.DR + 8 * n for n in range(4)},
    **{name: layout.gpr(n) for n, name in enumerate(GPR_NAMES)},
}


def _segment(vmsa: Vmsa, name: str) -> SegmentRegister:
    packed = vmsa[f"{name}_attributes"]
    return SegmentRegister(selector=vmsa[f"{name}_selector"], base=vmsa[f"{name}_base"], limit=vmsa[f"{name}_limit"],
                           attributes=packed & 0xFF | (packed & 0xF00) << 4)


def parse(page: bytes) -> Context:
    """The context that 4096 bytes hold. XCR0 = 0, which no processor has, stands for its value after reset."""
    vmsa = Vmsa(bytearray(page))
    others = [(offset, vmsa[name]) for name, offset in REGISTERS.items()]
    others.append((layout.XCR0, vmsa["xcr0"] or 1))
    return Context(
        rip=vmsa["rip"], rsp=vmsa["rsp"], rflags=vmsa["rflags"],
        segments=tuple(_segment(vmsa, name) for name in ORDER),
        idtr=(vmsa["idtr_limit"], vmsa["idtr_base"]), gdtr=(vmsa["gdtr_limit"], vmsa["gdtr_base"]),
        efer=vmsa["efer"] & ~EFER_SVME, cr0=vmsa["cr0"], cr3=vmsa["cr3"], cr4=vmsa["cr4"], pat=vmsa["g_pat"],
        others=tuple(others))


def start_fpu(page: bytes, plane: Plane) -> None:
    """Give a plane its own x87 and vector state as the context has it; 0 stands for the value after FNINIT."""
    vmsa = Vmsa(bytearray(page))
    plane.init_fpu()
    plane.fpu_set(fpu_layout.FCW, vmsa["x87_fcw"] or fpu_layout.FCW_INIT)
    plane.fpu_set(fpu_layout.MXCSR, vmsa["mxcsr"] & MXCSR_BITS or fpu_layout.MXCSR_INIT)
