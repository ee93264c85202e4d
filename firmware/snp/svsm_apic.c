/* The guest's interrupts, where the SVSM gives them out: VMPL0 takes #HV alone, the guest what its VMSA says (restricted
 * and alternate injection, APM vol. 2 §15.36.16; GHCB §5). */
#include "svsm_apic.h"

#define V_HV 28
#define BELL_VECTOR 0
#define BELL_FLAGS 1
#define BELL_EVENTS 3
#define NO_FURTHER_SIGNAL 0x80u
#define GUEST_EVENT (1u << (GUEST_VMPL - 1))
#define EVENT_VALID (1ull << 31)
#define V_IRQ (1ull << 8)
#define V_NMI (1ull << 11)
#define V_NMI_ENABLE (1ull << 26)
#define V_PRIORITY_SHIFT 16
#define V_VECTOR_SHIFT 32
#define V_REQUEST (V_IRQ | 0xFull << V_PRIORITY_SHIFT | 0xFFull << V_VECTOR_SHIFT)

static bool offered;

bool apic_offered(void) { return offered; }

/* #HV tells that there is something in the doorbell page. Where it comes between the last look there and VMGEXIT, the
 * guest is not run. */
static void hv_handler(struct trap_frame *f)
{
    if (f->ip >= LABEL(svsm_run_window) && f->ip < LABEL(svsm_run_window_end))
        f->ip = LABEL(svsm_run_cancelled);
}

__attribute__((noinline)) bool apic_run_guest(struct vcpu *v)
{
    u8 cancelled;
    wrmsr(MSR_GHCB, (u64)GUEST_VMPL << 32 | GHCB_RUN_VMPL_REQ);
    asm volatile(".globl svsm_run_window, svsm_run_window_end, svsm_run_cancelled\n"
                 "svsm_run_window: testb %2, %1\n\t"
                 "jnz svsm_run_cancelled\n\t"
                 "rep; vmmcall\n"
                 "svsm_run_window_end: movb $0, %0\n\t"
                 "jmp 1f\n"
                 "svsm_run_cancelled: movb $1, %0\n"
                 "1:"
                 : "=q"(cancelled)
                 : "m"(bell(v)[BELL_FLAGS]), "i"(NO_FURTHER_SIGNAL)
                 : "memory", "cc");
    u64 answer = rdmsr(MSR_GHCB);
    wrmsr(MSR_GHCB, (reg_t)v->processor.ghcb);
    return cancelled || answer == GHCB_RUN_VMPL_RESP;
}

void apic_find(u64 hypervisor)
{
    offered = sev_features() & FEATURE_RESTRICTED && (hypervisor & (HV_RESTRICTED | HV_EXTENDED)) ==
                                                         (HV_RESTRICTED | HV_EXTENDED);
    if (offered)
        set_handler(V_HV, hv_handler);
}

void apic_open(struct vcpu *v)
{
    if (!offered)
        return;
    v->doorbell = svsm_page();
    if (!make_shared(v->doorbell))
        terminate(TERM_SET_LINUX, TERM_PSC);
    ghcb_begin();
    bool set_up = !ghcb_end(NAE_HV_DOORBELL, HV_DOORBELL_SET, (reg_t)v->doorbell);
    ghcb_begin();
    if (!set_up || ghcb_end(NAE_CONFIGURE_INJECTION, NOTIFICATION, 0))
        terminate(0, 0);
    wrmsr(MSR_APIC_BASE, rdmsr(MSR_APIC_BASE) | X2_ENABLED);
    wrmsr(X2_SVR, SVR_ENABLED);
    v->apic.active = true;
    v->apic.allowed[0] = 1u << FIRST_VECTOR;
    memset((void *)&v->apic.allowed[1], 0xFF, 7 * sizeof(u32));
}

/* --- what comes in ---------------------------------------------------------------------------------------------- */

static void post(struct apic *a, unsigned vector, bool level)
{
    if (vector < FIRST_VECTOR || !is_set(a->allowed, vector))
        return;
    set(a->irr, vector);
    if (level)
        set(a->tmr, vector);
    a->changed = true;
}

static void take_record(struct vcpu *v)
{
    struct record *r = record(v);
    struct apic *a = &v->apic;
    u32 status = __atomic_exchange_n(&r->status, 0, __ATOMIC_SEQ_CST);
    unsigned vector = status & 0xFF;
    if (status & RECORD_NMI) {
        a->nmi = true;
        a->changed = true;
    }
    if (status & RECORD_VECTOR_31)
        post(a, FIRST_VECTOR, false);
    if (vector && (status & RECORD_LEVEL || !(status & RECORD_SEVERAL)))
        post(a, vector, status & RECORD_LEVEL);
    for (unsigned i = 0; status & RECORD_SEVERAL && i < 7; i++) {
        u32 bits = __atomic_exchange_n(&r->irr[i], 0, __ATOMIC_SEQ_CST);
        for (unsigned bit = 0; bit < 32; bit++)
            if (bits >> bit & 1)
                post(a, 32 * (i + 1) + bit, false);
    }
}

void apic_consume(struct vcpu *v)
{
    volatile u8 *page = bell(v);
    __atomic_and_fetch(&page[BELL_FLAGS], (u8)~NO_FURTHER_SIGNAL, __ATOMIC_SEQ_CST);
    if (__atomic_exchange_n(&page[BELL_VECTOR], 0, __ATOMIC_SEQ_CST))
        wrmsr(X2_EOI, 0);
    if (__atomic_exchange_n(&page[BELL_EVENTS], 0, __ATOMIC_SEQ_CST) & GUEST_EVENT)
        take_record(v);
    for (unsigned i = 0; i < 8; i++) {
        u32 bits = __atomic_exchange_n(&v->apic.posted[i], 0, __ATOMIC_SEQ_CST);
        v->apic.irr[i] |= bits;
        v->apic.changed |= bits != 0;
    }
    if (__atomic_exchange_n(&v->apic.posted_nmi, 0, __ATOMIC_SEQ_CST))
        v->apic.nmi = v->apic.changed = true;
}

/* --- what goes out ---------------------------------------------------------------------------------------------- */

static unsigned highest(const u32 *bits)
{
    for (unsigned i = 8; i-- > 0;)
        if (bits[i])
            return 32 * i + 31 - (unsigned)__builtin_clz(bits[i]);
    return 0;
}

void apic_take_back(struct vcpu *v)
{
    struct apic *a = &v->apic;
    struct vmsa *g = v->guest;
    bool waits = a->injected && g->eventinj & EVENT_VALID;
    if (waits)
        g->eventinj = 0;
    if (a->queued && g->vintr_ctrl & V_IRQ) {
        g->vintr_ctrl &= ~V_REQUEST;
        waits = true;
    }
    a->injected = a->queued = false;
    if (waits)
        set(a->irr, a->isr[--a->in_service]);
}

void apic_present(struct vcpu *v)
{
    struct apic *a = &v->apic;
    struct vmsa *g = v->guest;
    if (!a->active)
        return;
    apic_consume(v);
    if (!a->changed)
        return;
    a->changed = false;
    apic_take_back(v);
    if (a->nmi)
        g->vintr_ctrl |= V_NMI | V_NMI_ENABLE;
    a->nmi = false;
    unsigned vector = highest(a->irr), current = a->in_service ? a->isr[a->in_service - 1] : 0;
    if (vector >> 4 <= current >> 4)
        return;
    if (g->rflags & FLAG_IF && !(g->vintr_ctrl & V_SHADOW) && vector >> 4 > tpr(g) >> 4 && !(g->eventinj & EVENT_VALID)) {
        g->eventinj = vector | EVENT_VALID;
        a->injected = true;
    } else {
        g->vintr_ctrl = (g->vintr_ctrl & ~V_REQUEST) | V_IRQ | (u64)(vector >> 4) << V_PRIORITY_SHIFT |
                        (u64)vector << V_VECTOR_SHIFT;
        a->queued = true;
    }
    clear(a->irr, vector);
    a->isr[a->in_service++] = (u8)vector;
}

void apic_forget(struct vcpu *v)
{
    struct apic *a = &v->apic;
    memset(a->irr, 0, sizeof a->irr);
    memset(a->tmr, 0, sizeof a->tmr);
    a->in_service = 0;
    a->nmi = a->injected = a->queued = false;
}
