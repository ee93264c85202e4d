/* Between the two halves of protocol 3: a doorbell page's record, sets of vectors, and what one half does for the other. */
#pragma once
#include "svsm.h"

#define FIRST_VECTOR 31u
#define NOTIFICATION 0x50u
#define RECORD_NMI (1u << 8)
#define RECORD_LEVEL (1u << 10)
#define RECORD_SEVERAL (1u << 14)
#define RECORD_VECTOR_31 (1u << 31)
#define V_SHADOW (1ull << 10)   /* of VINTR_CTRL */

/* Of a doorbell page, for one VMPL; the IRR begins with vector 32. */
struct record {
    volatile u32 status, irr[7], isr[8];
};

static inline volatile u8 *bell(struct vcpu *v) { return shared(v->doorbell); }

static inline struct record *record(struct vcpu *v)
{
    return (struct record *)(bell(v) + sizeof(struct record) * GUEST_VMPL);
}

static inline void set(volatile u32 *bits, unsigned vector) { bits[vector / 32] |= 1u << vector % 32; }

static inline void clear(volatile u32 *bits, unsigned vector) { bits[vector / 32] &= ~(1u << vector % 32); }

static inline bool is_set(const volatile u32 *bits, unsigned vector) { return bits[vector / 32] >> vector % 32 & 1; }

static inline unsigned tpr(const struct vmsa *g) { return (unsigned)(g->vintr_ctrl & 0xF) << 4; }

void apic_consume(struct vcpu *v);      /* what the doorbell page and other processors have for the guest: into the IRR */
void apic_take_back(struct vcpu *v);    /* what was given to the guest and not taken: likewise */
