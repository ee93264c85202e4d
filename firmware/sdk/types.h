/* Fixed-width names that print the same way in every mode (u64 is always %llu). */
#pragma once
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef signed int s32;
typedef signed long long s64;

/* As wide as a general register: 64 bits in long mode, else 32. */
typedef __UINTPTR_TYPE__ reg_t;

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define ALIGNED(n) __attribute__((aligned(n)))
