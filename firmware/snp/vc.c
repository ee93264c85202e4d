#include "rt.h"
#include "vc.h"

#define IOIO_IN 1u
#define IOIO_ADDRESS_64 (1u << 9)
#define EXCEPTION 1u                /* SW_EXITINFO1: the hypervisor wants one raised */
#define EVENT_ERROR_VALID (1u << 11)
#define EVENT_EXCEPTION (1u << 31 | 3u << 8)

static void set_low(u64 *reg, u64 value, unsigned bytes)
{
    u64 mask = bytes == 4 ? ~0ull : (1ull << 8 * bytes) - 1; /* a 32-bit result clears the upper half */
    *reg = (*reg & ~mask) | (value & (bytes == 4 ? 0xFFFFFFFFull : mask));
}

static void fault(struct trap_frame *f, unsigned vector, u64 error)
{
    f->vector = vector;
    f->error = error;
    probe_handler(f);
}

/* Ends a request: false if the hypervisor asked for an exception, which is raised. */
static bool answered(struct trap_frame *f, u32 info1)
{
    u64 event = ghcb_get(G_EXITINFO2);
    u8 vector = (u8)event;
    if (info1 == 0)
        return true;
    /* Only #UD and #GP make sense; anything else is an attack or a bug. */
    if (info1 == EXCEPTION && ((u32)event & ~(0xFFu | EVENT_ERROR_VALID)) == EVENT_EXCEPTION &&
        (vector == V_UD || vector == V_GP))
        fault(f, vector, event & EVENT_ERROR_VALID ? event >> 32 : 0);
    else
        terminate(0, 0);
    return false;
}

static void vc_cpuid(struct trap_frame *f)
{
    u32 function = (u32)f->rax, subleaf = (u32)f->rcx;
    const struct cpuid_entry *found = 0;
    for (u32 i = 0; i < snp_cpuid_page.count; i++) {
        const struct cpuid_entry *e = &snp_cpuid_page.entry[i];
        if (e->function == function && (e->subleaf == subleaf || (!found && !e->subleaf)))
            found = e;
    }
    /* A subleaf that is not listed is not there, for those functions that have subleaves. */
    bool indexed = function == 4 || function == 7 || function == 0xB || function == 0xD || function == 0x8000001D;
    if (found && indexed && found->subleaf != subleaf)
        found = 0;
    f->rax = found ? found->eax : 0;
    f->rbx = found ? found->ebx : 0;
    f->rcx = found ? found->ecx : 0;
    f->rdx = found ? found->edx : 0;
    f->ip += 2;
}

static void vc_ioio(struct trap_frame *f)
{
    const u8 *code = (const u8 *)f->ip;
    unsigned length = 0, bytes = 4;
    if (code[0] == 0x66) {
        bytes = 2;
        length = 1;
    }
    u8 op = code[length++];
    bool in = !(op & 2), immediate = op >= 0xE4 && op <= 0xE7;
    if (!immediate && (op < 0xEC || op > 0xEF))
        terminate(0, 0);
    u16 port = immediate ? code[length++] : (u16)f->rdx;
    if (!(op & 1))
        bytes = 1;
    ghcb_begin();
    u64 value = bytes == 4 ? (u32)f->rax : f->rax & ((1ull << 8 * bytes) - 1);
    ghcb_set(G_RAX, in ? 0 : value);
    u32 info1 = ghcb_end(VC_IOIO, (u64)port << 16 | bytes << 4 | IOIO_ADDRESS_64 | (in ? IOIO_IN : 0), 0);
    if (!answered(f, info1))
        return;
    if (in)
        set_low(&f->rax, ghcb_get(G_RAX), bytes);
    f->ip += length;
}

static void vc_msr(struct trap_frame *f)
{
    bool write = ((const u8 *)f->ip)[1] == 0x30;
    ghcb_begin();
    ghcb_set(G_RCX, f->rcx);
    if (write) {
        ghcb_set(G_RAX, f->rax);
        ghcb_set(G_RDX, f->rdx);
    }
    if (!answered(f, ghcb_end(VC_MSR, write, 0)))
        return;
    if (!write) {
        f->rax = (u32)ghcb_get(G_RAX);
        f->rdx = (u32)ghcb_get(G_RDX);
    }
    f->ip += 2;
}

static void vc_tsc(struct trap_frame *f, unsigned length)
{
    ghcb_begin();
    if (!answered(f, ghcb_end(f->error, 0, 0)))
        return;
    f->rax = (u32)ghcb_get(G_RAX);
    f->rdx = (u32)ghcb_get(G_RDX);
    if (f->error == VC_RDTSCP)
        f->rcx = (u32)ghcb_get(G_RCX);
    f->ip += length;
}

static void vc_vmmcall(struct trap_frame *f)
{
    ghcb_begin();
    ghcb_set(G_RAX, f->rax);
    ghcb_set(G_CPL, f->cs & 3);
    if (!answered(f, ghcb_end(VC_VMMCALL, 0, 0)))
        return;
    f->rax = ghcb_get(G_RAX);
    f->ip += 3;
}

void vc_handler(struct trap_frame *f)
{
    if (f->error == VC_CPUID) {
        vc_cpuid(f);
        return;
    }
    if (!this_processor()->ghcb && f->error != VC_NOT_VALIDATED)
        terminate(0, 0); /* too early: nobody could be told */
    switch (f->error) {
    case VC_IOIO:
        vc_ioio(f);
        break;
    case VC_MSR:
        vc_msr(f);
        break;
    case VC_RDTSC:
        vc_tsc(f, 2);
        break;
    case VC_RDTSCP:
        vc_tsc(f, 3);
        break;
    case VC_VMMCALL:
        vc_vmmcall(f);
        break;
    case VC_INVD:
    case VC_WBINVD:
        ghcb_begin();
        if (answered(f, ghcb_end(f->error, 0, 0)))
            f->ip += 2;
        break;
    default:
        probe_handler(f);
    }
}
