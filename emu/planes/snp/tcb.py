"""What Strata's security processor says of itself. None of it is AMD's, and all of it says so."""

from __future__ import annotations

from emu.planes.snp.launch import ABI_MAJOR, ABI_MINOR

# TCB_VERSION as processors of family 19h have it: boot loader, TEE, four reserved bytes, SNP, microcode (FWABI 3.2)
BOOT_LOADER, TEE, SNP, MICROCODE = 4, 0, 22, 84
TCB_VERSION = BOOT_LOADER | TEE << 8 | SNP << 48 | MICROCODE << 56
CHIP_ID = b"STRATA EMULATOR TEST CHIP, NOT AN AMD PROCESSOR".ljust(64, b".")
BUILD = 1
FIRMWARE = BUILD | ABI_MINOR << 8 | ABI_MAJOR << 16     # build, minor and major version, a byte each
