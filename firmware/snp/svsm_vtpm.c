/* Protocol 2: a TPM that starts and tests itself, and has no further command (SVSM §8; TPM 2.0 part 3). */
#include "svsm.h"

#define SEND_COMMAND 8u
#define MAX_COMMAND 4087u
#define TPM_HEADER 10u
#define TPM_NO_SESSIONS 0x8001u
#define TPM_RC_COMMAND_SIZE 0x142u
#define TPM_RC_COMMAND_CODE 0x143u
#define TPM_CC_SELF_TEST 0x143u
#define TPM_CC_STARTUP 0x144u

static u32 big(const u8 *at, unsigned bytes)
{
    u32 value = 0;
    while (bytes--)
        value = value << 8 | *at++;
    return value;
}

static u32 respond(const u8 *command, u32 bytes)
{
    if (bytes < TPM_HEADER || big(command + 2, 4) != bytes)
        return TPM_RC_COMMAND_SIZE;
    u32 code = big(command + 6, 4);
    return code == TPM_CC_STARTUP || code == TPM_CC_SELF_TEST ? 0 : TPM_RC_COMMAND_CODE;
}

static u64 command(struct vmsa *r)
{
    u8 *page = (u8 *)r->rcx;
    if (r->rcx & (PAGE - 1))
        return SVSM_INVALID_PARAMETER;
    if (!guest_memory(r->rcx, PAGE) || page_in_use(r->rcx) || !guest_touch(r->rcx))
        return SVSM_INVALID_ADDRESS;
    u32 what, bytes;
    memcpy(&what, page, 4);
    memcpy(&bytes, page + 5, 4);
    if (what != SEND_COMMAND || page[4] || bytes > MAX_COMMAND)
        return SVSM_INVALID_PARAMETER;
    u32 code = respond(page + 9, bytes);
    const u8 response[4 + TPM_HEADER] = {TPM_HEADER, 0, 0, 0, TPM_NO_SESSIONS >> 8, TPM_NO_SESSIONS & 0xFF, 0, 0, 0,
                                         TPM_HEADER, (u8)(code >> 24), (u8)(code >> 16), (u8)(code >> 8), (u8)code};
    memcpy(page, response, sizeof response);
    return SVSM_SUCCESS;
}

u64 vtpm_call(u32 call, struct vmsa *r)
{
    switch (call) {
    case 0:
        r->rcx = 1u << SEND_COMMAND;
        r->rdx = 0;
        return SVSM_SUCCESS;
    case 1:
        return command(r);
    default:
        return SVSM_UNSUPPORTED_CALL;
    }
}
