#include "cli/table.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/term.h"
#include "cli/help.h"
#include "cli/stop.h"

/* ---- how answers are shown ---- */

static void
show_status(struct js_value result)
{
    static const struct print_column fields[] = {
        {"master.pid", "master", false},
        {"ledger.pid", "ledger", false},
        {"ledger.lag", "ledger lag", false},
        {"ledger.durability", "durability", false},
        {"ledger.records", "records", false},
        {"manage.pid", "manage", false},
        {"version", "version", false},
        {"generation", "generation", false},
        {"started", "started", false},
        {"uptime_s", "uptime s", false},
        {"restarts_worker", "workers restarted", false},
        {"restarts_ledger", "ledger restarted", false},
        {"restarts_manage", "manage restarted", false},
        {"mail.waiting", "mail waiting", false},
        {"mail.dropped", "mail dropped", false},
        {"listeners", "listeners", false},
        PRINT_END,
    };
    static const struct print_column columns[] = {
        {"pid", "WORKER", true},     {"generation", "GENERATION", true},
        {"draining", "DRAINING", false},
        {"connections", "CONNECTIONS", true}, {"calls", "CALLS", true},
        {"calls_total", "IN ALL", true},      {"started", "STARTED", false}, PRINT_END,
    };

    static const struct print_column certificates[] = {
        {"names", "CERTIFICATE", false}, {"not_before", "SINCE", false}, {"not_after", "UNTIL", false},
        {"file", "FILE", false}, PRINT_END,
    };

    print_fields(result, fields);
    printf("\n");
    print_table(js_get(result, STR("workers")), columns, "no workers");
    if (js_get(result, STR("certificates")).raw.len > strlen("[]")) {
        printf("\n");
        print_table(js_get(result, STR("certificates")), certificates, "");
    }
}

/* Faults as `turnpike check` says them. */
static void
show_faults(struct js_value list)
{
    struct js_value key, fault;
    struct js_iter it;

    for (js_iter_init(&it, list); js_next(&it, &key, &fault);) {
        char file[256], line[16], message[1100];
        bool warning = js_str_eq(js_get(fault, STR("severity")), STR("warning"));
        enum term_paint paint = warning ? TERM_WARN : TERM_PLAIN;

        print_value(js_get(fault, STR("file")), file, sizeof(file));
        print_value(js_get(fault, STR("line")), line, sizeof(line));
        print_value(js_get(fault, STR("message")), message, sizeof(message));
        fprintf(stderr, "%s%s:%s:%s %s%s%s%s\n", term_on(stderr, TERM_HEAD), file, line,
                term_off(stderr, TERM_HEAD), term_on(stderr, paint), warning ? "warning: " : "",
                term_off(stderr, paint), message);
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
show_upgrade(struct js_value result)
{
    char why[512], hint[256] = "", from[64], to[64], said[8192];
    uint64_t draining = 0;

    if (js_is(js_get(result, STR("said")), JS_STRING)) {
        struct str text = js_unescape(js_get(result, STR("said")), said, sizeof(said));

        fwrite(text.ptr, 1, text.len, stderr);
    }
    if (!js_bool(js_get(result, STR("ok")), false)) {
        print_value(js_get(result, STR("why")), why, sizeof(why));
        if (js_is(js_get(result, STR("hint")), JS_STRING))
            print_value(js_get(result, STR("hint")), hint, sizeof(hint));
        (void)complain(CLI_FAILED, "upgrade", why, hint);
        return;
    }
    print_value(js_get(result, STR("from")), from, sizeof(from));
    print_value(js_get(result, STR("to")), to, sizeof(to));
    printf("upgraded: version %s to %s", from, to);
    if (js_count(js_get(result, STR("draining")), UINT32_MAX, &draining) && draining > 0)
        printf(", %llu worker%s of the earlier finish%s their calls", (unsigned long long)draining,
               draining == 1 ? "" : "s", draining == 1 ? "es" : "");
    printf("\n");
}

/* What the master did is its own to say. */
static enum cli_exit
judge_reload(struct js_value result, bool json)
{
    int64_t status;

    (void)json;
    return js_i64(js_get(result, STR("exit")), &status) && status >= 0 && status <= 125
               ? (enum cli_exit)status
               : CLI_FAILED;
}

/* ---- options ---- */

/* Of serve and check: read by master/options.c; test/lint/manual holds the two together. */
#define OPTION_CONFIG                                                                              \
    {"--config", "FILE", "config", CLI_TEXT,                                                       \
     "routes.conf; ./routes.conf if there is one, else /etc/turnpike/routes.conf"}

static const struct cli_option serve_options[] = {
    OPTION_CONFIG,
    {"--listen", "ADDR:PORT", "listen", CLI_LIST,
     "listen for plain HTTP; may be repeated; 127.0.0.1:8080 when none is named"},
    {"--tls-listen", "ADDR:PORT", "tls_listen", CLI_LIST, "listen for HTTPS; may be repeated"},
    {"--tls-cert", "FILE", "tls_cert", CLI_LIST, "certificate chain, PEM; one for each name"},
    {"--tls-key", "FILE", "tls_key", CLI_LIST, "its private key, PEM; in the same order"},
    {"--metrics-listen", "ADDR:PORT", "metrics_listen", CLI_LIST, "serve /metrics there"},
    {"--workers", "N", "workers", CLI_COUNT, "worker processes; 0, the default: one a core"},
    {"--durability", "relaxed|strict|reserve", "durability", CLI_TEXT,
     "when a charge is on the disk; relaxed by default"},
    {"--unresolved", "void|input|full", "unresolved", CLI_TEXT,
     "what reserve charges for a call that a power cut ended; void by default"},
    {"--hang-timeout", "SECONDS", "hang_timeout", CLI_COUNT,
     "kill and replace a process that does nothing for so long; 30 by default; 0: never"},
    {"--user", "NAME", "user", CLI_TEXT, "become this user once the sockets are bound"},
    {"--log-format", "text|json", "log_format", CLI_TEXT, "text by default"},
    {"--log-debug", NULL, "log_debug", CLI_FLAG, "log more than an operator needs"},
    CLI_NO_OPTION,
};
static const struct cli_option check_options[] = {OPTION_CONFIG, CLI_NO_OPTION};

static const struct cli_option stop_options[] = {
    {"--now", NULL, "now", CLI_FLAG, "do not wait for calls to end"},
    CLI_NO_OPTION,
};

static const struct cli_command commands[] = {
    {.noun = "serve", .no_json = true, .options = serve_options,
     .summary = "run the gateway in the foreground"},
    {.noun = "check", .options = check_options,
     .summary = "check routes.conf as serve would; 78 when there is a fault"},
    {.noun = "status", .cmd = "status", .needs_server = true,
     .summary = "processes, listeners, lag, uptime", .pages = true, .show = show_status},
    {.noun = "reload", .cmd = "reload", .needs_server = true,
     .summary = "read routes.conf, secrets and certificates anew; waits for it",
     .show = show_reload, .judge = judge_reload},
    {.noun = "upgrade", .cmd = "upgrade", .needs_server = true, .patient = true,
     .summary = "have the new version in the program's file take over; waits for it",
     .show = show_upgrade, .judge = judge_reload},
    {.noun = "stop", .run = stop_run, .options = stop_options,
     .summary = "drain and stop the server; waits for it"},
    {.noun = NULL},
};

const struct cli_group cli_group_server = {"turnpike(8)", commands};
