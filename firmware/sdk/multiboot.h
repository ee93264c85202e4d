/* The multiboot 1 header; flags 0, since the ELF program headers say where everything goes. */
    .section .multiboot, "a"
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002
