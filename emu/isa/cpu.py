"""The processor that a guest gets: a CPU model, with extensions added or taken away, as far as it is implemented."""

from __future__ import annotations

from iced_x86 import DecoderOptions

from emu.isa import coverage, extensions
from emu.isa.extensions import BY_FEATURE, BY_NAME, OFFERABLE
from emu.isa.models import AMD, INTEL, MODELS, Model

# CR4 bits of every processor with 64-bit mode, whatever it offers: MCE, PCE, OSXMMEXCPT (SDM Vol. 3A 2.5)
CR4_ALWAYS = 1 << 6 | 1 << 8
NO_XSS = (1 << 64) - 1              # of Cpu.xss_valid: there is no IA32_XSS
# Where the absence of an extension gives its encoding another meaning (SDM Vol. 2 LZCNT, TZCNT, WBINVD, LAHF)
DECODED_OTHERWISE = {"abm": DecoderOptions.NO_MPFX_0FBD, "bmi1": DecoderOptions.NO_MPFX_0FBC,
                     "wbnoinvd": DecoderOptions.NO_WBNOINVD, "lahf_lm": DecoderOptions.NO_LAHF_SAHF_64}


class Cpu:
    """A model and the names of the extensions that it offers; `wanted` has those that Strata lacks, too."""

    def __init__(self, model: Model, wanted: frozenset[str], offered: frozenset[str]) -> None:
        self.model, self.wanted, self.offered = model, wanted, offered
        self._allowed: dict[int, bool] = {}
        known = [BY_NAME[name] for name in offered if BY_NAME[name].done]
        self.cr4_valid, self.efer_valid, self.xcr0_valid, self.cet_valid = CR4_ALWAYS, 0, 1, 0
        self.xss_valid = 0 if "xsaves" in offered else NO_XSS
        for extension in known:
            self.cr4_valid |= extension.cr4
            self.efer_valid |= extension.efer
            self.cet_valid |= extension.cet
            self.xss_valid |= extension.xss
            if "xsave" in offered:
                self.xcr0_valid |= extension.xcr0
        self.decoder_options = sum(option for name, option in DECODED_OTHERWISE.items() if name not in offered)

    @property
    def amd(self) -> bool:
        """Whether it follows AMD's manual where the two differ."""
        return self.model.vendor == AMD

    @property
    def linear_bits(self) -> int:
        """Bits of a linear address, with five levels of page tables where it has them."""
        return 57 if "la57" in self.offered else 48

    def offers(self, name: str) -> bool:
        """Whether CPUID shows the extension."""
        return name in self.offered

    def lacks(self, code: int) -> str:
        """Why an iced Code is #UD here, or "": the extension that the model does not offer, or why Strata has none."""
        if code in coverage.ALWAYS or code in coverage.HINTS:
            return ""
        for feature in coverage.features(code):
            if feature in coverage.REASON:
                return coverage.REASON[feature]
            extension = BY_FEATURE.get(feature)
            if extension and extension.name not in self.offered and feature not in coverage.HINT_FEATURES:
                return f"CPU model {self.model.name} has no {extension.name}"
        return ""

    def allows(self, code: int) -> bool:
        """Whether the model has the instruction."""
        known = self._allowed.get(code)
        if known is None:
            known = self._allowed[code] = not self.lacks(code)
        return known


def parse(text: str) -> Cpu:
    """NAME,+EXTENSION,-EXTENSION,vendor=... as QEMU takes it. ValueError: one line that names what is wrong."""
    name, *changes = text.split(",")
    model = MODELS.get(name)
    if model is None:
        raise ValueError(f"no CPU model named {name!r}; there are: {', '.join(MODELS)}")
    wanted = set(extensions.supported(OFFERABLE) if model.extensions is None else model.extensions.split())
    for change in changes:
        if change in (f"vendor={INTEL}", f"vendor={AMD}"):
            model = model._replace(vendor=change.removeprefix("vendor="))
            continue
        sign, extension = change[:1], change[1:].replace(".", "_").replace("-", "_")
        if sign not in ("+", "-") or extension not in BY_NAME:
            raise ValueError(f"CPU model {name}: {change!r} is not + or - and the name of an extension, or "
                             f"vendor={AMD}, or vendor={INTEL}; strata info --cpu max lists them")
        if sign == "-":
            wanted.discard(extension)
        elif extension not in OFFERABLE:
            raise ValueError(f"CPU model {name}: {extension} is not implemented")
        else:
            wanted.add(extension)
            missing = [need for need in extensions.NEEDS.get(extension, ()) if need not in wanted]
            if missing:
                raise ValueError(f"CPU model {name}: {extension} needs {' and '.join(missing)}")
    return Cpu(model, frozenset(wanted), extensions.supported(frozenset(wanted) & OFFERABLE))


def bare() -> Cpu:
    """For an engine without a machine (tests, oracles): every instruction that has a lowering, offered or not."""
    return Cpu(MODELS["max"]._replace(vendor=INTEL), OFFERABLE, frozenset(BY_NAME))
