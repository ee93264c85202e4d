"""Image loaders: from files to plain data that says what a guest's memory and first state are."""

from emu.load.image import BootState, Image, ImageError, Rom, Segment, SegmentRegister, Symbol, load_image
from emu.load.symbols import SymbolTable

__all__ = ["BootState", "Image", "ImageError", "Rom", "Segment", "SegmentRegister", "Symbol", "SymbolTable",
           "load_image"]
