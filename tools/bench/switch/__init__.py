"""`strata bench switch`: what plane switches cost, in instructions, memory traffic, modelled cycles and host time."""
