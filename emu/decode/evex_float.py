"""Facts about the EVEX forms of floating-point and cryptographic instructions, for emu/decode/evex.py's table.

All that compute under a mask do not access masked-off memory (SDM Vol. 2A 2.8: classes E2 to E6 and E11), so
SUPPRESSING is most; UNSUPPRESSED have no mask, or read all of their operand.
"""

import re

SUFFIXES = ("PS", "PD", "SS", "SD")
_ARITHMETIC = ("ADD", "SUB", "MUL", "DIV", "MIN", "MAX", "SQRT", "CMP", "GETEXP", "GETMANT", "SCALEF", "RANGE",
               "REDUCE", "RNDSCALE", "FIXUPIMM", "RCP14", "RSQRT14", "FPCLASS",
               *(n + d for n in ("FMADD", "FMSUB", "FNMADD", "FNMSUB") for d in ("132", "213", "231")))
_PACKED = tuple(n + d for n in ("FMADDSUB", "FMSUBADD") for d in ("132", "213", "231"))
# Destination's element by the end of a conversion's mnemonic
_ELEMENT = {"PS": 4, "PD": 8, "SS": 4, "SD": 8, "DQ": 4, "UDQ": 4, "QQ": 8, "UQQ": 8, "PH": 2}
CONVERSIONS = frozenset("""
    VCVTPS2PD VCVTPD2PS VCVTSS2SD VCVTSD2SS VCVTPH2PS VCVTPS2PH VCVTDQ2PS VCVTDQ2PD VCVTUDQ2PS VCVTUDQ2PD
    VCVTQQ2PS VCVTQQ2PD VCVTUQQ2PS VCVTUQQ2PD
    VCVTPS2DQ VCVTTPS2DQ VCVTPD2DQ VCVTTPD2DQ VCVTPS2UDQ VCVTTPS2UDQ VCVTPD2UDQ VCVTTPD2UDQ
    VCVTPS2QQ VCVTTPS2QQ VCVTPD2QQ VCVTTPD2QQ VCVTPS2UQQ VCVTTPS2UQQ VCVTPD2UQQ VCVTTPD2UQQ
    """.split())
SUPPRESSING = frozenset("V" + n + s for n in _ARITHMETIC for s in SUFFIXES) | CONVERSIONS | frozenset(
    "V" + n + s for n in _PACKED for s in SUFFIXES[:2]) | frozenset(
    "VPDPBUSD VPDPBUSDS VPDPWSSD VPDPWSSDS VPMADD52LUQ VPMADD52HUQ VGF2P8MULB".split())
UNSUPPRESSED = frozenset("""
    VCOMISS VCOMISD VUCOMISS VUCOMISD VCVTSS2SI VCVTSD2SI VCVTTSS2SI VCVTTSD2SI VCVTSI2SS VCVTSI2SD
    VCVTSS2USI VCVTSD2USI VCVTTSS2USI VCVTTSD2USI VCVTUSI2SS VCVTUSI2SD
    VAESENC VAESENCLAST VAESDEC VAESDECLAST VPCLMULQDQ VGF2P8AFFINEQB VGF2P8AFFINEINVQB
    """.split())
GRANULARITY = {name: _ELEMENT[re.sub(".*2", "", name)] for name in CONVERSIONS}
GRANULARITY |= {"VPDPBUSD": 4, "VPDPBUSDS": 4, "VPDPWSSD": 4, "VPDPWSSDS": 4, "VGF2P8AFFINEQB": 1,
                "VGF2P8AFFINEINVQB": 1}
# Whose memory operand's elements are not as many as would fill the widest register
COUNTED = CONVERSIONS | {"VFPCLASSPS", "VFPCLASSPD"}
