import pytest

from tests.emu.debug.guests import vsm
from tests.tools.debug.front import Front

ENTRY = 192_591         # the instruction count of the guest's first VTL entry


@pytest.fixture(scope="module")
def guest():
    """The VSM guest, run to its first VTL entry."""
    with vsm(serial_out=lambda data: None) as m:
        with m.break_plane_switch(temporary=True):
            m.run()
        yield m


@pytest.fixture
def front(guest):
    """A front at the guest's first VTL entry."""
    for point in guest.breakpoints:
        point.remove()
    guest.goto(ENTRY)
    return Front(guest)
