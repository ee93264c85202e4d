"""Where published readings of the TLFS disagree: what each dialect answers.

"ms" is what Microsoft's own software expects, "kut" what Amazon's VSM test for kvm-unit-tests does. Where one behaviour
satisfies both there is no entry. docs/planes.md shows this table.
"""

from __future__ import annotations

from typing import NamedTuple

from emu.planes.vsm import codes


class Dialect(NamedTuple):
    """One reading. Fields that are numbers are status values."""

    name: str
    partition_vtl_enabled: int      # EnablePartitionVtl of an enabled VTL
    partition_vtl_disabled: int     # EnableVpVtl of a VTL that is not enabled for the partition
    vp_vtl_enabled: int             # EnableVpVtl of a VTL that is enabled there
    vp_vtl_enabled_first: bool      # that is checked before who calls
    empty_repetition: bool          # a repeated call with no repetitions succeeds
    ipi_to_higher: bool             # SendSyntheticClusterIpi may target a VTL above the caller's
    config_locked: int              # a change of VsmPartitionConfig after protections were enabled; 0: it is ignored
    no_protector: int               # ModifyVtlProtectionMask by VTL0 for itself
    fetch_length: int               # instruction length in the message about a denied fetch
    mbec: bool                      # VsmCapabilities offer mode-based execution control for VTL0
    reserved_checked: bool          # reserved fields of parameters must be 0; otherwise they may hold anything


DIALECTS = {dialect.name: dialect for dialect in (
    Dialect("ms", partition_vtl_enabled=codes.INVALID_VTL_STATE, partition_vtl_disabled=codes.INVALID_VTL_STATE,
            vp_vtl_enabled=codes.VTL_ALREADY_ENABLED, vp_vtl_enabled_first=False, empty_repetition=False,
            ipi_to_higher=False, config_locked=codes.INVALID_REGISTER_VALUE, no_protector=codes.INVALID_PARAMETER,
            fetch_length=0, mbec=True, reserved_checked=True),
    Dialect("kut", partition_vtl_enabled=codes.INVALID_PARAMETER, partition_vtl_disabled=codes.INVALID_PARAMETER,
            vp_vtl_enabled=codes.INVALID_PARAMETER, vp_vtl_enabled_first=True, empty_repetition=True,
            ipi_to_higher=True, config_locked=codes.SUCCESS, no_protector=codes.ACCESS_DENIED,
            fetch_length=2, mbec=False, reserved_checked=False),
)}
