/*
 * A guest over a paravisor that it need not know of, VTL2's vsm_paravisor (--policy ms-vtl2 --vtl2): what VTL2 hides from
 * it, and what it gives it by intercepting CPUID, MSRs, I/O ports and an exception. Ends with 38 without one.
 */
#include "paravisor.h"
#include "rt.h"

static volatile unsigned faults;

static void on_gp(struct trap_frame *f)
{
    faults++;
    f->ip = f->rbx; /* where the instruction ends */
}

static u32 kept(void) { return cpuid(LEAF_STATE, 0).ebx; }

static u64 negated(u64 value)
{
    asm volatile("ud2" : "+b"(value));
    return value;
}

static u64 doubled(u64 value)
{
    u64 rax = 0, rcx = HV_CALL_VTL_CALL, answer = 0;
    asm volatile("vmcall" : "+a"(rax), "+c"(rcx), "+S"(answer) : "D"(value) : "memory");
    return answer;
}

int main(void)
{
    trap_init();
    struct cpuid state = cpuid(LEAF_STATE, 0);
    if (state.eax != PRESENT) {
        printf("vsm_beneath: needs a paravisor: --policy ms-vtl2 --vtl2 build/vsm_paravisor.elf\n");
        exit(EXIT_SKIP);
    }
    set_handler(V_GP, on_gp);
    CHECK(!(cpuid(0x40000003, 0).ebx & HV_EBX_ACCESS_VSM), "VTL0 may use VSM");
    struct cpuid result = cpuid(LEAF_RESULT, 0);
    CHECK(result.eax == RESULT && result.ebx == RESULT && result.ecx == RESULT && result.edx == RESULT, "a result");
    CHECK(cpuid(LEAF_STATE + 1, 0).eax == 0, "a leaf that nobody has");
    for (u32 msr = 0xC0011F00; msr < 0xC0011F10; msr++)
        CHECK(rdmsr(msr) == (msr ^ MSR_ANSWER), "MSR 0x%x: 0x%llx", msr, rdmsr(msr));
    wrmsr(0xC0011F00, 0x12345678);
    CHECK(kept() == 0x12345678, "a written MSR: 0x%x", kept());
    for (u16 port = PORT; port < PORT + PORTS; port++)
        CHECK(inb(port) == (port & 0xFF), "port 0x%x: 0x%x", port, inb(port));
    outb(PORT + 3, 0x5A);
    CHECK(kept() == 0x5A, "a written port: 0x%x", kept());
    CHECK(negated(5) == ~5ull, "an instruction of the paravisor's");
    CHECK(doubled(21) == 42, "a VTL call");
    u64 value = 7;
    asm volatile("leaq 1f(%%rip), %%rbx; movq (%1), %0; 1:" : "+r"(value) : "r"((u64)state.edx) : "rbx", "memory");
    CHECK(value == 7 && faults == 1, "VTL2's memory: %u faults", faults);
    CHECK(cpuid(LEAF_STATE, 0).ecx > state.ecx + 40, "%u intercepts", cpuid(LEAF_STATE, 0).ecx - state.ecx);
    return check_report("vsm_beneath");
}
