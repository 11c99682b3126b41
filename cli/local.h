/* What a command that carries itself out was given (struct cli_local). */
#ifndef CLI_LOCAL_H
#define CLI_LOCAL_H

#include "cli/table.h"

/* The value of the option with this `name` in the table (not its flag), the first of a list's; "" for a
 * flag; NULL when it was not given. */
const char *local_value(const struct cli_local *local, const char *name);
/* All its values; a list's are not split at commas. Never NULL. */
const struct cli_given *local_values(const struct cli_local *local, const char *name);

#endif
