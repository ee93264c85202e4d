/* The two 8259A interrupt controllers and the 8254 timer of a PC. */
#pragma once
#include "io.h"

#define PIC1 0x20
#define PIC2 0xA0
#define PIT_HZ 1193182u

/* ICW1-4: edge triggered, cascaded, 8086 mode; IRQ n arrives as vector base + n. All lines masked. */
static inline void pic_init(u8 base)
{
    outb(PIC1, 0x11);
    outb(PIC2, 0x11);
    outb(PIC1 + 1, base);
    outb(PIC2 + 1, base + 8);
    outb(PIC1 + 1, 0x04);
    outb(PIC2 + 1, 0x02);
    outb(PIC1 + 1, 0x01);
    outb(PIC2 + 1, 0x01);
    outb(PIC1 + 1, 0xFF);
    outb(PIC2 + 1, 0xFF);
}

/* Interrupt masks, bit n = IRQ n; 1 masks. */
static inline void pic_mask(u16 mask)
{
    outb(PIC1 + 1, (u8)mask);
    outb(PIC2 + 1, (u8)(mask >> 8));
}

/* Non-specific EOI for IRQ 0-15. */
static inline void pic_eoi(unsigned irq)
{
    if (irq >= 8)
        outb(PIC2, 0x20);
    outb(PIC1, 0x20);
}

/* Counter 0; mode 0 (one pulse), 2 (rate) or 3 (square wave); count in ticks of PIT_HZ, 0 means 65536. */
static inline void pit_start(unsigned mode, u16 count)
{
    outb(0x43, (u8)(0x30 | mode << 1));
    outb(0x40, (u8)count);
    outb(0x40, (u8)(count >> 8));
}

/* The latched present value of counter 0. */
static inline u16 pit_read(void)
{
    outb(0x43, 0x00);
    u8 lo = inb(0x40);
    return (u16)(lo | inb(0x40) << 8);
}
