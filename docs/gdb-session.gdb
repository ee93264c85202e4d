# strata gdb firmware/build/vsm_call.elf --planes vsm, and beside it:
# gdb -q -batch -iex "set architecture i386:x86-64" -x docs/gdb-session.gdb firmware/build/vsm_call.elf
set pagination off
target remote 127.0.0.1:1234
monitor catch switch
set $n = 0
while $n < 20
  continue
  set $n = $n + 1
  printf "forward %d: VTL%d %#lx\n", $n, $_thread - 1, $pc
end
info threads
monitor switches
monitor planes
while $n > 1
  reverse-continue
  set $n = $n - 1
  printf "back %d: VTL%d %#lx\n", $n, $_thread - 1, $pc
end
stepi
reverse-stepi
x/i $pc
monitor catch off
break vtl1_serve
continue
backtrace 2
watch *(long *) &vtl1_entries
continue
reverse-continue
x/i $pc
monitor walk vtl1_entries
detach
