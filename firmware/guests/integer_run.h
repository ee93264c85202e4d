/* Running a group, and the table of all of them. */
#pragma once
#include "integer.h"

/* The CRC-32 of everything that the group folded. */
u32 run_group(const struct group *g);
