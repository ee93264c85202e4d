/* A runtime for guests with several VTLs in one image: all share code, data and the identity map of the SDK. */
#pragma once
#include "hyperv.h"
#include "sdk.h"

#define VPS 4
#define VTLS 3
#define STACK_BYTES 16384

/* The shared general registers as a higher VTL finds them, and gives them back at its return. */
struct shared_registers {
    u64 r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
};

/* What a VTL has on one virtual processor; rt_entry.S knows the first three fields, at GS.base. */
struct vtl_vp {
    struct hv_vp_assist *assist;
    u64 return_stub;
    void (*entered)(struct shared_registers *);
    u32 vp, vtl;
    u64 call_stub;
    volatile u64 entries;
    u8 *hypercall_page, *input, *output, *messages;
};

/* Called in VTL `vtl` at each of its entries: `r` may be changed. The VTL's SynIC, assist page and hypercalls work. */
typedef void (*entry_handler)(struct shared_registers *r);

/* Ends the run with EXIT_SKIP where there is no VSM, or not up to max_vtl; opens VTL0's interface on VP 0. */
void vsm_open(const char *guest, unsigned max_vtl);
/* From VTL0 of VP 0: enables a VTL for the partition and for this processor, and lets it set itself up. */
void vsm_enable(unsigned vtl, entry_handler handler);
/* From a VTL that may: enables a VTL on another processor, which sets itself up when it is entered. */
u64 vsm_enable_on(u32 vp, unsigned vtl, entry_handler handler);
/* Status of StartVirtualProcessor of VTL0 on another processor at fn, in 64-bit mode, with interrupts off. */
u64 vsm_start(u32 vp, void (*fn)(void));
/* The initial context of a VTL on a processor: rip, on a stack of its own. */
void vsm_context(struct hv_initial_context *c, u32 vp, unsigned vtl, void (*rip)(void));

struct vtl_vp *vtl_vp(u32 vp, unsigned vtl);
/* The VTL and processor that execute this. */
struct vtl_vp *self(void);
/* VTL call with RDI, RSI and RDX, which come back. */
u64 vtl_call(u64 rdi, u64 rsi, u64 rdx);

/* A hypercall of the active VTL with `bytes` of input from its input page: the result value. */
u64 hv_call(u64 control, const void *in, u32 bytes);
u64 hv_status(u64 control, const void *in, u32 bytes);
/* Registers of a VTL by name; on a failure the guest ends. */
u64 hv_get(u32 name, u8 input_vtl);
u64 hv_get_of(u32 vp, u32 name, u8 input_vtl);
void hv_set(u32 name, u8 input_vtl, u64 value);
u64 hv_try_set(u32 vp, u32 name, u8 input_vtl, u64 value);
/* Status of ModifyVtlProtectionMask of one page for lower VTLs. */
u64 hv_protect(u64 gpa, u32 flags);

/* The message in a SINT of the active VTL, and taking it out: 0 when there is none. */
struct hv_message *message(unsigned sint);
void message_done(unsigned sint);
/* Unmasks a SINT of the active VTL. */
void sint_open(unsigned sint, u8 vector);

/* Opens the interface of the active VTL; GS.base is set. */
void open_interface(void);
/* Where a VTL above 0 starts. */
void rt_entry(void);
