/* SHA-512 (FIPS 180-4, 6.4). */
#pragma once
#include "types.h"

struct sha512 {
    u64 state[8];
    u8 block[128];
    u64 bytes;
};

void sha512_start(struct sha512 *s);
void sha512_add(struct sha512 *s, const void *data, u64 bytes);
void sha512_end(struct sha512 *s, u8 digest[64]);
