/* SEV-SNP: instructions, the GHCB and its MSR, the VMSA, and the SVSM's calling convention (APM vol. 2 §15.34-15.36;
 * GHCB specification 56421; SVSM specification 58019). */
#pragma once
#include "sdk.h"

#define PAGE 4096ull
#define LARGE_PAGE (2ull << 20)

#define V_VC 29
/* x2APIC registers, by MSR */
enum { X2_ID = 0x802, X2_TPR = 0x808, X2_PPR = 0x80A, X2_EOI = 0x80B, X2_LDR = 0x80D, X2_SVR = 0x80F, X2_ISR = 0x810,
       X2_TMR = 0x818, X2_IRR = 0x820, X2_ICR = 0x830, X2_LVT_TIMER = 0x832, X2_TIMER_INITIAL = 0x838,
       X2_TIMER_DIVIDE = 0x83E, X2_SELF_IPI = 0x83F };
#define X2_ENABLED 0xC00u               /* of IA32_APIC_BASE */
#define SVR_ENABLED 0x1FFu
#define MSR_GHCB 0xC0010130u
#define MSR_SEV_STATUS 0xC0010131u
#define SEV_STATUS_FEATURES_SHIFT 2
#define FEATURE_RESTRICTED (1ull << 3)
#define FEATURE_ALTERNATE (1ull << 4)

/* #VC error codes (APM vol. 2 appendix C) */
enum { VC_RDTSC = 0x6E, VC_CPUID = 0x72, VC_INVD = 0x76, VC_HLT = 0x78, VC_IOIO = 0x7B, VC_MSR = 0x7C, VC_VMMCALL = 0x81,
       VC_RDTSCP = 0x87, VC_WBINVD = 0x89, VC_VMGEXIT = 0x403, VC_NOT_VALIDATED = 0x404 };

/* Codes of PVALIDATE, RMPADJUST and RMPQUERY; UNCHANGED is ours, for PVALIDATE's carry. */
enum { SNP_OK = 0, SNP_FAIL_INPUT = 1, SNP_FAIL_PERMISSION = 2, SNP_FAIL_INUSE = 3, SNP_FAIL_SIZE = 6, SNP_UNCHANGED = 0x10 };

/* VMPL permission mask, and RMPADJUST's operand */
#define VMPL_R 1u
#define VMPL_W 2u
#define VMPL_XU 4u
#define VMPL_XS 8u
#define VMPL_ALL 0xFu
#define RMP_VMSA (1u << 16)

static inline void vmgexit(void) { asm volatile("rep; vmmcall" : : : "memory"); }

/* SNP_UNCHANGED: the page was in that state already. */
static inline u32 pvalidate(u64 va, bool large, bool validate)
{
    u32 rc;
    bool carry;
    asm volatile(".byte 0xF2, 0x0F, 0x01, 0xFF" : "=a"(rc), "=@ccc"(carry) : "a"(va), "c"(large), "d"(validate)
                 : "memory");
    return rc == SNP_OK && carry ? SNP_UNCHANGED : rc;
}

/* what: target VMPL | mask << 8 | RMP_VMSA */
static inline u32 rmpadjust(u64 va, bool large, u32 what)
{
    u32 rc;
    asm volatile(".byte 0xF3, 0x0F, 0x01, 0xFE" : "=a"(rc) : "a"(va), "c"(large), "d"(what) : "memory", "cc");
    return rc;
}

/* what: target VMPL in, | mask << 8 | RMP_VMSA out */
static inline u32 rmpquery(u64 va, u64 *what)
{
    u32 rc;
    u64 size;
    asm volatile(".byte 0xF3, 0x0F, 0x01, 0xFD" : "=a"(rc), "=c"(size), "+d"(*what) : "a"(va) : "memory", "cc");
    return rc;
}

/* Drops all translations of the guest on all its processors, and waits for that. */
static inline void flush_everything(void)
{
    asm volatile(".byte 0x0F, 0x01, 0xFE" : : "a"(1ull << 3), "c"(0), "d"(0) : "memory");
    asm volatile(".byte 0x0F, 0x01, 0xFF" : : : "memory");
}

/* GHCB MSR protocol: codes in bits 11:0 */
enum { GHCB_INFO_REQ = 0x002, GHCB_INFO_RESP = 0x001, GHCB_REGISTER_REQ = 0x012, GHCB_REGISTER_RESP = 0x013,
       GHCB_PSC_REQ = 0x014, GHCB_PSC_RESP = 0x015, GHCB_RUN_VMPL_REQ = 0x016, GHCB_RUN_VMPL_RESP = 0x017,
       GHCB_FEATURES_REQ = 0x080, GHCB_FEATURES_RESP = 0x081, GHCB_TERMINATE = 0x100 };
#define GHCB_CODE 0xFFFu
#define HV_SNP 1u
#define HV_AP_CREATION 2u
#define HV_RESTRICTED 4u
#define HV_MULTI_VMPL (1u << 5)
#define HV_EXTENDED (1u << 9)
enum { PSC_PRIVATE = 1, PSC_SHARED = 2 };

/* Termination: reason set and reasons of Linux, which everybody can read. */
enum { TERM_SET_LINUX = 1, TERM_REGISTER_GHCB = 0, TERM_PSC = 1, TERM_PVALIDATE = 2, TERM_NOT_VMPL0 = 3, TERM_SECRETS = 6,
       TERM_CA_REMAP = 11 };

/* GHCB exits besides those that are processor's exit codes too */
enum { NAE_PSC = 0x80000010, NAE_GUEST_REQUEST = 0x80000011, NAE_AP_CREATION = 0x80000013,
       NAE_HV_DOORBELL = 0x80000014, NAE_HV_IPI = 0x80000015, NAE_APIC_IDS = 0x80000017, NAE_RUN_VMPL = 0x80000018,
       NAE_CONFIGURE_INJECTION = 0x8000001B, NAE_DISABLE_INJECTION = 0x8000001C, NAE_SPECIFIC_EOI = 0x8000001D };
#define HV_DOORBELL_SET 1u
enum { AP_CREATE_ON_INIT = 0, AP_CREATE = 1, AP_DESTROY = 2 };

/* Offsets in the GHCB */
enum { G_CPL = 0x0CB, G_RAX = 0x1F8, G_RCX = 0x308, G_RDX = 0x310, G_RBX = 0x318, G_EXITCODE = 0x390, G_EXITINFO1 = 0x398,
       G_EXITINFO2 = 0x3A0, G_SCRATCH = 0x3A8, G_XCR0 = 0x3E8, G_VALID = 0x3F0, G_BUFFER = 0x800, G_VERSION = 0xFFA,
       G_USAGE = 0xFFC };
#define G_BUFFER_BYTES 0x7F0

struct segment {
    u16 selector, attributes;
    u32 limit;
    u64 base;
};

/* The fields of a VMSA that are used here, at their offsets (APM vol. 2 table B-4). */
struct vmsa {
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    u8 skip0[0x0CA - 0x0A0];
    u8 vmpl, cpl;
    u8 skip1[0x0D0 - 0x0CC];
    u64 efer;
    u8 skip2[0x148 - 0x0D8];
    u64 cr4, cr3, cr0, dr7, dr6, rflags, rip;
    u8 skip3[0x1D8 - 0x180];
    u64 rsp;
    u8 skip4[0x1F8 - 0x1E0];
    u64 rax;
    u8 skip5[0x268 - 0x200];
    u64 pat;
    u8 skip6[0x308 - 0x270];
    u64 rcx, rdx, rbx, reserved, rbp, rsi, rdi, r8, r9;
    u8 skip7[0x390 - 0x350];
    u64 exitinfo1, exitinfo2, exitintinfo, nrip, sev_features, vintr_ctrl, exitcode;
    u8 skip8[0x3E0 - 0x3C8];
    u64 eventinj, xcr0;
    u8 skip9[0x408 - 0x3F0];
    u32 mxcsr;
    u16 ftw, fsw, fcw;
    u8 skip10[0x1000 - 0x412];
};
_Static_assert(offsetof(struct vmsa, vmpl) == 0x0CA && offsetof(struct vmsa, cr4) == 0x148 &&
                   offsetof(struct vmsa, rsp) == 0x1D8 && offsetof(struct vmsa, pat) == 0x268 &&
                   offsetof(struct vmsa, r9) == 0x348 && offsetof(struct vmsa, exitcode) == 0x3C0 &&
                   offsetof(struct vmsa, xcr0) == 0x3E8 && offsetof(struct vmsa, fcw) == 0x410 &&
                   sizeof(struct vmsa) == 4096,
               "VMSA layout");
#define EFER_SVME (1ull << 12)
#define ATTR_CODE32 0xC9B
#define ATTR_CODE64 0xA9B
#define ATTR_DATA 0xC93

struct cpuid_page {
    u32 count, reserved[3];
    struct cpuid_entry {
        u32 function, subleaf;
        u64 xcr0, xss;
        u32 eax, ebx, ecx, edx;
        u64 reserved;
    } entry[64];
};

struct secrets_page {
    u32 version, flags, fms, reserved0;
    u8 gosvw[16];
    u8 vmpck[4][32];
    u8 guest_area[96], tweak[64];
    u64 svsm_base, svsm_size, svsm_caa;
    u32 svsm_max_version;
    u8 svsm_guest_vmpl, reserved1[3];
};

/* RAM, ascending; the last entry has no pages (IGVM's memory map). */
struct memory_map_entry {
    u64 page, pages;
    u16 type, flags;
    u32 reserved;
};

/* The calling area: its first bytes (SVSM §5.2). */
struct calling_area {
    volatile u8 call_pending, mem_available, no_eoi_required, reserved[5];
};

/* SVSM protocols, calls of protocols 3 and 0, and results (SVSM §4, §6) */
enum { SVSM_CORE = 0, SVSM_ATTEST = 1, SVSM_VTPM = 2, SVSM_APIC = 3 };
enum { APIC_QUERY, APIC_CONFIGURE, APIC_READ, APIC_WRITE, APIC_VECTOR };
enum { CORE_REMAP_CA, CORE_PVALIDATE, CORE_CREATE_VCPU, CORE_DELETE_VCPU, CORE_DEPOSIT_MEM, CORE_WITHDRAW_MEM,
       CORE_QUERY_PROTOCOL, CORE_CONFIGURE_VTOM };
#define SVSM_SUCCESS 0ull
#define SVSM_INCOMPLETE 0x80000000ull
#define SVSM_UNSUPPORTED_PROTOCOL 0x80000001ull
#define SVSM_UNSUPPORTED_CALL 0x80000002ull
#define SVSM_INVALID_ADDRESS 0x80000003ull
#define SVSM_INVALID_FORMAT 0x80000004ull
#define SVSM_INVALID_PARAMETER 0x80000005ull
#define SVSM_INVALID_REQUEST 0x80000006ull
#define SVSM_BUSY 0x80000007ull
#define SVSM_SNP_ERROR(rc) (0x80001000ull + (rc))

/* The list of PVALIDATE; DEPOSIT_MEM and WITHDRAW_MEM take the same with sizes alone. */
struct page_list {
    u16 count, next;
    u32 reserved;
    u64 entry[];
};
#define ENTRY_2M 1ull
#define ENTRY_SIZE 3ull
#define ENTRY_VALIDATE (1ull << 2)
#define ENTRY_IGNORE_CF (1ull << 3)
#define ENTRY_RESERVED 0xFF0ull
#define LIST_MAX(address) ((PAGE - ((address) & (PAGE - 1)) - 8) / 8)
