"""The decoder front end: guest bytes to micro-ops, through iced-x86."""


def __getattr__(name: str) -> tuple[str, ...]:
    """IMPLEMENTED: the mnemonics that have a lowering; computed when asked for, as it imports every family."""
    if name != "IMPLEMENTED":
        raise AttributeError(name)
    from iced_x86 import OpCodeInfo

    from emu.decode import lowering
    from emu.decode.names import mnemonic_name
    lowering.load_families()
    mnemonics = set(lowering.TABLE) | {OpCodeInfo(code).mnemonic for code in lowering.CODES}
    return tuple(sorted(map(mnemonic_name, mnemonics)))
