/* Finding a command by its words, and what is said of commands: help, and complaints. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include <stdio.h>

#include "cli/cli.h"
#include "cli/table.h"

#define STATE_DEFAULT "/var/lib/turnpike"

/* "turnpike: what: why; hint" on standard error; hint may be NULL or empty. Gives status. */
enum cli_exit complain(enum cli_exit status, const char *what, const char *why, const char *hint);
/* All commands in a line each, or those of one noun with their options. For standard output, whatever
 * `to` is. */
enum cli_exit help_all(FILE *to, const char *noun);
/* page: the manual page of its group. */
void help_command(struct buf *out, const struct cli_command *command, const char *page);
/* NULL when there is none. */
const struct cli_command *find_command(const char *noun, const char *verb,
                                       const struct cli_group **group);

#endif
