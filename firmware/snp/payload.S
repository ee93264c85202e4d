/* The guest that an SVSM starts: a flat image linked at 1 MiB. PAYLOAD is its file. */
    .section .rodata.payload, "a"
    .balign 16
    .globl payload_start, payload_end
payload_start:
    .incbin PAYLOAD
payload_end:
