/* sim-upstream: `turnpike mock` as a program of its own, on a free port unless told. What tests start. */
#include <stdio.h>

#include "mock/mock.h"

static void
help(void)
{
    puts("turnpike mock --help says what there is");
}

int
main(int argc, char **argv)
{
    return mock_main(argc, argv, "127.0.0.1:0", help);
}
