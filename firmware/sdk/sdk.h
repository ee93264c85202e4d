/* Everything. A test is: #include "sdk.h", int main(void), CHECK(...), return check_report("name"). */
#pragma once
#include "apic.h"
#include "console.h"
#include "cpu.h"
#include "io.h"
#include "mem.h"
#include "pic.h"
#include "trap.h"
#include "types.h"
