"""Machines that tests of several files start from."""
import pytest

from tests.emu.flat import Flat


@pytest.fixture
def g():
    """One vCPU in 64-bit mode."""
    return Flat()


@pytest.fixture
def two():
    return Flat(vcpus=2)
