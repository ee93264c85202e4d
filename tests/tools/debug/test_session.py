"""What changed, the plane that is looked at, the stages of a switch."""
import pytest

from tests.tools.debug.conftest import ENTRY
from tools.debug import stages


def test_changes_are_told_from_the_stop_before(front):
    session = front.session
    session.move(lambda m: m.goto(ENTRY - 1))
    session.move(lambda m: m.step())            # VMMCALL: VTL1 is entered
    assert session.changes.changed(0, 0, "rip")     # VTL0 will go on after its call
    assert not session.changes.changed(0, 0, "cr3") and not session.changes.changed(0, 1, "cr3")
    session.move(lambda m: m.step())
    assert session.changes.changed(0, 1, "rip") and not session.changes.changed(0, 0, "rip")


def test_the_plane_chosen_is_looked_at_until_the_machine_moves(front):
    session = front.session
    assert session.plane.number == 1
    session.choose(0, 0)
    assert session.plane.number == 0
    session.move(lambda m: m.step())
    assert session.plane.number == 1
    with pytest.raises(ValueError, match="no plane 7"):
        session.choose(0, 7)
    with pytest.raises(ValueError, match="there are 1"):
        session.choose(3, 0)


def test_a_switch_is_taken_apart(front):
    machine = front.session.machine
    found = stages.crossing(machine)
    assert (found.switch.cause, found.source.name, found.target.name) == ("call", "VTL0", "VTL1")
    assert stages.cause(machine, found)["rip"] == found.switch.rip_from
    saved = stages.saved(machine, found)
    assert saved["rip"] == found.source.rip and saved["cr3"] == found.source.regs.cr3
    # TLFS, "Virtual processor state isolation": shared, so not put aside.
    assert not set(saved) & set(stages.shared(machine, found)) and "rax" in stages.shared(machine, found)
    assert "rsp" in saved and "cr2" not in saved
    machine.step()
    assert stages.crossing(machine) is None


def test_permissions_are_counted_by_page():
    from emu import Machine
    from tests.emu.debug.guests import VSM
    with Machine(memory="8M", planes="vsm") as m:
        m.load(VSM.with_name("vsm_lockdown.elf"))
        with m.break_violation():
            m.run()
        denied = stages.permissions(m, m.vcpu[0].plane[0])
        assert 0 < denied["write"] < stages.pages(m) and stages.permissions(m, m.vcpu[0].plane[1])["write"] == 0


def test_breakpoints_are_found_by_address(front):
    session = front.session
    address = session.plane.code_address
    assert session.toggle(address).startswith("breakpoint")
    assert session.breakpoint_at(address).enabled and session.breakpoint_at(address + 1) is None
    hook = session.machine.on.execute(address + 1, lambda event: None)
    assert len(session.breakpoints) == 1        # hooks are not the user's
    hook.remove()
    assert session.toggle(address).endswith("removed") and not session.breakpoints
