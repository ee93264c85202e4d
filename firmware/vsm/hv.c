/* What a VTL asks of the hypervisor, and its SynIC messages: position-independent. */
#include "rt.h"

struct vtl_vp *self(void) { return (struct vtl_vp *)rdmsr(MSR_GS_BASE); }

/* Opens the interface of the active VTL; GS.base is set. */
void open_interface(void)
{
    struct vtl_vp *v = self();
    wrmsr(HV_MSR_GUEST_OS_ID, 1ull << 63 | (u64)(v->vtl + 1) << 16);
    wrmsr(HV_MSR_HYPERCALL, (reg_t)v->hypercall_page | HV_MSR_ENABLE);
    wrmsr(HV_MSR_VP_ASSIST_PAGE, (reg_t)v->assist | HV_MSR_ENABLE);
    wrmsr(HV_MSR_SIMP, (reg_t)v->messages | HV_MSR_ENABLE);
    wrmsr(HV_MSR_SCONTROL, 1);
    if (!(rdmsr(HV_MSR_HYPERCALL) & HV_MSR_ENABLE)) {
        printf("FAIL: the hypercall page stays disabled\n");
        exit(EXIT_FAIL);
    }
    u64 offsets = hv_get(HV_REG_VSM_CODE_PAGE_OFFSETS, 0);
    v->call_stub = (reg_t)v->hypercall_page + (offsets & 0xFFF);
    v->return_stub = (reg_t)v->hypercall_page + (offsets >> 12 & 0xFFF);
}

/* Called by rt_entry.S when a VTL is entered for the first time. */
void rt_first(void)
{
    open_interface();
    if (self()->entered)
        self()->entered(0);
}

u64 hv_call(u64 control, const void *in, u32 bytes)
{
    struct vtl_vp *v = self();
    u64 result, input = (reg_t)v->input;
    if (bytes)
        memcpy(v->input, in, bytes);
    register u64 r8 asm("r8") = (reg_t)v->output;
    asm volatile("call *%[page]"
                 : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                 : [page] "r"(v->hypercall_page)
                 : "memory", "cc");
    return result;
}

u64 hv_status(u64 control, const void *in, u32 bytes) { return hv_call(control, in, bytes) & 0xFFFF; }

static void must(u64 result, const char *what, u32 name)
{
    if (result != 1ull << 32) {
        printf("FAIL: VTL%u: %s(0x%x): result 0x%llx\n", self()->vtl, what, name, result);
        exit(EXIT_FAIL);
    }
}

u64 hv_get_of(u32 vp, u32 name, u8 input_vtl)
{
    struct {
        struct hv_get_vp_registers head;
        u32 name;
    } in = {{HV_PARTITION_SELF, vp, input_vtl, {0}}, name};
    must(hv_call(HV_CALL_GET_VP_REGISTERS | HV_REP(1), &in, 20), "GetVpRegisters", name);
    return *(u64 *)self()->output;
}

u64 hv_get(u32 name, u8 input_vtl) { return hv_get_of(HV_VP_SELF, name, input_vtl); }

u64 hv_try_set(u32 vp, u32 name, u8 input_vtl, u64 value)
{
    struct hv_set_vp_registers in = {HV_PARTITION_SELF, vp, input_vtl, {0}, {{name, {0}, value, 0}}};
    return hv_call(HV_CALL_SET_VP_REGISTERS | HV_REP(1), &in, sizeof in);
}

void hv_set(u32 name, u8 input_vtl, u64 value)
{
    must(hv_try_set(HV_VP_SELF, name, input_vtl, value), "SetVpRegisters", name);
}

u64 hv_protect(u64 gpa, u32 flags)
{
    struct hv_modify_protection in = {HV_PARTITION_SELF, flags, 0, {0}, {gpa >> 12}};
    return hv_status(HV_CALL_MODIFY_VTL_PROTECTION_MASK | HV_REP(1), &in, sizeof in);
}

struct hv_message *message(unsigned sint)
{
    struct hv_message *m = (struct hv_message *)self()->messages + sint;
    return m->type ? m : 0;
}

void message_done(unsigned sint)
{
    struct hv_message *m = (struct hv_message *)self()->messages + sint;
    m->type = 0;
    mfence();
    if (m->flags & 1)
        wrmsr(HV_MSR_EOM, 0);
}

void sint_open(unsigned sint, u8 vector) { wrmsr(HV_MSR_SINT0 + sint, HV_SINT_AUTO_EOI | vector); }
