#include "ledger/command.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/str.h"
#include "base/ucr.h"
#include "ledger/core.h"
#include "ledger/entity.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (32u << 20)

static const struct command_def *const tables[] = {
    command_tenant_defs,
    command_member_defs,
    command_key_defs,
    command_credit_defs,
    command_query_defs,
    command_call_defs,
    command_calls_defs,
    command_usage_defs,
    command_upstreams_defs,
    command_top_defs,
    command_latency_defs,
    command_names_defs,
    command_route_defs,
    command_audit_defs,
    command_reload_defs,
    command_kept_defs,
    command_backup_defs,
    command_tail_defs,
    command_retention_defs,
    command_mail_defs,
};

static const struct command_def *
find_def(struct str name)
{
    for (size_t t = 0; t < COUNT_OF(tables); t++)
        for (const struct command_def *def = tables[t]; def->name != NULL; def++)
            if (str_eq(str_from(def->name), name))
                return def;
    return NULL;
}

void
command_refuse(struct command *command, enum command_exit status, const char *fmt, ...)
{
    va_list args;

    ASSERT(status != COMMAND_DONE);
    if (command->exit != COMMAND_DONE)
        return; /* the first reason is the one to tell */
    command->exit = status;
    va_start(args, fmt);
    vsnprintf(command->why, sizeof(command->why), fmt, args);
    va_end(args);
}

void
command_absent(struct command *command)
{
    command->absent = true;
}

void
command_hint(struct command *command, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(command->hint, sizeof(command->hint), fmt, args);
    va_end(args);
}

void
command_act(struct command *command, enum command_action_kind kind, uint64_t id, int64_t delta_ucr)
{
    ASSERT(command->def->kind == COMMAND_WRITE);
    /* Told together: memory that lacks one of them is put right by the next start. */
    if (command->action_count == COUNT_OF(command->actions)) {
        command_refuse(command, COMMAND_FAILED, "too much in one command");
        return;
    }
    command->actions[command->action_count++] =
        (struct command_action){.kind = kind, .id = id, .delta_ucr = delta_ucr};
}

/* ---- arguments ---- */

static struct js_value
arg(const struct command *command, const char *name)
{
    struct js_value value = js_get(command->args, str_from(name));

    return js_is(value, JS_NULL) ? (struct js_value){.type = JS_NONE} : value;
}

bool
command_flag(struct command *command, const char *name, bool *out)
{
    struct js_value value = arg(command, name);

    *out = js_bool(value, false);
    if (value.type == JS_NONE || value.type == JS_NULL || value.type == JS_TRUE ||
        value.type == JS_FALSE)
        return true;
    command_refuse(command, COMMAND_USAGE, "%s is true or false", name);
    return false;
}

bool
command_has(const struct command *command, const char *name)
{
    return !js_is(arg(command, name), JS_NONE);
}

static bool
arg_missing(struct command *command, const char *name, bool must)
{
    if (must)
        command_refuse(command, COMMAND_USAGE, "%s is missing", name);
    return !must;
}

bool
command_str(struct command *command, const char *name, bool must, struct str *out)
{
    struct js_value value = arg(command, name);
    char *scratch;

    *out = STR_NONE;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if (!js_is(value, JS_STRING)) {
        command_refuse(command, COMMAND_USAGE, "%s must be a string", name);
        return false;
    }
    scratch = arena_alloc(&command->arena, value.raw.len + 1);
    if (scratch == NULL) {
        command_refuse(command, COMMAND_FAILED, "out of memory");
        return false;
    }
    *out = js_unescape(value, scratch, value.raw.len + 1);
    if (memchr(out->len > 0 ? out->ptr : "", '\0', out->len) != NULL) {
        command_refuse(command, COMMAND_USAGE, "%s holds a NUL", name);
        return false;
    }
    return out->len > 0 || arg_missing(command, name, must);
}

bool
command_u32(struct command *command, const char *name, uint32_t *out)
{
    struct js_value value = arg(command, name);
    uint64_t n = 0;

    *out = 0;
    if (js_is(value, JS_NONE))
        return true;
    if (!js_count(value, UINT32_MAX, &n)) {
        command_refuse(command, COMMAND_USAGE, "%s must be a whole number up to %u", name,
                       UINT32_MAX);
        return false;
    }
    *out = (uint32_t)n;
    return true;
}

bool
command_credits(struct command *command, const char *name, bool must, int64_t *ucr)
{
    struct str text;

    *ucr = 0;
    if (!command_str(command, name, must, &text))
        return false;
    if (text.len == 0)
        return true;
    if (!ucr_parse(text, ucr)) {
        command_refuse(command, COMMAND_USAGE,
                       "%s: \"%.*s\" is not an amount of credits", name,
                       (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "credits are a decimal number with at most six places, as 12.5");
        return false;
    }
    if (*ucr < 0 || *ucr > ACCOUNT_UCR_MAX) {
        command_refuse(command, COMMAND_USAGE, "%s is out of range", name);
        return false;
    }
    return true;
}

bool
command_time(struct command *command, const char *name, int64_t *wall_us)
{
    struct str text;
    uint64_t ago_us;

    *wall_us = 0;
    if (!command_str(command, name, false, &text))
        return false;
    if (text.len == 0)
        return true;
    if (clock_parse_duration(text, &ago_us) && ago_us < (uint64_t)INT64_MAX) {
        int64_t now_us = ledger_wall_us(command->ledger);

        /* For the past in questions, for the future in an expiry. */
        *wall_us = strcmp(name, "expires") == 0 ? now_us + MIN((int64_t)ago_us, INT64_MAX - now_us)
                                                : MAX(now_us - (int64_t)ago_us, 1);
        return true;
    }
    if (!clock_parse(text, wall_us) || *wall_us <= 0) {
        command_refuse(command, COMMAND_USAGE, "%s: \"%.*s\" is not a time", name,
                       (int)MIN(text.len, 40u), text.ptr);
        command_hint(command, "write 2026-11-21, 2026-11-21T03:04:05Z, or a span as 24h or 7d");
        return false;
    }
    return true;
}

bool
command_id(struct command *command, const char *name, bool must, uint32_t *id)
{
    struct js_value value = arg(command, name);
    uint64_t n = 0;

    *id = 0;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if ((js_is(value, JS_STRING) ? str_to_count(value.raw, UINT32_MAX, &n)
                                 : js_count(value, UINT32_MAX, &n)) &&
        n > 0) {
        *id = (uint32_t)n;
        return true;
    }
    command_refuse(command, COMMAND_USAGE, "%s must be a number", name);
    return false;
}

bool
command_tenant(struct command *command, const char *name, bool must, uint32_t *tenant_id)
{
    struct js_value value = arg(command, name);
    struct entity_tenant tenant;
    struct str text = value.raw;
    uint64_t n = 0;

    *tenant_id = 0;
    if (js_is(value, JS_NONE))
        return arg_missing(command, name, must);
    if (!js_is(value, JS_NUMBER) && !command_str(command, name, true, &text))
        return false;
    if (str_to_count(text, UINT32_MAX, &n) && n > 0 &&
        entity_tenant_get(&command->txn, (uint32_t)n, &tenant) == 0) {
        *tenant_id = (uint32_t)n;
        return true;
    }
    if (entity_find(&command->txn, DB_TENANT, 0, text, tenant_id) == 0)
        return true;
    command_refuse(command, COMMAND_FAILED, "there is no tenant \"%.*s\"", (int)MIN(text.len, 96u),
                   text.ptr);
    command_hint(command, "turnpike tenant list shows all");
    return false;
}

const char *
command_tenant_name(struct command *command, uint32_t tenant_id)
{
    struct entity_tenant tenant;
    char *name;

    if (entity_tenant_get(&command->txn, tenant_id, &tenant) < 0)
        return "";
    name = arena_copy(&command->arena, str_from(tenant.name));
    return name != NULL ? name : "";
}

/* ---- running ---- */

bool
command_start(struct command *command, struct ledger *ledger, struct str line, const char *by)
{
    struct js_value request = {.type = JS_NONE}, cmd;
    struct js_error err = {0};
    char name[64];
    char *copy;

    memset(command, 0, offsetof(struct command, actions));
    command->action_count = 0;
    command->fd = -1;
    command->after = NULL;
    command->state = NULL;
    command->exit = COMMAND_DONE;
    command->why[0] = command->hint[0] = '\0';
    command->ledger = ledger;
    arena_init(&command->arena, ARENA_BYTES_MAX);
    buf_init(&command->body, COMMAND_ANSWER_BYTES_MAX);
    jw_init(&command->jw, &command->body);
    jw_object(&command->jw);
    str_copy(str_from(by), command->by, sizeof(command->by));
    copy = arena_copy(&command->arena, line);
    if (copy == NULL || line.len > COMMAND_REQUEST_BYTES_MAX) {
        command_refuse(command, COMMAND_FAILED, "the request is too long");
        return false;
    }
    if (!js_check((struct str){copy, line.len}, &request, &err) || !js_is(request, JS_OBJECT)) {
        command_refuse(command, COMMAND_USAGE, "the request is not a JSON object: %s",
                       err.what != NULL ? err.what : "another value");
        return false;
    }
    cmd = js_get(request, STR("cmd"));
    command->args = js_get(request, STR("args"));
    if (js_is(cmd, JS_STRING) && cmd.raw.len < sizeof(name))
        command->def = find_def(js_unescape(cmd, name, sizeof(name)));
    if (command->def == NULL) {
        command_refuse(command, COMMAND_USAGE, "there is no such command");
        return false;
    }
    if (!js_is(command->args, JS_NONE) && !js_is(command->args, JS_OBJECT)) {
        command_refuse(command, COMMAND_USAGE, "args must be an object");
        return false;
    }
    return true;
}

int
command_prepare(struct command *command)
{
    ASSERT(command->def->prepare != NULL);
    return command->def->prepare(command);
}

void
command_read(struct command *command)
{
    struct db *db = command->ledger->db;
    bool is_long = command->def->is_long || command->def->apart;
    int rc = is_long ? db_read_long(db, &command->txn) : db_read(db, &command->txn);

    ASSERT(command->def->kind != COMMAND_WRITE);
    if (rc == 0)
        rc = command->def->run(command);
    db_end(&command->txn);
    if (rc < 0)
        command_refuse(command, COMMAND_FAILED, "the store cannot be read: %s", strerror(-rc));
}

static int
act(struct command *command, struct db_txn *txn, const struct command_action *action)
{
    struct ledger *ledger = command->ledger;
    uint32_t id = (uint32_t)action->id;
    uint32_t account_idx = id_map_get(&ledger->account_of_tenant, id);

    switch (action->kind) {
    case ACTION_TENANT: return publish_tenant(ledger, txn, id);
    case ACTION_TENANT_NEW:
        if (publish_tenant(ledger, txn, id) < 0)
            return -ENOSPC;
        return recount_account(ledger, id_map_get(&ledger->account_of_tenant, id));
    case ACTION_KEY: return publish_key(ledger, txn, id);
    case ACTION_PROJECT: return publish_project(ledger, txn, id);
    case ACTION_BUDGET: return publish_budget(ledger, txn, action->id);
    case ACTION_CREDIT:
        ASSERT(account_idx != 0);
        if (!account_change(account_at(ledger->region, account_idx), action->delta_ucr))
            return recount_account(ledger, account_idx);
        return 0;
    }
    return 0;
}

/* What is in the store already is now told to memory. It must not fail for want of room, which was
 * asked for before; if it does, the next start of the ledger process publishes what lacks. */
static int
apply_actions(struct command *command)
{
    struct ledger *ledger = command->ledger;
    struct db_txn txn;
    int rc = db_read(ledger->db, &txn), failed = 0;

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < command->action_count; i++) {
        rc = act(command, &txn, &command->actions[i]);
        if (rc < 0)
            failed = rc;
    }
    db_end(&txn);
    if (failed < 0)
        log_error("command.unpublished", "cmd=%s rc=%d", command->def->name, failed);
    rc = recount_run(ledger);
    if (rc == 0)
        rc = ledger_point(ledger, POINT_COMMAND_APPLIED);
    if (rc < 0)
        return rc;
    ASSERT(atomic_load_explicit(&ledger->region->header->applied_seq, memory_order_relaxed) <=
           ledger->tail.seq);
    atomic_store_explicit(&ledger->region->header->applied_seq, ledger->tail.seq,
                          memory_order_release);
    if (failed < 0)
        command_refuse(command, COMMAND_FAILED, "it is stored, but shared memory is full: %s",
                       strerror(-failed));
    return 0;
}

static int
run_write(struct command *command)
{
    struct ledger *ledger = command->ledger;
    int rc = publish_room(ledger);

    ASSERT(ledger->batch_count == 0); /* strictly serial: no batch is half done */
    if (rc < 0) {
        command_refuse(command, COMMAND_FAILED, "shared memory is full: %s", strerror(-rc));
        return 0;
    }
    rc = db_write(ledger->db, &command->txn);
    if (rc < 0)
        return rc;
    command->tail = ledger->tail;
    command->tail.seq++;
    rc = command->def->run(command);
    if (rc == 0 && command->exit == COMMAND_DONE && command->changed)
        rc = db_meta_put(&command->txn, "tail", (struct str){(const char *)&command->tail,
                                                             sizeof(command->tail)});
    if (rc < 0 || command->exit != COMMAND_DONE || !command->changed) {
        db_end(&command->txn);
        return rc;
    }
    rc = db_commit(&command->txn);
    if (rc < 0)
        return rc;
    ledger->tail = command->tail;
    rc = ledger_point(ledger, POINT_COMMAND_COMMITTED);
    return rc < 0 ? rc : apply_actions(command);
}

static void
store_failed(struct command *command, int rc)
{
    command_refuse(command, COMMAND_FAILED, "the store in %s failed: %s",
                   db_path(command->ledger->db), strerror(-rc));
    if (rc == -ENOSPC)
        command_hint(command, "make room on its disk; nothing was changed");
}

int
command_main(struct command *command)
{
    int rc = 0;

    if (command->def->kind == COMMAND_WRITE && command->ledger->draining) {
        command_refuse(command, COMMAND_BUSY, "the server is stopping");
        return 0;
    }
    if (command->def->kind == COMMAND_WRITE)
        rc = run_write(command);
    else
        command_read(command);
    if (rc == 0 && command->exit == COMMAND_DONE && command->after != NULL)
        rc = command->after(command);
    if (rc < 0)
        store_failed(command, rc);
    return rc;
}

void
command_finish(struct command *command, struct buf *answer)
{
    struct jw jw;

    if (command->exit == COMMAND_DONE) {
        jw_object_end(&command->jw);
        if (command->body.failed)
            command_refuse(command, COMMAND_FAILED, "the answer is too long");
    }
    jw_init(&jw, answer);
    jw_object(&jw);
    jw_key_bool(&jw, "ok", command->exit == COMMAND_DONE);
    if (command->exit == COMMAND_DONE) {
        jw_key(&jw, "result");
        jw_raw(&jw, buf_str(&command->body));
    } else {
        jw_key_u64(&jw, "exit", (uint64_t)command->exit);
        jw_key_cstr(&jw, "error", command->def != NULL ? command->def->name : "request");
        jw_key_cstr(&jw, "why", command->why);
        jw_key_cstr(&jw, "hint", command->hint[0] != '\0' ? command->hint : NULL);
        if (command->absent)
            jw_key_bool(&jw, "absent", true);
    }
    jw_object_end(&jw);
    buf_add_char(answer, '\n');
    explicit_bzero(command->body.ptr, command->body.ptr != NULL ? command->body.cap : 0);
    buf_free(&command->body);
    if (command->fd >= 0)
        close(command->fd);
    command->fd = -1;
    arena_end(&command->arena);
}

bool
command_stopped(const struct command *command)
{
    return command->stop != NULL && atomic_load_explicit(command->stop, memory_order_relaxed);
}

int
command_run(struct ledger *ledger, struct str line, const char *by, struct buf *answer)
{
    return command_run_with(ledger, line, by, -1, answer);
}

int
command_run_with(struct ledger *ledger, struct str line, const char *by, int fd,
                 struct buf *answer)
{
    struct command command;
    bool started = command_start(&command, ledger, line, by);
    int rc = 0;

    command.fd = fd;
    if (started) {
        const struct command_def *def = command.def;

        if (def->kind != COMMAND_READ) {
            rc = command_main(&command);
        } else {
            if (def->prepare != NULL && !def->prepare_on_miss)
                rc = command_prepare(&command);
            if (rc == 0 && command.exit == COMMAND_DONE)
                command_read(&command);
            if (command.missed && def->prepare != NULL) {
                command.missed = false;
                rc = command_prepare(&command);
                if (rc == 0)
                    command_read(&command);
            }
        }
        if (rc < 0)
            store_failed(&command, rc);
    }
    command_finish(&command, answer);
    return rc;
}
