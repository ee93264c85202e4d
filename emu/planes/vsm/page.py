"""The hypercall page: the stubs through which guests reach the hypervisor (TLFS, "Establishing the hypercall
interface" and Virtual Secure Mode, "VsmCodePageOffsets").

The VTL call and return stubs move the control value out of the input register, RCX or EDX:EAX, into RAX or ECX.
"""

SIZE = 4096
VMCALL, VMMCALL = b"\x0f\x01\xc1", b"\x0f\x01\xd9"
RET, INT3 = b"\xc3", b"\xcc"
HV_VTL_CALL, HV_VTL_RETURN = 0x11, 0x12


def _stub32(code: int, instruction: bytes) -> bytes:
    """mov ecx, eax; mov eax, code; hypercall; ret"""
    return b"\x89\xc1\xb8" + code.to_bytes(4, "little") + instruction + RET


def _stub64(code: int, instruction: bytes) -> bytes:
    """mov rax, rcx; mov ecx, code; hypercall; ret"""
    return b"\x48\x89\xc8\xb9" + code.to_bytes(4, "little") + instruction + RET


def _parts(instruction: bytes) -> list[bytes]:
    return [instruction + RET, _stub32(HV_VTL_CALL, instruction), _stub64(HV_VTL_CALL, instruction),
            _stub32(HV_VTL_RETURN, instruction), _stub64(HV_VTL_RETURN, instruction)]


def contents(amd: bool) -> bytes:
    """The page's bytes, with the hypercall instruction of the vendor."""
    return b"".join(_parts(VMMCALL if amd else VMCALL)).ljust(SIZE, INT3)


def offsets(wide: bool) -> int:
    """VsmCodePageOffsets of a VTL in 64-bit mode (`wide`) or 32-bit mode: call in bits 11:0, return in 23:12."""
    parts = _parts(VMCALL)
    starts = [sum(len(part) for part in parts[:i]) for i in range(len(parts))]
    return starts[2] | starts[4] << 12 if wide else starts[1] | starts[3] << 12
