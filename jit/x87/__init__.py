"""The x87 FPU (SDM Vol. 1 chapter 8): extended-precision arithmetic on integers, and the register stack around it."""
