#include "cli/table.h"

#include <string.h>

/* A line each: the group `key` is in cli/group_key.c. */
#define GROUPS(X)                                                                                  \
    X(doctor)                                                                                      \
    X(server)                                                                                      \
    X(tenant)                                                                                      \
    X(admin)                                                                                       \
    X(site)                                                                                        \
    X(key)                                                                                         \
    X(credit)                                                                                      \
    X(voucher)                                                                                     \
    X(order)                                                                                       \
    X(log)                                                                                         \
    X(backup)                                                                                      \
    X(route)                                                                                       \
    X(bench)                                                                                       \
    X(top)                                                                                         \
    X(completion)                                                                                  \
    /* in the order of the help */

#define DECLARE(name) extern const struct cli_group cli_group_##name;
GROUPS(DECLARE)

#define REFER(name) &cli_group_##name,
const struct cli_group *const cli_groups[] = {GROUPS(REFER) NULL};

const struct cli_option cli_globals[] = {
    {"--state", "DIR", NULL, CLI_TEXT, "state directory; $TURNPIKE_STATE, else /var/lib/turnpike"},
    {"--json", NULL, NULL, CLI_FLAG, "one JSON document instead of text"},
    {"--color", "auto|always|never", NULL, CLI_TEXT,
     "colours; auto: on a terminal, unless NO_COLOR is set"},
    {"--help", NULL, NULL, CLI_FLAG, "what there is, or what this one takes"},
    {"--version", NULL, NULL, CLI_FLAG, "the program's version"},
    CLI_NO_OPTION,
};

bool
cli_takes(const struct cli_command *command, const struct cli_option *global)
{
    return !command->no_json ||
           (strcmp(global->flag, "--json") != 0 && strcmp(global->flag, "--color") != 0);
}

const char *
cli_letter(const char *flag)
{
    static const char *const letters[][2] = {
        {"-c", "--config"}, {"-h", "--help"},    {"-l", "--listen"}, {"-o", "--output"},
        {"-n", "--lines"},  {"-s", "--state"},  {"-w", "--workers"},
    };

    for (size_t i = 0; i < COUNT_OF(letters); i++)
        if (strcmp(letters[i][1], flag) == 0)
            return letters[i][0];
    return NULL;
}

const struct cli_command *
cli_next(struct cli_iter *it, const struct cli_group **group)
{
    while (cli_groups[it->group] != NULL) {
        const struct cli_command *command = &cli_groups[it->group]->commands[it->command];

        if (command->noun != NULL) {
            it->command++;
            if (group != NULL)
                *group = cli_groups[it->group];
            return command;
        }
        it->group++;
        it->command = 0;
    }
    return NULL;
}
