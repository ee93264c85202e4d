/* An integer mix as of old system programs: records through pointers, strings, enumerations, calls through a table,
   division, bit fields, and a small virtual machine. */
#include "program.h"

#define LOOPS 6000

enum color { RED, GREEN, BLUE, COLORS };

struct record {
    struct record *next;
    enum color color;
    u16 low : 5, middle : 7, high : 4;
    s32 value;
    char name[24];
};

static struct record one, two;
static s32 numbers[64];

static s32 add(s32 a, s32 b) { return (s32)((u32)a + (u32)b); }
static s32 subtract(s32 a, s32 b) { return (s32)((u32)a - (u32)b); }
static s32 multiply(s32 a, s32 b) { return (s32)((u32)a * (u32)b); }
static s32 divide(s32 a, s32 b) { return b == 0 || b == -1 ? a : a / b; }
static s32 remainder_of(s32 a, s32 b) { return b == 0 || b == -1 ? a : a % b; }
static s32 (*const operations[])(s32, s32) = {add, subtract, multiply, divide, remainder_of};

static void copy_string(char *to, const char *from)
{
    while ((*to++ = *from++))
        ;
}

static int compare_strings(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return (u8)*a - (u8)*b;
}

static enum color next_color(enum color c)
{
    switch (c) {
    case RED:
        return GREEN;
    case GREEN:
        return BLUE;
    default:
        return RED;
    }
}

static void advance(struct record *r, s32 step)
{
    *r->next = *r;
    r->next->value = add(r->value, step);
    r->next->color = next_color(r->color);
    r->next->next = r;
    r->next->middle += r->low + 3;
    r->next->high ^= r->middle;
    r->low++;
    copy_string(r->next->name, compare_strings(r->name, "DIGITS, 2ND STRING") > 0 ? "DIGITS, 1ST STRING"
                                                                                   : "DIGITS, 3RD STRING");
}

/* A stack machine: digits push, + - * / % combine, d duplicates, s swaps, and each number left goes to the sum. */
static s32 interpret(const char *code, s32 start)
{
    s32 stack[16];
    int depth = 0;
    stack[depth++] = start;
    for (; *code; code++) {
        static const char symbols[] = "+-*/%";
        if (*code >= '0' && *code <= '9')
            stack[depth++] = *code - '0';
        else if (*code == 'd')
            stack[depth] = stack[depth - 1], depth++;
        else if (*code == 's') {
            s32 t = stack[depth - 1];
            stack[depth - 1] = stack[depth - 2];
            stack[depth - 2] = t;
        } else
            for (int i = 0; symbols[i]; i++)
                if (*code == symbols[i]) {
                    depth--;
                    stack[depth - 1] = operations[i](stack[depth - 1], stack[depth]);
                }
    }
    s32 sum = 0;
    while (depth)
        sum = add(sum, stack[--depth]);
    return sum;
}

static u64 greatest_common_divisor(u64 a, u64 b)
{
    while (b) {
        u64 t = a % b;
        a = b;
        b = t;
    }
    return a;
}

void program(void)
{
    u64 seed = 9, divisors = 0;
    u32 colors[COLORS] = {0};
    s64 wide = 1;
    one.next = &two;
    two.next = &one;
    copy_string(one.name, "DIGITS, 2ND STRING");
    struct record *r = &one;
    for (s32 i = 0; i < LOOPS; i++) {
        advance(r, i);
        r = r->next;
        colors[r->color]++;
        numbers[i % 64] = interpret("d3*7+s5-d*s%9+2/", add(r->value, numbers[(i + 17) % 64]));
        divisors += greatest_common_divisor(next_random(&seed), 5040ull * 11 * 13);
        wide = (wide * 31 + numbers[i % 64]) % 1000000007ll;
    }
    printf("record: %s, color %d, value %d, fields %d %d %d\n", r->name, r->color, r->value, r->low, r->middle, r->high);
    printf("colors %u %u %u, divisors %llu, wide %lld\n", colors[RED], colors[GREEN], colors[BLUE], divisors, wide);
    printf("numbers %d %d, digest %llx\n", numbers[0], numbers[63], digest(DIGEST_START, numbers, sizeof numbers));
}
