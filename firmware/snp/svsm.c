/* The SVSM's beginning: the machine is looked at, memory accepted, the guest put in place and started. */
#include "svsm.h"

#define SNP_MAGIC 0x004F4C5941504E53ull
#define GUEST_BASE 0x100000ull
#define MULTIBOOT_CMDLINE 4u
#define SVSM_PRESENT (1u << 28)         /* of CPUID 8000001F EAX */

struct payload_header {
    u64 magic;
    u32 entry, end, cpuid_page, secrets_page, calling_area, command_line;
};

extern const u8 payload_start[], payload_end[];
extern u64 boot_information;

static const struct payload_header *payload_header(void)
{
    for (const u8 *at = payload_start; at < payload_start + 8192 && at + sizeof(struct payload_header) < payload_end;
         at += 8) {
        const struct payload_header *h = (const void *)at;
        if (h->magic == SNP_MAGIC)
            return h;
    }
    printf("svsm: the payload has no header\n");
    terminate(0, 0);
}

static void copy_command_line(char *to)
{
    const u32 *info = (const u32 *)boot_information;
    if (!info || !(info[0] & MULTIBOOT_CMDLINE))
        return;
    const char *text = (const char *)(reg_t)info[4];
    for (unsigned i = 0; i < PAGE - 1 && text[i]; i++)
        to[i] = text[i];
}

/* The guest's image, and the pages in it that are the SVSM's to fill. */
static u32 load_guest(void)
{
    const struct payload_header *h = payload_header();
    if (!guest_memory(GUEST_BASE, h->end - GUEST_BASE)) {
        printf("svsm: the payload does not fit\n");
        terminate(0, 0);
    }
    memcpy((void *)GUEST_BASE, payload_start, (size_t)(payload_end - payload_start));
    struct cpuid_page *cpuid = (void *)(reg_t)h->cpuid_page;
    *cpuid = snp_cpuid_page;
    for (u32 i = 0; i < cpuid->count; i++)
        if (cpuid->entry[i].function == 0x8000001F)
            cpuid->entry[i].eax |= SVSM_PRESENT;
    struct secrets_page *secrets = (void *)(reg_t)h->secrets_page;
    memcpy(secrets, &snp_secrets_page, PAGE);
    memset(secrets->vmpck, 0, GUEST_VMPL * sizeof secrets->vmpck[0]);
    secrets->svsm_base = (reg_t)image_start;
    secrets->svsm_size = (reg_t)(image_end - image_start);
    secrets->svsm_caa = h->calling_area;
    secrets->svsm_max_version = 1;
    secrets->svsm_guest_vmpl = GUEST_VMPL;
    copy_command_line((char *)(reg_t)h->command_line);
    vcpus[0].area = (struct calling_area *)(reg_t)h->calling_area;
    return h->entry;
}

int main(void)
{
    snp_open("svsm");
    /* Only VMPL0 can adjust VMPL1. */
    if (rmpadjust((reg_t)svsm_page(), false, 1) != SNP_OK)
        terminate(TERM_SET_LINUX, TERM_NOT_VMPL0);
    u64 offered = msr_protocol(GHCB_FEATURES_REQ), needed = HV_SNP | HV_AP_CREATION | HV_MULTI_VMPL;
    if ((offered & GHCB_CODE) != GHCB_FEATURES_RESP || (offered >> 12 & needed) != needed)
        terminate(0, 2);
    apic_find(offered >> 12);
    vcpus_find();
    apic_open(&vcpus[0]);
    guest_request_open();
    memory_accept();
    u32 entry = load_guest();
    printf("svsm: VMPL0 on %u vCPUs, SEV_FEATURES 0x%llx; the guest starts at 0x%x\n", vcpu_count, sev_features(), entry);
    vcpus[0].guest = svsm_page();
    vcpu_guest_vmsa(vcpus[0].guest, entry);
    if (set_vmsa((reg_t)vcpus[0].guest, true) != SNP_OK)
        terminate(0, 0);
    vcpu_run(&vcpus[0]);
}
