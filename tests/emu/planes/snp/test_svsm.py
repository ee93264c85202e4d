"""The SVSM of firmware/snp, and guests that use it; tN: number in the scenario list of SEV-SNP."""

import pytest

from emu.load.model import ImageError
from emu.machine import Machine
from emu.planes.snp import exits, measurement, report, vmsa
from emu.planes.snp.hypervisor import Hypervisor
from emu.planes.snp.plan import plan
from tests.emu.load.build_igvm import every_header
from tests.emu.planes.snp.attacked import MEMORY, ROOT, run
from tools.cli import snp

PASS, SKIP = 1, 77


class Witness(Hypervisor):
    """Notes what the RMP says of a VMSA when it is created at VMPL2, and lets failed VMSAs rest."""

    def __init__(self, guest):
        super().__init__(guest)
        self.created, self.failures, self.reports = [], [], []

    def install_vmsa(self, vcpu, vmpl, gpa, features, start):
        super().install_vmsa(vcpu, vmpl, gpa, features, start)
        page, rmp = self.guest.nested.private_backing(gpa // 4096), self.guest.rmp
        self.created.append((vcpu.index, vmpl, gpa, bool(rmp.vmsa[page]), int(rmp.permissions[2][page])))

    def vmrun_failed(self, vcpu, number, code, reason):
        self.failures.append((vcpu.index, number, code, reason))
        self.guest.planes.permit(vcpu, number, False)
        self.machine.reschedule = True

    def firmware_message(self, request):
        status, answer = super().firmware_message(request)
        self.reports.append(status)
        return status, answer


@pytest.fixture(scope="module")
def two():
    """The guest that uses every service, on two vCPUs, the second of which goes on running when it is deleted."""
    return run("services", Witness, vcpus=2, append="spin")


def test_the_guest_at_vmpl0_passes():
    found = run("vmpl0")
    assert (found.reason, found.status) == ("exit", PASS) and not found.fooled


def test_t53_every_service_is_served():
    found = run("services", Witness)
    assert (found.reason, found.status) == ("exit", PASS) and found.lines["snp_services"].endswith(", 0 failed")
    assert found.hypervisor.reports == [0, 0]


def test_services_on_two_processors(two):
    assert (two.reason, two.status) == ("exit", PASS) and two.lines["snp_services"].endswith(", 0 failed")


def test_t77_the_svsm_creates_a_vcpu(two):
    assert two.lines["a vCPU is created"] == "0x0"
    first, svsm, second = two.hypervisor.created
    assert first[:2] == (0, 2) and svsm[:2] == (1, 0) and second[:2] == (1, 2)
    assert all(vmsa and not mask for *_, vmsa, mask in two.hypervisor.created)      # VMPL2 cannot touch any of them


@pytest.mark.parametrize("what", ["for VMPL0", "without SVME", "with other SEV_FEATURES"])
def test_t78_a_vmsa_that_the_svsm_refuses(two, what):
    assert two.lines[f"a VMSA {what}"] == "0x80000005"


def test_t79_a_vmsa_that_is_its_calling_area(two):
    assert two.lines["a VMSA that is its calling area"] == "0x80000003"


def test_t80_a_running_vmsa_is_deleted(two):
    assert two.lines["and deleted"] == "0x0"
    page, guest = two.hypervisor.created[2][2] // 4096, two.machine.plane_model
    assert not guest.rmp.vmsa[guest.nested.private_backing(page)]
    assert two.hypervisor.failures and two.hypervisor.failures[0][:3] == (1, 2, -1)


def test_t82_an_apic_id_that_does_not_exist(two):
    assert two.lines["an APIC ID that is not there"] == "0x80000005"


def test_the_guests_report_has_the_measurement_that_the_plan_has(two):
    image = two.machine.image
    pages = plan(image, memory=MEMORY, vcpus=2, signature=two.machine.vcpus[0].cpuid.signature,
                 features=two.hypervisor.launch_features, c_bit=51).pages
    digest = measurement.launch_digest(pages)
    assert f"measurement {digest.hex()}" in two.lines and two.machine.plane_model.firmware.measurement == digest


def test_reports_verify():
    seen = []

    class Reader(Hypervisor):
        def firmware_message(self, request):
            from emu.planes.snp.guest_message import open_message
            status, answer = super().firmware_message(request)
            seen.append(open_message(answer, self.guest.firmware.keys[0]).payload)
            return status, answer

    run("services", Reader)
    for payload in seen:
        assert report.verify(payload[0x20:]) and report.parse(payload[0x20:])["vmpl"] == 0
    assert len(seen) == 2


@pytest.mark.parametrize("access, bits", [("read", 0x15_8000_0005), ("write", 0x15_8000_0007),
                                          ("execute", 0x15_8000_0015)])
def test_a_lower_vmpl_cannot_touch_the_svsm(access, bits):
    found = run("attack", append=f"attack={access}")
    assert found.reason == "halted" and f"EXITINFO1 {bits:#x}" in found.message and "VMPL2" in found.message
    assert not found.fooled


def test_attacks_that_end_in_an_error():
    found = run("attack")
    assert (found.reason, found.status) == ("exit", PASS) and found.lines["snp_attack"].endswith(", 0 failed")


def test_a_run_repeats():
    first, second = run("services"), run("services")
    assert first.lines == second.lines and first.machine.icount == second.machine.icount


class Restricted(Witness):
    """VMPL0 takes #HV alone, so the SVSM gives out its guest's interrupts."""

    launch_features = vmsa.SNP_ACTIVE | vmsa.RESTRICTED_INJECTION


def test_the_svsm_gives_out_interrupts():
    """The APIC protocol: the guest's own interrupts, the host's, and all of it handed back."""
    found = run("interrupts", Restricted)
    assert (found.reason, found.status) == ("exit", PASS) and found.lines["snp_interrupts"].endswith(", 0 failed")
    wanted = {exits.HV_DOORBELL, exits.CONFIGURE_INJECTION, exits.DISABLE_ALTERNATE_INJECTION}
    assert wanted <= found.hypervisor.exits.keys()


def test_interrupts_between_processors():
    found = run("services", Restricted, vcpus=2)
    assert (found.reason, found.status) == ("exit", PASS) and found.lines["snp_services"].endswith(", 0 failed")
    assert found.hypervisor.exits[exits.HV_IPI] == 1


def test_without_restricted_injection_there_is_no_apic_protocol():
    found = run("interrupts", Witness)
    assert found.status == SKIP and "restricted injection" in found.lines["snp_interrupts"]


def test_the_same_from_an_igvm_file(tmp_path):
    file = tmp_path / "services.igvm"
    assert snp.main(["pack", str(ROOT / "firmware/build/snp_services.elf"), "--mem", "20M", "--output", str(file)]) == 0
    out = []
    machine = Machine(memory=MEMORY, planes="snp", serial_out=out.append)
    machine.load(str(file))
    stop = machine.run(max_insns=100_000_000)
    text = b"".join(out).decode()
    assert (stop.reason, stop.status) == ("exit", PASS) and ", 0 failed" in text
    assert f"measurement {machine.plane_model.firmware.measurement.hex()}" in text


def test_what_cannot_be_launched(tmp_path):
    machine = Machine(memory=MEMORY, planes="snp")
    (tmp_path / "rom").write_bytes(bytes(0x10000))
    with pytest.raises(ImageError, match="SEV metadata"):
        machine.load(None, bios=str(tmp_path / "rom"))
    (tmp_path / "all.igvm").write_bytes(every_header())
    with pytest.raises(ImageError, match="launch: ID block"):
        machine.load(str(tmp_path / "all.igvm"))
