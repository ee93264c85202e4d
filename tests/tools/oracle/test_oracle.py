"""A fixed slice of every instruction form, and some programs, against the host CPU in both engines (SDM Vol. 2)."""

import json
from collections.abc import Iterator

import pytest

from emu.isa.coverage import by_extension
from jit.xsave_layout import COMPACTED
from tools.cli import oracle as command
from tools.oracle import draw
from tools.oracle.arena import READ_ONLY
from tools.oracle.case import GPR_NAMES
from tools.oracle.compare import Comparison
from tools.oracle.coverage import NOT_IMPLEMENTED, PASSED, Coverage
from tools.oracle.document import document, extension_rows
from tools.oracle.forms import FAMILIES, Form, family, forms
from tools.oracle.guest import Guest
from tools.oracle.host import Host, HostUnavailable, cpu_flags
from tools.oracle.line import parse
from tools.oracle.minimise import minimise
from tools.oracle.sequences import Sequences, Task, run
from tools.oracle.undefined_flags import ignored_flags

SEED = 20
FLAG_CARRY = 1


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    try:
        found = Host()
    except HostUnavailable as why:
        pytest.skip(str(why))
    with found:
        yield found


@pytest.fixture(scope="module")
def guest() -> Guest:
    return Guest()


@pytest.fixture(scope="module")
def blocks() -> Guest:
    return Guest("blocks")


def chosen(bits: int) -> list[Form]:
    return [form for form in Coverage(forms(), cpu_flags()).wanted if form.bits == bits]


def named(name: str, bits: int = 64) -> Form:
    return next(form for form in forms() if form.name == name and form.bits == bits)


@pytest.mark.parametrize("bits", [64, 32])
def test_every_form_does_what_the_host_does(host: Host, guest: Guest, bits: int) -> None:
    """Every Code once; in 32-bit code those that 64-bit code lacks, and some others."""
    wanted = chosen(bits)
    if bits == 32:
        longer = {form.code for form in chosen(64)}
        wanted = [form for n, form in enumerate(wanted) if form.code not in longer or n % 5 == 0]
    comparison = Comparison(host, guest)
    assert [str(d) for d in comparison.run(draw.cases(wanted, 1, SEED))] == []
    assert comparison.unimplemented == set()
    untested = [form.name for form in wanted if not comparison.cases[form.code, bits]]
    assert untested == []


def test_forms_inside_regions_do_what_the_host_does(host: Host, blocks: Guest) -> None:
    comparison = Comparison(host, blocks)
    assert [str(d) for d in comparison.run(draw.cases(chosen(64)[::20], 1, SEED))] == []
    assert blocks.engine.regions.compiled > 5


def test_programs_do_what_the_host_does(host: Host, guest: Guest, blocks: Guest) -> None:
    found = run(Sequences(host, [guest, blocks]), Task(1, 5, None))
    assert found.differences == ()
    assert found.instructions > 50
    found = run(Sequences(host, [guest]), Task(50, 40, None))
    assert found.differences == ()
    assert 0 < found.faults < found.programs


@pytest.mark.parametrize("code", ["d9b4", "d9a4", "ddb4", "dda4", "66d9b4", "66d9a4", "66ddb4", "66dda4"])
def test_x87_images_around_4_gib(host: Host, guest: Guest, code: str) -> None:
    """FNSTENV, FLDENV, FNSAVE, FRSTOR through FS, whose base is not zero, from each offset that wraps."""
    comparison = Comparison(host, guest)
    for before in range(1, 110):
        values = dict.fromkeys(GPR_NAMES, 0) | {"rcx": (1 << 32) - before, "flags": 0x202, "fs": 0x51001000, "gs": 0,
                                               "mxcsr": 0x1F80, "fcw": 0x37F, "ftw": 0xFF}
        case = parse(f"32-bit 64{code}0100000000 at=50001940 {' '.join(f'{n}={v:x}' for n, v in values.items())}")
        assert comparison.one(case) is None


def test_a_compressing_store_may_have_begun_when_it_faults(host: Host, guest: Guest) -> None:
    """Its third element wraps around 4 GiB in a segment that does not start at 0; the host stores the first two."""
    if "avx512f" not in cpu_flags():
        pytest.skip("the host CPU has no avx512f")
    values = dict.fromkeys(GPR_NAMES, 0) | {"rbx": 0xE3007FEC, "flags": 0x202, "fs": 0x51001000, "gs": 0,
                                           "mxcsr": 0x1F80, "k1": (1 << 64) - 1, "fcw": 0x37F, "ftw": 0xFF}
    line = "32-bit 6462f2fd498b930380ff1c at=50001900 " + " ".join(f"{n}={v:x}" for n, v in values.items())
    assert Comparison(host, guest).one(parse(line)) is None


AREAS_BY_FS = {"fxsave": "0fae81", "fxrstor": "0fae89", "xsave": "0faea1", "xrstor": "0faea9", "xsavec": "0fc7a1"}


@pytest.mark.parametrize("name", AREAS_BY_FS)
@pytest.mark.parametrize(("bits", "prefixes"), [(32, "64"), (64, "6764")])
def test_state_areas_around_4_gib(host: Host, guest: Guest, name: str, bits: int, prefixes: str) -> None:
    """Each part has its own effective address within the address size of 32 bits."""
    if {"fxsave": "fxsr", "fxrstor": "fxsr", "xrstor": "xsave"}.get(name, name) not in cpu_flags():
        pytest.skip(f"the host CPU has no {name}")
    comparison = Comparison(host, guest)
    for before in range(16, 1100, 16 if name.startswith("fx") else 64):
        values = dict.fromkeys(GPR_NAMES, 0) | {"rax": 3, "rcx": (1 << 32) - before, "flags": 0x202, "fs": 0x51001000,
                                               "gs": 0, "mxcsr": 0x1F80, "fcw": 0x37F, "ftw": 0xFF}
        line = f"{bits}-bit {prefixes}{AREAS_BY_FS[name]}00000000 at=50001940 "
        case = parse(line + " ".join(f"{n}={v:x}" for n, v in values.items()))
        assert comparison.one(case._replace(pokes=((0x51001000 - before + 512, bytes(64)),))) is None


@pytest.mark.parametrize(("present", "layout"), [
    (0, 0), (0, COMPACTED), (0, COMPACTED | 4), (0, COMPACTED | 1 << 62), (0, COMPACTED | 1 << 10), (1, COMPACTED | 4),
    (1 << 62, 0), (0, 1)])
def test_what_xrstor_finds_first(host: Host, guest: Guest, present: int, layout: int) -> None:
    """Of a header that it refuses and an area whose end is not there."""
    if "xsavec" not in cpu_flags():
        pytest.skip("the host CPU has no xsavec")
    values = dict.fromkeys(GPR_NAMES, 0) | {"rax": 4, "rcx": READ_ONLY.end - 640, "flags": 0x202, "fs": 0, "gs": 0,
                                           "mxcsr": 0x1F80, "fcw": 0x37F, "ftw": 0xFF}
    case = parse("64-bit 0fae29 at=50001940 " + " ".join(f"{n}={v:x}" for n, v in values.items()))
    header = present.to_bytes(8, "little") + layout.to_bytes(8, "little") + bytes(48)
    assert Comparison(host, guest).one(case._replace(pokes=((READ_ONLY.end - 128, header),))) is None


def test_a_wrong_engine_is_noticed_and_its_case_made_simple(host: Host, guest: Guest,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes R9's low bit as a wish to invert CF."""
    comparison = Comparison(host, guest)
    right = guest.run
    monkeypatch.setattr(guest, "run", lambda case: (outcome := right(case))._replace(
        flags=outcome.flags ^ (case.registers[9] & FLAG_CARRY)))
    found = list(comparison.run(draw.cases([named("ADD_RM64_R64"), named("PADDB_XMM_XMMM128")], 40, SEED)))
    assert len(found) > 10 and all("flags" in d.what for d in found)
    simple = minimise(found[-1].case, lambda case: comparison.one(case) is not None)
    assert [n for n, value in enumerate(simple.registers) if value] == [9]
    assert simple.registers[9] & 1 and simple.pokes == ()
    assert simple.vector is not None and not any(simple.vector.zmm) and simple.vector.mxcsr == 0x1F80
    assert comparison.one(parse(f"anything: {simple.describe()}")) is not None


def test_a_wrong_program_is_noticed_and_made_short(host: Host, guest: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    right = guest.execute

    def wrong(case, count):
        outcome, ran = right(case, count)
        return outcome._replace(registers=(outcome.registers[0] ^ (ran > 2), *outcome.registers[1:])), ran
    monkeypatch.setattr(guest, "execute", wrong)
    found = run(Sequences(host, [guest]), Task(7, 1, None)).differences
    assert len(found) == 1 and found[0].startswith("seed 7: interp: rax") and "--seed 7" in found[0]


@pytest.mark.parametrize("name", FAMILIES)
def test_a_line_gives_its_case_back(name: str) -> None:
    form = next(f for f in forms((name,)) if f.bits == 64)
    for case in draw.cases([form], 20, SEED):
        assert parse(f"text: what: {case.describe()}") == case


@pytest.mark.parametrize(("line", "says"), [
    ("nothing", "no case"), ("64-bit 90 at=50000000 rax=0", "no value for rcx"),
    ("64-bit 90 at=50000000 rax=q", "'rax=q'"),
])
def test_a_bad_line_is_refused(line: str, says: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--repro", line])
    assert left.value.code == 126
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1


def test_cases_depend_on_nothing_but_seed_count_and_form() -> None:
    first, second = named("ADD_RM64_R64"), named("SHLD_RM32_R32_CL")
    alone = [c._replace(rip=0) for c in draw.cases([second], 10, SEED) if not c.code.startswith(b"\x67")]
    after = [c._replace(rip=0) for c in draw.cases([first, second], 10, SEED)][-10:]
    assert [c.registers for c in alone] == [c.registers for c in after if not c.code.startswith(b"\x67")]


def test_every_form_has_a_family_and_coverage_counts_it_once() -> None:
    coverage = Coverage(forms(), cpu_flags())
    assert {family(form.code) for form in forms()} == set(FAMILIES)
    assert sum(int(n) for n in coverage.summary()[-1][2:]) == len(forms())
    assert PASSED not in coverage.outcome.values() and NOT_IMPLEMENTED in coverage.outcome.values()


def test_the_documentation_has_the_classification() -> None:
    page = (command.Path(__file__).parents[3] / "docs" / "instructions.md").read_text(encoding="utf-8")
    missing = [row for row in extension_rows() if f"\n{row} " not in page]
    assert missing == [], "write it again: strata oracle --table docs/instructions.md"
    assert len(extension_rows()) == len(by_extension())
    assert "## Undefined flags" in document(Coverage([], set()))


def test_undefined_flags_count_on_intel_only() -> None:
    from iced_x86 import Mnemonic
    assert ignored_flags(Mnemonic.AND, intel=True) == 0
    assert ignored_flags(Mnemonic.AND, intel=False) == 0x10
    assert ignored_flags(Mnemonic.ADD, intel=False) == 0


def test_a_table_of_some_forms_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        command.main(["--only", "ADD", "--table", "x.md"])
    assert left.value.code == 126 and "--table" in capsys.readouterr().err


def test_the_command_writes_what_came_of_each_form(host: Host, tmp_path) -> None:
    out = tmp_path / "o.json"
    assert command.main(["--only", "AAM_IMM8", "--count", "20", "--json", str(out), "--jobs", "1"]) == 0
    rows = json.loads(out.read_text())["forms"]
    assert [tuple(row[key] for key in ("code", "bits", "outcome", "cases")) for row in rows] == [
        ("AAM_IMM8", 32, "passed", 20)]
