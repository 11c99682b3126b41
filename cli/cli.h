/*
 * cli: the subcommands but serve and check. They ask a running server over DIR/control.sock; where
 * none runs, those that need none work on the store itself, by the same code and with the
 * same words out. Knows options, tables for people and JSON for programs; decides nothing about
 * money.
 */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/base.h"
#include "base/buf.h"

/* Exit statuses of every command, serve and check among them. Users' scripts rely on them; <sysexits.h> has
 * the same numbers. */
enum cli_exit {
    CLI_DONE = 0,
    CLI_FAILED = 1,
    CLI_USAGE = 2,
    CLI_NO_SERVER = 69,
    CLI_BUSY = 75,
    CLI_NOT_ALLOWED = 77,
    CLI_BAD_CONF = 78,
};

/*
 * Runs `turnpike SUBCOMMAND …` and gives the exit status. Global options may stand before or
 * after the subcommand. Prints to standard output and standard error. Of `serve` and `check`, which the
 * caller dispatches before, it knows the options, and runs nothing.
 */
int cli_main(int argc, char **argv);
/* True for a subcommand there is, serve and check among them. */
bool cli_knows(const char *subcommand);
/* Prints what `turnpike SUBCOMMAND --help` does. */
void cli_help(const char *subcommand);

#endif
