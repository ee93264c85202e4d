/* The local APIC through its memory page (SDM vol. 3 ch. 11). Offsets in bytes. */
#pragma once
#include "types.h"

#define APIC_BASE 0xFEE00000u
#define APIC_ID 0x020
#define APIC_VERSION 0x030
#define APIC_TPR 0x080
#define APIC_PPR 0x0A0
#define APIC_EOI 0x0B0
#define APIC_SPIV 0x0F0
#define APIC_ISR 0x100
#define APIC_IRR 0x200
#define APIC_ICR_LOW 0x300
#define APIC_ICR_HIGH 0x310
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_LVT_LINT1 0x360
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE 0x3E0

#define SPIV_ENABLE (1u << 8)
#define LVT_MASKED (1u << 16)
#define LVT_PERIODIC (1u << 17)
#define TIMER_DIVIDE_BY_1 0xBu

static inline u32 apic_read(u32 offset) { return *(volatile u32 *)(reg_t)(APIC_BASE + offset); }
static inline void apic_write(u32 offset, u32 v) { *(volatile u32 *)(reg_t)(APIC_BASE + offset) = v; }
static inline void apic_eoi(void) { apic_write(APIC_EOI, 0); }

/* Software-enables the APIC; spurious interrupts come as vector 0xFF. */
static inline void apic_enable(void) { apic_write(APIC_SPIV, SPIV_ENABLE | 0xFF); }

/* Starts the timer at the bus clock. mode: 0 one-shot or LVT_PERIODIC; count 0 stops it. */
static inline void apic_timer(u8 vector, u32 mode, u32 count)
{
    apic_write(APIC_TIMER_DIVIDE, TIMER_DIVIDE_BY_1);
    apic_write(APIC_LVT_TIMER, mode | vector);
    apic_write(APIC_TIMER_INITIAL, count);
}
