/* Output, program end and self-checks. */
#pragma once
#include "types.h"

#define CONSOLE_SERIAL 1u /* 16550 at 0x3F8, polled */
#define CONSOLE_E9 2u     /* debug port 0xE9, one byte a write */
extern unsigned console;  /* where printf writes: a mask of the two; serial at the start */

/* %d %i %u %x %X %c %s %p %%; flags 0 and -, a width; length l and ll. */
void printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void vprintf(const char *fmt, va_list ap);
void putchar(char c);

#define EXIT_PASS 0
#define EXIT_FAIL 1
#define EXIT_SKIP 38
#define EXIT_UNHANDLED 63

/* Writes code to the isa-debug-exit port 0xF4: the run ends with status (code << 1) | 1. */
void exit(int code) __attribute__((noreturn));

extern unsigned check_passed, check_failed;

/* Counts a pass, or prints place and message and counts a failure. Returns cond. */
#define CHECK(cond, ...) check_one((cond), __FILE_NAME__, __LINE__, __VA_ARGS__)

/* As CHECK; but where QEMU's TCG is known to differ from the SDM, a failure there is only reported. */
#define CHECK_EXCEPT_TCG(cond, ...) check_except_tcg((cond), __FILE_NAME__, __LINE__, __VA_ARGS__)

bool check_one(bool ok, const char *file, int line, const char *fmt, ...) __attribute__((format(printf, 4, 5)));
bool check_except_tcg(bool ok, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* Prints the totals; returns EXIT_PASS when nothing failed, else EXIT_FAIL: what main returns. */
int check_report(const char *name);
