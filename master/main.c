/* The one main(): serve and check are the master's, every other subcommand is cli/'s. */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "master/serve.h"

int
main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "serve") == 0)
        return serve_main(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "check") == 0)
        return check_main(argc - 1, argv + 1);
    return cli_main(argc, argv);
}
