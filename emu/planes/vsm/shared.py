"""What the VTLs of a vCPU share (TLFS, Virtual Secure Mode, "Virtual processor state isolation": shared and private VTL
state). DR6 is private here, as VsmCapabilities.Dr6Shared = 0 says."""

from emu.planes.shared import saved, shared_words

KINDS = ("gpr", "dr", "fpu")
SHARED = shared_words(KINDS)
PRIVATE = saved(KINDS)          # what a switch puts aside, for reports
