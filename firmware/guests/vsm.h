/* What the files of the vsm_call guest share: both VTLs run from one image and one identity map. */
#pragma once
#include "hyperv.h"
#include "sdk.h"

/* Both VTLs map this address, each to memory of its own. */
#define PRIVATE_VIEW 0x8000000000ull
#define PRIVATE_MEMORY(vtl) (0x1000000ull + ((u64)(vtl) << 21))

#define STATUS_FLAGS_VTL0 (FLAG_CF | FLAG_FIXED | FLAG_AF | FLAG_SF | FLAG_DF | FLAG_ID)
#define STATUS_FLAGS_VTL1 (FLAG_FIXED | FLAG_PF | FLAG_ZF | FLAG_OF)

enum command { SERVE_NOTHING, SERVE_REGISTERS, SERVE_PRIVATE };

/* Order of the arrays that vsm_entry.S loads and stores. */
enum { RAX, RCX, RDX, RBX, RBP, RSI, RDI, R8, R9, R10, R11, R12, R13, R14, R15, GPRS };

struct register_file {
    u64 gpr[GPRS];
    u64 flags;
};

/* One VTL's end of the hypercall interface. */
struct vtl {
    u8 *hypercall_page, *input, *output;
    struct hv_vp_assist *assist;
    u64 guest_os_id;
};
extern struct vtl vtls[2];

/* Status and repetitions as the hypercall result value has them (TLFS, hypercall result value). */
u64 hypercall(struct vtl *v, u64 control, u64 input, u64 output);
/* Guest OS id and hypercall page of the active VTL; ends the run if the hypervisor refuses. */
void open_interface(struct vtl *v);
/* The low half of a VP register of the active VTL. */
u64 get_vp_register(struct vtl *v, u32 name);

/* vsm_private.c: every private register of the active VTL, by name. */
#define PRIVATE_MAX 48
unsigned private_count(void);
const char *private_name(unsigned i);
void private_set(unsigned vtl);
void private_read(u64 *values);
extern u64 private_kept[2][PRIVATE_MAX];
void private_compare(unsigned vtl, const char *when);

/* vsm_vtl1.c */
void vtl1_context(struct hv_initial_context *c);
extern volatile u32 vtl1_command;
extern volatile u64 vtl1_entries;
extern volatile bool vtl1_fast;
extern struct register_file vtl1_seen, vtl1_give;
extern u64 vtl1_seen_shared[5];

/* Shared registers beside the GPRs: CR2 and DR0-DR3. */
void read_shared(u64 values[5]);
void write_shared(const u64 values[5]);

/* vsm_entry.S */
extern u64 vtl0_call_stub, vtl1_return_stub, vtl1_control, vtl0_sp_before, vtl0_sp_after, vtl1_sp_seen;
void vtl_call_registers(const struct register_file *in, struct register_file *out);
void vtl1_start(void);
