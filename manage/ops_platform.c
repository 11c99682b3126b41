/* Operations of those who run the server: tenants and their credit, routes.conf, and how it all is. */
#include "manage/ops.h"

#include "base/str.h"

#define READ .perm = PERM_PLATFORM_READ
#define WRITE .perm = PERM_PLATFORM_WRITE
#define TEXT_MAX (512 * 1024)

/* ---- tenants ---- */

static const struct field tenant_path[] = {
    {"tenant", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "The tenant's number."},
    {NULL},
};
static const struct field tenant_new[] = {
    {"name", IN_BODY, FIELD_STRING, .required = true, .min = 1, .max = 96, .example = "\"Acme\"",
     .doc = "Its name, which no other has."},
    {"credit", IN_BODY, FIELD_CREDITS, .example = "\"10\"", .doc = "What it begins with."},
    {"overdraft", IN_BODY, FIELD_CREDITS, .doc = "How far below zero its balance may go."},
    {"budget", IN_BODY, FIELD_BUDGET, .doc = "What it may spend in a window of time."},
    {NULL},
};
static const struct field tenant_made[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"credit", .type = FIELD_CREDITS, .doc = "What it began with."},
    {"available", .type = FIELD_CREDITS, .optional = true, .doc = "What may be spent."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct field reason_body[] = {
    {"reason", IN_BODY, FIELD_STRING, .max = 300, .doc = "Why, for the tenant's people."},
    {NULL},
};
static const struct field link_body[] = {
    {"link", IN_BODY, FIELD_URL, .doc = "Where its people sign in, for the mail that tells them."},
    {NULL},
};
static const struct field tenant_state[] = {
    {"id", .type = FIELD_ID, .doc = "Its number."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"disabled", .type = FIELD_BOOL, .doc = "Its keys do not work for now."},
    {"pending", .type = FIELD_BOOL, .optional = true, .doc = "It waits for approval."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};
static const struct op_refusal switch_refusals[] = {{409, "pending"}, {0}};
static const struct op_refusal pending_refusals[] = {{409, "not_pending"}, {0}};

/* ---- credit ---- */

static const struct field movement_body[] = {
    {"amount", IN_BODY, FIELD_CREDITS, .required = true, .min = 1, .example = "\"5\"", .doc = "How much."},
    {"reason", IN_BODY, FIELD_STRING, .required = true, .min = 1, .max = 500, .example = "\"invoice 7\"",
     .doc = "Why: it is kept with the movement."},
    {"ref", IN_BODY, FIELD_STRING, .min = 1, .max = 200,
     .doc = "Names the movement for ever: the same again changes nothing."},
    {NULL},
};
static const struct field grant_body[] = {
    {"amount", IN_BODY, FIELD_CREDITS, .required = true, .min = 1, .example = "\"5\"", .doc = "How much."},
    {"reason", IN_BODY, FIELD_STRING, .required = true, .min = 1, .max = 500, .example = "\"invoice 7\"",
     .doc = "Why: it is kept with the movement."},
    {"ref", IN_BODY, FIELD_STRING, .min = 1, .max = 200,
     .doc = "Names the movement for ever: the same again changes nothing."},
    {"days", IN_BODY, FIELD_INT, .min = 1, .max = 3660,
     .doc = "A gift: what is left of it is taken back so many days from now. Never when not said."},
    {NULL},
};
static const struct field movement_members[] = {
    {"tenant", .type = FIELD_ID, .doc = "Whose."},
    {"name", .type = FIELD_STRING, .doc = "Its name."},
    {"kind", .type = FIELD_STRING, .doc = "grant, gift or deduct."},
    {"amount", .type = FIELD_CREDITS, .doc = "How much."},
    {"applied", .type = FIELD_BOOL, .doc = "False: that ref had been applied before."},
    {"transfer", .type = FIELD_INT, .doc = "The movement's number."},
    {"note", .type = FIELD_STRING, .optional = true, .doc = "What there is to say."},
    {"grant", .type = FIELD_ID, .optional = true, .doc = "Of a gift: its number, as receipts name it."},
    {"expires", .type = FIELD_TIME, .optional = true, .doc = "Of a gift: when what is left of it is taken back."},
    {"available", .type = FIELD_CREDITS, .optional = true, .doc = "What may be spent."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {NULL},
};

/* ---- routes.conf ---- */

static const struct field config_members[] = {
    {"path", .type = FIELD_STRING, .doc = "Where it is."},
    {"digest", .type = FIELD_STRING, .doc = "Tells this text from others: the base of a change."},
    {"version", .type = FIELD_INT, .nullable = true, .doc = "Which of the history it is; null: it was changed by hand."},
    {"writable", .type = FIELD_BOOL, .doc = "Whether it can be changed from here."},
    {"why", .type = FIELD_STRING, .nullable = true, .doc = "Why it cannot."},
    {"text", .type = FIELD_TEXT, .max = TEXT_MAX, .doc = "The text."},
    {NULL},
};
static const struct field text_body[] = {
    {"text", IN_BODY, FIELD_TEXT, .required = true, .max = TEXT_MAX, .example = "\"# a comment\\n\"",
     .doc = "The whole text."},
    {NULL},
};
static const struct field fault_members[] = {
    {"file", .type = FIELD_STRING, .doc = "In which file."},
    {"line", .type = FIELD_INT, .doc = "In which line."},
    {"warning", .type = FIELD_BOOL, .doc = "It does not keep the text from being used."},
    {"message", .type = FIELD_STRING, .doc = "What is wrong."},
    {NULL},
};
static const struct field checked_members[] = {
    {"good", .type = FIELD_BOOL, .doc = "It could be put in force from here."},
    {"refused", .type = FIELD_STRING, .nullable = true, .doc = "What in it cannot be changed from here."},
    {"faults", .type = FIELD_OBJECTS, .members = fault_members, .doc = "All faults and warnings."},
    {NULL},
};
static const struct field put_body[] = {
    {"text", IN_BODY, FIELD_TEXT, .required = true, .max = TEXT_MAX, .example = "\"# a comment\\n\"",
     .doc = "The whole text."},
    {"base", IN_BODY, FIELD_STRING, .required = true, .min = 64, .max = 64,
     .example = "\"0000000000000000000000000000000000000000000000000000000000000000\"",
     .doc = "The digest of the text that was edited: when it is another by now, nothing is changed."},
    {"note", IN_BODY, FIELD_STRING, .max = 160, .doc = "What was changed, for the history."},
    {NULL},
};
static const struct field rollback_body[] = {
    {"version", IN_BODY, FIELD_ID, .required = true, .example = "1", .doc = "Whose text is to be in force again."},
    {"base", IN_BODY, FIELD_STRING, .min = 64, .max = 64, .doc = "As of a change; without it whatever is there goes."},
    {"note", IN_BODY, FIELD_STRING, .max = 160, .doc = "Why, for the history."},
    {NULL},
};
static const struct field put_members[] = {
    {"version", .type = FIELD_INT, .doc = "Which of the history it is."},
    {"digest", .type = FIELD_STRING, .doc = "The base of the next change."},
    {"bytes", .type = FIELD_INT, .doc = "Its length."},
    {"changed", .type = FIELD_BOOL, .doc = "False: that text was there already."},
    {"repeated", .type = FIELD_BOOL, .optional = true, .doc = "It had been done before."},
    {"reloaded", .type = FIELD_BOOL, .doc = "It is in force."},
    {"reload", .type = FIELD_ANY, .nullable = true, .doc = "What the server said to it; null: it did not reload."},
    {"why", .type = FIELD_STRING, .nullable = true, .doc = "Why it is not in force."},
    {NULL},
};
static const struct field history_query[] = {
    {"limit", IN_QUERY, FIELD_INT, .min = 1, .max = 100, .doc = "How many; 50 when not said."},
    {"cursor", IN_QUERY, FIELD_ID, .doc = "Where the page before this ended: its next."},
    {NULL},
};
#define VERSION_MEMBERS                                                                                       \
    {"version", .type = FIELD_INT, .doc = "Its number."}, {"time", .type = FIELD_TIME, .doc = "When."},        \
        {"by", .type = FIELD_STRING, .nullable = true, .doc = "Who brought it; null: it was found."},         \
        {"name", .type = FIELD_STRING, .doc = "Their name."},                                                 \
        {"note", .type = FIELD_STRING, .doc = "What was said of it."},                                        \
        {"digest", .type = FIELD_STRING, .doc = "Tells its text from others."},                               \
    {                                                                                                         \
        "bytes", .type = FIELD_INT, .doc = "Its length."                                                      \
    }
static const struct field version_row[] = {
    VERSION_MEMBERS,
    {NULL},
};
static const struct field version_members[] = {
    VERSION_MEMBERS,
    {"text", .type = FIELD_TEXT, .max = TEXT_MAX, .doc = "The text."},
    {NULL},
};
static const struct field history_members[] = {
    {"versions", .type = FIELD_OBJECTS, .members = version_row, .doc = "The newest first, without their texts."},
    {"next", .type = FIELD_STRING, .nullable = true, .doc = "Where the next page begins; null: there is none."},
    {NULL},
};
static const struct field version_path[] = {
    {"version", IN_PATH, FIELD_ID, .required = true, .example = "1", .doc = "Its number."},
    {NULL},
};
static const struct field diff_body[] = {
    {"from", IN_BODY, FIELD_ID, .doc = "A version; without it the file as it is."},
    {"to", IN_BODY, FIELD_ID, .doc = "Likewise."},
    {"text", IN_BODY, FIELD_TEXT, .max = TEXT_MAX, .doc = "In place of to: a text."},
    {NULL},
};
static const struct field diff_members[] = {
    {"same", .type = FIELD_BOOL, .doc = "Nothing differs."},
    {"diff", .type = FIELD_TEXT, .max = 4 * TEXT_MAX, .doc = "The lines that differ, as diff -u writes them."},
    {NULL},
};
static const struct op_refusal put_refusals[] = {
    {422, "invalid_conf"}, {409, "changed_meanwhile"}, {403, "not_writable"}, {409, "no_server"}, {0},
};
static const struct op_refusal file_refusals[] = {{409, "no_server"}, {0}};

struct config_put { /* from the first answer to the second */
    struct buf json; /* the result's members so far */
};

static void
answer_put(struct op_call *call, const struct ledger_answer *reload)
{
    struct buf *json = &((struct config_put *)call->state)->json;
    bool done = reload->said == LEDGER_DONE;
    struct jw jw;

    json->len--; /* its closing brace */
    buf_add_str(json, done ? STR(",\"reloaded\":true,\"reload\":") : STR(",\"reloaded\":false,\"reload\":"));
    jw_init(&jw, json);
    if (done)
        jw_js(&jw, reload->result);
    else
        jw_null(&jw);
    buf_add_str(json, STR(",\"why\":"));
    jw_init(&jw, json);
    if (done)
        jw_null(&jw);
    else
        jw_str(&jw, reload->why.ptr != NULL ? reload->why : STR("the server does not answer"));
    buf_add_char(json, '}');
    if (json->failed)
        op_refuse(call, 503, "unavailable", NULL);
    else
        op_answer(call, buf_str(json));
}

static void
free_buf(void *arg)
{
    buf_free(arg);
}

/* The text is there; now it is to be in force. A reload does no harm twice. */
static void
put_answered(struct op_call *call, const struct ledger_answer *answer)
{
    struct config_put *put;
    struct jw jw;

    if (answer->said != LEDGER_DONE) {
        op_refused(call, answer);
        return;
    }
    put = arena_zalloc(&call->request->arena, sizeof *put);
    if (put == NULL || !arena_cleanup(&call->request->arena, free_buf, &put->json)) {
        op_refuse(call, 503, "unavailable", NULL);
        return;
    }
    buf_init(&put->json, 1u << 16);
    buf_add_str(&put->json, answer->result.raw);
    call->state = put;
    op_ask_begin_bare(call, &jw, "reload");
    op_ask(call, &jw, OP_ASK_AGAIN, answer_put);
}

static void
put_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "config.put");
    op_ask_fields(call, &jw);
    op_ask(call, &jw, OP_ASK_KEYED, put_answered);
}

static void
rollback_run(struct op_call *call)
{
    struct jw jw;

    op_ask_begin_bare(call, &jw, "config.rollback");
    op_ask_fields(call, &jw);
    op_ask(call, &jw, OP_ASK_KEYED, put_answered);
}

/* ---- how it is ---- */

static const struct field status_members[] = {
    {"master", .type = FIELD_ANY, .doc = "The master process."},
    {"workers", .type = FIELD_ANY, .doc = "The processes that serve calls, by generation."},
    {"ledger", .type = FIELD_ANY, .doc = "The process that keeps the books, and how far behind it is."},
    {"manage", .type = FIELD_ANY, .doc = "This process."},
    {"version", .type = FIELD_STRING, .doc = "The program's."},
    {"generation", .type = FIELD_INT, .doc = "Goes up with each reload."},
    {"started", .type = FIELD_TIME, .doc = "When the server was started."},
    {"uptime_s", .type = FIELD_INT, .doc = "Seconds since."},
    {"restarts_worker", .type = FIELD_INT, .doc = "How often one died."},
    {"restarts_ledger", .type = FIELD_INT, .doc = "Likewise."},
    {"restarts_manage", .type = FIELD_INT, .doc = "Likewise."},
    {"store", .type = FIELD_ANY, .doc = "What the store takes, and its disk has."},
    {"mail", .type = FIELD_ANY, .doc = "How many mails wait, and how many were dropped since too many did."},
    {"listeners", .type = FIELD_ANY, .doc = "Where it listens."},
    {"certificates", .type = FIELD_ANY, .doc = "Those that it serves: file, names, from when and until when they hold."},
    {NULL},
};
static const struct field upstreams_members[] = {
    {"upstreams", .type = FIELD_ANY, .doc = "Each with its health."},
    {NULL},
};

const struct schema schemas_platform[] = {
    {"TenantMade", "A tenant that was made.", tenant_made},
    {"TenantState", "Whether a tenant may act.", tenant_state},
    {"Movement", "Credit given or taken back.", movement_members},
    {"Config", "routes.conf as it is.", config_members},
    {"ConfigChecked", "What a start would say to a text.", checked_members},
    {"ConfigPut", "What became of a text.", put_members},
    {"ConfigHistory", "Texts that were in force.", history_members},
    {"ConfigVersion", "One of them.", version_members},
    {"ConfigDiff", "What differs.", diff_members},
    {"Status", "How the server is.", status_members},
    {"Upstreams", "The ways to providers.", upstreams_members},
    {NULL},
};

const struct op ops_platform[] = {
    {.id = "platform.tenants.create", .method = "POST", .path = "/api/v1/platform/tenants", WRITE,
     .body = tenant_new, .result = "TenantMade", .status = 201, .command = "tenant.add", .doc = "A new tenant."},
    {.id = "platform.tenants.show", .method = "GET", .path = "/api/v1/platform/tenants/{tenant}", READ,
     .params = tenant_path, .result = "Tenant", .command = "tenant.show", .doc = "One tenant."},
    {.id = "platform.tenants.disable", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/disable", WRITE,
     .params = tenant_path, .body = reason_body, .result = "TenantState", .command = "tenant.disable",
     .doc = "Its calls are refused, and its people can change nothing."},
    {.id = "platform.tenants.enable", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/enable", WRITE,
     .params = tenant_path, .result = "TenantState", .refusals = switch_refusals, .command = "tenant.enable",
     .doc = "It may act again."},
    {.id = "platform.tenants.approve", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/approve", WRITE,
     .params = tenant_path, .body = link_body, .result = "TenantState", .refusals = pending_refusals,
     .command = "tenant.approve", .doc = "One that registered itself, and waits: it may act."},
    {.id = "platform.tenants.refuse", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/refuse", WRITE,
     .params = tenant_path, .body = reason_body, .result = "TenantState", .refusals = pending_refusals,
     .command = "tenant.refuse", .doc = "One that waits: it stays disabled."},
    {.id = "platform.credit.show", .method = "GET", .path = "/api/v1/platform/tenants/{tenant}/credit", READ,
     .params = tenant_path, .result = "Balance", .command = "credit.show", .doc = "A tenant's credit."},
    {.id = "platform.credit.grant", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/credit/grant", WRITE,
     .params = tenant_path, .body = grant_body, .result = "Movement", .command = "credit.grant",
     .doc = "Gives credit."},
    {.id = "platform.credit.deduct", .method = "POST", .path = "/api/v1/platform/tenants/{tenant}/credit/deduct",
     WRITE, .params = tenant_path, .body = movement_body, .result = "Movement", .command = "credit.deduct",
     .doc = "Takes credit back, which may leave the tenant below zero."},
    {.id = "platform.config.show", .method = "GET", .path = "/api/v1/platform/config", READ, .result = "Config",
     .refusals = file_refusals, .command = "config.show", .doc = "routes.conf as it is."},
    {.id = "platform.config.check", .method = "POST", .path = "/api/v1/platform/config/check", READ,
     .flags = OP_NO_CSRF, .body = text_body, .result = "ConfigChecked", .refusals = file_refusals,
     .command = "config.check", .doc = "What a start would say to a text, by file and line; nothing is changed."},
    {.id = "platform.config.put", .method = "PUT", .path = "/api/v1/platform/config", WRITE, .flags = OP_LONG,
     .body = put_body, .result = "ConfigPut", .refusals = put_refusals, .run = put_run, .command = "config.put",
     .doc = "Replaces routes.conf, if a start would take it, and reloads."},
    {.id = "platform.config.diff", .method = "POST", .path = "/api/v1/platform/config/diff", READ,
     .flags = OP_NO_CSRF, .body = diff_body, .result = "ConfigDiff", .refusals = file_refusals,
     .command = "config.diff", .doc = "What differs between versions, a text and the file."},
    {.id = "platform.config.history", .method = "GET", .path = "/api/v1/platform/config/history", READ,
     .params = history_query, .result = "ConfigHistory", .command = "config.history",
     .doc = "Texts that were put in force from here, or were found then."},
    {.id = "platform.config.version", .method = "GET", .path = "/api/v1/platform/config/history/{version}", READ,
     .params = version_path, .result = "ConfigVersion", .command = "config.version", .doc = "One of them."},
    {.id = "platform.config.rollback", .method = "POST", .path = "/api/v1/platform/config/rollback", WRITE,
     .flags = OP_LONG, .body = rollback_body, .result = "ConfigPut", .refusals = put_refusals, .run = rollback_run,
     .command = "config.rollback", .doc = "Puts an earlier text in force again."},
    {.id = "platform.status", .method = "GET", .path = "/api/v1/platform/status", READ, .result = "Status",
     .command = "status", .doc = "Processes, generations, lag, and what the store takes."},
    {.id = "platform.upstreams", .method = "GET", .path = "/api/v1/platform/upstreams", READ,
     .result = "Upstreams", .command = "upstreams", .doc = "Upstreams and their health."},
    {NULL},
};
