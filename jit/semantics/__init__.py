"""What each micro-op does, once: the interpreter and the region compiler are both made from these functions."""
