/* Made by `make host` on a processor with every extension named in integer.h: one CRC-32 a group. */
#pragma once
#include "types.h"

static const u32 expected[] = {
    0xaf1c562e, /* ADD ADC */
    0x27bb7d61, /* SUB SBB CMP */
    0x807a0803, /* AND OR XOR TEST */
    0x172f1538, /* INC DEC NEG NOT */
    0xba97833b, /* XADD XCHG */
    0x245704b7, /* MUL */
    0xd5ec2619, /* IMUL */
    0x58091dbd, /* DIV IDIV */
    0xad34f35e, /* MOVSX MOVZX LEA and partial registers */
    0x5dbb207e, /* SHL SHR SAR */
    0xa56696b2, /* ROL ROR RCL RCR */
    0x509aef94, /* SHLD SHRD */
    0x08dfbade, /* BT BTS BTR BTC */
    0x19b1981e, /* BSF BSR */
    0x914841e0, /* POPCNT */
    0xae345b24, /* LZCNT */
    0x18d6bb77, /* BMI1 */
    0x754804c1, /* BMI2 */
    0x974e9ab3, /* ADCX ADOX */
    0x87f4ad2d, /* BSWAP */
    0x3410072d, /* MOVBE */
    0x20961c77, /* CRC32 */
    0x7c470891, /* CMPXCHG CMPXCHG8B LOCK */
    0xa93a1663, /* CMPXCHG16B */
    0x91cec584, /* SETcc CMOVcc Jcc */
    0xbfa6f51f, /* LAHF SAHF CMC STC CLC */
    0xadd26525, /* ENTER LEAVE PUSH POP LOOP */
    0x525d531f, /* MOVS */
    0x6ce58a0c, /* STOS LODS */
    0x32208c85, /* CMPS */
    0x8f610e5f, /* SCAS */
    0xc91aac9f, /* REP MOVS over itself */
    0x4c0af921, /* XLAT */
};
