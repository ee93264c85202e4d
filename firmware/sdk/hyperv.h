/*
 * The guest's side of the Hyper-V interface that Virtual Secure Mode needs. Source: Hypervisor Top-Level
 * Functional Specification (TLFS): feature discovery, hypercall interface, Virtual Secure Mode.
 */
#pragma once
#include "types.h"

#define HV_MSR_GUEST_OS_ID 0x40000000u
#define HV_MSR_HYPERCALL 0x40000001u
#define HV_MSR_TIME_REF_COUNT 0x40000020u
#define HV_MSR_REFERENCE_TSC 0x40000021u
#define HV_MSR_EOI 0x40000070u
#define HV_MSR_ICR 0x40000071u
#define HV_MSR_VP_ASSIST_PAGE 0x40000073u
#define HV_MSR_SCONTROL 0x40000080u
#define HV_MSR_SIMP 0x40000083u
#define HV_MSR_EOM 0x40000084u
#define HV_MSR_SINT0 0x40000090u
#define HV_MSR_STIMER0_CONFIG 0x400000B0u
#define HV_MSR_STIMER0_COUNT 0x400000B1u
#define HV_SINT_AUTO_EOI (1u << 17)
#define HV_STIMER_ENABLE 1ull
#define HV_STIMER_PERIODIC 2ull
#define HV_STIMER_DIRECT (1ull << 12)
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
#define HV_CALL_SEND_IPI 0x000Bull
#define HV_CALL_MODIFY_VTL_PROTECTION_MASK 0x000Cull
#define HV_CALL_GET_VP_REGISTERS 0x0050ull
#define HV_CALL_SET_VP_REGISTERS 0x0051ull
#define HV_CALL_INSTALL_INTERCEPT 0x004Dull
#define HV_CALL_REGISTER_INTERCEPT_RESULT 0x0091ull
#define HV_CALL_START_VIRTUAL_PROCESSOR 0x0099ull
#define HV_REP(n) ((u64)(n) << 32)
#define HV_STATUS_ACCESS_DENIED 6

#define HV_REG_VSM_CODE_PAGE_OFFSETS 0x000D0002u
#define HV_REG_VSM_VP_STATUS 0x000D0003u
#define HV_REG_VSM_PARTITION_STATUS 0x000D0004u
#define HV_REG_VSM_VINA 0x000D0005u
#define HV_REG_VSM_CAPABILITIES 0x000D0006u
#define HV_REG_VSM_PARTITION_CONFIG 0x000D0007u
#define HV_REG_GUEST_VSM_PARTITION_CONFIG 0x000D0008u
#define HV_REG_CR_INTERCEPT_CONTROL 0x000E0000u
#define HV_REG_CR_INTERCEPT_CR0_MASK 0x000E0001u
#define HV_REG_CR_INTERCEPT_CR4_MASK 0x000E0002u
#define HV_REG_PENDING_EVENT0 0x00010004u
#define HV_REG_INTERNAL_ACTIVITY_STATE 0x00000004u
#define HV_ACTIVITY_STARTUP_SUSPEND 1ull
#define HV_REG_RIP 0x00020010u
#define HV_REG_CR0 0x00040000u
#define HV_REG_CR3 0x00040002u
#define HV_REG_CR4 0x00040003u
#define HV_REG_CS 0x00060001u
#define HV_REG_IDTR 0x00070000u
#define HV_REG_LSTAR 0x00080009u

#define HV_CONFIG_PROTECT 0x3Full /* EnableVtlProtection, a default mask of everything, ZeroMemoryOnReset */
#define HV_CONFIG_DENY_STARTUP (1ull << 6)
#define HV_CONFIG_INTERCEPT_VP_STARTUP (1ull << 9)
#define HV_CONFIG_INTERCEPT_CPUID (1ull << 10)
#define HV_CONFIG_INTERCEPT_PAGE (1ull << 12)
#define HV_TARGET_VTL(n) (0x10 | (n)) /* HV_INPUT_VTL */
#define HV_MAP_READ 1u
#define HV_MAP_WRITE 2u
#define HV_MAP_EXECUTE 0xCu /* in kernel and user mode */
#define HV_EVENT_GP 0xD0101ull /* PendingEvent0: #GP(0) */

#define HV_MESSAGE_GPA 0x80000001u
#define HV_MESSAGE_TIMER 0x80000010u
#define HV_MESSAGE_IO_PORT 0x80010000u
#define HV_MESSAGE_MSR 0x80010001u
#define HV_MESSAGE_CPUID 0x80010002u
#define HV_MESSAGE_EXCEPTION 0x80010003u
#define HV_MESSAGE_REGISTER 0x80010006u

#define HV_PARTITION_SELF (~0ull)
#define HV_VP_SELF 0xFFFFFFFEu
#define HV_VP_ANY 0xFFFFFFFFu

#define HV_ENTRY_VTL_CALL 1u
#define HV_ENTRY_INTERRUPT 2u
#define HV_ENTRY_INTERCEPT 3u

/* VP assist page: the VTL control part */
struct hv_vp_assist {
    u32 apic_assist, reserved;
    u32 entry_reason;
    u8 vina_status, reserved2[3];
    u64 return_rax, return_rcx; /* what a normal VTL return loads */
    u8 other[0x50], message[256]; /* an intercept's */
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

struct hv_set_vp_registers {
    u64 partition;
    u32 vp;
    u8 input_vtl, reserved[3];
    struct {
        u32 name, reserved[3];
        u64 low, high;
    } element[1];
};

struct hv_modify_protection {
    u64 partition;
    u32 flags;
    u8 input_vtl, reserved[3];
    u64 page[1];
};

struct hv_send_ipi {
    u32 vector;
    u8 input_vtl, reserved[3];
    u64 vps;
};

#define HV_INTERCEPT_MSR 1u
#define HV_INTERCEPT_CPUID 2u
#define HV_INTERCEPT_EXCEPTION 3u
#define HV_INTERCEPT_IO_PORT_RANGE 0x11u
#define HV_ACCESS_READ 1u
#define HV_ACCESS_WRITE 2u
#define HV_ACCESS_EXECUTE 4u

struct hv_install_intercept {
    u64 partition;
    u32 access, type;
    u64 parameter;
};

struct hv_register_cpuid {
    u64 partition;
    u32 vp, type;
    u32 leaf, subleaf;
    u8 subleaf_specific, always;
    u16 zero;
    u32 result[8]; /* EAX, EBX, ECX, EDX, each with the mask of the bits that count */
};
_Static_assert(sizeof(struct hv_register_cpuid) == 64, "60 bytes, and what aligns it");

/* A message slot, with the payload of intercepts. */
struct hv_message {
    u32 type;
    u8 size, flags;
    u16 reserved;
    u64 origin;
    u32 vp;
    u8 length, access; /* 3:0 instruction length; 0 read, 1 write, 2 execute */
    u16 state;
    struct hv_segment cs;
    u64 rip, rflags;
    union {
        struct {
            u32 cache;
            u8 bytes, info, tpr, zero;
            u64 gva, gpa;
            u8 code[16];
            struct hv_segment ds, ss;
            u64 gpr[16];
        } memory;
        struct {
            u32 index, zero;
            u64 rdx, rax;
        } msr;
        struct {
            u32 flags, name;
            u64 low, high;
        } reg;
        struct {
            u64 rax, rcx, rdx, rbx, default_rax, default_rcx, default_rdx, default_rbx;
        } cpuid;
        struct {
            u16 port;
            u8 how, bytes; /* 2:0 size, 3 string instruction, 4 repeated */
            u32 zero;
            u64 rax;
        } port;
        struct {
            u16 vector;
            u8 info, bytes; /* 0 error code valid, 1 software exception */
            u32 error;
            u64 parameter;
        } exception;
        u8 rest[200];
    };
};
_Static_assert(sizeof(struct hv_message) == 256, "TLFS: 256 bytes");

struct hv_get_vp_registers {
    u64 partition;
    u32 vp;
    u8 input_vtl, reserved[3]; /* 0: the caller's own VTL */
    u32 names[];
};
