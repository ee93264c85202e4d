/* What the files of the exceptions64 guest share. */
#pragma once
#include "sdk.h"

#define NONCANONICAL 0x8000000000000000ull
#define UNMAPPED 0x8000000000ull /* PML4 entry 1 is empty */
#define EXT_BIT 1u               /* error code: the event was external to the program (SDM vol. 3 §6.13) */
#define IDT_BIT 2u               /* error code: the index is one of the IDT */

/* Far-jumps to 32-bit code in SEL_KCODE32 that ends in a jump to compat_return. */
void compat_call(void (*code32)(void));
void compat_into(void);
void compat_bound(void);

void ring3(void);
