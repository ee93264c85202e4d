#include "console.h"
#include "cpu.h"
#include "trap.h"

volatile reg_t probe_at, probe_next, probe_resume, probe_sp;
volatile unsigned probe_count;
struct trap_frame probe_frame;

void probe_handler(struct trap_frame *f)
{
    if (!probe_resume)
        trap_unhandled(f);
    probe_frame = *f;
    probe_count++;
    f->ip = probe_resume;
    f->flags &= (typeof(f->flags))~FLAG_TF;
}

void probe_init(void)
{
    for (unsigned i = 0; i < 32; i++)
        set_handler(i, probe_handler);
}

bool probe_check(unsigned vector, reg_t error, reg_t ip, bool tcg_differs, const char *file, int line,
                 const char *what)
{
    unsigned count = probe_count;
    probe_count = 0;
    bool ok = count == 1 && probe_frame.vector == vector && PROBE_ERROR == error &&
              probe_frame.ip == (typeof(probe_frame.ip))ip;
    bool (*check)(bool, const char *, int, const char *, ...) = tcg_differs ? check_except_tcg : check_one;
    if (!ok && !count)
        return check(false, file, line, "%s: no trap, expected vector %u", what, vector);
    return check(ok, file, line,
                 "%s: %u traps, last vector %u error 0x%lx ip 0x%lx; "
                 "expected vector %u error 0x%lx ip 0x%lx", what, count, (unsigned)probe_frame.vector, PROBE_ERROR,
                 (unsigned long)probe_frame.ip, vector, (unsigned long)error, (unsigned long)ip);
}

bool probe_check_none(const char *file, int line, const char *what)
{
    unsigned count = probe_count;
    probe_count = 0;
    return check_one(!count, file, line, "%s: unexpected vector %u error 0x%lx ip 0x%lx", what,
                     (unsigned)probe_frame.vector, PROBE_ERROR, (unsigned long)probe_frame.ip);
}
