"""What comes before a kernel in a packed IGVM file: memory is accepted, the MTRRs are written, the kernel starts."""
import pytest

from emu.isa.msr_table import MTRR_DEF_TYPE
from emu.machine import Machine
from emu.planes.snp import exits, ghcb_msr
from jit import layout
from tests.emu.load.build import linux
from tests.emu.load.build_igvm import small
from tools.cli import snp

MEMORY, ENTRY_64, LOOP = 32 << 20, 0x200, b"\xeb\xfe"


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A kernel that does nothing, as an IGVM file."""
    where = tmp_path_factory.mktemp("handover")
    kernel, file = where / "bzImage", where / "kernel.igvm"
    kernel.write_bytes(linux(kernel=bytes(ENTRY_64) + LOOP * 0x100))
    assert snp.main(["pack", str(kernel), "--mem", "32M", "--append", "quiet", "--output", str(file)]) == 0
    return kernel, file


def run(file, memory=MEMORY, insns=100_000):
    machine = Machine(memory=memory, planes="snp", report=print)
    machine.load(str(file))
    return machine, machine.run(max_insns=insns)


@pytest.fixture(scope="module")
def started(packed):
    return run(packed[1])[0]


def test_the_kernel_is_entered_as_by_its_boot_protocol(packed, started):
    direct = Machine(memory=MEMORY, planes="snp")
    direct.load(str(packed[0]), append="quiet")
    model, plane = direct.plane_model, started.vcpus[0].plane
    wanted = model.world.view(model.vps[0].contexts[0].page)
    assert plane.get(layout.RIP) == wanted["rip"] and plane.get(layout.CR3) == wanted["cr3"]
    assert plane.get(layout.gpr(6)) == wanted["rsi"] and plane.get(layout.gpr(4)) == wanted["rsp"]


def test_all_memory_is_accepted_and_private(started):
    model = started.plane_model
    frames = [gfn for first, count in model.nested.ram_runs() for gfn in range(first, first + count)]
    assert len(frames) > 8000 and all(model.rmp.validated[gfn] for gfn in frames)
    assert not model.nested.shared.any()


def test_the_mtrrs_are_on(started):
    assert started.vcpus[0].msrs.read(MTRR_DEF_TYPE) == 0xC06
    seen = started.plane_model.hypervisor.exits
    assert seen[exits.MSR] == 14 and seen[ghcb_msr.PSC_REQUEST] == 2
    assert set(seen) == {exits.MSR, ghcb_msr.PSC_REQUEST, ghcb_msr.REGISTER_GPA_REQUEST}


def test_less_memory_than_it_was_packed_for(packed, capsys):
    _, stop = run(packed[1], 24 << 20)
    assert stop.status == 125


def test_only_kernels_get_it(tmp_path, capsys):
    (tmp_path / "small.igvm").write_bytes(small())
    for name in ("one", "two"):
        assert snp.main(["pack", str(tmp_path / "small.igvm"), "--output", str(tmp_path / name)]) == 0
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_kernel_without_a_64_bit_entry(tmp_path, capsys):
    (tmp_path / "old").write_bytes(linux(version=0x204))
    assert snp.main(["pack", str(tmp_path / "old"), "--output", str(tmp_path / "out")]) == 126
    err = capsys.readouterr().err
    assert "64-bit entry" in err and err.count("\n") == 1
