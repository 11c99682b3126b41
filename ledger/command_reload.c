/* The commands that the master answers, which the ledger process only carries, and what it tells the audit log of them
 * (ledger/deed.h). */
#include "ledger/command.h"

#include "base/str.h"

/* Where there is no master. */
static int
reload_refused(struct command *command)
{
    command_refuse(command, COMMAND_FAILED, "no server runs here");
    return 0;
}

static int
server_reload(struct command *command)
{
    struct str price_version;
    uint32_t generation;
    struct jw *jw;

    if (!command_u32(command, "generation", &generation) ||
        !command_str(command, "price_version", true, &price_version))
        return 0;
    command_event(command, command->def->name);
    command_target(command, "server", 0, 0);
    jw = command_after(command);
    jw_key_u64(jw, "generation", generation);
    jw_key_str(jw, "price_version", price_version);
    command->changed = true;
    return 0;
}

static int
server_upgrade(struct command *command)
{
    struct str from, to;
    uint32_t generation;
    struct jw *jw;

    if (!command_str(command, "from", true, &from) || !command_str(command, "to", true, &to) ||
        !command_u32(command, "generation", &generation))
        return 0;
    command_target(command, "server", 0, 0);
    jw_key_str(command_before(command), "version", from);
    jw = command_after(command);
    jw_key_str(jw, "version", to);
    jw_key_u64(jw, "generation", generation);
    command->changed = true;
    return 0;
}

const struct command_def command_reload_defs[] = {
    {.name = "reload", .kind = COMMAND_ASK, .run = reload_refused},
    {.name = "upgrade", .kind = COMMAND_HAND, .run = reload_refused},
    {.name = "server.reload", .kind = COMMAND_WRITE, .run = server_reload},
    {.name = "server.upgrade", .kind = COMMAND_WRITE, .run = server_upgrade},
    {.name = NULL},
};
