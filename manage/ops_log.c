/* Operations about who did what: by the page, in manage/ops_site.c, and here as a file. */
#include "manage/ops.h"

#include "base/str.h"
#include "ledger/export_row.h"

#define PAGE_ROWS 1000u
#define BYTES_MAX (256u << 20)

static const char *const format_values[] = {"csv", "jsonl", NULL};

#define FILTERS                                                                                               \
    {"format", IN_QUERY, FIELD_ENUM, .values = format_values, .doc = "csv when not said."},                    \
        {"actor", IN_QUERY, FIELD_STRING, .max = 64, .doc = "Who did it: person:7, key:3, cli:0."},            \
        {"target", IN_QUERY, FIELD_STRING, .max = 64, .doc = "To what: key:5, member:2."},                    \
        {"action", IN_QUERY, FIELD_STRING, .max = 64, .doc = "What: key.add."},                               \
        {"since", IN_QUERY, FIELD_TIME, .doc = "From when."},                                                 \
    {                                                                                                         \
        "until", IN_QUERY, FIELD_TIME, .doc = "Till when."                                                    \
    }
static const struct field params[] = {
    FILTERS,
    {NULL},
};
static const struct field platform_params[] = {
    {"tenant", IN_QUERY, FIELD_ID, .doc = "In one tenant only."},
    FILTERS,
    {NULL},
};

/* Its pages are asked for one after the other, each when the client took the one before. */
struct export {
    enum export_format format;
    bool begun, platform;
    char cursor[24];
};

static void answered(struct op_call *call, const struct ledger_answer *answer);

static void
ask(struct op_call *call)
{
    static const char *const filters[] = {"actor", "target", "action", "since", "until"};
    const struct export *export = call->state;
    struct jw jw;

    if (export->platform)
        op_ask_begin_bare(call, &jw, "log.list");
    else
        op_ask_begin(call, &jw, "log.list");
    if (export->platform && op_has(call, "tenant")) {
        jw_key(&jw, "tenant");
        jw_js(&jw, op_field(call, "tenant"));
    }
    for (size_t i = 0; i < COUNT_OF(filters); i++)
        if (op_has(call, filters[i])) {
            jw_key(&jw, filters[i]);
            jw_js(&jw, op_field(call, filters[i]));
        }
    jw_key_bool(&jw, "oldest_first", true);
    jw_key_u64(&jw, "limit", PAGE_ROWS);
    if (export->cursor[0] != '\0')
        jw_key_cstr(&jw, "cursor", export->cursor);
    op_ask(call, &jw, OP_ASK_AGAIN, answered);
}

static void
on_drain(struct request *request)
{
    request->on_drain = NULL;
    ask(request->state);
}

static void
begin(struct op_call *call, struct export *export)
{
    bool csv = export->format == EXPORT_CSV;

    export->begun = true;
    op_head(call, 200, csv ? "text/csv; charset=utf-8" : "application/x-ndjson");
    request_header(call->request, "content-disposition",
                   csv ? STR("attachment; filename=\"log.csv\"") : STR("attachment; filename=\"log.jsonl\""));
}

/* The entries of a page. False: they cannot be sent. */
static bool
send_page(struct op_call *call, struct export *export, struct js_value result)
{
    struct js_value none, entry;
    struct js_iter it;
    struct buf lines;
    bool sent;

    buf_init(&lines, BYTES_MAX);
    if (!export->begun) {
        begin(call, export);
        export_log_head(export->format, &lines);
    }
    for (js_iter_init(&it, js_get(result, STR("entries"))); js_next(&it, &none, &entry);)
        export_log_row(export->format, entry, &lines);
    sent = !lines.failed && request_chunk(call->request, buf_str(&lines)) == 0;
    buf_free(&lines);
    return sent;
}

static void
answered(struct op_call *call, const struct ledger_answer *answer)
{
    struct export *export = call->state;
    struct request *request = call->request;
    struct js_value next;

    if (answer->said != LEDGER_DONE && !export->begun) {
        op_refused(call, answer);
        return;
    }
    /* What has begun can only be cut: nobody shall take it for the whole. */
    if (answer->said != LEDGER_DONE || !send_page(call, export, answer->result)) {
        op_over(call);
        request_cut(request);
        return;
    }
    next = js_get(answer->result, STR("next"));
    str_copy(js_is(next, JS_STRING) ? next.raw : STR_NONE, export->cursor, sizeof export->cursor);
    if (export->cursor[0] == '\0') {
        op_over(call);
        request_end(request);
    } else if (request_is_full(request)) {
        request->on_drain = on_drain;
    } else {
        ask(call);
    }
}

static void
run(struct op_call *call)
{
    struct export *export = arena_zalloc(&call->request->arena, sizeof *export);

    if (export == NULL) {
        op_refuse(call, 503, "unavailable", NULL);
        return;
    }
    export->format = str_eq(op_str(call, "format"), STR("jsonl")) ? EXPORT_JSONL : EXPORT_CSV;
    export->platform = call->op->perm == PERM_PLATFORM_READ;
    call->state = export;
    ask(call);
}

const struct op ops_log[] = {
    {.id = "log.export", .method = "GET", .path = "/api/v1/log/export", .perm = PERM_AUDIT_READ,
     .scopes = SCOPE_MANAGE, .flags = OP_STREAM | OP_LONG, .params = params, .type = "text/csv", .run = run,
     .doc = "Who did what in the tenant, as a file, the oldest first. One that is cut ends without its last chunk."},
    {.id = "platform.log.export", .method = "GET", .path = "/api/v1/platform/log/export", .perm = PERM_PLATFORM_READ,
     .flags = OP_STREAM | OP_LONG, .params = platform_params, .type = "text/csv", .run = run,
     .doc = "Who did what, as a file, the oldest first. One that is cut ends without its last chunk."},
    {NULL},
};
