/* A benchmark program: the same source runs on bare metal and as a process, and prints the same. */
#pragma once
#include "types.h"

#ifdef HOSTED
#include <stdio.h>
#include <string.h>
#else
#include "console.h"
#include "mem.h"
#endif

void program(void);

/* A linear congruential generator (Knuth, MMIX); the high bits are the good ones. */
static inline u32 next_random(u64 *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (u32)(*state >> 33);
}

/* FNV-1a over bytes: what the programs print of results too long to print. */
static inline u64 digest(u64 hash, const void *data, size_t n)
{
    const u8 *p = data;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x100000001B3ull;
    return hash;
}

#define DIGEST_START 0xCBF29CE484222325ull
