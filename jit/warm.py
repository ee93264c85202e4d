"""Compiling ahead on a second processor: what nearly every guest needs, in a process of its own.

Started when a first function is missing from the cache, so that an empty cache costs half the time; ends with its list
or with the process that started it. The two share the cache directory and claim what they compile (jit/cache.py).
"""

import atexit
import os
import sys

from jit import child

FUNCTIONS = ("far_jump", "write_cr", "load_segment", "update_mode", "write_msr", "read_msr", "deliver", "enter_long",
             "iret_long")
OPS = """
mov.32 mov.64 linear_seg.32 store.32 load.32 add.32 cmp.32 jcc.5.32 jcc.4.32 jmp.32 far.jump write_cr.32 xor.32 or.32
push.64.64 pop.64.64 call.64.64 ret.64.64 jmp.64 jcc.4.64 jcc.5.64 lea.64 add.64 sub.64 cmp.64 test.32 test.8 load.64
store.64 load.8 store.8 in.8 out.8 movzx.8.32 movsx.8.32 movsx.32.64 jcc.7.64 jcc.2.64 jcc.6.64 jcc.3.64 jcc.14.64
jcc.15.64 jcc.12.64 jcc.13.64 cmp.8 and.32 shl.64 shr.32 shr.64 sub.32 lea.32 cmov.5.32 cmov.6.32 set.5 sbb.32 or.64
div.32 load.16 load_rw.32 out.32 and.64 xor.64 test.64 inc.64 dec.64 shl.32 imul.32 set.4 not.32 neg.32 mov.8 load_rw.64
""".split()


def start() -> None:
    """Start the process, if there is a processor for it and $STRATA_COMPILE_AHEAD is not 0."""
    if (os.cpu_count() or 1) < 2 or os.environ.get("STRATA_COMPILE_AHEAD") == "0":
        return
    try:
        helper = child.start("jit.warm", str(os.getpid()))
    except OSError:
        return
    atexit.register(helper.terminate)


def main(parent: int) -> None:
    """Compile the list, as long as the process `parent` lives."""
    from jit.compiler import Compiler
    compiler = Compiler(help_wanted=False)
    for name in (*FUNCTIONS, *OPS):
        if os.getppid() != parent:
            return
        if name in FUNCTIONS:
            compiler.function(name)
        else:
            compiler.op_id(name)


if __name__ == "__main__":
    main(int(sys.argv[1]))
