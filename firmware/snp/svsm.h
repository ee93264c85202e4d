/* A small SVSM: VMPL0 accepts memory, starts a guest at VMPL2 and serves its calls (SVSM specification 58019). */
#pragma once
#include "rt.h"

#define GUEST_VMPL 2u
#define VCPUS 8

/* The guest's local APIC. isr is a stack, the highest vector last; posted is for other processors to write. */
struct apic {
    bool active, changed, nmi, injected, queued;
    u32 irr[8], tmr[8], allowed[8];
    volatile u32 posted[8];
    volatile u8 posted_nmi;
    u8 isr[16];
    unsigned in_service;
    u64 icr;
};

struct vcpu {
    struct processor processor;
    struct vmsa *own;                   /* VMPL0's VMSA; the first processor's is not in guest memory */
    struct vmsa *volatile guest;        /* the VMSA at GUEST_VMPL that runs here; 0: none */
    struct calling_area *volatile area;
    u8 *doorbell;                       /* shared; 0: VMPL0 takes interrupts as any processor does */
    struct apic apic;
};
extern struct vcpu vcpus[VCPUS];
extern u32 vcpu_count;

/* svsm_memory.c */
void memory_accept(void);                               /* all RAM but the SVSM's becomes the guest's */
bool guest_memory(u64 gpa, u64 bytes);                  /* lies in the guest's part of RAM */
bool guest_touch(u64 gpa);                              /* the page can be read: it is the guest's, and accepted */
u32 guest_grant(u64 gpa, bool large, u32 mask);         /* rc of RMPADJUST for GUEST_VMPL; faults become FAIL_INPUT */
u32 guest_validate(u64 gpa, bool large, bool validate); /* rc of PVALIDATE, likewise */
u32 set_vmsa(u64 gpa, bool vmsa);
void *svsm_page(void);                                  /* a zeroed page of the SVSM's own, not 2 MiB aligned */

/* svsm_vcpu.c */
void vcpus_find(void);
struct vcpu *vcpu_of(u32 apic_id);
struct vcpu *vcpu_with_vmsa(u64 gpa);
bool page_in_use(u64 gpa);              /* as a VMSA or a calling area */
void vcpu_start(struct vcpu *v);        /* VMPL0 of another processor */
void vcpu_run(struct vcpu *v) __attribute__((noreturn));
void vcpu_guest_vmsa(struct vmsa *v, u32 entry);
void vcpu_stop_guest(struct vmsa *v);   /* EFER.SVME is 0, and it does not run */
u64 sev_features(void);

/* svsm_apic.c: the guest's interrupts, if VMPL0 has restricted injection and the hypervisor tells it of the guest's */
void apic_find(u64 hypervisor);         /* its features */
bool apic_offered(void);
void apic_open(struct vcpu *v);
bool apic_run_guest(struct vcpu *v);    /* until something is to be done; false: the hypervisor does not know its VMSA */
void apic_present(struct vcpu *v);      /* write what the guest is to take into its VMSA, which does not run */
void apic_forget(struct vcpu *v);       /* the guest's processor is gone */

/* Results are written into the caller's VMSA; each gives what goes into RAX. */
u64 core_call(struct vcpu *v, u32 call, struct vmsa *r);
u64 attest_call(u32 call, struct vmsa *r);
u64 vtpm_call(u32 call, struct vmsa *r);
u64 apic_call(struct vcpu *v, u32 call, struct vmsa *r);

/* guest_request.c: a sealed message to the firmware and its answer; false: none came, and none will any more */
void guest_request_open(void);
bool guest_request(u8 type, const void *message, u32 bytes, void *answer, u32 answer_bytes);
