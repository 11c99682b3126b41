/*
 * Operations: what was used. Calls by the page and as a file, statistics, trends, the most of something, and a month's
 * account. Who may not see all usage sees what their own keys used: the ledger takes "only_member" for that.
 *
 * A call is in all of these once it has ended and is committed, which takes at most 50 ms; calls under way are in none.
 */
#include "manage/ops.h"

#include "base/str.h"
#include "ledger/export_row.h"

static const char *const outcome_values[] = {
    "ok", "no-usage", "client-gone", "cut", "upstream-error", "hold-ended", "cancelled", "unknown", NULL};
static const char *const step_values[] = {"hour", "day", "month", NULL};
static const char *const by_values[] = {"key",     "member",  "project", "model",
                                        "channel", "outcome", "status",  NULL};
static const char *const order_values[] = {"charge", "calls", "tokens", "errors", NULL};
static const char *const format_values[] = {"csv", "jsonl", NULL};

/* ---- what is taken ---- */

#define ZONE                                                                                         \
    {.name = "zone", .in = IN_QUERY, .type = FIELD_STRING, .max = 64, .example = "\"UTC\"",          \
     .doc = "Time zone of days and months; else the tenant's own."}
#define WINDOW                                                                                       \
    {.name = "since", .in = IN_QUERY, .type = FIELD_TIME, .doc = "From then on. A date is the midnight of the zone."}, \
        {.name = "until", .in = IN_QUERY, .type = FIELD_TIME, .doc = "Before then; else now."}
#define WHAT                                                                                         \
    {.name = "key", .in = IN_QUERY, .type = FIELD_ID, .doc = "Only of that key."},                   \
        {.name = "member", .in = IN_QUERY, .type = FIELD_ID, .doc = "Only of that member's keys."},  \
        {.name = "project", .in = IN_QUERY, .type = FIELD_ID, .doc = "Only of that project."},       \
        {.name = "model", .in = IN_QUERY, .type = FIELD_STRING, .doc = "Only of that model."},       \
        {.name = "channel", .in = IN_QUERY, .type = FIELD_STRING, .doc = "Only of that channel."},   \
        {.name = "status", .in = IN_QUERY, .type = FIELD_INT, .max = 599, .example = "200",          \
         .doc = "Only of calls that were answered with that HTTP status."},                          \
        {.name = "outcome", .in = IN_QUERY, .type = FIELD_ENUM, .values = outcome_values,            \
         .doc = "Only of calls that ended so."}

static const struct field calls_params[] = {
    WHAT,
    WINDOW,
    {.name = "oldest_first", .in = IN_QUERY, .type = FIELD_BOOL, .doc = "Else the newest come first."},
    {.name = "limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .example = "50",
     .doc = "Calls of a page; 50 unless said."},
    {.name = "cursor", .in = IN_QUERY, .type = FIELD_STRING, .max = 48, .example = "\"0-0-0\"",
     .doc = "The `next` of the page before, asked for with the same filters."},
    {0}};
static const struct field call_params[] = {
    {.name = "id", .in = IN_PATH, .type = FIELD_STRING, .required = true, .max = 64,
     .doc = "What `x-request-id` of the answer said: `call_…`."},
    {0}};
static const struct field export_params[] = {
    WHAT,
    WINDOW,
    {.name = "format", .in = IN_QUERY, .type = FIELD_ENUM, .values = format_values,
     .doc = "csv unless said, in which text that a spreadsheet would take for a formula has a ' before it."},
    {0}};
static const struct field stats_params[] = {WHAT, WINDOW, ZONE, {0}};
static const struct field trend_params[] = {
    WHAT,
    WINDOW,
    ZONE,
    {.name = "by", .in = IN_QUERY, .type = FIELD_ENUM, .values = step_values,
     .doc = "How long a row is; a day unless said. At most 2,000 rows."},
    {0}};
static const struct field top_params[] = {
    WHAT,
    WINDOW,
    ZONE,
    {.name = "by", .in = IN_QUERY, .type = FIELD_ENUM, .required = true, .values = by_values,
     .doc = "What there is a row for each of."},
    {.name = "order", .in = IN_QUERY, .type = FIELD_ENUM, .values = order_values,
     .doc = "Of what the most comes first; charge unless said."},
    {.name = "limit", .in = IN_QUERY, .type = FIELD_INT, .min = 1, .max = 1000, .example = "10",
     .doc = "How many rows; 10 unless said."},
    {0}};
static const struct field statement_params[] = {
    {.name = "month", .in = IN_QUERY, .type = FIELD_STRING, .max = 7, .example = "\"2026-11\"",
     .doc = "The month; else the present one."},
    ZONE,
    {0}};
static const struct field totals_params[] = {
    {.name = "model", .in = IN_QUERY, .type = FIELD_STRING, .doc = "Only of that model."},
    {.name = "channel", .in = IN_QUERY, .type = FIELD_STRING, .doc = "Only of that channel."},
    WINDOW,
    ZONE,
    {0}};

/* ---- what is answered ---- */

static const struct field tokens_fields[] = {
    {.name = "input", .type = FIELD_INT, .required = true, .doc = "Read, and not out of a cache."},
    {.name = "cache_read", .type = FIELD_INT, .required = true, .doc = "Read out of the provider's cache."},
    {.name = "cache_write_5m", .type = FIELD_INT, .required = true, .doc = "Written into it for five minutes."},
    {.name = "cache_write_1h", .type = FIELD_INT, .required = true, .doc = "Written into it for an hour."},
    {.name = "output", .type = FIELD_INT, .required = true, .doc = "All that came out."},
    {.name = "reasoning", .type = FIELD_INT, .required = true, .doc = "Of that, what was thought."},
    {0}};

#define SUMS                                                                                         \
    {.name = "calls", .type = FIELD_INT, .required = true, .doc = "Calls that ended."},              \
        {.name = "errors", .type = FIELD_INT, .required = true, .doc = "Of these, without a whole answer."}, \
        {.name = "tokens", .type = FIELD_OBJECT, .required = true, .members = tokens_fields,         \
         .doc = "Tokens of all of them."},                                                           \
        {.name = "charge", .type = FIELD_CREDITS, .required = true, .doc = "What was charged."},     \
        {.name = "uncollected", .type = FIELD_CREDITS, .required = true,                             \
         .doc = "What they cost beyond what was held, and nobody was charged."},                     \
        {.name = "first_byte_ms", .type = FIELD_INT, .required = true, .nullable = true,             \
         .doc = "Mean time to the first byte of those that were answered."},                         \
        {.name = "duration_ms", .type = FIELD_INT, .required = true, .nullable = true,               \
         .doc = "Their mean time in all."}
#define ABOUT                                                                                        \
    {.name = "tenant", .type = FIELD_ID, .required = true, .nullable = true, .doc = "Whose."},       \
        {.name = "zone", .type = FIELD_STRING, .required = true, .doc = "Time zone of days and months."}, \
        {.name = "as_of", .type = FIELD_TIME, .required = true,                                      \
         .doc = "What ended 50 ms before that is in."},                                              \
        {.name = "complete", .type = FIELD_BOOL, .required = true,                                   \
         .doc = "False while totals are made of records of an earlier version."}
#define FROM_TO                                                                                      \
    {.name = "since", .type = FIELD_TIME, .required = true, .doc = "From then on."},                 \
        {.name = "until", .type = FIELD_TIME, .required = true, .doc = "Before then."}

static const struct field sums_fields[] = {SUMS, {0}};
static const struct field span_fields[] = {FROM_TO, SUMS, {0}};
static const struct field top_fields[] = {
    {.name = "key", .type = FIELD_INT, .optional = true, .doc = "The key's number."},
    {.name = "member", .type = FIELD_INT, .optional = true, .doc = "The member's number; 0 of keys of nobody."},
    {.name = "project", .type = FIELD_INT, .optional = true, .doc = "The project's number; 0 of none."},
    {.name = "model", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "The model."},
    {.name = "channel", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "The channel."},
    {.name = "outcome", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "How calls ended."},
    {.name = "status", .type = FIELD_INT, .optional = true, .doc = "HTTP status of the answer."},
    {.name = "name", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "The name of key or project."},
    {.name = "hint", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "The key's last characters."},
    {.name = "email", .type = FIELD_STRING, .optional = true, .nullable = true, .doc = "The member's address."},
    SUMS,
    {0}};
static const struct field deposit_fields[] = {
    {.name = "kind", .type = FIELD_STRING, .required = true, .doc = "Where it came from, or went."},
    {.name = "count", .type = FIELD_INT, .required = true, .doc = "How many movements."},
    {.name = "amount", .type = FIELD_CREDITS, .required = true, .doc = "Their sum; negative: taken out."},
    {0}};

static const struct field calls_fields[] = {
    {.name = "calls", .type = FIELD_OBJECTS, .required = true, .ref = "Call",
     .doc = "One a record: a call that outgrew what was held for it has one for each hold."},
    {.name = "next", .type = FIELD_STRING, .required = true, .nullable = true,
     .doc = "The cursor of the page that follows; null: there is none. A page may be short and have one."},
    {.name = "since", .type = FIELD_TIME, .optional = true, .doc = "With oldest_first: of the window that was asked for."},
    {.name = "until", .type = FIELD_TIME, .optional = true, .doc = "Likewise."},
    {.name = "dropped_until", .type = FIELD_TIME, .optional = true, .nullable = true,
     .doc = "Likewise: records up to then are not kept any more."},
    {0}};
static const struct field call_fields[] = {
    {.name = "id", .type = FIELD_STRING, .required = true, .doc = "The call's ID."},
    {.name = "tenant", .type = FIELD_ID, .required = true, .doc = "Whose."},
    {.name = "tenant_name", .type = FIELD_STRING, .required = true, .doc = "The tenant's name."},
    {.name = "key", .type = FIELD_INT, .required = true, .doc = "The key's number."},
    {.name = "member", .type = FIELD_INT, .optional = true, .doc = "The member's; 0 of a key of nobody."},
    {.name = "project", .type = FIELD_INT, .optional = true, .doc = "The project's; 0 of none."},
    {.name = "asked", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "What was named for the model."},
    {.name = "rule", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "The routing rule that decided."},
    {.name = "model", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "The model that was chosen."},
    {.name = "model_reported", .type = FIELD_STRING, .required = true, .doc = "What the answer says it is of."},
    {.name = "channel", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "The channel."},
    {.name = "upstream", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "Who answered."},
    {.name = "protocol", .type = FIELD_ANY, .required = true, .doc = "The caller's protocol."},
    {.name = "endpoint", .type = FIELD_ANY, .required = true, .doc = "The endpoint."},
    {.name = "stream", .type = FIELD_BOOL, .required = true, .doc = "Was it to be streamed?"},
    {.name = "status", .type = FIELD_INT, .required = true, .doc = "HTTP status of the answer; 0 of none."},
    {.name = "outcome", .type = FIELD_STRING, .required = true, .doc = "How it ended."},
    {.name = "started", .type = FIELD_TIME, .required = true, .doc = "When it began."},
    {.name = "queue_ms", .type = FIELD_INT, .required = true, .doc = "How long it waited for room."},
    {.name = "first_byte_ms", .type = FIELD_INT, .required = true, .nullable = true, .doc = "From its start to the first byte."},
    {.name = "duration_ms", .type = FIELD_INT, .required = true, .nullable = true, .doc = "To its end."},
    {.name = "tokens", .type = FIELD_OBJECT, .required = true, .doc = "What was counted; rare classes only where there are any."},
    {.name = "tokens_reported", .type = FIELD_OBJECT, .optional = true, .doc = "What was reported and not believed."},
    {.name = "held", .type = FIELD_CREDITS, .required = true, .doc = "What was set aside for it."},
    {.name = "charge", .type = FIELD_CREDITS, .required = true, .doc = "What was charged."},
    {.name = "uncollected", .type = FIELD_CREDITS, .required = true, .doc = "What it cost beyond that, and nobody was charged."},
    {.name = "price_version", .type = FIELD_STRING, .required = true, .doc = "Whose prices."},
    {.name = "durable", .type = FIELD_BOOL, .required = true, .doc = "It is on the disk."},
    {.name = "flags", .type = FIELD_STRINGS, .required = true, .doc = "What was odd about it."},
    {.name = "price", .type = FIELD_ANY, .optional = true, .doc = "Of one call: how the charge came about."},
    {.name = "paid", .type = FIELD_ANY, .optional = true, .doc = "Of one call: who paid how much of its charge: a plan, a grant, the wallet."},
    {.name = "attempts", .type = FIELD_ANY, .optional = true, .doc = "Of one call: who was tried, and what became of it."},
    {0}};
static const struct field stats_fields[] = {
    ABOUT,
    FROM_TO,
    {.name = "total", .type = FIELD_OBJECT, .required = true, .members = sums_fields, .doc = "Of the window."},
    {.name = "before", .type = FIELD_OBJECT, .required = true, .members = span_fields,
     .doc = "Of the window of the same length before it."},
    {0}};
static const struct field trend_fields[] = {
    ABOUT,
    {.name = "by", .type = FIELD_STRING, .required = true, .doc = "How long a row is."},
    FROM_TO,
    {.name = "rows", .type = FIELD_OBJECTS, .required = true, .members = span_fields, .max = 2100,
     .doc = "One after the other without a gap; the first and last as far as they are in the window."},
    {.name = "total", .type = FIELD_OBJECT, .required = true, .members = sums_fields, .doc = "Of all rows."},
    {0}};
static const struct field most_fields[] = {
    ABOUT,
    {.name = "by", .type = FIELD_STRING, .required = true, .doc = "What there is a row for each of."},
    {.name = "order", .type = FIELD_STRING, .required = true, .doc = "Of what the most comes first."},
    FROM_TO,
    {.name = "rows", .type = FIELD_OBJECTS, .required = true, .members = top_fields, .max = 1000,
     .doc = "Those with the most."},
    {.name = "count", .type = FIELD_INT, .required = true, .doc = "How many there are in all."},
    {.name = "others", .type = FIELD_OBJECT, .required = true, .members = sums_fields, .doc = "Of those without a row."},
    {.name = "total", .type = FIELD_OBJECT, .required = true, .members = sums_fields, .doc = "Of all."},
    {0}};
static const struct field model_fields[] = {
    {.name = "model", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "The model."}, SUMS, {0}};
static const struct field channel_fields[] = {
    {.name = "channel", .type = FIELD_STRING, .required = true, .nullable = true, .doc = "The channel."}, SUMS, {0}};
static const struct field statement_fields[] = {
    ABOUT,
    {.name = "tenant_name", .type = FIELD_STRING, .required = true, .doc = "The tenant's name."},
    {.name = "month", .type = FIELD_STRING, .required = true, .doc = "The month."},
    FROM_TO,
    {.name = "over", .type = FIELD_BOOL, .required = true,
     .doc = "The month is over. Calls that ran when it ended are added to it when they end."},
    {.name = "opening", .type = FIELD_CREDITS, .required = true, .doc = "The balance when it began."},
    {.name = "deposited", .type = FIELD_CREDITS, .required = true, .doc = "All movements but charges."},
    {.name = "charged", .type = FIELD_CREDITS, .required = true, .doc = "All charges."},
    {.name = "closing", .type = FIELD_CREDITS, .required = true,
     .doc = "opening + deposited - charged, to the micro-credit what the books say."},
    {.name = "deposits", .type = FIELD_OBJECTS, .required = true, .members = deposit_fields, .doc = "Movements by kind."},
    {.name = "total", .type = FIELD_OBJECT, .required = true, .members = sums_fields, .doc = "All calls of the month."},
    {.name = "models", .type = FIELD_OBJECTS, .required = true, .members = model_fields, .max = 100000, .doc = "By model."},
    {.name = "channels", .type = FIELD_OBJECTS, .required = true, .members = channel_fields, .max = 100000, .doc = "By channel."},
    {0}};

const struct schema schemas_usage[] = {
    {"Call", "A call that ended: no content, only what was counted.", call_fields},
    {"Calls", "A page of calls.", calls_fields},
    {"UsageStats", "What a window comes to.", stats_fields},
    {"UsageTrend", "What its hours, days or months come to.", trend_fields},
    {"UsageTop", "Who or what has the most of it.", most_fields},
    {"Statement", "A month's account.", statement_fields},
    {0}};

/* ---- a file of calls ---- */

#define EXPORT_PAGE_ROWS 1000u
#define EXPORT_BYTES_MAX (64u << 20)

/* Its pages are asked for one after the other, each when the client took the one before. */
struct export {
    enum export_format format;
    bool begun;
    char since[40], until[40], cursor[64]; /* as the first page said them; "": none yet */
};

static void export_answered(struct op_call *call, const struct ledger_answer *answer);

static void
export_ask(struct op_call *call)
{
    static const char *const filters[] = {"key", "member", "project", "model", "channel", "status", "outcome"};
    const struct export *export = call->state;
    struct jw jw;

    op_ask_begin(call, &jw, "call.list");
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (op_has(call, filters[i])) {
            jw_key(&jw, filters[i]);
            jw_js(&jw, op_field(call, filters[i]));
        }
    jw_key_bool(&jw, "oldest_first", true);
    jw_key_u64(&jw, "limit", EXPORT_PAGE_ROWS);
    if (export->until[0] != '\0' || op_has(call, "until"))
        jw_key_str(&jw, "until", export->until[0] != '\0' ? str_from(export->until) : op_str(call, "until"));
    if (export->since[0] != '\0' || op_has(call, "since"))
        jw_key_str(&jw, "since", export->since[0] != '\0' ? str_from(export->since) : op_str(call, "since"));
    if (export->cursor[0] != '\0')
        jw_key_cstr(&jw, "cursor", export->cursor);
    op_ask(call, &jw, OP_ASK_AGAIN, export_answered);
}

static void
keep_text(struct js_value result, const char *name, char *out, size_t cap)
{
    struct js_value value = js_get(result, str_from(name));

    str_copy(js_is(value, JS_STRING) ? value.raw : STR_NONE, out, cap);
}

static void
export_on_drain(struct request *request)
{
    request->on_drain = NULL;
    export_ask(request->state);
}

static void
export_begin(struct op_call *call, struct export *export)
{
    bool csv = export->format == EXPORT_CSV;

    export->begun = true;
    op_head(call, 200, csv ? "text/csv; charset=utf-8" : "application/x-ndjson");
    request_header(call->request, "content-disposition",
                   csv ? STR("attachment; filename=\"calls.csv\"") : STR("attachment; filename=\"calls.jsonl\""));
}

/* The rows of a page. False: they cannot be sent. */
static bool
export_rows(struct op_call *call, struct export *export, struct js_value result)
{
    struct js_value none, row;
    struct js_iter it;
    struct buf lines;
    bool sent;

    buf_init(&lines, EXPORT_BYTES_MAX);
    if (!export->begun) {
        export_begin(call, export);
        export_head(export->format, &lines);
    }
    for (js_iter_init(&it, js_get(result, STR("calls"))); js_next(&it, &none, &row);)
        export_row(export->format, row, &lines);
    sent = !lines.failed && request_chunk(call->request, buf_str(&lines)) == 0;
    buf_free(&lines);
    return sent;
}

static void
export_answered(struct op_call *call, const struct ledger_answer *answer)
{
    struct export *export = call->state;
    struct request *request = call->request;

    if (answer->said != LEDGER_DONE && !export->begun) {
        op_refused(call, answer);
        return;
    }
    /* What has begun can only be cut: nobody shall take it for the whole. */
    if (answer->said != LEDGER_DONE || !export_rows(call, export, answer->result)) {
        op_over(call);
        request_cut(request);
        return;
    }
    if (export->cursor[0] == '\0') {
        keep_text(answer->result, "since", export->since, sizeof(export->since));
        keep_text(answer->result, "until", export->until, sizeof(export->until));
    }
    keep_text(answer->result, "next", export->cursor, sizeof(export->cursor));
    if (export->cursor[0] == '\0') {
        op_over(call);
        request_end(request);
    } else if (request_is_full(request)) {
        request->on_drain = export_on_drain;
    } else {
        export_ask(call);
    }
}

static void
export_run(struct op_call *call)
{
    struct export *export = arena_zalloc(&call->request->arena, sizeof(*export));

    if (export == NULL) {
        op_refuse(call, 503, "overloaded", NULL);
        return;
    }
    export->format = str_eq(op_str(call, "format"), STR("jsonl")) ? EXPORT_JSONL : EXPORT_CSV;
    call->state = export;
    export_ask(call);
}

/* ---- operations ---- */

/* Lists are of what is committed: none of them makes the ledger process commit sooner. */
static const char *const as_committed[] = {"as_committed", "true", NULL};

const struct op ops_usage[] = {
    {.id = "calls.list",
     .method = "GET",
     .path = "/api/v1/calls",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = calls_params,
     .result = "Calls",
     .doc = "Calls, the newest first. They come by the minute that they began in, and within one by their end. A "
            "page takes the same time however many there are.",
     .command = "call.list",
     .fixed = as_committed},
    {.id = "calls.export",
     .method = "GET",
     .path = "/api/v1/calls/export",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .flags = OP_STREAM | OP_LONG,
     .params = export_params,
     .type = "text/csv",
     .doc = "All calls of a window as a file, the oldest first. One that is cut ends without its last chunk.",
     .run = export_run},
    {.id = "calls.get",
     .method = "GET",
     .path = "/api/v1/calls/{id}",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = call_params,
     .result = "Call",
     .doc = "A call's receipt: how its charge came about, and who was tried.",
     .command = "call.show"},
    {.id = "usage.stats",
     .method = "GET",
     .path = "/api/v1/usage",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = stats_params,
     .result = "UsageStats",
     .doc = "What a window comes to, beside the one before it; the last 30 days unless said. `status` and `outcome` "
            "stand alone.",
     .command = "usage.stats"},
    {.id = "usage.totals",
     .method = "GET",
     .path = "/api/v1/usage/totals",
     .perm = PERM_USAGE_TOTALS,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = totals_params,
     .result = "UsageStats",
     .doc = "What a window comes to for all members together, whoever asks.",
     .command = "usage.stats"},
    {.id = "usage.trend",
     .method = "GET",
     .path = "/api/v1/usage/trend",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = trend_params,
     .result = "UsageTrend",
     .doc = "The same by hour, day or month of the tenant's time zone.",
     .command = "usage.trend"},
    {.id = "usage.top",
     .method = "GET",
     .path = "/api/v1/usage/top",
     .perm = PERM_USAGE_ALL,
     .own = PERM_USAGE_OWN,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = top_params,
     .result = "UsageTop",
     .doc = "The keys, members, projects, models, channels, outcomes or statuses with the most of a window.",
     .command = "usage.top"},
    {.id = "usage.statement",
     .method = "GET",
     .path = "/api/v1/usage/statement",
     .perm = PERM_BILLING_READ,
     .scopes = SCOPE_USAGE | SCOPE_MANAGE,
     .params = statement_params,
     .result = "Statement",
     .doc = "A month's account: opening balance, movements by kind, charges by model and channel, closing balance.",
     .command = "usage.statement"},
    {0}};
