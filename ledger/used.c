#include "ledger/used.h"

#include <errno.h>

#define MINUTE_US INT64_C(60000000)

int
used_last(struct db_txn *txn, uint32_t key_id, int64_t *wall_us)
{
    struct db_key key = db_key_of_u32(key_id);
    int rc = db_get_fixed(txn, DB_USED, &key, wall_us, sizeof(*wall_us));

    if (rc < 0)
        *wall_us = 0;
    return rc == -ENOENT ? 0 : rc;
}

/* The map has minutes since 1970 that are in the store already, or about to be: a transaction that fails
 * ends the process. */
int
used_note(struct ledger *ledger, struct db_txn *txn, uint32_t key_id, int64_t wall_us)
{
    struct db_key key = db_key_of_u32(key_id);
    uint32_t minute;
    int64_t was_us;
    int rc;

    if (key_id == 0 || key_id > ledger->tail.key_last || wall_us <= 0 ||
        wall_us / MINUTE_US > UINT32_MAX)
        return 0;
    minute = (uint32_t)(wall_us / MINUTE_US);
    if (id_map_get(&ledger->used_minute, key_id) >= minute)
        return 0;
    rc = used_last(txn, key_id, &was_us);
    if (rc == 0 && was_us < wall_us)
        rc = db_put(txn, DB_USED, &key, (struct str){(const char *)&wall_us, sizeof(wall_us)});
    return rc < 0 ? rc : id_map_set(&ledger->used_minute, key_id, minute);
}
