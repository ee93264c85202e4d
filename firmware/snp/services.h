/* The parts of the guest that uses an SVSM. */
#pragma once
#include "rt.h"

/* A call of protocol 0: its result. */
u64 core(u32 call, u64 rcx, u64 rdx, u64 r8);
void attestation(void);
void processors(void);
