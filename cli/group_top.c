#include "cli/table.h"
#include "cli/top.h"

static const struct cli_option top_options[] = {
    {"--interval", "SECONDS", "interval", CLI_TEXT, "ask so often; 2 unless told"},
    {"--sort", "calls|tokens|spend|errors|name", "sort", CLI_TEXT,
     "order of models and tenants; calls unless told"},
    {"--once", NULL, "once", CLI_FLAG, "print once; also where there is no terminal"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "top", .run = top_run, .options = top_options,
     .summary = "what the server does, on a live screen"},
    {.noun = NULL},
};

const struct cli_group cli_group_top = {"turnpike-top(1)", commands};
