#include "cli/local.h"

#include <string.h>

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
