/* A runtime for SNP guests of any VMPL: #VC through the GHCB, shared pages, calls to an SVSM. Memory is mapped one to
 * one and private; its first GiB is mapped once more, shared, at SHARED. */
#pragma once
#include "snp.h"

#define SHARED (1ull << 39)
#define STACK_BYTES 16384

/* What a processor has; a pointer to it stands at the lowest address of its stack. */
struct processor {
    u32 index, apic_id;
    u8 *ghcb; /* private address of its GHCB, which is shared; 0 until there is one */
};

extern struct cpuid_page snp_cpuid_page;
extern struct secrets_page snp_secrets_page;
extern struct memory_map_entry snp_memory_map[];
extern struct calling_area snp_calling_area;    /* of the first processor, when it starts */
extern char snp_command_line[PAGE];
extern u64 c_bit_mask;                          /* 0: this is no SNP guest */
extern u8 image_start[], image_end[];
extern u64 boot_pml4[];
extern u8 boot_stack[];                         /* STACK_BYTES, aligned to that */

struct processor *this_processor(void);
/* Ends the run with EXIT_SKIP where there is no SNP; then IDT, #VC and the GHCB of the first processor work. */
void snp_open(const char *guest);
/* The same for another one, which has a stack of its own and a GHCB that is shared already. */
void snp_open_processor(void);
/* VMPL as the secrets page has it: 0 without an SVSM. */
unsigned my_vmpl(void);

void zero(u64 gpa, u64 bytes); /* whole pages, fast */
void *shared(void *page);
/* One page; at lower VMPLs the SVSM is asked. Its contents are lost. False: refused. */
bool make_shared(void *page);
bool make_private(void *page);

/* The MSR protocol: writes a request, gives the answer. The MSR is the GHCB's address again afterwards. */
u64 msr_protocol(u64 request);
void terminate(unsigned set, unsigned reason) __attribute__((noreturn));

/* A request through the GHCB: begin, set fields, end with exit code and operands; then fields of the answer. */
void ghcb_begin(void);
void ghcb_set(unsigned offset, u64 value);
u64 ghcb_get(unsigned offset);
u8 *ghcb_buffer(void);
/* SW_EXITINFO1 bits 31:0 */
u32 ghcb_end(u64 code, u64 info1, u64 info2);

/* A state change of count pages of 4 KiB or of large ones, through the GHCB's list. Ends the guest if it fails. */
void page_state_change(u64 gpa, u64 count, bool large, unsigned operation);

/* A call to the SVSM: registers in and out; the result, or SVSM_NOT_SERVICED. */
struct svsm_call {
    u64 rcx, rdx, r8, r9;
};
#define SVSM_NOT_SERVICED ~0ull
u64 svsm_call(u32 protocol, u32 call, struct svsm_call *registers);
/* Where this processor's calls are read: told to the SVSM by the caller. */
void set_calling_area(struct calling_area *area);

/* The SVSM gives out this guest's interrupts: alternate injection. */
bool svsm_interrupts(void);

bool command_line_has(const char *word);
