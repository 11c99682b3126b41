/*
 * The subcommands as a table: words, arguments, options, what is asked of the ledger, how the answer
 * is shown. The parser, --help and the printing all read it.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/base.h"
#include "base/js.h"
#include "cli/cli.h"
#include "cli/print.h"

#define CLI_OPTIONS_MAX 14
#define CLI_ARGUMENTS_MAX 3

enum cli_option_kind {
    CLI_TEXT = 0,
    CLI_COUNT,
    CLI_LIST,
    CLI_FLAG,
    CLI_REQUEST, /* the file of a request: what it needs is told, and nothing else of it */
};

struct cli_option {
    const char *flag;  /* "--budget" */
    const char *value; /* what stands after it in the help */
    const char *name;  /* of the request's argument */
    enum cli_option_kind kind;
    const char *help;
};

struct cli_argument {
    const char *help; /* "TENANT" */
    const char *name; /* of the request's argument */
};

struct cli_given { /* values of one option */
    const char *at[64];
    unsigned count;
};

struct cli_command;

/* What a command that asks no ledger is run with. */
struct cli_local {
    const struct cli_command *command;
    const char *state_dir;
    bool json;
    const char *const *arguments;
    const struct cli_given *given; /* in the order of the command's options; see cli/local.h */
};

struct cli_command {
    const char *noun, *verb; /* verb NULL: the noun is the whole command */
    const char *cmd;         /* of the request; NULL: runs by itself, see cli/local.h */
    bool needs_server;
    struct cli_argument arguments[CLI_ARGUMENTS_MAX];
    const struct cli_option *options; /* ended by flag NULL */
    const char *summary;
    void (*show)(struct js_value result);
};

extern const struct cli_command cli_commands[]; /* ended by noun NULL */

#endif
