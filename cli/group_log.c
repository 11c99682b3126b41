#include "cli/export.h"
#include "cli/table.h"

#include <stdio.h>

#include "base/str.h"

#define FILTERS                                                                                    \
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only what was done in this one"},                  \
    {"--actor", "KIND:ID", "actor", CLI_TEXT, "only by this one: person:7, key:3, cli:0"},         \
    {"--target", "KIND:ID", "target", CLI_TEXT, "only to this: key:5, member:2, tenant:1"},        \
    {"--action", "ACTION", "action", CLI_TEXT, "only this, as key.add"},                           \
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span as 24h"},           \
    {"--until", "TIME", "until", CLI_TEXT, "the same"}

static const struct cli_option list_options[] = {
    FILTERS,
    {"--limit", "N", "limit", CLI_COUNT, "so many at most; 50 unless told, 1000 at most"},
    {"--cursor", "PLACE", "cursor", CLI_TEXT, "go on from where the last page ended"},
    CLI_NO_OPTION,
};
static const struct cli_option export_options[] = {
    FILTERS,
    {"--format", "csv|jsonl", "format", CLI_TEXT, "csv unless told"},
    {"--output", "FILE", "output", CLI_TEXT, "write to it instead of standard output"},
    {"--force", NULL, "force", CLI_FLAG, "replace FILE if it is there"},
    CLI_NO_OPTION,
};

static void
show_log(struct js_value result)
{
    static const struct print_column columns[] = {
        {"time", "TIME", false},
        {"seq", "NUMBER", true},
        {"actor.kind", "BY", false},
        {"actor.id", "ID", true},
        {"actor.name", "NAME", false},
        {"action", "ACTION", false},
        {"target.kind", "TO", false},
        {"target.id", "ID", true},
        {"target.name", "NAME", false},
        PRINT_END,
    };
    char next[64];

    print_table(js_get(result, STR("entries")), columns, "nothing was done");
    if (js_is(js_get(result, STR("next")), JS_STRING)) {
        print_value(js_get(result, STR("next")), next, sizeof(next));
        printf("\nolder ones: --cursor %s\n", next);
    }
}

static const struct cli_command commands[] = {
    {.noun = "log", .verb = "list", .cmd = "log.list", .options = list_options,
     .summary = "who did what, the newest first", .pages = true, .show = show_log},
    {.noun = "log", .verb = "export", .run = export_log_run, .options = export_options,
     .summary = "the same as CSV or lines of JSON, the oldest first"},
    {.noun = NULL},
};

const struct cli_group cli_group_log = {"turnpike-log(1)", commands};
