"""CPU models: what CPUID says of them, and that it is what they do."""
import pytest
from iced_x86 import Code

from emu.engine import Engine
from emu.isa import cpu, extensions, models
from emu.isa.cpuid import Cpuid
from emu.machine import Machine
from emu.mem.ram import PhysicalMemory
from emu.plane import Plane
from jit import exits, layout
from tests.emu.flat import Flat

VENDORS = {models.INTEL: (0x756E6547, 0x49656E69, 0x6C65746E), models.AMD: (0x68747541, 0x69746E65, 0x444D4163)}


def leaves(name, vcpus=1):
    return Cpuid(cpu.parse(name), 0, vcpus)


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_offers_what_it_has_and_strata_implements(name):
    found = cpu.parse(name)
    assert found.offered <= found.wanted & extensions.OFFERABLE
    assert {"fpu", "sse2", "lm", "syscall", "nx", "pae"} <= found.offered
    for extension in found.offered:
        assert set(extensions.NEEDS.get(extension, ())) <= found.offered


@pytest.mark.parametrize("extension", extensions.TABLE, ids=lambda e: e.name)
def test_every_extension_has_a_bit_of_its_own(extension):
    same = [e.name for e in extensions.TABLE if (e.place, e.bit) == (extension.place, extension.bit)]
    assert same == [extension.name]


@pytest.mark.parametrize("name", models.MODELS)
def test_the_bits_of_a_model_are_those_of_its_extensions(name):
    model, read = cpu.parse(name), leaves(name).read
    for extension in extensions.TABLE:
        leaf, subleaf, register = extension.place
        shown = read(leaf, subleaf)[register] >> extension.bit & 1
        repeated = model.amd and leaf == 0x80000001 and register == 3 and extension.bit not in (11, 20, 26, 27, 29)
        assert repeated or shown == (extension.name in model.offered), extension.name


@pytest.mark.parametrize("model", models.TABLE, ids=lambda m: m.name)
def test_identity(model):
    read = leaves(model.name).read
    assert read(0, 0)[1:] == tuple(VENDORS[model.vendor][i] for i in (0, 2, 1)) == read(0x80000000, 0)[1:]
    signature = read(1, 0)[0]
    family = (signature >> 8 & 15) + (signature >> 20 & 0xFF)
    assert (family, signature >> 4 & 15 | signature >> 12 & 0xF0, signature & 15) == (
        model.family, model.model, model.stepping)
    text = b"".join(word.to_bytes(4, "little") for n in range(3) for word in read(0x80000002 + n, 0))
    assert text.rstrip(b"\0").decode() == model.brand
    linear = 57 if "la57" in cpu.parse(model.name).offered else 48
    assert read(0x80000008, 0)[0] == model.physical | linear << 8


def test_caches_have_the_sizes_of_the_model():
    for name, leaf in (("Skylake-Server", 4), ("EPYC-Genoa", 0x8000001D)):
        read = leaves(name, vcpus=4).read
        for number, cache in enumerate(models.MODELS[name].caches):
            a, b, c, _ = read(leaf, number)
            assert (a & 31, a >> 5 & 7) == (cache.kind, cache.level)
            assert ((b >> 22) + 1) * ((b & 0xFFF) + 1) * (c + 1) == cache.size * 1024
            assert a >> 14 & 0xFFF == (3 if cache.shared else 0)
        assert read(leaf, len(models.MODELS[name].caches)) == (0, 0, 0, 0)


def test_xstate_leaf_has_the_sizes_for_xcr0():
    cpuid, valid = leaves("max"), cpu.parse("max").xcr0_valid
    cpuid.os_view = lambda: (0x40000, 3, 0)
    assert cpuid.read(0xD, 0)[0] == valid and cpuid.read(0xD, 0)[1] == 576 <= cpuid.read(0xD, 0)[2]
    assert cpuid.read(1, 0)[2] & 1 << 27 and cpuid.read(0xD, 1)[1] == 576
    assert cpuid.read(0xD, 2) == ((256, 576, 0, 0) if valid & 4 else (0, 0, 0, 0))
    assert leaves("qemu64").read(0xD, 0) == (0, 0, 0, 0) and not leaves("qemu64").read(1, 0)[2] & 1 << 27


@pytest.mark.parametrize("text, message", [
    ("z80", "no CPU model named 'z80'; there are: max, "), ("max,+sse9", "'\\+sse9' is not"),
    ("max,sse", "'sse' is not"),
    ("qemu64,+svm", "svm is not implemented"), ("x86-64-v2,+xsavec", "xsavec needs xsave"), ("max,", "'' is not")])
def test_a_wrong_name_is_told_in_one_line(text, message):
    with pytest.raises(ValueError, match=message) as error:
        Machine(cpu=text)
    assert "\n" not in str(error.value)


def test_extensions_can_be_added_and_taken_away():
    found = cpu.parse("x86-64-v2,+bmi1,-sse4.2,-xsave")
    assert "bmi1" in found.offered and not {"sse4_2", "xsave"} & found.offered and "sse4_1" in found.offered
    assert "avx" not in cpu.parse("max,-sse4.2").offered        # AVX builds on it
    assert "xsavec" not in cpu.parse("max,-xsave").offered


@pytest.mark.parametrize("name, code, why", [
    ("qemu64", Code.VEX_ANDN_R32_R32_RM32, "CPU model qemu64 has no bmi1"), ("max", Code.VEX_ANDN_R32_R32_RM32, ""),
    ("max", Code.XBEGIN_REL32, "transactional memory, which processors disable"), ("qemu64", Code.VMMCALL, ""),
    ("qemu64", Code.ENDBR64, ""), ("qemu64", Code.PREFETCHW_M8, ""), ("qemu64", Code.RDSSPQ_R64, ""),
    ("x86-64-v1", Code.CMPXCHG16B_M128, "CPU model x86-64-v1 has no cx16")])
def test_what_a_model_lacks_is_told(name, code, why):
    assert cpu.parse(name).lacks(code) == why


CASES = [
    ("max", "f3 0f bd c3", 31), ("qemu64", "f3 0f bd c3", 0),       # LZCNT EAX, EBX, or BSR
    ("max", "f3 0f bc c3", 0), ("qemu64", "f3 0f bc c3", 0),        # TZCNT, or BSF
    ("max", "66 0f 38 f0 c3", None), ("max", "f3 0f b8 c3", 1), ("qemu64", "f3 0f b8 c3", None),        # POPCNT
    ("max", "f3 0f 1e c8", 7), ("qemu64", "f3 0f 1e c8", 7),        # RDSSPD EAX
    ("max", "c4 e2 78 f2 c3", 0), ("qemu64", "c4 e2 78 f2 c3", None)]  # ANDN EAX, EAX, EBX: ~7 & 1


@pytest.mark.parametrize("name, code, rax", CASES)
def test_instructions_are_those_of_the_model(name, code, rax):
    """EAX from EBX = 1 and EAX = 7, or #UD."""
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    engine = Engine(memory, "interp", cpu=cpu.parse(name))
    plane = Plane(engine)
    memory.write(0x1000, bytes.fromhex(code))
    plane.set(layout.CR0, 0x11)
    plane.set(layout.MODE, layout.MODE_64)
    for field, value in ((layout.RIP, 0x1000), (layout.gpr(0), 7), (layout.gpr(3), 1), (layout.BUDGET, 1)):
        plane.set(field, value)
    while (status := engine.run(plane.address)) == exits.DECODE:
        engine.translator.decode(plane.get(layout.WALK_GPA), layout.MODE_64, None)
    assert (None if status != exits.EVENT else plane.get(layout.gpr(0))) == rax
    assert rax is not None or status in (exits.UNIMPLEMENTED, exits.RUNTIME)


def test_registers_accept_what_the_model_has():
    memory = PhysicalMemory(1 << 20)
    memory.add_ram(0, 1 << 20)
    planes = {name: Plane(Engine(memory, "interp", cpu=cpu.parse(name)))
              for name in ("max", "qemu64", "Skylake-Server")}
    assert not planes["qemu64"].get(layout.CR4_VALID) & (1 << 18 | 1 << 16 | 1 << 20 | 1 << 21)
    assert planes["max"].get(layout.CR4_VALID) & 1 << 18
    assert planes["qemu64"].get(layout.XCR0_VALID) == 1 and planes["max"].get(layout.XCR0_VALID) & 3 == 3
    assert planes["qemu64"].get(layout.PHYS_MASK) == (1 << 40) - 1
    assert planes["Skylake-Server"].get(layout.VENDOR) == layout.VENDOR_INTEL
    assert planes["max"].get(layout.VENDOR) == layout.VENDOR_AMD


def test_a_rate_that_never_changes_and_no_speculation_are_said():
    """Without them Linux distrusts the TSC of several vCPUs, and warns of what speculation could do."""
    read = leaves("max", 2).read
    assert read(0x80000007, 0)[3] == 1 << 8
    assert read(0x80000021, 0) == (1 << 2 | 1 << 6 | 1 << 7 | 1 << 29, 0, 0b110, 0)
    assert read(0x80000000, 0)[0] == 0x80000021
    assert leaves("Skylake-Server").read(0x80000021, 0) == (0, 0, 0, 0)
    assert leaves("EPYC-Milan").read(0x80000021, 0)[0] == 1 << 2 | 1 << 6


def test_another_vendor():
    """As QEMU has it: what differs between the makers' manuals follows it."""
    assert cpu.parse("max").amd and not cpu.parse("max,vendor=GenuineIntel,-smap").amd
    with pytest.raises(ValueError, match="'vendor=VIA' is not"):
        cpu.parse("max,vendor=VIA")


@pytest.mark.parametrize("model, moves", (
    ("EPYC-Milan", True), ("EPYC-Milan,-cr8legacy", False), ("Skylake-Server", False)))
def test_lock_mov_cr0_is_mov_cr8_where_cpuid_says_so(model, moves):
    """APM Vol. 3, MOV CRn: AltMovCr8."""
    flat = Flat(cpu=model)
    flat.code("f00f22c1 f00f20c3", rcx=10)              # lock mov cr0, rcx; lock mov rbx, cr0
    flat.run()
    assert (flat.vcpu.lapic.tpr, flat.reg("rbx"), flat.count(6) == 0) == ((0xA0, 10, True) if moves else (0, 0, False))
