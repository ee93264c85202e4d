#include "console.h"
#include "io.h"

#define UART 0x3F8
#define UART_LSR (UART + 5)
#define LSR_THRE 0x20 /* transmitter holding register empty (16550 data sheet §8.4) */
#define DEBUG_PORT 0xE9
#define DEBUG_EXIT 0xF4

unsigned console = CONSOLE_SERIAL;

void putchar(char c)
{
    if (console & CONSOLE_E9)
        outb(DEBUG_PORT, (u8)c);
    if (console & CONSOLE_SERIAL) {
        while (!(inb(UART_LSR) & LSR_THRE))
            ;
        outb(UART, (u8)c);
    }
}

/* One DIV a half: the 32-bit modes have no 64-bit division without libgcc. */
static unsigned divide(u64 *v, unsigned base)
{
    u32 hi = (u32)(*v >> 32), lo = (u32)*v, rem = 0;
    asm("divl %2" : "+a"(hi), "+d"(rem) : "r"(base) : "cc");
    asm("divl %2" : "+a"(lo), "+d"(rem) : "r"(base) : "cc");
    *v = (u64)hi << 32 | lo;
    return rem;
}

static void pad(int count, char c)
{
    while (count-- > 0)
        putchar(c);
}

struct spec {
    int width;
    bool left, zero, upper;
};

static void put_text(const char *s, int len, struct spec f)
{
    if (!f.left)
        pad(f.width - len, ' ');
    for (int i = 0; i < len; i++)
        putchar(s[i]);
    if (f.left)
        pad(f.width - len, ' ');
}

static void put_number(u64 v, unsigned base, const char *prefix, struct spec f)
{
    char text[24];
    int n = sizeof text, head = 0;
    do {
        unsigned digit = divide(&v, base);
        text[--n] = (char)(digit < 10 ? '0' + digit : (f.upper ? 'A' : 'a') + digit - 10);
    } while (v);
    while (prefix[head])
        head++;
    int len = (int)sizeof text - n + head, fill = f.width - len;
    if (!f.left && !f.zero)
        pad(fill, ' ');
    for (int i = 0; i < head; i++)
        putchar(prefix[i]);
    if (!f.left && f.zero)
        pad(fill, '0');
    for (; n < (int)sizeof text; n++)
        putchar(text[n]);
    if (f.left)
        pad(fill, ' ');
}

void vprintf(const char *fmt, va_list ap)
{
    for (; *fmt; fmt++) {
        if (*fmt != '%') {
            putchar(*fmt);
            continue;
        }
        struct spec f = {0};
        int longs = 0;
        for (fmt++; *fmt == '0' || *fmt == '-'; fmt++)
            *(*fmt == '0' ? &f.zero : &f.left) = true;
        for (; *fmt >= '0' && *fmt <= '9'; fmt++)
            f.width = f.width * 10 + *fmt - '0';
        for (; *fmt == 'l'; fmt++)
            longs++;
        switch (*fmt) {
        case 'd':
        case 'i': {
            s64 v = longs > 1 ? va_arg(ap, long long) : longs ? va_arg(ap, long) : va_arg(ap, int);
            put_number(v < 0 ? -(u64)v : (u64)v, 10, v < 0 ? "-" : "", f);
            break;
        }
        case 'X':
            f.upper = true; /* fall through */
        case 'x':
        case 'u': {
            u64 v = longs > 1 ? va_arg(ap, unsigned long long)
                    : longs   ? va_arg(ap, unsigned long)
                              : va_arg(ap, unsigned);
            put_number(v, *fmt == 'u' ? 10 : 16, "", f);
            break;
        }
        case 'p':
            put_number((reg_t)va_arg(ap, void *), 16, "0x", f);
            break;
        case 'c': {
            char c = (char)va_arg(ap, int);
            put_text(&c, 1, f);
            break;
        }
        case 's': {
            const char *s = va_arg(ap, const char *);
            int len = 0;
            while (s[len])
                len++;
            put_text(s, len, f);
            break;
        }
        case 0:
            return;
        default:
            putchar(*fmt);
        }
    }
}

void printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
}

void exit(int code)
{
    outl(DEBUG_EXIT, (u32)code);
    for (;;)
        asm volatile("cli; hlt");
}
