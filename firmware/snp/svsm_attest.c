/* Protocol 1: a report of VMPL0 over what the SVSM offers (SVSM §7). */
#include "sha512.h"
#include "svsm.h"

#define REPORT_REQUEST 5
#define REPORT_BYTES 0x4A0u
#define NONCE_BYTES 64u

struct buffer {
    u64 gpa;
    u32 bytes, reserved;
};

struct attest {
    struct buffer report;
    u64 nonce;
    u16 nonce_bytes, reserved[3];
    struct buffer manifest, certificate;
    u8 service[16];
    u32 version, reserved1;
};
_Static_assert(offsetof(struct attest, service) == 0x40 && offsetof(struct attest, version) == 0x50 &&
                   sizeof(struct attest) == 0x58, "attestation operation layout");
#define ALL_BYTES 0x40u

struct report_request {
    u8 data[64];
    u32 vmpl, key;
    u8 reserved[24];
};
struct report_answer {
    u32 status, bytes;
    u8 reserved[24], report[REPORT_BYTES];
};

/* 63849ebb-3d92-4670-a1ff-58f9c94b87bb and c476f1eb-0123-45a5-9641-b4e7dde5bfe3, as UEFI stores GUIDs */
static const u8 manifest_guid[16] = {0xBB, 0x9E, 0x84, 0x63, 0x92, 0x3D, 0x70, 0x46,
                                     0xA1, 0xFF, 0x58, 0xF9, 0xC9, 0x4B, 0x87, 0xBB};
static const u8 vtpm_guid[16] = {0xEB, 0xF1, 0x76, 0xC4, 0x23, 0x01, 0xA5, 0x45,
                                 0x96, 0x41, 0xB4, 0xE7, 0xDD, 0xE5, 0xBF, 0xE3};
static const char vtpm_data[] = "strata: a vTPM that answers queries";

struct manifest {
    u8 guid[16];
    u32 bytes, services;
    struct {
        u8 guid[16];
        u32 offset, bytes;
        char data[sizeof vtpm_data];
    } __attribute__((packed)) vtpm;
} __attribute__((packed));

static bool usable(const struct buffer *b)
{
    if (b->reserved || b->gpa & (PAGE - 1) || b->bytes > 16 * PAGE || !guest_memory(b->gpa, b->bytes))
        return false;
    for (u64 at = 0; at < b->bytes; at += PAGE)
        if (page_in_use(b->gpa + at) || !guest_touch(b->gpa + at))
            return false;
    return true;
}

static u64 attest(const struct attest *op, const void *manifest, u32 manifest_bytes, struct vmsa *r)
{
    static struct report_answer answer;
    struct report_request request = {.vmpl = 0};
    struct sha512 hash;
    if (op->nonce_bytes != NONCE_BYTES || op->reserved[0] || op->reserved[1] || op->reserved[2] ||
        (op->nonce & (PAGE - 1)) + NONCE_BYTES > PAGE || !usable(&op->report) || !usable(&op->manifest) ||
        (op->certificate.bytes && !usable(&op->certificate)))
        return SVSM_INVALID_PARAMETER;
    if (!guest_memory(op->nonce & -PAGE, PAGE) || !guest_touch(op->nonce))
        return SVSM_INVALID_ADDRESS;
    bool fits = op->report.bytes >= REPORT_BYTES && op->manifest.bytes >= manifest_bytes;
    r->rcx = manifest_bytes;
    r->rdx = 0;         /* certificates are the hypervisor's to have */
    r->r8 = REPORT_BYTES;
    if (!fits)
        return SVSM_INVALID_PARAMETER;
    sha512_start(&hash);
    sha512_add(&hash, (const void *)op->nonce, NONCE_BYTES);
    sha512_add(&hash, manifest, manifest_bytes);
    sha512_end(&hash, request.data);
    if (!guest_request(REPORT_REQUEST, &request, sizeof request, &answer, sizeof answer) || answer.status ||
        answer.bytes != REPORT_BYTES)
        return SVSM_SNP_ERROR(SNP_FAIL_INPUT);
    memcpy((void *)op->report.gpa, answer.report, REPORT_BYTES);
    memcpy((void *)op->manifest.gpa, manifest, manifest_bytes);
    return SVSM_SUCCESS;
}

u64 attest_call(u32 call, struct vmsa *r)
{
    struct attest op = {.version = 0};
    struct manifest all = {.bytes = sizeof all, .services = 1};
    u32 bytes = call ? sizeof op : ALL_BYTES;
    if (call > 1)
        return SVSM_UNSUPPORTED_CALL;
    if ((r->rcx & (PAGE - 1)) + bytes > PAGE || r->rcx & 7)
        return SVSM_INVALID_PARAMETER;
    if (!guest_memory(r->rcx & -PAGE, PAGE) || !guest_touch(r->rcx))
        return SVSM_INVALID_ADDRESS;
    memcpy(&op, (const void *)r->rcx, bytes);
    if (call == 1) {
        if (memcmp(op.service, vtpm_guid, 16) || op.version || op.reserved1)
            return SVSM_INVALID_PARAMETER;
        return attest(&op, vtpm_data, sizeof vtpm_data, r);
    }
    memcpy(all.guid, manifest_guid, 16);
    memcpy(all.vtpm.guid, vtpm_guid, 16);
    all.vtpm.offset = offsetof(struct manifest, vtpm.data);
    all.vtpm.bytes = sizeof vtpm_data;
    memcpy(all.vtpm.data, vtpm_data, sizeof vtpm_data);
    return attest(&op, &all, sizeof all, r);
}
