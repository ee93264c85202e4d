/*
 * Hyper-V VSM end to end: VTL0 enables VTL1, calls it, and both check that what the TLFS calls shared passes
 * through and what it calls private does not; then 1,000 round trips are timed. Ends with 38 where the
 * hypervisor offers no VSM.
 */
#include "vsm.h"

#define CALLS 1000

extern u64 boot_pml4[];
static u64 pdpt[512] ALIGNED(4096), pd[512] ALIGNED(4096);
static u64 ticks[CALLS];

static void __attribute__((noreturn)) skip(const char *why)
{
    printf("vsm_call: skipped: %s\n", why);
    exit(EXIT_SKIP);
}

static void discover(void)
{
    if (!(CPUID_REG(1, 0, ecx) & 1u << 31))
        skip("CPUID.1:ECX.31 is 0: no hypervisor");
    struct cpuid max = cpuid(0x40000000, 0);
    if (max.ebx != 0x7263694D || max.ecx != 0x666F736F || max.edx != 0x76482074)
        skip("CPUID 0x40000000 does not say \"Microsoft Hv\"");
    if (max.eax < 0x40000005 || cpuid(0x40000001, 0).eax != 0x31237648)
        skip("CPUID 0x40000001 does not say \"Hv#1\", or leaf 0x40000005 is missing");
    struct cpuid f = cpuid(0x40000003, 0);
    printf("Hyper-V leaves up to 0x%x; privileges 0x%08x%08x\n", max.eax, f.ebx, f.eax);
    if (!(f.eax & HV_EAX_HYPERCALL_MSRS))
        skip("CPUID 0x40000003:EAX.5 is 0: no hypercall MSRs");
    if (!(f.eax & HV_EAX_SYNIC) || !(f.ebx & HV_EBX_ACCESS_VSM) || !(f.ebx & HV_EBX_ACCESS_VP_REGISTERS))
        skip("CPUID 0x40000003 does not offer VSM (EAX.2, EBX.16 and EBX.17)");
}

static void simple_call(struct vtl *v, u64 code, const char *name)
{
    u64 result = hypercall(v, code, (reg_t)v->input, 0);
    printf("%s: result 0x%llx\n", name, result);
    if (!CHECK(result == 0, "%s failed", name))
        exit(EXIT_FAIL);
}

static void enable_vtl1(struct vtl *v)
{
    u64 status = get_vp_register(v, HV_REG_VSM_PARTITION_STATUS);
    if ((status >> 16 & 0xF) < 1)
        skip("VsmPartitionStatus.MaximumVtl is 0");
    u64 offsets = get_vp_register(v, HV_REG_VSM_CODE_PAGE_OFFSETS);
    printf("VsmCapabilities 0x%llx, VsmPartitionStatus 0x%llx, VsmCodePageOffsets 0x%llx\n",
           get_vp_register(v, HV_REG_VSM_CAPABILITIES), status, offsets);
    CHECK((status & 0xFFFF) == 1, "VTLs enabled before any was: 0x%llx", status);
    vtl0_call_stub = (reg_t)v->hypercall_page + (offsets & 0xFFF);

    memset(v->input, 0, 4096);
    *(struct hv_enable_partition_vtl *)v->input = (struct hv_enable_partition_vtl){HV_PARTITION_SELF, 1, 0, {0}};
    simple_call(v, HV_CALL_ENABLE_PARTITION_VTL, "EnablePartitionVtl(1)");
    status = get_vp_register(v, HV_REG_VSM_PARTITION_STATUS);
    CHECK((status & 0xFFFF) == 3, "VsmPartitionStatus 0x%llx", status);
    status = get_vp_register(v, HV_REG_VSM_VP_STATUS);
    CHECK(status >> 16 == 1, "VsmVpStatus 0x%llx: the VP changed with the partition", status);

    struct hv_enable_vp_vtl *in = (void *)v->input;
    memset(in, 0, 4096);
    in->partition = HV_PARTITION_SELF;
    in->vp = HV_VP_SELF;
    in->vtl = 1;
    vtl1_context(&in->context);
    simple_call(v, HV_CALL_ENABLE_VP_VTL, "EnableVpVtl(1)");
    status = get_vp_register(v, HV_REG_VSM_VP_STATUS);
    CHECK((status & 0xF) == 0 && status >> 16 == 3, "VsmVpStatus 0x%llx", status);
}

/* An own view of PRIVATE_VIEW, so that a translation kept from the other VTL shows. */
static void map_private_memory(void)
{
    boot_pml4[1] = (reg_t)pdpt | 7;
    pdpt[0] = (reg_t)pd | 7;
    pd[0] = PRIVATE_MEMORY(0) | 0x87;
}

static void call(enum command what)
{
    struct register_file in = {.flags = FLAG_FIXED}, out;
    vtl1_command = what;
    vtl_call_registers(&in, &out);
}

static void check_private(void)
{
    printf("private registers: %u and RIP, RSP, RFLAGS\n", private_count());
    private_compare(0, "after VTL1's first entry");
    for (unsigned i = 0; i < private_count(); i++)
        CHECK(private_kept[0][i] != private_kept[1][i], "%s is 0x%llx in both VTLs: it is not private", private_name(i),
              private_kept[0][i]);
    for (int round = 0; round < 3; round++) {
        call(SERVE_PRIVATE);
        private_compare(0, "after a VTL call");
    }
}

static void check_shared(bool fast)
{
    static const char *const gpr_names[GPRS] = {"RAX", "RCX", "RDX", "RBX", "RBP", "RSI", "RDI", "R8",
                                                "R9",  "R10", "R11", "R12", "R13", "R14", "R15"};
    static const char *const shared_names[5] = {"CR2", "DR0", "DR1", "DR2", "DR3"};
    printf("shared registers, %s return\n", fast ? "fast" : "normal");
    vtl1_fast = fast;
    u64 seed = 0x123456789ABCDEF;
    for (int round = 0; round < 20; round++) {
        struct register_file in, out;
        u64 shared[5], after[5];
        for (int i = 0; i < GPRS; i++)
            in.gpr[i] = seed = seed * 6364136223846793005 + 1442695040888963407;
        for (int i = 0; i < 5; i++)
            shared[i] = (seed = seed * 6364136223846793005 + 1442695040888963407) >> 18; /* canonical */
        in.flags = STATUS_FLAGS_VTL0;
        write_shared(shared);
        vtl1_command = SERVE_REGISTERS;
        vtl_call_registers(&in, &out);
        read_shared(after);

        /* The stub moves the control value 0 to RAX and the call code to RCX. */
        in.gpr[RAX] = 0;
        in.gpr[RCX] = HV_CALL_VTL_CALL;
        for (int i = 0; i < GPRS; i++)
            CHECK(vtl1_seen.gpr[i] == in.gpr[i], "VTL1 saw %s 0x%llx, not 0x%llx", gpr_names[i], vtl1_seen.gpr[i],
                  in.gpr[i]);
        for (int i = RDX; i < GPRS; i++)
            CHECK(out.gpr[i] == vtl1_give.gpr[i], "VTL0 got %s 0x%llx, not 0x%llx", gpr_names[i], out.gpr[i],
                  vtl1_give.gpr[i]);
        u64 rax = fast ? 1 : vtls[1].assist->return_rax, rcx = fast ? HV_CALL_VTL_RETURN : vtls[1].assist->return_rcx;
        CHECK(out.gpr[RAX] == rax, "RAX 0x%llx, not 0x%llx", out.gpr[RAX], rax);
        CHECK(out.gpr[RCX] == rcx, "RCX 0x%llx, not 0x%llx", out.gpr[RCX], rcx);
        for (int i = 0; i < 5; i++) {
            CHECK(vtl1_seen_shared[i] == shared[i], "VTL1 saw %s 0x%llx, not 0x%llx", shared_names[i],
                  vtl1_seen_shared[i], shared[i]);
            CHECK(after[i] == ~shared[i], "VTL0 got %s 0x%llx, not 0x%llx", shared_names[i], after[i], ~shared[i]);
        }
        CHECK(out.flags == STATUS_FLAGS_VTL0, "VTL0's RFLAGS 0x%llx", out.flags);
        CHECK(vtl0_sp_after == vtl0_sp_before, "VTL0's RSP 0x%llx, not 0x%llx", vtl0_sp_after, vtl0_sp_before);
    }
}

static void measure(void)
{
    vtl1_command = SERVE_NOTHING;
    u64 entries = vtl1_entries;
    for (int i = 0; i < CALLS; i++) {
        u64 start = rdtsc();
        asm volatile("xorl %%ecx, %%ecx; call *vtl0_call_stub" : : : "rax", "rcx", "memory", "cc");
        ticks[i] = rdtsc() - start;
    }
    CHECK(vtl1_entries - entries == CALLS, "VTL1 was entered %llu times", vtl1_entries - entries);
    for (unsigned gap = CALLS / 2; gap; gap /= 2)
        for (unsigned i = gap; i < CALLS; i++)
            for (unsigned j = i; j >= gap && ticks[j] < ticks[j - gap]; j -= gap) {
                u64 t = ticks[j];
                ticks[j] = ticks[j - gap];
                ticks[j - gap] = t;
            }
    printf("VTL call and return, %u times, TSC ticks: min %llu median %llu max %llu\n", CALLS, ticks[0],
           ticks[CALLS / 2], ticks[CALLS - 1]);
}

int main(void)
{
    discover();
    trap_init();
    map_private_memory();
    open_interface(&vtls[0]);
    enable_vtl1(&vtls[0]);
    private_set(0);
    private_read(private_kept[0]);
    call(SERVE_NOTHING); /* starts VTL1 at its initial context */
    check_private();
    check_shared(true);
    check_shared(false);
    measure();
    return check_report("vsm_call");
}
