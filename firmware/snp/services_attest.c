/* Reports through the SVSM: of VMPL0, over a nonce of the guest's and the SVSM's manifest. */
#include "services.h"
#include "sha512.h"

static u8 report[2 * PAGE] ALIGNED(4096), manifest[PAGE] ALIGNED(4096), nonce[64] ALIGNED(64);
static u8 words[PAGE] ALIGNED(4096);

static u64 attest(u32 call, u32 report_bytes, struct svsm_call *c)
{
    u64 *op = (u64 *)words;
    op[0] = (reg_t)report;
    op[1] = report_bytes;
    op[2] = (reg_t)nonce;
    op[3] = sizeof nonce;
    op[4] = (reg_t)manifest;
    op[5] = sizeof manifest;
    op[6] = op[7] = 0;
    *c = (struct svsm_call){.rcx = (reg_t)words};
    return svsm_call(SVSM_ATTEST, call, c);
}

static void check_report_data(u64 manifest_bytes, const char *what)
{
    struct sha512 hash;
    u8 digest[64];
    sha512_start(&hash);
    sha512_add(&hash, nonce, sizeof nonce);
    sha512_add(&hash, manifest, manifest_bytes);
    sha512_end(&hash, digest);
    CHECK(!memcmp(report + 0x50, digest, sizeof digest), "%s: REPORT_DATA is SHA-512 of nonce and manifest", what);
    CHECK(*(u32 *)(report + 0x30) == 0, "%s: the report is VMPL%u's", what, *(u32 *)(report + 0x30));
}

void attestation(void)
{
    struct svsm_call c;
    u64 rc = attest(0, 0x100, &c);
    CHECK(rc == SVSM_INVALID_PARAMETER && c.r8 == 0x4A0, "a small buffer: 0x%llx are needed", c.r8);
    for (unsigned i = 0; i < sizeof nonce; i++)
        nonce[i] = (u8)(i * 7);
    CHECK(attest(0, sizeof report, &c) == SVSM_SUCCESS && c.r8 == 0x4A0 && c.rdx == 0, "a report of all services");
    check_report_data(c.rcx, "all services");
    CHECK(*(u32 *)(manifest + 20) == 1 && *(u32 *)(manifest + 16) == c.rcx, "the manifest has one service");
    memcpy(words + 0x40, manifest + 24, 16); /* its GUID */
    memset(words + 0x50, 0, 8);
    CHECK(attest(1, sizeof report, &c) == SVSM_SUCCESS, "a report of one service");
    check_report_data(c.rcx, "one service");
    words[0x40] ^= 1;
    CHECK(attest(1, sizeof report, &c) == SVSM_INVALID_PARAMETER, "a service that is not there");
    CHECK(attest(2, sizeof report, &c) == SVSM_UNSUPPORTED_CALL, "there is no call 2");
    printf("measurement ");
    for (unsigned i = 0; i < 48; i++)
        printf("%02x", report[0x90 + i]);
    printf("\n");
}
