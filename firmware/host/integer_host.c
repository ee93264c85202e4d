/* The integer guest's groups in user mode: prints guests/integer_expected.h from what this CPU computes. */
#include <stdio.h>

#include "integer_run.h"

int main(void)
{
    static const struct group *const sets[] = {alu_groups, bit_groups, more_groups, string_groups};
    puts("/* Made by `make host` on a processor with every extension named in integer.h: one CRC-32 a group. */");
    puts("#pragma once\n#include \"types.h\"\n\nstatic const u32 expected[] = {");
    for (unsigned s = 0; s < 4; s++)
        for (const struct group *g = sets[s]; g->run; g++)
            printf("    0x%08x, /* %s */\n", run_group(g), g->name);
    puts("};");
    return 0;
}
