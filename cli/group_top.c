#include "cli/plot.h"
#include "cli/table.h"
#include "cli/tail.h"
#include "cli/top.h"

static const struct cli_option top_options[] = {
    {"--interval", "SECONDS", "interval", CLI_TEXT, "ask so often; 2 unless told"},
    {"--sort", "calls|tokens|spend|errors|name", "sort", CLI_TEXT,
     "order of models and tenants; calls unless told"},
    {"--once", NULL, "once", CLI_FLAG, "print once; also where there is no terminal"},
    CLI_NO_OPTION,
};

static const struct cli_option plot_options[] = {
    {"--last", "SPAN", "last", CLI_TEXT, "of so long a time, as 7d; 24h unless told"},
    {"--by", "hour|day", "by", CLI_TEXT, "what a step is; hour up to 7d unless told"},
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--svg", "FILE", "svg", CLI_TEXT, "write a picture there; -: to standard output"},
    CLI_NO_OPTION,
};

static const struct cli_option tail_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "calls of this tenant"},
    {"--key", "ID", "key", CLI_TEXT, "calls with this key"},
    {"--model", "GLOB", "model", CLI_TEXT, "calls for models like this"},
    {"--status", "N|Nxx[,…]", "status", CLI_TEXT, "calls that were answered so: 429, 4xx,5xx"},
    {"--slow", "TIME", "slow", CLI_TEXT, "calls that took as long: 2s, 500ms"},
    {"--lines", "N", "last", CLI_COUNT, "first so many of the last; 10 unless told, at most 500"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "top", .run = top_run, .options = top_options,
     .summary = "what the server does, on a live screen"},
    {.noun = "plot", .run = plot_run, .arguments = {{"spend|tokens|calls|latency", "what"}},
     .options = plot_options, .summary = "draw spend, tokens, calls or times over time"},
    {.noun = "tail", .run = tail_run, .needs_server = true, .options = tail_options,
     .summary = "calls as they end, a line each, until Ctrl-C"},
    {.noun = NULL},
};

const struct cli_group cli_group_top = {"turnpike-top(1)", commands};
