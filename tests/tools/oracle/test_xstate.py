"""The host's vector and opmask registers reach the case and come back (SDM Vol. 1 13.1)."""

import numpy as np
import pytest

from tools.oracle.arena import STACK
from tools.oracle.case import ZMM_BYTES, ZMMS, Case, VectorState
from tools.oracle.host import Host, HostUnavailable, cpu_flags


def test_masked_addition_of_upper_registers() -> None:
    try:
        host = Host()
    except HostUnavailable as why:
        pytest.skip(str(why))
    with host:
        if "avx512bw" not in cpu_flags():
            pytest.skip("the host CPU lacks AVX512BW")
        code = bytes.fromhex("62 81 45 43 fc d8")        # VPADDB ZMM19 {K3}, ZMM23, ZMM24
        zmm = np.arange(ZMM_BYTES * ZMMS, dtype=np.uint32).astype(np.uint8) * np.uint8(37)
        masks = np.arange(64, dtype=np.uint8)
        state = VectorState(0x1F80, zmm.tobytes(), bytes(128), opmask=masks.tobytes())
        host.write_code(0, code)
        after = host.run(Case(code, 64, (STACK.address,) * 16, 0x202, 0, 0, vector=state)).vector
    assert after is not None
    rows = zmm.reshape(ZMMS, ZMM_BYTES).copy()
    chosen = np.unpackbits(masks[24:32], bitorder="little").astype(bool)
    rows[19] = np.where(chosen, rows[23] + rows[24], rows[19])
    assert after == state._replace(zmm=rows.tobytes())
