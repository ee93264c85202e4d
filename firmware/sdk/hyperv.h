/*
 * The guest's side of the Hyper-V interface that Virtual Secure Mode needs. Source: Hypervisor Top-Level
 * Functional Specification (TLFS): feature discovery, hypercall interface, Virtual Secure Mode.
 */
#pragma once
#include "types.h"

#define HV_MSR_GUEST_OS_ID 0x40000000u
#define HV_MSR_HYPERCALL 0x40000001u
#define HV_MSR_VP_ASSIST_PAGE 0x40000073u
#define HV_MSR_ENABLE 1ull /* bit 0 of the two page MSRs; the page number is in bits 63:12 */

/* CPUID 0x40000003 */
#define HV_EAX_SYNIC (1u << 2)
#define HV_EAX_HYPERCALL_MSRS (1u << 5)
#define HV_EBX_ACCESS_VSM (1u << 16)
#define HV_EBX_ACCESS_VP_REGISTERS (1u << 17)

#define HV_CALL_ENABLE_PARTITION_VTL 0x000Dull
#define HV_CALL_ENABLE_VP_VTL 0x000Full
#define HV_CALL_VTL_CALL 0x0011ull
#define HV_CALL_VTL_RETURN 0x0012ull
#define HV_CALL_GET_VP_REGISTERS 0x0050ull

#define HV_REG_VSM_CODE_PAGE_OFFSETS 0x000D0002u
#define HV_REG_VSM_VP_STATUS 0x000D0003u
#define HV_REG_VSM_PARTITION_STATUS 0x000D0004u
#define HV_REG_VSM_CAPABILITIES 0x000D0006u

#define HV_PARTITION_SELF (~0ull)
#define HV_VP_SELF 0xFFFFFFFEu

#define HV_ENTRY_VTL_CALL 1u
#define HV_ENTRY_INTERRUPT 2u

/* VP assist page: the VTL control part */
struct hv_vp_assist {
    u32 apic_assist, reserved;
    u32 entry_reason;
    u8 vina_status, reserved2[3];
    u64 return_rax, return_rcx; /* what a normal VTL return loads */
};

struct hv_segment {
    u64 base;
    u32 limit;
    u16 selector, attributes;
};

struct hv_table {
    u16 pad[3], limit;
    u64 base;
};

struct hv_initial_context {
    u64 rip, rsp, rflags;
    struct hv_segment cs, ds, es, fs, gs, ss, tr, ldtr;
    struct hv_table idtr, gdtr;
    u64 efer, cr0, cr3, cr4, pat;
};
_Static_assert(sizeof(struct hv_initial_context) == 224, "TLFS: 224 bytes");

struct hv_enable_partition_vtl {
    u64 partition;
    u8 vtl, flags, reserved[6];
};

struct hv_enable_vp_vtl {
    u64 partition;
    u32 vp;
    u8 vtl, reserved[3];
    struct hv_initial_context context;
};
_Static_assert(sizeof(struct hv_enable_vp_vtl) == 240, "TLFS: 240 bytes");

struct hv_get_vp_registers {
    u64 partition;
    u32 vp;
    u8 input_vtl, reserved[3]; /* 0: the caller's own VTL */
    u32 names[];
};
