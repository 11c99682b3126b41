#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/help.h"
#include "cli/route.h"

#define END {NULL, NULL, false}
#define OPTION_BUDGET {"--budget", "N[/day|/week|/month]", "budget", CLI_TEXT, "spend at most so many credits; 0: nothing"}
#define NO_OPTION {NULL, NULL, NULL, CLI_TEXT, NULL}

/* ---- how answers are shown ---- */

static void
show_tenant(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},           {"name", "name", false},
        {"disabled", "disabled", false}, {"created", "created", false},
        {"credit", "first credit", false}, {"available", "available", false},
        {"overdraft", "overdraft", false}, {"budget", "budget", false},
        {"members", "members", false}, {"projects", "projects", false},
        {"keys", "keys", false},       END,
    };

    print_fields(result, fields);
}

static void
show_tenants(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"available", "AVAILABLE", true},
        {"budget", "BUDGET", false},
        {"disabled", "DISABLED", false},
        {"created", "CREATED", false},
        END,
    };

    print_table(js_get(result, STR("tenants")), columns, "no tenants");
}

static void
show_member(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},         {"email", "email", false},   {"role", "role", false},
        {"budget", "budget", false}, {"created", "created", false},
        {"keys_disabled", "keys disabled", false}, END,
    };

    print_fields(result, fields);
}

static void
show_members(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},           {"email", "EMAIL", false},    {"role", "ROLE", false},
        {"budget", "BUDGET", false}, {"created", "CREATED", false}, END,
    };

    print_table(js_get(result, STR("members")), columns, "no members");
}

static void
show_project(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},
        {"name", "name", false},
        {"budget", "budget", false},
        {"weights.latency", "latency", false},
        {"weights.cost", "cost", false},
        {"weights.quality", "quality", false},
        {"created", "created", false},
        END,
    };

    print_fields(result, fields);
}

static void
show_projects(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"budget", "BUDGET", false},
        {"weights.latency", "LATENCY", true},
        {"weights.cost", "COST", true},
        {"weights.quality", "QUALITY", true},
        {"created", "CREATED", false},
        END,
    };

    print_table(js_get(result, STR("projects")), columns, "no projects");
}

static void
show_kept(struct js_value result)
{
    static const struct print_column columns[] = {
        {"kind", "KIND", false},         {"id", "ID", false},       {"upstream", "UPSTREAM", false},
        {"purpose", "PURPOSE", false},   {"bytes", "BYTES", true},  {"model", "MODEL", false},
        {"lines", "LINES", true},        {"key", "KEY", true},      {"created", "CREATED", false},
        END,
    };

    print_table(js_get(result, STR("kept")), columns, "no files");
    if (js_bool(js_get(result, STR("more")), false))
        fprintf(stderr, "turnpike: there are more\n");
}

/* The secret alone on its line, for scripts: it is not shown again. */
static void
show_secret(struct js_value result)
{
    char id[32], key[128];

    print_value(js_get(result, STR("id")), id, sizeof(id));
    print_value(js_get(result, STR("key")), key, sizeof(key));
    printf("%s\n", key);
    fflush(stdout);
    fprintf(stderr, "turnpike: this is key %s; it is shown only now\n", id);
    explicit_bzero(key, sizeof(key));
}

static void
show_key(struct js_value result)
{
    static const struct print_column fields[] = {
        {"id", "id", false},
        {"name", "name", false},
        {"hint", "key", false},
        {"tenant", "tenant", false},
        {"member", "member", false},
        {"project", "project", false},
        {"disabled", "disabled", false},
        {"created", "created", false},
        {"expires", "expires", false},
        {"channels", "channels", false},
        {"no_dearer", "nothing dearer", false},
        {"models", "models", false},
        {"sibling", "siblings", false},
        {"allow_ip", "addresses", false},
        {"rpm", "requests/min", false},
        {"tpm", "tokens/min", false},
        {"concurrency", "at once", false},
        {"budget", "budget", false},
        END,
    };

    print_fields(result, fields);
}

static void
show_keys(struct js_value result)
{
    static const struct print_column columns[] = {
        {"id", "ID", true},
        {"name", "NAME", false},
        {"hint", "KEY", false},
        {"member", "MEMBER", false},
        {"project", "PROJECT", false},
        {"budget", "BUDGET", false},
        {"disabled", "DISABLED", false},
        {"expires", "EXPIRES", false},
        END,
    };

    print_table(js_get(result, STR("keys")), columns, "no keys");
}

static void
show_moved(struct js_value result)
{
    static const struct print_column fields[] = {
        {"name", "tenant", false},     {"kind", "kind", false},       {"amount", "amount", false},
        {"applied", "applied", false}, {"transfer", "transfer", false},
        {"available", "available", false}, {"note", "note", false}, END,
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
        {"calls", "calls", false},   END,
    };
    static const struct print_column columns[] = {
        {"source", "SOURCE", false},
        {"amount", "AMOUNT", true},
        END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_get(result, STR("sources")), columns, "nothing came in yet");
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
        END,
    };
    static const struct print_column total[] = {
        {"calls", "calls", false},
        {"errors", "errors", false},
        {"charge", "charge", false},
        {"uncollected", "uncollected", false},
        END,
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
        END,
    };
    static const struct print_column columns[] = {
        {"upstream", "UPSTREAM", false}, {"credential", "CREDENTIAL", true},
        {"channel", "CHANNEL", false},   {"model", "MODEL", false},
        {"status", "STATUS", true},
        {"reason", "REASON", false},     {"start_ms", "AT MS", true},
        {"took_ms", "TOOK MS", true},    END,
    };
    static const struct print_column lines[] = {
        {"class", "CLASS", false}, {"count", "COUNT", true},   {"list", "LIST PRICE", true},
        {"per", "PER", false},     {"factor", "FACTOR", true}, {"amount", "CREDITS", true}, END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_path(result, "price", "lines", NULL), lines, "nothing was counted");
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
        END,
    };
    char next[64];

    print_table(js_get(result, STR("calls")), columns, "no calls");
    if (js_is(js_get(result, STR("next")), JS_STRING)) {
        print_value(js_get(result, STR("next")), next, sizeof(next));
        printf("\nolder ones: --before %s\n", next);
    }
}

static void
show_status(struct js_value result)
{
    static const struct print_column fields[] = {
        {"master.pid", "master", false},
        {"ledger.pid", "ledger", false},
        {"ledger.lag", "ledger lag", false},
        {"ledger.durability", "durability", false},
        {"ledger.records", "records", false},
        {"generation", "generation", false},
        {"started", "started", false},
        {"uptime_s", "uptime s", false},
        {"restarts_worker", "workers restarted", false},
        {"restarts_ledger", "ledger restarted", false},
        {"listeners", "listeners", false},
        END,
    };
    static const struct print_column columns[] = {
        {"pid", "WORKER", true},     {"generation", "GENERATION", true},
        {"draining", "DRAINING", false},
        {"connections", "CONNECTIONS", true}, {"calls", "CALLS", true},
        {"calls_total", "IN ALL", true},      {"started", "STARTED", false}, END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_get(result, STR("workers")), columns, "no workers");
}

/* Faults as `turnpike check` says them. */
static void
show_faults(struct js_value list)
{
    struct js_value key, fault;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &fault);) {
        char file[256], line[16], message[1100];

        print_value(js_get(fault, STR("file")), file, sizeof(file));
        print_value(js_get(fault, STR("line")), line, sizeof(line));
        print_value(js_get(fault, STR("message")), message, sizeof(message));
        fprintf(stderr, "%s:%s: %s%s\n", file, line,
                js_str_eq(js_get(fault, STR("severity")), STR("warning")) ? "warning: " : "",
                message);
    }
}

static void
show_reload(struct js_value result)
{
    char why[512], hint[256], generation[16], started[16];
    uint64_t draining = 0;

    show_faults(js_get(result, STR("faults")));
    if (!js_bool(js_get(result, STR("ok")), false)) {
        print_value(js_get(result, STR("why")), why, sizeof(why));
        hint[0] = '\0';
        if (js_is(js_get(result, STR("hint")), JS_STRING))
            print_value(js_get(result, STR("hint")), hint, sizeof(hint));
        (void)complain(CLI_FAILED, "reload", why, hint);
        return;
    }
    print_value(js_get(result, STR("generation")), generation, sizeof(generation));
    print_value(js_get(result, STR("started")), started, sizeof(started));
    printf("reloaded: generation %s, %s worker%s started", generation, started,
           strcmp(started, "1") == 0 ? "" : "s");
    if (js_count(js_get(result, STR("draining")), UINT32_MAX, &draining) && draining > 0)
        printf(", %llu of earlier generations finish their calls", (unsigned long long)draining);
    printf("\n");
}

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
        END,
    };

    print_table(js_get(result, STR("upstreams")), columns, "no upstreams");
}

static void
show_audit(struct js_value result)
{
    static const struct print_column fields[] = {
        {"ok", "the books balance", false},
        {"deposited", "deposited", false},
        {"available", "available", false},
        {"held", "held", false},
        {"spent", "spent", false},
        {"journal_lag", "journal lag", false},
        {"open_holds", "open holds", false},
        {"records", "records", false},
        {"replayed", "charges replayed", false},
        {"differing", "of them differing", false},
        END,
    };
    static const struct print_column faults[] = {
        {"what", "FAULT", false},
        {"id", "OF", true},
        {"call", "CALL", false},
        {"expected", "EXPECTED", true},
        {"found", "FOUND", true},
        END,
    };
    static const struct print_column accounts[] = {
        {"tenant", "ID", true},      {"name", "TENANT", false}, {"deposited", "DEPOSITED", true},
        {"available", "AVAILABLE", true}, {"held", "HELD", true}, {"spent", "SPENT", true}, END,
    };

    print_fields(result, fields);
    if (js_is(js_get(result, STR("accounts")), JS_ARRAY)) {
        printf("\n");
        print_table(js_get(result, STR("accounts")), accounts, "no tenants");
    }
    if (!js_bool(js_get(result, STR("ok")), false)) {
        printf("\n");
        print_table(js_get(result, STR("faults")), faults, "");
    }
}

/* ---- options ---- */

static const struct cli_option tenant_add_options[] = {
    {"--credit", "N", "credit", CLI_TEXT, "grant so many credits at once"},
    OPTION_BUDGET,
    {"--overdraft", "N", "overdraft", CLI_TEXT, "how far below zero a call may go"},
    NO_OPTION,
};
static const struct cli_option member_add_options[] = {
    {"--role", "ROLE", "role", CLI_TEXT, "owner, admin, billing, developer or viewer"},
    OPTION_BUDGET,
    NO_OPTION,
};
#define OPTIONS_WEIGHTS                                                                            \
    {"--latency", "N", "latency", CLI_TEXT, "weight of a short wait for auto names, from 0 to 1"}, \
        {"--cost", "N", "cost", CLI_TEXT, "weight of a low price"},                                \
        {"--quality", "N", "quality", CLI_TEXT, "weight of the model's quality"}
static const struct cli_option project_add_options[] = {OPTION_BUDGET, OPTIONS_WEIGHTS, NO_OPTION};
static const struct cli_option project_set_options[] = {
    OPTIONS_WEIGHTS,
    {"--no-weights", NULL, "no_weights", CLI_FLAG, "weigh as routes.conf does"},
    NO_OPTION,
};
static const struct cli_option key_add_options[] = {
    {"--name", "NAME", "name", CLI_TEXT, "to know it by"},
    {"--member", "EMAIL", "member", CLI_TEXT, "whose it is"},
    {"--project", "PROJECT", "project", CLI_TEXT, "name or id"},
    {"--channel", "C[,C…]", "channels", CLI_LIST, "channels it may use, in order"},
    {"--no-dearer", NULL, "no_dearer", CLI_FLAG, "never in a channel dearer than its first"},
    {"--model", "GLOB", "models", CLI_LIST, "models it may ask for; may be repeated"},
    {"--sibling", NULL, "sibling", CLI_FLAG, "other models of a family may serve, as rules say"},
    {"--allow-ip", "CIDR", "allow_ip", CLI_LIST, "addresses it may come from; may be repeated"},
    {"--rpm", "N", "rpm", CLI_COUNT, "requests a minute; 0: no limit"},
    {"--tpm", "N", "tpm", CLI_COUNT, "tokens a minute; 0: no limit"},
    {"--concurrency", "N", "concurrency", CLI_COUNT, "calls at once; 0: no limit"},
    OPTION_BUDGET,
    {"--expires", "TIME", "expires", CLI_TEXT, "2026-12-31, a full time, or a span as 30d"},
    NO_OPTION,
};
static const struct cli_option credit_options[] = {
    {"--reason", "TEXT", "reason", CLI_TEXT, "kept with the movement"},
    {"--ref", "ID", "ref", CLI_TEXT, "the same ref again changes nothing"},
    NO_OPTION,
};
static const struct cli_option usage_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span as 24h"},
    {"--until", "TIME", "until", CLI_TEXT, "the same"},
    {"--by", "hour|day|model|key", "by", CLI_TEXT, "what a row is; day by default"},
    NO_OPTION,
};
static const struct cli_option call_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only if it is this one's"},
    NO_OPTION,
};
static const struct cli_option calls_options[] = {
    {"--tenant", "TENANT", "tenant", CLI_TEXT, "only this one's"},
    {"--key", "ID", "key", CLI_TEXT, "only this key's"},
    {"--model", "MODEL", "model", CLI_TEXT, "only this model's"},
    {"--outcome", "OUTCOME", "outcome", CLI_TEXT, "only those that ended so: ok, cut, client-gone, …"},
    {"--since", "TIME", "since", CLI_TEXT, "2026-11-21, a full time, or a span as 24h"},
    {"--until", "TIME", "until", CLI_TEXT, "the same"},
    {"--limit", "N", "limit", CLI_COUNT, "so many at most; 50 unless told, 1000 at most"},
    {"--before", "PLACE", "before", CLI_TEXT, "go on from where the last page ended"},
    NO_OPTION,
};
static const struct cli_option audit_options[] = {
    {"--accounts", NULL, "accounts", CLI_FLAG, "each tenant's sums as well"},
    {"--replay", NULL, "replay", CLI_FLAG, "compute every charge again, from its record and prices"},
    NO_OPTION,
};
static const struct cli_option models_options[] = {
    {"-c", "FILE", "config", CLI_TEXT, "routes.conf; found as serve finds it unless told"},
    {"--family", "FAMILY", "family", CLI_TEXT, "only models of this one"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "only what it serves, at its prices"},
    NO_OPTION,
};
static const struct cli_option models_import_options[] = {
    {"--format", "litellm|openrouter", "format", CLI_TEXT, "what FILE is; by its look unless told"},
    {"--maker", "MAKER", "maker", CLI_TEXT, "only this one's models"},
    {"--out", "FILE", "out", CLI_TEXT, "write the text there"},
    NO_OPTION,
};
static const struct cli_option stop_options[] = {
    {"--now", NULL, "now", CLI_FLAG, "do not wait for calls to end"},
    NO_OPTION,
};

static const struct cli_option route_options[] = {
    {"--key", "ID", "key", CLI_TEXT, "whose call it would be"},
    {"--channel", "CHANNEL", "channel", CLI_TEXT, "as a caller may name it"},
    {"--protocol", "PROTOCOL", "protocol", CLI_TEXT, "openai, responses, anthropic or gemini"},
    {"--request", "FILE", "request", CLI_REQUEST, "a request's body: what it needs counts"},
    {"--call", "ID", "call", CLI_TEXT, "draw what this call drew"},
    NO_OPTION,
};

#define TENANT {"TENANT", "tenant"}
#define KEY_ID {"ID", "id"}

const struct cli_command cli_commands[] = {
    {"tenant", "add", "tenant.add", false, {{"NAME", "name"}}, tenant_add_options,
     "add a tenant: who pays", show_tenant},
    {"tenant", "list", "tenant.list", false, {{0}}, NULL, "all tenants", show_tenants},
    {"tenant", "show", "tenant.show", false, {TENANT}, NULL, "one tenant", show_tenant},
    {"tenant", "disable", "tenant.disable", false, {TENANT}, NULL, "refuse its calls", show_tenant},
    {"tenant", "enable", "tenant.enable", false, {TENANT}, NULL, "serve it again", show_tenant},
    {"member", "add", "member.add", false, {TENANT, {"EMAIL", "email"}}, member_add_options,
     "add a person to a tenant", show_member},
    {"member", "list", "member.list", false, {TENANT}, NULL, "a tenant's members", show_members},
    {"member", "remove", "member.remove", false, {TENANT, {"EMAIL", "email"}}, NULL,
     "remove a person and disable their keys", show_member},
    {"project", "add", "project.add", false, {TENANT, {"NAME", "name"}}, project_add_options,
     "add a project to a tenant", show_project},
    {"project", "set", "project.set", false, {TENANT, {"PROJECT", "project"}}, project_set_options,
     "change how auto names weigh for a project", show_project},
    {"project", "list", "project.list", false, {TENANT}, NULL, "a tenant's projects",
     show_projects},
    {"key", "add", "key.add", false, {TENANT}, key_add_options, "make a key; prints it once",
     show_secret},
    {"key", "list", "key.list", false, {TENANT}, NULL, "a tenant's keys", show_keys},
    {"key", "show", "key.show", false, {KEY_ID}, NULL, "one key, without its secret", show_key},
    {"key", "disable", "key.disable", false, {KEY_ID}, NULL, "refuse its calls", show_key},
    {"key", "enable", "key.enable", false, {KEY_ID}, NULL, "serve it again", show_key},
    {"key", "rotate", "key.rotate", false, {KEY_ID}, NULL,
     "give it a new secret; the old one ends at once", show_secret},
    {"credit", "grant", "credit.grant", false, {TENANT, {"AMOUNT", "amount"}}, credit_options,
     "give credit", show_moved},
    {"credit", "deduct", "credit.deduct", false, {TENANT, {"AMOUNT", "amount"}}, credit_options,
     "take credit back", show_moved},
    {"credit", "show", "credit.show", false, {TENANT}, NULL, "available, held, spent, by source",
     show_credit},
    {"file", "list", "kept.list", false, {TENANT}, NULL,
     "files and batches that upstreams keep for a tenant", show_kept},
    {"usage", NULL, "usage", false, {{0}}, usage_options, "calls, tokens and charges", show_usage},
    {"call", NULL, "call.show", false, {{"ID", "id"}}, call_options,
     "one call: receipt and routing trace", show_call},
    {"calls", NULL, "call.list", false, {{0}}, calls_options, "calls, the newest first", show_calls},
    {"audit", NULL, "audit", false, {{0}}, audit_options,
     "check the books; 0 when they balance", show_audit},
    {"status", NULL, "status", true, {{0}}, NULL, "processes, listeners, lag, uptime", show_status},
    {"route", NULL, "route", true, {{"MODEL", "model"}}, route_options,
     "explain where a call for a model would go, and why", show_route},
    {"upstreams", NULL, "upstreams", true, {{0}}, NULL,
     "what workers know of upstreams: circuits, times, errors", show_upstreams},
    {"models", "import", NULL, false, {{"FILE", "file"}}, models_import_options,
     "another's price list as text of models.conf", NULL},
    {"models", NULL, NULL, false, {{0}}, models_options,
     "models, list prices, and what each channel makes of them", NULL},
    {"reload", NULL, "reload", true, {{0}}, NULL,
     "read routes.conf, secrets and certificates anew; waits for it", show_reload},
    {"stop", NULL, NULL, true, {{0}}, stop_options, "drain and stop the server; waits for it", NULL},
    {NULL, NULL, NULL, false, {{0}}, NULL, NULL, NULL},
};
