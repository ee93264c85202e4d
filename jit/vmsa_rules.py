"""Numbers of the rules of jit/vmsa_checks.py, free of numba."""

(GOOD, NOT_SVME, BAD_CACHING, BAD_CR0, BAD_CR3, BAD_CR4, BAD_DR6, BAD_DR7, BAD_EFER, BAD_CET, BAD_PAE, BAD_PE,
 BAD_CS) = range(13)
