/* turnpike log export. */
#include "cli/export.h"

#include "ledger/export_row.h"

enum cli_exit
export_log_run(const struct cli_local *local)
{
    static const char *const args[] = {"tenant", "actor", "target", "action", NULL};
    static const struct export_set entries = {
        .noun = "log", .cmd = "log.list", .rows = "entries", .place = "cursor", .args = args,
        .one = "entry", .many = "entries", .head = export_log_head, .row = export_log_row,
    };

    return export_set_run(local, &entries);
}
