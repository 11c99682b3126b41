#include "cli/backup.h"
#include "cli/table.h"

static const struct cli_option backup_options[] = {
    {"--force", NULL, "force", CLI_FLAG, "replace FILE if it is there"},
    CLI_NO_OPTION,
};
static const struct cli_option restore_options[] = {
    {"--force", NULL, "force", CLI_FLAG, "also over a store that is not empty, which is put aside"},
    {"--verify", NULL, "verify", CLI_FLAG, "only look whether FILE is good"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "backup", .run = backup_run, .arguments = {{"FILE", "file"}}, .options = backup_options,
     .summary = "copy the store, also while it is in use; - is standard output"},
    {.noun = "restore", .run = restore_cli_run, .arguments = {{"FILE", "file"}},
     .options = restore_options, .summary = "make the store of a backup, which is verified first"},
    {.noun = NULL},
};

const struct cli_group cli_group_backup = {"turnpike-backup(1)", commands};
