/* Writing the audit log. Reading it is a query (a command), verifying it the audit's (audit_store.c). */
#include "ledger/audit_log.h"

#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"
#include "ledger/entity.h"
#include "ledger/mail.h"

#include <errno.h>
#include <string.h>

#define NOTE_BYTES_MAX 65536
#define ENTRY_BYTES_MAX (4 * NOTE_BYTES_MAX)
#define DEPTH_MAX 12u /* of what is written; jw has no more than 32 */
#define KIND_LEN_MAX 32
#define ACTION_LEN_MAX 64

/* Kinds whose documents stand under a u32 in the table of the same name. */
static const enum db_table documents[] = {DB_NOTICE, DB_TENANT, DB_MEMBER, DB_PROJECT, DB_KEY,
                                          DB_PERSON, DB_INVITE, DB_WEBHOOK, DB_ALERT,
                                          DB_VOUCHER_BATCH};

/* ---- what is not written ---- */

static const char *const secrets[] = {"password", "hash",     "secret", "code",     "codes",  "token",
                                      "key",      "totp",     "recovery", "link",   "cookie", "salt",
                                      "credential", "old_hash", "hash_old", "secret_old"};

bool
audit_is_secret(struct str name)
{
    for (size_t i = 0; i < COUNT_OF(secrets); i++)
        if (str_eq(name, str_from(secrets[i])))
            return true;
    return str_ends_with(name, STR("_secret")) || str_ends_with(name, STR("_hash")) ||
           str_ends_with(name, STR("_token")) || str_ends_with(name, STR("_password"));
}

/* A number under such a name is an ID, as a flag says no more than that there is one. */
static bool
is_left_out(struct str name, struct js_value value)
{
    return audit_is_secret(name) &&
           (js_is(value, JS_STRING) || js_is(value, JS_ARRAY) || js_is(value, JS_OBJECT));
}

static void
write_plain(struct jw *jw, struct js_value value, unsigned depth)
{
    struct js_value key, member;
    struct js_iter it;
    char scratch[128];

    if ((!js_is(value, JS_OBJECT) && !js_is(value, JS_ARRAY)) || depth == DEPTH_MAX) {
        if (js_is(value, JS_OBJECT) || js_is(value, JS_ARRAY))
            jw_cstr(jw, "…");
        else
            jw_js(jw, value);
        return;
    }
    if (js_is(value, JS_ARRAY)) {
        jw_array(jw);
        for (js_iter_init(&it, value); js_next(&it, &key, &member);)
            write_plain(jw, member, depth + 1);
        jw_array_end(jw);
        return;
    }
    jw_object(jw);
    for (js_iter_init(&it, value); js_next(&it, &key, &member);) {
        struct str name = key.raw.len < sizeof(scratch) ? js_unescape(key, scratch, sizeof(scratch))
                                                        : STR("…");

        if (is_left_out(name, member))
            continue;
        jw_key_of(jw, name);
        write_plain(jw, member, depth + 1);
    }
    jw_object_end(jw);
}

void
audit_write_plain(struct jw *jw, struct js_value value)
{
    write_plain(jw, value, 0);
}

/* ---- what commands say ---- */

void
command_target(struct command *command, const char *kind, uint64_t id, uint32_t tenant_id)
{
    ASSERT(command->def->kind == COMMAND_WRITE);
    ASSERT(strlen(kind) <= KIND_LEN_MAX);
    command->note.target = (struct audit_thing){kind, id};
    command->note.tenant_id = tenant_id;
}

void
command_target_name(struct command *command, struct str name)
{
    char *copy = arena_copy(&command->arena, name);

    command->note.name = copy != NULL ? (struct str){copy, name.len} : STR_NONE;
}

void
command_also(struct command *command, const char *kind, uint64_t id)
{
    struct audit_note *note = &command->note;

    ASSERT(strlen(kind) <= KIND_LEN_MAX);
    if (note->also_count < AUDIT_ALSO_MAX)
        note->also[note->also_count++] = (struct audit_thing){kind, id};
}

static struct jw *
note_start(struct buf *bytes, struct jw *jw, bool *has)
{
    if (!*has) {
        buf_init(bytes, NOTE_BYTES_MAX);
        jw_init(jw, bytes);
        jw_object(jw);
    }
    *has = true;
    return jw;
}

struct jw *
command_before(struct command *command)
{
    struct audit_note *note = &command->note;

    return note_start(&note->before_bytes, &note->before, &note->has_before);
}

struct jw *
command_after(struct command *command)
{
    struct audit_note *note = &command->note;

    return note_start(&note->after_bytes, &note->after, &note->has_after);
}

void
command_event(struct command *command, const char *action)
{
    struct audit_note *note = &command->note;

    ASSERT(strlen(action) <= ACTION_LEN_MAX && !note->has_before);
    note->action = action;
    note->has_before = true;
    buf_init(&note->before_bytes, NOTE_BYTES_MAX);
    jw_init(&note->before, &note->before_bytes);
}

static const char *
action_of(const struct command *command)
{
    return command->note.action != NULL ? command->note.action : command->def->name;
}

void
audit_note_free(struct audit_note *note)
{
    if (note->has_before)
        buf_free(&note->before_bytes);
    if (note->has_after)
        buf_free(&note->after_bytes);
    note->has_before = note->has_after = false;
}

/* ---- documents ---- */

/* A document's budget is an ID; what it says now is what is wanted later. */
static void
write_budget(struct jw *jw, struct db_txn *txn, uint64_t id)
{
    struct db_budget def;

    if (id == 0 || entity_budget_get(txn, id, &def) < 0 || def.limit_ucr < 0 ||
        def.period >= BUDGET_PERIOD_COUNT) {
        jw_null(jw);
        return;
    }
    jw_object(jw);
    jw_key_ucr(jw, "limit", def.limit_ucr);
    jw_key_cstr(jw, "period", budget_period_name[def.period]);
    jw_object_end(jw);
}

/* "created_us" is "created", a time; "overdraft_ucr" is "overdraft", in credits; but for the name where
 * the document has a member that is called so. */
static bool
write_unit(struct jw *jw, struct js_value doc, struct str name, struct js_value value)
{
    bool is_time = str_ends_with(name, STR("_us")), is_money = str_ends_with(name, STR("_ucr"));
    size_t unit_len = is_time ? 3 : 4;
    struct str bare = name;
    int64_t n;

    if ((!is_time && !is_money) || name.len == unit_len || !js_i64(value, &n))
        return false;
    bare.len -= unit_len;
    jw_key_of(jw, js_is(js_get(doc, bare), JS_NONE) ? bare : name);
    if (is_time)
        jw_time(jw, n);
    else
        jw_ucr(jw, n);
    return true;
}

static void
write_document(struct jw *jw, struct db_txn *txn, struct js_value doc)
{
    struct js_value key, value;
    struct js_iter it;
    char scratch[128];

    jw_object(jw);
    for (js_iter_init(&it, doc); js_next(&it, &key, &value);) {
        struct str name = key.raw.len < sizeof(scratch) ? js_unescape(key, scratch, sizeof(scratch))
                                                        : STR("…");
        int64_t budget_id;

        if (is_left_out(name, value) || write_unit(jw, doc, name, value))
            continue;
        jw_key_of(jw, name);
        if (str_eq(name, STR("budget")) && js_i64(value, &budget_id))
            write_budget(jw, txn, (uint64_t)MAX(budget_id, 0));
        else
            write_plain(jw, value, 1);
    }
    jw_object_end(jw);
}

static bool
document_table(const char *kind, enum db_table *table)
{
    for (size_t i = 0; i < COUNT_OF(documents); i++)
        if (strcmp(db_table_name[documents[i]], kind) == 0) {
            *table = documents[i];
            return true;
        }
    return false;
}

/* As it is in that transaction's view: JSON in *out, "" when there is none. */
static int
read_document(struct command *command, struct db_txn *txn, struct buf *out)
{
    const struct audit_thing *target = &command->note.target;
    struct db_key key = db_key_of_u32((uint32_t)target->id);
    struct js_value doc;
    struct js_error err;
    enum db_table table;
    struct str text;
    struct jw jw;
    int rc;

    if (target->kind == NULL || !document_table(target->kind, &table) || target->id == 0 ||
        target->id > UINT32_MAX)
        return 0;
    rc = db_get(txn, table, &key, &text);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (!js_check(text, &doc, &err) || !js_is(doc, JS_OBJECT))
        return -EILSEQ;
    jw_init(&jw, out);
    write_document(&jw, txn, doc);
    return 0;
}

/* What was before stands in the snapshot that the transaction was begun from: a read sees no more. */
static int
read_before(struct command *command, struct buf *out)
{
    struct db_txn txn;
    int rc = db_read(command->ledger->db, &txn);

    if (rc == 0)
        rc = read_document(command, &txn, out);
    db_end(&txn);
    return rc;
}

/* ---- the entry ---- */

static void
write_actor(struct jw *jw, const struct command_actor *actor)
{
    jw_key(jw, "actor");
    jw_object(jw);
    jw_key_cstr(jw, "kind", command_actor_kind_name[actor->kind]);
    jw_key_u64(jw, "id", actor->id);
    if (actor->name.len > 0)
        jw_key_str(jw, "name", actor->name);
    if (actor->ip.len > 0)
        jw_key_str(jw, "ip", actor->ip);
    if (actor->request.len > 0)
        jw_key_str(jw, "request", actor->request);
    jw_object_end(jw);
}

static void
write_thing(struct jw *jw, const struct audit_thing *thing, struct str name)
{
    jw_object(jw);
    jw_key_cstr(jw, "kind", thing->kind);
    if (thing->id != 0)
        jw_key_u64(jw, "id", thing->id);
    if (name.len > 0)
        jw_key_str(jw, "name", name);
    jw_object_end(jw);
}

/* The name that a document goes by; quoted as it stands there, so it is unescaped into scratch. */
static struct str
name_of(struct str json, char *scratch, size_t cap)
{
    struct js_value doc, name;
    struct js_error err;

    if (json.len == 0 || !js_check(json, &doc, &err))
        return STR_NONE;
    name = js_get(doc, STR("name"));
    if (!js_is(name, JS_STRING) || name.raw.len == 0)
        name = js_get(doc, STR("email"));
    return js_is(name, JS_STRING) && name.raw.len < cap ? js_unescape(name, scratch, cap) : STR_NONE;
}

static void
write_side(struct jw *jw, const char *name, struct str json)
{
    jw_key(jw, name);
    if (json.len > 0)
        jw_raw(jw, json);
    else
        jw_null(jw);
}

static void
write_mail_dropped(struct jw *jw, uint32_t kinds)
{
    if (kinds == 0)
        return;
    jw_key(jw, "mail_dropped");
    jw_array(jw);
    for (unsigned i = 0; i < MAIL_KIND_COUNT; i++)
        if ((kinds & 1u << i) != 0)
            jw_cstr(jw, mail_kind_name[i]);
    jw_array_end(jw);
}

static void
write_entry(struct command *command, struct jw *jw, const struct audit_tail *tail,
            struct str before, struct str after)
{
    struct audit_note *note = &command->note;
    char scratch[1024];
    struct str name = note->name;

    jw_object(jw);
    jw_key_u64(jw, "seq", tail->count);
    jw_key_time(jw, "time", tail->wall_us);
    if (note->tenant_id != 0)
        jw_key_u64(jw, "tenant", note->tenant_id);
    write_actor(jw, &command->actor);
    jw_key_cstr(jw, "action", action_of(command));
    if (note->target.kind != NULL) {
        if (name.len == 0)
            name = name_of(after.len > 0 ? after : before, scratch, sizeof(scratch));
        jw_key(jw, "target");
        write_thing(jw, &note->target, name);
    }
    if (note->also_count > 0) {
        jw_key(jw, "also");
        jw_array(jw);
        for (uint32_t i = 0; i < note->also_count; i++)
            write_thing(jw, &note->also[i], STR_NONE);
        jw_array_end(jw);
    }
    write_mail_dropped(jw, note->mail_dropped);
    write_side(jw, "before", before);
    write_side(jw, "after", after);
    if (before.len == 0 && after.len == 0 && js_is(command->args, JS_OBJECT)) {
        jw_key(jw, "args");
        audit_write_plain(jw, command->args);
    }
    jw_object_end(jw);
}

int
audit_tail_get(struct db_txn *txn, struct audit_tail *tail)
{
    struct str value;
    int rc = db_meta_get(txn, "audit", &value);

    memset(tail, 0, sizeof(*tail));
    if (rc == -ENOENT)
        return 0;
    if (rc == 0 && value.len != sizeof(*tail))
        rc = -EILSEQ;
    if (rc == 0)
        memcpy(tail, value.ptr, sizeof(*tail));
    return rc;
}

int
audit_entry_read(struct str value, struct str *json, struct str *hash)
{
    if (value.len < HASH_LEN + 2)
        return -EILSEQ;
    *json = (struct str){value.ptr, value.len - HASH_LEN};
    *hash = (struct str){value.ptr + json->len, HASH_LEN};
    return 0;
}

/* ---- the index ---- */

static void
key_of(struct db_key *key, enum audit_by by)
{
    db_key_start(key);
    db_key_u8(key, (uint8_t)by);
}

void
audit_key_tenant(struct db_key *key, uint32_t tenant_id)
{
    key_of(key, AUDIT_BY_TENANT);
    db_key_u32(key, tenant_id);
}

void
audit_key_actor(struct db_key *key, unsigned kind, uint64_t id)
{
    key_of(key, AUDIT_BY_ACTOR);
    db_key_u8(key, (uint8_t)kind);
    db_key_u64(key, id);
}

bool
audit_key_target(struct db_key *key, struct str kind, uint64_t id)
{
    key_of(key, AUDIT_BY_TARGET);
    if (kind.len > KIND_LEN_MAX || !db_key_text(key, kind))
        return false;
    db_key_u8(key, 0);
    db_key_u64(key, id);
    return true;
}

bool
audit_key_action(struct db_key *key, struct str action)
{
    key_of(key, AUDIT_BY_ACTION);
    if (action.len > ACTION_LEN_MAX || !db_key_text(key, action))
        return false;
    db_key_u8(key, 0);
    return true;
}

static int
index_put(struct command *command, struct db_key *key, uint64_t seq)
{
    db_key_u64(key, seq);
    return db_put(&command->txn, DB_AUDIT_INDEX, key, STR_NONE);
}

static int
index_thing(struct command *command, const struct audit_thing *thing, uint64_t seq)
{
    struct db_key key;

    return audit_key_target(&key, str_from(thing->kind), thing->id) ? index_put(command, &key, seq)
                                                                    : 0;
}

static int
index_entry(struct command *command, uint64_t seq)
{
    const struct audit_note *note = &command->note;
    struct db_key key;
    int rc = 0;

    if (note->tenant_id != 0) {
        audit_key_tenant(&key, note->tenant_id);
        rc = index_put(command, &key, seq);
    }
    if (rc == 0) {
        audit_key_actor(&key, command->actor.kind, command->actor.id);
        rc = index_put(command, &key, seq);
    }
    if (rc == 0 && audit_key_action(&key, str_from(action_of(command))))
        rc = index_put(command, &key, seq);
    if (rc == 0 && note->target.kind != NULL)
        rc = index_thing(command, &note->target, seq);
    for (uint32_t i = 0; rc == 0 && i < note->also_count; i++)
        rc = index_thing(command, &note->also[i], seq);
    return rc;
}

static int
entry_put(struct command *command, struct audit_tail *tail, struct buf *entry)
{
    struct db_key key = db_key_of_u64(tail->count);
    uint8_t hash[HASH_LEN];
    int rc;

    if (entry->failed) {
        command_refuse(command, COMMAND_FAILED, "there is no room for its entry in the audit log");
        return 0;
    }
    hash_pair((struct str){(const char *)tail->hash, HASH_LEN}, buf_str(entry), hash);
    if (!buf_add(entry, hash, HASH_LEN))
        return -ENOMEM;
    memcpy(tail->hash, hash, HASH_LEN);
    rc = db_append(&command->txn, DB_AUDIT, &key, buf_str(entry));
    if (rc == 0)
        rc = db_meta_put(&command->txn, "audit",
                         (struct str){(const char *)tail, sizeof(*tail)});
    return rc == 0 ? index_entry(command, tail->count) : rc;
}

/* What the command wrote itself, or what its document says. */
static int
take_side(struct command *command, struct buf *written, struct jw *jw, bool has, struct buf *out,
          int (*read)(struct command *command, struct buf *out))
{
    if (!has)
        return read(command, out);
    if (jw->depth > 0)
        jw_object_end(jw);
    if (written->failed)
        out->failed = true;
    return buf_add_str(out, buf_str(written)) ? 0 : -ENOMEM;
}

static int
read_after(struct command *command, struct buf *out)
{
    return read_document(command, &command->txn, out);
}

int
audit_log_append(struct command *command)
{
    struct audit_note *note = &command->note;
    struct audit_tail tail;
    struct buf before, after, entry;
    struct jw jw;
    int rc = audit_tail_get(&command->txn, &tail);

    if (rc < 0)
        return rc;
    buf_init(&before, NOTE_BYTES_MAX);
    buf_init(&after, NOTE_BYTES_MAX);
    buf_init(&entry, ENTRY_BYTES_MAX);
    tail.count++;
    tail.wall_us = MAX(tail.wall_us, ledger_wall_us(command->ledger));
    rc = take_side(command, &note->before_bytes, &note->before, note->has_before, &before,
                   read_before);
    if (rc == 0)
        rc = take_side(command, &note->after_bytes, &note->after, note->has_after, &after,
                       read_after);
    if (rc == 0) {
        jw_init(&jw, &entry);
        write_entry(command, &jw, &tail, buf_str(&before), buf_str(&after));
        entry.failed |= before.failed || after.failed;
        rc = entry_put(command, &tail, &entry);
    }
    buf_free(&before);
    buf_free(&after);
    buf_free(&entry);
    return rc;
}
