/* A benchmark program as a process of this machine. */
#include "program.h"

int main(void)
{
    program();
    return 0;
}
