/* Protocol 3: calls of a guest whose local APIC the SVSM is (SVSM specification, APIC protocol). */
#include "svsm_apic.h"

#define ICR_MODE 0x700u
#define ICR_NMI 0x400u
#define ICR_LOGICAL (1u << 11)
#define ICR_RESERVED 0xFFF33000ull
#define ICR_SHORTHAND(icr) ((icr) >> 18 & 3)
#define ICR_DESTINATION(icr) ((u32)((icr) >> 32))
enum { TO_DESTINATION, TO_SELF, TO_ALL, TO_OTHERS };
enum { CONFIGURE_OFF, CONFIGURE_ON, CONFIGURE_LOCKED };
#define VECTOR_ENABLE (1u << 8)
#define VECTOR_ALL (1u << 9)
#define CANNOT_DISABLE SVSM_SNP_ERROR(0)

static bool locked;

static void end_of_interrupt(struct apic *a)
{
    if (!a->in_service)
        return;
    unsigned vector = a->isr[--a->in_service];
    if (is_set(a->tmr, vector)) {
        clear(a->tmr, vector);
        ghcb_begin();
        ghcb_end(NAE_SPECIFIC_EOI, (u64)GUEST_VMPL << 16 | vector, 0);
    }
    a->changed = true;
}

/* --- interrupts between processors ------------------------------------------------------------------------------ */

static bool addressed(const struct vcpu *sender, const struct vcpu *v, u64 icr)
{
    u32 to = ICR_DESTINATION(icr), id = v->processor.apic_id;
    switch (ICR_SHORTHAND(icr)) {
    case TO_SELF:
        return v == sender;
    case TO_ALL:
        return true;
    case TO_OTHERS:
        return v != sender;
    }
    if (to == 0xFFFFFFFF)
        return true;
    return icr & ICR_LOGICAL ? to >> 16 == id >> 4 && to >> (id & 15) & 1 : to == id;
}

static u64 send(struct vcpu *sender, u64 icr)
{
    unsigned vector = (u8)icr;
    bool nmi = (icr & ICR_MODE) == ICR_NMI;
    if ((icr & ICR_MODE && !nmi) || icr & ICR_RESERVED || (!nmi && vector < FIRST_VECTOR))
        return SVSM_INVALID_PARAMETER;
    sender->apic.icr = icr;
    for (u32 i = 0; i < vcpu_count; i++) {
        struct vcpu *v = &vcpus[i];
        if (!v->apic.active || !addressed(sender, v, icr))
            continue;
        if (nmi)
            __atomic_store_n(&v->apic.posted_nmi, 1, __ATOMIC_SEQ_CST);
        else
            __atomic_or_fetch(&v->apic.posted[vector / 32], 1u << vector % 32, __ATOMIC_SEQ_CST);
        if (v == sender)
            continue;
        ghcb_begin();
        ghcb_end(NAE_HV_IPI, (u64)v->processor.apic_id << 32 | NOTIFICATION, 0);
    }
    return SVSM_SUCCESS;
}

/* --- the calls -------------------------------------------------------------------------------------------------- */

static unsigned ppr(struct vcpu *v)
{
    struct apic *a = &v->apic;
    unsigned current = a->in_service ? a->isr[a->in_service - 1] & 0xF0u : 0;
    return current > tpr(v->guest) ? current : tpr(v->guest);
}

static u64 read_register(struct vcpu *v, u64 number, u64 *value)
{
    struct apic *a = &v->apic;
    u32 id = v->processor.apic_id;
    apic_consume(v);
    apic_take_back(v);
    a->changed = true;
    if (number >= X2_IRR && number < X2_IRR + 8)
        *value = a->irr[number - X2_IRR];
    else if (number >= X2_TMR && number < X2_TMR + 8)
        *value = a->tmr[number - X2_TMR];
    else if (number >= X2_ISR && number < X2_ISR + 8) {
        u32 bits[8] = {0};
        for (unsigned i = 0; i < a->in_service; i++)
            set(bits, a->isr[i]);
        *value = bits[number - X2_ISR];
    } else if (number == X2_ID)
        *value = id;
    else if (number == X2_LDR)
        *value = id >> 4 << 16 | 1u << (id & 15);
    else if (number == X2_TPR)
        *value = tpr(v->guest);
    else if (number == X2_PPR)
        *value = ppr(v);
    else if (number == X2_ICR)
        *value = a->icr;
    else
        return SVSM_INVALID_PARAMETER;
    return SVSM_SUCCESS;
}

static u64 write_register(struct vcpu *v, u64 number, u64 value)
{
    apic_consume(v);
    apic_take_back(v);
    v->apic.changed = true;
    if (number == X2_ICR)
        return send(v, value);
    if (value > 0xFF || (number == X2_EOI && value))
        return SVSM_INVALID_PARAMETER;
    if (number == X2_TPR)
        v->guest->vintr_ctrl = (v->guest->vintr_ctrl & ~0xFFull) | value >> 4;
    else if (number == X2_EOI)
        end_of_interrupt(&v->apic);
    else if (number == X2_SELF_IPI && value >= FIRST_VECTOR)
        set(v->apic.irr, (unsigned)value);
    else
        return SVSM_INVALID_PARAMETER;
    return SVSM_SUCCESS;
}

static u64 configure_vector(struct apic *a, u64 what)
{
    unsigned vector = (u8)what;
    if (what >> 10 || (!(what & VECTOR_ALL) && vector < FIRST_VECTOR))
        return SVSM_INVALID_PARAMETER;
    for (unsigned n = FIRST_VECTOR; n < 256; n++)
        if (what & VECTOR_ALL || n == vector) {
            if (what & VECTOR_ENABLE)
                set(a->allowed, n);
            else
                clear(a->allowed, n);
        }
    return SVSM_SUCCESS;
}

/* The hypervisor gets the state that it is to go on with, and the VMSA takes interrupts as usual. */
static u64 disable(struct vcpu *v)
{
    struct apic *a = &v->apic;
    struct record *r = record(v);
    struct vmsa *g = v->guest;
    if (locked)
        return CANNOT_DISABLE;
    if (!a->active)
        return SVSM_SUCCESS;
    apic_consume(v);
    apic_take_back(v);
    for (unsigned i = 0; i < 8; i++) {
        if (i)
            r->irr[i - 1] |= a->irr[i];
        r->isr[i] = 0;
    }
    for (unsigned i = 0; i < a->in_service; i++)
        set(r->isr, a->isr[i]);
    r->status |= RECORD_SEVERAL | (a->nmi ? RECORD_NMI : 0) | (is_set(a->irr, FIRST_VECTOR) ? RECORD_VECTOR_31 : 0);
    g->sev_features &= ~FEATURE_ALTERNATE;
    memset(a, 0, sizeof *a);
    ghcb_begin();
    if (ghcb_end(NAE_DISABLE_INJECTION,
                 (u64)GUEST_VMPL << 16 | (u64)tpr(g) << 8 | (g->vintr_ctrl & V_SHADOW ? 2 : 0) | (g->rflags & FLAG_IF ? 1 : 0),
                 0))
        terminate(0, 0);
    return SVSM_SUCCESS;
}

u64 apic_call(struct vcpu *v, u32 call, struct vmsa *r)
{
    if (call == APIC_CONFIGURE) {
        if (r->rcx > CONFIGURE_LOCKED)
            return SVSM_INVALID_PARAMETER;
        if (r->rcx == CONFIGURE_OFF)
            return disable(v);
        locked = r->rcx == CONFIGURE_LOCKED;
        return SVSM_SUCCESS;
    }
    if (call == APIC_QUERY) {
        r->rcx = 0;
        return SVSM_SUCCESS;
    }
    if (call > APIC_VECTOR)
        return SVSM_UNSUPPORTED_CALL;
    if (!v->apic.active)
        return SVSM_INVALID_REQUEST;
    if (call == APIC_READ)
        return read_register(v, r->rcx, &r->rdx);
    return call == APIC_WRITE ? write_register(v, r->rcx, r->rdx) : configure_vector(&v->apic, r->rcx);
}
