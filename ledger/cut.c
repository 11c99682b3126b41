#include "ledger/cut.h"

#include "base/str.h"
#include "base/ucr.h"

#include <errno.h>
#include <string.h>

enum cut_kind { CUT_MARK = 0, CUT_TENANT, CUT_BUDGET };

static struct str
bytes_of(const void *ptr, size_t len)
{
    return (struct str){ptr, len};
}

/* ---- the mark ---- */

static struct db_key
mark_key(void)
{
    struct db_key key;

    db_key_start(&key);
    db_key_u8(&key, CUT_MARK);
    return key;
}

static void
mark_hash(const struct cut *cut, uint8_t hash[HASH_LEN])
{
    hash_keyed(NULL, cut, offsetof(struct cut, hash), hash);
}

int
cut_load(struct db_txn *txn, struct cut *cut)
{
    struct db_key key = mark_key();
    int rc;

    memset(cut, 0, sizeof(*cut));
    rc = db_get_fixed(txn, DB_CUT, &key, cut, sizeof(*cut));
    return rc == -ENOENT ? 0 : rc;
}

bool
cut_is_sound(const struct cut *cut)
{
    static const struct cut none;
    uint8_t hash[HASH_LEN];

    if (cut->number == 0)
        return memcmp(cut, &none, sizeof(none)) == 0;
    mark_hash(cut, hash);
    return memcmp(hash, cut->hash, HASH_LEN) == 0;
}

int
cut_store(struct db_txn *txn, struct cut *cut)
{
    struct db_key key = mark_key();

    cut->number++;
    memcpy(cut->prev_hash, cut->hash, HASH_LEN);
    mark_hash(cut, cut->hash);
    return db_put(txn, DB_CUT, &key, bytes_of(cut, sizeof(*cut)));
}

/* ---- sums ---- */

/* In and out of the hash of all: the same both ways. */
static void
toggle(uint8_t sums_hash[HASH_LEN], struct str key, struct str value)
{
    uint8_t hash[HASH_LEN];

    hash_pair(key, value, hash);
    for (size_t i = 0; i < HASH_LEN; i++)
        sums_hash[i] ^= hash[i];
}

static int
replace(struct db_txn *txn, struct cut *cut, const struct db_key *key, struct str old,
        struct str new)
{
    struct str name = bytes_of(key->bytes, key->len);

    if (old.len > 0)
        toggle(cut->sums_hash, name, old);
    toggle(cut->sums_hash, name, new);
    return db_put(txn, DB_CUT, key, new);
}

int
cut_add_tenant(struct db_txn *txn, struct cut *cut, uint32_t tenant_id,
               const struct cut_tenant *more)
{
    struct cut_tenant old = {0}, new;
    struct db_key key;
    int rc;

    db_key_start(&key);
    db_key_u8(&key, CUT_TENANT);
    db_key_u32(&key, tenant_id);
    rc = db_get_fixed(txn, DB_CUT, &key, &old, sizeof(old));
    if (rc < 0 && rc != -ENOENT)
        return rc;
    new.record_count = old.record_count + more->record_count;
    if (!ucr_add(old.charge_ucr, more->charge_ucr, &new.charge_ucr))
        return -EOVERFLOW;
    return replace(txn, cut, &key, bytes_of(&old, rc == 0 ? sizeof(old) : 0),
                   bytes_of(&new, sizeof(new)));
}

int
cut_add_budget(struct db_txn *txn, struct cut *cut, uint64_t budget_id, uint16_t window,
               int64_t charge_ucr)
{
    int64_t old_ucr = 0, new_ucr;
    struct db_key key;
    int rc;

    db_key_start(&key);
    db_key_u8(&key, CUT_BUDGET);
    db_key_u64(&key, budget_id);
    db_key_u16(&key, window);
    rc = db_get_fixed(txn, DB_CUT, &key, &old_ucr, sizeof(old_ucr));
    if (rc < 0 && rc != -ENOENT)
        return rc;
    if (!ucr_add(old_ucr, charge_ucr, &new_ucr))
        return -EOVERFLOW;
    return replace(txn, cut, &key, bytes_of(&old_ucr, rc == 0 ? sizeof(old_ucr) : 0),
                   bytes_of(&new_ucr, sizeof(new_ucr)));
}

static int
give(const struct cut_each *each, struct str key, struct str value)
{
    uint8_t kind = (uint8_t)key.ptr[0];

    if (kind == CUT_TENANT && key.len == 5 && value.len == sizeof(struct cut_tenant)) {
        struct cut_tenant sum;

        memcpy(&sum, value.ptr, sizeof(sum));
        return each->tenant(each->arg, db_u32(key, 1), &sum);
    }
    if (kind == CUT_BUDGET && key.len == 11 && value.len == sizeof(int64_t)) {
        uint16_t window = (uint16_t)((uint8_t)key.ptr[9] << 8 | (uint8_t)key.ptr[10]);
        int64_t charge_ucr;

        memcpy(&charge_ucr, value.ptr, sizeof(charge_ucr));
        return each->budget(each->arg, db_u64(key, 1), window, charge_ucr);
    }
    return -EILSEQ;
}

int
cut_walk(struct db_txn *txn, const struct cut_each *each, uint8_t sums_hash[HASH_LEN])
{
    struct db_key from;
    struct db_walk walk;
    struct str key, value;
    int rc;

    memset(sums_hash, 0, HASH_LEN);
    db_key_start(&from);
    db_key_u8(&from, CUT_TENANT);
    rc = db_walk_start(txn, DB_CUT, &from, 0, &walk);
    while (rc == 0 && db_walk_next(&walk, &key, &value)) {
        toggle(sums_hash, key, value);
        rc = give(each, key, value);
    }
    if (rc == 0)
        rc = walk.failed;
    db_walk_end(&walk);
    return rc;
}
