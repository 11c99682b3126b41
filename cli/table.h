/*
 * The subcommands as tables: words, arguments, options, what is asked of the ledger, how the answer
 * is shown. The parser, --help, completions and the tests of the manual all read them.
 *
 * Commands come in groups, a file each (cli/group_key.c), and a group has one manual page. A new
 * command is a row in its group's file; a new group is a file and one line in cli/groups.c.
 */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include "base/base.h"
#include "base/js.h"
#include "cli/cli.h"
#include "cli/print.h"

#define CLI_OPTIONS_MAX 24
#define CLI_ARGUMENTS_MAX 3
#define CLI_NO_OPTION {.flag = NULL}
#define CLI_OPTION_BUDGET                                                                          \
    {"--budget", "N[/day|/week|/month|/Nh]", "budget", CLI_TEXT, "spend at most so many credits; 0: nothing"}
#define CLI_TENANT {"TENANT", "tenant"}
/* Of lists that come by pages. */
#define CLI_OPTIONS_PAGE                                                                           \
    {"--find", "TEXT", "q", CLI_TEXT, "only where a word begins so"},                              \
        {"--limit", "N", "limit", CLI_COUNT, "show at most so many, 1 to 1000"},                   \
        {"--after", "NEXT", "after", CLI_TEXT, "go on from there: the next of the page before"}
#define CLI_OPTION_SHADOW                                                                          \
    {"--shadow", "LIMIT[,LIMIT…]", "shadow", CLI_LIST,                                             \
     "of rpm, tpm, concurrency, or none: these count only"}
/* What may be changed of whatever has limits. */
#define CLI_OPTIONS_LIMITS                                                                         \
    {"--rpm", "N", "rpm", CLI_COUNT, "requests a minute; 0: no limit"},                            \
        {"--tpm", "N", "tpm", CLI_COUNT, "tokens a minute; 0: no limit"},                          \
        {"--concurrency", "N", "concurrency", CLI_COUNT, "calls at once; 0: no limit"},            \
        CLI_OPTION_SHADOW,                                                                         \
        {"--channel", "C[,C…]", "channels", CLI_LIST, "channels that may be used, in order"},      \
        {"--any-channel", NULL, "any_channel", CLI_FLAG, "no list of channels"},                   \
        {"--model", "GLOB", "models", CLI_LIST, "models that may be asked for; may be repeated"},  \
        {"--any-model", NULL, "any_model", CLI_FLAG, "no list of models"},                         \
        {"--budget", "N[/day|/week|/month|/Nh]|none", "budget", CLI_TEXT,                          \
         "spend at most so many credits"}

enum cli_option_kind {
    CLI_TEXT = 0,
    CLI_COUNT,
    CLI_LIST,
    CLI_FLAG,
    CLI_CONTENT, /* a file's name; what it holds is sent: cli/content.h */
    CLI_REQUEST, /* the file of a request: what it needs is told, and nothing else of it */
};

struct cli_option {
    const char *flag;  /* "--budget" */
    const char *value; /* what stands after it in the help: "TENANT", "FILE", "text|json" */
    const char *name;  /* of the request's argument */
    enum cli_option_kind kind;
    const char *help;
};

struct cli_argument {
    const char *help; /* "TENANT"; "[FILE]" may be left out, and so may all after it */
    const char *name; /* of the request's argument */
};

struct cli_given { /* values of one option */
    const char *at[64];
    unsigned count;
};

struct cli_command;

/* What a command that asks no ledger is run with; cli/local.h reads it. */
struct cli_local {
    const struct cli_command *command;
    const char *state_dir;
    bool json;
    const char *const *arguments;  /* those that were left out are NULL */
    const struct cli_given *given; /* in the order of the command's options */
};

struct cli_command {
    const char *noun, *verb; /* verb NULL: the noun is the whole command */
    /* Who carries it out: one of these two. Neither: main() does, before cli_main() is asked. */
    const char *cmd; /* of the request to the ledger process */
    enum cli_exit (*run)(const struct cli_local *local);
    bool needs_server; /* no work on the store itself */
    bool patient;      /* its answer may take as long as calls do */
    bool no_json;      /* it prints nothing that --json or --color could change */
    bool pages;        /* its text may be long: cli/pager.h */
    bool hidden;       /* of no use to people: not listed */
    struct cli_argument arguments[CLI_ARGUMENTS_MAX];
    const struct cli_option *options; /* ended by flag NULL; NULL: none */
    const char *summary;
    void (*show)(struct js_value result); /* the answer to cmd, for people */
    /* What the answer is as an exit status, with a complaint where it is none that is good; NULL: done. */
    enum cli_exit (*judge)(struct js_value result, bool json);
};

struct cli_group {
    const char *page;                    /* its manual page: "turnpike-key(1)" */
    const struct cli_command *commands; /* ended by noun NULL */
};

extern const struct cli_group *const cli_groups[]; /* ended by NULL; in the order of the help */
extern const struct cli_option cli_globals[];      /* of every command; ended by flag NULL */

/* Whether a command takes a global option. */
bool cli_takes(const struct cli_command *command, const struct cli_option *global);
/* "-c" for "--config", or NULL. A letter is short for the same option wherever that is. */
const char *cli_letter(const char *flag);

/* Over all commands of all groups, in order: */
struct cli_iter {
    unsigned group, command;
};
/* The next command, or NULL; group gets its group unless it is NULL. The iterator starts zeroed. */
const struct cli_command *cli_next(struct cli_iter *it, const struct cli_group **group);

#endif
