"""Hypervisors that lie, and what their guest notices; tN: number in the scenario list of SEV-SNP.

The docstrings are the table in docs/snp.md (`strata snp attacks`): what the hypervisor does | what comes of it.
"""

from emu.irq.apicbus import ApicMessage
from emu.planes.snp import ghcb_msr, vmsa
from emu.planes.snp.custom import hypervisor_class
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.rmp import Entry
from jit import layout
from tests.emu.planes.snp.attacked import EXAMPLES, run
from tests.emu.planes.snp.guest import LOAD, PAGE, RAX, VC, Guest

PASS = 1
UNHANDLED_VC = 127
QUIET = {"own page": "intact", "accepted page": "empty", "calls": "0 of 8 not serviced", "MSR": "read",
         "unknown request": "malformed", "page states": "as told", "report": "given"}


def ends(found, status=PASS, **lines):
    """The guest ran to its end and was not fooled; its lines are those of an honest run but for `lines`."""
    assert (found.reason, found.status) == ("exit", status) and not found.fooled, found
    wanted = QUIET | {name.replace("_", " "): text for name, text in lines.items()}
    assert {name: found.lines.get(name) for name in wanted} == wanted


def test_an_honest_hypervisor():
    ends(run("hostile"))


# --- memory -----------------------------------------------------------------------------------------------------------

def test_t84_another_page_in_its_place():
    """Maps another page, assigned to the guest with the right address, where one of its pages was. | #VC
    (PAGE_NOT_VALIDATED) at the next access: the guest has not accepted that page."""
    ends(run("hostile", "remap_page"), own_page="taken away, which shows as #VC", page_states="refused")


def test_t84_a_guest_that_accepts_again_sees_two_contents():
    """The same, and the guest accepts the page again instead of giving up. | **Not noticed**: both pages are validated
    for one address, and the hypervisor shows either. A guest must take an unexpected #VC for an attack."""
    guest = Guest()
    first, second = (guest.nested.private_backing(n >> 12) for n in (PAGE, PAGE + 0x1000))
    guest.m.dma_write(second * 4096, b"\x22" * 8)
    guest.m.dma_write(first * 4096, b"\x11" * 8)
    assert guest.rmp.update(second, Entry(True, guest.snp.asid, PAGE >> 12)) == 0
    guest.nested.map(PAGE >> 12, second)
    rip = guest.reg(layout.RIP)
    guest.step(LOAD, rax=PAGE)
    assert guest.exception == VC
    guest.resume(rip)
    assert guest.validate(PAGE)[:2] == (0, 0)
    seen = []
    for page in (second, first, second):
        guest.nested.map(PAGE >> 12, page)
        guest.step(LOAD, rax=PAGE)
        seen.append(guest.reg(RAX) & 0xFF)
    assert seen == [0x22, 0x11, 0x22]


def test_t94_a_private_page_becomes_shared():
    """Makes a private page shared, to read it. | The host's copy has nothing of the guest's in it, and the guest gets
    #VC at its next access."""
    found = run("hostile", "share_page")
    ends(found, own_page="taken away, which shows as #VC")
    assert found.hypervisor.seen and b"\x5a" not in found.hypervisor.seen


def test_t83_a_secret_page_for_the_guest():
    """Takes the page with the SVSM's keys and offers it to the guest as one to be accepted. | The SVSM empties what it
    accepts, so nothing leaks; it ends at its own next access to its keys, by #VC."""
    found = run("hostile", "leak_secret")
    assert (found.reason, found.status) == ("exit", UNHANDLED_VC) and not found.fooled
    assert found.lines["accepted page"] == "empty" and any("unhandled vector 29 error 0x404" in n for n in found.lines)


def test_a_write_to_a_private_page():
    """Writes into a private page. | The processor refuses: #PF of the host with the RMP bit."""
    found = run("hostile", "write_page")
    ends(found)
    assert found.hypervisor.faults == 1


# --- who runs ---------------------------------------------------------------------------------------------------------

def test_t85_calls_that_the_svsm_never_sees():
    """Answers calls of the SVSM itself. | The calling area still says that a call is pending, so the guest
    takes no result."""
    ends(run("hostile", "skip_svsm"), calls="4 of 8 not serviced", page_states="refused", accepted_page="refused")


def test_t86_the_svsm_runs_uncalled():
    """Runs the SVSM although nobody called. | Nothing is pending: it goes back to its guest."""
    ends(run("hostile", "run_svsm_uncalled"))


def test_t88_a_call_is_served_twice():
    """Runs the SVSM again after a call, instead of the guest. | The SVSM has cleared the pending flag: nothing is done
    twice."""
    ends(run("hostile", "replay_call"))


def test_the_guest_runs_while_the_svsm_works():
    """Runs the guest's VMSA while the SVSM works on its call. | VMRUN fails: the SVSM has cleared EFER.SVME in it."""
    found = run("hostile", "run_guest_early")
    ends(found)
    assert found.hypervisor.failures == 3


def test_t93_vmpl2_runs_before_its_time():
    """Makes memory of its choice the VMSA of VMPL2 before the SVSM has made one. | VMRUN fails: the RMP does not
    say that the page is a VMSA."""
    found = run("hostile", "run_guest_first")
    ends(found)
    assert found.hypervisor.failures == 1


def test_nobody_runs():
    """Never runs the guest again. | **Not noticed**: who does not run notices nothing. SEV-SNP promises no service."""
    found = run("hostile", "starve")
    assert found.reason == "halted" and not found.fooled


# --- interrupts -------------------------------------------------------------------------------------------------------

def test_a_forged_interrupt():
    """Injects the interrupt by which programs make system calls. | **Not noticed** by the guest at VMPL2, which has no
    restricted injection: the handler runs as for a program, and the guest crashes. What it keeps stays secret."""
    found = run("hostile", "forge_interrupt")
    assert found.reason == "triple-fault" and not found.fooled


def test_t68_a_forged_interrupt_under_restricted_injection():
    """The same, where only #HV may be injected. | VMRUN fails."""
    class Restricted(hypervisor_class(str(EXAMPLES / "forge_interrupt.py"))):
        launch_features = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION       # which the SVSM takes for its guest too ...
        features = Hypervisor.features & ~ghcb_msr.HV_EXTENDED_INTERRUPTS   # ... where it cannot give out interrupts

    found = run("hostile", Restricted)
    assert "VMRUN of VMPL2" in found.message and "#HV alone" in found.message and not found.fooled


def test_a_forged_interrupt_under_alternate_injection():
    """The same, where the SVSM gives out the guest's interrupts. | VMRUN ignores it: events of such a VMPL are those in
    its VMSA."""
    class Alternate(hypervisor_class(str(EXAMPLES / "forge_interrupt.py"))):
        launch_features = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION

    ends(run("hostile", Alternate))


def test_dropped_interrupts():
    """Keeps every interrupt from the guest. | **Not noticed**: as with devices. Only time that no interrupt tells
    (Secure TSC) shows it."""
    def taken(hypervisor):
        guest = Guest(hypervisor=hypervisor)
        guest.vcpu.lapics[0].svr |= 0x100
        guest.vcpu.lapics[0].accept(ApicMessage(vector=0x41, destination=0))
        guest.step(b"\xfb\x90\x90", 3)
        return guest.exception
    assert taken(Hypervisor) == 0x41 and taken(hypervisor_class(str(EXAMPLES / "drop_interrupts.py"))) is None


# --- answers ----------------------------------------------------------------------------------------------------------

def test_wrong_cpuid():
    """Answers CPUID wrongly. | The guest does not ask: it reads the CPUID page, which firmware has checked."""
    ends(run("hostile", "lie_about_cpuid"))


def test_t92_features_that_there_are_not():
    """Says that it has every feature. | Bits that the guest does not know are ignored; what it tries is malformed."""
    ends(run("hostile", "lie_about_features"))


def test_an_exception_that_cannot_be():
    """Answers a request with #DE. | The guest knows only #UD and #GP as answers, and ends itself."""
    found = run("hostile", "forge_exception")
    assert found.reason == "terminated" and found.hypervisor.terminated == (0, 0) and not found.fooled


def test_an_msr_is_refused():
    """Refuses an MSR that is there. | #GP in the guest, as for one that is not: a driver may do without, or give up."""
    ends(run("hostile", "refuse_msr"), MSR="refused")


def test_page_states_go_back():
    """Sets the counter of a page state change back. | The guest ends itself: Linux's reason for page states."""
    found = run("hostile", "page_states_backwards")
    assert found.reason == "terminated" and found.hypervisor.terminated == (1, 1) and not found.fooled


def test_firmware_answers_are_changed():
    """Changes a byte of the firmware's answer. | The seal is broken: no report, and the key is not used again."""
    ends(run("hostile", "tamper_with_messages"), report="none")


def test_firmware_answers_are_replayed():
    """Gives an old answer of the firmware again. | The sequence number is wrong: no report, and the key is not used
    again."""
    ends(run("hostile", "replay_messages"), report="none")


def test_another_launch():
    """Launches the SVSM with other SEV_FEATURES than its owner wants. | The guest runs, but its report has another
    measurement: whoever reads the report notices."""
    found, honest = run("hostile", "change_own_features"), run("hostile")
    ends(found)
    assert found.machine.plane_model.firmware.measurement != honest.machine.plane_model.firmware.measurement


def test_wrong_values_from_ports():
    """Gives wrong values from a device's port. | **Not noticed**: devices are the hypervisor's, and a guest must not
    trust them; disks and networks need cryptography of their own."""
    ends(run("hostile", "lie_about_ports"))


def test_the_host_reads_private_memory():
    """Reads private memory. | Ciphertext: AES-XEX under a key that only the memory controller has."""
    guest, secret = Guest(ciphertext=True), b"secret, secret, "
    at = guest.nested.private_backing(PAGE >> 12) * 4096
    guest.m.memory.write(at, secret)
    seen = guest.snp.cipher.read(at, 16)
    assert len(seen) == 16 and seen != secret and guest.read(PAGE, 16) == secret
