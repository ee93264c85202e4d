#include "aes_gcm.h"
#include "mem.h"

#define ROUNDS 14

static const u8 sbox[256] = {
    0x63, 0x7C, 0x77, 0x7B, 0xF2, 0x6B, 0x6F, 0xC5, 0x30, 0x01, 0x67, 0x2B, 0xFE, 0xD7, 0xAB, 0x76,
    0xCA, 0x82, 0xC9, 0x7D, 0xFA, 0x59, 0x47, 0xF0, 0xAD, 0xD4, 0xA2, 0xAF, 0x9C, 0xA4, 0x72, 0xC0,
    0xB7, 0xFD, 0x93, 0x26, 0x36, 0x3F, 0xF7, 0xCC, 0x34, 0xA5, 0xE5, 0xF1, 0x71, 0xD8, 0x31, 0x15,
    0x04, 0xC7, 0x23, 0xC3, 0x18, 0x96, 0x05, 0x9A, 0x07, 0x12, 0x80, 0xE2, 0xEB, 0x27, 0xB2, 0x75,
    0x09, 0x83, 0x2C, 0x1A, 0x1B, 0x6E, 0x5A, 0xA0, 0x52, 0x3B, 0xD6, 0xB3, 0x29, 0xE3, 0x2F, 0x84,
    0x53, 0xD1, 0x00, 0xED, 0x20, 0xFC, 0xB1, 0x5B, 0x6A, 0xCB, 0xBE, 0x39, 0x4A, 0x4C, 0x58, 0xCF,
    0xD0, 0xEF, 0xAA, 0xFB, 0x43, 0x4D, 0x33, 0x85, 0x45, 0xF9, 0x02, 0x7F, 0x50, 0x3C, 0x9F, 0xA8,
    0x51, 0xA3, 0x40, 0x8F, 0x92, 0x9D, 0x38, 0xF5, 0xBC, 0xB6, 0xDA, 0x21, 0x10, 0xFF, 0xF3, 0xD2,
    0xCD, 0x0C, 0x13, 0xEC, 0x5F, 0x97, 0x44, 0x17, 0xC4, 0xA7, 0x7E, 0x3D, 0x64, 0x5D, 0x19, 0x73,
    0x60, 0x81, 0x4F, 0xDC, 0x22, 0x2A, 0x90, 0x88, 0x46, 0xEE, 0xB8, 0x14, 0xDE, 0x5E, 0x0B, 0xDB,
    0xE0, 0x32, 0x3A, 0x0A, 0x49, 0x06, 0x24, 0x5C, 0xC2, 0xD3, 0xAC, 0x62, 0x91, 0x95, 0xE4, 0x79,
    0xE7, 0xC8, 0x37, 0x6D, 0x8D, 0xD5, 0x4E, 0xA9, 0x6C, 0x56, 0xF4, 0xEA, 0x65, 0x7A, 0xAE, 0x08,
    0xBA, 0x78, 0x25, 0x2E, 0x1C, 0xA6, 0xB4, 0xC6, 0xE8, 0xDD, 0x74, 0x1F, 0x4B, 0xBD, 0x8B, 0x8A,
    0x70, 0x3E, 0xB5, 0x66, 0x48, 0x03, 0xF6, 0x0E, 0x61, 0x35, 0x57, 0xB9, 0x86, 0xC1, 0x1D, 0x9E,
    0xE1, 0xF8, 0x98, 0x11, 0x69, 0xD9, 0x8E, 0x94, 0x9B, 0x1E, 0x87, 0xE9, 0xCE, 0x55, 0x28, 0xDF,
    0x8C, 0xA1, 0x89, 0x0D, 0xBF, 0xE6, 0x42, 0x68, 0x41, 0x99, 0x2D, 0x0F, 0xB0, 0x54, 0xBB, 0x16,
};

struct cipher {
    u8 round[ROUNDS + 1][16];
    u64 hash[2]; /* H: what GHASH multiplies by */
};

static u8 twice(u8 x) { return (u8)(x << 1 ^ (x & 0x80 ? 0x1B : 0)); }

/* FIPS 197, 5.2 */
static void expand(struct cipher *c, const u8 key[32])
{
    u8 *w = c->round[0], rcon = 1;
    memcpy(w, key, 32);
    for (unsigned i = 8; i < 4 * (ROUNDS + 1); i++) {
        u8 t[4];
        memcpy(t, w + 4 * (i - 1), 4);
        if (i % 8 == 0) {
            u8 first = t[0];
            t[0] = sbox[t[1]] ^ rcon;
            t[1] = sbox[t[2]];
            t[2] = sbox[t[3]];
            t[3] = sbox[first];
            rcon = twice(rcon);
        } else if (i % 8 == 4) {
            for (unsigned b = 0; b < 4; b++)
                t[b] = sbox[t[b]];
        }
        for (unsigned b = 0; b < 4; b++)
            w[4 * i + b] = w[4 * (i - 8) + b] ^ t[b];
    }
}

static void add(u8 *a, const u8 *b)
{
    for (unsigned i = 0; i < 16; i++)
        a[i] ^= b[i];
}

static void encrypt(const struct cipher *c, const u8 in[16], u8 out[16])
{
    u8 s[16], t[16];
    memcpy(s, in, 16);
    add(s, c->round[0]);
    for (unsigned round = 1; round <= ROUNDS; round++) {
        for (unsigned i = 0; i < 16; i++)
            t[i] = sbox[s[(i + 4 * (i % 4)) % 16]]; /* SubBytes and ShiftRows */
        for (unsigned column = 0; column < 16 && round < ROUNDS; column += 4) {
            u8 *p = t + column, all = p[0] ^ p[1] ^ p[2] ^ p[3], first = p[0];
            for (unsigned i = 0; i < 4; i++)
                p[i] ^= all ^ twice(p[i] ^ (i < 3 ? p[i + 1] : first));
        }
        memcpy(s, t, 16);
        add(s, c->round[round]);
    }
    memcpy(out, s, 16);
}

/* y = y * H in GF(2^128), most significant bit first */
static void multiply(u64 y[2], const u64 h[2])
{
    u64 high = h[0], low = h[1], sum[2] = {0, 0};
    for (unsigned bit = 0; bit < 128; bit++) {
        u64 take = -(y[bit / 64] >> (63 - bit % 64) & 1), carry = -(low & 1);
        sum[0] ^= high & take;
        sum[1] ^= low & take;
        low = low >> 1 | high << 63;
        high = high >> 1 ^ (carry & 0xE100000000000000ull);
    }
    y[0] = sum[0];
    y[1] = sum[1];
}

static u64 big_endian(const u8 *at)
{
    u64 value;
    memcpy(&value, at, 8);
    return __builtin_bswap64(value);
}

static void hash_blocks(const struct cipher *c, u64 y[2], const u8 *data, u64 bytes)
{
    for (u64 at = 0; at < bytes; at += 16) {
        u8 block[16] = {0};
        memcpy(block, data + at, bytes - at < 16 ? bytes - at : 16);
        y[0] ^= big_endian(block);
        y[1] ^= big_endian(block + 8);
        multiply(y, c->hash);
    }
}

static void tag_of(const struct cipher *c, const u8 iv[12], const u8 *aad, u64 aad_bytes, const u8 *data, u64 bytes,
                   u8 tag[16])
{
    u64 y[2] = {0, 0};
    u8 lengths[16], counter[16];
    hash_blocks(c, y, aad, aad_bytes);
    hash_blocks(c, y, data, bytes);
    for (unsigned i = 0; i < 8; i++) {
        lengths[7 - i] = (u8)(aad_bytes * 8 >> 8 * i);
        lengths[15 - i] = (u8)(bytes * 8 >> 8 * i);
    }
    hash_blocks(c, y, lengths, 16);
    memcpy(counter, iv, 12);
    counter[12] = counter[13] = counter[14] = 0;
    counter[15] = 1;
    encrypt(c, counter, tag);
    for (unsigned i = 0; i < 16; i++)
        tag[i] ^= (u8)(y[i / 8] >> (56 - i % 8 * 8));
}

static void stream(const struct cipher *c, const u8 iv[12], u8 *data, u64 bytes)
{
    u8 counter[16], key[16];
    memcpy(counter, iv, 12);
    for (u64 at = 0; at < bytes; at += 16) {
        u32 n = (u32)(at / 16 + 2);
        for (unsigned i = 0; i < 4; i++)
            counter[15 - i] = (u8)(n >> 8 * i);
        encrypt(c, counter, key);
        for (u64 i = at; i < bytes && i < at + 16; i++)
            data[i] ^= key[i - at];
    }
}

static void start(struct cipher *c, const u8 key[32])
{
    u8 block[16] = {0};
    expand(c, key);
    encrypt(c, block, block);
    c->hash[0] = big_endian(block);
    c->hash[1] = big_endian(block + 8);
}

void aes_gcm_seal(const u8 key[32], const u8 iv[12], const u8 *aad, u64 aad_bytes, u8 *data, u64 bytes, u8 tag[16])
{
    struct cipher c;
    start(&c, key);
    stream(&c, iv, data, bytes);
    tag_of(&c, iv, aad, aad_bytes, data, bytes, tag);
}

bool aes_gcm_open(const u8 key[32], const u8 iv[12], const u8 *aad, u64 aad_bytes, u8 *data, u64 bytes, const u8 tag[16])
{
    struct cipher c;
    u8 right[16], wrong = 0;
    start(&c, key);
    tag_of(&c, iv, aad, aad_bytes, data, bytes, right);
    for (unsigned i = 0; i < 16; i++)
        wrong |= (u8)(right[i] ^ tag[i]);
    stream(&c, iv, data, bytes);
    return !wrong;
}
