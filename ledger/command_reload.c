/* The commands that the master answers: the ledger process only carries them. */
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
    {.name = "upgrade", .kind = COMMAND_HAND, .run = reload_refused},
    {.name = NULL},
};
