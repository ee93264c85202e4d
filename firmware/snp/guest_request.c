/* Messages to the firmware, sealed with VMPCK0 (firmware ABI 56860, SNP_GUEST_REQUEST). */
#include "aes_gcm.h"
#include "svsm.h"

#define AES_256_GCM 1

struct message {
    u8 tag[32];
    u64 sequence, reserved0;
    u8 algorithm, version;
    u16 header_bytes;
    u8 type, message_version;
    u16 bytes;
    u32 reserved1;
    u8 vmpck, reserved2[35];
    u8 payload[PAGE - 0x60];
};
_Static_assert(offsetof(struct message, payload) == 0x60 && sizeof(struct message) == PAGE, "message layout");
#define AUTHENTICATED (offsetof(struct message, payload) - offsetof(struct message, algorithm))

static u8 *request_page, *response_page; /* shared */
static struct message message;
static u64 sequence;
static bool disabled;

void guest_request_open(void)
{
    request_page = svsm_page();
    response_page = svsm_page();
    if (!make_shared(request_page) || !make_shared(response_page))
        terminate(TERM_SET_LINUX, TERM_PSC);
}

static void vector(u8 iv[12], u64 number)
{
    memset(iv, 0, 12);
    memcpy(iv, &number, 8);
}

/* Whatever fails, the key is not used again: the same number must never seal two messages. */
bool guest_request(u8 type, const void *payload, u32 bytes, void *answer, u32 answer_bytes)
{
    u8 iv[12];
    const u8 *key = snp_secrets_page.vmpck[0];
    if (disabled)
        return false;
    disabled = true;
    memset(&message, 0, sizeof message);
    message.sequence = sequence + 1;
    message.algorithm = AES_256_GCM;
    message.version = message.message_version = 1;
    message.header_bytes = 0x60;
    message.type = type;
    message.bytes = (u16)bytes;
    memcpy(message.payload, payload, bytes);
    vector(iv, message.sequence);
    aes_gcm_seal(key, iv, &message.algorithm, AUTHENTICATED, message.payload, bytes, message.tag);
    memcpy(shared(request_page), &message, PAGE);
    ghcb_begin();
    if (ghcb_end(NAE_GUEST_REQUEST, (reg_t)request_page, (reg_t)response_page) || ghcb_get(G_EXITINFO2))
        return false;
    /* A copy, since the hypervisor can change the page while it is looked at. */
    memcpy(&message, shared(response_page), PAGE);
    if (message.sequence != sequence + 2 || message.type != type + 1 || message.vmpck || message.bytes != answer_bytes)
        return false;
    vector(iv, message.sequence);
    if (!aes_gcm_open(key, iv, &message.algorithm, AUTHENTICATED, message.payload, answer_bytes, message.tag))
        return false;
    memcpy(answer, message.payload, answer_bytes);
    sequence += 2;
    disabled = false;
    return true;
}
