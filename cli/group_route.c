#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"
#include "cli/local.h"
#include "cli/models.h"
#include "cli/route.h"

/* ---- how answers are shown ---- */

static void
show_upstreams(struct js_value result)
{
    static const struct print_column columns[] = {
        {"upstream", "UPSTREAM", false},
        {"credential", "CREDENTIAL", false},
        {"state", "STATE", false},
        {"why", "WHY", false},
        {"until", "UNTIL", false},
        {"in_flight", "IN FLIGHT", true},
        {"first_byte_us", "FIRST BYTE US", true},
        {"token_us", "TOKEN US", true},
        {"error_ppm", "ERRORS PPM", true},
        {"attempts", "ATTEMPTS", true},
        {"failed", "FAILED", true},
        PRINT_END,
    };

    print_table(js_get(result, STR("upstreams")), columns, "no upstreams");
}

static enum cli_exit
judge_route(struct js_value result, bool json)
{
    if (route_why_not(result) == NULL)
        return CLI_DONE;
    return complain(CLI_FAILED, "route", route_why_not(result),
                    json ? NULL : "what was looked at is listed above");
}

/* ---- what works on files ---- */

static enum cli_exit
models_run(const struct cli_local *local)
{
    return models_show(&(struct models_show){local_value(local, "config"),
                                             local_value(local, "family"),
                                             local_value(local, "channel"), local->json});
}

static enum cli_exit
import_run(const struct cli_local *local)
{
    return models_read(&(struct models_read){local->arguments[0], local_value(local, "format"),
                                             local_value(local, "maker"),
                                             local_value(local, "out"), local->json});
}

/* ---- options ---- */

static const struct cli_option route_options[] = {
    {"--key", "ID", "key", CLI_TEXT, "whose call it would be"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "as a caller may name it"},
    {"--protocol", "PROTOCOL", "protocol", CLI_TEXT, "openai, responses, anthropic or gemini"},
    {"--request", "FILE", "request", CLI_REQUEST, "a request's body: what it needs counts"},
    {"--call", "ID", "call", CLI_TEXT, "draw what this call drew"},
    CLI_NO_OPTION,
};

static const struct cli_option models_options[] = {
    {"--config", "FILE", "config", CLI_TEXT, "routes.conf; found as serve finds it unless told"},
    {"--family", "FAMILY", "family", CLI_TEXT, "only models of this one"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "only what it serves, at its prices"},
    CLI_NO_OPTION,
};

static const struct cli_option models_import_options[] = {
    {"--format", "litellm|openrouter", "format", CLI_TEXT, "what FILE is; by its look unless told"},
    {"--maker", "MAKER", "maker", CLI_TEXT, "only this one's models"},
    {"--out", "FILE", "out", CLI_TEXT, "write the text there"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "route", .cmd = "route", .needs_server = true, .arguments = {{"MODEL", "model"}},
     .options = route_options, .summary = "explain where a call for a model would go, and why",
     .pages = true, .show = show_route, .judge = judge_route},
    {.noun = "upstreams", .cmd = "upstreams", .needs_server = true,
     .summary = "what workers know of upstreams: circuits, times, errors", .pages = true,
     .show = show_upstreams},
    {.noun = "models", .verb = "import", .run = import_run, .arguments = {{"FILE", "file"}},
     .options = models_import_options, .summary = "another's price list as text of models.conf"},
    {.noun = "models", .run = models_run, .pages = true, .options = models_options,
     .summary = "models, list prices, and what each channel makes of them"},
    {.noun = NULL},
};

const struct cli_group cli_group_route = {"turnpike-route(1)", commands};
