/* Hashing: SHA-256 (FIPS 180-4), CRC-32 by table, and an open-addressing hash table. */
#include "program.h"

#define TEXT 40000
#define SLOTS 4096

static const u32 k[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

static u8 text[TEXT];
static u32 crc_table[256];

static u32 rotated(u32 x, int n) { return x >> n | x << (32 - n); }

static void compress(u32 h[8], const u8 *block)
{
    u32 w[64], v[8];
    for (int t = 0; t < 16; t++)
        w[t] = (u32)block[4 * t] << 24 | block[4 * t + 1] << 16 | block[4 * t + 2] << 8 | block[4 * t + 3];
    for (int t = 16; t < 64; t++)
        w[t] = (rotated(w[t - 2], 17) ^ rotated(w[t - 2], 19) ^ w[t - 2] >> 10) + w[t - 7] +
               (rotated(w[t - 15], 7) ^ rotated(w[t - 15], 18) ^ w[t - 15] >> 3) + w[t - 16];
    memcpy(v, h, sizeof v);
    for (int t = 0; t < 64; t++) {
        u32 one = v[7] + (rotated(v[4], 6) ^ rotated(v[4], 11) ^ rotated(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) +
                  k[t] + w[t];
        u32 two = (rotated(v[0], 2) ^ rotated(v[0], 13) ^ rotated(v[0], 22)) +
                  ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
        for (int i = 7; i > 0; i--)
            v[i] = v[i - 1];
        v[4] += one;
        v[0] = one + two;
    }
    for (int i = 0; i < 8; i++)
        h[i] += v[i];
}

static void sha256(const u8 *data, u32 n, u32 h[8])
{
    static const u32 start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    u8 last[128] = {0};
    u32 whole = n & ~63u, rest = n - whole, size = rest < 56 ? 64 : 128;
    memcpy(h, start, sizeof start);
    for (u32 at = 0; at < whole; at += 64)
        compress(h, data + at);
    memcpy(last, data + whole, rest);
    last[rest] = 0x80;
    for (int i = 0; i < 8; i++)
        last[size - 1 - i] = (u8)((u64)n * 8 >> (8 * i));
    for (u32 at = 0; at < size; at += 64)
        compress(h, last + at);
}

static u32 crc32(const u8 *data, u32 n)
{
    u32 crc = ~0u;
    for (u32 i = 0; i < n; i++)
        crc = crc_table[(crc ^ data[i]) & 0xFF] ^ crc >> 8;
    return ~crc;
}

static struct entry {
    u32 key, count;
} table[SLOTS];

static u32 insert(u32 key)
{
    u32 probes = 1, at = key * 2654435761u >> 20;
    while (table[at].count && table[at].key != key) {
        at = (at + 1) % SLOTS;
        probes++;
    }
    table[at].key = key;
    table[at].count++;
    return probes;
}

void program(void)
{
    u64 seed = 7;
    u32 h[8], probes = 0, used = 0, largest = 0;
    sha256((const u8 *)"abc", 3, h);
    printf("SHA-256 of abc: %08x%08x%08x%08x%08x%08x%08x%08x\n", h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]);
    for (u32 i = 0; i < TEXT; i++)
        text[i] = next_random(&seed) >> 8;
    sha256(text, TEXT, h);
    printf("SHA-256 of the text: %08x%08x%08x%08x%08x%08x%08x%08x\n", h[0], h[1], h[2], h[3], h[4], h[5], h[6], h[7]);
    for (u32 i = 0; i < 256; i++) {
        u32 c = i;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? 0xEDB88320 ^ c >> 1 : c >> 1;
        crc_table[i] = c;
    }
    printf("CRC-32 of 123456789: %08x, of the text: %08x\n", crc32((const u8 *)"123456789", 9), crc32(text, TEXT));
    for (int i = 0; i < 30000; i++)
        probes += insert(next_random(&seed) % 3000 + 1);
    for (int i = 0; i < SLOTS; i++) {
        used += table[i].count != 0;
        largest = table[i].count > largest ? table[i].count : largest;
    }
    printf("table: %u keys, %u probes, most frequent %u times\n", used, probes, largest);
}
