/* Opening the hypercall interface in a VTL, and the hypercalls that both VTLs make. */
#include "vsm.h"

static u8 pages[8][4096] ALIGNED(4096);

struct vtl vtls[2] = {
    {pages[0], pages[1], pages[2], (struct hv_vp_assist *)pages[3], 1ull << 63 | 0x10000},
    {pages[4], pages[5], pages[6], (struct hv_vp_assist *)pages[7], 1ull << 63 | 0x20000},
};

u64 hypercall(struct vtl *v, u64 control, u64 input, u64 output)
{
    u64 result;
    register u64 r8 asm("r8") = output;
    asm volatile("call *%[page]"
                 : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                 : [page] "r"(v->hypercall_page)
                 : "memory", "cc");
    return result;
}

void open_interface(struct vtl *v)
{
    wrmsr(HV_MSR_GUEST_OS_ID, v->guest_os_id);
    wrmsr(HV_MSR_HYPERCALL, (reg_t)v->hypercall_page | HV_MSR_ENABLE);
    if (!(rdmsr(HV_MSR_HYPERCALL) & HV_MSR_ENABLE)) {
        printf("FAIL: the hypercall page stays disabled\n");
        exit(EXIT_FAIL);
    }
    wrmsr(HV_MSR_VP_ASSIST_PAGE, (reg_t)v->assist | HV_MSR_ENABLE);
}

u64 get_vp_register(struct vtl *v, u32 name)
{
    struct hv_get_vp_registers *in = (void *)v->input;
    memset(v->input, 0, 4096);
    memset(v->output, 0xEE, 16);
    in->partition = HV_PARTITION_SELF;
    in->vp = HV_VP_SELF;
    in->names[0] = name;
    u64 result = hypercall(v, HV_CALL_GET_VP_REGISTERS | 1ull << 32, (reg_t)v->input, (reg_t)v->output);
    if (result != 1ull << 32) {
        printf("FAIL: GetVpRegisters(0x%x): result 0x%llx\n", name, result);
        exit(EXIT_FAIL);
    }
    u64 *value = (u64 *)v->output;
    CHECK(value[1] == 0, "register 0x%x: high half 0x%llx", name, value[1]);
    return value[0];
}

void read_shared(u64 values[5])
{
    values[0] = read_cr2();
    values[1] = read_dr0();
    values[2] = read_dr1();
    values[3] = read_dr2();
    values[4] = read_dr3();
}

void write_shared(const u64 values[5])
{
    write_cr2(values[0]);
    write_dr0(values[1]);
    write_dr1(values[2]);
    write_dr2(values[3]);
    write_dr3(values[4]);
}
