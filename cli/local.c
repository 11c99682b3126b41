#include "cli/local.h"

#include "cli/models.h"
#include "cli/stop.h"

#include <string.h>

static enum cli_exit
models_run(const struct cli_local *local)
{
    return models_show(&(struct models_show){local_value(local, "config"),
                                             local_value(local, "family"),
                                             local_value(local, "channel"), local->json});
}

static enum cli_exit
import_run(const struct cli_local *local)
{
    return models_read(&(struct models_read){local->arguments[0], local_value(local, "format"),
                                             local_value(local, "maker"),
                                             local_value(local, "out"), local->json});
}

static const struct {
    const char *noun, *verb;
    enum cli_exit (*run)(const struct cli_local *local);
} runs[] = {
    {"models", NULL, models_run},
    {"models", "import", import_run},
    {"stop", NULL, stop_run},
};

static bool
is_same(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum cli_exit
local_run(const struct cli_local *local)
{
    for (size_t i = 0; i < COUNT_OF(runs); i++)
        if (is_same(runs[i].noun, local->command->noun) &&
            is_same(runs[i].verb, local->command->verb))
            return runs[i].run(local);
    ASSERT(!"a command that runs by itself has a function");
    return CLI_FAILED;
}

const struct cli_given *
local_values(const struct cli_local *local, const char *name)
{
    for (unsigned o = 0; local->command->options[o].flag != NULL; o++)
        if (strcmp(local->command->options[o].name, name) == 0)
            return &local->given[o];
    ASSERT(!"an option of the table");
    return NULL;
}

const char *
local_value(const struct cli_local *local, const char *name)
{
    const struct cli_given *given = local_values(local, name);

    return given->count > 0 ? given->at[0] : NULL;
}
