/* turnpike backup and turnpike restore. */
#ifndef CLI_BACKUP_H
#define CLI_BACKUP_H

#include "cli/table.h"

enum cli_exit backup_run(const struct cli_local *local);
enum cli_exit restore_cli_run(const struct cli_local *local);

#endif
