#include "console.h"
#include "cpu.h"

unsigned check_passed, check_failed;
static unsigned deviations;

static void report(const char *kind, const char *file, int line, const char *fmt, va_list ap)
{
    printf("%s %s:%d: ", kind, file, line);
    vprintf(fmt, ap);
    putchar('\n');
}

bool check_one(bool ok, const char *file, int line, const char *fmt, ...)
{
    if (ok) {
        check_passed++;
        return true;
    }
    check_failed++;
    va_list ap;
    va_start(ap, fmt);
    report("FAIL", file, line, fmt, ap);
    va_end(ap);
    return false;
}

bool check_except_tcg(bool ok, const char *file, int line, const char *fmt, ...)
{
    if (ok) {
        check_passed++;
        return true;
    }
    bool excused = on_qemu_tcg();
    *(excused ? &deviations : &check_failed) += 1;
    va_list ap;
    va_start(ap, fmt);
    report(excused ? "known QEMU TCG deviation" : "FAIL", file, line, fmt, ap);
    va_end(ap);
    return false;
}

int check_report(const char *name)
{
    printf("%s: %u checks passed, %u failed", name, check_passed, check_failed);
    if (deviations)
        printf(", %u known deviations of QEMU TCG", deviations);
    putchar('\n');
    return check_failed ? EXIT_FAIL : EXIT_PASS;
}
