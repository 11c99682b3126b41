/*
 * The one main(): serve and check are the master's, mock is a program of its own, every other subcommand is
 * cli/'s. Global options may stand before the subcommand, so it is the first word that is no option.
 */
#include <stdbool.h>
#include <string.h>

#include "base/hash.h"
#include "cli/cli.h"
#include "master/check.h"
#include "master/handover.h"
#include "master/serve.h"
#include "mock/mock.h"

#define ARGS_MAX 256

/* The index of the subcommand in argv, or argc. */
static int
subcommand_at(int argc, char **argv)
{
    int i = 1;

    while (i < argc && argv[i][0] == '-') {
        bool takes_next = strcmp(argv[i], "-s") == 0 || strcmp(argv[i], "--state") == 0 ||
                          strcmp(argv[i], "--color") == 0;

        i += takes_next ? 2 : 1;
    }
    return i < argc ? i : argc;
}

/* Runs a subcommand of the master's with the options that stood before it moved behind it. */
static int
run(int (*subcommand)(int, char **), int argc, char **argv, int at)
{
    char *moved[ARGS_MAX];
    int n = 0;

    if (argc > ARGS_MAX - 1)
        return cli_main(argc, argv);
    moved[n++] = argv[at];
    for (int i = 1; i < argc; i++)
        if (i != at)
            moved[n++] = argv[i];
    moved[n] = NULL;
    return subcommand(n, moved);
}

static void
mock_help(void)
{
    cli_help("mock");
}

/* Where the simulated upstream of the shipped routes.conf is. */
static int
mock(int argc, char **argv)
{
    return mock_main(argc, argv, "127.0.0.1:8081", mock_help);
}

int
main(int argc, char **argv)
{
    int at = subcommand_at(argc, argv);

    hash_start();
    if (at < argc && strcmp(argv[at], "serve") == 0) {
        handover_remember(argv);
        return run(serve_main, argc, argv, at);
    }
    if (at < argc && strcmp(argv[at], "check") == 0)
        return run(check_main, argc, argv, at);
    if (at < argc && strcmp(argv[at], "mock") == 0)
        return run(mock, argc, argv, at);
    return cli_main(argc, argv);
}
