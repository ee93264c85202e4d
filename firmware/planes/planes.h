/* A runtime for guests with several KVM planes in one image: all share code, data and the identity map of the SDK. */
#pragma once
#include "sdk.h"

#define PLANES 4
#define PLANE_STACK 16384

/* CPUID 0x40000101 (docs/planes.md) */
#define ASK_CALL 1u   /* planes change by plane_call and plane_return */
#define ASK_RUN 2u    /* planes change by plane_run */
#define SHARE_GPR 1u
#define SHARE_DR 2u
#define SHARE_FPU 4u
struct plane_rules {
    u32 planes, how, marker, shares; /* marker: 1 + the plane that takes all events, or 0 */
};
extern struct plane_rules rules;

#define EAGAIN 11
#define EPERM 1
#define EINVAL 22

/* What a plane has at GS.base. */
struct plane {
    u64 number;
    void (*entry)(void);
    volatile u64 ticks;
};
extern struct plane planes[PLANES];

/* Ends the run with EXIT_SKIP where there are no planes, fewer than wanted, or shared general registers. */
void planes_open(const char *guest, unsigned wanted);

/* Gives this processor's plane something to run: entry, on a stack of its own, with interrupts off. 0 or -error. */
s64 plane_create(unsigned number, void (*entry)(void));

/* The hypercalls; they return when the plane that made them runs again. 0 or -error. */
s64 plane_call(void);
s64 plane_return(void);
s64 plane_run(unsigned number);
s64 plane_notices(void);
s64 plane_ipi(unsigned number, u8 vector);
s64 plane_hypercall(u64 number, u64 first, u64 second);

/* The plane that executes this. */
static inline struct plane *self(void)
{
    u64 number;
    asm volatile("movq %%gs:0, %0" : "=r"(number));
    return &planes[number];
}

/* Takes the interrupts that wait for this plane; interrupts are off before and after. */
static inline void take_interrupts(void) { asm volatile("sti; nop; nop; cli" : : : "memory"); }
