#include "ledger/idem.h"

#include "base/buf.h"
#include "base/str.h"
#include "ledger/command.h"
#include "ledger/core.h"

#include <errno.h>
#include <string.h>

enum { RECORD = 0, BY_TIME = 1 };

static void
hash_buf(const struct command *command, const struct buf *bytes, uint8_t out[HASH_LEN])
{
    hash_keyed(command->ledger->key_hash_key, bytes->ptr, bytes->len, out);
}

/* Which record it is: the actor's, by that name. Who is nobody yet is told apart by the address or token that is
 * asked with, so that no visitor's name is in another's way. */
static int
name_hash(const struct command *command, uint8_t out[HASH_LEN])
{
    static const char *const visitor[] = {"email", "token"};
    struct buf bytes;
    bool ok;

    buf_init(&bytes, 4096);
    buf_add_fmt(&bytes, "idem %u %llu ", (unsigned)command->actor.kind,
                (unsigned long long)command->actor.id);
    buf_add_str(&bytes, command->idem);
    if (command->actor.kind == ACTOR_SYSTEM && command->actor.id == 0)
        for (size_t i = 0; i < COUNT_OF(visitor); i++) {
            struct js_value value = js_get(command->args, str_from(visitor[i]));

            if (js_is(value, JS_STRING) && value.raw.len <= ACTOR_TEXT_MAX)
                buf_add_fmt(&bytes, " %.*s", STR_ARGS(value.raw));
        }
    ok = !bytes.failed;
    if (ok)
        hash_buf(command, &bytes, out);
    explicit_bzero(bytes.ptr != NULL ? bytes.ptr : (char *)&ok, bytes.ptr != NULL ? bytes.cap : 0);
    buf_free(&bytes);
    return ok ? 0 : -ENOMEM;
}

/* What was asked. Without secrets, of which the same may look otherwise the next time, as a salted
 * hash does, and which shall not be guessed from here. */
static int
request_hash(const struct command *command, uint8_t out[HASH_LEN])
{
    struct buf bytes;
    struct jw jw;
    bool ok;

    buf_init(&bytes, 2 * COMMAND_REQUEST_BYTES_MAX);
    buf_add_fmt(&bytes, "request %s ", command->def->name);
    if (command->idem_of.len > 0) {
        buf_add_str(&bytes, command->idem_of);
    } else if (js_is(command->args, JS_OBJECT)) {
        jw_init(&jw, &bytes);
        audit_write_plain(&jw, command->args);
    }
    ok = !bytes.failed;
    if (ok)
        hash_buf(command, &bytes, out);
    buf_free(&bytes);
    return ok ? 0 : -ENOMEM;
}

static void
record_key(struct db_key *key, const uint8_t name[HASH_LEN])
{
    bool fits;

    db_key_start(key);
    db_key_u8(key, RECORD);
    fits = db_key_text(key, (struct str){(const char *)name, HASH_LEN});
    ASSERT(fits);
}

static void
time_key(struct db_key *key, int64_t wall_us, const uint8_t name[HASH_LEN])
{
    bool fits;

    db_key_start(key);
    db_key_u8(key, BY_TIME);
    db_key_u64(key, (uint64_t)MAX(wall_us, 0));
    fits = db_key_text(key, (struct str){(const char *)name, HASH_LEN});
    ASSERT(fits);
}

static bool
is_over(const struct command *command, int64_t wall_us)
{
    return wall_us <= ledger_wall_us(command->ledger) - IDEM_LIFE_US;
}

/* ---- what was done before ---- */

static int
repeat(struct command *command, const struct idem_head *head, struct str json)
{
    struct js_value result, key, value;
    struct js_error err;
    struct js_iter it;
    uint8_t request[HASH_LEN];
    int rc = request_hash(command, request);

    if (rc < 0)
        return rc;
    if (!hash_eq(request, head->request)) {
        command_refuse_field(command, COMMAND_FAILED, "idempotency_mismatch", "idem",
                             "\"%.*s\" was used for another request", STR_ARGS(command->idem));
        command_hint(command, "nothing was changed; ask with a new one");
        return 0;
    }
    if (!js_check(json, &result, &err))
        return -EILSEQ;
    for (js_iter_init(&it, result); js_next(&it, &key, &value);) {
        jw_key_of(&command->jw, key.raw);
        jw_js(&command->jw, value);
    }
    jw_key_bool(&command->jw, "repeated", true);
    command->repeated = true;
    return 0;
}

int
idem_find(struct command *command, bool *found)
{
    uint8_t name[HASH_LEN];
    struct idem_head head;
    struct db_key key;
    struct str value;
    int rc;

    *found = false;
    if (command->idem.len == 0)
        return 0;
    rc = name_hash(command, name);
    if (rc < 0)
        return rc;
    record_key(&key, name);
    rc = db_get(&command->txn, DB_IDEM, &key, &value);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (value.len < sizeof(head))
        return -EILSEQ;
    memcpy(&head, value.ptr, sizeof(head));
    if (is_over(command, head.wall_us))
        return 0;
    *found = true;
    return repeat(command, &head, (struct str){value.ptr + sizeof(head), value.len - sizeof(head)});
}

/* ---- keeping and dropping ---- */

/* The result so far, closed and without secrets. */
static int
write_result(struct command *command, struct buf *out)
{
    struct js_value result;
    struct js_error err;
    struct buf whole;
    struct jw jw;
    int rc = 0;

    buf_init(&whole, IDEM_RESULT_BYTES_MAX);
    buf_add_str(&whole, buf_str(&command->body));
    buf_add_char(&whole, '}');
    jw_init(&jw, out);
    if (whole.failed) { /* longer than any command writes that changes something */
        jw_object(&jw);
        jw_object_end(&jw);
    } else if (js_check(buf_str(&whole), &result, &err)) {
        audit_write_plain(&jw, result);
    } else {
        rc = -EILSEQ;
    }
    explicit_bzero(whole.ptr != NULL ? whole.ptr : (char *)&rc, whole.ptr != NULL ? whole.cap : 0);
    buf_free(&whole);
    return rc;
}

/* One of that name which is over, of which the record is about to be written anew. */
static int
drop_old(struct command *command, const uint8_t name[HASH_LEN])
{
    struct idem_head head;
    struct db_key key;
    struct str value;
    int rc;

    record_key(&key, name);
    rc = db_get(&command->txn, DB_IDEM, &key, &value);
    if (rc < 0)
        return rc == -ENOENT ? 0 : rc;
    if (value.len < sizeof(head))
        return -EILSEQ;
    memcpy(&head, value.ptr, sizeof(head));
    time_key(&key, head.wall_us, name);
    rc = db_delete(&command->txn, DB_IDEM, &key);
    return rc == -ENOENT ? 0 : rc;
}

int
idem_keep(struct command *command)
{
    struct idem_head head = {.wall_us = ledger_wall_us(command->ledger)};
    uint8_t name[HASH_LEN];
    struct db_key key;
    struct buf bytes;
    int rc;

    if (command->idem.len == 0)
        return 0;
    rc = name_hash(command, name);
    if (rc == 0)
        rc = request_hash(command, head.request);
    if (rc == 0)
        rc = drop_old(command, name);
    if (rc < 0)
        return rc;
    buf_init(&bytes, 2 * IDEM_RESULT_BYTES_MAX);
    buf_add(&bytes, &head, sizeof(head));
    rc = write_result(command, &bytes);
    if (rc == 0 && bytes.failed)
        rc = -ENOMEM;
    record_key(&key, name);
    if (rc == 0)
        rc = db_put(&command->txn, DB_IDEM, &key, buf_str(&bytes));
    time_key(&key, head.wall_us, name);
    if (rc == 0)
        rc = db_put(&command->txn, DB_IDEM, &key, STR_NONE);
    buf_free(&bytes);
    return rc;
}

int
idem_drop(struct command *command)
{
    for (unsigned i = 0; i < IDEM_DROP_MAX; i++) {
        struct db_key from, key;
        struct db_walk walk;
        struct str bytes, value;
        int rc;
        bool more;

        db_key_start(&from);
        db_key_u8(&from, BY_TIME);
        rc = db_walk_start(&command->txn, DB_IDEM, &from, 1, &walk);
        if (rc < 0)
            return rc;
        more = db_walk_next(&walk, &bytes, &value) && is_over(command, (int64_t)db_u64(bytes, 1));
        rc = walk.failed;
        db_key_start(&key);
        if (more && (bytes.len != 1 + 8 + HASH_LEN || !db_key_text(&key, bytes)))
            rc = -EILSEQ;
        db_walk_end(&walk); /* the views end here: what is deleted is named by copies */
        if (rc < 0 || !more)
            return rc;
        rc = db_delete(&command->txn, DB_IDEM, &key);
        if (rc == 0) {
            struct db_key record;

            record_key(&record, key.bytes + 1 + 8);
            rc = db_delete(&command->txn, DB_IDEM, &record);
        }
        if (rc < 0 && rc != -ENOENT)
            return rc;
    }
    return 0;
}
