"""The benchmark's machine code: it is what its listing says, as long as it says, and computes what its model says."""
import struct

import iced_x86
import pytest

from tools.bench import image, loop, loops, vector_loops
from tools.bench.listing import code, lines
from tools.bench.loops import LOOPS
from tools.bench.peers import Native

LISTINGS = {"dec-jnz": (loops.DEC_JNZ, 64), "alu-mix": (loops.ALU_MIX, 64), "load-store": (loops.LOAD_STORE, 64),
            "fib": (loops.RECURSION, 64), "sse2-float": (vector_loops.SSE2_FLOAT, 64),
            "sse2-int": (vector_loops.SSE2_INTEGER, 64), "avx2-float": (vector_loops.AVX2_FLOAT, 64),
            "avx2-int": (vector_loops.AVX2_INTEGER, 64), "aes": (vector_loops.AES, 64),
            "sha256": (vector_loops.SHA256, 64), "x87": (vector_loops.X87, 64),
            "boot": (image.BOOT_CODE, 32), "long": (image.LONG_CODE, 64)}
native = pytest.mark.skipif(bool(Native.missing()), reason=str(Native.missing()))


def relative(instruction, text):
    """A near branch as the listings write it: its displacement instead of its target."""
    if instruction.is_jcc_short_or_near or instruction.is_jmp_short or instruction.is_call_near:
        target = instruction.near_branch_target
        return f"{text.split()[0]} {target - instruction.next_ip}"
    return text


@pytest.mark.parametrize("name", LISTINGS)
def test_listing_says_what_the_bytes_are(name):
    listing, bits = LISTINGS[name]
    formatter = iced_x86.Formatter(iced_x86.FormatterSyntax.NASM)
    formatter.space_after_operand_separator = True
    formatter.show_branch_size = False
    formatter.memory_size_options = iced_x86.MemorySizeOptions.MINIMAL
    ip = 0x1000
    for data, said in lines(listing):
        (instruction,) = iced_x86.Decoder(bits, data, ip=ip)
        text = relative(instruction, formatter.format(instruction))
        assert text.replace("qword ", "").replace("rel ", "") == said.replace("qword ptr ", ""), data.hex(" ")
        ip += len(data)


def retired(listing, iterations):
    """How many instructions a walk of the listing retires, following its branches by a tiny model of counters."""
    data = code(listing)
    decoded = {i.ip: i for i in iced_x86.Decoder(64, data, ip=0)}
    info, full = iced_x86.Mnemonic, iced_x86.RegisterExt.full_register
    counters, stack, ip, count = {iced_x86.Register.RDI: iterations}, [], 0, 0
    zero = below = False
    while True:
        i = decoded[ip]
        ip, count = i.next_ip, count + 1
        to = full(i.op0_register)
        if i.mnemonic == info.RET:
            if not stack:
                return count
            ip = stack.pop()
        elif i.mnemonic == info.CALL:
            stack.append(ip)
            ip = i.near_branch_target
        elif i.mnemonic == info.DEC and i.op0_kind == iced_x86.OpKind.MEMORY:
            assert i.memory_base == iced_x86.Register.RSP
            stack[-1] -= 1
            zero = stack[-1] == 0
        elif i.mnemonic == info.DEC:
            counters[to] -= 1
            zero = counters[to] == 0
        elif i.mnemonic == info.CMP:
            below = counters[to] < i.immediate(1)
        elif i.mnemonic == info.SUB and i.op1_kind == iced_x86.OpKind.IMMEDIATE8TO64:
            counters[to] -= i.immediate(1)
        elif i.mnemonic == info.PUSH:
            stack.append(counters.get(to, 0))
        elif i.mnemonic == info.POP:
            counters[to] = stack.pop()
        elif i.mnemonic == info.MOV and i.op1_kind == iced_x86.OpKind.IMMEDIATE32:
            counters[to] = i.immediate(1)
        elif i.mnemonic == info.MOV and i.op1_kind == iced_x86.OpKind.REGISTER:
            counters[to] = counters.get(full(i.op1_register), 0)
        elif (i.mnemonic == info.JNE and not zero) or (i.mnemonic == info.JB and below):
            ip = i.near_branch_target


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
@pytest.mark.parametrize("iterations", [1, 2, 5])
def test_count_is_exact(loop, iterations):
    assert loop.instructions(iterations) == retired(LISTINGS[loop.name][0], iterations)


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
def test_iterations_come_nearest_from_below(loop):
    n = loop.iterations(1e6)
    assert loop.instructions(n) <= 1e6 < loop.instructions(n + 1)
    assert loop.iterations(0) == 1


@native
@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.name)
@pytest.mark.parametrize("iterations", [1, 2, 1365, 1366, 4096])       # 1366: the index has wrapped
def test_model_agrees_with_the_host_cpu(loop, iterations):
    iterations = min(iterations, max(2, 1_000_000 // loop.per_iteration))       # the models are slow
    assert Native().run(loop, iterations)[0] == loop.model(iterations)


def test_load_store_stays_in_its_data():
    reach = loops.DATA_MASK + 0x10 + 8
    assert reach <= loop.DATA_SIZE and (loops.DATA_MASK + 8) == 32 << 10


@pytest.mark.parametrize("n, value, count", [(0, 0, 4), (1, 1, 4), (2, 1, 20), (3, 2, 36), (16, 987, 25540)])
def test_fib(n, value, count):
    """fib(2) is one call that takes 12 and two that take 4 each, and so on."""
    assert loops.fib(n) == value
    assert loops.fib_instructions(max(n, 1)) == count


def test_image_is_an_elf_that_multiboot_loaders_take():
    data = image.image(LOOPS[0], 0x1122334455667788)
    kind, machine, version, entry, phoff = struct.unpack_from("<HHIII", data, 16)
    assert data[:7] == b"\x7fELF\x01\x01\x01" and (kind, machine, version) == (2, 3, 1)
    (load, offset, virtual, physical, in_file, in_memory, _, _) = struct.unpack_from("<8I", data, phoff)
    assert load == 1 and offset + in_file == len(data) and virtual == physical == 0x100000 and in_memory > in_file
    magic, flags, checksum = struct.unpack_from("<III", data, offset)
    assert offset + 12 <= 8192 and magic == 0x1BADB002 and (magic + flags + checksum) % 2 ** 32 == 0
    assert data[offset + entry - physical:].startswith(code(image.BOOT_CODE))
    assert struct.unpack_from("<Q", data, offset + image.ITERATIONS - physical) == (0x1122334455667788,)


def test_image_keeps_its_parts_apart():
    assert len(code(image.BOOT_CODE)) <= image.LONG - image.BOOT
    assert len(code(image.LONG_CODE)) <= image.LOOP - image.LONG
    assert max(len(loop.code) for loop in LOOPS) <= image.GDTR - image.LOOP
    assert image.STACK_TOP <= image.DATA and image.MEMORY_SIZE <= 2 << 20
