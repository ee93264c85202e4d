/*
 * Loops around VTL switches, for `strata bench switch`, which sets path_choice and path_rounds before the start; by
 * itself the guest goes through the two kinds of call and checks that both come back.
 */
#include "../vsm/rt.h"
#include "paths.h"

#define DEVICE_VECTOR 0x61
#define SERVICE_VECTOR 0x62
#define VINA_VECTOR 0x70
#define VINA_ENABLED (1ull << 8)
#define VINA_AUTO_RESET (1ull << 9)

enum choice { CHECK_ALL, CALL_FAST, CALL_NORMAL, INTERRUPT, VINA };

volatile u32 path_choice, path_rounds = 10;
u64 call_stub, return_stub;
struct hv_vp_assist *service_assist;
void (*volatile service)(void);

void loop_call(void);
void loop_interrupt(void);
void service_start(void);
void service_fast(void);
void service_normal(void);
void service_busy(void);
extern const char on_device[], on_service[], on_vina[];

/* VTL1's first entry, which ends in the service's loop: the runtime's own loop saves more than a path should have. */
static void vtl1(struct shared_registers *r)
{
    CHECK(!r, "VTL1 is in the runtime's loop");
    return_stub = self()->return_stub;
    service_assist = self()->assist;
    if (path_choice == VINA)
        hv_set(HV_REG_VSM_VINA, 0, VINA_ENABLED | VINA_AUTO_RESET | VINA_VECTOR);
    service_start();
}

static void run(enum choice choice)
{
    service = choice == CALL_FAST ? service_fast : choice == VINA ? service_busy : service_normal;
    if (choice == INTERRUPT)
        loop_interrupt();
    else
        loop_call();
}

int main(void)
{
    vsm_open("vsm_switch", 1);
    no_other_interrupts();
    enable_vector_state();
    short_gate(DEVICE_VECTOR, on_device);
    short_gate(SERVICE_VECTOR, on_service);
    short_gate(VINA_VECTOR, on_vina);
    call_stub = self()->call_stub;
    vsm_enable(1, vtl1);
    vtl_call(0, 0, 0);
    if (path_choice != CHECK_ALL) {
        sti();
        run(path_choice);
    } else
        for (enum choice each = CALL_FAST; each <= CALL_NORMAL; each++) {
            path_rounds = 10;
            run(each);
            CHECK(path_rounds == 0, "%u rounds are left", path_rounds);
        }
    return check_report("vsm_switch");
}
