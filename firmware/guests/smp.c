/*
 * Several processors: INIT and start-up IPIs, locked operations, message passing, IPIs of every kind, TLB shoot-down,
 * code that one processor writes and another runs (SDM vol. 3 ch. 9 and 11).
 */
#include "sdk.h"

#define START 0x8000u
#define MAX_CPUS 8
#define ROUNDS 2000u
#define V_COUNT 0x40
#define V_SHOOT 0x41
#define ICR_NMI 0x400u
#define ICR_INIT 0x500u
#define ICR_SIPI 0x600u
#define ICR_ASSERT 0x4000u
#define ICR_OTHERS 0xC0000u
#define ICR_LOGICAL 0x800u
#define WINDOW 0x8000000000ull /* PML4 entry 1 */

extern u8 ap_start[], ap_end[];
extern u64 boot_pml4[];
u8 ap_stacks[MAX_CPUS * 16384] ALIGNED(16);
volatile u32 ap_tickets;
struct { u16 limit; u64 base; } __attribute__((packed)) idt_copy;

enum command { WAIT, LOCKED, SPIN, RECEIVE, TOUCH, CALL, LISTEN };
static volatile u32 command, round, done, online;
static volatile u32 counter, spin_lock, guarded, data_word, flag_word, wrong;
static volatile u32 ipis[MAX_CPUS], shoots, nmis[MAX_CPUS], ids[MAX_CPUS], beats[MAX_CPUS];
static u64 window_pdpt[512] ALIGNED(4096), window_pd[512] ALIGNED(4096), window_pt[512] ALIGNED(4096);
static u8 pages[2][4096] ALIGNED(4096), patch[4096] ALIGNED(4096);
static u32 cpus;

static inline void pause(void) { asm volatile("pause" : : : "memory"); }
static inline u32 locked_add(volatile u32 *at, u32 v)
{
    asm volatile("lock xaddl %0, %1" : "+r"(v), "+m"(*at) : : "memory", "cc");
    return v;
}
static u32 self(void) { return apic_read(APIC_ID) >> 24; }

static void on_count(struct trap_frame *f) { (void)f; ipis[self()]++; apic_eoi(); }
static void on_nmi(struct trap_frame *f) { (void)f; nmis[self()]++; }
static void on_shoot(struct trap_frame *f)
{
    (void)f;
    invlpg((void *)WINDOW);
    locked_add(&shoots, 1);
    apic_eoi();
}

static u32 load_window(void) { return *(volatile u32 *)WINDOW; }

static void work(u32 me, u32 what)
{
    if (what == LOCKED) {
        for (u32 i = 0; i < ROUNDS; i++)
            asm volatile("lock incl %0" : "+m"(counter) : : "memory", "cc");
    } else if (what == SPIN) {
        for (u32 i = 0; i < ROUNDS; i++) {
            u32 held = 1;
            for (;;) {
                asm volatile("xchgl %0, %1" : "+r"(held), "+m"(spin_lock) : : "memory");
                if (!held)
                    break;
                pause();
                held = 1;
            }
            guarded = guarded + 1;
            barrier();
            spin_lock = 0;
        }
    } else if (what == RECEIVE) {
        for (u32 i = 1; i <= ROUNDS; i++) {
            while (flag_word < i)
                pause();
            if (data_word < i)
                wrong++;
        }
    } else if (what == TOUCH) {
        if (load_window() != 0x11111111 * round)
            wrong++;
    } else if (what == CALL) {
        serialize();
        if (((u32 (*)(void))patch)() != round)
            wrong++;
    } else if (what == LISTEN) {
        sti();
        while (command == LISTEN)
            beats[me]++;
        cli();
    }
}

void ap_main(u32 ticket)
{
    apic_enable();
    u32 me = self(), seen = 0;
    ids[ticket] = me;
    locked_add(&online, 1);
    for (;;) {
        while (round == seen)
            pause();
        seen = round;
        work(me, command);
        locked_add(&done, 1);
    }
}

/* Tells the others to work, and takes part where `too`; returns when all are done. */
static void all(u32 what, bool too)
{
    done = 0;
    command = what;
    barrier();
    round = round + 1;
    if (too)
        work(self(), what);
    while (done != cpus - 1)
        pause();
}

static void icr(u32 destination, u32 low)
{
    apic_write(APIC_ICR_HIGH, destination << 24);
    apic_write(APIC_ICR_LOW, low | ICR_ASSERT);
}

static void wait_for(volatile u32 *what, u32 value)
{
    for (u32 i = 0; i < 10000000 && *what != value; i++)
        pause();
}

static void start_others(void)
{
    printf("INIT and start-up IPIs\n");
    memcpy((void *)(reg_t)START, ap_start, ap_end - ap_start);
    asm volatile("sidt idt_copy" : : : "memory");
    icr(0, ICR_OTHERS | ICR_INIT);
    icr(0, ICR_OTHERS | ICR_SIPI | START >> 12);
    wait_for(&online, cpus - 1);
    CHECK(online == cpus - 1, "%u of %u started", online, cpus - 1);
    icr(0, ICR_OTHERS | ICR_SIPI | START >> 12); /* no effect on a processor that runs */
    u32 mask = 0;
    for (u32 i = 0; i < online; i++)
        mask |= 1u << ids[i];
    CHECK(mask == (1u << cpus) - 2, "identifiers %x", mask);
}

static void memory(void)
{
    printf("locked operations and ordering\n");
    all(LOCKED, true);
    CHECK(counter == cpus * ROUNDS, "%u locked increments of %u", counter, cpus * ROUNDS);
    all(SPIN, true);
    CHECK(guarded == cpus * ROUNDS, "%u increments under a lock of %u", guarded, cpus * ROUNDS);
    done = 0;
    command = RECEIVE;
    barrier();
    round = round + 1;
    for (u32 i = 1; i <= ROUNDS; i++) {
        data_word = i;
        barrier(); /* stores are seen in program order (SDM vol. 3 §9.2.2) */
        flag_word = i;
    }
    while (done != cpus - 1)
        pause();
    CHECK(!wrong, "%u flags came before their data", wrong);
}

static void interprocessor(void)
{
    printf("IPIs while the others run\n");
    done = 0;
    command = LISTEN;
    barrier();
    round = round + 1;
    for (u32 i = 1; i < cpus; i++)
        while (!beats[i])
            pause();
    for (u32 i = 1; i < cpus; i++) {
        icr(i, V_COUNT);
        wait_for(&ipis[i], 1);
        CHECK(ipis[i] == 1, "processor %u took %u", i, ipis[i]);
    }
    icr(0, ICR_OTHERS | V_COUNT);
    for (u32 i = 1; i < cpus; i++) {
        wait_for(&ipis[i], 2);
        CHECK(ipis[i] == 2, "processor %u took %u after the broadcast", i, ipis[i]);
    }
    CHECK(ipis[0] == 0, "the sender took %u", ipis[0]);
    icr(0, ICR_OTHERS | ICR_NMI);
    for (u32 i = 1; i < cpus; i++) {
        wait_for(&nmis[i], 1);
        CHECK(nmis[i] == 1, "processor %u took %u NMIs", i, nmis[i]);
    }
    u32 before = beats[1];
    for (u32 i = 0; i < 10000000 && beats[1] == before; i++)
        pause();
    CHECK(beats[1] != before, "processor 1 does not go on");
    command = WAIT;
    while (done != cpus - 1)
        pause();
}

static void shoot_down(void)
{
    printf("TLB shoot-down\n");
    boot_pml4[1] = (reg_t)window_pdpt | 7;
    window_pdpt[0] = (reg_t)window_pd | 7;
    window_pd[0] = (reg_t)window_pt | 7;
    wrong = 0;
    for (u32 i = 0; i < 20; i++) {
        u32 next = round + 1;
        *(u32 *)pages[i & 1] = 0x11111111 * next;
        window_pt[0] = (reg_t)pages[i & 1] | 7;
        barrier();
        invlpg((void *)WINDOW);
        if (i) { /* the others hold the old page */
            shoots = 0;
            done = 0;
            command = LISTEN;
            barrier();
            round = next;
            icr(0, ICR_OTHERS | V_SHOOT);
            wait_for(&shoots, cpus - 1);
            CHECK(shoots == cpus - 1, "round %u: %u answers", i, shoots);
            command = WAIT;
            while (done != cpus - 1)
                pause();
            *(u32 *)pages[i & 1] = 0x11111111 * (round + 1);
        }
        all(TOUCH, true);
        CHECK(!wrong, "round %u: %u read the old page", i, wrong);
    }
}

static void cross_modified(void)
{
    printf("code written by another processor\n");
    wrong = 0;
    for (u32 i = 0; i < 20; i++) {
        patch[0] = 0xB8; /* mov eax, imm32; ret */
        *(u32 *)(patch + 1) = round + 1;
        patch[5] = 0xC3;
        barrier();
        all(CALL, true);
        CHECK(!wrong, "round %u: %u ran old code", i, wrong);
    }
}

static void start_again(void)
{
    printf("INIT stops a processor, another start-up IPI starts it\n");
    done = 0;
    command = LISTEN;
    barrier();
    round = round + 1;
    for (u32 i = 1; i < cpus; i++) {
        u32 before = beats[i];
        while (beats[i] == before)
            pause();
    }
    icr(1, ICR_INIT);
    for (volatile u32 i = 0; i < 100000; i++)
        ;
    u32 before = beats[1];
    for (volatile u32 i = 0; i < 100000; i++)
        ;
    CHECK(beats[1] == before, "processor 1 runs in spite of INIT");
    u32 expected = online + 1;
    command = WAIT;
    icr(1, ICR_SIPI | START >> 12);
    wait_for(&online, expected);
    CHECK(online == expected && ids[ap_tickets - 1] == 1, "processor 1 did not start again");
}

/* QEMU's fw_cfg, item 5: the number of processors. */
static u32 processors(void)
{
    outw(0x510, 5);
    u32 low = inb(0x511), high = inb(0x511);
    return low | high << 8;
}

int main(void)
{
    cpus = processors();
    if (cpus < 2 || cpus > MAX_CPUS || !(cpuid(1, 0).edx & 1u << 9)) {
        printf("smp: needs 2 to %u processors with local APICs, here are %u\n", MAX_CPUS, cpus);
        return EXIT_SKIP;
    }
    trap_init();
    set_handler(V_COUNT, on_count);
    set_handler(V_SHOOT, on_shoot);
    set_handler(V_NMI, on_nmi);
    apic_enable();
    start_others();
    memory();
    interprocessor();
    shoot_down();
    cross_modified();
    start_again();
    return check_report("smp");
}
