/*
 * What may stand at the end of a command line: the shells' completions ask `turnpike complete -- WORD…`, whose
 * last word is the one under the cursor. The answer is a candidate a line, behind a tab what it is; a
 * line ":files" or ":dirs" wants the shell's own. From the rows of the commands; names of tenants, keys, models and
 * channels from the server that runs. Never complains, never waits long, and opens no store.
 */
#ifndef CLI_COMPLETE_H
#define CLI_COMPLETE_H

#include "cli/table.h"

/* argv: the words behind "complete". Gives the exit status. */
int complete_main(int argc, char **argv);
/* turnpike completion SHELL: prints what a shell has to read for it. */
enum cli_exit completion_run(const struct cli_local *local);

#endif
