#include "cli/table.h"

#include <stdio.h>

#include "base/str.h"

/* ---- how answers are shown ---- */

static void
show_order(struct js_value result)
{
    static const struct print_column fields[] = {
        {"order", "order", false},       {"tenant", "tenant", false},     {"provider", "provider", false},
        {"mode", "mode", false},         {"state", "state", false},       {"currency", "currency", false},
        {"amount_minor", "minor units", false}, {"credits", "credits", false}, {"bonus", "bonus", false},
        {"expires", "expires", false},   {"credited", "credited", false}, {"payment", "payment", false},
        {"url", "url", false},           {"bank", "transfer to", false},  {"result", "result", false}, PRINT_END,
    };
    static const struct print_column columns[] = {
        {"time", "TIME", false}, {"state", "STATE", false}, {"note", "NOTE", false}, PRINT_END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_get(result, STR("timeline")), columns, "nothing happened");
}

static void
show_orders(struct js_value result)
{
    static const struct print_column columns[] = {
        {"order", "ORDER", false},       {"created", "CREATED", false}, {"provider", "PROVIDER", false},
        {"state", "STATE", false},       {"currency", "CURRENCY", false}, {"amount_minor", "MINOR UNITS", true},
        {"credits", "CREDITS", true},    {"bonus", "BONUS", true},      PRINT_END,
    };
    char next[64];

    print_table(js_get(result, STR("orders")), columns, "no orders");
    if (js_is(js_get(result, STR("next")), JS_STRING)) {
        print_value(js_get(result, STR("next")), next, sizeof(next));
        printf("\nolder ones: --after %s\n", next);
    }
}

static void
show_reviews(struct js_value result)
{
    static const struct print_column columns[] = {
        {"time", "TIME", false},       {"why", "WHY", false},           {"provider", "PROVIDER", false},
        {"event", "EVENT", false},     {"order", "ORDER", false},       {"payment", "PAYMENT", false},
        {"currency", "CURRENCY", false}, {"amount_minor", "MINOR UNITS", true}, PRINT_END,
    };

    print_table(js_get(result, STR("reviews")), columns, "nothing to look at");
}

/* ---- options ---- */

#define OPTION_CURRENCY {"--currency", "USD|CNY", "currency", CLI_TEXT, "the money's; must be told"}
#define OPTION_AMOUNT {"--amount", "N", "amount", CLI_COUNT, "in minor units, as cents; must be told"}
static const struct cli_option create_options[] = {OPTION_CURRENCY, OPTION_AMOUNT, CLI_NO_OPTION};
static const struct cli_option confirm_options[] = {
    OPTION_CURRENCY,
    OPTION_AMOUNT,
    {"--bank-ref", "ID", "bank_ref", CLI_TEXT, "the bank's own reference; must be told"},
    CLI_NO_OPTION,
};
static const struct cli_option resolve_options[] = {
    {"--credit", NULL, "credit", CLI_FLAG, "credit it as it was asked for; not at all unless told"},
    {"--note", "TEXT", "note", CLI_TEXT, "why; must be told"},
    CLI_NO_OPTION,
};
static const struct cli_option list_options[] = {
    {"--limit", "N", "limit", CLI_COUNT, "so many at most; 100 unless told"},
    {"--after", "ORDER", "after", CLI_TEXT, "go on from where the last page ended"},
    CLI_NO_OPTION,
};
static const struct cli_option cancel_options[] = {
    {"--note", "TEXT", "note", CLI_TEXT, "why"},
    CLI_NO_OPTION,
};

#define ORDER {"ORDER", "order"}
static const struct cli_command commands[] = {
    {.noun = "order", .verb = "create", .cmd = "order.create", .needs_server = true,
     .arguments = {CLI_TENANT, {"PROVIDER", "provider"}}, .options = create_options,
     .summary = "order credit for a tenant, to be paid by a transfer", .show = show_order},
    {.noun = "order", .verb = "list", .cmd = "order.list", .arguments = {CLI_TENANT}, .options = list_options,
     .summary = "a tenant's orders, the newest first", .pages = true, .show = show_orders},
    {.noun = "order", .verb = "show", .cmd = "order.show", .arguments = {ORDER}, .summary = "one order and its timeline",
     .show = show_order},
    {.noun = "order", .verb = "confirm", .cmd = "order.confirm", .needs_server = true, .arguments = {ORDER},
     .options = confirm_options, .summary = "a transfer for it came", .show = show_order},
    {.noun = "order", .verb = "resolve", .cmd = "order.resolve", .needs_server = true, .arguments = {ORDER},
     .options = resolve_options, .summary = "decide about one that waits for a person", .show = show_order},
    {.noun = "order", .verb = "cancel", .cmd = "order.cancel", .arguments = {ORDER}, .options = cancel_options,
     .summary = "one for which no money came", .show = show_order},
    {.noun = "order", .verb = "reviews", .cmd = "review.list", .summary = "what was said that does not fit an order",
     .pages = true, .show = show_reviews},
    {.noun = NULL},
};

const struct cli_group cli_group_order = {"turnpike-order(1)", commands};
