"""Where RDRAND's and RDSEED's numbers start: SplitMix64 (jit/semantics/random.py), seeded for each plane of each vCPU.

The generator's state is the field RANDOM of the plane's register file, so that whatever copies that copies it. What
`strata run --seed` says decides all numbers of a run; INIT and reset of the processor do not start them anew.
"""

MASK64 = (1 << 64) - 1
STEP = 0x9E3779B97F4A7C15


def mix(value: int) -> int:
    """SplitMix64's output function: a bijection of 64-bit numbers."""
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK64
    return value ^ value >> 31


def first_state(seed: int, vcpu: int, plane: int) -> int:
    """RANDOM of a plane at power-up. `seed`: any integer, of which the low 64 bits count."""
    return mix(mix(seed & MASK64) + STEP * (vcpu << 8 | plane) & MASK64)
