#include "ledger/command.h"

#include "base/log.h"
#include "base/str.h"
#include "ledger/core.h"
#include "ledger/idem.h"
#include "ledger/windows.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ARENA_BYTES_MAX (32u << 20)

static const struct command_def *const tables[] = {
    command_tenant_defs,
    command_member_defs,
    command_project_defs,
    command_key_defs,
    command_credit_defs,
    command_query_defs,
    command_call_defs,
    command_calls_defs,
    command_usage_defs,
    command_stats_defs,
    command_most_defs,
    command_statement_defs,
    command_upstreams_defs,
    command_top_defs,
    command_latency_defs,
    command_names_defs,
    command_route_defs,
    command_audit_defs,
    command_log_defs,
    command_site_defs,
    command_conf_defs,
    command_approve_defs,
    command_reload_defs,
    command_kept_defs,
    command_backup_defs,
    command_tail_defs,
    command_retention_defs,
    command_mail_defs,
    command_session_defs,
    command_person_defs,
    command_code_defs,
    command_factor_defs,
    command_failed_defs,
    command_register_defs,
    command_invite_defs,
    command_role_defs,
    command_webhook_defs,
    command_delivery_defs,
    command_alert_defs,
    command_alert_look_defs,
    command_grant_defs,
    command_voucher_defs,
    command_order_defs,
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

const char *const command_actor_kind_name[] = {
    [ACTOR_CLI] = "cli",
    [ACTOR_SYSTEM] = "system",
    [ACTOR_PERSON] = "person",
    [ACTOR_KEY] = "key",
};
_Static_assert(COUNT_OF(command_actor_kind_name) == ACTOR_KIND_COUNT, "a new kind needs a name");

/* ---- refusals ---- */

static const char *
code_of_exit(enum command_exit status)
{
    switch (status) {
    case COMMAND_DONE:
    case COMMAND_FAILED: break;
    case COMMAND_USAGE: return "invalid";
    case COMMAND_BUSY: return "busy";
    case COMMAND_NOT_ALLOWED: return "not_allowed";
    }
    return "conflict";
}

static void
refuse(struct command *command, enum command_exit status, const char *code, const char *field,
       const char *fmt, va_list args)
{
    ASSERT(status != COMMAND_DONE);
    if (command->exit != COMMAND_DONE)
        return; /* the first reason is the one to tell */
    command->exit = status;
    vsnprintf(command->why, sizeof(command->why), fmt, args);
    str_copy(str_from(code), command->code, sizeof(command->code));
    str_copy(str_from(field), command->field, sizeof(command->field));
}

void
command_refuse(struct command *command, enum command_exit status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    refuse(command, status, code_of_exit(status), NULL, fmt, args);
    va_end(args);
}

void
command_refuse_field(struct command *command, enum command_exit status, const char *code,
                     const char *field, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    refuse(command, status, code, field, fmt, args);
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

/* ---- running ---- */

/* Text of the actor, or of idem. Absent is "". */
static bool
start_text(struct command *command, struct js_value in, const char *name, size_t max,
           struct str *out)
{
    struct js_value value = js_get(in, str_from(name));
    char *scratch;

    *out = STR_NONE;
    if (js_is(value, JS_NONE) || js_is(value, JS_NULL))
        return true;
    scratch = js_is(value, JS_STRING) ? arena_alloc(&command->arena, value.raw.len + 1) : NULL;
    if (scratch != NULL)
        *out = js_unescape(value, scratch, value.raw.len + 1);
    if (scratch != NULL && out->len <= max)
        return true;
    command_refuse_field(command, COMMAND_USAGE, "invalid", name,
                         "%s must be a string of at most %zu bytes", name, max);
    return false;
}

/* Whom it is asked for. Without an actor: who asks. */
static bool
start_actor(struct command *command, struct js_value value)
{
    struct command_actor *actor = &command->actor;
    struct str kind, by = str_from(command->by);
    int64_t id = 0;

    if (js_is(value, JS_NONE) || js_is(value, JS_NULL)) {
        actor->kind = ACTOR_CLI;
        actor->name = by;
        if (!str_starts_with(by, STR("uid ")) ||
            !str_to_u64((struct str){by.ptr + 4, by.len - 4}, &actor->id))
            actor->id = 0;
        return true;
    }
    if (!start_text(command, value, "kind", 16, &kind) ||
        !start_text(command, value, "name", ACTOR_TEXT_MAX, &actor->name) ||
        !start_text(command, value, "ip", 64, &actor->ip) ||
        !start_text(command, value, "request", 64, &actor->request))
        return false;
    for (unsigned k = 0; k < ACTOR_KIND_COUNT; k++)
        if (str_eq(kind, str_from(command_actor_kind_name[k])))
            actor->kind = (enum command_actor_kind)k;
    if (!str_eq(kind, str_from(command_actor_kind_name[actor->kind])) ||
        (!js_is(js_get(value, STR("id")), JS_NONE) &&
         (!js_i64(js_get(value, STR("id")), &id) || id < 0))) {
        command_refuse_field(command, COMMAND_USAGE, "invalid", "actor",
                             "actor: a kind of person, key, cli, system, and an id");
        return false;
    }
    actor->id = (uint64_t)id;
    if (actor->kind != ACTOR_CLI)
        snprintf(command->by, sizeof(command->by), actor->id != 0 ? "%s %llu" : "%s",
                 command_actor_kind_name[actor->kind], (unsigned long long)actor->id);
    return true;
}

static bool
start_idem(struct command *command, struct js_value request)
{
    return start_text(command, request, "idem", IDEM_TEXT_MAX, &command->idem) &&
           start_text(command, request, "idem_of", IDEM_TEXT_MAX, &command->idem_of);
}

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
    command->why[0] = command->hint[0] = command->code[0] = command->field[0] = '\0';
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
        command_refuse_field(command, COMMAND_USAGE, "unknown_command", NULL,
                             "there is no such command");
        return false;
    }
    if (!js_is(command->args, JS_NONE) && !js_is(command->args, JS_OBJECT)) {
        command_refuse(command, COMMAND_USAGE, "args must be an object");
        return false;
    }
    return start_actor(command, js_get(request, STR("actor"))) && start_idem(command, request);
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
    case ACTION_MEMBER: return publish_member(ledger, txn, id);
    case ACTION_ZONE: return windows_publish(ledger, txn, id);
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

static void
refuse_full(struct command *command, int rc)
{
    command_refuse(command, COMMAND_FAILED, "shared memory is full: %s", strerror(-rc));
}

/* Lists of models and addresses have rooms of their own, of which only some commands want one. */
static int
lists_room(struct command *command)
{
    static const enum db_table of[] = {
        [ACTION_TENANT] = DB_TENANT, [ACTION_TENANT_NEW] = DB_TENANT, [ACTION_KEY] = DB_KEY,
        [ACTION_MEMBER] = DB_MEMBER, [ACTION_PROJECT] = DB_PROJECT,
    };
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < command->action_count; i++) {
        const struct command_action *action = &command->actions[i];

        if (action->kind < COUNT_OF(of))
            rc = publish_room_of_lists(command->ledger, &command->txn, of[action->kind], (uint32_t)action->id);
    }
    if (rc != -ENOSPC)
        return rc;
    refuse_full(command, rc);
    return 0;
}

/* After run: all that goes into the store with what it changed. */
static int
write_rest(struct command *command)
{
    int rc = command->def->quiet || command->silent ? 0 : audit_log_append(command);

    if (rc == 0 && command->exit == COMMAND_DONE && !command->more)
        rc = idem_keep(command);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = idem_drop(command);
    if (rc == 0 && command->exit == COMMAND_DONE)
        rc = db_tail_put(&command->txn, &command->tail);
    return rc;
}

/* It changed nothing, and the same again shall not, either. What it may have put without a change is
 * dropped with its transaction. */
static int
keep_unchanged(struct command *command)
{
    int rc;

    if (command->idem.len == 0 || command->exit != COMMAND_DONE)
        return 0;
    rc = db_write(command->ledger->db, &command->txn);
    if (rc == 0)
        rc = idem_keep(command);
    if (rc == 0)
        rc = db_commit(&command->txn);
    db_end(&command->txn);
    return rc;
}

/* What was refused and counts: no change to tell memory of, or to be in the audit log. */
static int
commit_try(struct command *command)
{
    int rc = db_meta_put(&command->txn, "tail",
                         (struct str){(const char *)&command->tail, sizeof(command->tail)});

    ASSERT(command->action_count == 0);
    if (rc < 0) {
        db_end(&command->txn);
        return rc;
    }
    rc = db_commit(&command->txn);
    if (rc < 0)
        return rc;
    command->ledger->tail = command->tail;
    rc = ledger_point(command->ledger, POINT_COMMAND_COMMITTED);
    return rc < 0 ? rc : apply_actions(command);
}

/* Of the step before, all but its answer and its state. */
static void
begin_step(struct command *command)
{
    audit_note_free(&command->note);
    command->note = (struct audit_note){.action = NULL};
    command->action_count = 0;
    command->more = command->changed = command->silent = false;
}

static int
run_write(struct command *command)
{
    struct ledger *ledger = command->ledger;
    int rc = publish_room(ledger);
    bool found;

    ASSERT(ledger->batch_count == 0); /* strictly serial: no batch is half done */
    begin_step(command);
    if (rc < 0) {
        refuse_full(command, rc);
        return 0;
    }
    rc = db_write(ledger->db, &command->txn);
    if (rc == 0)
        rc = idem_find(command, &found);
    if (rc < 0 || found) {
        db_end(&command->txn);
        return rc;
    }
    command->tail = ledger->tail;
    command->tail.seq++;
    rc = command->def->run(command);
    if (rc == 0 && command->exit == COMMAND_DONE && command->changed)
        rc = lists_room(command);
    if (rc == 0 && command->exit == COMMAND_DONE && command->changed)
        rc = write_rest(command);
    if (rc == 0 && command->exit != COMMAND_DONE && command->counted)
        return commit_try(command);
    if (rc < 0 || command->exit != COMMAND_DONE || !command->changed) {
        db_end(&command->txn);
        return rc == 0 && !command->changed ? keep_unchanged(command) : rc;
    }
    rc = db_commit(&command->txn);
    if (rc < 0)
        return rc;
    ledger->tail = command->tail;
    ledger->sums.transfer_count = MAX(ledger->sums.transfer_count, command->summed_transfer);
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
        command->more = false;
        command_refuse(command, COMMAND_BUSY, "the server is stopping");
        return 0;
    }
    if (command->def->kind == COMMAND_WRITE)
        rc = run_write(command);
    else
        command_read(command);
    if (rc < 0 || command->exit != COMMAND_DONE)
        command->more = false;
    if (rc == 0 && command->exit == COMMAND_DONE && !command->more && !command->repeated && command->after != NULL)
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
        /* A code of its own says more. */
        jw_key_cstr(&jw, "code",
                    command->absent && strcmp(command->code, code_of_exit(command->exit)) == 0
                        ? "not_found"
                        : command->code);
        if (command->field[0] != '\0')
            jw_key_cstr(&jw, "field", command->field);
        if (command->absent)
            jw_key_bool(&jw, "absent", true);
    }
    jw_object_end(&jw);
    buf_add_char(answer, '\n');
    explicit_bzero(command->body.ptr, command->body.ptr != NULL ? command->body.cap : 0);
    buf_free(&command->body);
    audit_note_free(&command->note);
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
            do {
                rc = command_main(&command);
            } while (command.more);
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
