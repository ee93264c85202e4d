"""Digests tell states apart and do not depend on how they were reached."""

from emu.digest import digest, registers_digest
from emu.machine import Machine
from jit import layout

# xor ecx, ecx; inc ecx; mov [0x1000], ecx; jmp
LOOP = bytes.fromhex("31c9 ffc1 890c2500100000 ebf5".replace(" ", ""))


def machine(tmp_path, engine="interp") -> Machine:
    (tmp_path / "loop").write_bytes(LOOP)
    made = Machine(memory=1 << 20, engine=engine)
    made.load(str(tmp_path / "loop"), load_address=0x8000, mode=64)
    return made


def test_the_same_run_in_other_pieces_and_engines_has_the_same_digest(tmp_path):
    one, other = machine(tmp_path), machine(tmp_path, "blocks")
    one.run(max_insns=30_000)
    for piece in (1, 9_999, 20_000):
        other.run(max_insns=piece)
    assert digest(one) == digest(other) and registers_digest(one) == registers_digest(other)


def test_one_instruction_one_register_and_one_byte_make_a_difference(tmp_path):
    guest = machine(tmp_path)
    guest.run(max_insns=1000)
    seen = [digest(guest)]
    guest.memory.write(0x2000, b"\1")
    seen.append(digest(guest))
    guest.vcpus[0].plane.set(layout.gpr(5), 1)
    seen.append(digest(guest))
    guest.run(max_insns=1)
    seen.append(digest(guest))
    assert len(set(seen)) == 4
