/* What the paravisor gives a guest. */
#pragma once

#define LEAF_RESULT 0x40000098u /* CPUID: RESULT in each register, registered with the hypervisor */
#define RESULT 0x600DF00Du
#define LEAF_STATE 0x40000099u /* CPUID: PRESENT, the value kept, intercepts so far, where its memory is */
#define PRESENT 0x56544C32u
#define MSR_ANSWER 0xC0DEu /* a read of an MSR that does not exist gives its index with these bits changed */
#define PORT 0x200ull      /* I/O ports: a write is kept, a read gives the port's low byte */
#define PORTS 16
