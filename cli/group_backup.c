#include "cli/backup.h"
#include "cli/export.h"
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

static const struct cli_option export_options[] = {
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span before now as 30d"},
    {"--until", "TIME", "until", CLI_TEXT, "the same; now unless told"},
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--member", "ID", "member", CLI_TEXT, "only this member's"},
    {"--project", "ID", "project", CLI_TEXT, "only this project's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "only this channel's"},
    {"--format", "csv|jsonl", "format", CLI_TEXT, "csv unless told"},
    {"--output", "FILE", "output", CLI_TEXT, "write to it instead of standard output"},
    {"--force", NULL, "force", CLI_FLAG, "replace FILE if it is there"},
    CLI_NO_OPTION,
};
static const struct cli_option retention_options[] = {
    {"--records", "AGE", "records", CLI_TEXT, "as if this stood in routes.conf, such as 90d"},
    {"--size", "SIZE", "size", CLI_TEXT, "likewise, such as 20g"},
    CLI_NO_OPTION,
};

static void
show_retention(struct js_value result)
{
    static const struct print_column fields[] = {
        {"kept.records", "records kept", false},
        {"kept.bytes", "their bytes", false},
        {"kept.oldest", "the oldest", false},
        {"kept.newest", "the newest", false},
        {"dropped.records", "records dropped", false},
        {"dropped.charge", "their charges", false},
        {"dropped.until", "all until", false},
        {"bounds.records_s", "bound seconds", false},
        {"bounds.size_bytes", "bound bytes", false},
        {"due.records", "records due", false},
        {"due.bytes", "their bytes", false},
        {"due.until", "all until", false},
        PRINT_END,
    };

    print_fields(result, fields);
}

static const struct cli_command commands[] = {
    {.noun = "backup", .run = backup_run, .arguments = {{"FILE", "file"}}, .options = backup_options,
     .summary = "copy the store, also while it is in use; - is standard output"},
    {.noun = "restore", .run = restore_cli_run, .arguments = {{"FILE", "file"}},
     .options = restore_options, .summary = "make the store of a backup, which is verified first"},
    {.noun = "export", .run = export_run, .options = export_options,
     .summary = "records of calls as CSV or lines of JSON"},
    {.noun = "retention", .cmd = "retention", .options = retention_options,
     .summary = "records kept, dropped, and due to be dropped", .show = show_retention},
    {.noun = NULL},
};

const struct cli_group cli_group_backup = {"turnpike-backup(1)", commands};
