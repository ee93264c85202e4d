/*
 * Loops around switches of KVM planes, for `strata bench switch`. Plane 0 prepares what all planes use and tells the VMM
 * with hypercall READY; the VMM gives each plane the registers to start with, and the words below.
 */
#include "paths.h"

#define READY 0x100
#define PLANE_VECTOR 0x62
#define STACK_BYTES 4096

/* RAX and RBX of the hypercall with which the client asks for the service, and of the one with which that answers. */
volatile u64 ask_code, ask_plane, answer_code, answer_plane;
u8 plane_stacks[4][STACK_BYTES] ALIGNED(16);
void (*volatile service)(void);

extern const char on_plane[];

static void __attribute__((noreturn)) no_vmm(struct trap_frame *f)
{
    (void)f;
    printf("kvm_switch: skipped: no VMM with planes here (strata bench switch --planes kvm)\n");
    exit(EXIT_SKIP);
}

int main(void)
{
    trap_init();
    set_handler(V_UD, no_vmm);
    no_other_interrupts();
    enable_vector_state();
    short_gate(PLANE_VECTOR, on_plane);
    asm volatile("vmcall" : : "a"((u64)READY), "b"(plane_stacks) : "memory");
    no_vmm(0);
}
