/* Whether the audit log is what was appended to it. */
#include "ledger/audit.h"
#include "ledger/audit_log.h"
#include "ledger/command.h"

#include "base/str.h"

#include <errno.h>
#include <string.h>

struct verify {
    struct db_txn *txn;
    struct audit *audit;
    uint64_t seq; /* of the last */
    uint8_t hash[HASH_LEN];
};

/* A key of the index that should be there, without its number. */
static int
look_up(struct verify *verify, struct db_key *key)
{
    struct str value;
    int rc;

    db_key_u64(key, verify->seq);
    rc = db_get(verify->txn, DB_AUDIT_INDEX, key, &value);
    if (rc != -ENOENT)
        return rc;
    audit_fault(verify->audit, "index of the audit log", verify->seq, 0, 0);
    return 0;
}

static uint64_t
id_of(struct js_value thing)
{
    int64_t id = 0;

    return js_i64(js_get(thing, STR("id")), &id) && id > 0 ? (uint64_t)id : 0;
}

static int
look_up_thing(struct verify *verify, struct js_value thing)
{
    struct js_value kind = js_get(thing, STR("kind"));
    struct db_key key;

    if (!js_is(kind, JS_STRING))
        return 0;
    return audit_key_target(&key, kind.raw, id_of(thing)) ? look_up(verify, &key) : 0;
}

static int
look_up_actor(struct verify *verify, struct js_value actor)
{
    struct db_key key;

    for (unsigned k = 0; k < ACTOR_KIND_COUNT; k++)
        if (js_str_eq(js_get(actor, STR("kind")), str_from(command_actor_kind_name[k]))) {
            audit_key_actor(&key, k, id_of(actor));
            return look_up(verify, &key);
        }
    audit_fault(verify->audit, "form of the audit log", verify->seq, 0, 0);
    return 0;
}

static int
verify_indexes(struct verify *verify, struct js_value entry)
{
    struct js_value none, thing;
    struct js_iter it;
    struct db_key key;
    int64_t tenant = 0;
    int rc = look_up_actor(verify, js_get(entry, STR("actor")));

    if (rc == 0 && js_i64(js_get(entry, STR("tenant")), &tenant) && tenant > 0) {
        audit_key_tenant(&key, (uint32_t)tenant);
        rc = look_up(verify, &key);
    }
    if (rc == 0 && audit_key_action(&key, js_get(entry, STR("action")).raw))
        rc = look_up(verify, &key);
    if (rc == 0)
        rc = look_up_thing(verify, js_get(entry, STR("target")));
    for (js_iter_init(&it, js_get(entry, STR("also"))); rc == 0 && js_next(&it, &none, &thing);)
        rc = look_up_thing(verify, thing);
    return rc;
}

static int
verify_entry(struct verify *verify, uint64_t seq, struct str value)
{
    struct js_value entry;
    struct js_error err;
    struct str json, hash;
    int64_t said = 0;

    if (seq != verify->seq + 1)
        audit_fault(verify->audit, "gap in the audit log", verify->seq + 1, 0, 0);
    verify->seq = seq;
    if (audit_entry_read(value, &json, &hash) < 0 || !js_check(json, &entry, &err) ||
        !js_i64(js_get(entry, STR("seq")), &said) || (uint64_t)said != seq) {
        audit_fault(verify->audit, "form of the audit log", seq, 0, 0);
        return 0;
    }
    hash_pair((struct str){(const char *)verify->hash, HASH_LEN}, json, verify->hash);
    if (memcmp(verify->hash, hash.ptr, HASH_LEN) != 0) {
        audit_fault(verify->audit, "chain of the audit log", seq, 0, 0);
        memcpy(verify->hash, hash.ptr, HASH_LEN); /* so that what follows is judged by itself */
    }
    return verify_indexes(verify, entry);
}

int
audit_log_verify(struct db_txn *txn, struct audit *audit)
{
    struct verify verify = {.txn = txn, .audit = audit};
    struct audit_tail tail;
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc = audit_tail_get(txn, &tail);

    if (rc < 0)
        return rc;
    db_key_start(&from);
    rc = db_walk_start(txn, DB_AUDIT, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        audit->log_entries++;
        rc = verify_entry(&verify, db_u64(key, 0), value);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    if (rc == 0 && (verify.seq != tail.count || audit->log_entries != tail.count ||
                    memcmp(verify.hash, tail.hash, HASH_LEN) != 0))
        audit_fault(audit, "end of the audit log", tail.count, 0, 0);
    return rc;
}
