/* Complaints of words that are no command or option, with what may have been meant. */
#ifndef CLI_SUGGEST_H
#define CLI_SUGGEST_H

#include "cli/table.h"

enum cli_exit no_such(const char *noun, const char *verb);
/* word: as it was typed, "--bugdet=3" or "-x". */
enum cli_exit no_such_option(const struct cli_command *command, const char *word);
/* Of anything else that is wrong with the words of a command: says where its help is. */
enum cli_exit no_such_use(const struct cli_command *command, const char *what, const char *why);

#endif
