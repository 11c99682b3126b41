/* The one command that the master answers: the ledger process only carries it. */
#include "ledger/command.h"

/* Where there is no master. */
static int
reload_refused(struct command *command)
{
    command_refuse(command, COMMAND_FAILED, "no server runs here");
    return 0;
}

const struct command_def command_reload_defs[] = {
    {.name = "reload", .kind = COMMAND_ASK, .run = reload_refused},
    {.name = NULL},
};
