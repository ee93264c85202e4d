"""The physical map: for each 4 KiB guest-physical page the host page that backs it, and what it is.

The word is the host address (page aligned) or-ed with the bits below. A page without PMAP_READ is a device or
nothing at all: Python decides. It is the only source of host addresses for guest memory.
"""

READ = 1            # plain memory, may be read directly
WRITE = 2           # plain memory, may be written directly
CODE = 4            # holds decoded instructions: stores take the slow path
GUARDED = 8         # a write is #GP(0): a hypervisor's read-only page
WATCHED = 16        # holds a line that a processor monitors: writes take the slow path (jit/monitor.py)
CLEAN = 32          # not written since the machine was made or the last snapshot: the first store takes the slow path
FLAGS_MASK = 0xFFF
