/* AES-256-GCM with a 96-bit initialization vector and a 16-byte tag (NIST SP 800-38D). */
#pragma once
#include "types.h"

/* In place. */
void aes_gcm_seal(const u8 key[32], const u8 iv[12], const u8 *aad, u64 aad_bytes, u8 *data, u64 bytes, u8 tag[16]);
/* In place; false, and the data is of no use, if the tag is wrong. */
bool aes_gcm_open(const u8 key[32], const u8 iv[12], const u8 *aad, u64 aad_bytes, u8 *data, u64 bytes, const u8 tag[16]);
