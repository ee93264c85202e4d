/* Protocol 0: the calling area, memory, vCPUs and what there is (SVSM §6). */
#include "svsm.h"

#define POOL 64

static u64 pool[POOL]; /* deposited pages */
static unsigned pooled;

static u64 remap_ca(struct vcpu *v, struct vmsa *r)
{
    u64 gpa = r->rcx;
    if (gpa & (PAGE - 1))
        return SVSM_INVALID_PARAMETER;
    if (gpa == (reg_t)v->area)
        return SVSM_SUCCESS;
    if (!guest_memory(gpa, PAGE) || page_in_use(gpa) || !guest_touch(gpa))
        return SVSM_INVALID_ADDRESS;
    memset((void *)gpa, 0, 8);
    v->area = (struct calling_area *)gpa;
    return SVSM_SUCCESS;
}

/* A list at gpa that lies in one page, or 0 and why not. */
static struct page_list *list_at(u64 gpa, u64 *result)
{
    struct page_list *list = (struct page_list *)gpa;
    *result = SVSM_INVALID_PARAMETER;
    if (gpa & 7 || LIST_MAX(gpa) == 0)
        return 0;
    if (!guest_memory(gpa & -PAGE, PAGE) || !guest_touch(gpa)) {
        *result = SVSM_INVALID_ADDRESS;
        return 0;
    }
    return list->count && list->count <= LIST_MAX(gpa) && list->next < list->count ? list : 0;
}

/* Rescinding takes the guest's rights first; accepting gives them last, to an empty page. */
static u64 pvalidate_entry(u64 entry, bool *flush)
{
    bool large = (entry & ENTRY_SIZE) == ENTRY_2M, validate = entry & ENTRY_VALIDATE;
    u64 size = large ? LARGE_PAGE : PAGE, gpa = entry & -PAGE;
    if ((entry & ENTRY_SIZE) > ENTRY_2M || entry & ENTRY_RESERVED || (large && gpa & (LARGE_PAGE - 1)))
        return SVSM_INVALID_PARAMETER;
    if (!guest_memory(gpa, size))
        return SVSM_INVALID_ADDRESS;
    for (u64 page = gpa; page < gpa + size; page += PAGE)
        if (page_in_use(page))
            return SVSM_INVALID_ADDRESS;
    if (!validate) {
        *flush = true;
        u32 rc = guest_grant(gpa, large, 0);
        if (rc != SNP_OK && rc != SNP_FAIL_INPUT)
            return SVSM_SNP_ERROR(rc);
    }
    u32 rc = guest_validate(gpa, large, validate);
    if (rc != SNP_OK && !(rc == SNP_UNCHANGED && entry & ENTRY_IGNORE_CF))
        return SVSM_SNP_ERROR(rc);
    if (!validate || rc == SNP_UNCHANGED)
        return SVSM_SUCCESS;
    zero(gpa, size); /* or the hypervisor could show the guest a page that was somebody else's */
    rc = guest_grant(gpa, large, VMPL_ALL);
    return rc == SNP_OK ? SVSM_SUCCESS : SVSM_SNP_ERROR(rc);
}

static u64 pvalidate_list(struct vmsa *r)
{
    u64 result;
    bool flush = false;
    struct page_list *list = list_at(r->rcx, &result);
    if (!list)
        return result;
    for (result = SVSM_SUCCESS; list->next < list->count && result == SVSM_SUCCESS;) {
        result = pvalidate_entry(list->entry[list->next], &flush);
        if (result == SVSM_SUCCESS)
            list->next++;
    }
    if (flush)
        flush_everything();
    return result;
}

static void give_back(u64 gpa)
{
    set_vmsa(gpa, false);
    guest_grant(gpa, false, VMPL_ALL);
}

static u64 create_vcpu(struct vcpu *caller, struct vmsa *r)
{
    u64 gpa = r->rcx, area = r->rdx;
    struct vmsa *state = (struct vmsa *)gpa;
    if (gpa & (PAGE - 1) || area & (PAGE - 1) || gpa == area || !guest_memory(gpa, PAGE) || !guest_memory(area, PAGE) ||
        page_in_use(gpa) || page_in_use(area) || !guest_touch(gpa) || !guest_touch(area))
        return SVSM_INVALID_ADDRESS;
    struct vcpu *v = vcpu_of((u32)r->r8);
    if (!v || v->guest)
        return SVSM_INVALID_PARAMETER;
    /* From here on the guest cannot change what is looked at. */
    if (guest_grant(gpa, false, 0) != SNP_OK)
        return SVSM_INVALID_ADDRESS;
    flush_everything();
    if (state->vmpl != GUEST_VMPL || !(state->efer & EFER_SVME) || state->sev_features != caller->guest->sev_features ||
        set_vmsa(gpa, true) != SNP_OK) {
        give_back(gpa);
        return SVSM_INVALID_PARAMETER;
    }
    memset((void *)area, 0, 8);
    v->area = (struct calling_area *)area;
    v->guest = state;
    vcpu_start(v);
    return SVSM_SUCCESS;
}

static u64 delete_vcpu(struct vmsa *r)
{
    u64 gpa = r->rcx;
    struct vcpu *v = vcpu_with_vmsa(gpa);
    if (!v || !guest_memory(gpa, PAGE)) /* the first one's is not the guest's to delete */
        return SVSM_INVALID_ADDRESS;
    vcpu_stop_guest((struct vmsa *)gpa);
    v->guest = 0;
    v->area = 0;
    apic_forget(v);
    give_back(gpa);
    flush_everything();
    return SVSM_SUCCESS;
}

static u64 deposit(struct vmsa *r)
{
    u64 result;
    struct page_list *list = list_at(r->rcx, &result);
    if (!list)
        return result;
    for (; list->next < list->count; list->next++) {
        u64 gpa = list->entry[list->next] & -PAGE;
        if (list->entry[list->next] & (PAGE - 1) || pooled == POOL)
            return SVSM_INVALID_PARAMETER;
        if (!guest_memory(gpa, PAGE) || page_in_use(gpa) || guest_grant(gpa, false, 0) != SNP_OK)
            return SVSM_INVALID_ADDRESS;
        pool[pooled++] = gpa;
    }
    flush_everything();
    return SVSM_SUCCESS;
}

/* As many pages as the list has room for and the pool has: the list says how many. */
static u64 withdraw(struct vcpu *v, struct vmsa *r)
{
    u64 result;
    struct page_list *list = list_at(r->rcx, &result);
    if (!list)
        return result;
    u16 wanted = list->count, given = 0;
    for (; given < wanted && pooled; given++) {
        u64 gpa = pool[--pooled];
        zero(gpa, PAGE);
        guest_grant(gpa, false, VMPL_ALL);
        list->entry[given] = gpa;
    }
    list->count = given;
    list->next = 0;
    v->area->mem_available = pooled != 0;
    return SVSM_SUCCESS;
}

static u64 query_protocol(struct vmsa *r)
{
    u32 protocol = (u32)(r->rcx >> 32), version = (u32)r->rcx;
    /* Each protocol that there is has version 1 alone. */
    bool there = protocol <= SVSM_VTPM || (protocol == SVSM_APIC && apic_offered());
    r->rcx = there && version == 1 ? 1ull << 32 | 1 : 0;
    return SVSM_SUCCESS;
}

static u64 configure_vtom(struct vmsa *r)
{
    if (!(r->rcx & 1))
        return SVSM_INVALID_REQUEST;
    r->rcx = 0;
    return SVSM_SUCCESS;
}

u64 core_call(struct vcpu *v, u32 call, struct vmsa *r)
{
    switch (call) {
    case CORE_REMAP_CA:
        return remap_ca(v, r);
    case CORE_PVALIDATE:
        return pvalidate_list(r);
    case CORE_CREATE_VCPU:
        return create_vcpu(v, r);
    case CORE_DELETE_VCPU:
        return delete_vcpu(r);
    case CORE_DEPOSIT_MEM:
        return deposit(r);
    case CORE_WITHDRAW_MEM:
        return withdraw(v, r);
    case CORE_QUERY_PROTOCOL:
        return query_protocol(r);
    case CORE_CONFIGURE_VTOM:
        return configure_vtom(r);
    default:
        return SVSM_UNSUPPORTED_CALL;
    }
}
