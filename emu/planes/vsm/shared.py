"""What the VTLs of a vCPU share and what each has for itself (TLFS, Virtual Secure Mode, "Virtual processor state
isolation": shared and private VTL state).

DR6 is private here, as VsmCapabilities.Dr6Shared = 0 says.
"""

from jit import layout

RSP = 4
SHARED = (
    (layout.gpr(0), RSP),                   # RAX RCX RDX RBX
    (layout.gpr(RSP + 1), 15 - RSP),        # RBP ... R15
    (layout.CR2, 1),
    (layout.DR, 4),
    (layout.XCR0, 1),
)

# Names of what a switch puts aside, for reports: the private registers. The local APIC is an instance per VTL.
PRIVATE = ("rip", "rsp", "rflags", "es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr", "gdtr", "idtr",
           "cr0", "cr3", "cr4", "cr8", "dr6", "dr7", "efer", "star", "lstar", "cstar", "sfmask", "kernel_gs_base",
           "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat", "tsc_aux", "tsc_offset", "pkrs", "ssp", "u_cet",
           "s_cet", "pl0_ssp", "pl3_ssp", "isst", "xss")
