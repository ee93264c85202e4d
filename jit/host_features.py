"""What the host CPU has beyond the baseline: kernels may use it where a generic way to the same result exists.

Compiled code is cached for one host CPU only (jit/cache.py), so the answer may be built into it.
"""

import llvmlite.binding as llvm

_generic = False


def host_has(*features: str) -> bool:
    """Whether the host has all features, by LLVM's names for them."""
    found = {} if _generic else llvm.get_host_cpu_features()
    return all(found.get(feature, False) for feature in features)


def prefer_generic(wanted: bool = True) -> None:
    """For tests: build kernels as for a host that has none."""
    global _generic
    _generic = wanted
