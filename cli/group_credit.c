#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"

/* ---- how answers are shown ---- */

static void
show_moved(struct js_value result)
{
    static const struct print_column fields[] = {
        {"name", "tenant", false},     {"kind", "kind", false},       {"amount", "amount", false},
        {"applied", "applied", false}, {"transfer", "transfer", false},
        {"available", "available", false}, {"expires", "expires", false}, {"note", "note", false}, PRINT_END,
    };

    print_fields(result, fields);
}

static void
show_credit(struct js_value result)
{
    static const struct print_column fields[] = {
        {"name", "tenant", false},   {"deposited", "deposited", false},
        {"available", "available", false}, {"held", "held", false},
        {"spent", "spent", false},   {"uncollected", "uncollected", false},
        {"calls", "calls", false},   PRINT_END,
    };
    static const struct print_column columns[] = {
        {"source", "SOURCE", false},
        {"amount", "AMOUNT", true},
        PRINT_END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_get(result, STR("sources")), columns, "nothing came in yet");
}

static void
show_kept(struct js_value result)
{
    static const struct print_column columns[] = {
        {"kind", "KIND", false},         {"id", "ID", false},       {"upstream", "UPSTREAM", false},
        {"purpose", "PURPOSE", false},   {"bytes", "BYTES", true},  {"model", "MODEL", false},
        {"lines", "LINES", true},        {"key", "KEY", true},      {"created", "CREATED", false},
        PRINT_END,
    };

    print_table(js_get(result, STR("kept")), columns, "no files");
    if (js_bool(js_get(result, STR("more")), false))
        fprintf(stderr, "turnpike: there are more\n");
}

static void
show_usage(struct js_value result)
{
    struct print_column columns[] = {
        {"hour", "", false},
        {"calls", "CALLS", true},
        {"errors", "ERRORS", true},
        {"tokens.input", "INPUT", true},
        {"tokens.cache_read", "CACHE READ", true},
        {"tokens.cache_write_5m", "WRITE 5M", true},
        {"tokens.cache_write_1h", "WRITE 1H", true},
        {"tokens.output", "OUTPUT", true},
        {"charge", "CHARGE", true},
        PRINT_END,
    };
    static const struct print_column total[] = {
        {"calls", "calls", false},
        {"errors", "errors", false},
        {"charge", "charge", false},
        {"uncollected", "uncollected", false},
        PRINT_END,
    };
    static const char *const by_name[][2] = {
        {"hour", "HOUR"}, {"day", "DAY"}, {"model", "MODEL"}, {"key", "KEY"}};

    for (size_t i = 0; i < COUNT_OF(by_name); i++)
        if (js_str_eq(js_get(result, STR("by")), str_from(by_name[i][0]))) {
            columns[0].path = by_name[i][0];
            columns[0].head = by_name[i][1];
        }
    print_table(js_get(result, STR("rows")), columns, "no calls");
    printf("\n");
    print_fields(js_get(result, STR("total")), total);
}

static void
show_call(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "call", false},
        {"tenant_name", "tenant", false},
        {"key", "key", false},
        {"asked", "asked for", false},
        {"rule", "by the rule", false},
        {"model", "model", false},
        {"model_reported", "reported as", false},
        {"channel", "channel", false},
        {"upstream", "upstream", false},
        {"endpoint", "endpoint", false},
        {"stream", "streamed", false},
        {"status", "status", false},
        {"outcome", "outcome", false},
        {"started", "started", false},
        {"queue_ms", "waited ms", false},
        {"first_byte_ms", "first byte ms", false},
        {"duration_ms", "duration ms", false},
        {"tokens.input", "input", false},
        {"tokens.cache_read", "cache read", false},
        {"tokens.cache_write_5m", "cache write 5m", false},
        {"tokens.cache_write_1h", "cache write 1h", false},
        {"tokens.output", "output", false},
        {"tokens.reasoning", "of that reasoning", false},
        {"held", "held", false},
        {"charge", "charge", false},
        {"uncollected", "uncollected", false},
        {"operator_cost", "operator's cost", false},
        {"tokens_reported.input", "input reported", false},
        {"tokens_reported.output", "output reported", false},
        {"price.basis", "charged by", false},
        {"price.tier", "tier", false},
        {"price.service", "service", false},
        {"price.discount", "discount", false},
        {"price.currency", "list prices in", false},
        {"price.multiplier", "multiplier", false},
        {"price.sum", "exact sum", false},
        {"price.rounding", "rounded up by", false},
        {"price_version", "prices", false},
        {"flags", "flags", false},
        PRINT_END,
    };
    static const struct print_column columns[] = {
        {"upstream", "UPSTREAM", false}, {"credential", "CREDENTIAL", true},
        {"channel", "CHANNEL", false},   {"model", "MODEL", false},
        {"status", "STATUS", true},
        {"reason", "REASON", false},     {"start_ms", "AT MS", true},
        {"took_ms", "TOOK MS", true},    PRINT_END,
    };
    static const struct print_column lines[] = {
        {"class", "CLASS", false}, {"count", "COUNT", true},   {"list", "LIST PRICE", true},
        {"per", "PER", false},     {"factor", "FACTOR", true}, {"amount", "CREDITS", true}, PRINT_END,
    };
    static const struct print_column payers[] = {
        {"from", "PAID BY", false}, {"number", "NUMBER", true}, {"amount", "CREDITS", true}, PRINT_END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_path(result, "price", "lines", NULL), lines, "nothing was counted");
    printf("\n");
    print_table(js_get(result, STR("paid")), payers, "nothing was paid");
    printf("\n");
    print_table(js_get(result, STR("attempts")), columns, "no upstream was tried");
}

static void
show_calls(struct js_value result)
{
    static const struct print_column columns[] = {
        {"started", "STARTED", false},
        {"id", "CALL", false},
        {"tenant_name", "TENANT", false},
        {"key", "KEY", true},
        {"model", "MODEL", false},
        {"upstream", "UPSTREAM", false},
        {"status", "STATUS", true},
        {"outcome", "OUTCOME", false},
        {"duration_ms", "MS", true},
        {"tokens.input", "INPUT", true},
        {"tokens.output", "OUTPUT", true},
        {"charge", "CHARGE", true},
        PRINT_END,
    };
    char next[64];

    print_table(js_get(result, STR("calls")), columns, "no calls");
    if (js_is(js_get(result, STR("next")), JS_STRING)) {
        print_value(js_get(result, STR("next")), next, sizeof(next));
        printf("\nolder ones: --before %s\n", next);
    }
}

static void
show_audit(struct js_value result)
{
    uint64_t dropped = 0;
    static const struct print_column fields[] = {
        {"ok", "the books balance", false},
        {"deposited", "deposited", false},
        {"available", "available", false},
        {"held", "held", false},
        {"spent", "spent", false},
        {"journal_lag", "journal lag", false},
        {"open_holds", "open holds", false},
        {"records", "records", false},
        {"log_entries", "log entries", false},
        {"replayed", "charges replayed", false},
        {"differing", "of them differing", false},
        PRINT_END,
    };
    static const struct print_column faults[] = {
        {"what", "FAULT", false},
        {"id", "OF", true},
        {"call", "CALL", false},
        {"expected", "EXPECTED", true},
        {"found", "FOUND", true},
        PRINT_END,
    };
    static const struct print_column accounts[] = {
        {"tenant", "ID", true},      {"name", "TENANT", false}, {"deposited", "DEPOSITED", true},
        {"available", "AVAILABLE", true}, {"held", "HELD", true}, {"spent", "SPENT", true}, PRINT_END,
    };

    print_fields(result, fields);
    if (js_count(js_get(result, STR("records_dropped")), UINT64_MAX, &dropped) && dropped > 0)
        printf("%-17s  %llu\n", "records dropped", (unsigned long long)dropped);
    if (js_is(js_get(result, STR("accounts")), JS_ARRAY)) {
        printf("\n");
        print_table(js_get(result, STR("accounts")), accounts, "no tenants");
    }
    if (!js_bool(js_get(result, STR("ok")), false)) {
        printf("\n");
        print_table(js_get(result, STR("faults")), faults, "");
    }
}

static enum cli_exit
judge_audit(struct js_value result, bool json)
{
    (void)json;
    if (js_bool(js_get(result, STR("ok")), false))
        return CLI_DONE;
    return complain(CLI_FAILED, "audit", "the books do not balance", "the faults are listed above");
}

/* ---- options ---- */

static const struct cli_option grant_options[] = {
    {"--reason", "TEXT", "reason", CLI_TEXT, "kept with the movement"},
    {"--ref", "ID", "ref", CLI_TEXT, "the same ref again changes nothing"},
    {"--days", "N", "days", CLI_COUNT, "a gift: what is left of it is taken back so many days from now"},
    CLI_NO_OPTION,
};
static const struct cli_option credit_options[] = {
    {"--reason", "TEXT", "reason", CLI_TEXT, "kept with the movement"},
    {"--ref", "ID", "ref", CLI_TEXT, "the same ref again changes nothing"},
    CLI_NO_OPTION,
};

static const struct cli_option usage_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span as 24h"},
    {"--until", "TIME", "until", CLI_TEXT, "the same"},
    {"--by", "hour|day|model|key", "by", CLI_TEXT, "what a row is; day by default"},
    CLI_NO_OPTION,
};

static const struct cli_option call_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only if it is this one's"},
    CLI_NO_OPTION,
};

static const struct cli_option calls_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--member", "ID", "member", CLI_TEXT, "only this member's"},
    {"--project", "ID", "project", CLI_TEXT, "only this project's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "only this channel's"},
    {"--status", "N", "status", CLI_COUNT, "only those answered with that HTTP status"},
    {"--outcome", "OUTCOME", "outcome", CLI_TEXT, "only those that ended so: ok, cut, client-gone, …"},
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span as 24h"},
    {"--until", "TIME", "until", CLI_TEXT, "the same"},
    {"--limit", "N", "limit", CLI_COUNT, "so many at most; 50 unless told, 1000 at most"},
    {"--before", "PLACE", "before", CLI_TEXT, "go on from where the last page ended"},
    CLI_NO_OPTION,
};

static const struct cli_option audit_options[] = {
    {"--accounts", NULL, "accounts", CLI_FLAG, "each tenant's sums as well"},
    {"--replay", NULL, "replay", CLI_FLAG, "compute every charge again, from its record and prices"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "credit", .verb = "grant", .cmd = "credit.grant",
     .arguments = {CLI_TENANT, {"AMOUNT", "amount"}}, .options = grant_options,
     .summary = "give credit", .show = show_moved},
    {.noun = "credit", .verb = "deduct", .cmd = "credit.deduct",
     .arguments = {CLI_TENANT, {"AMOUNT", "amount"}}, .options = credit_options,
     .summary = "take credit back", .show = show_moved},
    {.noun = "credit", .verb = "show", .cmd = "credit.show",
     .arguments = {CLI_TENANT}, .summary = "available, held, spent, by source",
     .show = show_credit},
    {.noun = "file", .verb = "list", .cmd = "kept.list", .arguments = {CLI_TENANT},
     .summary = "files and batches that upstreams keep for a tenant", .pages = true,
     .show = show_kept},
    {.noun = "usage", .cmd = "usage", .options = usage_options,
     .summary = "calls, tokens and charges", .pages = true, .show = show_usage},
    {.noun = "call", .cmd = "call.show", .arguments = {{"ID", "id"}}, .options = call_options,
     .summary = "one call: receipt and routing trace", .pages = true, .show = show_call},
    {.noun = "calls", .cmd = "call.list", .options = calls_options,
     .summary = "calls, the newest first", .pages = true, .show = show_calls},
    {.noun = "audit", .cmd = "audit", .options = audit_options,
     .summary = "check the books; 0 when they balance", .pages = true, .show = show_audit,
     .judge = judge_audit},
    {.noun = NULL},
};

const struct cli_group cli_group_credit = {"turnpike-credit(1)", commands};
